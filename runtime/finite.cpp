// A scan of exponents: whole blocks first, so that the compiler makes vector code of it.
#include "runtime/finite.h"

#include "runtime/weights.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

constexpr size_t kBlock = 4096;

// Of `count` elements as integers, whether one has all exponent bits set.
template <class Bits>
bool any_not_finite(const void* data, size_t first, size_t count, Bits exponent) {
  Bits found = 0;
  const char* at = static_cast<const char*>(data) + first * sizeof(Bits);
  for (size_t i = 0; i < count; ++i) {
    Bits bits = 0;
    memcpy(&bits, at + i * sizeof(Bits), sizeof bits);
    found |= static_cast<Bits>((bits & exponent) == exponent);
  }
  return found != 0;
}

bool any_in_block(const void* data, Dtype dtype, size_t first, size_t count) {
  switch (dtype) {
    case Dtype::kF32:
      return any_not_finite<uint32_t>(data, first, count, 0x7f800000U);
    case Dtype::kF64:
      return any_not_finite<uint64_t>(data, first, count, 0x7ff0000000000000U);
    case Dtype::kBF16:
      return any_not_finite<uint16_t>(data, first, count, 0x7f80U);
    case Dtype::kF16:
      return any_not_finite<uint16_t>(data, first, count, 0x7c00U);
    case Dtype::kI32:
    case Dtype::kI64:
    case Dtype::kU8:
    case Dtype::kBool:
      return false;
  }
  return false;
}

bool find_in(const Instance& instance, size_t index, NotFinite* place) {
  const gradc_rt_tensor& tensor = instance.tensor(index);
  const Dtype dtype = static_cast<Dtype>(tensor.dtype);
  if (!is_float(dtype)) return false;
  const void* data = instance.data(index);
  const size_t count = static_cast<size_t>(tensor.bytes) / dtype_bytes(dtype);
  for (size_t first = 0; first < count; first += kBlock) {
    const size_t length = std::min(kBlock, count - first);
    if (!any_in_block(data, dtype, first, length)) continue;
    for (size_t i = first; i < first + length; ++i) {
      const double value = load_f64(data, dtype, i);
      if (std::isfinite(value)) continue;
      *place = {static_cast<int64_t>(index), i, std::isnan(value)};
      return true;
    }
  }
  return false;
}

// "dense" of "dense/kernel" and of "optimizer/dense/kernel/momentum".
Str layer_of(const gradc_rt_tensor& tensor) {
  const bool slot = tensor.kind == GRADC_RT_OPTIMIZER_STATE;
  const char* begin = tensor.name;
  if (slot && strncmp(begin, "optimizer/", 10) == 0) begin += 10;
  size_t length = strlen(begin);
  for (int part = 0; part < (slot ? 2 : 1); ++part) {
    while (length > 0 && begin[length - 1] != '/')
      --length;
    if (length > 0) --length;
  }
  return {begin, length};
}

}  // namespace

NotFinite first_not_finite(const Instance& instance) {
  NotFinite place;
  for (const bool optimizer : {false, true}) {
    for (size_t i = 0; i < instance.num_tensors(); ++i) {
      const int64_t kind = instance.tensor(i).kind;
      const bool weight = kind == GRADC_RT_PARAMETER || kind == GRADC_RT_STATE;
      const bool wanted = optimizer ? kind == GRADC_RT_OPTIMIZER_STATE : weight;
      if (wanted && find_in(instance, i, &place)) return place;
    }
  }
  return place;
}

Str describe(const Instance& instance, const NotFinite& place) {
  const gradc_rt_tensor& tensor = instance.tensor(static_cast<size_t>(place.tensor));
  Str text = format("\"%s\"", tensor.name);
  const Str layer = layer_of(tensor);
  if (!layer.empty()) text.appendf(" of layer \"%s\"", layer.c_str());
  text.appendf(" is %s at element %zu of %zu", place.nan ? "NaN" : "infinite", place.element,
               static_cast<size_t>(tensor.bytes) / dtype_bytes(static_cast<Dtype>(tensor.dtype)));
  return text;
}

}  // namespace gradc::rt
