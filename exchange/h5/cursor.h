// Bytes in turn, little-endian. What is not there fails the whole: later reads give 0 and nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gradc::exchange::h5 {

using Span = std::span<const uint8_t>;

/// "Undefined address": what is not stored.
constexpr uint64_t kNowhere = ~uint64_t{0};

class Cursor {
 public:
  explicit Cursor(Span bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t left() const { return ok_ ? bytes_.size() - at_ : 0; }
  Span rest() const { return ok_ ? bytes_.subspan(at_) : Span(); }
  Span take(uint64_t count) {
    if (count > left()) ok_ = false;
    if (!ok_) return {};
    const Span taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }
  void skip(uint64_t count) { take(count); }
  /// An unsigned number of up to 8 bytes.
  uint64_t number(size_t bytes) {
    uint64_t value = 0;
    const Span taken = take(bytes);
    for (size_t i = std::min<size_t>(taken.size(), 8); i-- > 0;)
      value = value << 8U | taken[i];
    return value;
  }
  uint8_t u8() { return static_cast<uint8_t>(number(1)); }
  uint16_t u16() { return static_cast<uint16_t>(number(2)); }
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }
  uint64_t u64() { return number(8); }
  /// Whether these bytes come next; they must.
  bool expect(std::string_view text) {
    const Span taken = take(text.size());
    if (ok_) {
      ok_ = std::equal(text.begin(), text.end(), taken.begin(),
                       [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
    }
    return ok_;
  }

 private:
  Span bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

/// How many bytes of a file may be looked at. No two parts of a file share bytes, so that what a
/// sound one needs is its size; one whose parts lead to each other would need any number.
class Meter {
 public:
  /// What is spent here is spent there too.
  explicit Meter(uint64_t bytes, Meter* all = nullptr) : left_(bytes), all_(all) {}
  bool spend(uint64_t bytes) {
    const bool enough = bytes <= left_;
    left_ = enough ? left_ - bytes : 0;
    return enough && (all_ == nullptr || all_->spend(bytes));
  }

 private:
  uint64_t left_;
  Meter* all_;
};

}  // namespace gradc::exchange::h5
