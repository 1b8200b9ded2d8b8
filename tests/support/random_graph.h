// Random valid graphs for differential tests, and shrinking of graphs on which such a test fails.
//
// While a graph is made it is also evaluated, twice: exactly and with noise of the size of fp32
// rounding. A node is kept only when both agree, so values stay in a sane range, far from poles,
// and no comparison, rounding or maximum hangs on the last bits.
#pragma once

#include "ir/graph.h"
#include "ir/tensor.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace gradc::testing {

/// Families of ops to draw from.
enum RandomFamily : uint32_t {
  kRandomElementwise = 1U << 0,  ///< unary, binary, composites such as gelu
  kRandomCompare = 1U << 1,      ///< comparisons, logic, select
  kRandomView = 1U << 2,         ///< broadcast, reshape, transpose, slice, pad, concat, reverse
  kRandomReduce = 1U << 3,
  kRandomMatmul = 1U << 4,
  kRandomConv = 1U << 5,
  kRandomPool = 1U << 6,
  kRandomGather = 1U << 7,  ///< gather, scatter_add, one_hot, argmax
  kRandomNorm = 1U << 8,    ///< softmax, log_softmax, layer_norm, cross entropies
  kRandomSource = 1U << 9,  ///< constants, iota, random numbers
  kRandomAll = (1U << 10) - 1,
  // On their own, as nothing else of a seed may change:
  kRandomLoop = 1U << 10,       ///< scan
  kRandomAttention = 1U << 11,  ///< attention, attention_weights
};

struct RandomGraphOptions {
  int num_nodes = 20;          ///< calls of ops drawn; what they need comes on top
  int64_t max_elements = 400;  ///< of any value
  int64_t max_extent = 17;     ///< of any axis drawn at random; over 17: odd extents too
  uint32_t families = kRandomAll;
  bool parameters = true;  ///< params besides inputs, and state with updates
  bool loss = true;        ///< an output "loss": f32[], that depends on all float values
  /// Contractions multiply in bf16, f16 or f64, of operands that may be rounded before. Values are
  /// then apart from kinks and jumps by what these roundings do.
  bool product_types = false;
};

/// A graph that verifies, the same on every machine for a seed. Evaluate it on
/// random_inputs(graph, seed) with the same seed: only there it was checked to be well-conditioned.
std::shared_ptr<Graph> random_graph(uint64_t seed, const RandomGraphOptions& options = {});

/// Inputs in the order of graph.inputs(): floats in [-2, 2] that are exact in every float dtype
/// but f16 and bf16, integers in [0, 4), bools. Depend on the seed and the input's name only.
std::vector<Tensor> random_inputs(const Graph& graph, uint64_t seed);

/// The smallest graph found on which `fails` still holds: outputs dropped, nodes replaced by
/// operands or by new inputs, dead nodes removed. `fails` must hold for `graph` and be
/// deterministic.
std::shared_ptr<Graph> shrink_graph(const Graph& graph,
                                    const std::function<bool(const Graph&)>& fails);

}  // namespace gradc::testing
