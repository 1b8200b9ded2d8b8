// A planned graph as text: each result with its place. The notes are comments, the text reads back.
#pragma once

#include "ir/graph.h"
#include "passes/memory_plan.h"

#include <string>

namespace gradc {

std::string print_planned(const Graph& graph, const MemoryPlan& plan);

}  // namespace gradc
