// The entry of one step of a language model: tokens go in one by one, and the instance keeps what
// the model needs of them.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

/// Puts a token into a place of an input of numbers, or of rows of 0 and 1.
void set_token(Instance& instance, size_t tensor, size_t place, int32_t token);

class TokenSteps {
 public:
  /// Whether the model has the entry, compiled or to be.
  static bool possible(const Instance& instance);
  /// Makes it ready, at the start of a text; `window` is how many tokens predict reads.
  Status prepare(Instance& instance, size_t window);

  /// Whether one more token can be taken: places may have meanings up to the window's last.
  bool has_room() const { return position_ < 0 || taken_ < window_; }
  size_t taken() const { return taken_; }
  void take(Instance& instance, int32_t token);
  /// What comes behind the tokens taken: the tensor whose first row says so.
  size_t output() const { return static_cast<size_t>(output_); }

 private:
  int64_t input_ = -1, output_ = -1;
  int64_t position_ = -1;  // -1: no number depends on it
  size_t window_ = 0;
  size_t taken_ = 0;
};

}  // namespace gradc::rt
