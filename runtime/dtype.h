// Element types: sizes, names, and exact conversion of single elements. f16 and bf16 are stored as
// 16-bit words and rounded to nearest even.
#pragma once

#include "runtime/model_abi.h"

#include <cstddef>
#include <cstdint>

namespace gradc::rt {

enum class Dtype : int64_t {
  kF32 = GRADC_RT_F32,
  kF64 = GRADC_RT_F64,
  kBF16 = GRADC_RT_BF16,
  kF16 = GRADC_RT_F16,
  kI32 = GRADC_RT_I32,
  kI64 = GRADC_RT_I64,
  kU8 = GRADC_RT_U8,
  kBool = GRADC_RT_BOOL,
};

size_t dtype_bytes(Dtype dtype);
/// "f32", "bf16", "bool", as the IR prints them.
const char* dtype_name(Dtype dtype);
bool is_float(Dtype dtype);
/// i32, i64 or u8 (bool is neither float nor integer).
bool is_integer(Dtype dtype);

float f16_to_f32(uint16_t bits);
/// Rounds to nearest even, directly from double so that there is one rounding only.
uint16_t f64_to_f16(double value);
float bf16_to_f32(uint16_t bits);
uint16_t f64_to_bf16(double value);

/// Element `index` of an array of `dtype` as double (i64 beyond 2^53 is rounded).
double load_f64(const void* data, Dtype dtype, size_t index);
/// Element `index` of an integer or bool array, exactly; floats are truncated. What 64 bits do not
/// hold becomes the nearest end, NaN 0.
int64_t load_i64(const void* data, Dtype dtype, size_t index);
/// Stores `value` rounded to `dtype`; integers are truncated towards zero. What the type does not
/// hold becomes its nearest end: callers that must not lose anything check before.
void store_f64(void* data, Dtype dtype, size_t index, double value);
void store_i64(void* data, Dtype dtype, size_t index, int64_t value);
/// Whether element `index` of a `from` array has a place in `to`: an integer within its range, a
/// finite number that does not become infinite. Both are of floats, or neither is.
bool fits(const void* data, Dtype from, size_t index, Dtype to);

}  // namespace gradc::rt
