#include "frontend/example_values.h"

namespace gradc {

Ints example_shape(Val x) {
  const Shape shape = x.shape();
  return {shape.begin() + 1, shape.end()};
}

Val floats_of(Val x) {
  return is_float(x.dtype()) ? x : cast(x, DType::kF32);
}

std::optional<Ints> joined_shape(const Ints& a, const Ints& b) {
  const Ints& shorter = a.size() < b.size() ? a : b;
  Ints result = a.size() < b.size() ? b : a;
  const size_t skip = result.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    int64_t& extent = result[i + skip];
    if (extent == 1) extent = shorter[i];
    if (shorter[i] != extent && shorter[i] != 1) return std::nullopt;
  }
  return result;
}

Val spread_examples(Val x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int skip = shape.rank() - x.rank();
  Shape kept{x.shape()[0]};
  Ints dims = {0};
  for (int axis = 1; axis < x.rank(); ++axis) {
    if (x.shape()[axis] != shape[axis + skip]) continue;
    kept.push_back(x.shape()[axis]);
    dims.push_back(axis + skip);
  }
  return broadcast(reshape(x, kept), shape, std::move(dims));
}

Val take_of_examples(Val x, std::span<const TakenRange> ranges) {
  Ints start(static_cast<size_t>(x.rank())), limit = x.shape().to_vector();
  Shape kept{limit.front()};
  for (size_t i = 1; i < limit.size(); ++i) {
    const bool whole = i > ranges.size();
    if (!whole) {
      start[i] = ranges[i - 1].first;
      limit[i] = ranges[i - 1].last;
    }
    if (whole || !ranges[i - 1].drops) kept.push_back(limit[i] - start[i]);
  }
  return reshape(slice(x, start, limit), kept);
}

}  // namespace gradc
