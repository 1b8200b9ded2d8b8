// Reductions: the axes disappear. OpDef::scalar names what combines two elements; argmax has none.
#include "ir/ops/stack.h"

#include <cmath>
#include <limits>

namespace gradc::ops {

namespace {

Result<Types> infer_reduce(const InferArgs& args) {
  const auto& axes = args.attr<AxesAttrs>().axes;
  const TensorType& x = args.operands[0];
  GRADC_TRY_STATUS(check_axes(args.name, axes, x));
  if (x.dtype == DType::kBool)
    return shape_error("{} takes float or integer operands, got {}", args.name, to_string(x));
  return Types{x.with(x.shape.without(axes))};
}

// The result element each operand element belongs to.
template <class Combine>
void eval_reduce(const EvalArgs& e, double start, Combine combine) {
  const std::vector<int64_t> kept = other_axes(e.in(0).type.rank(), e.attr<AxesAttrs>().axes);
  std::fill(e.out().data.begin(), e.out().data.end(), start);
  int64_t i = 0;
  for_each_index(e.in(0).type.shape, [&](const Index& index) {
    Index target{};
    for (size_t axis = 0; axis < kept.size(); ++axis)
      target[axis] = index[static_cast<size_t>(kept[axis])];
    double& slot = e.out()[offset_of(e.out().type.shape, target)];
    slot = combine(slot, e.in(0)[i++]);
  });
}

void eval_sum(const EvalArgs& e) {
  eval_reduce(e, 0.0, [](double a, double b) { return a + b; });
}
void eval_prod(const EvalArgs& e) {
  eval_reduce(e, 1.0, [](double a, double b) { return a * b; });
}
void eval_max(const EvalArgs& e) {
  eval_reduce(e, -std::numeric_limits<double>::infinity(),
              [](double a, double b) { return std::isnan(a) || a > b ? a : b; });
}
void eval_min(const EvalArgs& e) {
  eval_reduce(e, std::numeric_limits<double>::infinity(),
              [](double a, double b) { return std::isnan(a) || a < b ? a : b; });
}

// A reduced value repeated over the reduced axes of the operand.
Val spread(const GradArgs& g, Val reduced) {
  const Val x = g.in(0);
  return broadcast(reduced, x.shape(), other_axes(x.rank(), g.attr<AxesAttrs>().axes));
}

Grads sum_grad(const GradArgs& g) {
  return {spread(g, g.dout())};
}

// Equal extrema share the gradient evenly, as in Keras.
Grads extremum_grad(const GradArgs& g) {
  const Val chosen = equal(g.in(0), spread(g, g.out()));
  const Val count = reduce_sum(cast(chosen, g.in(0).dtype()), g.attr<AxesAttrs>().axes);
  return {select(chosen, spread(g, g.dout() / count), 0.0)};
}

// d prod / dx_i is the product of the others: prod / x_i, except that a single zero among the
// elements leaves a gradient at itself only, and two or more leave none.
Grads prod_grad(const GradArgs& g) {
  const Val x = g.in(0);
  const Ints axes = g.attr<AxesAttrs>().axes;
  const Val zero = equal(x, 0.0);
  const Val safe = select(zero, 1.0, x);
  const Val others = spread(g, reduce_prod(safe, axes)) / safe;
  const Val zeros = reduce_sum(cast(zero, x.dtype()), axes);
  const Val zeros_elsewhere = spread(g, zeros) - cast(zero, x.dtype());
  return {select(equal(zeros_elsewhere, 0.0), spread(g, g.dout()) * others, 0.0)};
}

/// The axes that stay are counted anew.
OperandAxes axes_without(int rank, std::span<const int64_t> reduced) {
  std::vector<int64_t> axes(static_cast<size_t>(rank), kMeets);
  int64_t next = 0;
  for (const int64_t axis : other_axes(rank, reduced))
    axes[static_cast<size_t>(axis)] = next++;
  return {axes};
}

OperandAxes reduce_axes(const AxesArgs& a) {
  return axes_without(a.rank(0), a.attr<AxesAttrs>().axes);
}

OperandAxes argmax_axes(const AxesArgs& a) {
  return axes_without(a.rank(0), std::array{a.attr<AxisAttrs>().axis});
}

template <Op op>
std::vector<Val> stack_reduce(const StackArgs& s) {
  return stack_call(s, op, make_attrs(AxesAttrs{behind_steps(s.attr<AxesAttrs>().axes)}));
}

std::vector<Val> sum_sum_steps(const StackArgs& s) {
  std::vector<int64_t> axes = {0};
  for (int64_t axis : s.attr<AxesAttrs>().axes)
    axes.push_back(axis + 1);
  return {reduce_sum(s.in(0), std::move(axes))};
}

Samples reduce_samples() {
  return {sample({f32({3, 4})}, AxesAttrs{{1}}), sample({f32({3, 4})}, AxesAttrs{{0}}),
          sample({f32({2, 3, 4})}, AxesAttrs{{0, 2}}), sample({f32({2, 3})}, AxesAttrs{{0, 1}}),
          sample({f32({5})}, AxesAttrs{{}})};
}

Samples extremum_samples() {
  Samples samples = reduce_samples();
  for (Sample& s : samples)
    s.distinct = true;
  return samples;
}

Samples prod_samples() {
  Samples samples = reduce_samples();
  samples.pop_back();  // over no axes a product is the identity, which has no second derivative
  for (Sample& s : samples)
    s.away_from_zero = true;
  return samples;
}

// ---- argmax -------------------------------------------------------------------------------------

Result<Types> infer_argmax(const InferArgs& args) {
  const int64_t axis = args.attr<AxisAttrs>().axis;
  const TensorType& x = args.operands[0];
  GRADC_TRY_STATUS(check_axes(args.name, std::span(&axis, 1), x));
  return Types{{DType::kI32, x.shape.without(std::span(&axis, 1))}};
}

void eval_argmax(const EvalArgs& e) {
  const AxisSplit split(e.in(0).type.shape, e.attr<AxisAttrs>().axis);
  for (int64_t o = 0; o < split.outer; ++o) {
    for (int64_t i = 0; i < split.inner; ++i) {
      int64_t best = 0;
      for (int64_t k = 1; k < split.extent; ++k) {
        if (e.in(0)[split.at(o, k, i)] > e.in(0)[split.at(o, best, i)]) best = k;
      }
      e.out()[o * split.inner + i] = static_cast<double>(best);
    }
  }
}

Samples argmax_samples() {
  return {distinct(sample({f32({3, 4})}, AxisAttrs{1})),
          distinct(sample({f32({2, 3, 4})}, AxisAttrs{1})),
          with_indices(sample({typed(DType::kI32, {5, 6})}, AxisAttrs{0}), 3)};
}

}  // namespace

constinit const OpDef kReduceSum{
    .op = Op::kReduceSum,
    .name = "reduce_sum",
    .summary = "The sum over the axes.",
    .operands = "x",
    .attrs = &kAttrVtable<AxesAttrs>,
    .traits = kTraitLinear,
    .infer = infer_reduce,
    .eval = eval_sum,
    .grad = sum_grad,
    .stack = stack_reduce<Op::kReduceSum>,
    .sum_steps = sum_sum_steps,
    .lowering = Lowering::kReduce,
    .scalar = ScalarOp::kAdd,
    .samples = reduce_samples,
    .axes = reduce_axes,
};

constinit const OpDef kReduceMax{
    .op = Op::kReduceMax,
    .name = "reduce_max",
    .summary = "The largest element over the axes; NaN if any is NaN.",
    .operands = "x",
    .attrs = &kAttrVtable<AxesAttrs>,
    .infer = infer_reduce,
    .eval = eval_max,
    .grad = extremum_grad,
    .stack = stack_reduce<Op::kReduceMax>,
    .lowering = Lowering::kReduce,
    .scalar = ScalarOp::kMax,
    .samples = extremum_samples,
    .axes = reduce_axes,
};

constinit const OpDef kReduceMin{
    .op = Op::kReduceMin,
    .name = "reduce_min",
    .summary = "The smallest element over the axes; NaN if any is NaN.",
    .operands = "x",
    .attrs = &kAttrVtable<AxesAttrs>,
    .infer = infer_reduce,
    .eval = eval_min,
    .grad = extremum_grad,
    .stack = stack_reduce<Op::kReduceMin>,
    .lowering = Lowering::kReduce,
    .scalar = ScalarOp::kMin,
    .samples = extremum_samples,
    .axes = reduce_axes,
};

constinit const OpDef kReduceProd{
    .op = Op::kReduceProd,
    .name = "reduce_prod",
    .summary = "The product over the axes.",
    .operands = "x",
    .attrs = &kAttrVtable<AxesAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_reduce,
    .eval = eval_prod,
    .grad = prod_grad,
    .stack = stack_reduce<Op::kReduceProd>,
    .lowering = Lowering::kReduce,
    .scalar = ScalarOp::kMul,
    .samples = prod_samples,
    .axes = reduce_axes,
};

constinit const OpDef kArgmax{
    .op = Op::kArgmax,
    .name = "argmax",
    .summary = "The index (i32) of the first largest element along an axis.",
    .operands = "x",
    .attrs = &kAttrVtable<AxisAttrs>,
    .infer = infer_argmax,
    .eval = eval_argmax,
    .no_grad = "the result is an index",
    .stack =
        [](const StackArgs& s) {
          return stack_call(s, Op::kArgmax, make_attrs(AxisAttrs{s.attr<AxisAttrs>().axis + 1}));
        },
    .lowering = Lowering::kReduce,
    .samples = argmax_samples,
    .axes = argmax_axes,
};

}  // namespace gradc::ops
