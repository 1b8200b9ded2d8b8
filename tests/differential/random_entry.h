// A random graph together with what a model would make of it: a forward entry, gradients, a
// training step with one of the optimizers, or the gradients of a function of gradients.
#pragma once

#include "passes/pass.h"
#include "passes/pipeline.h"
#include "tests/support/random_graph.h"

#include <memory>
#include <vector>

namespace gradc::testing {

struct RandomEntry {
  uint64_t seed = 0;
  std::shared_ptr<Graph> graph;  ///< before any pass
  PipelineKind kind = PipelineKind::kForward;
  PassOptions options;  ///< the optimizer of a training step
};

/// From this seed on every entry has loops in it, and the ops that their bodies use around them.
inline constexpr uint64_t kFirstLoopSeed = 2000;
/// From this one on contractions multiply in bf16, f16 and f64.
inline constexpr uint64_t kFirstProductSeed = 2400;
/// From this seed on every entry has attention in it.
inline constexpr uint64_t kFirstAttentionSeed = 2700;

/// The same on every machine for a seed. Seeds take turns with size, families of ops and kind.
RandomEntry random_entry(uint64_t seed);

/// Inputs for any graph made from an entry by passes; optimizer state is such as real state is
/// (second moments are positive).
std::vector<Tensor> entry_inputs(const Graph& graph, uint64_t seed);

}  // namespace gradc::testing
