#include "passes/whole_steps.h"

#include "ir/graph_copy.h"
#include "ir/op.h"
#include "ir/step_size.h"
#include "passes/pass_manager.h"
#include "support/check.h"

#include <algorithm>
#include <string>

namespace gradc {

uint32_t WholeSteps::size(const Node& node) {
  if (node.op != Op::kOptimizerStep) return 0;
  for (const auto& [attrs, size] : known_) {
    if (attrs == node.attrs) return size;
  }
  const size_t size = element_wise_size(node.attrs.as<StepAttrs>());
  return known_.emplace_back(node.attrs, static_cast<uint32_t>(size)).second;
}

namespace {

/// A step's formula as a graph of its own: the operands in order, of which constants are no inputs,
/// and the results as outputs.
class Formula {
 public:
  Formula(Builder& around, const Node& step, std::span<const Val> operands)
      : around_(around), operands_(operands), inside_(graph_) {
    const Graph& graph = around.graph();
    inside_.set_phase(step.phase);
    inside_.set_location(std::string(graph.location(around.location())));
    for (const Val operand : operands) {
      const NodeId def = graph.def(operand.id());
      const bool is_number = def.valid() && graph.node(def).op == Op::kConstant;
      inner_.push_back(is_number ? inside_.add(Op::kConstant, {}, graph.node(def).attrs)
                                 : inside_.input(InputKind::kArg, operand.type(), "",
                                                 graph.value(operand.id()).name));
    }
    for (const Val result : def(step.op).expand({inside_, inner_, step.attrs}))
      graph_.add_output("", result.id());
  }

  void simplify() {
    PassContext context;
    PassManagerOptions options;
    options.verify_each = false;
    const Status done =
        run_passes(graph_, "(canonicalize,constant_fold,cse,dce)*", context, options);
    GRADC_CHECK(done.ok(), "the formula of a step is not simplified");
  }

  /// Whether each result is made by a node of its own: a kernel stores nothing else. (Where the
  /// gradient is zero, w - lr 0 is w.)
  bool makes_all() const {
    std::vector<char> made(graph_.value_capacity(), 0);
    return std::ranges::all_of(graph_.outputs(), [&](const GraphOutput& output) {
      const NodeId def = graph_.def(output.value);
      return def.valid() && graph_.node(def).op != Op::kConstant &&
             std::exchange(made[output.value.index], 1) == 0;
    });
  }

  std::vector<Val> copy_out() const {
    NodeCopier copier(graph_, around_);
    for (size_t i = 0; i < operands_.size(); ++i)
      copier.map(inner_[i].id(), operands_[i]);
    for (const NodeId id : graph_.nodes())
      copier.copy(id);
    std::vector<Val> results;
    for (const GraphOutput& output : graph_.outputs())
      results.push_back(copier[output.value]);
    return results;
  }

 private:
  Builder& around_;
  std::span<const Val> operands_;
  Graph graph_{"step"};
  Builder inside_;
  std::vector<Val> inner_;
};

}  // namespace

std::vector<Val> step_formula(Builder& builder, const Node& step, std::span<const Val> operands) {
  Formula simplified(builder, step, operands);
  simplified.simplify();
  if (simplified.makes_all()) return simplified.copy_out();
  return Formula(builder, step, operands).copy_out();
}

}  // namespace gradc
