#include "passes/kernel_bodies.h"

#include "ir/op.h"
#include "passes/fusion_label.h"
#include "passes/whole_steps.h"
#include "support/check.h"

#include <map>
#include <utility>

namespace gradc {
namespace {

/// Makes the body of one kernel. Values that exist at the kernel's points only get the points'
/// shape: reshapes among them vanish, and come back at outputs of another shape.
class BodyMaker {
 public:
  BodyMaker(const Graph& graph, const FusionGroup& group, FormFinder& forms)
      : graph_(graph), group_(group), forms_(forms) {}

  std::shared_ptr<Graph> run(const std::string& label) {
    GRADC_CHECK(forms_.find(group_.nodes, group_.outputs).has_value(), "kernel {}: {}", label,
                forms_.reason());
    body_ = std::make_shared<Graph>(label);
    for (ValueId input : group_.inputs) {
      mapped_[input] =
          body_->add_input(InputKind::kArg, graph_.type(input), "", graph_.value(input).name);
    }
    for (NodeId id : group_.nodes)
      add(id);
    for (ValueId output : group_.outputs)
      body_->add_output("", reshaped(mapped_[output], graph_.type(output).shape));
    drop_numbers_of_steps();
    return body_;
  }

 private:
  ValueId add_node(const Node& like, Op op, std::vector<ValueId> operands, AttrRef attrs,
                   std::vector<TensorType> types, std::string_view hint) {
    const LocId loc = body_->add_location(graph_.location(like.loc));
    const NodeId id =
        body_->add_node(op, std::move(operands), std::move(attrs), types, like.phase, loc, hint);
    return body_->node(id).results[0];
  }

  ValueId reshaped(ValueId value, const Shape& shape) {
    if (body_->type(value).shape == shape) return value;
    const auto key = std::pair(value, shape.to_vector());
    const auto found = reshapes_.find(key);
    if (found != reshapes_.end()) return found->second;
    const NodeId def = body_->def(value);
    const Phase phase = def.valid() ? body_->node(def).phase : Phase::kForward;
    const LocId loc = def.valid() ? body_->node(def).loc : LocId();
    const std::vector<TensorType> types = {body_->type(value).with(shape)};
    const NodeId id = body_->add_node(
        Op::kReshape, {value}, make_attrs(ReshapeAttrs{shape.to_vector()}), types, phase, loc);
    return reshapes_[key] = body_->node(id).results[0];
  }

  /// The shape that all values of a class other than kFree have.
  const Shape& points(PointClass point_class) const {
    return point_class == PointClass::kFull ? group_.form.full() : group_.form.per_row();
  }

  /// A step of an optimizer: what its formula says, at the kernel's points where it is made there.
  void add_step(const Node& node, PointClass point_class) {
    const Shape& shape =
        point_class == PointClass::kFree ? graph_.type(node.results[0]).shape : points(point_class);
    Builder builder(*body_);
    builder.set_phase(node.phase);
    builder.set_location(std::string(graph_.location(node.loc)));
    std::vector<Val> operands;
    for (const ValueId operand : node.operands) {
      // The parameter, its gradient and slots, then scalars.
      const bool is_scalar = operands.size() > node.results.size();
      const Shape& wanted = is_scalar ? graph_.type(operand).shape : shape;
      operands.push_back(builder.wrap(reshaped(mapped_[operand], wanted)));
    }
    const std::vector<Val> made = step_formula(builder, node, operands);
    for (size_t i = 0; i < made.size(); ++i) {
      body_->set_name_hint(made[i].id(), graph_.value(node.results[i]).name);
      mapped_[node.results[i]] = made[i].id();
    }
  }

  /// Formulas have their own constants.
  void drop_numbers_of_steps() {
    for (NodeId id = body_->last_node(), before; id.valid(); id = before) {
      before = body_->node(id).prev;
      if (body_->node(id).op == Op::kConstant && !body_->has_uses(body_->node(id).results[0]))
        body_->erase(id);
    }
  }

  void add(NodeId id) {
    const Node& node = graph_.node(id);
    const PointClass point_class = forms_.point_class(node.results[0]);
    if (node.op == Op::kOptimizerStep) return add_step(node, point_class);
    const bool plain =
        point_class == PointClass::kFree || id == group_.form.anchor || is_plain_reduction(node);
    if (plain) return copy(node);
    if (def(node.op).lowering == Lowering::kView) return add_view(node);
    const Shape& shape = points(point_class);
    std::vector<ValueId> operands;
    for (ValueId operand : node.operands)
      operands.push_back(reshaped(mapped_[operand], shape));
    const ValueId result = node.results[0];
    mapped_[result] = add_node(node, node.op, std::move(operands), node.attrs,
                               {graph_.type(result).with(shape)}, graph_.value(result).name);
  }

  void copy(const Node& node) {
    std::vector<ValueId> operands;
    for (ValueId operand : node.operands)
      operands.push_back(reshaped(mapped_[operand], graph_.type(operand).shape));
    std::vector<TensorType> types;
    for (ValueId result : node.results)
      types.push_back(graph_.type(result));
    const LocId loc = body_->add_location(graph_.location(node.loc));
    const NodeId id = body_->add_node(node.op, std::move(operands), node.attrs, types, node.phase,
                                      loc, graph_.value(node.results[0]).name);
    for (size_t i = 0; i < node.results.size(); ++i)
      mapped_[node.results[i]] = body_->node(id).results[i];
  }

  /// Reshapes, and broadcasts of row values back to their rows.
  void add_view(const Node& node) {
    const ValueId operand = node.operands[0];
    const ValueId result = node.results[0];
    if (forms_.point_class(operand) == forms_.point_class(result)) {
      mapped_[result] = mapped_[operand];
      return;
    }
    Ints dims;
    for (int axis = 0; axis < group_.form.per_row().rank(); ++axis)
      dims.push_back(axis);
    const Shape& full = group_.form.full();
    mapped_[result] =
        add_node(node, Op::kBroadcast, {reshaped(mapped_[operand], group_.form.per_row())},
                 make_attrs(BroadcastAttrs{full.to_vector(), std::move(dims)}),
                 {graph_.type(result).with(full)}, graph_.value(result).name);
  }

  const Graph& graph_;
  const FusionGroup& group_;
  FormFinder& forms_;
  std::shared_ptr<Graph> body_;
  std::map<ValueId, ValueId> mapped_;
  std::map<std::pair<ValueId, std::vector<int64_t>>, ValueId> reshapes_;
};

}  // namespace

KernelBody KernelBodies::make(const FusionGroup& group) {
  KernelAttrs attrs;
  attrs.label = kernel_label(graph_, group, rule_);
  attrs.kind = group.form.kind;
  return {BodyMaker(graph_, group, forms_).run(attrs.label), make_attrs(attrs)};
}

/// Writes down which node reads what and all else that the body and the kernel's label follow from,
/// but for types and attributes; gives a hash of it and of those.
uint64_t KernelBodies::describe(const FusionGroup& group) {
  uint64_t hash = 0;
  const auto mix = [&hash](uint64_t v) { hash = attr_detail::mix(hash, v); };
  const auto put = [&](uint64_t v) {
    wiring_.push_back(static_cast<uint32_t>(v));
    mix(v);
  };
  const auto put_type = [&](ValueId value) {
    const TensorType& type = graph_.type(value);
    mix(static_cast<uint64_t>(type.dtype));
    for (const int64_t extent : type.shape)
      mix(static_cast<uint64_t>(extent));
  };
  uint32_t next = 0;
  wiring_.clear();
  put(static_cast<uint64_t>(group.form.kind));
  put(group.inputs.size());
  for (const ValueId input : group.inputs) {
    number_[input.index] = next++;
    put_type(input);
  }
  put(group.nodes.size());
  auto owned = group.owned.begin();
  for (const NodeId id : group.nodes) {
    const Node& node = graph_.node(id);
    const bool is_owned = owned != group.owned.end() && *owned == id;
    owned += is_owned ? 1 : 0;
    put(static_cast<uint64_t>(node.op) << 8U | static_cast<uint64_t>(node.phase) << 2U |
        (is_owned ? 2U : 0U) | (id == group.form.anchor ? 1U : 0U));
    mix(node.attrs.empty() ? 0 : node.attrs.hash());
    put(node.operands.size());
    for (const ValueId operand : node.operands)
      put(number_[operand.index]);
    put(node.results.size());
    for (const ValueId result : node.results)
      number_[result.index] = next++;
  }
  for (const ValueId output : group.outputs) {
    put(number_[output.index]);
    put_type(output);
  }
  put(makes_parameter(graph_, group) ? 1 : 0);
  return hash;
}

/// What the wiring does not say: types and attributes.
bool KernelBodies::same(const FusionGroup& a, const FusionGroup& b) const {
  const auto same_types = [&](std::span<const ValueId> x, std::span<const ValueId> y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), [&](ValueId one, ValueId other) {
      return graph_.type(one) == graph_.type(other);
    });
  };
  return same_types(a.inputs, b.inputs) &&
         std::equal(a.nodes.begin(), a.nodes.end(), b.nodes.begin(), b.nodes.end(),
                    [&](NodeId one, NodeId other) {
                      const Node& x = graph_.node(one);
                      const Node& y = graph_.node(other);
                      return x.attrs == y.attrs && same_types(x.results, y.results);
                    });
}

KernelBody KernelBodies::find(const FusionGroup& group) {
  if (named_) return make(group);
  const uint64_t hash = describe(group);
  const auto [first, last] = made_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const Made& other = it->second;
    if (other.wiring == wiring_ && same(group, *other.group)) return other.body;
  }
  KernelBody body = make(group);
  made_.emplace(hash, Made{&group, wiring_, body});
  return body;
}

}  // namespace gradc
