#include "driver/compiled_model.h"

#include "codegen/kernel/lower.h"
#include "codegen/target_needs.h"
#include "driver/model_facts.h"
#include "driver/step_entry.h"
#include "frontend/families.h"
#include "ir/op_attrs.h"
#include "ir/structural_hash.h"
#include "passes/graph_stats.h"
#include "runtime/instance.h"
#include "support/byte_stream.h"
#include "support/check.h"
#include "support/heap.h"

#include "exchange/read_model.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <future>
#include <system_error>

namespace gradc {

int64_t effective_batch(const Model& model, const CompileOptions& options) {
  if (options.batch_size > 0) return options.batch_size;
  return model.training ? model.training->batch_size : 1;
}

std::vector<EntryPoint> entries_of(const Model& model) {
  if (!model.training) return {EntryPoint::kPredict};
  return {EntryPoint::kPredict,   EntryPoint::kEvaluate,      EntryPoint::kEvaluateTail,
          EntryPoint::kTrainStep, EntryPoint::kTrainStepTail, EntryPoint::kGradients};
}

namespace {

using Graphs = std::vector<std::shared_ptr<Graph>>;

Result<Graphs> graphs_of(const Model& model, std::span<const EntryPoint> kinds, int64_t batch,
                         TimeReport& times) {
  Graphs graphs;
  for (const EntryPoint kind : kinds) {
    BuildOptions build;
    build.times = &times;
    GRADC_TRY(StagedEntry entry, build_staged(model, kind, batch, PipelineStage::kGraph, build));
    graphs.push_back(std::move(entry.graph));
  }
  return graphs;
}

/// What the tables need beside the first entry.
struct Others {
  Graphs graphs;
  std::vector<ModelFact> facts;
  TimeReport times;
};

Result<Others> others_of(const Model& model, std::span<const EntryPoint> kinds, int64_t batch) {
  Others others;
  GRADC_TRY(others.graphs, graphs_of(model, kinds, batch, others.times));
  others.facts = model_facts(model);
  return others;
}

/// Work on a thread of its own, or here where the system has none.
class Beside {
 public:
  explicit Beside(std::function<Result<Others>()> work) : work_(std::move(work)) {
    try {
      future_ = std::async(std::launch::async, work_);
    } catch (const std::system_error&) {
    }
  }
  Result<Others> take() { return future_.valid() ? future_.get() : work_(); }

 private:
  std::function<Result<Others>()> work_;
  std::future<Result<Others>> future_;
};

}  // namespace

Result<std::unique_ptr<ModelTables>> make_tables(const Model& model, int64_t batch,
                                                 std::vector<Diagnostic>& warnings,
                                                 TimeReport* times, bool for_hosts) {
  // The training step knows every parameter, state and optimizer slot; the others add inputs and
  // outputs, for which passes need not have run, and the gradients are those of its parameters.
  // Without a training section hosts may still train by a loss of their own.
  const std::vector<EntryPoint> others =
      model.training ? std::vector{EntryPoint::kEvaluateTail, EntryPoint::kPredict}
      : for_hosts    ? std::vector{EntryPoint::kForwardTail}
                     : std::vector<EntryPoint>{};
  Beside building([&] { return others_of(model, others, batch); });
  BuildOptions build;
  build.times = times;
  const EntryPoint first = model.training ? EntryPoint::kTrainStep : EntryPoint::kPredict;
  auto entry = build_staged(model, first, batch, PipelineStage::kGradient, build);
  auto more = building.take();
  if (!entry.ok()) return Failure(entry.diagnostics());
  if (!more.ok()) return Failure(more.diagnostics());
  if (times != nullptr) {
    for (const TimeReport::Entry& timer : more->times.entries())
      times->add(timer.name, timer.total);
  }
  warnings = std::move(entry->warnings);
  std::vector<std::shared_ptr<Graph>> graphs = std::move(more->graphs);
  graphs.insert(graphs.begin(), std::move(entry->graph));
  const std::optional<StepGraph> step = step_entry(model);
  if (step && step->graph != nullptr) graphs.push_back(step->graph);
  NumberTables numbers;
  if (for_hosts) numbers = number_tables(model);
  auto tables = std::make_unique<ModelTables>(model, batch, graphs, more->facts,
                                              for_hosts ? &numbers : nullptr);
  if (step && step->graph == nullptr) tables->set_step_remark(step->problem);
  for (const std::string& name : tables->ambiguous()) {
    return make_error(DiagKind::kDuplicateName, {model.file, "", false},
                      "two tensors of the model are named \"{}\": files could not tell them apart",
                      name);
  }
  if (model.training) {
    tables->model().train_step_flops = graph_stats(*graphs.front()).contraction_flops;
    tables->keep_train_step(std::move(graphs.front()));
  }
  return tables;
}

namespace {

/// The graphs of entries as far as they depend on the model: differentiated, with the optimizer's
/// steps.
Result<std::vector<StagedEntry>> begin_entries(const Model& model,
                                               std::span<const EntryPoint> kinds,
                                               ModelTables& tables, TimeReport* times) {
  std::vector<StagedEntry> entries;
  BuildOptions build;
  build.times = times;
  for (const EntryPoint kind : kinds) {
    StagedEntry entry;
    entry.kind = kind;
    if (kind == EntryPoint::kTrainStep) entry.graph = tables.take_train_step();
    if (entry.graph == nullptr) {
      GRADC_TRY(entry, build_staged(model, kind, tables.model().batch_size,
                                    PipelineStage::kGradient, build));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

/// The rest of the way into `lowering`; the graphs are used up.
Status finish_entries(const Model& model, std::vector<StagedEntry> entries,
                      const ModelTables& tables, const CompileOptions& options,
                      kernel::ProgramLowering& lowering, TimeReport* times) {
  BuildOptions build;
  build.memory_budget_bytes = options.memory_budget_bytes;
  build.times = times;
  build.lowering = &lowering;
  for (StagedEntry& begun : entries) {
    build.differentiated = std::move(begun.graph);
    GRADC_TRY(const StagedEntry entry, build_staged(model, begun.kind, tables.model().batch_size,
                                                    PipelineStage::kPlanned, build));
    const ScopedTimer timer(times, "lower");
    GRADC_TRY_STATUS(
        lowering.add({std::string(entry_name(entry.kind)), entry.graph.get(), &*entry.plan,
                      [&tables](kernel::SlotUse, std::string_view name) {
                        const int64_t slot = tables.slot(name);
                        GRADC_CHECK(slot >= 0, "no slot for \"{}\"", name);
                        return slot;
                      }},
                     entry.lowered));
  }
  return Ok{};
}

/// What a program follows from in the options, beside the target (which jit_load knows) and what is
/// in the graphs and slots. All members: a new one does not compile until it stands here.
void put_options(ByteWriter& out, const CompileOptions& options) {
  [[maybe_unused]] const auto& [batch_size, target, cache, memory_budget, for_hosts] = options;
  out.put(static_cast<uint64_t>(memory_budget.value_or(-1)));
}

/// All that passes and lowering make a program of, but for this build and the target: graphs, the
/// rule that kernels are named after, and the slots of what the graphs read and write.
std::string origin_of(const Model& model, const CompileOptions& options,
                      std::span<const StagedEntry> entries, const ModelTables& tables) {
  ByteWriter out;
  put_options(out, options);
  out.put(model.name);
  out.put(uint64_t{entries.size()});
  if (model.training)
    put_content(out, make_attrs(make_optimizer_spec(model.training->optimizer).step));
  for (const StagedEntry& entry : entries) {
    out.put(entry_name(entry.kind));
    put_content(out, *entry.graph);
    for (const GraphInput& input : entry.graph->inputs())
      out.put(static_cast<uint64_t>(tables.slot(input.name)));
    for (const GraphOutput& output : entry.graph->outputs())
      out.put(static_cast<uint64_t>(tables.slot(output.name)));
  }
  return out.take();
}

}  // namespace

Result<kernel::Program> lower_entries(const Model& model, std::span<const EntryPoint> kinds,
                                      ModelTables& tables, const CompileOptions& options,
                                      TimeReport* times) {
  GRADC_TRY(std::vector<StagedEntry> begun, begin_entries(model, kinds, tables, times));
  kernel::ProgramLowering lowering(model.name, options.target);
  GRADC_TRY_STATUS(finish_entries(model, std::move(begun), tables, options, lowering, times));
  return lowering.take();
}

Result<std::unique_ptr<CompiledModel>> CompiledModel::open(const std::string& path,
                                                           const CompileOptions& options,
                                                           SourceSet& sources, const Given& given) {
  GRADC_TRY(Model model, exchange::read_model(path, sources, given));
  return create(std::move(model), options);
}

Result<std::unique_ptr<CompiledModel>> CompiledModel::parse(const std::string& name,
                                                            const std::string& json,
                                                            const CompileOptions& options,
                                                            SourceSet& sources) {
  GRADC_TRY(Model model, read_model_text(name, json, sources,
                                         {.dialects = &exchange::all_dialects(), .given = {}}));
  return create(std::move(model), options);
}

Result<std::unique_ptr<CompiledModel>> CompiledModel::create(Model model,
                                                             const CompileOptions& options) {
  auto result = std::unique_ptr<CompiledModel>(new CompiledModel(std::move(model), options));
  result->warnings_ = result->model_.warnings;
  std::vector<Diagnostic> more;
  {
    const ScopedTimer timer(&result->times_, "total");
    GRADC_TRY(result->tables_, make_tables(result->model_, effective_batch(result->model_, options),
                                           more, &result->times_, options.for_hosts));
  }
  std::move(more.begin(), more.end(), std::back_inserter(result->warnings_));
  gradc_rt_model& runtime_model = result->tables_->model();
  runtime_model.ensure_entry = &CompiledModel::ensure_entry;
  runtime_model.user = result.get();
  const TargetInfo& target = result->options_.target;
  runtime_model.target_triple = target.triple.c_str();
  runtime_model.target_cpu = target.cpu.c_str();
  // Code for another architecture is looked at and never run: nothing is asked of this processor.
  if (target_links_here(target)) result->needs_ = target_needs(target);
  runtime_model.target_features = result->needs_.c_str();
  return result;
}

int64_t CompiledModel::memory_bytes(int threads) const {
  return static_cast<int64_t>(rt::Instance::memory_bytes(runtime_model(), threads));
}

rt::Status CompiledModel::create_instance(const rt::InstanceOptions& options, rt::Instance** out) {
  const std::lock_guard lock(compiling_);
  return rt::Instance::create(runtime_model(), options, nullptr, 0, out);
}

Status CompiledModel::compile(std::span<const EntryPoint> kinds) {
  if (!target_links_here(options_.target)) {
    return make_error(DiagKind::kUnsupported, {},
                      "code for target '{}' does not run on this machine", options_.target.triple);
  }
  const std::lock_guard lock(compiling_);
  std::vector<EntryPoint> missing;
  for (EntryPoint kind : kinds) {
    if (tables_->entry(runtime_entry(kind)).compiled == 0 && supports(kind))
      missing.push_back(kind);
  }
  if (missing.empty()) return Ok{};
  GRADC_TRY_STATUS(compile_missing(missing));
  heap::give_back();  // what compiling took and freed is many times what training needs
  return Ok{};
}

Status CompiledModel::compile_missing(std::span<const EntryPoint> kinds) {
  const ScopedTimer timer(&times_, "total");
  GRADC_TRY(std::vector<StagedEntry> begun, begin_entries(model_, kinds, *tables_, &times_));
  JitOptions jit;
  jit.previous = code_.empty() ? nullptr : code_.back().get();
  std::string origin;
  std::unique_ptr<JitProgram> code;
  if (options_.cache) {
    const ScopedTimer cache_timer(&times_, "cache");
    jit.cache = &*options_.cache;
    origin = origin_of(model_, options_, begun, *tables_);
    jit.origin = origin;
    code = jit_load(options_.target, jit);
  }
  if (code == nullptr) {
    kernel::ProgramLowering lowering(model_.name, options_.target);
    GRADC_TRY_STATUS(
        finish_entries(model_, std::move(begun), *tables_, options_, lowering, &times_));
    GRADC_TRY(code, jit_compile(lowering.program(), options_.target, jit));
  }
  take_code(std::move(code));
  return Ok{};
}

void CompiledModel::take_code(std::unique_ptr<JitProgram> code) {
  add_code_times(code->timings());
  for (const JitEntry& entry : code->entries()) {
    for (int i = 0; i < kNumEntryPoints; ++i) {
      const auto kind = static_cast<EntryPoint>(i);
      if (entry_name(kind) != entry.name) continue;
      gradc_rt_entry& out = tables_->entry(runtime_entry(kind));
      const char* const name = out.name;  // the code may go before the tables
      out = entry.table;
      out.name = name;
    }
  }
  code_.push_back(std::move(code));
}

Result<kernel::Program> CompiledModel::lower(std::span<const EntryPoint> kinds) const {
  const std::lock_guard lock(compiling_);
  return lower_entries(model_, kinds, *tables_, options_, nullptr);
}

void CompiledModel::add_code_times(const CompileTimings& timings) {
  const auto add = [&](const char* name, double ms) {
    times_.add(name, std::chrono::duration_cast<std::chrono::nanoseconds>(
                         std::chrono::duration<double, std::milli>(ms)));
  };
  add("llvm_emit", timings.emit_ms);
  add("llvm_optimize", timings.optimize_ms);
  add("llvm_codegen", timings.codegen_ms);
  add("link", timings.link_ms);
  code_timings_.kernels += timings.kernels;
  code_timings_.cached_kernels += timings.cached_kernels;
  code_timings_.cached_entries += timings.cached_entries;
  code_timings_.code_bytes += timings.code_bytes;
}

int64_t CompiledModel::ensure_entry(void* self, int64_t kind, const char** message) {
  auto& model = *static_cast<CompiledModel*>(self);
  const std::array kinds = {static_cast<EntryPoint>(kind)};
  const Status status = model.compile(kinds);
  if (status.ok()) return 0;
  thread_local std::string text;
  text = status.message();
  *message = text.c_str();
  return 1;
}

}  // namespace gradc
