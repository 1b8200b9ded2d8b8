// Compiles a kernel program into this process. Same machine code as object_writer.h writes for the
// same TargetInfo, so JIT and AOT agree bit for bit.
#pragma once

#include "codegen/compile_timings.h"
#include "codegen/kernel/program_tables.h"
#include "codegen/target_info.h"
#include "support/disk_cache.h"
#include "support/result.h"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

namespace cg {
class KernelStore;
struct ProgramImage;
}  // namespace cg

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
  /// With a cache: what the program follows from, all of it; jit_load finds the whole program by
  /// it. Empty: only kernels are kept.
  std::string_view origin{};
  /// A program for the same target: kernels that it, or one that it shares with, has up to names
  /// are not compiled again.
  const JitProgram* previous = nullptr;
};

/// Owns the machine code (shared with the programs before it), the constants and the tables of
/// entries, which rt::run_steps runs (runtime/program.h).
class JitProgram {
 public:
  /// `image`: kernels that the store has.
  JitProgram(std::shared_ptr<cg::KernelStore> store, cg::ProgramImage image,
             const CompileTimings& timings);
  JitProgram(const JitProgram&) = delete;
  JitProgram& operator=(const JitProgram&) = delete;

  const std::vector<JitEntry>& entries() const { return entries_; }
  /// The entry of that name; null if there is none.
  const JitEntry* find(std::string_view name) const;
  /// By number of the program's kernels.
  const std::vector<gradc_rt_kernel>& kernels() const { return kernels_; }
  const std::vector<int64_t>& kernel_scratch() const { return kernel_scratch_; }
  /// Kernels that are shared with the programs before do not count.
  const CompileTimings& timings() const { return timings_; }
  const std::shared_ptr<cg::KernelStore>& store() const { return store_; }

 private:
  const void* keep(const std::vector<std::byte>& constant);

  std::shared_ptr<cg::KernelStore> store_;
  std::vector<gradc_rt_kernel> kernels_;
  std::vector<int64_t> kernel_scratch_;  ///< bytes per thread
  CompileTimings timings_;
  std::vector<JitEntry> entries_;
  std::vector<kernel::EntryTables> tables_;
  std::vector<std::vector<std::byte>> constant_memory_;
  std::vector<const void*> constants_;
};

/// Compiles all entries of a program for the machine it runs on.
Result<std::unique_ptr<JitProgram>> jit_compile(const kernel::Program& program,
                                                const TargetInfo& target,
                                                const JitOptions& options = {});

/// What a process compiled of the same origin, target and build of this compiler; null if the cache
/// does not have all of it.
std::unique_ptr<JitProgram> jit_load(const TargetInfo& target, const JitOptions& options);

}  // namespace gradc
