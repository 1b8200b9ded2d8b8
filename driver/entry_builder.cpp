#include "driver/entry_builder.h"

#include "codegen/kernel/program_tables.h"
#include "codegen/kernel_scratch.h"
#include "driver/step_entry.h"
#include "frontend/families.h"
#include "frontend/graph_builder.h"
#include "ir/builder.h"
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

/// What an entry is made of.
struct EntryTraits {
  std::string_view name;
  EntryKind builds{};
  PipelineKind pipeline = PipelineKind::kForward;
  bool tail = false;
  bool needs_training = true;
  // Of gradients:
  bool parameters = true;
  bool inputs = false;
  bool from_outputs = false;  ///< given by the host
};

constexpr EntryTraits gradients_of(std::string_view name, bool from_outputs, bool parameters,
                                   bool inputs, bool tail) {
  return {.name = name,
          .builds = from_outputs ? EntryKind::kForward : EntryKind::kTrain,
          .pipeline = PipelineKind::kGradients,
          .tail = tail,
          .needs_training = !from_outputs,
          .parameters = parameters,
          .inputs = inputs,
          .from_outputs = from_outputs};
}

/// In the order of EntryPoint.
constexpr std::array<EntryTraits, kNumEntryPoints> kTraits = {{
    {.name = "predict", .builds = EntryKind::kPredict, .needs_training = false},
    {.name = "evaluate", .builds = EntryKind::kEvaluate},
    {.name = "evaluate_tail", .builds = EntryKind::kEvaluate, .tail = true},
    {.name = "train_step", .builds = EntryKind::kTrain, .pipeline = PipelineKind::kTrainStep},
    {.name = "train_step_tail",
     .builds = EntryKind::kTrain,
     .pipeline = PipelineKind::kTrainStep,
     .tail = true},
    {.name = "gradients", .builds = EntryKind::kTrain, .pipeline = PipelineKind::kGradients},
    {.name = "step", .builds = EntryKind::kPredict, .needs_training = false},
    {.name = "tuned_step", .builds = EntryKind::kTrain, .pipeline = PipelineKind::kTrainStep},
    {.name = "tuned_step_tail",
     .builds = EntryKind::kTrain,
     .pipeline = PipelineKind::kTrainStep,
     .tail = true},
    {.name = "apply_gradients", .builds = EntryKind::kUpdate, .pipeline = PipelineKind::kUpdate},
    {.name = "forward", .builds = EntryKind::kForward, .needs_training = false},
    {.name = "forward_tail", .builds = EntryKind::kForward, .tail = true, .needs_training = false},
    gradients_of("loss_to_parameters", false, true, false, false),
    gradients_of("loss_to_parameters_tail", false, true, false, true),
    gradients_of("loss_to_inputs", false, false, true, false),
    gradients_of("loss_to_inputs_tail", false, false, true, true),
    gradients_of("loss_to_all", false, true, true, false),
    gradients_of("loss_to_all_tail", false, true, true, true),
    gradients_of("outputs_to_parameters", true, true, false, false),
    gradients_of("outputs_to_parameters_tail", true, true, false, true),
    gradients_of("outputs_to_inputs", true, false, true, false),
    gradients_of("outputs_to_inputs_tail", true, false, true, true),
    gradients_of("outputs_to_all", true, true, true, false),
    gradients_of("outputs_to_all_tail", true, true, true, true),
    {.name = "learning_rate", .builds = EntryKind::kRate},
}};

const EntryTraits& traits(EntryPoint kind) {
  return kTraits[static_cast<size_t>(kind)];
}

}  // namespace

std::string_view entry_name(EntryPoint kind) {
  return traits(kind).name;
}

gradc_rt_entry_kind runtime_entry(EntryPoint kind) {
  return static_cast<gradc_rt_entry_kind>(kind);
}

bool needs_training(EntryPoint kind) {
  return traits(kind).needs_training;
}

bool is_tail(EntryPoint kind) {
  return traits(kind).tail;
}

bool is_for_hosts(EntryPoint kind) {
  return kind >= EntryPoint::kTunedStep;
}

namespace {

void keep_outputs(Graph& graph, std::string_view prefix, std::string_view other) {
  for (size_t i = graph.outputs().size(); i-- > 0;) {
    const std::string& name = graph.outputs()[i].name;
    if (!name.starts_with(prefix) && !name.starts_with(other)) graph.remove_output(i);
  }
}

void remove_updates(Graph& graph) {
  for (NodeId node : graph.nodes()) {
    if (graph.node(node).op == Op::kUpdate) graph.erase(node);
  }
}

/// An input for the gradient of each output that can have one.
void add_output_gradients(Graph& graph) {
  const std::string_view prefix = "output/";
  Builder builder(graph);
  const std::vector<GraphOutput> outputs = graph.outputs();
  for (const GraphOutput& output : outputs) {
    const TensorType type = graph.type(output.value);
    if (!output.name.starts_with(prefix) || !is_float(type.dtype)) continue;
    builder.input(InputKind::kInput, type, kOutputGradient + output.name.substr(prefix.size()),
                  "output_gradient");
  }
}

/// What stands for parameters in this step becomes their value, as states get theirs: the update
/// that follows goes on from there, as a training step does.
void restate(Graph& graph) {
  const std::string_view prefix = kRestatedOutput;
  Builder builder(graph);
  builder.set_phase(Phase::kUpdate);
  const std::vector<GraphOutput> outputs = graph.outputs();
  for (const GraphOutput& output : outputs) {
    if (!output.name.starts_with(prefix)) continue;
    const auto parameter = graph.find_input(output.name.substr(prefix.size()));
    GRADC_CHECK(parameter.has_value(), "{} of nothing", output.name);
    builder.update(builder.wrap(*parameter), builder.wrap(output.value));
  }
}

/// What an entry of gradients is made from: the loss or the outputs, and what stands for
/// parameters, which is what is differentiated. Hosts that take gradients of parameters are about
/// to make a step.
void prepare_gradients(Graph& graph, EntryPoint kind) {
  if (traits(kind).from_outputs)
    add_output_gradients(graph);
  else
    keep_outputs(graph, "loss", kRestatedOutput);
  if (is_for_hosts(kind) && traits(kind).parameters)
    restate(graph);
  else
    remove_updates(graph);
}

/// The outputs in training mode, and no change.
void prepare_forward(Graph& graph) {
  keep_outputs(graph, "output/", "output/");
  remove_updates(graph);
}

/// The learning rate as hosts read it.
void prepare_rate(Graph& graph) {
  Builder builder(graph);
  builder.set_phase(Phase::kUpdate);
  const Val rate = builder.wrap(graph.outputs().front().value);
  graph.remove_output(0);
  graph.add_output(kScheduledRate, cast(rate, DType::kF64).id());
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

/// As the frontend builds it.
Result<std::shared_ptr<Graph>> entry_graph(const Model& model, EntryPoint kind, int64_t batch) {
  if (kind != EntryPoint::kStep) {
    GRADC_TRY(EntryGraph built,
              build_entry_graph(model, {traits(kind).builds, batch, is_tail(kind)}));
    return std::move(built.graph);
  }
  const std::optional<StepGraph> step = step_entry(model);
  if (step && step->graph != nullptr) return step->graph;
  return make_error(DiagKind::kUnsupported, {.file = model.file},
                    "the model makes no single steps of a text: {}",
                    step ? step->problem : "it is no language model");
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
    GRADC_TRY(result.graph, entry_graph(model, kind, batch));
    if (traits(kind).pipeline == PipelineKind::kGradients)
      prepare_gradients(*result.graph, kind);
    else if (traits(kind).builds == EntryKind::kForward)
      prepare_forward(*result.graph);
    else if (traits(kind).builds == EntryKind::kRate)
      prepare_rate(*result.graph);
  }
  // What was differentiated elsewhere has its steps; kernels are named after their rule all the
  // same.
  const PipelineKind pipeline = traits(kind).pipeline;
  if (pipeline == PipelineKind::kTrainStep || pipeline == PipelineKind::kUpdate)
    context.options.optimizer = make_optimizer_spec(model.training->optimizer);
  context.options.tuned = is_for_hosts(kind);
  context.options.parameter_gradients = traits(kind).parameters;
  context.options.input_gradients = traits(kind).inputs;
  const PipelineStage from =
      options.differentiated != nullptr ? PipelineStage::kGradient : PipelineStage::kGraph;
  GRADC_TRY_STATUS(run_pipeline(result, pipeline, from, last, {model.name, context, options}));
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
