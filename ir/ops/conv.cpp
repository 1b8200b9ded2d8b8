// Convolution over 1 to 3 spatial dimensions and its two gradients. The three share one trilinear
// form sum over taps of x * w * y, so each one's gradients are the other two.
#include "ir/contraction_types.h"
#include "ir/conv_geometry.h"
#include "ir/ops/stack.h"

namespace gradc::ops {

namespace {

// ---- inference ----------------------------------------------------------------------------------

Result<ContractionTypes> types_of(const InferArgs& args) {
  return contraction_types(args.name, args.operands[0].dtype, args.operands[1].dtype,
                           args.attr<ConvAttrs>());
}

Result<Types> infer_conv(const InferArgs& args) {
  const auto& attrs = args.attr<ConvAttrs>();
  GRADC_TRY(const ContractionTypes types, types_of(args));
  GRADC_TRY(const ConvGeometry g,
            conv_geometry(args.name, args.operands[0], args.operands[1], attrs));
  if (!attrs.shape.empty()) return attr_error("conv takes no shape, it follows from the operands");
  return one_result(args.name, types.result, g.output_shape().dims());
}

// `dy` must have the shape that the convolution of x and w gives.
Status check_output(const InferArgs& args, const TensorType& x, const TensorType& w,
                    const TensorType& dy) {
  GRADC_TRY(const ConvGeometry g, conv_geometry(args.name, x, w, args.attr<ConvAttrs>()));
  const TensorType y = dy.with(g.output_shape());
  if (dy != y)
    return shape_error("{}: the convolution {} * {} gives {}, dy is {}", args.name, to_string(x),
                       to_string(w), to_string(y), to_string(dy));
  return Ok{};
}

Result<Types> infer_input_grad(const InferArgs& args) {
  const TensorType& dy = args.operands[0];
  GRADC_TRY(const ContractionTypes types, types_of(args));
  GRADC_TRY(const TensorType x,
            checked_type(args.name, types.result, args.attr<ConvAttrs>().shape));
  GRADC_TRY_STATUS(check_output(args, x, args.operands[1], dy));
  return Types{x};
}

Result<Types> infer_filter_grad(const InferArgs& args) {
  const TensorType& x = args.operands[0];
  GRADC_TRY(const ContractionTypes types, types_of(args));
  GRADC_TRY(const TensorType w,
            checked_type(args.name, types.result, args.attr<ConvAttrs>().shape));
  GRADC_TRY_STATUS(check_output(args, x, w, args.operands[1]));
  return Types{w};
}

// ---- evaluation ---------------------------------------------------------------------------------

struct Place {
  int64_t x, w;  // spatial positions, row-major
};

// The taps of output position (o0, o1, o2) that do not fall into padding.
template <class Visit>
void for_each_tap(const ConvGeometry& g, const Index& o, Visit visit) {
  const auto& [d0, d1, d2] = g.dims;
  const auto position = [](const SpatialDim& d, int64_t out, int64_t k) {
    return out * d.stride - d.pad_low + k * d.dilation;
  };
  const auto inside = [](const SpatialDim& d, int64_t i) { return i >= 0 && i < d.in; };
  for (int64_t k0 = 0; k0 < d0.window; ++k0) {
    for (int64_t k1 = 0; k1 < d1.window; ++k1) {
      for (int64_t k2 = 0; k2 < d2.window; ++k2) {
        const int64_t i0 = position(d0, o[0], k0);
        const int64_t i1 = position(d1, o[1], k1);
        const int64_t i2 = position(d2, o[2], k2);
        if (!inside(d0, i0) || !inside(d1, i1) || !inside(d2, i2)) continue;
        visit(Place{(i0 * d1.in + i1) * d2.in + i2, (k0 * d1.window + k1) * d2.window + k2});
      }
    }
  }
}

// Calls visit(x offset, w offset, y offset) for every product of the convolution.
template <class Visit>
void for_each_product(const ConvGeometry& g, Visit visit) {
  const int64_t ci = g.in_channels / g.groups;
  const int64_t co = g.out_channels / g.groups;
  const auto& [d0, d1, d2] = g.dims;
  const int64_t x_image = d0.in * d1.in * d2.in;
  int64_t y = 0;  // spatial position over the whole batch
  for_each_index(Shape{g.batch, d0.out, d1.out, d2.out}, [&](const Index& at) {
    for_each_tap(g, {at[1], at[2], at[3]}, [&](Place tap) {
      for (int64_t oc = 0; oc < g.out_channels; ++oc) {
        for (int64_t ic = 0; ic < ci; ++ic) {
          visit((at[0] * x_image + tap.x) * g.in_channels + (oc / co) * ci + ic,
                (tap.w * ci + ic) * g.out_channels + oc, y * g.out_channels + oc);
        }
      }
    });
    ++y;
  });
}

ConvGeometry geometry(const EvalArgs& e, const TensorType& x, const TensorType& w) {
  return conv_geometry("conv", x, w, e.attr<ConvAttrs>()).take();
}

void eval_conv(const EvalArgs& e) {
  for_each_product(geometry(e, e.in(0).type, e.in(1).type),
                   [&](int64_t x, int64_t w, int64_t y) { e.out()[y] += e.in(0)[x] * e.in(1)[w]; });
}

void eval_input_grad(const EvalArgs& e) {
  for_each_product(geometry(e, e.out().type, e.in(1).type),
                   [&](int64_t x, int64_t w, int64_t y) { e.out()[x] += e.in(0)[y] * e.in(1)[w]; });
}

void eval_filter_grad(const EvalArgs& e) {
  for_each_product(geometry(e, e.in(0).type, e.out().type),
                   [&](int64_t x, int64_t w, int64_t y) { e.out()[w] += e.in(0)[x] * e.in(1)[y]; });
}

// ---- gradients ----------------------------------------------------------------------------------

/// A contraction of the same geometry that multiplies in the same type, as the gradient of an
/// operand: `of` has the result's type, and its shape unless the result is a convolution.
Val conv_like(const GradArgs& g, Op op, Val a, Val b, Val of) {
  ConvAttrs attrs = g.attr<ConvAttrs>();
  attrs.shape = op == Op::kConv ? Ints{} : of.shape().to_vector();
  ContractionTypes types = contraction_types(g.builder.graph(), g.node);
  types.result = of.dtype();
  return g.builder.add(op, {a, b},
                       make_attrs(with_types(std::move(attrs), a.dtype(), b.dtype(), types)));
}

Grads conv_grad(const GradArgs& g) {
  const Val x = g.in(0);
  const Val w = g.in(1);
  Grads grads(2);
  if (g.needs(0)) grads[0] = conv_like(g, Op::kConvInputGrad, g.dout(), w, x);
  if (g.needs(1)) grads[1] = conv_like(g, Op::kConvFilterGrad, x, g.dout(), w);
  return grads;
}

Grads input_grad_grad(const GradArgs& g) {
  const Val dy = g.in(0);
  const Val w = g.in(1);
  Grads grads(2);
  if (g.needs(0)) grads[0] = conv_like(g, Op::kConv, g.dout(), w, dy);
  if (g.needs(1)) grads[1] = conv_like(g, Op::kConvFilterGrad, g.dout(), dy, w);
  return grads;
}

Grads filter_grad_grad(const GradArgs& g) {
  const Val x = g.in(0);
  const Val dy = g.in(1);
  Grads grads(2);
  if (g.needs(0)) grads[0] = conv_like(g, Op::kConvInputGrad, dy, g.dout(), x);
  if (g.needs(1)) grads[1] = conv_like(g, Op::kConv, x, g.dout(), dy);
  return grads;
}

// ---- samples ------------------------------------------------------------------------------------

struct Case {
  TensorType x, w;
  ConvAttrs attrs;  // without shape
};

std::vector<Case> cases() {
  return {
      {f32({2, 5, 2}), f32({3, 2, 3}), {}},
      {f32({1, 7, 4}), f32({2, 2, 6}), {{2}, {1}, {1}, {2}, 2, {}}},
      {f32({1, 4, 5, 2}), f32({3, 2, 2, 3}), {{1, 1}, {1, 0}, {1, 1}, {}, 1, {}}},
      {f32({2, 6, 5, 1}), f32({3, 3, 1, 2}), {{2, 2}, {}, {}, {}, 1, {}}},
      {f32({1, 5, 5, 2}), f32({2, 2, 1, 4}), {{1, 2}, {0, 1}, {1, 0}, {2, 1}, 2, {}}},
      {f32({1, 4, 4, 3}), f32({3, 3, 1, 3}), {{1, 1}, {1, 1}, {1, 1}, {}, 3, {}}},
      {f32({1, 6, 6, 2}), f32({1, 1, 2, 2}), {{3, 3}, {}, {}, {}, 1, {}}},
      {f32({1, 3, 3, 4, 1}), f32({2, 2, 2, 1, 2}), {{1, 2, 1}, {0, 1, 0}, {1, 0, 0}, {}, 1, {}}},
  };
}

TensorType output_of(const Case& c) {
  return c.x.with(conv_geometry("conv", c.x, c.w, c.attrs).take().output_shape());
}

Samples conv_samples() {
  Samples samples;
  for (const Case& c : cases())
    samples.push_back(sample({c.x, c.w}, c.attrs));
  return samples;
}

Samples input_grad_samples() {
  Samples samples;
  for (Case& c : cases()) {
    const TensorType y = output_of(c);
    c.attrs.shape = c.x.shape.to_vector();
    samples.push_back(sample({y, c.w}, c.attrs));
  }
  return samples;
}

Samples filter_grad_samples() {
  Samples samples;
  for (Case& c : cases()) {
    const TensorType y = output_of(c);
    c.attrs.shape = c.w.shape.to_vector();
    samples.push_back(sample({c.x, y}, c.attrs));
  }
  return samples;
}

/// More examples in one batch, where the filter is the same.
template <Op op>
std::vector<Val> stack_conv(const StackArgs& s) {
  if (s.stacked[1]) return {};
  ConvAttrs attrs = s.attr<ConvAttrs>();
  if (!attrs.shape.empty()) attrs.shape[0] *= s.steps;
  return {
      split_steps(s.builder.add(op, {merged_steps(s.in(0)), s.in(1)}, make_attrs(attrs)), s.steps)};
}

std::vector<Val> filter_grad_sum_steps(const StackArgs& s) {
  return {s.builder.add(Op::kConvFilterGrad, {merged_steps(s.in(0)), merged_steps(s.in(1))},
                        make_attrs(s.attr<ConvAttrs>()))};
}

/// Data and filter: examples stay apart, the filter's output channels are the result's.
OperandAxes conv_axes(const AxesArgs& a) {
  OperandAxes map = apart_by_channel(a);
  map[0].back() = kMeets;
  map[1].front() = kMeets;
  return map;
}

OperandAxes input_grad_axes(const AxesArgs& a) {
  OperandAxes map = conv_axes(a);
  map[1].back() = kMeets;
  return map;
}

OperandAxes filter_grad_axes(const AxesArgs& a) {
  OperandAxes map = conv_axes(a);
  map[0].front() = kMeets;
  return map;
}

}  // namespace

constinit const OpDef kConv{
    .op = Op::kConv,
    .name = "conv",
    .summary =
        "Convolution (cross-correlation) of channels-last data with 1 to 3 spatial dimensions.",
    .formula =
        "y[n, o, c] = sum over k, i of x[n, o*stride - pad_low + k*dilation, i] * w[k, i, c]",
    .operands = "x w",
    .attrs = &kAttrVtable<ConvAttrs>,
    .traits = kTraitLinear | kTraitSmooth,
    .infer = infer_conv,
    .eval = eval_conv,
    .grad = conv_grad,
    .stack = stack_conv<Op::kConv>,
    .lowering = Lowering::kConv,
    .samples = conv_samples,
    .axes = conv_axes,
};

constinit const OpDef kConvInputGrad{
    .op = Op::kConvInputGrad,
    .name = "conv_input_grad",
    .summary =
        "The gradient of conv with respect to its data, of the given shape; also the "
        "transposed convolution.",
    .operands = "dy w",
    .attrs = &kAttrVtable<ConvAttrs>,
    .traits = kTraitLinear | kTraitSmooth,
    .infer = infer_input_grad,
    .eval = eval_input_grad,
    .grad = input_grad_grad,
    .stack = stack_conv<Op::kConvInputGrad>,
    .lowering = Lowering::kConv,
    .samples = input_grad_samples,
    .axes = input_grad_axes,
};

constinit const OpDef kConvFilterGrad{
    .op = Op::kConvFilterGrad,
    .name = "conv_filter_grad",
    .summary = "The gradient of conv with respect to its filter, of the given shape.",
    .operands = "x dy",
    .attrs = &kAttrVtable<ConvAttrs>,
    .traits = kTraitLinear | kTraitSmooth,
    .infer = infer_filter_grad,
    .eval = eval_filter_grad,
    .grad = filter_grad_grad,
    .sum_steps = filter_grad_sum_steps,
    .lowering = Lowering::kConv,
    .samples = filter_grad_samples,
    .axes = filter_grad_axes,
};

}  // namespace gradc::ops
