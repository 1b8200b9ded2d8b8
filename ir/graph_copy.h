// Copying parts of a graph into another one (or elsewhere into the same): nodes in order, values
// through a map.
#pragma once

#include "ir/builder.h"
#include "ir/graph.h"

#include <functional>
#include <span>
#include <vector>

namespace gradc {

/// Copies nodes to where a builder stands, with the builder's phase and their own names and
/// locations. Operands must be mapped before.
class NodeCopier {
 public:
  NodeCopier(const Graph& from, Builder& to) : from_(from), to_(to), map_(from.value_capacity()) {}

  void map(ValueId from, Val to) { map_[from.index] = to; }
  /// What stands for a value; empty where it was neither mapped nor copied.
  Val operator[](ValueId from) const { return map_[from.index]; }
  void copy(NodeId node);

 private:
  const Graph& from_;
  Builder& to_;
  std::vector<Val> map_;  ///< by ValueId of `from`
};

/// The nodes, in order, that values are computed from: all up to the graph's inputs and to values
/// at which `stop` says so. `visit` (may be empty) sees every input and every stop that is reached,
/// each once.
std::vector<NodeId> nodes_behind(const Graph& graph, std::span<const ValueId> values,
                                 const std::function<bool(ValueId)>& stop,
                                 const std::function<void(ValueId)>& visit);

}  // namespace gradc
