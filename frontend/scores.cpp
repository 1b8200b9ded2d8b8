// Reductions are Keras 3's (keras/src/losses/loss.py, keras/src/metrics/reduction_metrics.py).
#include "frontend/scores.h"

#include "frontend/example_weights.h"
#include "frontend/families.h"

#include <numeric>

namespace gradc {
namespace {

/// All but the last `kept`.
Ints axes_from(Val values, int64_t first, int64_t kept = 0) {
  Ints axes(static_cast<size_t>(values.rank() - kept - first));
  std::iota(axes.begin(), axes.end(), first);
  return axes;
}

/// Leading axes spread over the others.
Val spread(Val leading, const Shape& shape) {
  Ints dims(static_cast<size_t>(leading.rank()));
  std::iota(dims.begin(), dims.end(), 0);
  return leading.shape() == shape ? leading : broadcast(leading, shape, dims);
}

/// 1 for examples that are there, 0 for those that fill up the last batch.
Val as_counts(Val tail) {
  return cast(greater(tail, 0.0), DType::kF32);
}

Val both(Val a, Val b) {
  if (!a.valid() || !b.valid()) return a.valid() ? a : b;
  const Shape shape = a.rank() < b.rank() ? b.shape() : a.shape();
  return logical_and(spread(a, shape), spread(b, shape));
}

}  // namespace

OutputScores::OutputScores(const Component& loss, Val output, Val target, Val mask, Val tail)
    : loss_(loss), output_(output), target_(target), tail_(tail) {
  if (is_whole_loss(loss)) {
    steps_ = mask;
    return;
  }
  counted_ = mask;
  if (const auto ignored = ignored_class(loss)) {
    const Val named = output.builder().splat(static_cast<double>(*ignored), target.type());
    const Val valid = not_equal(target, named);
    target_ = select(valid, target, output.builder().splat(0.0, target.type()));
    counted_ = both(counted_, valid);
  }
  if (!counted_.valid()) return;
  if (tail.valid()) counted_ = both(counted_, greater(tail, 0.0));
  const Val ones = cast(counted_, DType::kF32);
  count_ = reduce_sum(ones, axes_from(ones, 0));
}

Val OutputScores::mean(Val values, int64_t kept) const {
  if (!counted_.valid()) {
    const Ints inner = axes_from(values, 1, kept);
    const Val rows = inner.empty() ? values : reduce_mean(values, inner);
    if (!tail_.valid()) return reduce_mean(rows, {0});
    return reduce_sum(rows * spread(cast(tail_, rows.dtype()), rows.shape()), {0});
  }
  const Val total =
      reduce_sum(select(spread(counted_, values.shape()), values, 0.0), axes_from(values, 0, kept));
  const auto width = static_cast<double>(
      values.type().num_elements() / total.type().num_elements() / counted_.type().num_elements());
  Val divisor = maximum(cast(count_, values.dtype()), 1.0);
  if (width != 1.0) divisor = divisor * width;
  return total / (kept == 0 ? divisor : broadcast(divisor, total.shape(), {}));
}

Val OutputScores::weighted_mean(Val values, int64_t kept) const {
  Val weighted = values * spread(cast(weights_, values.dtype()), values.shape());
  if (counted_.valid()) weighted = select(spread(counted_, values.shape()), weighted, 0.0);
  const Val total = reduce_sum(weighted, axes_from(values, 0, kept));
  const auto width = static_cast<double>(
      values.type().num_elements() / total.type().num_elements() / weights_.type().num_elements());
  const Val sum = cast(weight_sum_, values.dtype());
  const Val divisor = select(greater(sum, 0.0), sum * width, 1.0);
  return total / (kept == 0 ? divisor : broadcast(divisor, total.shape(), {}));
}

Val OutputScores::weigh(Val sample_weights, Val class_weights) {
  Val weights;
  if (class_weights.valid()) {
    weights = output_.builder().add(Op::kGather, {class_weights, classes()});
    // Of a single unit the target has its axis too.
    if (weights.rank() == output_.rank() && weights.rank() > 1)
      weights = reduce_sum(weights, {weights.rank() - 1});
  }
  if (sample_weights.valid()) {
    weights = weights.valid() ? weights * spread(sample_weights, weights.shape()) : sample_weights;
  } else if (!weights.valid()) {
    weights = output_.builder().splat(1.0, {DType::kF32, Shape{output_.shape()[0]}});
  }
  weights = cast(weights, DType::kF32);
  if (counted_.valid()) {
    if (counted_.rank() > weights.rank()) weights = spread(weights, counted_.shape());
    weights = select(spread(counted_, weights.shape()), weights, 0.0);
  } else if (tail_.valid()) {
    weights = weights * spread(as_counts(tail_), weights.shape());
  }
  weights_ = weights;
  weight_sum_ = reduce_sum(weights, axes_from(weights, 0));
  return weight_sum_;
}

Val OutputScores::sum(Val values) const {
  const bool elementwise = values.rank() == output_.rank() && values.rank() > 1;
  const double width = elementwise ? static_cast<double>(values.shape().back()) : 1.0;
  if (counted_.valid()) values = select(spread(counted_, values.shape()), values, 0.0);
  Val rows = values.rank() == 1 ? values : reduce_sum(values, axes_from(values, 1));
  if (width != 1.0) rows = rows * (1.0 / width);
  if (tail_.valid() && !counted_.valid()) rows = rows * cast(greater(tail_, 0.0), rows.dtype());
  return reduce_sum(rows, {0});
}

Val OutputScores::whole_values() const {
  const Val examples = tail_.valid() ? greater(tail_, 0.0) : Val();
  return build_whole_loss(loss_, output_, target_, examples, steps_);
}

Val OutputScores::batch_loss() const {
  const Val values = whole_values();
  if (values.rank() == 0) return values;
  const Ints axes = axes_from(values, 0);
  return sums_positions(loss_) ? reduce_sum(values, axes) : reduce_mean(values, axes);
}

Val OutputScores::classes() const {
  if (loss_domain(loss_).classes == TargetDomain::Classes::kTwo)
    return cast(greater(target_, 0.5), DType::kI32);
  if (loss_target(loss_) == TargetKind::kClassIndex) return target_;
  return argmax(target_, target_.rank() - 1);
}

Val OutputScores::loss(Val sample_weights, Val class_weights) const {
  if (is_batch_loss(loss_)) return batch_loss();
  Val values = values_.valid()        ? values_
               : is_whole_loss(loss_) ? whole_values()
                                      : build_loss(loss_, output_, target_);
  if (class_weights.valid()) {
    const Val weights = values.builder().add(Op::kGather, {class_weights, classes()});
    values = values * spread(cast(weights, values.dtype()), values.shape());
  }
  if (sample_weights.valid())
    values = values * spread(cast(sample_weights, values.dtype()), values.shape());
  return sums_positions(loss_) ? sum(values) : mean(values);
}

MeanOfMetric OutputScores::metric(const OutputMetric& metric) const {
  const MetricFormula formula = metric_formula(metric.metric, *metric.resolved);
  std::vector<Val> means;
  for (const MetricPart& part : metric_parts(metric.metric, *metric.resolved, output_, target_))
    means.push_back(is_weighted(metric.metric) && weights_.valid()
                        ? weighted_mean(part.values, part.kept)
                        : mean(part.values, part.kept));
  const Val value = metric_of(formula, means);
  if (formula == MetricFormula::kMean) means.clear();
  return {value, std::move(means)};
}

Val mean_penalty(Val result, Val tail, int64_t examples, const std::function<Val(Val)>& make) {
  Val count;
  if (tail.valid()) {
    const Val counts = cast(greater(tail, 0.0), result.dtype());
    const int64_t rows = result.shape()[0] / examples;
    const Val of_rows =
        reshape(broadcast(counts, Shape{examples, rows}, {0}), Shape{result.shape()[0]});
    result = select(broadcast(greater(of_rows, 0.0), result.shape(), {0}), result, 0.0);
    count = reduce_sum(counts, {0});
  }
  const Val penalty = make(result);
  if (!penalty.valid()) return {};
  return count.valid() ? penalty / count : penalty / static_cast<double>(examples);
}

}  // namespace gradc
