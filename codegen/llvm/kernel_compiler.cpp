// Kernels are emitted and compiled in pieces, each in an LLVM context of its own; threads take one
// after the other.
#include "codegen/llvm/kernel_compiler.h"

#include "codegen/llvm/failures.h"
#include "codegen/llvm/machine.h"
#include "codegen/llvm/program_module.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
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

/// Kernels compiled together: one module, one object.
struct Piece {
  std::vector<size_t> kernels;  ///< positions in the selection
  std::string object;
  CompileTimings timings;
};

void compile_piece(const KernelSelection& kernels, const TargetInfo& target,
                   llvm::TargetMachine& machine, Piece& piece, std::vector<int64_t>& scratch,
                   bool verify) {
  auto begin = Clock::now();
  const Abandonable<llvm::LLVMContext> context;
  const Abandonable<llvm::Module> owner(symbol_text(kernels.program.name), *context);
  llvm::Module& module = *owner;
  prepare_module(module, machine);
  for (const size_t i : piece.kernels) {
    scratch[i] = emit_kernel(module, kernels.program.kernels[kernels.numbers[i]],
                             kernels.symbols[i], target, /*is_internal=*/false);
  }
  piece.timings.emit_ms = milliseconds_since(begin);
  if (verify) check_module(module);
  begin = Clock::now();
  optimize(module, machine);
  piece.timings.optimize_ms = milliseconds_since(begin);
  begin = Clock::now();
  const llvm::SmallVector<char, 0> object = emit_file(module, machine, FileKind::kObject);
  piece.object.assign(object.begin(), object.end());
  piece.timings.codegen_ms = milliseconds_since(begin);
}

int64_t num_contractions(const kernel::Block& block) {
  int64_t count = 0;
  for (const kernel::Stmt& stmt : block) {
    if (const auto* loop = std::get_if<std::unique_ptr<kernel::For>>(&stmt))
      count += num_contractions((*loop)->body);
    else if (const auto* when = std::get_if<std::unique_ptr<kernel::If>>(&stmt))
      count += num_contractions((*when)->body);
    else if (std::holds_alternative<std::unique_ptr<kernel::Contract>>(stmt))
      ++count;
  }
  return count;
}

/// What a kernel costs to compile, in tenths of a millisecond or so: a fit to 292 kernels of five
/// networks, which explains 0.62 of the variance.
int64_t cost_of(const kernel::Kernel& kernel) {
  return static_cast<int64_t>(kernel.exprs.size()) + 100 * num_contractions(kernel.body) + 10;
}

/// The kernels not begun yet. Each thread first takes an equal share of the dearest, then smaller
/// and smaller ones of what is left: a wrong guess of what a share costs is made good by the
/// others.
class Shares {
 public:
  Shares(const KernelSelection& kernels, size_t threads)
      : threads_(static_cast<int64_t>(threads)), order_(kernels.numbers.size()) {
    std::iota(order_.begin(), order_.end(), size_t{0});
    for (const size_t number : kernels.numbers)
      costs_.push_back(cost_of(kernels.program.kernels[number]));
    std::sort(order_.begin(), order_.end(), [&](size_t a, size_t b) {
      return std::pair(-costs_[a], a) < std::pair(-costs_[b], b);
    });
    left_ = std::accumulate(costs_.begin(), costs_.end(), int64_t{0});
    const bool is_small = threads == 1 || order_.size() < kFew * threads;
    first_share_ = (is_small ? left_ : left_ * 85 / 100) / threads_;
  }

  /// Empty when there are none left.
  std::vector<size_t> take() {
    const std::lock_guard lock(mutex_);
    int64_t share = first_share_;
    if (++taken_ > threads_) share = std::max(kLeast, left_ / 2 / threads_);
    std::vector<size_t> kernels;
    for (int64_t cost = 0; next_ < order_.size() && cost < share; ++next_) {
      kernels.push_back(order_[next_]);
      cost += costs_[order_[next_]];
      left_ -= costs_[order_[next_]];
    }
    return kernels;
  }

 private:
  static constexpr size_t kFew = 16;      ///< kernels for a thread
  static constexpr int64_t kLeast = 120;  ///< cost of a share

  int64_t threads_;
  std::vector<size_t> order_;
  std::vector<int64_t> costs_;
  std::mutex mutex_;
  size_t next_ = 0;
  int64_t taken_ = 0;
  int64_t left_ = 0;
  int64_t first_share_ = 0;
};

/// One thread's part: what it compiled, or why it could not.
struct Worker {
  std::vector<Piece> pieces;
  std::vector<Diagnostic> errors;
  std::exception_ptr failure;

  void run(const KernelSelection& kernels, const TargetInfo& target, Shares& shares,
           std::vector<int64_t>& scratch, bool verify) noexcept {
    try {
      auto made = make_machine(target);
      if (!made.ok()) {
        errors = made.diagnostics();
        return;
      }
      const Abandonable<llvm::TargetMachine> machine(std::move(*made));
      for (Piece piece{shares.take(), {}, {}}; !piece.kernels.empty();
           piece = Piece{shares.take(), {}, {}}) {
        compile_piece(kernels, target, *machine, piece, scratch, verify);
        pieces.push_back(std::move(piece));
      }
    } catch (...) {
      failure = std::current_exception();
    }
  }
};

/// This thread and as many others as are wanted and the system gives. What one of them throws is
/// thrown here, once all have ended.
std::vector<Worker> run_workers(const KernelSelection& kernels, const TargetInfo& target,
                                size_t num_threads, std::vector<int64_t>& scratch, bool verify) {
  Shares shares(kernels, num_threads);
  std::vector<Worker> workers(num_threads);
  std::vector<std::thread> threads;
  threads.reserve(num_threads);
  try {
    for (size_t i = 1; i < num_threads; ++i)
      threads.emplace_back([&, i] { workers[i].run(kernels, target, shares, scratch, verify); });
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
  workers[0].run(kernels, target, shares, scratch, verify);
  for (std::thread& thread : threads)
    thread.join();
  for (const Worker& worker : workers) {
    if (worker.failure != nullptr) std::rethrow_exception(worker.failure);
  }
  return workers;
}

}  // namespace

Result<CompiledKernels> compile_kernels(const KernelSelection& kernels, const TargetInfo& target,
                                        size_t threads, bool verify, CompileTimings& timings) {
  CompiledKernels compiled;
  compiled.scratch.resize(kernels.numbers.size());
  for (Worker& worker : run_workers(kernels, target, threads, compiled.scratch, verify)) {
    if (!worker.errors.empty()) return Failure(worker.errors);
    for (Piece& piece : worker.pieces) {
      timings.emit_ms += piece.timings.emit_ms;
      timings.optimize_ms += piece.timings.optimize_ms;
      timings.codegen_ms += piece.timings.codegen_ms;
      compiled.objects.push_back(std::move(piece.object));
    }
  }
  return compiled;
}

}  // namespace gradc::cg
