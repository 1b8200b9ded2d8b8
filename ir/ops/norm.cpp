// Composites that normalise rows or channels: softmax, log_softmax, layer_norm, batch_norm. The
// gradients are closed forms, which need one or two passes where the expansion's would need
// several.
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

// ---- batch_norm ---------------------------------------------------------------------------------

Result<Types> infer_batch_norm(const InferArgs& args) {
  GRADC_TRY_STATUS(check_float(args));
  const auto& attrs = args.attr<BatchNormAttrs>();
  const TensorType& x = args.operands[0];
  GRADC_TRY_STATUS(check_axes(args.name, std::span(&attrs.axis, 1), x));
  const TensorType channel = x.with(Shape{x.shape[static_cast<int>(attrs.axis)]});
  for (const TensorType& type : args.operands.subspan(1)) {
    if (type != channel)
      return shape_error("batch_norm of {} along axis {} takes gamma and beta of {}, got {}",
                         to_string(x), attrs.axis, to_string(channel), to_string(type));
  }
  if (!(attrs.epsilon >= 0.0))
    return attr_error("batch_norm epsilon {} is negative", attrs.epsilon);
  return Types{x, channel, channel};
}

/// The pieces of a normalisation of each channel along one axis.
struct Channels {
  Val x;
  int64_t axis;
  Ints others;
  double count;  // of a channel's elements

  Channels(Val value, int64_t along)
      : x(value),
        axis(along),
        others(other_axes(x.rank(), std::span(&along, 1))),
        count(static_cast<double>(x.type().num_elements() / x.shape()[static_cast<int>(along)])) {}
  Val sum(Val v) const { return reduce_sum(v, others); }
  Val spread(Val channel) const { return broadcast(channel, x.shape(), {axis}); }
};

std::vector<Val> expand_batch_norm(const ExpandArgs& e) {
  const auto& attrs = e.attr<BatchNormAttrs>();
  const Channels channels(e.in(0), attrs.axis);
  const Val mean = reduce_mean(channels.x, channels.others);
  const Val centered = channels.x - channels.spread(mean);
  const Val variance = reduce_mean(centered * centered, channels.others);
  const Val scale = rsqrt(variance + attrs.epsilon) * e.in(1);
  return {centered * channels.spread(scale) + channels.spread(e.in(2)), mean, variance};
}

// With c = x - mean and r = 1 / sqrt(variance + epsilon), means over a channel's elements:
// dx = gamma r (dout - mean(dout) - c r^2 mean(dout c)). Two passes: both sums, which are the
// gradients of beta and gamma too, then dx.
Grads batch_norm_grad(const GradArgs& g) {
  const auto& attrs = g.attr<BatchNormAttrs>();
  const Channels channels(g.in(0), attrs.axis);
  const Val centered = channels.x - channels.spread(g.out(1));
  Grads grads(3);
  const auto add = [&](Val part) { grads[0] = grads[0].valid() ? grads[0] + part : part; };
  if (g.dout(0).valid()) {
    const Val r = rsqrt(g.out(2) + attrs.epsilon);
    const Val sum = channels.sum(g.dout(0));
    const Val slope = channels.sum(g.dout(0) * centered) * r;
    grads[0] = (g.dout(0) - channels.spread(sum / channels.count) -
                centered * channels.spread(slope * r / channels.count)) *
               channels.spread(r * g.in(1));
    grads[1] = slope;
    grads[2] = sum;
  }
  if (g.dout(1).valid()) add(channels.spread(g.dout(1) / channels.count));
  if (g.dout(2).valid()) add(centered * channels.spread(g.dout(2) * (2.0 / channels.count)));
  return grads;
}

void eval_batch_norm(const EvalArgs& e) {
  const auto& attrs = e.attr<BatchNormAttrs>();
  const AxisSplit split(e.in(0).type.shape, attrs.axis);
  const auto count = static_cast<double>(split.outer * split.inner);
  for (int64_t channel = 0; channel < split.extent; ++channel) {
    const auto each = [&](auto visit) {
      for (int64_t o = 0; o < split.outer; ++o) {
        for (int64_t i = 0; i < split.inner; ++i)
          visit(split.at(o, channel, i));
      }
    };
    double sum = 0.0;
    double squares = 0.0;
    each([&](int64_t at) {
      sum += e.in(0)[at];
      squares += e.in(0)[at] * e.in(0)[at];
    });
    const double variance = (squares - sum * sum / count) / count;
    each([&](int64_t at) {
      const double normal = (e.in(0)[at] - sum / count) / std::sqrt(variance + attrs.epsilon);
      e.out()[at] = normal * e.in(1)[channel] + e.in(2)[channel];
    });
    e.out(1)[channel] = sum / count;
    e.out(2)[channel] = variance;
  }
}

Samples batch_norm_samples() {
  return {sample({f32({5, 3}), f32({3}), f32({3})}, BatchNormAttrs{1, 1e-3}),
          sample({f32({2, 3, 2, 2}), f32({2}), f32({2})}, BatchNormAttrs{3, 1e-2}),
          sample({f32({3, 2, 4}), f32({2}), f32({2})}, BatchNormAttrs{1, 1e-3}),
          sample({f32({2, 4}), f32({2}), f32({2})}, BatchNormAttrs{0, 1e-3})};
}

OperandAxes layer_norm_axes(const AxesArgs& a) {
  const int first = a.rank(0) - static_cast<int>(a.attr<LayerNormAttrs>().num_axes);
  OperandAxes map = {same_axes(a.rank(0))};
  std::fill(map[0].begin() + first, map[0].end(), kMeets);
  for (size_t i = 1; i < a.operands.size(); ++i) {
    map.push_back(same_axes(a.rank(i)));
    for (int64_t& axis : map.back())
      axis += first;
  }
  return map;
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
    .axes = same_but_axis,
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
    .axes = same_but_axis,
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
    .axes = layer_norm_axes,
};

constinit const OpDef kBatchNorm{
    .op = Op::kBatchNorm,
    .name = "batch_norm",
    .summary =
        "Normalises each channel along an axis to mean 0 and variance 1, then scales and "
        "shifts; gives the mean and the biased variance of each too.",
    .formula = "(x - mean) / sqrt(variance + epsilon) * gamma + beta",
    .operands = "x gamma beta",
    .results = "result mean variance",
    .attrs = &kAttrVtable<BatchNormAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_batch_norm,
    .eval = eval_batch_norm,
    .grad = batch_norm_grad,
    .expand = expand_batch_norm,
    .lowering = Lowering::kComposite,
    .samples = batch_norm_samples,
};

}  // namespace gradc::ops
