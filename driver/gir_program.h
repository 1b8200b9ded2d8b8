// What a .gir file computes, compiled into this process: the runtime's description of it, as
// CompiledModel is of a model. It has one entry, GRADC_RT_PREDICT of the description.
#pragma once

#include "codegen/jit.h"
#include "driver/gir_file.h"
#include "driver/model_tables.h"
#include "runtime/model_abi.h"
#include "support/disk_cache.h"
#include "support/timer.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gradc {

struct GirOptions {
  TargetInfo target = TargetInfo::host();
  std::optional<DiskCache> cache{};
  std::string entry{};  ///< of a program with several
  std::optional<int64_t> memory_budget_bytes{};
};

class GirProgram {
 public:
  /// Lowers the file (a program is moved out of it) and describes its tensors; compiles nothing
  /// yet.
  static Result<std::unique_ptr<GirProgram>> create(GirFile& file, const GirOptions& options);
  GirProgram(const GirProgram&) = delete;
  GirProgram& operator=(const GirProgram&) = delete;

  Status compile();

  const gradc_rt_model& runtime_model() const { return model_; }
  const kernel::Program& program() const { return program_; }
  const kernel::Entry& entry() const { return *entry_; }
  /// What each tensor is to the one who calls.
  enum class Role : uint8_t { kGiven, kStarts, kUpdated, kResult, kUnused };
  /// By tensor. kGiven: must be there; kStarts: has an initial value; kUpdated: likewise, or given,
  /// and is a result too.
  const std::vector<Role>& roles() const { return roles_; }
  /// Whether it has an initial value when it is not given.
  bool has_start(size_t tensor) const;

  /// Of one run, multiply-adds of contractions.
  int64_t flops() const { return flops_; }
  const TimeReport& times() const { return times_; }
  /// Of the compiled kernels; compile() has run.
  const CompileTimings& code_timings() const { return code_->timings(); }

 private:
  GirProgram() = default;
  Status find_entry(const GirFile& file);
  void describe_graph(const Graph& graph);
  void describe_slots();
  void add(const std::string& name, int64_t kind, Role role, const TensorType& type,
           const InitSpec* init);
  void finish(const GirFile& file);

  GirOptions options_;
  kernel::Program program_;
  const kernel::Entry* entry_ = nullptr;
  std::unique_ptr<JitProgram> code_;
  std::vector<gradc_rt_tensor> tensors_;
  std::vector<Role> roles_;
  std::vector<gradc_rt_entry> entries_;
  std::deque<std::string> strings_;
  std::deque<gradc_rt_initializer> initializers_;
  gradc_rt_model model_{};
  int64_t flops_ = 0;
  TimeReport times_;
};

}  // namespace gradc
