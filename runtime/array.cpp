// Array helpers shared by all readers.
#include "runtime/array.h"

#include <algorithm>

namespace gradc::rt {

Array Array::clone() const {
  Array copy;
  copy.name = name.clone();
  copy.source = source.clone();
  copy.dtype = dtype;
  copy.dims = dims.clone();
  copy.data = data.clone();
  copy.lent = lent;
  copy.row_step = row_step;
  copy.draws = draws;
  copy.hidden = hidden;
  copy.files = files.clone();
  return copy;
}

Str dims_text(Span<const int64_t> dims) {
  Str text("[");
  for (size_t i = 0; i < dims.size(); ++i)
    text.appendf("%s%lld", i > 0 ? ", " : "", static_cast<long long>(dims[i]));
  text.push(']');
  return text;
}

Str array_type_text(const Array& array) {
  Str text(dtype_name(array.dtype));
  text.append(dims_text(array.dims.span()));
  return text;
}

bool checked_size(Span<const int64_t> dims, size_t element_bytes, size_t* count, size_t* bytes) {
  size_t total = 1;
  bool empty = false;
  for (int64_t d : dims) {
    if (d < 0) return false;
    if (d == 0) empty = true;
    // Zero sizes are left out of the product, so that an overflow beside a zero is still seen.
    if (d > 0 && __builtin_mul_overflow(total, static_cast<size_t>(d), &total)) return false;
  }
  size_t total_bytes = 0;
  if (__builtin_mul_overflow(total, element_bytes, &total_bytes)) return false;
  if (total_bytes > (size_t{1} << 62)) return false;
  *count = empty ? 0 : total;
  *bytes = empty ? 0 : total_bytes;
  return true;
}

namespace {

template <class From>
void widen_to(size_t count, const Bytes& raw, Dtype dtype, Array* array) {
  array->dtype = dtype;
  array->data.resize(count * dtype_bytes(dtype));
  for (size_t i = 0; i < count; ++i) {
    From value;
    memcpy(&value, raw.data() + i * sizeof(From), sizeof(From));
    store_i64(array->data.data(), dtype, i, static_cast<int64_t>(value));
  }
}

}  // namespace

Status widen(FileType type, size_t count, const Bytes& raw, Array* array) {
  switch (type) {
    case FileType::kI8:
      widen_to<int8_t>(count, raw, Dtype::kI32, array);
      return {};
    case FileType::kI16:
      widen_to<int16_t>(count, raw, Dtype::kI32, array);
      return {};
    case FileType::kU16:
      widen_to<uint16_t>(count, raw, Dtype::kI32, array);
      return {};
    case FileType::kU32:
      widen_to<uint32_t>(count, raw, Dtype::kI64, array);
      return {};
    case FileType::kU64:
      for (size_t i = 0; i < count; ++i) {
        uint64_t value;
        memcpy(&value, raw.data() + i * 8, 8);
        if (value > static_cast<uint64_t>(INT64_MAX)) {
          return error("%s: element %zu is %llu, which does not fit 64 signed bits",
                       array->source.c_str(), i, static_cast<unsigned long long>(value));
        }
      }
      widen_to<uint64_t>(count, raw, Dtype::kI64, array);
      return {};
    case FileType::kNative:
      break;
  }
  return internal_error("%s: nothing to widen", array->source.c_str());
}

void swap_bytes(uint8_t* data, size_t element_bytes, size_t count) {
  for (size_t i = 0; i < count; ++i)
    std::reverse(data + i * element_bytes, data + (i + 1) * element_bytes);
}

}  // namespace gradc::rt
