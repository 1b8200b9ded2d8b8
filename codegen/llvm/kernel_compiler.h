// Kernels of a program to objects, on several threads.
#pragma once

#include "codegen/compile_timings.h"
#include "codegen/kernel/program.h"
#include "codegen/target_info.h"
#include "support/result.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gradc::cg {

struct CompiledKernels {
  std::vector<std::string> objects;  ///< relocatable files
  std::vector<int64_t> scratch;      ///< bytes per thread, by kernel
};

/// Some kernels of a program, by number, under these symbols.
struct KernelSelection {
  const kernel::Program& program;
  std::span<const size_t> numbers;
  std::span<const std::string> symbols;  ///< of each number
};

/// By so many threads. There are more objects than threads, and which kernels are in one depends on
/// when threads were done, as what a kernel costs is known only roughly before; the code of a
/// kernel does not. Adds what it took to `timings`; `verify`: checks the LLVM IR before it is
/// optimised.
Result<CompiledKernels> compile_kernels(const KernelSelection& kernels, const TargetInfo& target,
                                        size_t threads, bool verify, CompileTimings& timings);

}  // namespace gradc::cg
