// Connectionist temporal classification: the forward variables of Graves et al. (2006) in
// logarithms, by a scan over the steps; the gradient is the scan's.
//
// Labels and blanks are held apart: label[i] and blank[i], the one before it, are log probabilities
// of all ways to be in that state after the steps so far. A step leads to
//
//   blank'[i] = log(blank[i] + label[i - 1])                     + log p(blank)
//   label'[i] = log(label[i] + blank[i] + label[i - 1] if they differ) + log p(label i)
#include "frontend/layers/loop_body.h"
#include "frontend/whole_losses.h"

#include <limits>

namespace gradc {
namespace {

/// The log probability of what is impossible: less than any sum of others, and of all of it twice
/// the sum is finite.
constexpr double kImpossible = -1e30;

/// log(e^a + e^b); both have a half of the slope where they are equal.
Val log_add(Val a, Val b) {
  const Val first = greater(a, b);
  const Val high = select(first, a, b);
  const Val low = select(first, b, a);
  return high + high.builder().add(Op::kSoftplus, {low - high});
}

/// [batch, n] as [batch, n + 1]: the column before.
Val shifted(Val x) {
  return pad(x, {0, 1}, {0, 0}, kImpossible);
}

Val columns(Val x, int64_t from, int64_t to) {
  return slice(x, {0, from}, {x.shape()[0], to});
}

Val steps_first(Val x) {
  return x.rank() == 2 ? transpose(x, {1, 0}) : transpose(x, {1, 0, 2});
}

struct Labels {
  explicit Labels(Val target) : batch(target.shape()[0]), most(target.shape()[1]) {
    Builder& builder = target.builder();
    const Val there = not_equal(target, builder.splat(0.0, target.type()));
    count = reduce_sum(cast(there, DType::kI32), {1});
    const Val before =
        slice(pad(target, {0, 1}, {0, 0}), {0, 0}, {batch, most});  // 0 before the first
    differ = not_equal(target, before);
  }
  /// Column `count` of [batch, most + 1].
  Val at_count(Val states) const {
    const Val index = iota(states.builder(), {DType::kI32, states.shape()}, 1);
    return reduce_sum(select(equal(index, broadcast(count, states.shape(), {0})), states, 0.0),
                      {1});
  }

  int64_t batch;
  int64_t most;
  Val count;   ///< i32[batch]
  Val differ;  ///< bool[batch, most]: from the label before
};

}  // namespace

Val build_ctc(const WholeLossArgs& a) {
  Builder& builder = a.output.builder();
  const Shape shape = a.output.shape();
  const int64_t batch = shape[0], steps = shape[1], classes = shape[2];
  const DType dtype = a.output.dtype();
  const Labels labels(a.target);
  const Val log_p = builder.add(Op::kLogSoftmax, {a.output}, make_attrs(AxisAttrs{2}));
  const Val one_hot =
      cast(builder.add(Op::kOneHot, {a.target}, make_attrs(OneHotAttrs{.depth = classes})), dtype);
  const Val log_labels = matmul(log_p, one_hot, false, true);  // [batch, steps, labels]
  const Val log_blank = reshape(slice(log_p, {0, 0, 0}, {batch, steps, 1}), Shape{batch, steps});

  const TensorType states{dtype, Shape{batch, labels.most}};
  const Val nothing = builder.splat(kImpossible, states);
  const Val start =
      pad(builder.splat(0.0, {dtype, Shape{batch, 1}}), {0, 0}, {0, labels.most}, kImpossible);
  layers::LoopBody body(builder, steps, false);
  const Val blank = body.carry(start, "blank");
  const Val label = body.carry(nothing, "label");
  const Val p_blank = body.slice(steps_first(log_blank), "log_blank");
  const Val p_labels = body.slice(steps_first(log_labels), "log_labels");
  const Val counts = a.steps.valid() ? body.slice(steps_first(a.steps), "counts") : Val();
  const Val differ = body.whole(labels.differ, "differ");

  const Val before = shifted(label);  // [batch, labels + 1]
  const Val skipped = select(differ, columns(before, 0, labels.most), kImpossible);
  Val next_blank = log_add(blank, before) + broadcast(p_blank, blank.shape(), {0});
  Val next_label = log_add(log_add(label, columns(blank, 0, labels.most)), skipped) + p_labels;
  if (counts.valid()) {
    next_blank = select(broadcast(counts, blank.shape(), {0}), next_blank, blank);
    next_label = select(broadcast(counts, label.shape(), {0}), next_label, label);
  }
  body.yield(next_blank);
  body.yield(next_label);
  const std::vector<Val> last = body.run();

  const Val log_likelihood = log_add(labels.at_count(last[0]), labels.at_count(shifted(last[1])));
  const Val possible = greater(log_likelihood, 0.5 * kImpossible);
  const double otherwise =
      a.options.flag("zero_infinity") ? 0.0 : std::numeric_limits<double>::infinity();
  return select(possible, -log_likelihood, otherwise);
}

}  // namespace gradc
