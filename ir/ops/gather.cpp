// Rows by index. Indices out of range are clamped to the first and last row, in every op alike;
// data sets are checked before training starts.
#include "ir/ops/stack.h"

#include <algorithm>
#include <limits>

namespace gradc::ops {

namespace {

Status check_indices(const InferArgs& args, const TensorType& indices) {
  if (!is_integer(indices.dtype))
    return shape_error("{} takes integer indices, got {}", args.name, to_string(indices));
  return Ok{};
}

int64_t row_of(double index, int64_t rows) {
  return std::clamp(static_cast<int64_t>(index), int64_t{0}, rows - 1);
}

Result<Types> infer_gather(const InferArgs& args) {
  const TensorType& table = args.operands[0];
  const TensorType& indices = args.operands[1];
  GRADC_TRY_STATUS(check_indices(args, indices));
  if (table.rank() < 1) return shape_error("gather from {}, which has no rows", to_string(table));
  Ints dims = indices.shape.to_vector();
  dims.insert(dims.end(), table.shape.begin() + 1, table.shape.end());
  return one_result(args.name, table.dtype, dims);
}

void eval_gather(const EvalArgs& e) {
  const int64_t rows = e.in(0).type.shape[0];
  const int64_t width = e.in(0).size() / rows;
  for (int64_t i = 0; i < e.in(1).size(); ++i) {
    const int64_t row = row_of(e.in(1)[i], rows);
    for (int64_t j = 0; j < width; ++j)
      e.out()[i * width + j] = e.in(0)[row * width + j];
  }
}

/// The axes of the indices, then the table's but the first.
OperandAxes gather_axes(const AxesArgs& a) {
  OperandAxes map = {same_axes(a.rank(0), std::array{int64_t{0}}), same_axes(a.rank(1))};
  for (size_t i = 1; i < map[0].size(); ++i)
    map[0][i] += a.rank(1) - 1;
  return map;
}

Grads gather_grad(const GradArgs& g) {
  if (!g.needs(0)) return Grads(2);
  const int64_t rows = g.in(0).shape()[0];
  return {g.builder.add(Op::kScatterAdd, {g.in(1), g.dout()}, make_attrs(ScatterAttrs{rows})),
          Val()};
}

Samples gather_samples() {
  return {with_indices(sample({f32({5, 3}), typed(DType::kI32, {4})}), 5),
          with_indices(sample({f32({4}), typed(DType::kI64, {2, 3})}), 4),
          with_indices(sample({f32({3, 2, 2}), typed(DType::kI32, {2, 2})}), 3)};
}

Result<Types> infer_scatter_add(const InferArgs& args) {
  const TensorType& indices = args.operands[0];
  const TensorType& updates = args.operands[1];
  GRADC_TRY_STATUS(check_indices(args, indices));
  if (updates.rank() < indices.rank() ||
      !std::equal(indices.shape.begin(), indices.shape.end(), updates.shape.begin()))
    return shape_error("scatter_add: the updates {} do not begin with the shape of the indices {}",
                       to_string(updates), to_string(indices));
  if (updates.dtype == DType::kBool)
    return shape_error("scatter_add takes float or integer updates, got {}", to_string(updates));
  Ints dims = {args.attr<ScatterAttrs>().rows};
  dims.insert(dims.end(), updates.shape.begin() + indices.rank(), updates.shape.end());
  return one_result(args.name, updates.dtype, dims);
}

void eval_scatter_add(const EvalArgs& e) {
  const int64_t rows = e.out().type.shape[0];
  const int64_t width = e.out().size() / rows;
  for (int64_t i = 0; i < e.in(0).size(); ++i) {
    const int64_t row = row_of(e.in(0)[i], rows);
    for (int64_t j = 0; j < width; ++j)
      e.out()[row * width + j] += e.in(1)[i * width + j];
  }
}

OperandAxes scatter_add_axes(const AxesArgs& a) {
  OperandAxes map;
  for (const TensorType& operand : a.operands) {
    map.emplace_back(static_cast<size_t>(operand.rank()), kMeets);
    for (int i = a.rank(0); i < operand.rank(); ++i)
      map.back()[static_cast<size_t>(i)] = i - a.rank(0) + 1;
  }
  return map;
}

Grads scatter_add_grad(const GradArgs& g) {
  if (!g.needs(1)) return Grads(2);
  return {Val(), g.builder.add(Op::kGather, {g.dout(), g.in(0)})};
}

Samples scatter_add_samples() {
  return {with_indices(sample({typed(DType::kI32, {4}), f32({4, 3})}, ScatterAttrs{5}), 5),
          with_indices(sample({typed(DType::kI32, {2, 3}), f32({2, 3, 2})}, ScatterAttrs{3}), 3),
          with_indices(sample({typed(DType::kI64, {6}), f32({6})}, ScatterAttrs{4}), 4)};
}

Result<Types> infer_partition(const InferArgs& args) {
  const TensorType& mask = args.operands[0];
  if (mask.dtype != DType::kBool)
    return shape_error("partition takes a bool mask, got {}", to_string(mask));
  if (mask.num_elements() > std::numeric_limits<int32_t>::max())
    return shape_error("partition of {}, whose places are no i32", to_string(mask));
  const Ints dims = {mask.num_elements()};
  return one_result(args.name, DType::kI32, dims);
}

void eval_partition(const EvalArgs& e) {
  int64_t next = 0;
  for (const bool wanted : {true, false}) {
    for (int64_t i = 0; i < e.in(0).size(); ++i) {
      if ((e.in(0)[i] != 0.0) == wanted) e.out()[next++] = static_cast<double>(i);
    }
  }
}

Samples partition_samples() {
  return {sample({typed(DType::kBool, {7})}), sample({typed(DType::kBool, {3, 4})})};
}

/// More rows to add.
std::vector<Val> scatter_add_sum_steps(const StackArgs& s) {
  return {s.builder.add(Op::kScatterAdd, {s.in(0), s.in(1)}, make_attrs(s.attr<ScatterAttrs>()))};
}

}  // namespace

constinit const OpDef kGather{
    .op = Op::kGather,
    .name = "gather",
    .summary = "The rows of the table (its axis 0) that the indices name.",
    .formula = "result[i, ...] = table[clamp(indices[i], 0, rows - 1), ...]",
    .operands = "table indices",
    .infer = infer_gather,
    .eval = eval_gather,
    .grad = gather_grad,
    .stack = [](const StackArgs& s) -> std::vector<Val> {
      if (s.stacked[0]) return {};
      return {s.builder.add(Op::kGather, {s.in(0), s.in(1)})};
    },
    .lowering = Lowering::kGather,
    .samples = gather_samples,
    .axes = gather_axes,
};

constinit const OpDef kPartition{
    .op = Op::kPartition,
    .name = "partition",
    .summary = "The places (row-major) where the mask holds, in order, then the others, in order.",
    .operands = "mask",
    .infer = infer_partition,
    .eval = eval_partition,
    .no_grad = "the operand is a mask",
    .lowering = Lowering::kGather,
    .samples = partition_samples,
};

constinit const OpDef kScatterAdd{
    .op = Op::kScatterAdd,
    .name = "scatter_add",
    .summary = "Adds each update to the row its index names, in order, from zero.",
    .formula = "result[clamp(indices[i], 0, rows - 1), ...] += updates[i, ...]",
    .operands = "indices updates",
    .attrs = &kAttrVtable<ScatterAttrs>,
    .infer = infer_scatter_add,
    .eval = eval_scatter_add,
    .grad = scatter_add_grad,
    .sum_steps = scatter_add_sum_steps,
    .lowering = Lowering::kGather,
    .samples = scatter_add_samples,
    .axes = scatter_add_axes,
};

}  // namespace gradc::ops
