// From a parsed model to the graph of one entry, up to a chosen stage. What `gradc inspect` shows,
// what `gradc plan` measures and what codegen compiles is made here, by the same pipelines.
#pragma once

#include "codegen/kernel/lower.h"
#include "frontend/model.h"
#include "ir/graph.h"
#include "passes/memory_plan.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "runtime/model_abi.h"
#include "support/result.h"
#include "support/timer.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
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
  kGradients,
  kStep,  ///< of a language model: step_entry.h
  // For hosts: model_abi.h
  kTunedStep,
  kTunedStepTail,
  kApplyGradients,
  kForward,
  kForwardTail,
  kLossToParameters,
  kLossToParametersTail,
  kLossToInputs,
  kLossToInputsTail,
  kLossToAll,
  kLossToAllTail,
  kOutputsToParameters,
  kOutputsToParametersTail,
  kOutputsToInputs,
  kOutputsToInputsTail,
  kOutputsToAll,
  kOutputsToAllTail,
  kLearningRate
};
inline constexpr int kNumEntryPoints = GRADC_RT_ENTRY_COUNT;

/// What the entry kLearningRate gives, f64[].
inline constexpr const char* kScheduledRate = "number/scheduled_rate";

/// "predict", "train_step_tail", ...
std::string_view entry_name(EntryPoint kind);
gradc_rt_entry_kind runtime_entry(EntryPoint kind);
/// Needs the model's "training" section.
bool needs_training(EntryPoint kind);
bool is_tail(EntryPoint kind);
/// Called by hosts, and by nobody else.
bool is_for_hosts(EntryPoint kind);

/// The names of PipelineStage, in order.
inline constexpr std::array<std::string_view, 6> kStageNames = {"graph", "gradient",  "optimized",
                                                                "fused", "scheduled", "planned"};

struct StagedEntry {
  EntryPoint kind{};
  std::shared_ptr<Graph> graph;
  std::optional<MemoryPlan> plan;  ///< at kPlanned
  kernel::LoweredGraph lowered;    ///< at kPlanned
  std::vector<Diagnostic> warnings;
};

struct BuildOptions {
  TimeReport* times = nullptr;
#ifdef NDEBUG
  bool verify_each = false;
#else
  bool verify_each = true;
#endif
  bool name_bodies = false;  ///< the graph is to be read: PassOptions
  /// Of the arena. Where it is not enough for a training step, passes/recompute.h; where that is
  /// not enough either, the error says the least that is (kMemoryBudget).
  std::optional<int64_t> memory_budget_bytes;
  /// The entry's graph as build_staged made it at kGradient: taken on from there, and changed.
  std::shared_ptr<Graph> differentiated;
  /// Where the kernels of kPlanned go: what they need beside the graph's values is part of the
  /// plan. Null: they are made for this machine and forgotten.
  kernel::ProgramLowering* lowering = nullptr;
};

/// The graph of one entry for a batch size, after everything up to `last`.
Result<StagedEntry> build_staged(const Model& model, EntryPoint kind, int64_t batch,
                                 PipelineStage last, const BuildOptions& options);
/// The same of a graph that is past `from` already; `file` is where it came from.
Result<StagedEntry> build_staged(std::shared_ptr<Graph> graph, PipelineStage from,
                                 PipelineStage last, const BuildOptions& options,
                                 const std::string& file);

struct EntrySizes {
  int64_t scratch_bytes = 0;  ///< what the kernels need of each thread
  int64_t table_bytes = 0;    ///< of the steps
};
/// Of a planned entry, which is the only one of `lowering`.
Result<EntrySizes> entry_sizes(const StagedEntry& entry, kernel::ProgramLowering& lowering);

}  // namespace gradc
