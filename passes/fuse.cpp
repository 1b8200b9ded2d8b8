// fuse - turns a graph of primitives into a graph of kernels, after the groups of fusion_groups.
// What remains beside kernels: updates, and constants with many different numbers.
#include "ir/op.h"
#include "passes/fusion_groups.h"
#include "passes/fusion_label.h"
#include "passes/kernel_bodies.h"
#include "passes/passes.h"
#include "support/check.h"

#include <fmt/ranges.h>

#include <set>
#include <utility>

namespace gradc::passes {
namespace {

/// The node that says where a kernel comes from.
const Node& main_node(const Graph& graph, const FusionGroup& group) {
  return graph.node(group.form.anchor.valid() ? group.form.anchor : group.owned.back());
}

class Emitter {
 public:
  explicit Emitter(Graph& graph) : graph_(graph), old_nodes_(graph.nodes()) {
    for (size_t i = 0; i < graph.value_capacity(); ++i)
      mapped_.push_back(ValueId(i));
  }

  /// The bodies are made before the graph changes; a loop has none.
  void run(const std::vector<FusionGroup>& groups, std::vector<std::shared_ptr<Graph>> bodies) {
    for (size_t i = 0; i < groups.size(); ++i) {
      if (groups[i].loop) {
        keep_loop(groups[i].owned[0]);
      } else {
        add_kernel(groups[i], std::move(bodies[i]));
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
  std::vector<NodeId> old_nodes_;
  std::vector<ValueId> mapped_;  ///< by old ValueId
  std::vector<NodeId> kernels_;  ///< and loops, in order
  std::set<NodeId> loops_;
  std::vector<std::pair<ValueId, std::string>> names_;
};

}  // namespace

Result<bool> fuse(Graph& graph, PassContext& context) {
  bool any = false;
  bool fused = false;
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
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
    fused = fused || node.op == Op::kKernel;
  }
  if (!any) return false;
  if (fused) {
    return make_error(DiagKind::kUnsupported, {},
                      "fuse works on a graph without kernels, this one is partly fused");
  }
  const std::vector<FusionGroup> groups = FusionGroups(graph, context).run();
  KernelBodies made(graph, step_label(context), context.options.name_bodies);
  std::vector<std::shared_ptr<Graph>> bodies;
  for (const FusionGroup& group : groups)
    bodies.push_back(group.loop ? nullptr : made.find(group));
  Emitter(graph).run(groups, std::move(bodies));
  context.count("kernels", static_cast<int64_t>(groups.size()));
  if (context.options.verify) {
    const std::vector<std::string> wrong = verify_fused(graph);
    GRADC_CHECK(wrong.empty(), "fuse made wrong kernels: {}", fmt::join(wrong, "; "));
  }
  return true;
}

}  // namespace gradc::passes
