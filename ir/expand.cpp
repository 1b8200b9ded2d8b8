#include "ir/expand.h"

#include "ir/builder.h"
#include "ir/op.h"
#include "ir/replacement.h"
#include "support/check.h"

namespace gradc {

bool has_expansion(const Graph& graph, NodeId node) {
  return def(graph.node(node).op).expand != nullptr;
}

std::vector<NodeId> expand_node(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  Builder builder(graph);
  builder.set_insertion_point(id);
  builder.set_phase(node.phase);
  builder.set_location(node.loc);
  std::vector<Val> operands;
  for (ValueId operand : node.operands)
    operands.push_back(builder.wrap(operand));
  const size_t first_new = graph.node_capacity();
  Replacement replacement(graph, id);
  const std::vector<Val> results = def(node.op).expand({builder, operands, node.attrs});
  GRADC_CHECK(results.size() == node.results.size(), "the expansion of {} has {} results, not {}",
              op_name(node.op), results.size(), node.results.size());
  for (size_t i = 0; i < results.size(); ++i)
    replacement.put(node.results[i], results[i].id());
  replacement.finish();
  std::vector<NodeId> added;
  for (size_t index = first_new; index < graph.node_capacity(); ++index) {
    if (!graph.node(NodeId(index)).erased) added.emplace_back(index);
  }
  return added;
}

}  // namespace gradc
