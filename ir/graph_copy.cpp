#include "ir/graph_copy.h"

#include "support/check.h"

#include <string>

namespace gradc {

void NodeCopier::copy(NodeId id) {
  const Node node = from_.node(id);  // adding to the same graph moves its nodes
  std::vector<Val> operands;
  for (ValueId operand : node.operands) {
    GRADC_CHECK(map_[operand.index].valid(), "%{} is copied after its use",
                from_.value(operand).name);
    operands.push_back(map_[operand.index]);
  }
  to_.set_location(std::string(from_.location(node.loc)));
  const std::vector<Val> results = to_.add_multi(node.op, std::move(operands), node.attrs, {},
                                                 node.body ? node.body->clone() : nullptr);
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string name = from_.value(node.results[i]).name;
    to_.graph().set_name_hint(results[i].id(), name);
    map_[node.results[i].index] = results[i];
  }
}

std::vector<NodeId> nodes_behind(const Graph& graph, std::span<const ValueId> values,
                                 const std::function<bool(ValueId)>& stop,
                                 const std::function<void(ValueId)>& visit) {
  std::vector<char> seen(graph.value_capacity(), 0);
  std::vector<char> needed(graph.node_capacity(), 0);
  const auto reach = [&](ValueId value) {
    if (seen[value.index] != 0) return;
    seen[value.index] = 1;
    const NodeId def = graph.def(value);
    if (!def.valid() || stop(value)) {
      if (visit) visit(value);
    } else {
      needed[def.index] = 1;
    }
  };
  for (ValueId value : values)
    reach(value);
  std::vector<NodeId> nodes;
  for (NodeId id = graph.last_node(); id.valid(); id = graph.node(id).prev) {
    if (needed[id.index] == 0) continue;
    nodes.push_back(id);
    for (ValueId operand : graph.node(id).operands)
      reach(operand);
  }
  return {nodes.rbegin(), nodes.rend()};
}

}  // namespace gradc
