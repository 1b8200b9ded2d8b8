// Replacing one composite node by what OpDef::expand says. Shared by the pass expand_composites and
// by the reverse walk.
#pragma once

#include "ir/graph.h"

#include <vector>

namespace gradc {

/// Whether the node's op is defined by other ops. Primitives may be too: what has no gradient of
/// its own is differentiated through its expansion.
bool has_expansion(const Graph& graph, NodeId node);

/// Replaces a node that has an expansion; the new nodes stand in its place with its phase and
/// location and are returned in order. They may have expansions themselves.
std::vector<NodeId> expand_node(Graph& graph, NodeId node);

}  // namespace gradc
