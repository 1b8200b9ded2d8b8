// Numerical check of the gradient of a loss with respect to each parameter, through the reference
// interpreter in double. What `gradc check MODEL` runs.
#pragma once

#include "ir/graph.h"
#include "ir/tensor.h"
#include "support/result.h"

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gradc {

struct GradientCheckOptions {
  int directions = 2;  ///< random directions per parameter
  double tolerance = 1e-4;
  uint64_t seed = 1;
};

/// The directional derivatives of one parameter, by the gradient and by central differences; those
/// of the direction where they differ most.
struct ParameterCheck {
  std::string name;
  TensorType type;
  double analytic = 0.0;
  double numeric = 0.0;
  double relative_error = 0.0;
  double rounding = 0.0;  ///< what rounding alone can make of the difference
  bool passed = false;

  /// Whether the two differ by no more than rounding explains.
  bool within_rounding() const { return std::fabs(analytic - numeric) <= rounding; }
};

/// Checks every parameter of a forward graph with output "loss" at the given inputs (in the order
/// of graph.inputs()). Fails where `differentiate` or the interpreter refuses the graph.
Result<std::vector<ParameterCheck>> check_gradients(const Graph& graph,
                                                    std::span<const Tensor> inputs,
                                                    const GradientCheckOptions& options = {});

/// Plausible values for all inputs of a graph: parameters and states around their initial values,
/// float inputs in [-1, 1], integers 0 or 1 (valid classes and indices of every model).
std::vector<Tensor> draw_inputs(const Graph& graph, uint64_t seed);

}  // namespace gradc
