// Reading is fast_float's (header only; std::from_chars of a double lives in the C++ library, which
// the core must not need). Writing is the C library's printf under the locale "C" of Str: a decimal
// of at most 15 digits (6 of a float) survives the way into the type and back, so where the
// shortest text has no more, "%.15g" is it; one or two digits more always suffice.
#include "runtime/number.h"

#include <cmath>
#include <fast_float/fast_float.h>
#include <limits>

namespace gradc::rt {
namespace {

template <class Float>
bool read(const char* begin, const char* end, Float* out) {
  if (begin != end && *begin == '+') {
    ++begin;
    if (begin != end && *begin == '-') return false;
  }
  Float value = 0;
  const fast_float::from_chars_result result = fast_float::from_chars(begin, end, value);
  const bool number = result.ec == std::errc() || result.ec == std::errc::result_out_of_range;
  if (!number || result.ptr != end) return false;
  *out = value;
  return true;
}

template <class Float>
Str shortest(Float value, int most_digits) {
  if (std::isnan(value)) return Str("nan");
  if (std::isinf(value)) return Str(value < 0 ? "-inf" : "inf");
  const bool subnormal = std::abs(value) < std::numeric_limits<Float>::min();
  for (int digits = subnormal ? 1 : std::numeric_limits<Float>::digits10;; ++digits) {
    Str text = format("%.*g", digits, static_cast<double>(value));
    Float again = 0;
    if (digits == most_digits || (read(text.c_str(), text.c_str() + text.size(), &again) &&
                                  memcmp(&again, &value, sizeof value) == 0)) {
      return text;
    }
  }
}

}  // namespace

bool parse_double(const char* begin, const char* end, double* out) {
  return read(begin, end, out);
}

bool parse_unsigned(const char* begin, const char* end, uint64_t* out) {
  uint64_t value = 0;
  for (const char* at = begin; at != end; ++at) {
    if (*at < '0' || *at > '9' || __builtin_mul_overflow(value, uint64_t{10}, &value) ||
        __builtin_add_overflow(value, static_cast<uint64_t>(*at - '0'), &value)) {
      return false;
    }
  }
  if (begin == end) return false;
  *out = value;
  return true;
}

bool parse_integer(const char* begin, const char* end, int64_t* out) {
  const bool negative = begin != end && *begin == '-';
  if (begin != end && (*begin == '-' || *begin == '+')) ++begin;
  uint64_t size = 0;
  if (!parse_unsigned(begin, end, &size)) return false;
  const uint64_t most = static_cast<uint64_t>(INT64_MAX) + (negative ? 1 : 0);
  if (size > most) return false;
  *out = static_cast<int64_t>(negative ? 0 - size : size);
  return true;
}

bool parse_double(const char* text, double* out) {
  return parse_double(text, text + strlen(text), out);
}

bool parse_integer(const char* text, int64_t* out) {
  return parse_integer(text, text + strlen(text), out);
}

bool parse_unsigned(const char* text, uint64_t* out) {
  return parse_unsigned(text, text + strlen(text), out);
}

Str number_text(double value) {
  return shortest(value, std::numeric_limits<double>::max_digits10);
}

Str number_text(float value) {
  return shortest(value, std::numeric_limits<float>::max_digits10);
}

}  // namespace gradc::rt
