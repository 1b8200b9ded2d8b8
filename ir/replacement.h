// Putting other values in the place of a node's results.
#pragma once

#include "ir/graph.h"

#include <string>
#include <utility>
#include <vector>

namespace gradc {

/// Made before the nodes that replace; what is made since then goes on under the names of what it
/// replaces, the first where it replaces several.
class Replacement {
 public:
  Replacement(Graph& graph, NodeId node)
      : graph_(graph), node_(node), first_new_(graph.node_capacity()) {}

  /// Every use of `old`, a result of the node, becomes `now`.
  void put(ValueId old, ValueId now);
  /// Erases the node, whose results have no uses left, and hands on the names.
  void finish();

 private:
  Graph& graph_;
  NodeId node_;
  size_t first_new_;
  std::vector<std::pair<ValueId, std::string>> names_;
};

}  // namespace gradc
