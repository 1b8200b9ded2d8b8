// Work and traffic of graphs, counted from shapes. Formulas: fusion_cost.h (node_flops); bytes are
// those of a kernel's operands and results, each read or written once.
#pragma once

#include "ir/graph.h"

#include <cstdint>

namespace gradc {

struct WorkStats {
  int64_t flops = 0;
  int64_t contraction_flops = 0;  ///< the part in matrix products and convolutions
  int64_t bytes = 0;              ///< operands and results in memory
};

/// Of one node; of a kernel, its body's operations and its own operands and results.
WorkStats node_stats(const Graph& graph, NodeId node);

/// Sum over all nodes.
WorkStats graph_stats(const Graph& graph);

}  // namespace gradc
