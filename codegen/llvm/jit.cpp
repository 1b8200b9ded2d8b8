// JIT: a program's kernels are compiled, or taken from the cache or from a program before it, and
// linked into the process; its tables point at them.
#include "codegen/jit.h"

#include "codegen/kernel/kernel_printer.h"
#include "codegen/llvm/failures.h"
#include "codegen/llvm/kernel_store.h"
#include "codegen/llvm/object_cache.h"
#include "codegen/llvm/program_module.h"
#include "support/check.h"

#include <algorithm>
#include <chrono>
#include <map>

namespace gradc {

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

constexpr std::string_view kPrefix = "gradc_";

std::shared_ptr<cg::KernelStore> store_of(const JitOptions& options) {
  return options.previous != nullptr ? options.previous->store()
                                     : std::make_shared<cg::KernelStore>();
}

Status link(cg::KernelStore& store, const std::string& name, const cg::CompiledKernels& compiled,
            std::span<const cg::KernelName> kernels, const cg::BundleKey& bundle,
            CompileTimings& timings) {
  const auto begin = Clock::now();
  GRADC_TRY_STATUS(store.link(name, compiled.objects, kernels, bundle));
  timings.link_ms += milliseconds_since(begin);
  timings.kernels += static_cast<int64_t>(kernels.size());
  for (const std::string& object : compiled.objects)
    timings.code_bytes += static_cast<int64_t>(object.size());
  return Ok{};
}

/// Compiles kernels of a program or takes them from the cache, and links them.
class KernelMaker {
 public:
  KernelMaker(const kernel::Program& program, const TargetInfo& target, const JitOptions& options,
              cg::KernelStore& store, CompileTimings& timings)
      : program_(program), target_(target), options_(options), store_(store), timings_(timings) {}

  /// Those whose texts the store does not have.
  Status run(std::span<const std::string> texts) {
    for (size_t k = 0; k < texts.size(); ++k) {
      if (store_.find(texts[k]) != nullptr) continue;
      numbers_.push_back(k);
      symbols_.push_back(cg::kernel_symbol(program_, k, kPrefix));
      const kernel::Kernel& kernel = program_.kernels[k];
      names_.push_back(
          {texts[k], symbols_.back(), kernel.is_parallel(), cg::kernel_parameters(kernel)});
    }
    if (numbers_.empty()) return Ok{};
    const int64_t wanted = options_.threads > 0 ? options_.threads : target_.cores;
    const size_t threads = std::clamp<size_t>(static_cast<size_t>(wanted), 1, numbers_.size());
    if (options_.cache != nullptr) {
      std::string key = cg::bundle_key(names_, target_, threads);
      if (!key.empty()) bundle_ = std::make_shared<const std::string>(std::move(key));
    }
    if (bundle_ != nullptr) {
      const auto stored = cg::find_bundle(*options_.cache, *bundle_);
      if (stored && take(*stored).ok()) {  // else it is compiled as if there had been nothing
        timings_.cached_kernels += static_cast<int64_t>(numbers_.size());
        return Ok{};
      }
    }
    GRADC_TRY(const cg::CompiledKernels compiled,
              cg::compile_kernels({program_, numbers_, symbols_}, target_, threads, options_.verify,
                                  timings_));
    GRADC_TRY_STATUS(take(compiled));
    if (bundle_ != nullptr) cg::store_bundle(*options_.cache, *bundle_, compiled);
    return Ok{};
  }

 private:
  Status take(const cg::CompiledKernels& compiled) {
    if (compiled.scratch.size() != names_.size()) return Failure();
    for (size_t i = 0; i < names_.size(); ++i)
      names_[i].scratch = compiled.scratch[i];
    return link(store_, program_.name, compiled, names_, bundle_, timings_);
  }

  const kernel::Program& program_;
  const TargetInfo& target_;
  const JitOptions& options_;
  cg::KernelStore& store_;
  CompileTimings& timings_;
  std::vector<size_t> numbers_;
  std::vector<std::string> symbols_;
  std::vector<cg::KernelName> names_;
  cg::BundleKey bundle_;
};

/// Of kernels that the store has.
cg::ProgramImage image_of(const kernel::Program& program, std::span<const std::string> texts,
                          const cg::KernelStore& store) {
  cg::ProgramImage image;
  std::vector<int64_t> scratch;
  for (const std::string& text : texts) {
    const cg::LinkedKernel* kernel = store.find(text);
    GRADC_CHECK(kernel != nullptr, "a kernel of {} was not linked", program.name);
    image.kernels.push_back(kernel->name);
    image.bundles.push_back(kernel->bundle);
    scratch.push_back(kernel->name.scratch);
  }
  for (const kernel::ConstantData& constant : program.constants)
    image.constants.push_back(kernel::constant_bytes(constant));
  for (const kernel::Entry& entry : program.entries)
    image.entries.emplace_back(entry.name, kernel::make_entry_tables(entry, scratch));
  return image;
}

/// Links what the store does not have of an image, from the image's bundles.
bool link_image(const cg::ProgramImage& image, const DiskCache& cache, cg::KernelStore& store,
                CompileTimings& timings) {
  std::map<cg::BundleKey, std::vector<cg::KernelName>> wanted;
  for (size_t k = 0; k < image.kernels.size(); ++k) {
    if (store.find(image.kernels[k].text) == nullptr)
      wanted[image.bundles[k]].push_back(image.kernels[k]);
  }
  for (const auto& [key, kernels] : wanted) {
    const auto compiled = cg::find_bundle(cache, *key);
    if (!compiled || !link(store, "cached code", *compiled, kernels, key, timings).ok())
      return false;
    timings.cached_kernels += static_cast<int64_t>(kernels.size());
  }
  return true;
}

}  // namespace

JitProgram::JitProgram(std::shared_ptr<cg::KernelStore> store, cg::ProgramImage image,
                       const CompileTimings& timings)
    : store_(std::move(store)), timings_(timings) {
  for (const cg::KernelName& name : image.kernels) {
    const cg::LinkedKernel* kernel = store_->find(name.text);
    GRADC_CHECK(kernel != nullptr, "the kernel {} was not linked", name.symbol);
    kernels_.push_back(kernel->code);
    kernel_scratch_.push_back(kernel->name.scratch);
  }
  for (const std::vector<std::byte>& constant : image.constants)
    constants_.push_back(keep(constant));
  for (auto& [name, tables] : image.entries) {
    entries_.push_back({std::move(name), {}});
    tables_.push_back(std::move(tables));
  }
  for (size_t i = 0; i < entries_.size(); ++i)
    entries_[i].table =
        tables_[i].entry(entries_[i].name.c_str(), kernels_.data(), constants_.data());
}

const JitEntry* JitProgram::find(std::string_view name) const {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const JitEntry& entry) { return entry.name == name; });
  return it == entries_.end() ? nullptr : &*it;
}

const void* JitProgram::keep(const std::vector<std::byte>& constant) {
  std::vector<std::byte>& memory =
      constant_memory_.emplace_back(constant.size() + GRADC_RT_ALIGNMENT);
  void* place = memory.data();
  size_t room = memory.size();
  std::align(GRADC_RT_ALIGNMENT, constant.size(), place, room);
  std::copy(constant.begin(), constant.end(), static_cast<std::byte*>(place));
  return place;
}

Result<std::unique_ptr<JitProgram>> jit_compile(const kernel::Program& program,
                                                const TargetInfo& target,
                                                const JitOptions& options) {
  const cg::LlvmFailures failures;
  const auto begin = Clock::now();
  const std::shared_ptr<cg::KernelStore> store = store_of(options);
  std::vector<std::string> texts;
  for (const kernel::Kernel& kernel : program.kernels)
    texts.push_back(kernel::canonical_text(kernel));
  CompileTimings timings;
  GRADC_TRY_STATUS(KernelMaker(program, target, options, *store, timings).run(texts));
  cg::ProgramImage image = image_of(program, texts, *store);
  if (options.cache != nullptr && !options.origin.empty()) {
    const std::string key = cg::image_key(options.origin, target);
    if (!key.empty()) cg::store_image(*options.cache, key, image);
  }
  timings.wall_ms = milliseconds_since(begin);
  return std::make_unique<JitProgram>(store, std::move(image), timings);
}

std::unique_ptr<JitProgram> jit_load(const TargetInfo& target, const JitOptions& options) {
  if (options.cache == nullptr || options.origin.empty()) return nullptr;
  const cg::LlvmFailures failures;
  const auto begin = Clock::now();
  const std::string key = cg::image_key(options.origin, target);
  if (key.empty()) return nullptr;
  auto image = cg::find_image(*options.cache, key);
  if (!image) return nullptr;
  const std::shared_ptr<cg::KernelStore> store = store_of(options);
  CompileTimings timings;
  if (!link_image(*image, *options.cache, *store, timings)) return nullptr;
  timings.cached_entries = static_cast<int64_t>(image->entries.size());
  timings.wall_ms = milliseconds_since(begin);
  return std::make_unique<JitProgram>(store, std::move(*image), timings);
}

}  // namespace gradc
