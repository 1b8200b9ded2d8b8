// std::from_chars, plus which side a number that does not fit has fallen off.
#include "support/numbers.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>

namespace gradc {
namespace {

/// The decimal exponent of the first digit that is not zero: above 0 for 1 and more.
int64_t magnitude(std::string_view number) {
  const size_t e = number.find_first_of("eE");
  const std::string_view digits = number.substr(0, e);
  int64_t exponent = 0;
  if (e != std::string_view::npos) {
    std::string_view text = number.substr(e + 1);
    if (text.starts_with('+')) text.remove_prefix(1);
    const auto read = std::from_chars(text.data(), text.data() + text.size(), exponent);
    constexpr int64_t kHuge = int64_t{1} << 60;
    if (read.ec == std::errc::result_out_of_range)
      exponent = text.starts_with('-') ? -kHuge : kHuge;
    exponent = std::clamp(exponent, -kHuge, kHuge);
  }
  const size_t first = digits.find_first_of("123456789");
  const size_t point = std::min(digits.find('.'), digits.size());
  if (first == std::string_view::npos) return 0;
  const auto before = static_cast<int64_t>(point) - static_cast<int64_t>(first);
  return exponent + (before > 0 ? before : before + 1);
}

}  // namespace

std::optional<double> parse_double(std::string_view text) {
  double value = 0.0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value, std::chars_format::general);
  if (read.ptr != end || text.empty()) return std::nullopt;
  if (read.ec == std::errc()) {
    // from_chars takes "inf" and "nan" too.
    const bool number = text.find_first_not_of("+-.eE0123456789") == std::string_view::npos;
    return number ? std::optional(value) : std::nullopt;
  }
  if (read.ec != std::errc::result_out_of_range) return std::nullopt;
  value = magnitude(text) > 0 ? std::numeric_limits<double>::infinity() : 0.0;
  return text.starts_with('-') ? -value : value;
}

}  // namespace gradc
