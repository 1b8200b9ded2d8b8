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
#if defined(__GLIBC__)
#include <malloc.h>
#endif

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
                                                 std::vector<Diagnostic>& warnings,
                                                 TimeReport* times) {
  // The training step knows every parameter, state and optimizer slot; the others add inputs and
  // outputs, and the gradients are those of its parameters.
  std::vector<std::shared_ptr<Graph>> graphs;
  std::vector<EntryPoint> kinds = {EntryPoint::kPredict};
  if (model.training)
    kinds = {EntryPoint::kTrainStep, EntryPoint::kEvaluateTail, EntryPoint::kPredict};
  for (EntryPoint kind : kinds) {
    BuildOptions build;
    build.times = times;
    GRADC_TRY(StagedEntry entry, build_staged(model, kind, batch, PipelineStage::kGradient, build));
    graphs.push_back(entry.graph);
    if (kind == kinds.front()) warnings = std::move(entry.warnings);
  }
  auto tables = std::make_unique<ModelTables>(model, batch, graphs);
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

Status add_entries(const Model& model, std::span<const EntryPoint> kinds, ModelTables& tables,
                   const CompileOptions& options, kernel::ProgramLowering& lowering,
                   TimeReport* times) {
  BuildOptions build;
  build.memory_budget_bytes = options.memory_budget_bytes;
  build.times = times;
  build.lowering = &lowering;
  for (EntryPoint kind : kinds) {
    build.differentiated = kind == EntryPoint::kTrainStep ? tables.take_train_step() : nullptr;
    GRADC_TRY(const StagedEntry entry,
              build_staged(model, kind, tables.model().batch_size, PipelineStage::kPlanned, build));
    const ScopedTimer timer(times, "lower");
    GRADC_TRY_STATUS(lowering.add({std::string(entry_name(kind)), entry.graph.get(), &*entry.plan,
                                   [&tables](kernel::SlotUse, std::string_view name) {
                                     const int64_t slot = tables.slot(name);
                                     GRADC_CHECK(slot >= 0, "no slot for \"{}\"", name);
                                     return slot;
                                   }},
                                  entry.lowered));
  }
  return Ok{};
}

}  // namespace

Result<kernel::Program> lower_entries(const Model& model, std::span<const EntryPoint> kinds,
                                      ModelTables& tables, const CompileOptions& options,
                                      TimeReport* times) {
  kernel::ProgramLowering lowering(model.name, options.target);
  GRADC_TRY_STATUS(add_entries(model, kinds, tables, options, lowering, times));
  return lowering.take();
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
  {
    const ScopedTimer timer(&result->times_, "total");
    GRADC_TRY(result->tables_, make_tables(result->model_, effective_batch(result->model_, options),
                                           more, &result->times_));
  }
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
  if (lowering_ == nullptr)
    lowering_ = std::make_unique<kernel::ProgramLowering>(model_.name, options_.target);
  GRADC_TRY_STATUS(add_entries(model_, missing, *tables_, options_, *lowering_, &times_));
  JitOptions jit;
  jit.cache = options_.cache ? &*options_.cache : nullptr;
  jit.previous = code_.empty() ? nullptr : code_.back().get();
  auto code = jit_compile(lowering_->program(), options_.target, jit);
  if (!code.ok()) return std::move(code).failure();
  add_code_times((*code)->timings());
  for (const JitEntry& entry : (*code)->entries()) {
    for (int i = 0; i < kNumEntryPoints; ++i) {
      const auto kind = static_cast<EntryPoint>(i);
      if (entry_name(kind) != entry.name) continue;
      gradc_rt_entry& out = tables_->entry(runtime_entry(kind));
      const char* const name = out.name;  // the code may go before the tables
      out = entry.table;
      out.name = name;
    }
  }
  code_.push_back(code.take());
#if defined(__GLIBC__)
  malloc_trim(0);  // what compiling took and gave back is many times what training needs
#endif
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
  code_timings_.kernels += timings.kernels;
  code_timings_.cached_kernels += timings.cached_kernels;
  code_timings_.code_bytes += timings.code_bytes;
}

int64_t CompiledModel::ensure_entry(void* self, int64_t kind, const char** message) {
  auto& model = *static_cast<CompiledModel*>(self);
  const std::array kinds = {static_cast<EntryPoint>(kind)};
  const Status status = model.compile(kinds);
  if (status.ok()) return 0;
  model.message_ = status.message();
  *message = model.message_.c_str();
  return 1;
}

}  // namespace gradc
