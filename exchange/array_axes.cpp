#include "exchange/array_axes.h"

#include <utility>

namespace gradc::exchange {

void transpose(rt::Array& array, const Ints& perm) {
  const size_t rank = perm.size();
  const size_t bytes = rt::dtype_bytes(array.dtype);
  Ints strides(rank, 1);
  for (size_t i = rank - 1; i > 0; --i)
    strides[i - 1] = strides[i] * array.dims[i];
  rt::Vec<int64_t> dims;
  for (const int64_t axis : perm)
    dims.push(array.dims[static_cast<size_t>(axis)]);
  rt::Bytes data;
  data.reserve(array.data.size());
  Ints at(rank, 0);
  for (size_t n = 0; n < array.count(); ++n) {
    int64_t from = 0;
    for (size_t i = 0; i < rank; ++i)
      from += at[i] * strides[static_cast<size_t>(perm[i])];
    data.append(array.data.data() + static_cast<size_t>(from) * bytes, bytes);
    for (size_t i = rank; i-- > 0;) {
      if (++at[i] < dims[i]) break;
      at[i] = 0;
    }
  }
  array.dims = std::move(dims);
  array.data = std::move(data);
}

void reshape(rt::Array& array, const Ints& dims) {
  rt::Vec<int64_t> all;
  all.append(dims.data(), dims.size());
  array.dims = std::move(all);
}

}  // namespace gradc::exchange
