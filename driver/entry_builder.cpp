#include "driver/entry_builder.h"

#include "codegen/kernel/lower.h"
#include "frontend/graph_builder.h"
#include "passes/plan_memory.h"
#include "support/check.h"

#include <array>
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

/// Plans once more, with the memory that the kernels of single nodes need for themselves.
Status plan_workspaces(StagedEntry& entry, const BuildOptions& options, const std::string& file) {
  std::map<std::pair<kernel::SlotUse, std::string>, int64_t> slots;
  const kernel::LowerEntry lowered{
      std::string(entry_name(entry.kind)), entry.graph.get(), &*entry.plan,
      [&slots](kernel::SlotUse use, std::string_view name) {
        const auto next = static_cast<int64_t>(slots.size());
        return slots.try_emplace({use, std::string(name)}, next).first->second;
      }};
  GRADC_TRY(const std::vector<Workspace> workspaces,
            kernel::find_workspaces(lowered, options.target));
  if (workspaces.empty()) return Ok{};
  GRADC_TRY(entry.plan, make_memory_plan(*entry.graph, {}, workspaces));
  return check_memory_budget(*entry.graph, *entry.plan, options.memory_budget_bytes, file);
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

}  // namespace

Result<StagedEntry> build_staged(const Model& model, EntryPoint kind, int64_t batch,
                                 PipelineStage last, const BuildOptions& options) {
  PassContext context;
  StagedEntry result;
  result.kind = kind;
  {
    const ScopedTimer timer(options.times, "graph");
    GRADC_TRY(EntryGraph built,
              build_entry_graph(model, {frontend_kind(kind), batch, is_tail(kind)}));
    result.graph = std::move(built.graph);
    if (kind == EntryPoint::kGradients) keep_loss_only(*result.graph);
    context.options.file = model.file;
    if (pipeline_of(kind) == PipelineKind::kTrainStep)
      context.options.optimizer = std::move(built.optimizer);
  }
  context.options.memory_budget_bytes = options.memory_budget_bytes;
  const ScopedTimer timer(options.times, "passes");
  PassManagerOptions manager;
  manager.verify_each = options.verify_each;
  GRADC_TRY_STATUS(run_passes(*result.graph, pipeline_text(pipeline_of(kind), last), context,
                              std::move(manager)));
  result.plan = std::move(context.plan);
  result.warnings = context.sink.take();
  if (result.plan) GRADC_TRY_STATUS(plan_workspaces(result, options, model.file));
  return result;
}

}  // namespace gradc
