#include "codegen/llvm/object_cache.h"

#include "codegen/kernel/kernel_printer.h"
#include "codegen/llvm/program_module.h"
#include "codegen/llvm_version.h"
#include "support/build_id.h"

#include <fmt/format.h>
#include <llvm/TargetParser/Host.h>

#include <cstring>
#include <string_view>

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

void put(std::string& out, uint64_t value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  bool number(uint64_t& out) {
    if (bytes_.size() < sizeof out) return false;
    std::memcpy(&out, bytes_.data(), sizeof out);
    bytes_.remove_prefix(sizeof out);
    return true;
  }
  bool text(std::string& out) {
    uint64_t size = 0;
    if (!number(size) || size > bytes_.size()) return false;
    out = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

}  // namespace

std::string cache_key(const kernel::Program& program, size_t first, const TargetInfo& target,
                      size_t objects) {
  const std::string own = build_id_of(reinterpret_cast<const void*>(&cache_key));
  const std::string llvm =
      build_id_of(reinterpret_cast<const void*>(&llvm::sys::getDefaultTargetTriple));
  if (own.empty() || llvm.empty()) return {};
  std::string key =
      fmt::format("gradc {}, LLVM {} {}, {} objects\n", own, llvm_version(), llvm, objects) +
      text_of(target);
  for (size_t k = first; k < program.kernels.size(); ++k)
    key += kernel_symbol(program, k, "") + "\n" + kernel::canonical_text(program.kernels[k]);
  return key;
}

std::optional<CompiledKernels> find_kernels(const DiskCache& cache, const std::string& key,
                                            size_t num_kernels) {
  const std::optional<std::string> bytes = cache.find(key);
  if (!bytes) return std::nullopt;
  Reader reader(*bytes);
  CompiledKernels kernels;
  kernels.scratch.resize(num_kernels);
  for (int64_t& scratch : kernels.scratch) {
    uint64_t value = 0;
    if (!reader.number(value)) return std::nullopt;
    scratch = static_cast<int64_t>(value);
  }
  while (!reader.at_end()) {
    if (!reader.text(kernels.objects.emplace_back())) return std::nullopt;
  }
  return kernels;
}

void store_kernels(const DiskCache& cache, const std::string& key, const CompiledKernels& kernels) {
  std::string bytes;
  for (const int64_t scratch : kernels.scratch)
    put(bytes, static_cast<uint64_t>(scratch));
  for (const std::string& object : kernels.objects) {
    put(bytes, object.size());
    bytes += object;
  }
  (void)cache.store(key, bytes);
}

}  // namespace gradc::cg
