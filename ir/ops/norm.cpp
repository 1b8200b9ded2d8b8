// Composites that normalise rows: softmax, log_softmax, layer_norm. The gradients are closed forms,
// which need one pass per row where the expansion's would need several.
#include "ir/ops/stack.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

namespace gradc::ops {

namespace {

// ---- softmax and log_softmax --------------------------------------------------------------------

Result<Types> infer_softmax(const InferArgs& args) {
  GRADC_TRY_STATUS(check_float(args));
  GRADC_TRY_STATUS(
      check_axes(args.name, std::span(&args.attr<AxisAttrs>().axis, 1), args.operands[0]));
  return Types{args.operands[0]};
}

// One value per row, repeated along `axis` of a tensor like x.
Val along(Val rows, Val x, int64_t axis) {
  return broadcast(rows, x.shape(), other_axes(x.rank(), std::span(&axis, 1)));
}

std::vector<Val> expand_softmax(const ExpandArgs& e) {
  const Val x = e.in(0);
  const int64_t axis = e.attr<AxisAttrs>().axis;
  const Val powers = exp(x - along(reduce_max(x, {axis}), x, axis));
  return {powers / along(reduce_sum(powers, {axis}), x, axis)};
}

std::vector<Val> expand_log_softmax(const ExpandArgs& e) {
  const Val x = e.in(0);
  const int64_t axis = e.attr<AxisAttrs>().axis;
  const Val shifted = x - along(reduce_max(x, {axis}), x, axis);
  return {shifted - along(log(reduce_sum(exp(shifted), {axis})), x, axis)};
}

Grads softmax_grad(const GradArgs& g) {
  const int64_t axis = g.attr<AxisAttrs>().axis;
  const Val y = g.out();
  return {y * (g.dout() - along(reduce_sum(g.dout() * y, {axis}), y, axis))};
}

Grads log_softmax_grad(const GradArgs& g) {
  const int64_t axis = g.attr<AxisAttrs>().axis;
  const Val y = g.out();
  return {g.dout() - exp(y) * along(reduce_sum(g.dout(), {axis}), y, axis)};
}

// Reference: visits the places of each row.
template <class Visit>
void for_each_row(const EvalArgs& e, Visit visit) {
  const AxisSplit split(e.in(0).type.shape, e.attr<AxisAttrs>().axis);
  std::vector<int64_t> row(static_cast<size_t>(split.extent));
  for (int64_t o = 0; o < split.outer; ++o) {
    for (int64_t i = 0; i < split.inner; ++i) {
      for (int64_t k = 0; k < split.extent; ++k)
        row[static_cast<size_t>(k)] = split.at(o, k, i);
      visit(row);
    }
  }
}

// Each share directly by its definition, 1 / sum over j of exp(x_j - x_i); that of a logit of minus
// infinity beside a finite one is 0.
void eval_softmax(const EvalArgs& e) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for_each_row(e, [&](const std::vector<int64_t>& row) {
    const bool finite =
        std::any_of(row.begin(), row.end(), [&](int64_t i) { return std::isfinite(e.in(0)[i]); });
    for (int64_t i : row) {
      double sum = 0.0;
      for (int64_t j : row)
        sum += std::exp(e.in(0)[j] - e.in(0)[i]);
      e.out()[i] = finite && e.in(0)[i] == -kInfinity ? 0.0 : 1.0 / sum;
    }
  });
}

void eval_log_softmax(const EvalArgs& e) {
  for_each_row(e, [&](const std::vector<int64_t>& row) {
    for (int64_t i : row) {
      double largest = 0.0;  // x_i - x_i is among the differences
      for (int64_t j : row)
        largest = std::fmax(largest, e.in(0)[j] - e.in(0)[i]);
      double sum = 0.0;
      for (int64_t j : row)
        sum += std::exp(e.in(0)[j] - e.in(0)[i] - largest);
      e.out()[i] = -(largest + std::log(sum));
    }
  });
}

Samples softmax_samples() {
  return {sample({f32({3, 4})}, AxisAttrs{1}), sample({f32({3, 4})}, AxisAttrs{0}),
          sample({f32({2, 3, 2})}, AxisAttrs{1}), sample({f32({5})}, AxisAttrs{0})};
}

// ---- layer_norm ---------------------------------------------------------------------------------

Result<Types> infer_layer_norm(const InferArgs& args) {
  GRADC_TRY_STATUS(check_float(args));
  const auto& attrs = args.attr<LayerNormAttrs>();
  const TensorType& x = args.operands[0];
  if (attrs.num_axes < 1 || attrs.num_axes > x.rank())
    return attr_error("layer_norm over {} axes of {}", attrs.num_axes, to_string(x));
  const TensorType row = x.with(Shape(x.shape.dims().last(static_cast<size_t>(attrs.num_axes))));
  for (const TensorType& type : args.operands.subspan(1)) {
    if (type != row)
      return shape_error(
          "layer_norm of {} over its last {} axes takes gamma and beta of {}, got {}", to_string(x),
          attrs.num_axes, to_string(row), to_string(type));
  }
  if (!(attrs.epsilon >= 0.0))
    return attr_error("layer_norm epsilon {} is negative", attrs.epsilon);
  return Types{x};
}

// The pieces of a normalisation over the last axes of x.
struct Rows {
  Val x;
  Ints normalised;  // the last axes
  Ints leading;     // the others

  Rows(Val value, int64_t num_axes) : x(value) {
    for (int64_t axis = 0; axis < x.rank(); ++axis)
      (axis < x.rank() - num_axes ? leading : normalised).push_back(axis);
  }
  Val mean(Val v) const { return reduce_mean(v, normalised); }
  Val spread(Val rows) const { return broadcast(rows, x.shape(), leading); }
  Val parameter(Val p) const { return broadcast(p, x.shape(), normalised); }
};

std::vector<Val> expand_layer_norm(const ExpandArgs& e) {
  const auto& attrs = e.attr<LayerNormAttrs>();
  const Rows rows(e.in(0), attrs.num_axes);
  const Val centered = rows.x - rows.spread(rows.mean(rows.x));
  const Val scale = rsqrt(rows.mean(centered * centered) + attrs.epsilon);
  return {centered * rows.spread(scale) * rows.parameter(e.in(1)) + rows.parameter(e.in(2))};
}

// With h = (x - mean) r and d = dout gamma: dx = r (d - mean(d) - h mean(d h)).
Grads layer_norm_grad(const GradArgs& g) {
  const auto& attrs = g.attr<LayerNormAttrs>();
  const Rows rows(g.in(0), attrs.num_axes);
  const Val centered = rows.x - rows.spread(rows.mean(rows.x));
  const Val scale = rsqrt(rows.mean(centered * centered) + attrs.epsilon);
  const Val normal = centered * rows.spread(scale);
  Grads grads(3);
  if (g.needs(0)) {
    const Val d = g.dout() * rows.parameter(g.in(1));
    grads[0] = (d - rows.spread(rows.mean(d)) - normal * rows.spread(rows.mean(d * normal))) *
               rows.spread(scale);
  }
  if (g.needs(1)) grads[1] = reduce_sum(g.dout() * normal, rows.leading);
  if (g.needs(2)) grads[2] = reduce_sum(g.dout(), rows.leading);
  return grads;
}

void eval_layer_norm(const EvalArgs& e) {
  const double epsilon = e.attr<LayerNormAttrs>().epsilon;
  const int64_t width = e.in(1).size();
  const auto count = static_cast<double>(width);
  for (int64_t start = 0; start < e.in(0).size(); start += width) {
    double sum = 0.0;
    double squares = 0.0;
    for (int64_t i = 0; i < width; ++i) {
      sum += e.in(0)[start + i];
      squares += e.in(0)[start + i] * e.in(0)[start + i];
    }
    const double variance = (squares - sum * sum / count) / count;
    for (int64_t i = 0; i < width; ++i) {
      const double normal = (e.in(0)[start + i] - sum / count) / std::sqrt(variance + epsilon);
      e.out()[start + i] = normal * e.in(1)[i] + e.in(2)[i];
    }
  }
}

Samples layer_norm_samples() {
  return {sample({f32({3, 5}), f32({5}), f32({5})}, LayerNormAttrs{}),
          sample({f32({2, 3, 4}), f32({4}), f32({4})}, LayerNormAttrs{1, 1e-5}),
          sample({f32({2, 3, 2}), f32({3, 2}), f32({3, 2})}, LayerNormAttrs{2, 1e-3})};
}

}  // namespace

constinit const OpDef kSoftmax{
    .op = Op::kSoftmax,
    .name = "softmax",
    .summary = "Exponentials normalised to sum to one along an axis.",
    .formula = "e^(x - max) / sum of e^(x - max)",
    .operands = "x",
    .attrs = &kAttrVtable<AxisAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_softmax,
    .eval = eval_softmax,
    .grad = softmax_grad,
    .expand = expand_softmax,
    .stack =
        [](const StackArgs& s) {
          return stack_call(s, Op::kSoftmax, make_attrs(AxisAttrs{s.attr<AxisAttrs>().axis + 1}));
        },
    .lowering = Lowering::kComposite,
    .samples = softmax_samples,
};

constinit const OpDef kLogSoftmax{
    .op = Op::kLogSoftmax,
    .name = "log_softmax",
    .summary = "The logarithm of softmax, without loss for small shares.",
    .formula = "x - max - ln sum of e^(x - max)",
    .operands = "x",
    .attrs = &kAttrVtable<AxisAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_softmax,
    .eval = eval_log_softmax,
    .grad = log_softmax_grad,
    .expand = expand_log_softmax,
    .stack =
        [](const StackArgs& s) {
          return stack_call(s, Op::kLogSoftmax,
                            make_attrs(AxisAttrs{s.attr<AxisAttrs>().axis + 1}));
        },
    .lowering = Lowering::kComposite,
    .samples = softmax_samples,
};

constinit const OpDef kLayerNorm{
    .op = Op::kLayerNorm,
    .name = "layer_norm",
    .summary = "Normalises over the last axes to mean 0 and variance 1, then scales and shifts.",
    .formula = "(x - mean) / sqrt(variance + epsilon) * gamma + beta",
    .operands = "x gamma beta",
    .attrs = &kAttrVtable<LayerNormAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_layer_norm,
    .eval = eval_layer_norm,
    .grad = layer_norm_grad,
    .expand = expand_layer_norm,
    .stack = [](const StackArgs& s) -> std::vector<Val> {
      if (s.stacked[1] || s.stacked[2]) return {};
      return s.builder.add_multi(Op::kLayerNorm, {s.in(0), s.in(1), s.in(2)},
                                 make_attrs(s.attr<LayerNormAttrs>()));
    },
    .lowering = Lowering::kComposite,
    .samples = layer_norm_samples,
};

}  // namespace gradc::ops
