// Compiled kernels between processes: the objects of a program's kernels, by everything that they
// follow from.
#pragma once

#include "codegen/kernel/program.h"
#include "codegen/target_info.h"
#include "support/disk_cache.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gradc::cg {

struct CompiledKernels {
  std::vector<std::string> objects;  ///< relocatable files
  std::vector<int64_t> scratch;      ///< bytes per thread, by kernel
};

/// This compiler and this LLVM as they were built, the whole target, the canonical text and
/// symbol of every kernel from `first` on, and the number of objects. Empty where the compiler
/// cannot tell which build it is: then nothing may be kept.
std::string cache_key(const kernel::Program& program, size_t first, const TargetInfo& target,
                      size_t objects);

std::optional<CompiledKernels> find_kernels(const DiskCache& cache, const std::string& key,
                                            size_t num_kernels);
void store_kernels(const DiskCache& cache, const std::string& key, const CompiledKernels& kernels);

}  // namespace gradc::cg
