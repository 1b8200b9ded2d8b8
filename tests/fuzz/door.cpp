#include "tests/fuzz/door.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace gradc::fuzz {

namespace {

/// A folder that goes with the process that made it.
class Folder {
 public:
  Folder() {
    const bool in_memory = access("/dev/shm", W_OK) == 0;
    std::string pattern = in_memory ? "/dev/shm/gradc-fuzz-XXXXXX" : "/tmp/gradc-fuzz-XXXXXX";
    const char* made = mkdtemp(pattern.data());
    require(made != nullptr, "no folder for temporary files", pattern);
    path_ = made;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

void require(bool holds, std::string_view what, std::string_view detail) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n%.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(detail.size()), detail.data());
  std::abort();
}

std::string file_of(std::string_view name, std::string_view bytes) {
  static const Folder folder;
  std::string path = folder.path() + "/" + std::string(name);
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

uint8_t take_byte(std::string_view& bytes) {
  if (bytes.empty()) return 0;
  const auto byte = static_cast<uint8_t>(bytes.front());
  bytes.remove_prefix(1);
  return byte;
}

}  // namespace gradc::fuzz
