// Ops that move elements and compute nothing: each result element is one operand element, or the
// padding value. The gradients are views again (and a sum for what was repeated).
#include "ir/ops/stack.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace gradc::ops {

namespace {

size_t at(int64_t axis) {
  return static_cast<size_t>(axis);
}

// ---- broadcast ----------------------------------------------------------------------------------

Result<Types> infer_broadcast(const InferArgs& args) {
  const auto& attrs = args.attr<BroadcastAttrs>();
  const TensorType& x = args.operands[0];
  GRADC_TRY(const TensorType type, checked_type(args.name, x.dtype, attrs.shape));
  GRADC_TRY_STATUS(check_axes(args.name, attrs.dims, type));
  bool fits = static_cast<int>(attrs.dims.size()) == x.rank();
  for (int axis = 0; fits && axis < x.rank(); ++axis)
    fits = x.shape[axis] == attrs.shape[at(attrs.dims[at(axis)])];
  if (!fits)
    return shape_error("broadcast of {} to {} along dims [{}]: extents differ", to_string(x),
                       to_string(type), fmt::join(attrs.dims, ", "));
  return Types{type};
}

void eval_broadcast(const EvalArgs& e) {
  const auto& dims = e.attr<BroadcastAttrs>().dims;
  const Shape& from = e.in(0).type.shape;
  int64_t i = 0;
  for_each_index(e.out().type.shape, [&](const Index& index) {
    Index source{};
    for (size_t axis = 0; axis < dims.size(); ++axis)
      source[axis] = index[at(dims[axis])];
    e.out()[i++] = e.in(0)[offset_of(from, source)];
  });
}

Grads broadcast_grad(const GradArgs& g) {
  return {reduce_sum(g.dout(), other_axes(g.out().rank(), g.attr<BroadcastAttrs>().dims))};
}

Samples broadcast_samples() {
  return {sample({f32({4})}, BroadcastAttrs{{3, 4}, {1}}),
          sample({f32({3})}, BroadcastAttrs{{3, 4}, {0}}),
          sample({f32({})}, BroadcastAttrs{{2, 2}, {}}),
          sample({f32({2, 3})}, BroadcastAttrs{{2, 5, 3, 2}, {0, 2}})};
}

// ---- reshape, transpose, reverse ----------------------------------------------------------------

Result<Types> infer_reshape(const InferArgs& args) {
  const TensorType& x = args.operands[0];
  GRADC_TRY(const TensorType type,
            checked_type(args.name, x.dtype, args.attr<ReshapeAttrs>().shape));
  if (type.num_elements() != x.num_elements())
    return shape_error("reshape of {} to {}: {} elements and {} elements", to_string(x),
                       to_string(type), x.num_elements(), type.num_elements());
  return Types{type};
}

void eval_reshape(const EvalArgs& e) {
  e.out().data = e.in(0).data;
}

Grads reshape_grad(const GradArgs& g) {
  return {reshape(g.dout(), g.in(0).shape())};
}

Samples reshape_samples() {
  return {sample({f32({2, 6})}, ReshapeAttrs{{3, 4}}), sample({f32({1, 1})}, ReshapeAttrs{{}}),
          sample({f32({2, 3, 2})}, ReshapeAttrs{{12}})};
}

Result<Types> infer_transpose(const InferArgs& args) {
  const auto& perm = args.attr<TransposeAttrs>().perm;
  const TensorType& x = args.operands[0];
  Ints sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  bool valid = static_cast<int>(perm.size()) == x.rank();
  for (size_t axis = 0; valid && axis < sorted.size(); ++axis)
    valid = sorted[axis] == static_cast<int64_t>(axis);
  if (!valid)
    return shape_error("transpose of {} by [{}], which is no permutation of its axes", to_string(x),
                       fmt::join(perm, ", "));
  Shape shape;
  for (int64_t axis : perm)
    shape.push_back(x.shape[static_cast<int>(axis)]);
  return Types{x.with(shape)};
}

void eval_transpose(const EvalArgs& e) {
  const auto& perm = e.attr<TransposeAttrs>().perm;
  int64_t i = 0;
  for_each_index(e.out().type.shape, [&](const Index& index) {
    Index source{};
    for (size_t axis = 0; axis < perm.size(); ++axis)
      source[at(perm[axis])] = index[axis];
    e.out()[i++] = e.in(0)[offset_of(e.in(0).type.shape, source)];
  });
}

Grads transpose_grad(const GradArgs& g) {
  const auto& perm = g.attr<TransposeAttrs>().perm;
  Ints inverse(perm.size());
  for (size_t axis = 0; axis < perm.size(); ++axis)
    inverse[at(perm[axis])] = static_cast<int64_t>(axis);
  return {transpose(g.dout(), std::move(inverse))};
}

OperandAxes transpose_axes(const AxesArgs& a) {
  const auto& perm = a.attr<TransposeAttrs>().perm;
  std::vector<int64_t> axes(perm.size());
  for (size_t axis = 0; axis < perm.size(); ++axis)
    axes[at(perm[axis])] = static_cast<int64_t>(axis);
  return {axes};
}

Samples transpose_samples() {
  return {sample({f32({2, 3})}, TransposeAttrs{{1, 0}}),
          sample({f32({2, 3, 4})}, TransposeAttrs{{2, 0, 1}}),
          sample({f32({2, 3, 2, 2})}, TransposeAttrs{{0, 2, 1, 3}})};
}

Result<Types> infer_reverse(const InferArgs& args) {
  GRADC_TRY_STATUS(check_axes(args.name, args.attr<AxesAttrs>().axes, args.operands[0]));
  return Types{args.operands[0]};
}

void eval_reverse(const EvalArgs& e) {
  const Shape& shape = e.out().type.shape;
  int64_t i = 0;
  for_each_index(shape, [&](const Index& index) {
    Index source = index;
    for (int64_t axis : e.attr<AxesAttrs>().axes)
      source[at(axis)] = shape[static_cast<int>(axis)] - 1 - index[at(axis)];
    e.out()[i++] = e.in(0)[offset_of(shape, source)];
  });
}

Grads reverse_grad(const GradArgs& g) {
  return {reverse(g.dout(), g.attr<AxesAttrs>().axes)};
}

Samples reverse_samples() {
  return {sample({f32({5})}, AxesAttrs{{0}}), sample({f32({2, 3, 4})}, AxesAttrs{{0, 2}})};
}

}  // namespace

constinit const OpDef kBroadcast{
    .op = Op::kBroadcast,
    .name = "broadcast",
    .summary = "Repeats the operand: its axis i becomes axis dims[i] of the result.",
    .operands = "x",
    .attrs = &kAttrVtable<BroadcastAttrs>,
    .traits = kTraitLinear,
    .infer = infer_broadcast,
    .eval = eval_broadcast,
    .grad = broadcast_grad,
    .stack = [](const StackArgs& s) -> std::vector<Val> {
      const auto& [shape, dims] = s.attr<BroadcastAttrs>();
      Ints stacked_shape = {s.steps};
      stacked_shape.insert(stacked_shape.end(), shape.begin(), shape.end());
      Ints stacked_dims = {0};
      for (int64_t axis : dims)
        stacked_dims.push_back(axis + 1);
      return {broadcast(s.all_steps(0), Shape(stacked_shape), std::move(stacked_dims))};
    },
    .lowering = Lowering::kView,
    .samples = broadcast_samples,
    .axes = [](const AxesArgs& a) { return OperandAxes{a.attr<BroadcastAttrs>().dims}; },
};

constinit const OpDef kReshape{
    .op = Op::kReshape,
    .name = "reshape",
    .summary = "The same elements in row-major order under another shape.",
    .operands = "x",
    .attrs = &kAttrVtable<ReshapeAttrs>,
    .traits = kTraitLinear | kTraitSameOrder,
    .infer = infer_reshape,
    .eval = eval_reshape,
    .grad = reshape_grad,
    .stack = [](const StackArgs& s) -> std::vector<Val> {
      Ints shape = {s.steps};
      for (int64_t extent : s.attr<ReshapeAttrs>().shape)
        shape.push_back(extent);
      return {reshape(s.all_steps(0), Shape(shape))};
    },
    .lowering = Lowering::kView,
    .samples = reshape_samples,
};

constinit const OpDef kTranspose{
    .op = Op::kTranspose,
    .name = "transpose",
    .summary = "Permutes axes: result axis i is operand axis perm[i].",
    .operands = "x",
    .attrs = &kAttrVtable<TransposeAttrs>,
    .traits = kTraitLinear,
    .infer = infer_transpose,
    .eval = eval_transpose,
    .grad = transpose_grad,
    .stack = [](const StackArgs& s) -> std::vector<Val> {
      Ints perm = {0};
      for (int64_t axis : s.attr<TransposeAttrs>().perm)
        perm.push_back(axis + 1);
      return {transpose(s.all_steps(0), std::move(perm))};
    },
    .lowering = Lowering::kView,
    .samples = transpose_samples,
    .axes = transpose_axes,
};

constinit const OpDef kReverse{
    .op = Op::kReverse,
    .name = "reverse",
    .summary = "Reverses the order along the axes.",
    .operands = "x",
    .attrs = &kAttrVtable<AxesAttrs>,
    .traits = kTraitLinear,
    .infer = infer_reverse,
    .eval = eval_reverse,
    .grad = reverse_grad,
    .stack = [](const StackArgs& s) -> std::vector<Val> {
      return {reverse(s.all_steps(0), behind_steps(s.attr<AxesAttrs>().axes))};
    },
    .lowering = Lowering::kView,
    .samples = reverse_samples,
    .axes =
        [](const AxesArgs& a) {
          return OperandAxes{same_axes(a.rank(0), a.attr<AxesAttrs>().axes)};
        },
};

}  // namespace gradc::ops
