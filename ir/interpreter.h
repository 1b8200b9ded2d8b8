// The reference interpreter: every value in double, whatever its dtype, one op after the other.
// Slow on purpose; shares no formula with generated code.
#pragma once

#include "ir/graph.h"
#include "ir/tensor.h"
#include "support/result.h"

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace gradc {

struct InterpretResult {
  std::vector<Tensor> outputs;                          ///< in the order of graph.outputs()
  std::vector<std::pair<std::string, Tensor>> updates;  ///< (input's name, next value), in order
};

/// Runs a graph that verifies. `inputs` are in the order of graph.inputs(); a wrong number or type
/// is diagnosed (kShapeMismatch).
Result<InterpretResult> interpret(const Graph& graph, std::span<const Tensor> inputs);

/// Evaluates one node of a graph that verifies: its results for these operands.
std::vector<Tensor> interpret_node(const Graph& graph, NodeId node,
                                   std::span<const Tensor* const> operands);

/// Runs a nested body: its outputs for these arguments, which have the types of its inputs.
std::vector<Tensor> interpret_body(const Graph& body, std::span<const Tensor* const> args);

}  // namespace gradc
