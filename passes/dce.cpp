// dce - removes nodes whose results nobody uses and that have no effect. One backward sweep
// suffices: the order is topological, so users are visited before producers.
#include "ir/op.h"
#include "passes/passes.h"

#include <algorithm>

namespace gradc::passes {

Result<bool> dce(Graph& graph, PassContext& context) {
  bool changed = false;
  NodeId previous;
  for (NodeId id = graph.last_node(); id.valid(); id = previous) {
    const Node& node = graph.node(id);
    previous = node.prev;
    const bool used = std::any_of(node.results.begin(), node.results.end(),
                                  [&](ValueId result) { return graph.has_uses(result); });
    if (used || def(node.op).has(kTraitEffect) || !context.may_rewrite()) continue;
    graph.erase(id);
    context.count("nodes removed");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
