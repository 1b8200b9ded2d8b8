// JIT: kernels are emitted and compiled in groups, one LLVM context and thread per group, or taken
// from the cache, and the objects linked into the process by ORC's object layer.
#include "codegen/jit.h"

#include "codegen/llvm/failures.h"
#include "codegen/llvm/machine.h"
#include "codegen/llvm/object_cache.h"
#include "codegen/llvm/program_module.h"

#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>
#if __has_include(<llvm/ExecutionEngine/Orc/AbsoluteSymbols.h>)
#include <llvm/ExecutionEngine/Orc/AbsoluteSymbols.h>
#endif
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#if __has_include(<llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h>)
#include <llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h>
#endif
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Process.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <new>
#include <numeric>
#include <system_error>
#include <thread>

namespace gradc {

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// One group of kernels on its way to object code.
struct Group {
  std::vector<size_t> kernels;
  int64_t cost = 0;
  std::string object;
  CompileTimings timings;
  std::vector<Diagnostic> errors;
};

constexpr std::string_view kPrefix = "gradc_";

void compile_group(const kernel::Program& program, const TargetInfo& target, Group& group,
                   std::vector<int64_t>& scratch, bool verify) {
  auto made = cg::make_machine(target);
  if (!made.ok()) {
    group.errors = made.diagnostics();
    return;
  }
  auto begin = Clock::now();
  const cg::Abandonable<llvm::TargetMachine> machine(std::move(*made));
  const cg::Abandonable<llvm::LLVMContext> context;
  const cg::Abandonable<llvm::Module> owner(cg::symbol_text(program.name), *context);
  llvm::Module& module = *owner;
  cg::prepare_module(module, *machine);
  for (const size_t k : group.kernels)
    scratch[k] =
        cg::emit_kernel(module, program.kernels[k], cg::kernel_symbol(program, k, kPrefix), target,
                        /*is_internal=*/false);
  group.timings.emit_ms = milliseconds_since(begin);
  if (verify) cg::check_module(module);
  begin = Clock::now();
  cg::optimize(module, *machine);
  group.timings.optimize_ms = milliseconds_since(begin);
  begin = Clock::now();
  const llvm::SmallVector<char, 0> object = cg::emit_file(module, *machine, cg::FileKind::kObject);
  group.object.assign(object.begin(), object.end());
  group.timings.codegen_ms = milliseconds_since(begin);
  group.timings.code_bytes = static_cast<int64_t>(group.object.size());
}

/// Kernels from `first` on spread over groups, the dearest first, each to the group with the least
/// work.
std::vector<Group> make_groups(const kernel::Program& program, size_t first, size_t count) {
  std::vector<Group> groups(count);
  std::vector<size_t> order(program.kernels.size() - first);
  std::iota(order.begin(), order.end(), first);
  const auto cost = [&](size_t k) {
    const kernel::Kernel& kernel = program.kernels[k];
    return static_cast<int64_t>(kernel.exprs.size()) + (kernel.flops > 0 ? 200 : 0) + 10;
  };
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return std::pair(-cost(a), a) < std::pair(-cost(b), b); });
  for (const size_t k : order) {
    Group& least =
        *std::min_element(groups.begin(), groups.end(),
                          [](const Group& a, const Group& b) { return a.cost < b.cost; });
    least.kernels.push_back(k);
    least.cost += cost(k);
  }
  return groups;
}

template <class Function>
llvm::orc::ExecutorSymbolDef symbol_of(Function* function) {
  return {llvm::orc::ExecutorAddr::fromPtr(function), llvm::JITSymbolFlags::Exported};
}

/// What compiled code may call: the C library's memory functions and libm.
llvm::orc::SymbolMap runtime_symbols(llvm::orc::ExecutionSession& session, char global_prefix) {
  llvm::orc::SymbolMap symbols;
  const auto add = [&](const char* name, llvm::orc::ExecutorSymbolDef symbol) {
    std::string mangled = global_prefix == '\0' ? name : std::string(1, global_prefix) + name;
    symbols[session.intern(mangled)] = symbol;
  };
  using Unary = double(double);
  using Binary = double(double, double);
  using UnaryF = float(float);
  add("memcpy", symbol_of(&std::memcpy));
  add("memset", symbol_of(&std::memset));
  add("memmove", symbol_of(&std::memmove));
  const std::pair<const char*, Unary*> unary[] = {
      {"exp", std::exp},   {"expm1", std::expm1}, {"log", std::log},   {"log1p", std::log1p},
      {"sin", std::sin},   {"cos", std::cos},     {"tanh", std::tanh}, {"erf", std::erf},
      {"erfc", std::erfc}, {"floor", std::floor}, {"ceil", std::ceil}, {"rint", std::rint}};
  for (const auto& [name, function] : unary)
    add(name, symbol_of(function));
  const std::pair<const char*, UnaryF*> unary_float[] = {
      {"floorf", std::floor}, {"ceilf", std::ceil}, {"rintf", std::rint}};
  for (const auto& [name, function] : unary_float)
    add(name, symbol_of(function));
  add("pow", symbol_of(static_cast<Binary*>(std::pow)));
  return symbols;
}

Diagnostic link_error(llvm::Error error) {
  return make_error(DiagKind::kInternal, {}, "linking compiled code failed: {}",
                    llvm::toString(std::move(error)));
}

class OrcProgram final : public JitProgram {
 public:
  OrcProgram() = default;
  OrcProgram(const OrcProgram&) = delete;
  OrcProgram& operator=(const OrcProgram&) = delete;
  ~OrcProgram() override {
    if (session_ == nullptr) return;
    try {
      llvm::consumeError(session_->endSession());
    } catch (const std::bad_alloc&) {
      abandon();  // ending needs memory, too
    }
  }

  /// What LLVM holds stays behind: an exception came through it.
  void abandon() {
    (void)layer_.release();
    (void)memory_.release();
    (void)session_.release();
  }

  /// `first`: the kernels before it are there.
  Status link(const kernel::Program& program, size_t first, const cg::CompiledKernels& compiled) {
    auto control = llvm::orc::SelfExecutorProcessControl::Create(
        nullptr, std::make_unique<llvm::orc::InPlaceTaskDispatcher>());
    if (!control) return link_error(control.takeError());
    session_ = std::make_unique<llvm::orc::ExecutionSession>(std::move(*control));
    memory_ = std::make_unique<llvm::jitlink::InProcessMemoryManager>(
        llvm::sys::Process::getPageSizeEstimate());
    layer_ = std::make_unique<llvm::orc::ObjectLinkingLayer>(*session_, *memory_);
    llvm::orc::JITDylib& library = session_->createBareJITDylib("gradc");
    llvm::consumeError(
        library.define(llvm::orc::absoluteSymbols(runtime_symbols(*session_, '\0'))));
    for (const std::string& object : compiled.objects) {
      auto buffer = llvm::MemoryBuffer::getMemBufferCopy(object, program.name);
      if (llvm::Error error = layer_->add(library, std::move(buffer)))
        return link_error(std::move(error));
    }
    std::vector<llvm::orc::SymbolStringPtr> names;
    llvm::orc::SymbolLookupSet wanted;
    for (size_t k = first; k < program.kernels.size(); ++k) {
      names.push_back(session_->intern(cg::kernel_symbol(program, k, kPrefix)));
      wanted.add(names.back());
    }
    auto symbols = session_->lookup(llvm::orc::makeJITDylibSearchOrder({&library}), wanted);
    if (!symbols) return link_error(symbols.takeError());
    for (size_t k = first; k < program.kernels.size(); ++k) {
      const auto function = (*symbols)[names[k - first]].getAddress().toPtr<gradc_rt_kernel_fn>();
      kernels_.push_back({function, program.kernels[k].is_parallel() ? 1 : 0});
    }
    kernel_scratch_.insert(kernel_scratch_.end(), compiled.scratch.begin(), compiled.scratch.end());
    make_entries(program);
    return Ok{};
  }

  CompileTimings& mutable_timings() { return timings_; }
  void begin(const JitProgram& previous) { take_over(previous); }

 private:
  std::unique_ptr<llvm::orc::ExecutionSession> session_;
  std::unique_ptr<llvm::jitlink::InProcessMemoryManager> memory_;
  std::unique_ptr<llvm::orc::ObjectLinkingLayer> layer_;
};

/// The first group on this thread, the others on threads of their own: those that the system
/// refuses are compiled here too. What a thread throws is thrown here, once all have ended.
void run_groups(const kernel::Program& program, const TargetInfo& target,
                std::vector<Group>& groups, std::vector<int64_t>& scratch, bool verify) {
  std::vector<std::exception_ptr> failures(groups.size());
  const auto compile = [&](size_t i) noexcept {
    try {
      compile_group(program, target, groups[i], scratch, verify);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(groups.size());
  size_t started = 1;
  try {
    for (; started < groups.size(); ++started)
      threads.emplace_back(compile, started);
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
  compile(0);
  for (size_t i = started; i < groups.size(); ++i)
    compile(i);
  for (std::thread& thread : threads)
    thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure != nullptr) std::rethrow_exception(failure);
  }
}

/// The kernels from `first` on, in as many groups as there are threads for them.
Result<cg::CompiledKernels> compile_kernels(const kernel::Program& program, size_t first,
                                            const TargetInfo& target, size_t count, bool verify,
                                            CompileTimings& timings) {
  std::vector<Group> groups = make_groups(program, first, count);
  cg::CompiledKernels compiled;
  std::vector<int64_t> scratch(program.kernels.size());
  run_groups(program, target, groups, scratch, verify);
  compiled.scratch.assign(scratch.begin() + static_cast<std::ptrdiff_t>(first), scratch.end());
  for (Group& group : groups) {
    if (!group.errors.empty()) return Failure(group.errors);
    timings.emit_ms += group.timings.emit_ms;
    timings.optimize_ms += group.timings.optimize_ms;
    timings.codegen_ms += group.timings.codegen_ms;
    timings.code_bytes += group.timings.code_bytes;
    compiled.objects.push_back(std::move(group.object));
  }
  return compiled;
}

Result<std::unique_ptr<OrcProgram>> link_kernels(const kernel::Program& program,
                                                 const JitProgram* previous,
                                                 const cg::CompiledKernels& compiled,
                                                 const CompileTimings& timings) {
  const auto begin = Clock::now();
  auto result = std::make_unique<OrcProgram>();
  if (previous != nullptr) result->begin(*previous);
  try {
    GRADC_TRY_STATUS(result->link(program, result->kernels().size(), compiled));
  } catch (...) {
    result->abandon();
    throw;
  }
  result->mutable_timings() = timings;
  result->mutable_timings().link_ms = milliseconds_since(begin);
  result->mutable_timings().kernels = static_cast<int64_t>(compiled.scratch.size());
  return result;
}

}  // namespace

const JitEntry* JitProgram::find(std::string_view name) const {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const JitEntry& entry) { return entry.name == name; });
  return it == entries_.end() ? nullptr : &*it;
}

void* JitProgram::constant(const kernel::ConstantData& data) {
  std::vector<std::byte> bytes = kernel::constant_bytes(data);
  std::vector<std::byte>& memory = constant_memory_.emplace_back(bytes.size() + GRADC_RT_ALIGNMENT);
  void* place = memory.data();
  size_t room = memory.size();
  std::align(GRADC_RT_ALIGNMENT, bytes.size(), place, room);
  std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(place));
  return place;
}

void JitProgram::take_over(const JitProgram& previous) {
  kernels_ = previous.kernels_;
  kernel_scratch_ = previous.kernel_scratch_;
  constants_ = previous.constants_;
  first_entry_ = previous.first_entry_ + previous.entries_.size();
}

void JitProgram::make_entries(const kernel::Program& program) {
  for (size_t i = constants_.size(); i < program.constants.size(); ++i)
    constants_.push_back(constant(program.constants[i]));
  for (size_t i = first_entry_; i < program.entries.size(); ++i) {
    tables_.push_back(kernel::make_entry_tables(program.entries[i], kernel_scratch_));
    entries_.push_back({program.entries[i].name, {}});
  }
  for (size_t i = 0; i < entries_.size(); ++i) {
    JitEntry& entry = entries_[i];
    entry.table = tables_[i].entry(entry.name.c_str(), kernels_.data(), constants_.data());
  }
}

Result<std::unique_ptr<JitProgram>> jit_compile(const kernel::Program& program,
                                                const TargetInfo& target,
                                                const JitOptions& options) {
  const cg::LlvmFailures failures;
  const auto begin = Clock::now();
  const size_t first = options.previous != nullptr ? options.previous->kernels().size() : 0;
  const size_t num_new = program.kernels.size() - first;
  const int64_t wanted = options.threads > 0 ? options.threads : target.cores;
  const size_t count =
      std::clamp<size_t>(static_cast<size_t>(wanted), 1, std::max<size_t>(1, num_new));
  const std::string key =
      options.cache != nullptr ? cg::cache_key(program, first, target, count) : std::string();
  if (!key.empty()) {
    const auto stored = cg::find_kernels(*options.cache, key, num_new);
    auto linked = stored ? link_kernels(program, options.previous, *stored, {}) : Failure();
    if (linked.ok()) {  // else it is compiled as if there had been nothing
      CompileTimings& timings = (*linked)->mutable_timings();
      timings.cached_kernels = timings.kernels;
      timings.wall_ms = milliseconds_since(begin);
      return std::unique_ptr<JitProgram>(linked.take());
    }
  }
  CompileTimings timings;
  GRADC_TRY(const cg::CompiledKernels compiled,
            compile_kernels(program, first, target, count, options.verify, timings));
  GRADC_TRY(auto result, link_kernels(program, options.previous, compiled, timings));
  if (!key.empty()) cg::store_kernels(*options.cache, key, compiled);
  result->mutable_timings().wall_ms = milliseconds_since(begin);
  return std::unique_ptr<JitProgram>(std::move(result));
}

}  // namespace gradc
