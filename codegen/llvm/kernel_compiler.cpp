// Kernels are emitted and compiled in groups, each in an LLVM context of its own; threads take the
// groups in turn.
#include "codegen/llvm/kernel_compiler.h"

#include "codegen/llvm/failures.h"
#include "codegen/llvm/machine.h"
#include "codegen/llvm/program_module.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <new>
#include <numeric>
#include <system_error>
#include <thread>

namespace gradc::cg {

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// One group of kernels on its way to object code.
struct Group {
  std::vector<size_t> kernels;  ///< positions in the selection
  int64_t cost = 0;
  std::string object;
  CompileTimings timings;
  std::vector<Diagnostic> errors;
};

void compile_group(const KernelSelection& kernels, const TargetInfo& target, Group& group,
                   std::vector<int64_t>& scratch, bool verify) {
  auto made = make_machine(target);
  if (!made.ok()) {
    group.errors = made.diagnostics();
    return;
  }
  auto begin = Clock::now();
  const Abandonable<llvm::TargetMachine> machine(std::move(*made));
  const Abandonable<llvm::LLVMContext> context;
  const Abandonable<llvm::Module> owner(symbol_text(kernels.program.name), *context);
  llvm::Module& module = *owner;
  prepare_module(module, *machine);
  for (const size_t i : group.kernels) {
    scratch[i] = emit_kernel(module, kernels.program.kernels[kernels.numbers[i]],
                             kernels.symbols[i], target, /*is_internal=*/false);
  }
  group.timings.emit_ms = milliseconds_since(begin);
  if (verify) check_module(module);
  begin = Clock::now();
  optimize(module, *machine);
  group.timings.optimize_ms = milliseconds_since(begin);
  begin = Clock::now();
  const llvm::SmallVector<char, 0> object = emit_file(module, *machine, FileKind::kObject);
  group.object.assign(object.begin(), object.end());
  group.timings.codegen_ms = milliseconds_since(begin);
}

/// The dearest kernels first, each to the group with the least work.
std::vector<Group> make_groups(const KernelSelection& kernels, size_t count) {
  std::vector<Group> groups(count);
  std::vector<size_t> order(kernels.numbers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto cost = [&](size_t i) {
    const kernel::Kernel& kernel = kernels.program.kernels[kernels.numbers[i]];
    return static_cast<int64_t>(kernel.exprs.size()) + (kernel.flops > 0 ? 200 : 0) + 10;
  };
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return std::pair(-cost(a), a) < std::pair(-cost(b), b); });
  for (const size_t i : order) {
    Group& least =
        *std::min_element(groups.begin(), groups.end(),
                          [](const Group& a, const Group& b) { return a.cost < b.cost; });
    least.kernels.push_back(i);
    least.cost += cost(i);
  }
  return groups;
}

/// One for each thread; of many kernels up to three, so that no thread waits long for another. A
/// group costs a few milliseconds of its own.
size_t num_groups(size_t kernels, size_t threads) {
  constexpr size_t kEnough = 16;
  if (threads == 1) return 1;
  return std::clamp(kernels / kEnough, threads, 3 * threads);
}

/// This thread and as many others as are wanted and the system gives take one group after the
/// other. What one of them throws is thrown here, once all have ended.
void run_groups(const KernelSelection& kernels, const TargetInfo& target, size_t num_threads,
                std::vector<Group>& groups, std::vector<int64_t>& scratch, bool verify) {
  std::vector<std::exception_ptr> failures(groups.size());
  std::atomic<size_t> next = 0;
  const auto compile = [&]() noexcept {
    for (size_t i = next++; i < groups.size(); i = next++) {
      try {
        compile_group(kernels, target, groups[i], scratch, verify);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(num_threads);
  try {
    for (size_t i = 1; i < num_threads; ++i)
      threads.emplace_back(compile);
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
  compile();
  for (std::thread& thread : threads)
    thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure != nullptr) std::rethrow_exception(failure);
  }
}

}  // namespace

Result<CompiledKernels> compile_kernels(const KernelSelection& kernels, const TargetInfo& target,
                                        size_t threads, bool verify, CompileTimings& timings) {
  std::vector<Group> groups = make_groups(kernels, num_groups(kernels.numbers.size(), threads));
  CompiledKernels compiled;
  compiled.scratch.resize(kernels.numbers.size());
  run_groups(kernels, target, threads, groups, compiled.scratch, verify);
  for (Group& group : groups) {
    if (!group.errors.empty()) return Failure(group.errors);
    timings.emit_ms += group.timings.emit_ms;
    timings.optimize_ms += group.timings.optimize_ms;
    timings.codegen_ms += group.timings.codegen_ms;
    compiled.objects.push_back(std::move(group.object));
  }
  return compiled;
}

}  // namespace gradc::cg
