#include "passes/row_region.h"

#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/pattern.h"

#include <algorithm>

namespace gradc {
namespace {

/// A reduction over several axes.
bool is_plain_axes(const Node& node) {
  return def(node.op).lowering == Lowering::kReduce && node.op != Op::kArgmax;
}

bool is_behind(const Ints& axes, int64_t row_axes) {
  return std::all_of(axes.begin(), axes.end(), [&](int64_t axis) { return axis >= row_axes; });
}

/// Axes of a value as they are when its rows have one axis.
int64_t moved(int64_t axis, int64_t row_axes) {
  return axis - row_axes + 1;
}

/// What a broadcast repeats along all rows: none of its axes is one of rows. kRow: the rows' own
/// axes lead.
std::optional<RowUse> broadcast_use(const Graph& graph, const Node& node, int64_t rows,
                                    int64_t leading) {
  const auto& attrs = node.attrs.as<BroadcastAttrs>();
  if (is_behind(attrs.dims, leading)) return RowUse::kWhole;
  for (int64_t axis = 0; axis < leading; ++axis) {
    const auto i = static_cast<size_t>(axis);
    if (i >= attrs.dims.size() || attrs.dims[i] != axis) return std::nullopt;
  }
  const Shape& from = graph.type(node.operands[0]).shape;
  if (row_axes(from, rows) != leading) return std::nullopt;
  return RowUse::kRow;
}

/// The axes that an op of one operand works along, where these are not all alike to it.
std::optional<Ints> working_axes(const Graph& graph, const Node& node) {
  if (node.op == Op::kSoftmax || node.op == Op::kLogSoftmax || node.op == Op::kArgmax ||
      node.op == Op::kConcat)
    return Ints{node.attrs.as<AxisAttrs>().axis};
  if (node.op == Op::kLayerNorm)
    return Ints{graph.type(node.operands[0]).rank() - node.attrs.as<LayerNormAttrs>().num_axes};
  if (node.op == Op::kSparseSoftmaxCrossEntropy || node.op == Op::kSoftmaxCrossEntropy)
    return Ints{graph.type(node.operands[0]).rank() - 1};
  if (def(node.op).lowering == Lowering::kReduce) return node.attrs.as<AxesAttrs>().axes;
  return std::nullopt;
}

bool is_splat(const Node& node) {
  return node.op == Op::kConstant && node.attrs.as<ConstantAttrs>().value->size() == 1;
}

std::vector<RowUse> all_rows(const Node& node) {
  return std::vector<RowUse>(node.operands.size(), RowUse::kRow);
}

}  // namespace

std::optional<int64_t> row_axes(const Shape& shape, int64_t rows) {
  int64_t product = 1;
  std::optional<int64_t> axes;
  for (int axis = 0; axis < shape.rank() && product <= rows; ++axis) {
    product *= shape[axis];
    if (product == rows) axes = axis + 1;
  }
  return axes;
}

Shape flat_rows(const Shape& shape, int64_t rows) {
  Shape flat({rows});
  for (int axis = static_cast<int>(*row_axes(shape, rows)); axis < shape.rank(); ++axis)
    flat.push_back(shape[axis]);
  return flat;
}

std::optional<std::vector<RowUse>> row_uses(const Graph& graph, const Node& node, int64_t rows) {
  if (node.results.size() != 1) return std::nullopt;
  const Shape& shape = graph.type(node.results[0]).shape;
  const std::optional<int64_t> leading = row_axes(shape, rows);
  if (!leading) return std::nullopt;
  if (is_splat(node)) return std::vector<RowUse>{};
  if (node.op == Op::kIota) {
    if (node.attrs.as<IotaAttrs>().axis < *leading) return std::nullopt;
    return std::vector<RowUse>{};
  }
  if (node.operands.empty()) return std::nullopt;
  if (def(node.op).has(kTraitElementwise)) return all_rows(node);
  if (node.op == Op::kBroadcast) {
    const std::optional<RowUse> use = broadcast_use(graph, node, rows, *leading);
    return use ? std::optional(std::vector{*use}) : std::nullopt;
  }
  if (node.op == Op::kMatmul) {
    const bool plain =
        shape.rank() == 2 && *leading == 1 && !node.attrs.as<MatmulAttrs>().transpose_a;
    return plain ? std::optional(std::vector{RowUse::kRow, RowUse::kWhole}) : std::nullopt;
  }
  if (node.op == Op::kGather)
    return row_axes(graph.type(node.operands[1]).shape, rows)
               ? std::optional(std::vector{RowUse::kWhole, RowUse::kRow})
               : std::nullopt;
  const std::optional<int64_t> of_operand = row_axes(graph.type(node.operands[0]).shape, rows);
  if (!of_operand) return std::nullopt;
  if (node.op == Op::kReshape) return all_rows(node);
  const std::optional<Ints> axes = working_axes(graph, node);
  if (!axes || !is_behind(*axes, *of_operand)) return std::nullopt;
  if (node.op == Op::kLayerNorm) return std::vector{RowUse::kRow, RowUse::kWhole, RowUse::kWhole};
  return all_rows(node);
}

Val compute_rows(Builder& builder, const Graph& graph, const Node& node,
                 std::span<const Val> operands, int64_t rows, int64_t made) {
  const TensorType type = graph.type(node.results[0]);
  TensorType flat = type.with(flat_rows(type.shape, rows));
  flat.shape[0] = made;
  const int64_t leading = *row_axes(type.shape, rows);
  const std::string hint = graph.value(node.results[0]).name;
  const auto add = [&](AttrRef attrs) {
    return builder.add(node.op, {operands.begin(), operands.end()}, std::move(attrs), hint);
  };
  if (is_splat(node)) return builder.splat(node.attrs.as<ConstantAttrs>().value->front(), flat);
  if (node.op == Op::kIota)
    return iota(builder, flat, moved(node.attrs.as<IotaAttrs>().axis, leading));
  if (node.op == Op::kReshape) return reshape(operands[0], flat.shape);
  if (node.op == Op::kBroadcast) {
    Ints dims;
    if (operands[0].rank() > 0 && node.attrs.as<BroadcastAttrs>().dims.size() > 0 &&
        node.attrs.as<BroadcastAttrs>().dims[0] == 0)
      dims.push_back(0);
    for (const int64_t axis : node.attrs.as<BroadcastAttrs>().dims) {
      if (axis >= leading) dims.push_back(moved(axis, leading));
    }
    return broadcast(operands[0], flat.shape, dims);
  }
  const std::optional<Ints> axes = working_axes(graph, node);
  if (!axes || node.op == Op::kLayerNorm || node.op == Op::kSparseSoftmaxCrossEntropy ||
      node.op == Op::kSoftmaxCrossEntropy)
    return add(node.attrs);
  const int64_t of_operand = *row_axes(graph.type(node.operands[0]).shape, rows);
  Ints inner;
  for (const int64_t axis : *axes)
    inner.push_back(moved(axis, of_operand));
  if (is_plain_axes(node)) return add(make_attrs(AxesAttrs{inner}));
  return add(make_attrs(AxisAttrs{inner[0]}));
}

}  // namespace gradc
