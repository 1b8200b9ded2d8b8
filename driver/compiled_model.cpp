#include "driver/compiled_model.h"

#include "codegen/kernel/lower.h"
#include "codegen/target_needs.h"
#include "frontend/native_reader.h"
#include "passes/graph_stats.h"
#include "runtime/instance.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <chrono>

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

Result<std::unique_ptr<ModelTables>> make_tables(const Model& model, int64_t batch,
                                                 std::vector<Diagnostic>& warnings) {
  // The training step knows every parameter, state and optimizer slot; the others add inputs and
  // outputs.
  std::vector<std::shared_ptr<Graph>> graphs;
  std::vector<EntryPoint> kinds = {EntryPoint::kPredict};
  if (model.training)
    kinds = {EntryPoint::kTrainStepTail, EntryPoint::kEvaluate, EntryPoint::kPredict,
             EntryPoint::kGradients};
  for (EntryPoint kind : kinds) {
    GRADC_TRY(StagedEntry entry, build_staged(model, kind, batch, PipelineStage::kGradient, {}));
    graphs.push_back(entry.graph);
    if (kind == kinds.front()) warnings = std::move(entry.warnings);
  }
  auto tables = std::make_unique<ModelTables>(model, batch, graphs);
  for (const std::string& name : tables->ambiguous()) {
    return make_error(DiagKind::kDuplicateName, {model.file, "", false},
                      "two tensors of the model are named \"{}\": files could not tell them apart",
                      name);
  }
  if (model.training)
    tables->model().train_step_flops = graph_stats(*graphs.front()).contraction_flops;
  return tables;
}

Result<kernel::Program> lower_entries(const Model& model, std::span<const EntryPoint> kinds,
                                      const ModelTables& tables, const TargetInfo& target,
                                      TimeReport* times) {
  BuildOptions build;
  build.times = times;
  build.target = target;
  std::vector<StagedEntry> graphs;
  for (EntryPoint kind : kinds) {
    GRADC_TRY(StagedEntry entry,
              build_staged(model, kind, tables.model().batch_size, PipelineStage::kPlanned, build));
    graphs.push_back(std::move(entry));
  }
  std::vector<kernel::LowerEntry> entries;
  for (const StagedEntry& graph : graphs) {
    entries.push_back({std::string(entry_name(graph.kind)), graph.graph.get(), &*graph.plan,
                       [&tables](kernel::SlotUse, std::string_view name) {
                         const int64_t slot = tables.slot(name);
                         GRADC_CHECK(slot >= 0, "no slot for \"{}\"", name);
                         return slot;
                       }});
  }
  const ScopedTimer timer(times, "lower");
  return kernel::lower(model.name, entries, target);
}

Result<std::unique_ptr<CompiledModel>> CompiledModel::open(const std::string& path,
                                                           const CompileOptions& options,
                                                           SourceSet& sources) {
  GRADC_TRY(Model model, read_model_file(path, sources));
  return create(std::move(model), options);
}

Result<std::unique_ptr<CompiledModel>> CompiledModel::parse(const std::string& name,
                                                            const std::string& json,
                                                            const CompileOptions& options,
                                                            SourceSet& sources) {
  GRADC_TRY(Model model, read_model_text(name, json, sources));
  return create(std::move(model), options);
}

Result<std::unique_ptr<CompiledModel>> CompiledModel::create(Model model,
                                                             const CompileOptions& options) {
  auto result = std::unique_ptr<CompiledModel>(new CompiledModel(std::move(model), options));
  result->warnings_ = result->model_.warnings;
  std::vector<Diagnostic> more;
  GRADC_TRY(result->tables_,
            make_tables(result->model_, effective_batch(result->model_, options), more));
  std::move(more.begin(), more.end(), std::back_inserter(result->warnings_));
  gradc_rt_model& runtime_model = result->tables_->model();
  runtime_model.ensure_entry = &CompiledModel::ensure_entry;
  runtime_model.user = result.get();
  const TargetInfo& target = result->options_.target;
  runtime_model.target_triple = target.triple.c_str();
  runtime_model.target_cpu = target.cpu.c_str();
  result->needs_ = target_needs(target);
  runtime_model.target_features = result->needs_.c_str();
  return result;
}

int64_t CompiledModel::memory_bytes(int threads) const {
  return static_cast<int64_t>(rt::Instance::memory_bytes(runtime_model(), threads));
}

Status CompiledModel::compile(std::span<const EntryPoint> kinds) {
  std::vector<EntryPoint> missing;
  for (EntryPoint kind : kinds) {
    if (tables_->entry(runtime_entry(kind)).compiled == 0 && supports(kind))
      missing.push_back(kind);
  }
  if (missing.empty()) return Ok{};
  const ScopedTimer timer(&times_, "total");
  GRADC_TRY(const kernel::Program program,
            lower_entries(model_, missing, *tables_, options_.target, &times_));
  auto code = jit_compile(program, options_.target);
  if (!code.ok()) return std::move(code).failure();
  add_code_times((*code)->timings());
  for (const JitEntry& entry : (*code)->entries()) {
    const auto kind = std::find_if(missing.begin(), missing.end(),
                                   [&](EntryPoint k) { return entry_name(k) == entry.name; });
    GRADC_CHECK(kind != missing.end(), "an entry nobody asked for: {}", entry.name);
    gradc_rt_entry& out = tables_->entry(runtime_entry(*kind));
    const char* const name = out.name;  // the code may go before the tables
    out = entry.table;
    out.name = name;
  }
  code_.push_back(code.take());
  return Ok{};
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
}

int64_t CompiledModel::ensure_entry(void* self, int64_t kind, const char** message) {
  auto& model = *static_cast<CompiledModel*>(self);
  // What is used together is compiled together, so that equal kernels are compiled once.
  std::vector<EntryPoint> kinds = {static_cast<EntryPoint>(kind)};
  if (kinds[0] == EntryPoint::kTrainStep) kinds = {EntryPoint::kTrainStep, EntryPoint::kEvaluate};
  const Status status = model.compile(kinds);
  if (status.ok()) return 0;
  model.message_ = status.message();
  *message = model.message_.c_str();
  return 1;
}

}  // namespace gradc
