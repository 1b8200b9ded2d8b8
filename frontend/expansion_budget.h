// How much a model's blocks may make. A few hundred bytes of nested repeats describe more layers
// than any machine holds, so everything that an expansion makes is counted while it is made.
#pragma once

#include "support/json.h"

#include <cstddef>
#include <cstdint>

namespace gradc {

class ExpansionBudget {
 public:
  static constexpr int64_t kMaxParts = 100'000;       ///< layers, and repetitions of blocks
  static constexpr int64_t kMaxBytes = 256LL << 20U;  ///< of what is made of them in memory

  /// Counts a layer or a repetition of a block; false once there are too many.
  bool take_part() { return ++parts_ <= kMaxParts; }
  /// Counts memory; false once it is too much.
  bool take_bytes(size_t bytes) {
    if (bytes > static_cast<size_t>(kMaxBytes - bytes_)) {
      bytes_ = kMaxBytes;
      return false;
    }
    bytes_ += static_cast<int64_t>(bytes);
    return true;
  }
  bool too_many_parts() const { return parts_ > kMaxParts; }

 private:
  int64_t parts_ = 0;
  int64_t bytes_ = 0;
};

/// What a JSON value takes in memory and how deep it is nested.
struct JsonSize {
  size_t bytes = 0;
  size_t depth = 0;
};
JsonSize json_size(const Json& value);

}  // namespace gradc
