// Element conversion.
#include "runtime/dtype.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace gradc::rt {
namespace {

template <class T>
T load_as(const void* data, size_t index) {
  T value;
  memcpy(&value, static_cast<const char*>(data) + index * sizeof(T), sizeof(T));
  return value;
}

template <class T>
void store_as(void* data, size_t index, T value) {
  memcpy(static_cast<char*>(data) + index * sizeof(T), &value, sizeof(T));
}

// Truncated towards zero; what the type does not hold becomes its nearest end, NaN becomes 0.
// (Callers that must not lose anything check before.)
template <class T>
T to_integer(double value) {
  constexpr double kLow = static_cast<double>(std::numeric_limits<T>::min());
  constexpr double kHigh = static_cast<double>(std::numeric_limits<T>::max());
  if (std::isnan(value)) return 0;
  if (value <= kLow) return std::numeric_limits<T>::min();
  if (value >= kHigh) return std::numeric_limits<T>::max();
  return static_cast<T>(value);
}

template <class T>
T narrow(int64_t value) {
  constexpr int64_t kLow = std::numeric_limits<T>::min();
  constexpr int64_t kHigh = std::numeric_limits<T>::max();
  return static_cast<T>(value < kLow ? kLow : value > kHigh ? kHigh : value);
}

// Rounds a double to a 16-bit float with the given field widths, nearest even, keeping subnormals.
uint16_t round_to_16(double value, int exponent_bits, int mantissa_bits) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint16_t sign = static_cast<uint16_t>((bits >> 63) << 15);
  const int max_exponent = (1 << exponent_bits) - 1;
  const uint16_t infinity = static_cast<uint16_t>(max_exponent << mantissa_bits);
  if (std::isnan(value)) {
    return static_cast<uint16_t>(sign | infinity | (1 << (mantissa_bits - 1)));
  }
  const double magnitude = std::fabs(value);
  if (std::isinf(magnitude)) return static_cast<uint16_t>(sign | infinity);
  const int bias = max_exponent / 2;
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = f * 2^exponent, f in [0.5, 1)
  int biased = exponent - 1 + bias;
  if (magnitude == 0 || biased < 1) biased = 1;  // subnormals share the least exponent
  // The value in units of the last place, rounded to an integer with ties to even.
  const double units = std::ldexp(magnitude, mantissa_bits - (biased - bias));
  double whole = std::floor(units);
  const double rest = units - whole;
  if (rest > 0.5 || (rest == 0.5 && std::fmod(whole, 2.0) != 0)) whole += 1;
  const int64_t mantissa = static_cast<int64_t>(whole);
  const int64_t hidden = int64_t{1} << mantissa_bits;
  // Adding the fields lets a carry out of the mantissa raise the exponent, up to infinity.
  const int64_t result =
      mantissa < hidden ? mantissa
                        : (static_cast<int64_t>(biased) << mantissa_bits) + (mantissa - hidden);
  if (result >= infinity) return static_cast<uint16_t>(sign | infinity);
  return static_cast<uint16_t>(sign | result);
}

}  // namespace

size_t dtype_bytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
    case Dtype::kI32:
      return 4;
    case Dtype::kF64:
    case Dtype::kI64:
      return 8;
    case Dtype::kBF16:
    case Dtype::kF16:
      return 2;
    case Dtype::kU8:
    case Dtype::kBool:
      return 1;
  }
  return 0;
}

const char* dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return "f32";
    case Dtype::kF64:
      return "f64";
    case Dtype::kBF16:
      return "bf16";
    case Dtype::kF16:
      return "f16";
    case Dtype::kI32:
      return "i32";
    case Dtype::kI64:
      return "i64";
    case Dtype::kU8:
      return "u8";
    case Dtype::kBool:
      return "bool";
  }
  return "?";
}

bool is_float(Dtype dtype) {
  return dtype == Dtype::kF32 || dtype == Dtype::kF64 || dtype == Dtype::kBF16 ||
         dtype == Dtype::kF16;
}

bool is_integer(Dtype dtype) {
  return dtype == Dtype::kI32 || dtype == Dtype::kI64 || dtype == Dtype::kU8;
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1Fu;
  const uint32_t mantissa = bits & 0x3FFu;
  uint32_t out;
  if (exponent == 31) {
    out = sign | 0x7F800000u | (mantissa << 13);
  } else if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1.0p-24f;
    memcpy(&out, &magnitude, sizeof out);
    out |= sign;
  } else {
    out = sign | ((exponent + 112) << 23) | (mantissa << 13);
  }
  float value;
  memcpy(&value, &out, sizeof value);
  return value;
}

uint16_t f64_to_f16(double value) {
  return round_to_16(value, 5, 10);
}

float bf16_to_f32(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

uint16_t f64_to_bf16(double value) {
  return round_to_16(value, 8, 7);
}

double load_f64(const void* data, Dtype dtype, size_t index) {
  switch (dtype) {
    case Dtype::kF32:
      return static_cast<double>(load_as<float>(data, index));
    case Dtype::kF64:
      return load_as<double>(data, index);
    case Dtype::kBF16:
      return static_cast<double>(bf16_to_f32(load_as<uint16_t>(data, index)));
    case Dtype::kF16:
      return static_cast<double>(f16_to_f32(load_as<uint16_t>(data, index)));
    case Dtype::kI32:
      return load_as<int32_t>(data, index);
    case Dtype::kI64:
      return static_cast<double>(load_as<int64_t>(data, index));
    case Dtype::kU8:
      return load_as<uint8_t>(data, index);
    case Dtype::kBool:
      return load_as<uint8_t>(data, index) != 0 ? 1.0 : 0.0;
  }
  return 0;
}

int64_t load_i64(const void* data, Dtype dtype, size_t index) {
  switch (dtype) {
    case Dtype::kI32:
      return load_as<int32_t>(data, index);
    case Dtype::kI64:
      return load_as<int64_t>(data, index);
    case Dtype::kU8:
      return load_as<uint8_t>(data, index);
    case Dtype::kBool:
      return load_as<uint8_t>(data, index) != 0 ? 1 : 0;
    case Dtype::kF32:
    case Dtype::kF64:
    case Dtype::kBF16:
    case Dtype::kF16:
      return to_integer<int64_t>(load_f64(data, dtype, index));
  }
  return 0;
}

void store_f64(void* data, Dtype dtype, size_t index, double value) {
  switch (dtype) {
    case Dtype::kF32:
      return store_as(data, index, static_cast<float>(value));
    case Dtype::kF64:
      return store_as(data, index, value);
    case Dtype::kBF16:
      return store_as(data, index, f64_to_bf16(value));
    case Dtype::kF16:
      return store_as(data, index, f64_to_f16(value));
    case Dtype::kI32:
      return store_as(data, index, to_integer<int32_t>(value));
    case Dtype::kI64:
      return store_as(data, index, to_integer<int64_t>(value));
    case Dtype::kU8:
      return store_as(data, index, to_integer<uint8_t>(value));
    case Dtype::kBool:
      return store_as(data, index, static_cast<uint8_t>(value != 0));
  }
}

void store_i64(void* data, Dtype dtype, size_t index, int64_t value) {
  switch (dtype) {
    case Dtype::kI32:
      return store_as(data, index, narrow<int32_t>(value));
    case Dtype::kI64:
      return store_as(data, index, value);
    case Dtype::kU8:
      return store_as(data, index, narrow<uint8_t>(value));
    case Dtype::kBool:
      return store_as(data, index, static_cast<uint8_t>(value != 0));
    case Dtype::kF32:
    case Dtype::kF64:
    case Dtype::kBF16:
    case Dtype::kF16:
      return store_f64(data, dtype, index, static_cast<double>(value));
  }
}

bool fits(const void* data, Dtype from, size_t index, Dtype to) {
  uint64_t room[1] = {};
  if (is_float(to)) {
    const double value = load_f64(data, from, index);
    store_f64(room, to, 0, value);
    return !std::isfinite(value) || std::isfinite(load_f64(room, to, 0));
  }
  const int64_t value = load_i64(data, from, index);
  store_i64(room, to, 0, value);
  return load_i64(room, to, 0) == value;
}

}  // namespace gradc::rt
