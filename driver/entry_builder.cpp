#include "driver/entry_builder.h"

#include "codegen/kernel/program_tables.h"
#include "codegen/kernel_scratch.h"
#include "frontend/families.h"
#include "frontend/graph_builder.h"
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
/// learning rate, no metrics.
void keep_loss_only(Graph& graph) {
  for (size_t i = graph.outputs().size(); i-- > 0;) {
    if (graph.outputs()[i].name != "loss") graph.remove_output(i);
  }
  for (NodeId node : graph.nodes()) {
    if (graph.node(node).op == Op::kUpdate) graph.erase(node);
  }
}

/// Runs the passes on the entry's graph; where they plan it, its kernels are lowered on the way.
Status run_stages(StagedEntry& result, const std::string& passes, const std::string& name,
                  PassContext& context, const BuildOptions& options) {
  context.options.memory_budget_bytes = options.memory_budget_bytes;
  std::chrono::nanoseconds lower_time{0};
  std::optional<kernel::ProgramLowering> forgotten;
  context.options.find_workspaces =
      [&](const Graph& graph, const MemoryPlan& storage) -> Result<std::vector<Workspace>> {
    kernel::ProgramLowering* lowering = options.lowering;
    if (lowering == nullptr) lowering = &forgotten.emplace(name, TargetInfo::host());
    const auto begin = std::chrono::steady_clock::now();
    GRADC_TRY(result.lowered, lowering->lower(graph, storage));
    lower_time = std::chrono::steady_clock::now() - begin;
    return result.lowered.workspaces;
  };
  const auto begin = std::chrono::steady_clock::now();
  PassManagerOptions manager;
  manager.verify_each = options.verify_each;
  GRADC_TRY_STATUS(run_passes(*result.graph, passes, context, std::move(manager)));
  if (options.times != nullptr) {
    options.times->add("passes", std::chrono::steady_clock::now() - begin - lower_time);
    options.times->add("lower", lower_time);
  }
  result.plan = std::move(context.plan);
  result.warnings = context.sink.take();
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
  GRADC_TRY_STATUS(run_stages(result, pipeline_text(pipeline_of(kind), last, from), model.name,
                              context, options));
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
  GRADC_TRY_STATUS(run_stages(result, pipeline_text(PipelineKind::kForward, last, from),
                              result.graph->name(), context, options));
  return result;
}

Result<int64_t> entry_scratch(const StagedEntry& entry, kernel::ProgramLowering& lowering) {
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
  return kernel::make_entry_tables(program.entries.back(), scratch).scratch_bytes;
}

}  // namespace gradc
