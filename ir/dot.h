// A graph as Graphviz text, for people: phases are clusters, kernels show what they hold.
#pragma once

#include "ir/graph.h"

#include <string>

namespace gradc {

struct DotOptions {
  bool bodies = true;      ///< draw the inside of kernels
  bool constants = false;  ///< draw constants of one element as nodes of their own
};

/// Input of `dot -Tsvg`.
std::string to_dot(const Graph& graph, const DotOptions& options = {});

}  // namespace gradc
