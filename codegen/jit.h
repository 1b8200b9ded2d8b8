// Compiles a kernel program into this process. Same machine code as object_writer.h writes for the
// same TargetInfo, so JIT and AOT agree bit for bit.
#pragma once

#include "codegen/compile_timings.h"
#include "codegen/kernel/program_tables.h"
#include "codegen/target_info.h"
#include "support/disk_cache.h"
#include "support/result.h"

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

struct JitEntry {
  std::string name;
  gradc_rt_entry table;  ///< as long as the program lives
};

class JitProgram;

struct JitOptions {
  /// Compilation threads; 0: one per core of the target, at most the number of kernels.
  int threads = 0;
  /// Check the LLVM IR before it is optimised; a violation is an internal error.
  bool verify = false;
  /// Where compiled kernels are kept between processes; null: nowhere.
  const DiskCache* cache = nullptr;
  /// What was compiled of the same program when it had fewer kernels and entries: only what was
  /// added since is compiled. Must live as long as the result.
  const JitProgram* previous = nullptr;
};

/// Owns the machine code, the constants and the tables of entries, which rt::run_steps runs
/// (runtime/program.h).
class JitProgram {
 public:
  JitProgram() = default;
  JitProgram(const JitProgram&) = delete;
  JitProgram& operator=(const JitProgram&) = delete;
  virtual ~JitProgram() = default;
  /// Those that were compiled now, without a previous program's.
  const std::vector<JitEntry>& entries() const { return entries_; }
  /// The entry of that name; null if there is none.
  const JitEntry* find(std::string_view name) const;
  /// By number of the program's kernels.
  const std::vector<gradc_rt_kernel>& kernels() const { return kernels_; }
  const std::vector<int64_t>& kernel_scratch() const { return kernel_scratch_; }
  const CompileTimings& timings() const { return timings_; }

 protected:
  /// Kernels, scratch and constants as far as a previous program has them.
  void take_over(const JitProgram& previous);
  /// Once the kernels are there.
  void make_entries(const kernel::Program& program);

  std::vector<gradc_rt_kernel> kernels_;
  std::vector<int64_t> kernel_scratch_;  ///< bytes per thread
  CompileTimings timings_;

 private:
  void* constant(const kernel::ConstantData& data);

  size_t first_entry_ = 0;  ///< of the program
  std::vector<JitEntry> entries_;
  std::deque<kernel::EntryTables> tables_;
  std::vector<std::vector<std::byte>> constant_memory_;
  std::vector<const void*> constants_;
};

/// Compiles all entries of a program for the machine it runs on.
Result<std::unique_ptr<JitProgram>> jit_compile(const kernel::Program& program,
                                                const TargetInfo& target,
                                                const JitOptions& options = {});

}  // namespace gradc
