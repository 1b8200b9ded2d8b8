// fuse - turns a graph of primitives into a graph of kernels, after the groups of fusion_groups.
// What remains beside kernels: updates, and constants with many different numbers.
#include "ir/op.h"
#include "passes/fusion_groups.h"
#include "passes/fusion_label.h"
#include "passes/passes.h"
#include "support/check.h"

#include <fmt/ranges.h>

#include <map>
#include <set>
#include <utility>

namespace gradc::passes {
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

  void add(NodeId id) {
    const Node& node = graph_.node(id);
    const PointClass point_class = forms_.point_class(node.results[0]);
    const bool plain =
        point_class == PointClass::kFree || id == group_.form.anchor || is_plain_reduction(node);
    if (plain) return copy(node);
    if (def(node.op).lowering == Lowering::kView) return add_view(node);
    const Shape& shape = point_class == PointClass::kFull ? group_.form.full : group_.form.per_row;
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
    for (int axis = 0; axis < group_.form.per_row.rank(); ++axis)
      dims.push_back(axis);
    const Shape& full = group_.form.full;
    mapped_[result] =
        add_node(node, Op::kBroadcast, {reshaped(mapped_[operand], group_.form.per_row)},
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

/// The node that says where a kernel comes from.
const Node& main_node(const Graph& graph, const FusionGroup& group) {
  return graph.node(group.form.anchor.valid() ? group.form.anchor : group.owned.back());
}

class Emitter {
 public:
  /// `rule` is the optimizer's, for names.
  Emitter(Graph& graph, std::string_view rule)
      : graph_(graph), rule_(rule), forms_(graph), old_nodes_(graph.nodes()) {
    for (size_t i = 0; i < graph.value_capacity(); ++i)
      mapped_.push_back(ValueId(i));
  }

  void run(const std::vector<FusionGroup>& groups) {
    for (const FusionGroup& group : groups)
      bodies_.push_back(group.loop ? nullptr : make_body(group));
    for (size_t i = 0; i < groups.size(); ++i) {
      if (groups[i].loop) {
        keep_loop(groups[i].owned[0]);
      } else {
        add_kernel(groups[i], bodies_[i]);
      }
    }
    std::vector<NodeId> updates;
    std::vector<NodeId> constants;
    for (NodeId id : old_nodes_) {
      if (graph_.node(id).op != Op::kUpdate) continue;
      graph_.set_operand(id, 1, mapped(graph_.node(id).operands[1]));
      updates.push_back(id);
    }
    for (size_t i = 0; i < graph_.outputs().size(); ++i)
      graph_.set_output(i, mapped(graph_.outputs()[i].value));
    erase_old_nodes(constants);
    std::vector<NodeId> order = constants;
    order.insert(order.end(), kernels_.begin(), kernels_.end());
    order.insert(order.end(), updates.begin(), updates.end());
    graph_.set_order(order);
    for (const auto& [value, name] : names_)
      graph_.set_name_hint(value, name);
  }

 private:
  ValueId mapped(ValueId value) const {
    return value.index < mapped_.size() ? mapped_[value.index] : value;
  }

  /// Bodies are made before the graph changes.
  std::shared_ptr<Graph> make_body(const FusionGroup& group) {
    return BodyMaker(graph_, group, forms_).run(kernel_label(graph_, group, rule_));
  }

  void add_kernel(const FusionGroup& group, std::shared_ptr<Graph> body) {
    const Node& main = main_node(graph_, group);
    const Phase phase = main.phase;
    const LocId loc = main.loc;
    std::vector<ValueId> operands;
    for (ValueId input : group.inputs)
      operands.push_back(mapped(input));
    std::vector<TensorType> types;
    for (ValueId output : group.outputs)
      types.push_back(graph_.type(output));
    KernelAttrs attrs;
    attrs.label = body->name();
    attrs.kind = group.form.kind;
    const NodeId kernel = graph_.add_node(Op::kKernel, std::move(operands), make_attrs(attrs),
                                          types, phase, loc, {}, std::move(body));
    kernels_.push_back(kernel);
    for (size_t i = 0; i < group.outputs.size(); ++i) {
      const ValueId result = graph_.node(kernel).results[i];
      mapped_[group.outputs[i].index] = result;
      names_.emplace_back(result, graph_.value(group.outputs[i]).name);
    }
  }

  /// A loop reads what kernels made; its own body is fused on its own.
  void keep_loop(NodeId id) {
    for (size_t i = 0; i < graph_.node(id).operands.size(); ++i)
      graph_.set_operand(id, i, mapped(graph_.node(id).operands[i]));
    kernels_.push_back(id);
    loops_.insert(id);
  }

  void erase_old_nodes(std::vector<NodeId>& constants) {
    for (auto it = old_nodes_.rbegin(); it != old_nodes_.rend(); ++it) {
      const Node& node = graph_.node(*it);
      if (node.op == Op::kUpdate || loops_.contains(*it)) continue;
      const bool used = graph_.has_uses(node.results[0]);
      if (node.op == Op::kConstant && used) {
        constants.insert(constants.begin(), *it);
      } else {
        graph_.erase(*it);
      }
    }
  }

  Graph& graph_;
  std::string rule_;
  FormFinder forms_;
  std::vector<NodeId> old_nodes_;
  std::vector<ValueId> mapped_;  ///< by old ValueId
  std::vector<std::shared_ptr<Graph>> bodies_;
  std::vector<NodeId> kernels_;  ///< and loops, in order
  std::set<NodeId> loops_;
  std::vector<std::pair<ValueId, std::string>> names_;
};

}  // namespace

Result<bool> fuse(Graph& graph, PassContext& context) {
  bool any = false;
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    const Lowering lowering = def(node.op).lowering;
    if (lowering == Lowering::kComposite) {
      return make_error(DiagKind::kUnsupported, {},
                        "fuse works on primitive ops, the graph has {}; run expand_composites "
                        "first",
                        op_name(node.op));
    }
    const bool is_constant = node.op == Op::kConstant && !is_splat_constant(node);
    any = any || (lowering != Lowering::kStructure && !is_constant);
  }
  if (!any) return false;
  for (NodeId id : graph.nodes()) {
    if (graph.node(id).op == Op::kKernel) {
      return make_error(DiagKind::kUnsupported, {},
                        "fuse works on a graph without kernels, this one is partly fused");
    }
  }
  const std::vector<FusionGroup> groups = FusionGroups(graph, context).run();
  Emitter(graph, step_label(context)).run(groups);
  context.count("kernels", static_cast<int64_t>(groups.size()));
  if (context.options.verify) {
    const std::vector<std::string> wrong = verify_fused(graph);
    GRADC_CHECK(wrong.empty(), "fuse made wrong kernels: {}", fmt::join(wrong, "; "));
  }
  return true;
}

}  // namespace gradc::passes
