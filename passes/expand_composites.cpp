// expand_composites - replaces composite ops by primitives, repeatedly, so that only ops with a
// lowering of their own are left.
#include "ir/expand.h"
#include "ir/op.h"
#include "passes/passes.h"

#include <vector>

namespace gradc::passes {

Result<bool> expand_composites(Graph& graph, PassContext& context) {
  bool changed = false;
  std::vector<NodeId> pending = graph.nodes();
  while (!pending.empty()) {
    std::vector<NodeId> added;
    for (NodeId id : pending) {
      if (def(graph.node(id).op).lowering != Lowering::kComposite) continue;
      const std::vector<NodeId> nodes = expand_node(graph, id);
      added.insert(added.end(), nodes.begin(), nodes.end());
      context.count("composites expanded");
      changed = true;
    }
    pending = std::move(added);
  }
  return changed;
}

}  // namespace gradc::passes
