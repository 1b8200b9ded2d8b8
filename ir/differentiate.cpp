// The reverse walk: from the loss back to the parameters, asking each op's entry
// for its gradient. Names no op but the adding of contributions. New nodes are appended in the
// order of the walk, so each gradient stands right after what it is made of; contributions to one
// value are added as soon as they exist, so that at most two of them are alive.
#include "ir/differentiate.h"

#include "ir/builder.h"
#include "ir/expand.h"
#include "ir/location.h"
#include "ir/op.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace gradc {

namespace {

class ReverseWalk {
 public:
  ReverseWalk(Graph& graph, const std::string& file) : graph_(graph), builder_(graph), file_(file) {
    builder_.set_phase(Phase::kBackward);
  }

  Result<std::vector<ValueId>> run(std::span<const ValueId> outputs, std::span<const ValueId> seeds,
                                   std::span<const ValueId> wrt) {
    const std::vector<NodeId> order = expand_what_has_no_gradient(wrt);
    mark_dependents(order, wrt);
    gradients_.resize(graph_.value_capacity());
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (depends(current(outputs[i]))) accumulate(current(outputs[i]), builder_.wrap(seeds[i]));
    }
    for (auto id = order.rbegin(); id != order.rend(); ++id)
      visit(*id);
    if (sink_.has_errors()) return Failure(sink_.take());
    std::vector<ValueId> result;
    for (ValueId value : wrt) {
      const Val gradient = gradients_[value.index];
      result.push_back(gradient.valid() ? gradient.id() : ValueId());
    }
    return result;
  }

  /// Expansion replaces values: outputs are looked up through the one that stands for them now.
  ValueId current(ValueId value) const {
    for (const auto& [from, to] : replaced_) {
      if (value == from) value = to;
    }
    return value;
  }

 private:
  bool depends(ValueId value) const {
    return value.index < dependent_.size() && dependent_[value.index];
  }

  static bool flows(const TensorType& type) { return is_float(type.dtype); }

  /// Marks what depends on `wrt` through float values.
  void mark_dependents(const std::vector<NodeId>& order, std::span<const ValueId> wrt) {
    dependent_.assign(graph_.value_capacity(), false);
    for (ValueId value : wrt)
      dependent_[value.index] = true;
    for (NodeId id : order) {
      const Node& node = graph_.node(id);
      const bool any = std::any_of(node.operands.begin(), node.operands.end(),
                                   [&](ValueId operand) { return dependent_[operand.index]; });
      for (ValueId result : node.results) {
        if (any && flows(graph_.type(result))) dependent_[result.index] = true;
      }
    }
  }

  /// Composites without a gradient of their own are replaced by their expansion. Returns the nodes
  /// to walk, in order.
  std::vector<NodeId> expand_what_has_no_gradient(std::span<const ValueId> wrt) {
    for (bool again = true; again;) {
      again = false;
      const std::vector<NodeId> order = graph_.nodes();
      mark_dependents(order, wrt);
      for (NodeId id : order) {
        const Node& node = graph_.node(id);
        const bool reached = std::any_of(node.results.begin(), node.results.end(),
                                         [&](ValueId result) { return dependent_[result.index]; });
        const OpDef& entry = def(node.op);
        const bool inherits = entry.grad == nullptr && entry.no_grad.empty();
        if (!reached || !inherits || !has_expansion(graph_, id)) continue;
        expand(id);
        again = true;
      }
    }
    return graph_.nodes();
  }

  void expand(NodeId id) {
    const ValueList old_results = graph_.node(id).results;
    // Temporary outputs show which values stand for the results afterwards.
    const size_t first = graph_.outputs().size();
    for (ValueId result : old_results)
      graph_.add_output({}, result);
    expand_node(graph_, id);
    for (size_t i = 0; i < old_results.size(); ++i)
      replaced_.emplace_back(old_results[i], graph_.outputs()[first + i].value);
    for (size_t i = old_results.size(); i-- > 0;)
      graph_.remove_output(first + i);
  }

  void visit(NodeId id) {
    const Node node = graph_.node(id);  // a copy: building nodes moves the store
    std::vector<Val> douts;
    bool any = false;
    for (ValueId result : node.results) {
      douts.push_back(gradients_[result.index]);
      any |= douts.back().valid();
    }
    if (!any) return;
    std::vector<bool> needed;
    for (ValueId operand : node.operands)
      needed.push_back(depends(operand) && flows(graph_.type(operand)));
    if (std::find(needed.begin(), needed.end(), true) == needed.end()) return;
    const OpDef& entry = def(node.op);
    if (entry.grad == nullptr) return refuse(node);

    builder_.set_location(gradient_location(node.loc));
    std::vector<Val> operands, results;
    for (ValueId operand : node.operands)
      operands.push_back(builder_.wrap(operand));
    for (ValueId result : node.results)
      results.push_back(builder_.wrap(result));
    const Grads grads =
        entry.grad({builder_, node, operands, results, douts, needed, sink_, file_});
    if (sink_.has_errors()) return;
    GRADC_CHECK(grads.size() == node.operands.size(), "{} gave {} gradients for {} operands",
                entry.name, grads.size(), node.operands.size());
    for (size_t i = 0; i < grads.size(); ++i) {
      if (needed[i] && grads[i].valid()) accumulate(node.operands[i], grads[i]);
    }
  }

  void accumulate(ValueId value, Val contribution) {
    GRADC_CHECK(contribution.type() == graph_.type(value),
                "the gradient of %{} : {} has the type {}", graph_.value(value).name,
                to_string(graph_.type(value)), to_string(contribution.type()));
    if (gradients_.size() <= value.index) gradients_.resize(graph_.value_capacity());
    Val& sum = gradients_[value.index];
    sum = sum.valid() ? sum + contribution : contribution;
  }

  std::string gradient_location(LocId loc) const {
    const std::string& text = graph_.location(loc);
    return text.empty() ? std::string() : "gradient of " + text;
  }

  void refuse(const Node& node) {
    const OpDef& entry = def(node.op);
    const std::string& where = graph_.location(node.loc);
    const LocationParts parts = location_parts(where);
    sink_.error(DiagKind::kNotDifferentiable,
                {.file = file_, .pointer = std::string(parts.is_gradient ? "" : parts.pointer)},
                "the loss cannot be differentiated through \"{}\"{}: {}", entry.name,
                where.empty() ? "" : " (" + where + ")",
                entry.no_grad.empty() ? "it has no gradient" : entry.no_grad);
  }

  Graph& graph_;
  Builder builder_;
  const std::string& file_;
  DiagnosticSink sink_;
  std::vector<Val> gradients_;   // by ValueId
  std::vector<bool> dependent_;  // by ValueId
  std::vector<std::pair<ValueId, ValueId>> replaced_;
};

}  // namespace

Result<std::vector<ValueId>> add_gradients(Graph& graph, std::span<const ValueId> outputs,
                                           std::span<const ValueId> seeds,
                                           std::span<const ValueId> wrt, const std::string& file) {
  GRADC_CHECK(outputs.size() == seeds.size(), "{} outputs with {} seeds", outputs.size(),
              seeds.size());
  return ReverseWalk(graph, file).run(outputs, seeds, wrt);
}

}  // namespace gradc
