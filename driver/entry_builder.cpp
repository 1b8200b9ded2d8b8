#include "driver/entry_builder.h"

#include "codegen/kernel/program_tables.h"
#include "codegen/kernel_scratch.h"
#include "frontend/families.h"
#include "frontend/graph_builder.h"
#include "ir/step_output.h"
#include "passes/plan_memory.h"
#include "passes/recompute.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <string>
#include <utility>

namespace gradc {

namespace {

constexpr std::array<std::string_view, kNumEntryPoints> kNames = {
    "predict", "evaluate", "evaluate_tail", "train_step", "train_step_tail", "gradients"};

PipelineKind pipeline_of(EntryPoint kind) {
  switch (kind) {
    case EntryPoint::kPredict:
    case EntryPoint::kEvaluate:
    case EntryPoint::kEvaluateTail:
      return PipelineKind::kForward;
    case EntryPoint::kTrainStep:
    case EntryPoint::kTrainStepTail:
      return PipelineKind::kTrainStep;
    case EntryPoint::kGradients:
      return PipelineKind::kGradients;
  }
  GRADC_UNREACHABLE();
}

}  // namespace

std::string_view entry_name(EntryPoint kind) {
  return kNames[static_cast<size_t>(kind)];
}

gradc_rt_entry_kind runtime_entry(EntryPoint kind) {
  return static_cast<gradc_rt_entry_kind>(kind);
}

bool needs_training(EntryPoint kind) {
  return kind != EntryPoint::kPredict;
}

bool is_tail(EntryPoint kind) {
  return kind == EntryPoint::kEvaluateTail || kind == EntryPoint::kTrainStepTail;
}

namespace {

EntryKind frontend_kind(EntryPoint kind) {
  switch (kind) {
    case EntryPoint::kPredict:
      return EntryKind::kPredict;
    case EntryPoint::kEvaluate:
    case EntryPoint::kEvaluateTail:
      return EntryKind::kEvaluate;
    case EntryPoint::kTrainStep:
    case EntryPoint::kTrainStepTail:
    case EntryPoint::kGradients:
      return EntryKind::kTrain;
  }
  GRADC_UNREACHABLE();
}

/// The gradients entry computes the loss and its gradients and changes nothing: no updates, no
/// learning rate, no metrics. What stands for parameters is what is differentiated.
void keep_loss_only(Graph& graph) {
  for (size_t i = graph.outputs().size(); i-- > 0;) {
    const std::string& name = graph.outputs()[i].name;
    if (name != "loss" && !name.starts_with(kRestatedOutput)) graph.remove_output(i);
  }
  for (NodeId node : graph.nodes()) {
    if (graph.node(node).op == Op::kUpdate) graph.erase(node);
  }
}

/// Where the passes of an entry run: its names, its options, who lowers its kernels.
struct Stages {
  std::string name;
  PassContext& context;
  const BuildOptions& options;
};

/// Runs the passes on the entry's graph; where they plan it, its kernels are lowered on the way.
Status run_stages(StagedEntry& result, const std::string& passes, const Stages& stages,
                  kernel::ProgramLowering* lowering) {
  PassContext& context = stages.context;
  std::chrono::nanoseconds lower_time{0};
  std::optional<kernel::ProgramLowering> forgotten;
  context.options.find_workspaces =
      [&](const Graph& graph, const MemoryPlan& storage) -> Result<std::vector<Workspace>> {
    if (lowering == nullptr) lowering = &forgotten.emplace(stages.name, TargetInfo::host());
    const auto begin = std::chrono::steady_clock::now();
    GRADC_TRY(result.lowered, lowering->lower(graph, storage));
    lower_time = std::chrono::steady_clock::now() - begin;
    return result.lowered.workspaces;
  };
  context.options.name_bodies = stages.options.name_bodies;
  const auto begin = std::chrono::steady_clock::now();
  PassManagerOptions manager;
  manager.verify_each = stages.options.verify_each;
  GRADC_TRY_STATUS(run_passes(*result.graph, passes, context, std::move(manager)));
  if (TimeReport* times = stages.options.times; times != nullptr) {
    times->add("passes", std::chrono::steady_clock::now() - begin - lower_time);
    times->add("lower", lower_time);
  }
  result.plan = std::move(context.plan);
  context.plan.reset();
  return Ok{};
}

/// Plans the optimized graph of an entry so that its arena keeps the budget: as it is, or with as
/// little as possible of the forward phase made again in the backward phase.
Status fit_budget(StagedEntry& result, const std::string& passes, const Stages& stages) {
  const TargetInfo target =
      stages.options.lowering != nullptr ? stages.options.lowering->target() : TargetInfo::host();
  const int64_t budget = *stages.options.memory_budget_bytes;
  const std::shared_ptr<Graph> optimized = result.graph;
  std::vector<Recomputation> ladder = {{}};
  const bool trains = std::ranges::any_of(
      optimized->nodes(), [&](NodeId id) { return optimized->node(id).phase == Phase::kBackward; });
  if (trains)
    ladder.insert(ladder.end(), recomputation_ladder().begin(), recomputation_ladder().end());
  int64_t least = INT64_MAX;
  for (const Recomputation& what : ladder) {
    kernel::ProgramLowering forgotten(stages.name, target);
    StagedEntry trial;
    trial.graph = optimized->clone();
    stages.context.options.recompute = what;
    GRADC_TRY_STATUS(run_stages(trial, passes, stages, &forgotten));
    // Steps that do not lower the peak are left out, so that less memory is never asked for more.
    if (trial.plan->arena_bytes >= least) continue;
    least = trial.plan->arena_bytes;
    result.graph = std::move(trial.graph);
    result.plan = std::move(trial.plan);
    if (least <= budget) break;
  }
  GRADC_TRY_STATUS(
      check_memory_budget(*result.graph, *result.plan, budget, stages.context.options.file));
  if (stages.options.lowering == nullptr) return Ok{};
  GRADC_TRY(const MemoryPlan storage, assign_storage(*result.graph));
  GRADC_TRY(result.lowered, stages.options.lowering->lower(*result.graph, storage));
  return Ok{};
}

/// From one stage to another, by a pipeline of this kind.
Status run_pipeline(StagedEntry& result, PipelineKind kind, PipelineStage from, PipelineStage last,
                    const Stages& stages) {
  const bool must_fit = stages.options.memory_budget_bytes && last == PipelineStage::kPlanned &&
                        from <= PipelineStage::kOptimized;
  if (!must_fit) {
    stages.context.options.memory_budget_bytes = stages.options.memory_budget_bytes;
    GRADC_TRY_STATUS(
        run_stages(result, pipeline_text(kind, last, from), stages, stages.options.lowering));
  } else {
    const std::string optimize = pipeline_text(kind, PipelineStage::kOptimized, from);
    if (!optimize.empty()) GRADC_TRY_STATUS(run_stages(result, optimize, stages, nullptr));
    GRADC_TRY_STATUS(
        fit_budget(result, pipeline_text(kind, last, PipelineStage::kOptimized), stages));
  }
  result.warnings = stages.context.sink.take();
  return Ok{};
}

}  // namespace

Result<StagedEntry> build_staged(const Model& model, EntryPoint kind, int64_t batch,
                                 PipelineStage last, const BuildOptions& options) {
  PassContext context;
  StagedEntry result;
  result.kind = kind;
  result.graph = options.differentiated;
  context.options.file = model.file;
  if (result.graph == nullptr) {
    const ScopedTimer timer(options.times, "graph");
    GRADC_TRY(EntryGraph built,
              build_entry_graph(model, {frontend_kind(kind), batch, is_tail(kind)}));
    result.graph = std::move(built.graph);
    if (kind == EntryPoint::kGradients) keep_loss_only(*result.graph);
  }
  // What was differentiated elsewhere has its steps; kernels are named after their rule all the
  // same.
  if (pipeline_of(kind) == PipelineKind::kTrainStep)
    context.options.optimizer = make_optimizer_spec(model.training->optimizer);
  const PipelineStage from =
      options.differentiated != nullptr ? PipelineStage::kGradient : PipelineStage::kGraph;
  GRADC_TRY_STATUS(
      run_pipeline(result, pipeline_of(kind), from, last, {model.name, context, options}));
  return result;
}

Result<StagedEntry> build_staged(std::shared_ptr<Graph> graph, PipelineStage from,
                                 PipelineStage last, const BuildOptions& options,
                                 const std::string& file) {
  // What is planned already is planned again, in the order that it has.
  if (last == PipelineStage::kPlanned) from = std::min(from, PipelineStage::kScheduled);
  StagedEntry result;
  result.graph = std::move(graph);
  PassContext context;
  context.options.file = file;
  GRADC_TRY_STATUS(run_pipeline(result, PipelineKind::kForward, from, last,
                                {result.graph->name(), context, options}));
  return result;
}

Result<EntrySizes> entry_sizes(const StagedEntry& entry, kernel::ProgramLowering& lowering) {
  std::map<std::string, int64_t, std::less<>> slots;
  GRADC_TRY_STATUS(lowering.add(
      {std::string(entry_name(entry.kind)), entry.graph.get(), &*entry.plan,
       [&slots](kernel::SlotUse, std::string_view name) {
         return slots.try_emplace(std::string(name), static_cast<int64_t>(slots.size()))
             .first->second;
       }},
      entry.lowered));
  const kernel::Program& program = lowering.program();
  GRADC_TRY(const std::vector<int64_t> scratch, kernel_scratch(program, lowering.target()));
  const kernel::EntryTables tables = kernel::make_entry_tables(program.entries.back(), scratch);
  return EntrySizes{tables.scratch_bytes, tables.bytes()};
}

}  // namespace gradc
