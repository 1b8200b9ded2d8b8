// From a parsed model to the graph of one entry, up to a chosen stage. What `gradc inspect` shows,
// what `gradc plan` measures and what codegen compiles is made here, by the same pipelines.
#pragma once

#include "codegen/target_info.h"
#include "frontend/model.h"
#include "ir/graph.h"
#include "passes/memory_plan.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "runtime/model_abi.h"
#include "support/result.h"
#include "support/timer.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace gradc {

/// The compiled functions of a model, in the runtime's order.
enum class EntryPoint : uint8_t {
  kPredict,
  kEvaluate,
  kEvaluateTail,
  kTrainStep,
  kTrainStepTail,
  kGradients
};
inline constexpr int kNumEntryPoints = GRADC_RT_ENTRY_COUNT;

/// "predict", "train_step_tail", ...
std::string_view entry_name(EntryPoint kind);
gradc_rt_entry_kind runtime_entry(EntryPoint kind);
/// Needs the model's "training" section.
bool needs_training(EntryPoint kind);
bool is_tail(EntryPoint kind);

struct StagedEntry {
  EntryPoint kind{};
  std::shared_ptr<Graph> graph;
  std::optional<MemoryPlan> plan;  ///< at kPlanned
  std::vector<Diagnostic> warnings;
};

struct BuildOptions {
  TimeReport* times = nullptr;
  bool verify_each = false;
  std::optional<int64_t> memory_budget_bytes;
  /// Whose kernels the plan is for: what they need beside the graph's values is part of the plan.
  TargetInfo target = TargetInfo::host();
};

/// The graph of one entry for a batch size, after everything up to `last`.
Result<StagedEntry> build_staged(const Model& model, EntryPoint kind, int64_t batch,
                                 PipelineStage last, const BuildOptions& options);

}  // namespace gradc
