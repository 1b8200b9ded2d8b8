#include "passes/row_region.h"

#include "ir/op.h"
#include "ir/op_attrs.h"
#include "ir/rows.h"
#include "passes/pattern.h"

#include <algorithm>

namespace gradc {
namespace {

/// Axes of a value as they are when its rows have one axis.
int64_t moved(int64_t axis, int64_t row_axes) {
  return axis - row_axes + 1;
}

bool is_splat(const Node& node) {
  return node.op == Op::kConstant && node.attrs.as<ConstantAttrs>().value->size() == 1;
}

/// How an operand is taken, whose axes are these of a result with `leading` axes of rows: row by
/// row it has as many of them. Nothing where it is neither that nor whole.
std::optional<RowUse> use_of(const Shape& operand, std::span<const int64_t> axes, int64_t leading,
                             int64_t rows) {
  const int64_t own = row_axes(operand, rows).value_or(0);
  bool row_by_row = own == leading, whole = true;
  for (int axis = 0; axis < operand.rank(); ++axis) {
    const int64_t to = axes[static_cast<size_t>(axis)];
    const bool of_rows = to >= 0 && to < leading;
    whole = whole && !of_rows;
    row_by_row = row_by_row && (axis < own ? to == axis : !of_rows);
  }
  if (row_by_row) return RowUse::kRow;
  return whole ? std::optional(RowUse::kWhole) : std::nullopt;
}

/// Whether compute_rows makes such a call again: it knows what its attributes say of axes.
bool is_known(const Node& node, const Shape& result) {
  const AttrVtable* attrs = def(node.op).attrs;
  if (node.op == Op::kMatmul)
    return result.rank() == 2 && !node.attrs.as<MatmulAttrs>().transpose_a;
  return attrs == nullptr || attrs == &kAttrVtable<AxesAttrs> || attrs == &kAttrVtable<AxisAttrs> ||
         attrs == &kAttrVtable<BroadcastAttrs> || attrs == &kAttrVtable<LayerNormAttrs>;
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
  std::vector<RowUse> uses(node.operands.size(), RowUse::kRow);
  if (def(node.op).has(kTraitElementwise)) return uses;
  if (def(node.op).has(kTraitSameOrder)) {
    const bool counted = row_axes(graph.type(node.operands[0]).shape, rows).has_value();
    return counted ? std::optional(uses) : std::nullopt;
  }
  if (!is_known(node, shape)) return std::nullopt;
  std::vector<TensorType> operands;
  for (const ValueId operand : node.operands)
    operands.push_back(graph.type(operand));
  const OperandAxes map = axes_of(node.op, operands, node.attrs);
  for (size_t i = 0; i < uses.size(); ++i) {
    const std::optional<RowUse> use = use_of(operands[i].shape, map[i], *leading, rows);
    if (!use) return std::nullopt;
    uses[i] = *use;
  }
  const bool any = std::find(uses.begin(), uses.end(), RowUse::kRow) != uses.end();
  return any || node.op == Op::kBroadcast ? std::optional(uses) : std::nullopt;
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
  const AttrVtable* kind = def(node.op).attrs;
  const int64_t of_operand = row_axes(graph.type(node.operands[0]).shape, rows).value_or(0);
  if (kind == &kAttrVtable<AxisAttrs>)
    return add(make_attrs(AxisAttrs{moved(node.attrs.as<AxisAttrs>().axis, of_operand)}));
  if (kind != &kAttrVtable<AxesAttrs>) return add(node.attrs);
  Ints inner;
  for (const int64_t axis : node.attrs.as<AxesAttrs>().axes)
    inner.push_back(moved(axis, of_operand));
  return add(make_attrs(AxesAttrs{inner}));
}

}  // namespace gradc
