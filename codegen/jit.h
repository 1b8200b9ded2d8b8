// Compiles a kernel program into this process. Same machine code as object_writer.h writes for the
// same TargetInfo, so JIT and AOT agree bit for bit.
#pragma once

#include "codegen/compile_timings.h"
#include "codegen/kernel/program.h"
#include "codegen/target_info.h"
#include "support/result.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// The signature of compiled entries (runtime/model_abi.h: gradc_rt_entry_fn); `thread` points at a
/// gradc_rt_thread.
using EntryFunction = void (*)(void* const* slots, void* arena, const void* thread);

struct JitEntry {
  std::string name;
  EntryFunction function = nullptr;
  int64_t arena_bytes = 0;
  int64_t scratch_bytes = 0;  ///< per thread, 64-byte aligned
};

struct JitOptions {
  /// Compilation threads; 0: one per core of the target, at most the number of kernels.
  int threads = 0;
  /// Check the LLVM IR before it is optimised; a violation is an internal error.
  bool verify = false;
};

/// Owns the machine code; entries are callable as long as it lives.
class JitProgram {
 public:
  virtual ~JitProgram() = default;
  const std::vector<JitEntry>& entries() const { return entries_; }
  /// The entry of that name; null if there is none.
  const JitEntry* find(std::string_view name) const;
  const CompileTimings& timings() const { return timings_; }

 protected:
  std::vector<JitEntry> entries_;
  CompileTimings timings_;
};

/// Compiles all entries of a program for the machine it runs on.
Result<std::unique_ptr<JitProgram>> jit_compile(const kernel::Program& program,
                                                const TargetInfo& target,
                                                const JitOptions& options = {});

}  // namespace gradc
