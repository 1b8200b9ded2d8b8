#include "codegen/llvm/object_cache.h"

#include "codegen/llvm_version.h"
#include "support/build_id.h"
#include "support/byte_stream.h"

#include <fmt/format.h>
#include <llvm/TargetParser/Host.h>

#include <algorithm>
#include <map>

namespace gradc::cg {

namespace {

/// All fields: a new one does not compile until it stands here.
std::string text_of(const TargetInfo& target) {
  const auto& [triple, cpu, features, vector_bytes, registers, fma, bf16, f16, masked, l1, l2, l3,
               cores, fma_per_cycle] = target;
  return fmt::format("{}\n{}\n{}\n{} {} {} {} {} {} {} {} {} {} {:a}\n", triple, cpu, features,
                     vector_bytes, registers, fma, bf16, f16, masked, l1, l2, l3, cores,
                     fma_per_cycle);
}

/// What every key begins with; empty if there can be none.
std::string key_of(std::string_view kind, const TargetInfo& target) {
  const std::string own = build_id_of(reinterpret_cast<const void*>(&bundle_key));
  const std::string llvm =
      build_id_of(reinterpret_cast<const void*>(&llvm::sys::getDefaultTargetTriple));
  if (own.empty() || llvm.empty()) return {};
  return fmt::format("{} of gradc {}, LLVM {} {}\n", kind, own, llvm_version(), llvm) +
         text_of(target);
}

void put_tables(ByteWriter& out, const kernel::EntryTables& tables) {
  const auto& [steps, arguments, strides, arena, scratch, frame] = tables;
  out.put_array(std::span(steps));
  out.put_array(std::span(arguments));
  out.put_array(std::span(strides));
  for (const int64_t number : {arena, scratch, frame})
    out.put(static_cast<uint64_t>(number));
}

bool get_tables(ByteReader& in, kernel::EntryTables& tables) {
  return in.get_array(tables.steps) && in.get_array(tables.arguments) &&
         in.get_array(tables.strides) && in.get(tables.arena_bytes) &&
         in.get(tables.scratch_bytes) && in.get(tables.frame_offset);
}

bool get_kernels(ByteReader& in, ProgramImage& image) {
  uint64_t count = 0, number = 0;
  std::vector<BundleKey> bundles;
  if (!in.get_count(count)) return false;
  for (uint64_t i = 0; i < count; ++i) {
    std::string key;
    if (!in.get(key)) return false;
    bundles.push_back(std::make_shared<const std::string>(std::move(key)));
  }
  if (!in.get_count(count)) return false;
  for (uint64_t i = 0; i < count; ++i) {
    KernelName& kernel = image.kernels.emplace_back();
    uint64_t parallel = 0;
    if (!in.get(kernel.text) || !in.get(kernel.symbol) || !in.get(parallel) ||
        !in.get(kernel.parameters) || !in.get(kernel.scratch) || !in.get(number) ||
        kernel.parameters < 0 || kernel.parameters > GRADC_RT_MAX_PARAMETERS ||
        number >= bundles.size())
      return false;
    kernel.parallel = parallel != 0;
    image.bundles.push_back(bundles[number]);
  }
  return true;
}

bool get_image(ByteReader& in, ProgramImage& image) {
  uint64_t count = 0;
  if (!get_kernels(in, image) || !in.get_count(count)) return false;
  for (uint64_t i = 0; i < count; ++i) {
    if (!in.get_array(image.constants.emplace_back())) return false;
  }
  if (!in.get_count(count)) return false;
  for (uint64_t i = 0; i < count; ++i) {
    auto& [name, tables] = image.entries.emplace_back();
    if (!in.get(name) || !get_tables(in, tables)) return false;
  }
  return in.at_end();
}

}  // namespace

std::string bundle_key(std::span<const KernelName> kernels, const TargetInfo& target,
                       size_t threads) {
  std::string key = key_of("kernels", target);
  if (key.empty()) return key;
  key += fmt::format("{} threads\n", threads);
  for (const KernelName& kernel : kernels)
    key += kernel.symbol + "\n" + kernel.text;
  return key;
}

std::optional<CompiledKernels> find_bundle(const DiskCache& cache, const std::string& key) {
  const std::optional<std::string> bytes = cache.find(key);
  if (!bytes) return std::nullopt;
  ByteReader in(*bytes);
  CompiledKernels kernels;
  if (!in.get_array(kernels.scratch)) return std::nullopt;
  while (!in.at_end()) {
    if (!in.get(kernels.objects.emplace_back())) return std::nullopt;
  }
  return kernels;
}

void store_bundle(const DiskCache& cache, const std::string& key, const CompiledKernels& kernels) {
  ByteWriter out;
  out.put_array(std::span(kernels.scratch));
  for (const std::string& object : kernels.objects)
    out.put(object);
  (void)cache.store(key, out.bytes());
}

std::string image_key(std::string_view origin, const TargetInfo& target) {
  std::string key = key_of("program", target);
  if (!key.empty()) key += origin;
  return key;
}

std::optional<ProgramImage> find_image(const DiskCache& cache, const std::string& key) {
  const std::optional<std::string> bytes = cache.find(key);
  if (!bytes) return std::nullopt;
  ByteReader in(*bytes);
  ProgramImage image;
  if (!get_image(in, image)) return std::nullopt;
  return image;
}

void store_image(const DiskCache& cache, const std::string& key, const ProgramImage& image) {
  std::map<BundleKey, uint64_t> numbers;
  std::vector<BundleKey> bundles;
  for (const BundleKey& bundle : image.bundles) {
    if (bundle == nullptr) return;
    if (numbers.emplace(bundle, numbers.size()).second) bundles.push_back(bundle);
  }
  ByteWriter out;
  out.put(uint64_t{bundles.size()});
  for (const BundleKey& bundle : bundles)
    out.put(*bundle);
  out.put(uint64_t{image.kernels.size()});
  for (size_t k = 0; k < image.kernels.size(); ++k) {
    const KernelName& kernel = image.kernels[k];
    out.put(kernel.text);
    out.put(kernel.symbol);
    out.put(uint64_t{kernel.parallel ? 1U : 0U});
    out.put(static_cast<uint64_t>(kernel.parameters));
    out.put(static_cast<uint64_t>(kernel.scratch));
    out.put(numbers.at(image.bundles[k]));
  }
  out.put(uint64_t{image.constants.size()});
  for (const std::vector<std::byte>& constant : image.constants)
    out.put_array(std::span(constant));
  out.put(uint64_t{image.entries.size()});
  for (const auto& [name, tables] : image.entries) {
    out.put(name);
    put_tables(out, tables);
  }
  (void)cache.store(key, out.bytes());
}

}  // namespace gradc::cg
