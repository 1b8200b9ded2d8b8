// fuse - turns a graph of primitives into a graph of kernels, after the groups of fusion_groups.
// What remains beside kernels: updates, and constants with many different numbers.
#include "ir/op.h"
#include "passes/fusion_groups.h"
#include "passes/fusion_label.h"
#include "passes/kernel_bodies.h"
#include "passes/passes.h"
#include "passes/whole_steps.h"
#include "support/check.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

namespace gradc::passes {
namespace {

/// The node that says where a kernel comes from.
const Node& main_node(const Graph& graph, const FusionGroup& group) {
  return graph.node(group.form.anchor.valid() ? group.form.anchor : group.owned.back());
}

/// Writes the graph of kernels. It is a new one: what it does not name is gone at once, and what
/// comes after walks over kernels and not over what was fused.
class Emitter {
 public:
  Emitter(Graph& old, const std::vector<FusionGroup>& groups, std::vector<KernelBody> bodies)
      : old_(old), groups_(groups), bodies_(std::move(bodies)), mapped_(old.value_capacity()) {}

  void run() {
    for (const GraphInput& input : old_.inputs()) {
      mapped_[input.value.index] =
          fresh_.add_input(input.kind, old_.type(input.value), input.name,
                           old_.value(input.value).name, input.init, input.loc);
    }
    add_constants();
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (groups_[i].loop) {
        copy(groups_[i].owned[0]);  // its own body is fused on its own
      } else {
        add_kernel(groups_[i], bodies_[i]);
      }
    }
    for (NodeId id = old_.first_node(); id.valid(); id = old_.node(id).next) {
      if (old_.node(id).op == Op::kUpdate) copy(id);
    }
    for (const GraphOutput& output : old_.outputs())
      fresh_.add_output(output.name, mapped(output.value));
    fresh_.set_name(old_.name());
    fresh_.take_locations(old_);
    old_.become(std::move(fresh_));
  }

 private:
  ValueId mapped(ValueId value) const {
    const ValueId result = mapped_[value.index];
    GRADC_CHECK(result.valid(), "%{} is in no kernel", old_.value(value).name);
    return result;
  }

  /// Those of many different numbers that kernels, loops, updates or whoever calls read.
  void add_constants() {
    std::vector<char> read(old_.node_capacity(), 0);
    const auto note = [&](ValueId value) {
      if (const NodeId def = old_.def(value); def.valid()) read[def.index] = 1;
    };
    for (const FusionGroup& group : groups_)
      std::ranges::for_each(group.inputs, note);
    for (const GraphOutput& output : old_.outputs())
      note(output.value);
    for (NodeId id = old_.last_node(); id.valid(); id = old_.node(id).prev) {
      if (old_.node(id).op == Op::kUpdate) note(old_.node(id).operands[1]);
    }
    for (NodeId id = old_.first_node(); id.valid(); id = old_.node(id).next) {
      const Node& node = old_.node(id);
      if (read[id.index] != 0 && node.op == Op::kConstant && !is_splat_constant(node)) copy(id);
    }
  }

  void add_kernel(const FusionGroup& group, const KernelBody& body) {
    const Node& main = main_node(old_, group);
    ValueList operands;
    for (ValueId input : group.inputs)
      operands.push_back(mapped(input));
    name(fresh_.add_node(Op::kKernel, std::move(operands), body.attrs, types_of(group.outputs),
                         main.phase, main.loc, name_of(group.outputs), body.graph),
         group.outputs);
  }

  void copy(NodeId id) {
    const Node& node = old_.node(id);
    ValueList operands;
    for (ValueId operand : node.operands)
      operands.push_back(mapped(operand));
    name(fresh_.add_node(node.op, std::move(operands), node.attrs, types_of(node.results),
                         node.phase, node.loc, name_of(node.results), node.body),
         node.results);
  }

  std::span<const TensorType> types_of(std::span<const ValueId> values) {
    types_.clear();
    for (ValueId value : values)
      types_.push_back(old_.type(value));
    return types_;
  }

  std::string_view name_of(std::span<const ValueId> values) const {
    return values.empty() ? std::string_view() : old_.value(values[0]).name;
  }

  /// The results of a new node are called, and stand for, what they were.
  void name(NodeId made, std::span<const ValueId> results) {
    for (size_t i = 0; i < results.size(); ++i) {
      const ValueId result = fresh_.node(made).results[i];
      mapped_[results[i].index] = result;
      if (i > 0) fresh_.set_name_hint(result, old_.value(results[i]).name);
    }
  }

  Graph& old_;
  const std::vector<FusionGroup>& groups_;
  std::vector<KernelBody> bodies_;
  Graph fresh_;
  std::vector<ValueId> mapped_;  ///< by old ValueId
  std::vector<TensorType> types_;
};

}  // namespace

Result<bool> fuse(Graph& graph, PassContext& context) {
  bool any = false;
  bool fused = false;
  WholeSteps steps;
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
    const Node& node = graph.node(id);
    const Lowering lowering = def(node.op).lowering;
    if (lowering == Lowering::kComposite && steps.size(node) == 0) {
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
  std::vector<KernelBody> bodies;
  {
    KernelBodies made(graph, step_label(context), context.options.name_bodies);
    for (const FusionGroup& group : groups)
      bodies.push_back(group.loop ? KernelBody() : made.find(group));
  }
  Emitter(graph, groups, std::move(bodies)).run();
  context.count("kernels", static_cast<int64_t>(groups.size()));
  if (context.options.verify) {
    const std::vector<std::string> wrong = verify_fused(graph);
    GRADC_CHECK(wrong.empty(), "fuse made wrong kernels: {}", fmt::join(wrong, "; "));
  }
  return true;
}

}  // namespace gradc::passes
