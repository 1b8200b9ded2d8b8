#include "ir/rows.h"

#include "ir/op_attrs.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace gradc {

namespace {

using Kind = RowPlace::Kind;

RowPlace rows_within(int64_t inner) {
  return {.kind = Kind::kRows, .inner = inner};
}

/// What is made of both.
RowPlace both(const RowPlace& a, const RowPlace& b) {
  if (a.kind == Kind::kNone || a == b) return b;
  return b.kind == Kind::kNone ? a : kMixedRows;
}

/// Elements between neighbours along an axis.
int64_t step_along(const Shape& shape, int axis) {
  int64_t step = 1;
  for (int i = axis + 1; i < shape.rank(); ++i)
    step *= shape[i];
  return step;
}

/// The axes over which rows go, from the first; nothing where a row ends within an axis that
/// others go over too.
std::optional<std::vector<int>> axes_of_rows(const Shape& shape, int64_t inner, int64_t rows) {
  std::vector<int> axes;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    const int64_t step = step_along(shape, axis);
    if (step >= inner * rows) {
      if (step % (inner * rows) != 0) return std::nullopt;
    } else if (step * shape[axis] > inner) {
      axes.push_back(axis);
    }
  }
  if (axes.empty() || inner % step_along(shape, axes.back()) != 0) return std::nullopt;
  return axes;
}

/// Where rows of an operand are in a result, of which its axes are these.
RowPlace moved(const Shape& operand, int64_t inner, std::span<const int64_t> axes,
               const Shape& result, int64_t rows) {
  const auto of_rows = axes_of_rows(operand, inner, rows);
  if (!of_rows) return kMixedRows;
  int next = -1;  // behind what the one before has become
  int last = -1;
  for (const int axis : *of_rows) {
    const auto to = static_cast<int>(axes[static_cast<size_t>(axis)]);
    if (to < 0 || to >= result.rank() || result[to] != operand[axis]) return kMixedRows;
    if (next >= 0 && to < next) return kMixedRows;
    for (int between = next; next >= 0 && between < to; ++between) {
      if (result[between] != 1) return kMixedRows;
    }
    last = to;
    next = to + 1;
  }
  return rows_within(inner / step_along(operand, of_rows->back()) * step_along(result, last));
}

/// Axes whose extents differ.
std::vector<int> differing(const Shape& a, const Shape& b) {
  std::vector<int> axes;
  for (int axis = 0; axis < a.rank(); ++axis) {
    if (a[axis] != b[axis]) axes.push_back(axis);
  }
  return axes;
}

/// Follows one graph.
class Walk {
 public:
  Walk(const Graph& graph, int64_t rows, const Graph* other)
      : graph_(graph), other_(other), rows_(rows), places_(graph.value_capacity()) {}

  std::vector<RowPlace> run(std::span<const RowPlace> inputs) {
    for (size_t i = 0; i < graph_.inputs().size(); ++i)
      places_[graph_.inputs()[i].value.index] = inputs[i];
    const std::vector<NodeId> nodes = graph_.nodes();
    const std::vector<NodeId> others = other_ == nullptr ? nodes : other_->nodes();
    for (size_t i = 0; i < nodes.size(); ++i)
      visit(graph_.node(nodes[i]), other_ == nullptr ? nullptr : &other_->node(others[i]));
    return std::move(places_);
  }

 private:
  void visit(const Node& node, const Node* other) {
    std::vector<RowPlace> operands;
    for (const ValueId operand : node.operands)
      operands.push_back(places_[operand.index]);
    const std::vector<RowPlace> results =
        node.body == nullptr ? call(node, operands) : run_body(node, operands, other);
    const bool counts = other != nullptr && counts_rows(node, *other);
    for (size_t i = 0; i < node.results.size(); ++i) {
      RowPlace place = counts ? kMixedRows : results[i];
      if (other != nullptr) place = as_extents_say(place, node.results[i], other->results[i]);
      places_[node.results[i].index] = place;
    }
  }

  /// Whether the number of rows is in the attributes of a call for more than extents: a constant's
  /// element, the steps of a loop.
  bool counts_rows(const Node& node, const Node& other) const {
    if (node.op == Op::kConstant) {
      return !attr_detail::equal_field(node.attrs.as<ConstantAttrs>().value,
                                       other.attrs.as<ConstantAttrs>().value);
    }
    if (node.op == Op::kScan)
      return node.attrs.as<ScanAttrs>().steps != other.attrs.as<ScanAttrs>().steps;
    const auto same = [&](std::span<const ValueId> values, std::span<const ValueId> others) {
      for (size_t i = 0; i < values.size(); ++i) {
        if (graph_.type(values[i]) != other_->type(others[i])) return false;
      }
      return true;
    };
    return node.attrs != other.attrs && same(node.operands, other.operands) &&
           same(node.results, other.results);
  }

  std::vector<RowPlace> call(const Node& node, std::span<const RowPlace> places) const {
    const auto types = [&](std::span<const ValueId> values) {
      std::vector<TensorType> list;
      for (const ValueId value : values)
        list.push_back(graph_.type(value));
      return list;
    };
    return rows_of_call(node.op, types(node.operands), node.attrs, types(node.results), places,
                        rows_);
  }

  /// A value with as many axes of the batch as there are: one, or its rows are not apart.
  RowPlace as_extents_say(RowPlace place, ValueId value, ValueId in_other) const {
    const Shape& shape = graph_.type(value).shape;
    const std::vector<int> axes = differing(shape, other_->type(in_other).shape);
    if (axes.size() > 1) return kMixedRows;
    if (axes.empty() || place.kind != Kind::kNone) return place;
    const int64_t extent = shape[axes.front()];
    if (extent % rows_ != 0) return kMixedRows;
    return rows_within(extent / rows_ * step_along(shape, axes.front()));
  }

  /// Carried values until they stay what they are. A step behind the other leaves the place of rows
  /// in a slice as it is in the whole: places count from the last axis.
  std::vector<RowPlace> run_body(const Node& node, std::vector<RowPlace> args, const Node* other) {
    const bool loop = node.op == Op::kScan;
    const size_t carries = loop ? static_cast<size_t>(node.attrs.as<ScanAttrs>().carries) : 0;
    const size_t slices = loop ? static_cast<size_t>(node.attrs.as<ScanAttrs>().slices) : 0;
    for (size_t i = carries; i < carries + slices; ++i) {
      const Shape slice(graph_.type(node.operands[i]).shape.dims().subspan(1));
      const bool fits = slice.num_elements() % (args[i].inner * rows_) == 0;
      if (args[i].kind == Kind::kRows && !fits) args[i] = kMixedRows;
    }
    const Graph* other_body = other == nullptr ? nullptr : other->body.get();
    for (;;) {
      const std::vector<RowPlace> inside = find_rows(*node.body, rows_, args, other_body);
      std::vector<RowPlace> results;
      for (const GraphOutput& output : node.body->outputs())
        results.push_back(inside[output.value.index]);
      bool grown = false;
      for (size_t i = 0; i < carries; ++i) {
        const RowPlace joined = both(args[i], results[i]);
        grown = grown || joined != args[i];
        args[i] = results[i] = joined;
      }
      if (!grown) return results;
    }
  }

  const Graph& graph_;
  const Graph* other_;
  int64_t rows_;
  std::vector<RowPlace> places_;
};

}  // namespace

RowPlace leading_rows(const Shape& shape) {
  return rows_within(step_along(shape, 0));
}

OperandAxes axes_of(Op op, std::span<const TensorType> operands, const AttrRef& attrs) {
  const OpDef& entry = def(op);
  if (entry.axes != nullptr) return entry.axes({operands, attrs});
  OperandAxes map;
  for (const TensorType& operand : operands) {
    map.emplace_back(static_cast<size_t>(operand.rank()), kMeets);
    for (size_t i = 0; entry.has(kTraitElementwise) && i < map.back().size(); ++i)
      map.back()[i] = static_cast<int64_t>(i);
  }
  return map;
}

std::vector<RowPlace> rows_of_call(Op op, std::span<const TensorType> operands,
                                   const AttrRef& attrs, std::span<const TensorType> results,
                                   std::span<const RowPlace> places, int64_t rows) {
  std::vector<RowPlace> made(results.size());
  const bool in_order = def(op).has(kTraitElementwise) || def(op).has(kTraitSameOrder);
  const OperandAxes map = axes_of(op, operands, attrs);
  for (size_t i = 0; i < operands.size(); ++i) {
    for (size_t k = 0; k < results.size(); ++k) {
      RowPlace place = places[i];
      if (place.kind == Kind::kRows && !in_order)
        place = moved(operands[i].shape, place.inner, map[i], results[k].shape, rows);
      made[k] = both(made[k], place);
    }
  }
  return made;
}

std::vector<RowPlace> find_rows(const Graph& graph, int64_t rows, std::span<const RowPlace> inputs,
                                const Graph* other) {
  return Walk(graph, rows, other).run(inputs);
}

}  // namespace gradc
