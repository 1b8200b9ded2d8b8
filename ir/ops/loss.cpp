// Cross-entropies from logits, one value per example, and one_hot. Composites with closed-form
// gradients: share minus target, so the shares are never differentiated.
#include "ir/ops/stack.h"

#include <cmath>
#include <limits>

namespace gradc::ops {

namespace {

// ---- classes ------------------------------------------------------------------------------------

// logits [.., C] -> one value per row; rank at least 1.
Result<Types> infer_rows(const InferArgs& args) {
  const TensorType& logits = args.operands[0];
  if (!is_float(logits.dtype) || logits.rank() < 1)
    return shape_error("{} takes float logits of rank at least 1, got {}", args.name,
                       to_string(logits));
  const int64_t last = logits.rank() - 1;
  return Types{logits.with(logits.shape.without(std::span(&last, 1)))};
}

Result<Types> infer_softmax_ce(const InferArgs& args) {
  GRADC_TRY_STATUS(check_equal_types(args));
  return infer_rows(args);
}

Result<Types> infer_sparse_ce(const InferArgs& args) {
  GRADC_TRY(const Types rows, infer_rows(args));
  const TensorType& labels = args.operands[1];
  if (!is_integer(labels.dtype) || labels.shape != rows[0].shape)
    return shape_error("{} of logits {} takes integer labels of shape {}, got {}", args.name,
                       to_string(args.operands[0]), to_string(rows[0].shape), to_string(labels));
  return rows;
}

// Rows are the last axis.
struct Rows {
  Val x;
  int64_t last;
  Ints leading;

  explicit Rows(Val logits) : x(logits), last(logits.rank() - 1) {
    for (int64_t axis = 0; axis < last; ++axis)
      leading.push_back(axis);
  }
  Val spread(Val rows) const { return broadcast(rows, x.shape(), leading); }
  Val sum(Val v) const { return reduce_sum(v, {last}); }
  Val shifted() const { return x - spread(reduce_max(x, {last})); }
  Val softmax() const { return x.builder().add(Op::kSoftmax, {x}, make_attrs(AxisAttrs{last})); }
  Val log_softmax() const {
    return x.builder().add(Op::kLogSoftmax, {x}, make_attrs(AxisAttrs{last}));
  }
  // True at each row's label.
  Val is_label(Val labels) const {
    const TensorType type = {labels.dtype(), x.shape()};
    return equal(iota(x.builder(), type, last), broadcast(labels, x.shape(), leading));
  }
};

std::vector<Val> expand_softmax_ce(const ExpandArgs& e) {
  const Rows rows(e.in(0));
  const Val shifted = rows.shifted();
  const Val log_sum = log(rows.sum(exp(shifted)));
  return {rows.sum(e.in(1) * (rows.spread(log_sum) - shifted))};
}

// d loss / d logits = softmax * sum(targets) - targets; the sum is 1 for true distributions only.
Grads softmax_ce_grad(const GradArgs& g) {
  const Rows rows(g.in(0));
  const Val targets = g.in(1);
  Grads grads(2);
  if (g.needs(0))
    grads[0] = (rows.softmax() * rows.spread(rows.sum(targets)) - targets) * rows.spread(g.dout());
  if (g.needs(1)) grads[1] = -(rows.log_softmax() * rows.spread(g.dout()));
  return grads;
}

// ln of the sum of exponentials of row `r`.
double log_sum_exp(const Tensor& x, int64_t start, int64_t width) {
  double largest = x[start];
  for (int64_t j = 1; j < width; ++j)
    largest = std::fmax(largest, x[start + j]);
  double sum = 0.0;
  for (int64_t j = 0; j < width; ++j)
    sum += std::exp(x[start + j] - largest);
  return largest + std::log(sum);
}

void eval_softmax_ce(const EvalArgs& e) {
  const int64_t width = e.in(0).type.shape.back();
  for (int64_t r = 0; r < e.out().size(); ++r) {
    const double total = log_sum_exp(e.in(0), r * width, width);
    for (int64_t j = r * width; j < (r + 1) * width; ++j)
      e.out()[r] += e.in(1)[j] * (total - e.in(0)[j]);
  }
}

std::vector<Val> expand_sparse_ce(const ExpandArgs& e) {
  const Rows rows(e.in(0));
  const Val shifted = rows.shifted();
  const Val log_sum = log(rows.sum(exp(shifted)));
  // A maximum rather than a sum: a label outside the classes picks nothing and costs infinity, the
  // logarithm of an impossible event, instead of a plausible number.
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const Val at_label = select(rows.is_label(e.in(1)), shifted, -kInfinity);
  return {log_sum - reduce_max(at_label, {rows.last})};
}

Grads sparse_ce_grad(const GradArgs& g) {
  if (!g.needs(0)) return Grads(2);
  const Rows rows(g.in(0));
  const Val share = rows.softmax();
  const Val target = cast(rows.is_label(g.in(1)), rows.x.dtype());
  return {(share - target) * rows.spread(g.dout()), Val()};
}

void eval_sparse_ce(const EvalArgs& e) {
  const int64_t width = e.in(0).type.shape.back();
  for (int64_t r = 0; r < e.out().size(); ++r) {
    const auto label = static_cast<int64_t>(e.in(1)[r]);
    // Labels are checked when data is read; one outside the classes is an impossible event.
    e.out()[r] = label < 0 || label >= width
                     ? std::numeric_limits<double>::infinity()
                     : log_sum_exp(e.in(0), r * width, width) - e.in(0)[r * width + label];
  }
}

Samples softmax_ce_samples() {
  return {sample({f32({3, 4}), f32({3, 4})}), sample({f32({2, 3, 5}), f32({2, 3, 5})}),
          sample({f32({4}), f32({4})})};
}

Samples sparse_ce_samples() {
  return {with_indices(sample({f32({3, 4}), typed(DType::kI32, {3})}), 4),
          with_indices(sample({f32({2, 3, 5}), typed(DType::kI64, {2, 3})}), 5)};
}

// ---- sigmoid ------------------------------------------------------------------------------------

std::vector<Val> expand_sigmoid_ce(const ExpandArgs& e) {
  const Val x = e.in(0);
  return {relu(x) - x * e.in(1) + log1p(exp(-abs(x)))};
}

Grads sigmoid_ce_grad(const GradArgs& g) {
  Grads grads(2);
  if (g.needs(0)) grads[0] = (sigmoid(g.in(0)) - g.in(1)) * g.dout();
  if (g.needs(1)) grads[1] = -(g.in(0) * g.dout());
  return grads;
}

// t * -ln(sigmoid(x)) + (1 - t) * -ln(1 - sigmoid(x)), each logarithm on its accurate side.
double sigmoid_ce_of(double x, double t) {
  const auto negative_log_sigmoid = [](double v) {
    return v < 0 ? -v + std::log1p(std::exp(v)) : std::log1p(std::exp(-v));
  };
  return t * negative_log_sigmoid(x) + (1.0 - t) * negative_log_sigmoid(-x);
}

Samples sigmoid_ce_samples() {
  return {sample({f32({3, 4}), f32({3, 4})}), sample_between({f32({5}), f32({5})}, -9.0, 9.0)};
}

// ---- one_hot ------------------------------------------------------------------------------------

Result<Types> infer_one_hot(const InferArgs& args) {
  const TensorType& indices = args.operands[0];
  if (!is_integer(indices.dtype))
    return shape_error("one_hot takes integer indices, got {}", to_string(indices));
  Ints dims = indices.shape.to_vector();
  dims.push_back(args.attr<OneHotAttrs>().depth);
  return one_result(args.name, DType::kF32, dims);
}

std::vector<Val> expand_one_hot(const ExpandArgs& e) {
  const Val indices = e.in(0);
  Shape shape = indices.shape();
  shape.push_back(e.attr<OneHotAttrs>().depth);
  Ints leading(static_cast<size_t>(indices.rank()));
  for (size_t axis = 0; axis < leading.size(); ++axis)
    leading[axis] = static_cast<int64_t>(axis);
  const Val classes = iota(e.builder, {indices.dtype(), shape}, shape.rank() - 1);
  return {cast(equal(classes, broadcast(indices, shape, leading)), DType::kF32)};
}

void eval_one_hot(const EvalArgs& e) {
  const int64_t depth = e.attr<OneHotAttrs>().depth;
  for (int64_t i = 0; i < e.in(0).size(); ++i) {
    const auto index = static_cast<int64_t>(e.in(0)[i]);
    if (index >= 0 && index < depth) e.out()[i * depth + index] = 1.0;
  }
}

Samples one_hot_samples() {
  return {with_indices(sample({typed(DType::kI32, {4})}, OneHotAttrs{5}), 7),
          with_indices(sample({typed(DType::kI64, {2, 3})}, OneHotAttrs{4}), 4)};
}

OperandAxes sparse_ce_axes(const AxesArgs& a) {
  return {same_axes(a.rank(0), std::array{int64_t{a.rank(0) - 1}}), same_axes(a.rank(1))};
}

}  // namespace

constinit const OpDef kSoftmaxCrossEntropy{
    .op = Op::kSoftmaxCrossEntropy,
    .name = "softmax_cross_entropy",
    .summary = "Cross-entropy of the softmax of the last axis against target distributions.",
    .formula = "-sum over c of targets[c] * log_softmax(logits)[c]",
    .operands = "logits targets",
    .traits = kTraitSmooth,
    .infer = infer_softmax_ce,
    .eval = eval_softmax_ce,
    .grad = softmax_ce_grad,
    .expand = expand_softmax_ce,
    .stack = [](const StackArgs& s) { return stack_call(s, Op::kSoftmaxCrossEntropy, {}); },
    .lowering = Lowering::kComposite,
    .samples = softmax_ce_samples,
    .axes = same_but_last,
};

constinit const OpDef kSparseSoftmaxCrossEntropy{
    .op = Op::kSparseSoftmaxCrossEntropy,
    .name = "sparse_softmax_cross_entropy",
    .summary =
        "Cross-entropy of the softmax of the last axis against integer labels; infinite for a "
        "label that is no class.",
    .formula = "-log_softmax(logits)[label]",
    .operands = "logits labels",
    .traits = kTraitSmooth,
    .infer = infer_sparse_ce,
    .eval = eval_sparse_ce,
    .grad = sparse_ce_grad,
    .expand = expand_sparse_ce,
    .stack = [](const StackArgs& s) { return stack_call(s, Op::kSparseSoftmaxCrossEntropy, {}); },
    .lowering = Lowering::kComposite,
    .samples = sparse_ce_samples,
    .axes = sparse_ce_axes,
};

constinit const OpDef kSigmoidCrossEntropy{
    .op = Op::kSigmoidCrossEntropy,
    .name = "sigmoid_cross_entropy",
    .summary = "Cross-entropy of the sigmoid of each element against a target probability.",
    .formula = "max(x, 0) - x t + ln(1 + e^-|x|)",
    .operands = "logits targets",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return sigmoid_ce_of(x[0], x[1]); },
    .grad = sigmoid_ce_grad,
    .expand = expand_sigmoid_ce,
    .lowering = Lowering::kComposite,
    .samples = sigmoid_ce_samples,
};

constinit const OpDef kOneHot{
    .op = Op::kOneHot,
    .name = "one_hot",
    .summary = "f32 rows with 1 at the index and 0 elsewhere; all 0 for an index outside.",
    .operands = "indices",
    .attrs = &kAttrVtable<OneHotAttrs>,
    .infer = infer_one_hot,
    .eval = eval_one_hot,
    .no_grad = "the operand is an integer",
    .expand = expand_one_hot,
    .stack =
        [](const StackArgs& s) {
          return stack_call(s, Op::kOneHot, make_attrs(s.attr<OneHotAttrs>()));
        },
    .lowering = Lowering::kComposite,
    .samples = one_hot_samples,
    .axes = [](const AxesArgs& a) { return OperandAxes{same_axes(a.rank(0))}; },
};

}  // namespace gradc::ops
