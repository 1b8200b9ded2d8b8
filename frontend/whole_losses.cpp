#include "frontend/whole_losses.h"

#include <algorithm>
#include <numeric>

namespace gradc {
namespace {

constexpr double kEpsilon = 1e-7;
/// More than any distance.
constexpr double kFar = 1e30;

Ints summed_axes(const Options& options, int rank) {
  Ints axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), 0);
  if (!options.has("axis")) return axes;
  axes.clear();
  for (const int64_t axis : options.ints("axis"))
    axes.push_back(axis < 0 ? axis + rank : axis);
  std::sort(axes.begin(), axes.end());
  return axes;
}

/// Output and target with zeros for examples that do not count, and the axes that are summed over.
struct Overlap {
  explicit Overlap(const WholeLossArgs& a)
      : axes(summed_axes(a.options, a.output.rank())), y(a.output), t(a.target) {
    if (!a.examples.valid() || axes.front() != 0) return;
    const Val counts = broadcast(a.examples, y.shape(), {0});
    y = select(counts, y, 0.0);
    t = select(counts, t, 0.0);
  }
  Val sum(Val x) const { return reduce_sum(x, axes); }

  Ints axes;
  Val y, t;
};

/// a[i] and b[j] for all i and j: [n, n].
Val rows(Val a, int64_t n) {
  return broadcast(a, Shape{n, n}, {0});
}
Val columns(Val a, int64_t n) {
  return broadcast(a, Shape{n, n}, {1});
}

/// Which pairs (anchor, other) of a batch are of one class or of two, and how far they are apart.
struct Pairs {
  explicit Pairs(const WholeLossArgs& a) : n(a.output.shape()[0]) {
    Builder& builder = a.output.builder();
    const Shape all{n, n, a.output.shape()[1]};
    const std::string& metric = a.options.text("distance");
    Val x = a.output;
    if (metric == "angular") {
      const Val length = rsqrt(maximum(reduce_sum(x * x, {1}), 1e-12));
      x = x * broadcast(length, x.shape(), {0});
      distance = 1.0 - matmul(x, x, false, true);
    } else {
      const Val difference = broadcast(x, all, {0, 2}) - broadcast(x, all, {1, 2});
      distance = reduce_sum(difference * difference, {2});
      // Equal points have a distance of 0 without a slope.
      if (metric == "l2") distance = sqrt(maximum(distance, 1e-16));
    }
    const TensorType numbers{DType::kI32, Shape{n}};
    const Val index = iota(builder, numbers, 0);
    Val counts;
    if (a.examples.valid()) counts = logical_and(rows(a.examples, n), columns(a.examples, n));
    const auto both = [&](Val pairs) {
      return counts.valid() ? logical_and(pairs, counts) : pairs;
    };
    const Val same = equal(rows(a.target, n), columns(a.target, n));
    positive = both(logical_and(same, not_equal(rows(index, n), columns(index, n))));
    negative = both(logical_not(same));
  }

  int64_t n;
  Val distance;            ///< f32[n, n]
  Val positive, negative;  ///< bool[n, n]
};

/// The mean of `values` over where `counts` says so; 0 over nothing.
Val mean_where(Val counts, Val values) {
  const Ints axes = counts.rank() == 2 ? Ints{0, 1} : Ints{0};
  const Val total = reduce_sum(select(counts, values, 0.0), axes);
  return total / maximum(reduce_sum(cast(counts, values.dtype()), axes), 1.0);
}

Val some(Val pairs) {
  return greater(reduce_sum(cast(pairs, DType::kF32), {1}), 0.0);
}

}  // namespace

bool sums_batch(const Options& options) {
  if (!options.has("axis")) return true;
  const Ints& axes = options.ints("axis");
  return std::find(axes.begin(), axes.end(), 0) != axes.end();
}

Val build_dice(const WholeLossArgs& a) {
  const Overlap o(a);
  return 1.0 - o.sum(o.t * o.y) * 2.0 / (o.sum(o.t) + o.sum(o.y) + kEpsilon);
}

// What Keras multiplies by alpha and calls false positives, (1 - y) t, others call false negatives.
Val build_tversky(const WholeLossArgs& a) {
  const Overlap o(a);
  const Val inside = o.sum(o.t * o.y);
  const Val missed = o.sum((1.0 - o.y) * o.t) * a.options.number("alpha");
  const Val beyond = o.sum(o.y * (1.0 - o.t)) * a.options.number("beta");
  return 1.0 - inside / (inside + missed + beyond + kEpsilon);
}

Val build_triplet_semi_hard(const WholeLossArgs& a) {
  const Pairs pairs(a);
  const Shape triples{pairs.n, pairs.n, pairs.n};  // anchor, positive, negative
  const Val to_positive = broadcast(pairs.distance, triples, {0, 1});
  const Val to_negative = broadcast(pairs.distance, triples, {0, 2});
  const Val beyond =
      logical_and(broadcast(pairs.negative, triples, {0, 2}), greater(to_negative, to_positive));
  const Val nearest = reduce_min(select(beyond, to_negative, kFar), {2});
  const Val farthest = reduce_max(select(pairs.negative, pairs.distance, -kFar), {1});
  const Val negative = select(less(nearest, kFar), nearest, rows(farthest, pairs.n));
  const Val loss = relu(pairs.distance - negative + a.options.number("margin"));
  return mean_where(logical_and(pairs.positive, rows(some(pairs.negative), pairs.n)), loss);
}

Val build_triplet_hard(const WholeLossArgs& a) {
  const Pairs pairs(a);
  const Val positive = reduce_max(select(pairs.positive, pairs.distance, -kFar), {1});
  const Val negative = reduce_min(select(pairs.negative, pairs.distance, kFar), {1});
  const Val counts = logical_and(some(pairs.positive), some(pairs.negative));
  const Val excess = select(counts, positive - negative, 0.0);
  const Val loss = a.options.flag("soft") ? excess.builder().add(Op::kSoftplus, {excess})
                                          : relu(excess + a.options.number("margin"));
  return mean_where(counts, loss);
}

}  // namespace gradc
