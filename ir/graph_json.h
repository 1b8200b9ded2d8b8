// A graph as JSON, for tools: nodes, edges, types, locations. Written only; the text form is what
// reads back.
#pragma once

#include "ir/graph.h"

#include <string>

namespace gradc {

/// One JSON object: name, inputs, nodes (with bodies nested), outputs. Values are named as in the
/// text form, without '%'. Constants of more than 64 elements are given by their number.
std::string graph_to_json(const Graph& graph);

}  // namespace gradc
