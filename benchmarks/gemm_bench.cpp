// The contraction engine against the machine's measured FMA peak: matrix products, dense training
// steps, convolutions and both their gradients. Prints GFLOP/s and the share of the peak of one
// core; a figure is the best of many short runs, in time on the CPU, so that other work on the
// machine disturbs it little. Arguments: substrings of the cases to run; --against CPU has each
// case also run as compiled for another CPU (x86-64-v3), in turns, and prints how its rate
// compares; --threads N splits each case as N threads would, runs their shares one after the other
// and counts the slowest: what a split costs, whatever else the machine does.
#include "codegen/jit.h"
#include "runtime/kernel_call.h"
#include "tests/unit/codegen/gemm_kernels.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace gradc {
namespace {

using test::ConvPart;
using test::ConvShape;
using test::Epilogue;
using test::MatmulShape;

double seconds_on(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}
double thread_seconds() {
  return seconds_on(CLOCK_THREAD_CPUTIME_ID);
}
double process_seconds() {
  return seconds_on(CLOCK_PROCESS_CPUTIME_ID);
}

kernel::Program program_of(kernel::Kernel k) {
  kernel::Program program;
  program.name = "bench";
  program.kernels.push_back(std::move(k));
  return program;
}

void* aligned(int64_t bytes) {
  const auto size = static_cast<size_t>((bytes + 127) / 64 * 64);
  void* memory = std::aligned_alloc(64, size);
  std::memset(memory, 0, size);
  return memory;
}

/// Seconds of the best of many runs of one thread's share within about `budget` seconds.
double best_of_share(const std::function<void()>& run, double budget) {
  // A sample is many calls when one is short: reading the clock costs about a microsecond.
  const double begin = thread_seconds();
  run();
  const int calls = std::clamp(static_cast<int>(2e-4 / (thread_seconds() - begin)), 1, 1000);
  double best = 1e9;
  for (int sample = 0; sample < 5 || thread_seconds() - begin < budget; ++sample) {
    const double start = thread_seconds();
    for (int call = 0; call < calls; ++call)
      run();
    best = std::min(best, (thread_seconds() - start) / calls);
  }
  return best;
}

/// Seconds of the slowest share of so many threads.
double best_seconds(const JitProgram& code, const kernel::Kernel& k, double budget,
                    int32_t threads = 1) {
  std::vector<void*> slots;
  for (size_t i = 0; i < k.num_arguments(); ++i) {
    const int64_t count = k.buffers[i].shape.num_elements();
    auto* values = static_cast<float*>(aligned(count * 4));
    for (int64_t e = 0; e < count; ++e)
      values[e] = static_cast<float>(e % 17) * 0.01F + 0.001F;
    slots.push_back(values);
  }
  const gradc_rt_kernel& kernel = code.kernels()[0];
  void* const scratch = aligned(code.kernel_scratch()[0]);
  double slowest = 0.0;
  for (int32_t thread = 0; thread < threads; ++thread) {
    const auto share = [&] { rt::call_kernel(kernel, slots.data(), thread, threads, scratch); };
    slowest = std::max(slowest, best_of_share(share, budget / threads));
  }
  for (void* slot : slots)
    std::free(slot);
  std::free(scratch);
  return slowest;
}

/// The vector FMA peak of one core: a contraction that never leaves the first cache, in whole
/// register tiles.
double measure_peak(const TargetInfo& target) {
  const int64_t lanes = target.lanes(4);
  const MatmulShape s{target.vector_registers >= 32 ? 48 : 24, 2 * lanes, 128};
  auto compiled = jit_compile(program_of(test::matmul_kernel(s)), target);
  const kernel::Kernel k = test::matmul_kernel(s);
  return static_cast<double>(k.flops) / best_seconds(**compiled, k, 0.5) / 1e9;
}

struct Case {
  std::string name;
  kernel::Kernel kernel;
};

std::vector<Case> make_cases() {
  std::vector<Case> cases;
  const auto matmul = [&](const char* name, MatmulShape s) {
    cases.push_back({name, test::matmul_kernel(s)});
  };
  const auto bias = Epilogue::kBiasRelu;
  const auto adam = Epilogue::kAdam;
  matmul("nn 64x784x128 bias relu", {64, 128, 784, false, false, bias});
  matmul("nn 64x128x10 bias relu", {64, 10, 128, false, false, bias});
  matmul("tn 784x64x128 adam", {784, 128, 64, true, false, adam});
  matmul("tn 784x64x128 store", {784, 128, 64, true, false});
  matmul("nt 64x10x128", {64, 128, 10, false, true});
  matmul("nn 256x1024x1024", {256, 1024, 1024});
  matmul("nt 256x1024x1024", {256, 1024, 1024, false, true});
  matmul("tn 256x1024x1024", {256, 1024, 1024, true, false});
  matmul("tn 1024x256x1024 adam", {1024, 1024, 256, true, false, adam});
  matmul("nn 256x1024x784 bias relu", {256, 1024, 784, false, false, bias});
  matmul("tn 784x1024x256 adam", {784, 1024, 256, true, false, adam});
  matmul("nn 1024x1024x1024", {1024, 1024, 1024});
  matmul("nn 768x128x512", {768, 512, 128});
  matmul("nn 4096x384x1536", {4096, 1536, 384});
  matmul("nn 256x3072x768", {256, 768, 3072});
  matmul("nt 256x3072x768", {256, 768, 3072, false, true});
  matmul("nn 256x50304x768", {256, 768, 50304});
  matmul("tn 384x4096x1536 adam", {384, 1536, 4096, true, false, adam});
  matmul("tn 1536x4096x384 adam", {1536, 384, 4096, true, false, adam});
  matmul("nn 4096x1536x384", {4096, 384, 1536});
  matmul("nt 4096x1536x384", {4096, 384, 1536, false, true});
  matmul("nn 4096x384x384", {4096, 384, 384});
  matmul("tn 768x256x3072 adam", {768, 3072, 256, true, false, adam});
  const auto conv = [&](const std::string& name, ConvShape s, bool first_layer = false) {
    cases.push_back({name + " fwd", test::conv_kernel(s, ConvPart::kForward)});
    cases.push_back({name + " bwd_w", test::conv_kernel(s, ConvPart::kWeightGradient)});
    if (!first_layer)
      cases.push_back({name + " bwd_d", test::conv_kernel(s, ConvPart::kInputGradient)});
  };
  conv("conv 13x13 32->64 b64", {64, 13, 13, 32, 64});
  conv("conv 28x28 1->32 b64", {64, 28, 28, 1, 32}, true);
  conv("conv 32x32 16->16 same b16", {16, 32, 32, 16, 16, 3, 1});
  conv("conv 16x16 32->32 same b16", {16, 16, 16, 32, 32, 3, 1});
  conv("conv 8x8 64->64 same b16", {16, 8, 8, 64, 64, 3, 1});
  // As ResNet-20 has them: padding stands in memory.
  conv("conv 34x34 16->16 b64", {64, 34, 34, 16, 16});
  conv("conv 18x18 32->32 b64", {64, 18, 18, 32, 32});
  conv("conv 10x10 64->64 b64", {64, 10, 10, 64, 64});
  return cases;
}

/// A case as compiled for one target.
struct Measured {
  double gflops = 0.0;
  double microseconds = 1e15;
  double compile_ms = 0.0;
};

/// Every target's best of some rounds in turns; false if it cannot be compiled.
bool measure(Case& c, const std::vector<TargetInfo>& targets, int32_t threads,
             std::vector<Measured>& results) {
  const kernel::Program program = program_of(std::move(c.kernel));
  std::vector<std::unique_ptr<JitProgram>> codes;
  results.resize(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    const double begin = process_seconds();
    auto compiled = jit_compile(program, targets[i]);
    if (!compiled.ok()) {
      std::fprintf(stderr, "%s: %s\n", c.name.c_str(), compiled.message().c_str());
      return false;
    }
    results[i].compile_ms = (process_seconds() - begin) * 1e3;
    codes.push_back(compiled.take());
  }
  const kernel::Kernel& k = program.kernels.front();
  constexpr int kRounds = 3;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < targets.size(); ++i)
      results[i].microseconds =
          std::min(results[i].microseconds, best_seconds(*codes[i], k, 0.1, threads) * 1e6);
  }
  for (Measured& result : results)
    result.gflops = static_cast<double>(k.flops) / result.microseconds * 1e-3;
  return true;
}

int run(int argc, char** argv) {
  std::vector<TargetInfo> targets = {TargetInfo::host()};
  std::vector<std::string> wanted;
  int32_t threads = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
      threads = std::max(1, std::atoi(argv[++i]));
      continue;
    }
    if (std::strcmp(argv[i], "--against") != 0) {
      wanted.emplace_back(argv[i]);
      continue;
    }
    const auto other = TargetInfo::host_as(i + 1 < argc ? argv[++i] : "none given");
    if (!other.ok()) {
      std::fprintf(stderr, "%s\n", other.message().c_str());
      return 1;
    }
    targets.push_back(*other);
  }
  std::vector<double> peaks;
  for (const TargetInfo& target : targets) {
    peaks.push_back(measure_peak(target));
    std::printf("%-34s %8.1f GFLOP/s\n", "peak of the register tile", peaks.back());
  }
  for (Case& c : make_cases()) {
    const bool runs = wanted.empty() || std::any_of(wanted.begin(), wanted.end(), [&](auto& part) {
                        return c.name.find(part) != std::string::npos;
                      });
    if (!runs) continue;
    std::vector<Measured> results;
    if (!measure(c, targets, threads, results)) return 1;
    const Measured& own = results.front();
    std::printf("%-34s %8.1f GFLOP/s %5.1f %%  %9.1f us  compiled in %.1f ms", c.name.c_str(),
                own.gflops, 100 * own.gflops / peaks.front() / threads, own.microseconds,
                own.compile_ms);
    for (size_t i = 1; i < results.size(); ++i)
      std::printf("  | %8.1f GFLOP/s, %5.1f %% of it", results[i].gflops,
                  100 * results[i].gflops / own.gflops);
    std::printf("\n");
  }
  return 0;
}

}  // namespace
}  // namespace gradc

int main(int argc, char** argv) {
  return gradc::run(argc, argv);
}
