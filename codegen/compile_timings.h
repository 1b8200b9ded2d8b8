// Where the time of one compilation went.
#pragma once

#include <cstdint>

namespace gradc {

/// Milliseconds. Stages that run on several threads count the sum over the threads; wall_ms is what
/// passed on the clock.
struct CompileTimings {
  double emit_ms = 0;      ///< kernels to LLVM IR
  double optimize_ms = 0;  ///< LLVM IR passes
  double codegen_ms = 0;   ///< instruction selection to object code
  double link_ms = 0;      ///< JIT linking; 0 for AOT
  double wall_ms = 0;
  int64_t kernels = 0;
  int64_t cached_kernels = 0;  ///< of these, taken from the cache instead of being compiled
  int64_t cached_entries = 0;  ///< entries that were taken from there as they are, without passes
  int64_t code_bytes = 0;      ///< object code
};

}  // namespace gradc
