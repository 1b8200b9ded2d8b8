// Compiled code between processes. A bundle is the objects of kernels that were compiled together,
// by everything that they follow from; an image is the rest of a program (tables of its entries,
// constants, which kernel is in which bundle), by what its caller says that it follows from.
#pragma once

#include "codegen/kernel/program_tables.h"
#include "codegen/llvm/kernel_store.h"
#include "codegen/target_info.h"
#include "support/disk_cache.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc::cg {

/// This compiler and this LLVM as they were built, the whole target, the canonical text and symbol
/// of every kernel, and the number of threads. Empty where the compiler cannot tell which build it
/// is: then nothing may be kept.
std::string bundle_key(std::span<const KernelName> kernels, const TargetInfo& target,
                       size_t threads);

std::optional<CompiledKernels> find_bundle(const DiskCache& cache, const std::string& key);
void store_bundle(const DiskCache& cache, const std::string& key, const CompiledKernels& kernels);

struct ProgramImage {
  std::vector<KernelName> kernels;  ///< by number
  std::vector<BundleKey> bundles;   ///< of each kernel
  std::vector<std::vector<std::byte>> constants;
  std::vector<std::pair<std::string, kernel::EntryTables>> entries;
};

/// Builds and target as for bundles, and the origin. Empty: nothing may be kept.
std::string image_key(std::string_view origin, const TargetInfo& target);

std::optional<ProgramImage> find_image(const DiskCache& cache, const std::string& key);
/// If all kernels have bundles.
void store_image(const DiskCache& cache, const std::string& key, const ProgramImage& image);

}  // namespace gradc::cg
