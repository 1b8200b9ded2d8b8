#include "passes/fusion_form.h"

#include "ir/op.h"

#include <algorithm>

namespace gradc {
namespace {

/// Whether the operand's row-major position is the result's position divided by `repeat`: the
/// operand's axes are the leading ones of the result (axes of extent 1 aside).
bool broadcasts_trailing(const Shape& from, const BroadcastAttrs& attrs, int64_t repeat) {
  const Shape to(attrs.shape);
  std::vector<bool> kept(static_cast<size_t>(to.rank()), false);
  for (size_t i = 0; i < attrs.dims.size(); ++i) {
    if (from[static_cast<int>(i)] != 1) kept[static_cast<size_t>(attrs.dims[i])] = true;
  }
  int64_t repeated = 1;
  bool trailing = false;
  for (int axis = 0; axis < to.rank(); ++axis) {
    if (kept[static_cast<size_t>(axis)]) {
      if (trailing) return false;
    } else if (to[axis] != 1) {
      trailing = true;
      repeated *= to[axis];
    }
  }
  return repeated == repeat;
}

/// Results are stored where data says, in no order of their own.
bool is_complete_at_end(Op op) {
  return op == Op::kScatterAdd || op == Op::kPartition || op == Op::kDistinct || op == Op::kPutRows;
}

}  // namespace

bool is_plain_reduction(const Node& node) {
  return def(node.op).lowering == Lowering::kReduce && node.op != Op::kArgmax;
}

bool is_splat_constant(const Node& node) {
  if (node.op != Op::kConstant) return false;
  const Dense& value = node.attrs.as<ConstantAttrs>().value;
  return std::all_of(value->begin(), value->end(), [&](double x) { return x == value->front(); });
}

std::span<const ValueId> joined_parts(const Graph& graph, ValueId output,
                                      std::span<const NodeId> nodes) {
  const NodeId def = graph.def(output);
  if (!def.valid() || graph.node(def).op != Op::kConcat) return {};
  const ValueList& parts = graph.node(def).operands;
  const bool equal = std::all_of(parts.begin(), parts.end(), [&](ValueId part) {
    return graph.type(part) == graph.type(parts[0]);
  });
  if (!equal || parts.size() < 2) return {};
  const UseList& uses = graph.value(output).uses;
  const bool read = std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
    return std::find(nodes.begin(), nodes.end(), use.node) != nodes.end();
  });
  return read ? std::span<const ValueId>() : std::span<const ValueId>(parts);
}

const Shape& elementwise_points(const Graph& graph, std::span<const ValueId> outputs,
                                std::span<const NodeId> nodes) {
  for (ValueId output : outputs) {
    if (joined_parts(graph, output, nodes).empty()) return graph.type(output).shape;
  }
  return graph.type(joined_parts(graph, outputs[0], nodes)[0]).shape;
}

void FormFinder::set_class(ValueId value, PointClass point_class) {
  values_[value.index] = {stamp_, point_class};
}

std::optional<KernelForm> FormFinder::find(std::span<const NodeId> nodes,
                                           std::span<const ValueId> outputs) {
  ++stamp_;
  reason_ = {};
  KernelForm form;
  if (outputs.empty()) {
    no(kNothingStored);
    return std::nullopt;
  }
  if (!find_anchor(nodes, form)) return std::nullopt;
  if (form.kind == KernelKind::kElementwise) {
    const Shape& points = elementwise_points(graph_, outputs, nodes);  // and all values are free
    form.set_shapes(points, points);
  } else {
    for (NodeId node : nodes) {
      if (!classify(node, form)) return std::nullopt;
    }
  }
  for (ValueId output : outputs) {
    if (!check_output(output, form, nodes)) return std::nullopt;
  }
  return form;
}

FormFinder::FormFinder(const Graph& graph)
    : graph_(graph), role_(graph.node_capacity(), Role::kOther), values_(graph.value_capacity()) {
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next)
    role_[id.index] = role_of(graph.node(id));
}

FormFinder::Role FormFinder::role_of(const Node& node) {
  switch (def(node.op).lowering) {
    case Lowering::kScalar:
      return Role::kElement;
    case Lowering::kSource:
      return node.op == Op::kConstant && !is_splat_constant(node) ? Role::kData : Role::kElement;
    case Lowering::kView:
      return Role::kView;
    case Lowering::kReduce:
      return is_plain_reduction(node) ? Role::kReduction : Role::kOpaque;
    case Lowering::kGather:
      return node.op == Op::kGather ? Role::kLookup : Role::kOpaque;
    case Lowering::kPool:
    case Lowering::kAttention:
      return Role::kOpaque;
    case Lowering::kMatmul:
    case Lowering::kConv:
      return Role::kContraction;
    case Lowering::kComposite:
      return node.op == Op::kOptimizerStep ? Role::kElement : Role::kOther;
    case Lowering::kStructure:
      return Role::kOther;
  }
  GRADC_UNREACHABLE();
}

/// Sets the kind by the nodes that are more than elementwise.
bool FormFinder::find_anchor(std::span<const NodeId> nodes, KernelForm& form) {
  int anchors = 0;
  NodeId reduction;
  NodeId lookup;
  for (NodeId id : nodes) {
    const Role role = role_[id.index];
    switch (role) {
      case Role::kElement:
      case Role::kView:
        break;
      case Role::kReduction:
        if (!reduction.valid()) reduction = id;
        break;
      case Role::kLookup:
        lookup = id;
        break;
      case Role::kOpaque:
      case Role::kContraction:
        form.kind = role == Role::kOpaque ? KernelKind::kOpaque : KernelKind::kContraction;
        form.anchor = id;
        ++anchors;
        break;
      case Role::kData:
        return no("a constant of many numbers is data");
      case Role::kOther:
        return no("not a primitive op");
    }
  }
  // Beside an anchor or reductions, and before another lookup, rows of a table are free values.
  if (lookup.valid() && anchors == 0 && !reduction.valid()) {
    form.kind = KernelKind::kOpaque;
    form.anchor = lookup;
    anchors = 1;
  }
  if (anchors > 1) return no(kTwoAnchors);
  if (anchors == 1 && reduction.valid()) return no(kAnchorAndReduction);
  if (anchors == 1) {
    const Shape& result = graph_.type(graph_.node(form.anchor).results[0]).shape;
    form.set_shapes(result, result);
    return true;
  }
  return !reduction.valid() || set_reduction_form(reduction, form);
}

bool FormFinder::set_reduction_form(NodeId id, KernelForm& form) {
  const Node& node = graph_.node(id);
  const Ints& axes = node.attrs.as<AxesAttrs>().axes;
  const TensorType& operand = graph_.type(node.operands[0]);
  form.anchor = id;
  const Shape& result = graph_.type(node.results[0]).shape;
  const int64_t first_trailing = operand.rank() - static_cast<int64_t>(axes.size());
  const bool trailing = axes.empty() || axes.front() == first_trailing;
  form.kind = trailing ? KernelKind::kRow : KernelKind::kColumn;
  form.set_shapes(operand.shape, trailing ? operand.shape : result);
  form.set_per_row(result);
  return true;
}

bool FormFinder::classify(NodeId id, const KernelForm& form) {
  const Node& node = graph_.node(id);
  if (role_[id.index] == Role::kReduction) return classify_reduction(id, form);
  PointClass operand = PointClass::kFree;
  for (ValueId value : node.operands) {
    const PointClass c = point_class(value);
    if (c == PointClass::kFree) continue;
    if (operand != PointClass::kFree && operand != c) return no("row and element values mixed");
    operand = c;
  }
  if (id == form.anchor) {
    for (ValueId result : node.results)
      set_class(result, PointClass::kFull);
    return true;
  }
  if (operand == PointClass::kFree) {
    for (ValueId result : node.results)
      set_class(result, PointClass::kFree);
    return true;
  }
  if (role_[id.index] == Role::kLookup) return no("a dependent value looked up");
  if (form.kind == KernelKind::kOpaque && is_complete_at_end(graph_.node(form.anchor).op))
    return no("what is scattered is complete only at its end");
  if (form.kind == KernelKind::kOpaque &&
      def(graph_.node(form.anchor).op).lowering == Lowering::kAttention)
    return no("attention is complete only at its end");
  if (role_[id.index] == Role::kView) return classify_view(id, form, operand);
  for (ValueId result : node.results)
    set_class(result, operand);
  return true;
}

bool FormFinder::classify_reduction(NodeId id, const KernelForm& form) {
  const Node& node = graph_.node(id);
  const ValueId operand = node.operands[0];
  if (graph_.type(operand).shape != form.space() ||
      node.attrs.as<AxesAttrs>().axes != graph_.node(form.anchor).attrs.as<AxesAttrs>().axes) {
    return no(kOtherReductions);
  }
  if (form.kind == KernelKind::kRow) {
    if (point_class(operand) == PointClass::kPerRow) return no("a row value reduced");
    set_class(node.results[0], PointClass::kPerRow);
    return true;
  }
  if (point_class(operand) != PointClass::kFree) return no("a reduction of a reduction");
  set_class(node.results[0], PointClass::kFull);
  return true;
}

bool FormFinder::classify_view(NodeId id, const KernelForm& form, PointClass operand) {
  const Node& node = graph_.node(id);
  const TensorType& from = graph_.type(node.operands[0]);
  const TensorType& to = graph_.type(node.results[0]);
  if (node.op == Op::kReshape) {
    set_class(node.results[0], operand);
    return true;
  }
  if (node.op != Op::kBroadcast) return no("a dependent value read at another point");
  const auto& attrs = node.attrs.as<BroadcastAttrs>();
  if (from.num_elements() == to.num_elements()) {
    set_class(node.results[0], operand);
    return true;
  }
  const bool per_row = form.kind == KernelKind::kRow && operand == PointClass::kPerRow &&
                       to.num_elements() == form.space().num_elements();
  if (!per_row || !broadcasts_trailing(from.shape, attrs, form.cols()))
    return no("a dependent value is repeated");
  set_class(node.results[0], PointClass::kFull);
  return true;
}

bool FormFinder::check_output(ValueId value, const KernelForm& form,
                              std::span<const NodeId> nodes) {
  const TensorType& type = graph_.type(value);
  if (point_class(value) != PointClass::kFree) return true;
  if (form.kind == KernelKind::kElementwise) {
    const std::span<const ValueId> parts = joined_parts(graph_, value, nodes);
    if (!parts.empty() && graph_.type(parts[0]).shape == form.full()) return true;
  }
  if (type.shape == form.full()) return true;
  if (form.kind == KernelKind::kRow && type.shape == form.per_row()) return true;
  return no(kOtherShapes);
}

}  // namespace gradc
