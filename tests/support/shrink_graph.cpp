// Shrinking: tries simplifications one by one and keeps each that leaves the failure.
#include "ir/op.h"
#include "ir/verifier.h"
#include "tests/support/random_graph.h"

#include <fmt/format.h>

#include <algorithm>

namespace gradc::testing {

namespace {

void remove_dead_nodes(Graph& graph) {
  const std::vector<NodeId> nodes = graph.nodes();
  for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
    const Node& node = graph.node(*it);
    const bool used = std::any_of(node.results.begin(), node.results.end(),
                                  [&](ValueId id) { return graph.has_uses(id); });
    if (!used && !def(node.op).has(kTraitEffect)) graph.erase(*it);
  }
  for (size_t i = graph.inputs().size(); i > 0; --i) {
    if (!graph.has_uses(graph.inputs()[i - 1].value)) graph.remove_input(i - 1);
  }
}

class Shrinker {
 public:
  Shrinker(const Graph& graph, const std::function<bool(const Graph&)>& fails)
      : best_(graph.clone()), fails_(fails) {}

  std::shared_ptr<Graph> run() {
    for (bool changed = true; changed;) {
      changed = drop_outputs();
      changed |= raise_outputs();
      changed |= drop_effects();
      changed |= simplify_nodes();
    }
    return best_;
  }

 private:
  /// Applies an edit to a copy and keeps the copy when it still fails.
  template <class Edit>
  bool attempt(Edit edit) {
    std::shared_ptr<Graph> copy = best_->clone();
    if (!edit(*copy)) return false;
    remove_dead_nodes(*copy);
    if (!verify(*copy).empty() || !fails_(*copy)) return false;
    best_ = std::move(copy);
    return true;
  }

  bool drop_outputs() {
    bool changed = false;
    for (size_t i = best_->outputs().size(); i > 0; --i) {
      changed |= attempt([&](Graph& g) {
        g.remove_output(i - 1);
        return true;
      });
    }
    return changed;
  }

  /// An operand in place of the output that is made from it.
  bool raise_outputs() {
    bool changed = false;
    for (size_t i = 0; i < best_->outputs().size(); ++i) {
      const NodeId def = best_->def(best_->outputs()[i].value);
      if (!def.valid()) continue;
      for (ValueId operand : ValueList(best_->node(def).operands)) {
        const bool kept = attempt([&](Graph& g) {
          g.set_output(i, operand);
          return true;
        });
        changed |= kept;
        if (kept) break;
      }
    }
    return changed;
  }

  bool drop_effects() {
    bool changed = false;
    for (NodeId id : best_->nodes()) {
      if (!def(best_->node(id).op).has(kTraitEffect)) continue;
      changed |= attempt([&](Graph& g) {
        g.erase(id);
        return true;
      });
    }
    return changed;
  }

  /// From the end: a node's result becomes an operand of its type, or a new input.
  bool simplify_nodes() {
    bool changed = false;
    const std::vector<NodeId> nodes = best_->nodes();
    for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
      if (best_->node(*it).erased || best_->node(*it).results.size() != 1) continue;
      changed |= to_operand(*it) || to_input(*it);
    }
    return changed;
  }

  bool to_operand(NodeId id) {
    for (size_t i = 0; i < best_->node(id).operands.size(); ++i) {
      const bool kept = attempt([&](Graph& g) {
        const ValueId result = g.node(id).results[0];
        const ValueId operand = g.node(id).operands[i];
        if (g.type(result) != g.type(operand)) return false;
        g.replace_all_uses(result, operand);
        return true;
      });
      if (kept) return true;
    }
    return false;
  }

  bool to_input(NodeId id) {
    return attempt([&](Graph& g) {
      const ValueId result = g.node(id).results[0];
      const std::string name = fmt::format("cut/{}", g.value(result).name);
      g.replace_all_uses(result, g.add_input(InputKind::kInput, g.type(result), name, "cut"));
      return true;
    });
  }

  std::shared_ptr<Graph> best_;
  const std::function<bool(const Graph&)>& fails_;
};

}  // namespace

std::shared_ptr<Graph> shrink_graph(const Graph& graph,
                                    const std::function<bool(const Graph&)>& fails) {
  return Shrinker(graph, fails).run();
}

}  // namespace gradc::testing
