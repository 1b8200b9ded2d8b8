// Maximum and average pooling over the spatial dimensions, and their gradients. Padding never wins
// a maximum and is not counted in an average. max_pool_grad and max_pool_take are each other's
// adjoints, as are avg_pool and avg_pool_grad.
#include "ir/conv_geometry.h"
#include "ir/ops/common.h"

#include <cmath>

namespace gradc::ops {

namespace {

// ---- inference ----------------------------------------------------------------------------------

Result<TensorType> pooled_type(const InferArgs& args, const TensorType& x) {
  GRADC_TRY(const ConvGeometry g, pool_geometry(args.name, x, args.attr<PoolAttrs>()));
  return checked_type(args.name, x.dtype, g.output_shape().dims());
}

Status check_no_shape(const InferArgs& args) {
  if (!args.attr<PoolAttrs>().shape.empty())
    return attr_error("{} takes no shape, it follows from the operands", args.name);
  return Ok{};
}

Status check_pooled(const InferArgs& args, const TensorType& x, const TensorType& pooled) {
  GRADC_TRY(const TensorType y, pooled_type(args, x));
  if (pooled != y)
    return shape_error("{}: pooling {} gives {}, the operand is {}", args.name, to_string(x),
                       to_string(y), to_string(pooled));
  return Ok{};
}

Result<Types> infer_pool(const InferArgs& args) {
  GRADC_TRY_STATUS(check_no_shape(args));
  GRADC_TRY(const TensorType y, pooled_type(args, args.operands[0]));
  return Types{y};
}

Result<Types> infer_max_pool_grad(const InferArgs& args) {
  GRADC_TRY_STATUS(check_no_shape(args));
  GRADC_TRY_STATUS(check_pooled(args, args.operands[0], args.operands[1]));
  return Types{args.operands[0]};
}

Result<Types> infer_max_pool_take(const InferArgs& args) {
  GRADC_TRY_STATUS(check_no_shape(args));
  GRADC_TRY_STATUS(check_equal_types(args));
  GRADC_TRY(const TensorType y, pooled_type(args, args.operands[0]));
  return Types{y};
}

Result<Types> infer_avg_pool_grad(const InferArgs& args) {
  const TensorType& dy = args.operands[0];
  GRADC_TRY(const TensorType x, checked_type(args.name, dy.dtype, args.attr<PoolAttrs>().shape));
  GRADC_TRY_STATUS(check_pooled(args, x, dy));
  return Types{x};
}

// ---- evaluation ---------------------------------------------------------------------------------

// Calls visit(y offset, x offsets of the window in row-major order) for every pooled element.
template <class Visit>
void for_each_window(const TensorType& x, const PoolAttrs& attrs, Visit visit) {
  const ConvGeometry g = pool_geometry("pool", x, attrs).take();
  const auto& [d0, d1, d2] = g.dims;
  std::vector<int64_t> window;
  int64_t y = 0;
  for_each_index(Shape{g.batch, d0.out, d1.out, d2.out, g.in_channels}, [&](const Index& at) {
    window.clear();
    for_each_index(Shape{d0.window, d1.window, d2.window}, [&](const Index& k) {
      Index i{};
      for (size_t axis = 0; axis < 3; ++axis) {
        const SpatialDim& d = g.dims[axis];
        i[axis] = at[axis + 1] * d.stride - d.pad_low + k[axis];
        if (i[axis] < 0 || i[axis] >= d.in) return;
      }
      const int64_t pixel = ((at[0] * d0.in + i[0]) * d1.in + i[1]) * d2.in + i[2];
      window.push_back(pixel * g.in_channels + at[4]);
    });
    visit(y++, window);
  });
}

// The first largest element; a NaN counts as largest.
int64_t winner(const Tensor& x, const std::vector<int64_t>& window) {
  int64_t best = window.front();
  for (int64_t i : window) {
    if (x[i] > x[best] || (std::isnan(x[i]) && !std::isnan(x[best]))) best = i;
  }
  return best;
}

void eval_max_pool(const EvalArgs& e) {
  for_each_window(e.in(0).type, e.attr<PoolAttrs>(),
                  [&](int64_t y, const std::vector<int64_t>& window) {
                    e.out()[y] = e.in(0)[winner(e.in(0), window)];
                  });
}

void eval_max_pool_grad(const EvalArgs& e) {
  for_each_window(e.in(0).type, e.attr<PoolAttrs>(),
                  [&](int64_t y, const std::vector<int64_t>& window) {
                    e.out()[winner(e.in(0), window)] += e.in(1)[y];
                  });
}

void eval_max_pool_take(const EvalArgs& e) {
  for_each_window(e.in(0).type, e.attr<PoolAttrs>(),
                  [&](int64_t y, const std::vector<int64_t>& window) {
                    e.out()[y] = e.in(1)[winner(e.in(0), window)];
                  });
}

void eval_avg_pool(const EvalArgs& e) {
  for_each_window(e.in(0).type, e.attr<PoolAttrs>(),
                  [&](int64_t y, const std::vector<int64_t>& window) {
                    double sum = 0.0;
                    for (int64_t i : window)
                      sum += e.in(0)[i];
                    e.out()[y] = sum / static_cast<double>(window.size());
                  });
}

void eval_avg_pool_grad(const EvalArgs& e) {
  PoolAttrs attrs = e.attr<PoolAttrs>();
  for_each_window(e.out().type, attrs, [&](int64_t y, const std::vector<int64_t>& window) {
    for (int64_t i : window)
      e.out()[i] += e.in(0)[y] / static_cast<double>(window.size());
  });
}

// ---- gradients ----------------------------------------------------------------------------------

Grads max_pool_grad_rule(const GradArgs& g) {
  return {g.builder.add(Op::kMaxPoolGrad, {g.in(0), g.dout()}, g.node.attrs)};
}

// The choice of the winners is piecewise constant in x.
Grads max_pool_grad_grad(const GradArgs& g) {
  Grads grads(2);
  if (g.needs(1)) grads[1] = g.builder.add(Op::kMaxPoolTake, {g.in(0), g.dout()}, g.node.attrs);
  return grads;
}

Grads max_pool_take_grad(const GradArgs& g) {
  Grads grads(2);
  if (g.needs(1)) grads[1] = g.builder.add(Op::kMaxPoolGrad, {g.in(0), g.dout()}, g.node.attrs);
  return grads;
}

Grads avg_pool_grad_rule(const GradArgs& g) {
  PoolAttrs attrs = g.attr<PoolAttrs>();
  attrs.shape = g.in(0).shape().to_vector();
  return {g.builder.add(Op::kAvgPoolGrad, {g.dout()}, make_attrs(std::move(attrs)))};
}

Grads avg_pool_grad_grad(const GradArgs& g) {
  PoolAttrs attrs = g.attr<PoolAttrs>();
  attrs.shape.clear();
  return {g.builder.add(Op::kAvgPool, {g.dout()}, make_attrs(std::move(attrs)))};
}

// ---- samples ------------------------------------------------------------------------------------

struct Case {
  TensorType x;
  PoolAttrs attrs;  // without shape
};

std::vector<Case> cases() {
  return {
      {f32({2, 6, 3}), {{2}, {2}, {}, {}, {}}},
      {f32({1, 5, 6, 2}), {{3, 2}, {1, 2}, {1, 0}, {1, 0}, {}}},
      {f32({2, 4, 4, 1}), {{2, 2}, {2, 2}, {}, {}, {}}},
      {f32({1, 7, 7, 1}), {{3, 3}, {2, 2}, {1, 1}, {1, 1}, {}}},
      {f32({1, 3, 4, 3, 1}), {{2, 2, 2}, {1, 2, 1}, {0, 0, 1}, {1, 0, 0}, {}}},
  };
}

TensorType pooled(const Case& c) {
  return c.x.with(pool_geometry("pool", c.x, c.attrs).take().output_shape());
}

Samples pool_samples() {
  Samples samples;
  for (const Case& c : cases())
    samples.push_back(distinct(sample({c.x}, c.attrs)));
  return samples;
}

Samples max_pool_grad_samples() {
  Samples samples;
  for (const Case& c : cases())
    samples.push_back(distinct(sample({c.x, pooled(c)}, c.attrs)));
  return samples;
}

Samples max_pool_take_samples() {
  Samples samples;
  for (const Case& c : cases())
    samples.push_back(distinct(sample({c.x, c.x}, c.attrs)));
  return samples;
}

Samples avg_pool_grad_samples() {
  Samples samples;
  for (Case& c : cases()) {
    const TensorType y = pooled(c);
    c.attrs.shape = c.x.shape.to_vector();
    samples.push_back(sample({y}, c.attrs));
  }
  return samples;
}

}  // namespace

constinit const OpDef kMaxPool{
    .op = Op::kMaxPool,
    .name = "max_pool",
    .summary = "The largest element of each window.",
    .operands = "x",
    .attrs = &kAttrVtable<PoolAttrs>,
    .infer = infer_pool,
    .eval = eval_max_pool,
    .grad = max_pool_grad_rule,
    .lowering = Lowering::kPool,
    .samples = pool_samples,
    .axes = apart_by_channel,
};

constinit const OpDef kMaxPoolGrad{
    .op = Op::kMaxPoolGrad,
    .name = "max_pool_grad",
    .summary =
        "Adds each element of dy to the place of the first largest element of its window of x.",
    .operands = "x dy",
    .attrs = &kAttrVtable<PoolAttrs>,
    .infer = infer_max_pool_grad,
    .eval = eval_max_pool_grad,
    .grad = max_pool_grad_grad,
    .lowering = Lowering::kPool,
    .samples = max_pool_grad_samples,
    .axes = apart_by_channel,
};

constinit const OpDef kMaxPoolTake{
    .op = Op::kMaxPoolTake,
    .name = "max_pool_take",
    .summary = "The element of v where x has the first largest element of each window.",
    .operands = "x v",
    .attrs = &kAttrVtable<PoolAttrs>,
    .infer = infer_max_pool_take,
    .eval = eval_max_pool_take,
    .grad = max_pool_take_grad,
    .lowering = Lowering::kPool,
    .samples = max_pool_take_samples,
    .axes = apart_by_channel,
};

constinit const OpDef kAvgPool{
    .op = Op::kAvgPool,
    .name = "avg_pool",
    .summary = "The mean of each window; padding is not counted.",
    .operands = "x",
    .attrs = &kAttrVtable<PoolAttrs>,
    .traits = kTraitLinear,
    .infer = infer_pool,
    .eval = eval_avg_pool,
    .grad = avg_pool_grad_rule,
    .lowering = Lowering::kPool,
    .samples = pool_samples,
    .axes = apart_by_channel,
};

constinit const OpDef kAvgPoolGrad{
    .op = Op::kAvgPoolGrad,
    .name = "avg_pool_grad",
    .summary = "Spreads each element of dy evenly over its window of a tensor of the given shape.",
    .operands = "dy",
    .attrs = &kAttrVtable<PoolAttrs>,
    .traits = kTraitLinear,
    .infer = infer_avg_pool_grad,
    .eval = eval_avg_pool_grad,
    .grad = avg_pool_grad_grad,
    .lowering = Lowering::kPool,
    .samples = avg_pool_grad_samples,
    .axes = apart_by_channel,
};

}  // namespace gradc::ops
