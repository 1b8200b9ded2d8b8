// expand_composites - replaces composite ops by primitives, repeatedly, so that only ops with a
// lowering of their own are left, and steps of an optimizer that stay whole (whole_steps.h).
#include "ir/expand.h"
#include "ir/op.h"
#include "passes/passes.h"
#include "passes/whole_steps.h"

#include <vector>

namespace gradc::passes {

Result<bool> expand_composites(Graph& graph, PassContext& context) {
  bool changed = false;
  WholeSteps steps;
  std::vector<NodeId> pending = graph.nodes();
  while (!pending.empty()) {
    std::vector<NodeId> added;
    for (NodeId id : pending) {
      const Node& node = graph.node(id);
      if (def(node.op).lowering != Lowering::kComposite || steps.size(node) > 0) continue;
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
