// Reverse-mode differentiation as a function on graphs; the pass `differentiate` and tests use it.
#pragma once

#include "ir/graph.h"
#include "support/result.h"

#include <span>
#include <vector>

namespace gradc {

/// Adds to the graph the gradients of sum_i <outputs[i], seeds[i]> with respect to each value of
/// `wrt`. seeds[i] has the type of outputs[i]. A returned id is invalid where no output depends on
/// the value. Fails (kNotDifferentiable) when an op without a gradient lies on a path; `file` is
/// for that diagnostic.
Result<std::vector<ValueId>> add_gradients(Graph& graph, std::span<const ValueId> outputs,
                                           std::span<const ValueId> seeds,
                                           std::span<const ValueId> wrt, const std::string& file);

}  // namespace gradc
