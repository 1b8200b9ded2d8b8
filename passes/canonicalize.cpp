// canonicalize - applies the rewrite rules (rules_*.cpp) until none applies. Rules are tried in
// their order on each node in graph order; a node that a rule replaced disappears at once, with
// what only it used.
#include "passes/passes.h"
#include "passes/pattern.h"
#include "support/check.h"

#include <array>
#include <string>
#include <vector>

namespace gradc {

namespace {

std::vector<Rule> make_rules() {
  std::vector<Rule> rules = algebra_rules();
  for (auto* family : {&view_rules, &contraction_rules, &row_rules}) {
    for (Rule& rule : family())
      rules.push_back(std::move(rule));
  }
  return rules;
}

/// The rules that may apply to each op, by index of Op.
using RuleIndex = std::array<std::vector<const Rule*>, kNumOps>;

const RuleIndex& rules_by_op() {
  static const RuleIndex kIndex = [] {
    RuleIndex index;
    for (const OpDef* entry : all_ops()) {
      for (const Rule& rule : canonical_rules()) {
        if (rule.roots(*entry)) index[static_cast<size_t>(entry->op)].push_back(&rule);
      }
    }
    return index;
  }();
  return kIndex;
}

void erase_if_dead(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.erased || def(node.op).has(kTraitEffect)) return;
  for (ValueId result : node.results) {
    if (graph.has_uses(result)) return;
  }
  const ValueList operands = node.operands;
  graph.erase(id);
  for (ValueId operand : operands) {
    if (const NodeId producer = graph.def(operand); producer.valid())
      erase_if_dead(graph, producer);
  }
}

class Rewriter {
 public:
  Rewriter(Graph& graph, PassContext& context)
      : graph_(graph), context_(context), builder_(graph) {}

  /// One sweep over the graph; whether anything changed.
  bool sweep() {
    bool changed = false;
    for (NodeId id : graph_.nodes()) {
      while (id.valid() && !graph_.node(id).erased) {
        const NodeId next = rewrite(id);
        if (!next.valid()) break;
        changed = true;
        id = next.index >= first_new_ ? next : NodeId();
      }
    }
    return changed;
  }

 private:
  /// Applies the first rule that fits; the node that stands for `id` now, or invalid.
  NodeId rewrite(NodeId id) {
    const auto op = static_cast<size_t>(graph_.node(id).op);
    for (const Rule* rule : rules_by_op()[op]) {
      const Node& node = graph_.node(id);
      builder_.set_insertion_point(id);
      builder_.set_phase(node.phase);
      builder_.set_location(node.loc);
      first_new_ = graph_.node_capacity();
      const Val result = rule->apply(builder_, id);
      if (!result.valid()) continue;
      if (!context_.may_rewrite()) {
        discard_new_nodes();
        continue;
      }
      context_.count(rule->text);
      GRADC_CHECK(++num_rewrites_ < 1'000'000, "canonicalize does not come to rest: {}",
                  rule->text);
      return replace(id, result);
    }
    return {};
  }

  NodeId replace(NodeId id, Val result) {
    const ValueId old = graph_.node(id).results[0];
    const std::string name = graph_.value(old).name;
    graph_.replace_all_uses(old, result.id());
    erase_if_dead(graph_, id);
    const NodeId now = graph_.def(result.id());
    if (now.valid() && now.index >= first_new_) graph_.set_name_hint(result.id(), name);
    // A node that already stood in the graph has been or will be visited on its own.
    return now.valid() ? now : id;
  }

  void discard_new_nodes() {
    for (size_t index = graph_.node_capacity(); index-- > first_new_;)
      erase_if_dead(graph_, NodeId(index));
  }

  Graph& graph_;
  PassContext& context_;
  Builder builder_;
  size_t first_new_ = 0;
  int64_t num_rewrites_ = 0;
};

}  // namespace

const std::vector<Rule>& canonical_rules() {
  static const std::vector<Rule> kRules = make_rules();
  return kRules;
}

std::string print_rules() {
  std::string text;
  for (const Rule& rule : canonical_rules())
    text += rule.text + "\n";
  return text;
}

namespace passes {

Result<bool> canonicalize(Graph& graph, PassContext& context) {
  Rewriter rewriter(graph, context);
  bool changed = false;
  while (rewriter.sweep())
    changed = true;
  return changed;
}

}  // namespace passes

}  // namespace gradc
