#include "codegen/kernel/view_groups.h"

#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <algorithm>

namespace gradc::kernel {

namespace {

/// One axis of the result and the operand axis it reads.
struct AxisMap {
  int result_axis = 0;
  int operand_axis = 0;
  ViewGroup map;  // size, operand_size and the map itself; strides are filled in later
  bool joins_previous = false;  ///< may merge behind the group before, when adjacent in both shapes
  bool accepts_next = true;     ///< an untouched next axis may merge into this group
};

bool untouched(const ViewGroup& g) {
  return g.size == g.operand_size && g.start == 0 && g.step == 1 && !g.padded && !g.reversed;
}

int64_t inner_of(const Shape& shape, int axis) {
  int64_t inner = 1;
  for (int i = axis + 1; i < shape.rank(); ++i)
    inner *= shape[i];
  return inner;
}

/// Whether only axes of one element lie between the two.
bool adjacent(const Shape& shape, int first, int second) {
  if (second <= first) return false;
  for (int i = first + 1; i < second; ++i) {
    if (shape[i] != 1) return false;
  }
  return true;
}

std::vector<ViewGroup> merge(const Shape& result, const Shape& operand,
                             const std::vector<AxisMap>& axes) {
  std::vector<ViewGroup> groups;
  const AxisMap* last = nullptr;
  for (const AxisMap& axis : axes) {
    if (axis.map.size == 1 && axis.map.operand_size == 1) continue;
    const bool joins = last != nullptr && last->accepts_next && untouched(axis.map) &&
                       adjacent(result, last->result_axis, axis.result_axis) &&
                       adjacent(operand, last->operand_axis, axis.operand_axis);
    if (joins) {
      ViewGroup& g = groups.back();
      const int64_t extent = axis.map.size;
      g.size *= extent;
      g.operand_size *= extent;
      g.start *= extent;
      g.low *= extent;
    } else {
      groups.push_back(axis.map);
    }
    ViewGroup& g = groups.back();
    g.inner = inner_of(result, axis.result_axis);
    g.operand_inner = inner_of(operand, axis.operand_axis);
    last = &axis;
  }
  return groups;
}

int64_t or_default(const Ints& values, int axis, int64_t otherwise) {
  return values.empty() ? otherwise : values[static_cast<size_t>(axis)];
}

AxisMap map_axis(const Node& node, int axis, const Shape& result, const Shape& operand) {
  AxisMap m;
  m.result_axis = m.operand_axis = axis;
  m.map.size = result[axis];
  m.map.operand_size = operand[axis];
  if (node.op == Op::kSlice) {
    const auto& attrs = node.attrs.as<SliceAttrs>();
    m.map.start = attrs.start[static_cast<size_t>(axis)];
    m.map.step = or_default(attrs.stride, axis, 1);
    m.accepts_next = m.map.step == 1;
  } else if (node.op == Op::kPad) {
    const auto& attrs = node.attrs.as<PadAttrs>();
    m.map.low = attrs.low[static_cast<size_t>(axis)];
    m.map.spread = 1 + or_default(attrs.interior, axis, 0);
    m.map.padded = m.map.size != m.map.operand_size;
    m.accepts_next = m.map.spread == 1;
  } else {
    const auto& axes = node.attrs.as<AxesAttrs>().axes;
    m.map.reversed = m.map.size > 1 && std::find(axes.begin(), axes.end(), axis) != axes.end();
    m.accepts_next = !m.map.reversed;
  }
  return m;
}

}  // namespace

std::vector<ViewGroup> view_groups(const Graph& graph, const Node& node) {
  const Shape& result = graph.type(node.results[0]).shape;
  const Shape& operand = graph.type(node.operands[0]).shape;
  std::vector<AxisMap> axes;
  const auto plain = [&](int result_axis, int operand_axis) {
    AxisMap m;
    m.result_axis = result_axis;
    m.operand_axis = operand_axis;
    m.map.size = m.map.operand_size = result[result_axis];
    axes.push_back(m);
  };
  if (node.op == Op::kBroadcast) {
    const auto& dims = node.attrs.as<BroadcastAttrs>().dims;
    for (size_t i = 0; i < dims.size(); ++i)
      plain(static_cast<int>(dims[i]), static_cast<int>(i));
  } else if (node.op == Op::kTranspose) {
    const auto& perm = node.attrs.as<TransposeAttrs>().perm;
    for (size_t i = 0; i < perm.size(); ++i)
      plain(static_cast<int>(i), static_cast<int>(perm[i]));
  } else {
    GRADC_CHECK(node.op == Op::kSlice || node.op == Op::kPad || node.op == Op::kReverse,
                "{} is no view of one operand by axes", op_name(node.op));
    for (int axis = 0; axis < result.rank(); ++axis)
      axes.push_back(map_axis(node, axis, result, operand));
  }
  return merge(result, operand, axes);
}

}  // namespace gradc::kernel
