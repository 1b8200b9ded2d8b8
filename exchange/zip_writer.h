// A zip archive in memory whose members are stored as they are, which is what Keras writes.
#pragma once

#include "support/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gradc::exchange {

class ZipWriter {
 public:
  void add(std::string_view name, std::string_view content);
  /// The archive, its directory at the end; a report when it is larger than 4 GB.
  Result<std::string> finish();

 private:
  struct Member {
    std::string name;
    uint32_t crc = 0;
    uint64_t size = 0;
    uint64_t offset = 0;
  };
  std::string bytes_;
  std::vector<Member> members_;
};

}  // namespace gradc::exchange
