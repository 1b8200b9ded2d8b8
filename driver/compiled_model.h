// A model compiled in this process: the runtime's description of it, with entries that are compiled
// by JIT when asked for or when first needed. Makes and owns everything from the parsed model to
// the machine code. Instances of it may live on several threads: what compiles is one after
// another.
#pragma once

#include "codegen/jit.h"
#include "codegen/target_info.h"
#include "driver/entry_builder.h"
#include "driver/model_tables.h"
#include "frontend/model.h"
#include "frontend/native_reader.h"
#include "passes/step_graph.h"
#include "runtime/instance.h"
#include "support/disk_cache.h"
#include "support/result.h"
#include "support/source_file.h"
#include "support/timer.h"

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace gradc {

struct CompileOptions {
  int64_t batch_size = 0;  ///< 0: the model's own
  TargetInfo target = TargetInfo::host();
  std::optional<DiskCache> cache{};  ///< where compiled entries are kept between processes
  std::optional<int64_t> memory_budget_bytes{};  ///< of each entry's arena: BuildOptions
  /// With the tensors of the entries that only hosts call; a command, which calls none, holds none.
  bool for_hosts = false;
};

/// The batch size of the options, else the model's, else 1.
int64_t effective_batch(const Model& model, const CompileOptions& options);

/// The entries that exist for a model: all but the step of a text, or predict alone without a
/// "training" section.
std::vector<EntryPoint> entries_of(const Model& model);

/// The runtime's description of a model: tensors and slots of all its entries, of those for hosts
/// only on request; nothing compiled.
Result<std::unique_ptr<ModelTables>> make_tables(const Model& model, int64_t batch,
                                                 std::vector<Diagnostic>& warnings,
                                                 TimeReport* times = nullptr,
                                                 bool for_hosts = false);

/// Builds, plans and lowers entries into one program, with slots as the tables number them. The
/// training step goes on from the graph that the tables were made of, which is used up.
Result<kernel::Program> lower_entries(const Model& model, std::span<const EntryPoint> kinds,
                                      ModelTables& tables, const CompileOptions& options,
                                      TimeReport* times);

class CompiledModel {
 public:
  /// Reads a model file, of any dialect, and prepares it; compiles nothing yet.
  static Result<std::unique_ptr<CompiledModel>> open(const std::string& path,
                                                     const CompileOptions& options,
                                                     SourceSet& sources, const Given& given = {});
  /// The same from JSON text; `name` stands for the file in messages.
  static Result<std::unique_ptr<CompiledModel>> parse(const std::string& name,
                                                      const std::string& json,
                                                      const CompileOptions& options,
                                                      SourceSet& sources);
  static Result<std::unique_ptr<CompiledModel>> create(Model model, const CompileOptions& options);

  const Model& model() const { return model_; }
  const gradc_rt_model& runtime_model() const { return tables_->model(); }
  const ModelTables& tables() const { return *tables_; }
  int64_t batch_size() const { return runtime_model().batch_size; }
  std::vector<Diagnostic> take_warnings() { return std::exchange(warnings_, {}); }

  /// What an instance with that many threads takes, of the entries compiled so far.
  int64_t memory_bytes(int threads) const;
  /// Compiles these entries or takes them from the cache; those already compiled are skipped, and
  /// so are kernels that an entry compiled before has too. Nothing of passes and lowering stays.
  Status compile(std::span<const EntryPoint> kinds);
  /// The kernels and steps of these entries, made anew: for reports, code has no need of them.
  Result<kernel::Program> lower(std::span<const EntryPoint> kinds) const;
  bool supports(EntryPoint kind) const {
    if (kind == EntryPoint::kStep) return tables_->has_step();
    if (is_for_hosts(kind) && !options_.for_hosts) return false;
    return !needs_training(kind) || model_.training.has_value();
  }
  /// Per stage: graph, passes, lower, LLVM (summed over its threads), linking; and the total on the
  /// clock.
  const TimeReport& times() const { return times_; }
  /// How many kernels were compiled, how many came from the cache, and so on, over all calls.
  const CompileTimings& code_timings() const { return code_timings_; }
  /// All of it.
  double compile_milliseconds() const {
    const std::lock_guard lock(compiling_);
    return times_.milliseconds("total");
  }
  const CompileOptions& options() const { return options_; }
  /// An instance, while none of the entries changes: Instance::create.
  rt::Status create_instance(const rt::InstanceOptions& options, rt::Instance** out);

 private:
  CompiledModel(Model model, const CompileOptions& options)
      : model_(std::move(model)), options_(options) {}
  Status compile_missing(std::span<const EntryPoint> kinds);
  void take_code(std::unique_ptr<JitProgram> code);
  void add_code_times(const CompileTimings& timings);
  static int64_t ensure_entry(void* self, int64_t kind, const char** message);

  Model model_;
  CompileOptions options_;
  mutable std::mutex compiling_;  ///< held while entries and what follows change
  std::unique_ptr<ModelTables> tables_;
  std::vector<std::unique_ptr<JitProgram>> code_;  ///< they share equal kernels
  std::vector<Diagnostic> warnings_;
  TimeReport times_;
  CompileTimings code_timings_;
  std::string needs_;  ///< of the processor
};

}  // namespace gradc
