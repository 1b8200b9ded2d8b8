// The standard pipelines: data, not code. Each entry of a compiled model has one, as text that
// `gradc opt --passes=` also takes.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace gradc {

/// What a pipeline compiles a forward graph into.
enum class PipelineKind : uint8_t {
  kForward,    ///< predict, evaluate: the graph as it is
  kGradients,  ///< loss and gradients as outputs
  kTrainStep,  ///< gradients used by the optimizer
  kUpdate,     ///< gradients that are given, used by the optimizer
};

/// How far a pipeline runs, in order; the names are those of `gradc inspect --stage`.
enum class PipelineStage : uint8_t {
  kGraph,      ///< as the frontend built it
  kGradient,   ///< differentiated, with the optimizer applied
  kOptimized,  ///< primitives only, simplified
  kFused,
  kScheduled,
  kPlanned,
};

struct PipelineEntry {
  PipelineStage stage{};
  std::string_view passes;
  std::string_view reason;
};

/// The entries of a pipeline, in order.
std::span<const PipelineEntry> pipeline_entries(PipelineKind kind);

/// The passes up to and including a stage, as text for parse_pipeline; empty for kGraph. For a
/// graph that has been through the passes up to `after`: those that are left.
std::string pipeline_text(PipelineKind kind, PipelineStage last = PipelineStage::kPlanned,
                          PipelineStage after = PipelineStage::kGraph);

}  // namespace gradc
