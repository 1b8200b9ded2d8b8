// Loops written out: what `scan` means, said with other ops, so that everything about loops can be
// compared with graphs that have none.
#pragma once

#include "ir/graph.h"

namespace gradc::testing {

/// Replaces every loop, also inside of others, by as many copies of its body as it has steps.
void unroll_loops(Graph& graph);

}  // namespace gradc::testing
