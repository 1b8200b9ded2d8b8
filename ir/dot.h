// A graph as Graphviz text, for people: phases are clusters, kernels show what they hold.
#pragma once

#include "ir/graph.h"

#include <string>
#include <string_view>

namespace gradc {

struct DotOptions {
  bool bodies = true;      ///< draw the inside of kernels
  bool constants = false;  ///< draw constants of one element as nodes of their own
};

/// `text` as it may stand between the quotes of a label: what cannot be printed is replaced.
std::string dot_escaped(std::string_view text);

/// Input of `dot -Tsvg`.
std::string to_dot(const Graph& graph, const DotOptions& options = {});

}  // namespace gradc
