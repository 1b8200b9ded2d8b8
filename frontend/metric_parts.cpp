#include "frontend/metric_parts.h"

#include "frontend/look_through.h"
#include "ir/op_attrs.h"

#include <tuple>
#include <utility>

namespace gradc {

Val as_float(Val condition) {
  return cast(condition, DType::kF32);
}

Val ranking(Val output) {
  return operand_of(output, Op::kSoftmax).value_or(output);
}

namespace {

/// One-hot rows of class numbers.
Val rows_of(Val classes, int64_t count) {
  const Val rows =
      classes.builder().add(Op::kOneHot, {classes}, make_attrs(OneHotAttrs{.depth = count}));
  return as_float(not_equal(rows, rows.builder().splat(0.0, rows.type())));
}

/// Guessed and true classes as one-hot rows. A single output is of two classes.
std::pair<Val, Val> classes_of(Val output, Val target) {
  const int64_t last = output.rank() - 1;
  if (target.rank() < output.rank()) {
    const int64_t count = output.shape().back();
    return {rows_of(argmax(ranking(output), last), count),
            rows_of(cast(target, DType::kI32), count)};
  }
  if (last == 0 || output.shape().back() == 1) {
    const auto both = [&](Val x) {
      const Val is = as_float(greater(x, 0.5));
      Shape shape = is.shape();
      if (last == 0) shape = Shape{shape[0], 1};
      const Val column = reshape(is, shape);
      return concat({1.0 - column, column}, column.rank() - 1);
    };
    return {both(output), both(target)};
  }
  const int64_t count = output.shape().back();
  return {rows_of(argmax(ranking(output), last), count), rows_of(argmax(target, last), count)};
}

/// 1 where an output is one of the k largest of its position; of equal ones the first are.
Val among_largest(Val output, int64_t k) {
  Shape wide = output.shape();
  const int64_t count = wide.back(), last = output.rank();
  wide.push_back(count);
  Ints dims;
  for (int64_t axis = 0; axis < last; ++axis)
    dims.push_back(axis);
  const Val own = broadcast(output, wide, dims);
  dims.back() = last;
  const Val other = broadcast(output, wide, dims);
  Builder& b = output.builder();
  const TensorType pairs = {DType::kI32, Shape{count, count}};
  const Val before = as_float(less(iota(b, pairs, 1), iota(b, pairs, 0)));
  const Val ahead = as_float(greater(other, own)) +
                    as_float(equal(other, own)) * broadcast(before, wide, {last - 1, last});
  return as_float(less(reduce_sum(ahead, {last}), static_cast<double>(k)));
}

/// One class's column.
Val column(Val x, int64_t index) {
  const Shape shape = x.shape();
  std::vector<int64_t> start(static_cast<size_t>(x.rank()), 0);
  std::vector<int64_t> limit(shape.begin(), shape.end());
  start.back() = index;
  limit.back() = index + 1;
  return slice(x, start, limit);
}

/// What is guessed and what is there, 0 or 1 for each output: of all classes or of one.
std::pair<Val, Val> chosen(const Component& metric, Val output, Val target) {
  const bool sparse = target.rank() < output.rank();
  const bool ranked = metric.options.defines("top_k") && metric.options.has("top_k");
  Val guess, truth;
  if (sparse) {
    std::tie(guess, truth) = classes_of(output, target);
  } else {
    guess = as_float(greater(output, metric.options.number("threshold")));
    truth = as_float(greater(target, 0.5));
  }
  if (ranked && output.rank() > 1)
    guess = among_largest(ranking(output), metric.options.integer("top_k"));
  if (!metric.options.has("class_id") || output.rank() == 1) return {guess, truth};
  const int64_t id = metric.options.integer("class_id");
  return {column(guess, id), column(truth, id)};
}

Val sum_of_row(Val x) {
  return reduce_sum(x, {x.rank() - 1});
}

}  // namespace

Parts precision_parts(const Component& metric, Val output, Val target) {
  const auto [guess, truth] = chosen(metric, output, target);
  return {{guess * truth}, {guess}};
}

Parts recall_parts(const Component& metric, Val output, Val target) {
  const auto [guess, truth] = chosen(metric, output, target);
  return {{guess * truth}, {truth}};
}

Parts agreement_parts(const Component&, Val output, Val target) {
  const auto [guess, truth] = classes_of(output, target);
  return {{sum_of_row(guess * truth)}, {guess, 1}, {truth, 1}};
}

Parts overlap_parts(const Component& metric, Val output, Val target) {
  auto [guess, truth] = classes_of(output, target);
  if (metric.options.has("target_class_ids")) {
    std::vector<Val> guesses, truths;
    for (const int64_t id : metric.options.ints("target_class_ids")) {
      guesses.push_back(column(guess, id));
      truths.push_back(column(truth, id));
    }
    guess = concat(guesses, guess.rank() - 1);
    truth = concat(truths, truth.rank() - 1);
  }
  return {{guess * truth, 1}, {guess + truth - guess * truth, 1}};
}

// (1 + b^2) found / (guessed + b^2 present), over everything or of each class.
Parts fbeta_parts(const Component& metric, Val output, Val target) {
  const double beta = metric.options.defines("beta") ? metric.options.number("beta") : 1.0;
  const auto [guess, truth] = chosen(metric, output, target);
  const Val above = guess * truth * (1.0 + beta * beta);
  const Val below = guess + truth * (beta * beta);
  if (metric.options.text("average") == "micro") return {{above}, {below}};
  Parts parts = {{above, 1}, {below, 1}};
  if (metric.options.text("average") == "weighted") parts.push_back({truth, 1});
  return parts;
}

MetricFormula average_formula(const Component& metric) {
  const std::string& average = metric.options.text("average");
  return average == "micro"   ? MetricFormula::kQuotient
         : average == "macro" ? MetricFormula::kMeanQuotient
                              : MetricFormula::kWeightedQuotient;
}

// Thresholds as Keras's: evenly from 0 to 1, the first below and the last above all outputs.
Parts auc_parts(const Component& metric, Val output, Val target) {
  const int64_t count = metric.options.integer("num_thresholds");
  std::vector<double> steps;
  for (int64_t i = 0; i < count; ++i)
    steps.push_back(static_cast<double>(i) / static_cast<double>(count - 1));
  steps.front() = -1e-7;
  steps.back() = 1.0 + 1e-7;
  if (metric.options.flag("from_logits")) output = sigmoid(output);
  Shape shape = output.shape();
  shape.push_back(count);
  Ints leading;
  for (int64_t axis = 0; axis < output.rank(); ++axis)
    leading.push_back(axis);
  const Val limits = output.builder().constant({output.dtype(), Shape{count}}, std::move(steps));
  const Val above = as_float(
      greater(broadcast(output, shape, leading), broadcast(limits, shape, {output.rank()})));
  const Val is = as_float(greater(target, 0.5));
  const Val spread = broadcast(is, shape, leading);
  return {{above * spread, 1}, {above * (1.0 - spread), 1}, {is}, {1.0 - is}};
}

MetricFormula auc_formula(const Component& metric) {
  return metric.options.text("curve") == "ROC" ? MetricFormula::kAreaRoc : MetricFormula::kAreaPr;
}

Parts r_squared_parts(const Component&, Val output, Val target) {
  if (output.rank() == 1) {
    const Shape column = {output.shape()[0], 1};
    output = reshape(output, column);
    target = reshape(target, column);
  }
  const Val error = output - target;
  return {{error * error, 1}, {target, 1}, {target * target, 1}};
}

}  // namespace gradc
