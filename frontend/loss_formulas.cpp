// Formulas are Keras 3's, in forms that do not overflow.
//
// From probabilities, a softmax or sigmoid that ends the network is looked through: the loss then
// works on its operand, as TensorFlow's Keras does, which is exact where clipped probabilities are
// not. Other probabilities are clipped to [1e-7, 1 - 1e-7].
#include "frontend/loss_formulas.h"

#include "frontend/families.h"
#include "frontend/look_through.h"
#include "ir/op_attrs.h"

namespace gradc {
namespace {

constexpr double kEpsilon = 1e-7;

Val last_axis_sum(Val x) {
  return reduce_sum(x, {x.rank() - 1});
}

Val spread_rows(Val rows, Val like) {
  Ints dims;
  for (int64_t i = 0; i + 1 < like.rank(); ++i)
    dims.push_back(i);
  return broadcast(rows, like.shape(), dims);
}

Val clip_probability(Val p) {
  return minimum(maximum(p, kEpsilon), 1.0 - kEpsilon);
}

/// Targets of 0 and 1 as those of -1 and 1.
Val signs(Val target) {
  return select(equal(target, 0.0), -1.0, target);
}

/// Rows of length 1; the square is at least 1e-12, as Keras's normalize takes it.
Val unit_rows(Val x) {
  return x * spread_rows(rsqrt(maximum(last_axis_sum(x * x), 1e-12)), x);
}

/// Log of probabilities whose rows need not sum to 1, as Keras: normalise, clip, log.
Val log_probabilities(Val output) {
  return log(clip_probability(output / spread_rows(last_axis_sum(output), output)));
}

}  // namespace

std::optional<Val> operand_of(Val x, Op op) {
  const Graph& graph = x.builder().graph();
  const NodeId node = graph.def(x.id());
  if (!node.valid() || graph.node(node).op != op) return std::nullopt;
  if (op == Op::kSoftmax && graph.node(node).attrs.as<AxisAttrs>().axis != x.rank() - 1)
    return std::nullopt;
  return x.builder().wrap(graph.node(node).operands[0]);
}

Val build_mse(const Options&, Val output, Val target) {
  const Val error = output - target;
  return error * error;
}

Val build_mae(const Options&, Val output, Val target) {
  return abs(output - target);
}

Val build_mape(const Options&, Val output, Val target) {
  return abs((target - output) / maximum(abs(target), kEpsilon)) * 100.0;
}

Val build_msle(const Options&, Val output, Val target) {
  const Val error = log1p(maximum(output, kEpsilon)) - log1p(maximum(target, kEpsilon));
  return error * error;
}

// log(cosh(x)) = x + softplus(-2 x) - log(2).
Val build_log_cosh(const Options&, Val output, Val target) {
  constexpr double kLog2 = 0.693147180559945309417;
  const Val error = output - target;
  return error + error.builder().add(Op::kSoftplus, {error * -2.0}) - kLog2;
}

Val build_poisson(const Options&, Val output, Val target) {
  return output - target * log(output + kEpsilon);
}

Val build_hinge(const Options&, Val output, Val target) {
  return relu(1.0 - signs(target) * output);
}

Val build_squared_hinge(const Options& o, Val output, Val target) {
  const Val hinge = build_hinge(o, output, target);
  return hinge * hinge;
}

Val build_categorical_hinge(const Options&, Val output, Val target) {
  const Val right = last_axis_sum(target * output);
  const Val wrong = reduce_max((1.0 - target) * output, {output.rank() - 1});
  return relu(wrong - right + 1.0);
}

Val build_kl_divergence(const Options&, Val output, Val target) {
  const auto clipped = [](Val p) { return minimum(maximum(p, kEpsilon), 1.0); };
  const Val t = clipped(target);
  return last_axis_sum(t * log(t / clipped(output)));
}

Val build_cosine_similarity(const Options&, Val output, Val target) {
  return -last_axis_sum(unit_rows(output) * unit_rows(target));
}

Val build_huber(const Options& o, Val output, Val target) {
  const double delta = o.number("delta");
  const Val error = output - target;
  const Val size = abs(error);
  return select(less_equal(size, delta), error * error * 0.5, size * delta - 0.5 * delta * delta);
}

// From logits x and targets z: max(x, 0) - x z + log1p(exp(-|x|)).
Val build_binary_crossentropy(const Options& o, Val output, Val target) {
  const double smoothing = o.number("label_smoothing");
  if (smoothing > 0) target = target * (1.0 - smoothing) + 0.5 * smoothing;
  std::optional<Val> logits = output;
  if (!o.flag("from_logits")) logits = operand_of(output, Op::kSigmoid);
  if (logits) return output.builder().add(Op::kSigmoidCrossEntropy, {*logits, target});
  const Val p = clip_probability(output);
  return -(target * log(p) + (1.0 - target) * log(1.0 - p));
}

// Lin, Goyal, Girshick, He, Dollar: "Focal loss for dense object detection", 2017.
Val build_binary_focal(const Options& o, Val output, Val target) {
  const Val entropy = build_binary_crossentropy(o, output, target);
  const double smoothing = o.number("label_smoothing");
  if (smoothing > 0) target = target * (1.0 - smoothing) + 0.5 * smoothing;
  const Val p = o.flag("from_logits") ? sigmoid(output) : output;
  const Val right = target * p + (1.0 - target) * (1.0 - p);
  const Val weight = pow(1.0 - right, o.number("gamma"));
  if (!o.flag("apply_class_balancing")) return weight * entropy;
  const double alpha = o.number("alpha");
  return (target * alpha + (1.0 - target) * (1.0 - alpha)) * (weight * entropy);
}

Val build_categorical_crossentropy(const Options& o, Val output, Val target) {
  const double smoothing = o.number("label_smoothing");
  const auto classes = static_cast<double>(output.shape().back());
  if (smoothing > 0) target = target * (1.0 - smoothing) + smoothing / classes;
  std::optional<Val> logits = output;
  if (!o.flag("from_logits")) logits = operand_of(output, Op::kSoftmax);
  if (logits) return output.builder().add(Op::kSoftmaxCrossEntropy, {*logits, target});
  return -last_axis_sum(target * log_probabilities(output));
}

Val build_categorical_focal(const Options& o, Val output, Val target) {
  const double smoothing = o.number("label_smoothing");
  const auto classes = static_cast<double>(output.shape().back());
  if (smoothing > 0) target = target * (1.0 - smoothing) + smoothing / classes;
  if (o.flag("from_logits"))
    output = output.builder().add(Op::kSoftmax, {output}, make_attrs(AxisAttrs{output.rank() - 1}));
  const Val p = clip_probability(output / spread_rows(last_axis_sum(output), output));
  const Val weight = pow(1.0 - p, o.number("gamma")) * o.number("alpha");
  return -last_axis_sum(weight * (target * log(p)));
}

Val build_contrastive(const Options& o, Val output, Val target) {
  const Val near = relu(o.number("margin") - output);
  return target * output * output + (1.0 - target) * near * near;
}

Val sparse_categorical_crossentropy(const Options& o, Val output, Val target) {
  std::optional<Val> logits = output;
  if (!o.flag("from_logits")) logits = operand_of(output, Op::kSoftmax);
  if (logits) return output.builder().add(Op::kSparseSoftmaxCrossEntropy, {*logits, target});
  const Val picked = output.builder().add(Op::kOneHot, {target},
                                          make_attrs(OneHotAttrs{.depth = output.shape().back()}));
  return -last_axis_sum(cast(picked, output.dtype()) * log_probabilities(output));
}

}  // namespace gradc
