// ALiBi (Press et al. 2021, "Train short, test long"): scores lose a head's slope for each step
// that lies between query and key.
#include "frontend/layers/attend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace gradc::layers {
namespace {

/// 2^(-8 i / n), i = 1..n; where n is no power of two: those of the power below, then every second
/// of the power above.
std::vector<double> alibi_slopes(int64_t heads) {
  int64_t power = 1;
  while (power * 2 <= heads)
    power *= 2;
  std::vector<double> slopes;
  for (int64_t i = 1; i <= power; ++i)
    slopes.push_back(std::exp2(-8.0 * static_cast<double>(i) / static_cast<double>(power)));
  for (int64_t i = 1; static_cast<int64_t>(slopes.size()) < heads; i += 2)
    slopes.push_back(std::exp2(-4.0 * static_cast<double>(i) / static_cast<double>(power)));
  return slopes;
}

}  // namespace

/// A query that sees no later key gets the same weights whatever is added to all of its scores, so
/// one row serves all queries: nothing of the extent of the scores is made.
Val with_alibi(Val query, Val key, bool causal, Val seen) {
  Builder& builder = query.builder();
  const int64_t keys = key.shape()[2];
  const Shape shape = {1, query.shape()[1], causal ? 1 : query.shape()[2], keys};
  const auto index = [&](int axis) {
    return cast(iota(builder, {DType::kI32, shape}, axis), query.dtype());
  };
  const Val behind =
      causal ? index(3) - static_cast<double>(keys - 1) : neg(abs(index(3) - index(2)));
  const Val slopes = builder.constant({query.dtype(), Shape{shape[1]}}, alibi_slopes(shape[1]));
  const Val bias = behind * broadcast(slopes, shape, {1});
  if (!seen.valid()) return bias;
  Shape both = shape;
  for (int axis = 0; axis < both.rank(); ++axis)
    both[axis] = std::max(both[axis], seen.shape()[axis]);
  return select(broadcast_to(seen, both), broadcast_to(bias, both),
                -std::numeric_limits<double>::infinity());
}

}  // namespace gradc::layers
