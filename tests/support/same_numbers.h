// Two graphs that should mean the same, run by the interpreter on the same inputs.
#pragma once

#include "ir/graph.h"
#include "tests/support/tensor_near.h"

#include <cstdint>
#include <string>

namespace gradc::testing {

/// Empty when `after` computes what `before` does: every output and update of `before`, by name
/// (unnamed outputs by position), within the tolerance on random_inputs(seed). `after` may have
/// more of each, and may have used up "gradient/" and "optimizer/" outputs. Else says what differs.
std::string numbers_difference(const Graph& before, const Graph& after, uint64_t seed,
                               const Tolerance& tolerance = {1e-9, 1e-11});

/// Elements of the largest value, to leave out graphs that the interpreter is too slow for.
int64_t largest_value(const Graph& graph);

}  // namespace gradc::testing
