#include "driver/fma_peak.h"

#include "codegen/jit.h"
#include "codegen/kernel/kernel.h"
#include "codegen/kernel/program.h"
#include "runtime/thread_pool.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

namespace gradc {

namespace {

using namespace kernel;

constexpr int64_t kDepth = 4096;
constexpr int kCalls = 64;

/// One register tile of a contraction, deep and all in the first-level cache: nothing but
/// multiply-adds and their operands.
Kernel tile_kernel(int64_t rows, int64_t columns) {
  Kernel k;
  k.name = "fma_peak";
  KernelBuilder b(k);
  // Every step of the sum reads the same operands: the tile stays in registers and the loads in the
  // nearest cache.
  const BufferId a = b.buffer("a", DType::kF32, Shape{rows}, BufferRole::kIn);
  const BufferId w = b.buffer("w", DType::kF32, Shape{columns}, BufferRole::kIn);
  const BufferId out = b.buffer("out", DType::kF32, Shape{rows, columns}, BufferRole::kOut);
  auto contract = std::make_unique<Contract>();
  const VarId i = b.var("i"), j = b.var("j"), p = b.var("p");
  contract->m = {{i, rows}};
  contract->n = {{j, columns}};
  contract->k = {{p, kDepth}};
  contract->a = b.load(a, Affine::variable(i));
  contract->b = b.load(w, Affine::variable(j));
  contract->acc = b.local("acc", DType::kF32);
  Affine index = Affine::variable(i, columns);
  index.add(Affine::variable(j));
  contract->epilogue.push_back(Store{out, index, {}, b.read(contract->acc), false});
  contract->parallel = false;
  k.body.push_back(std::move(contract));
  return k;
}

}  // namespace

Result<double> measure_fma_peak(const TargetInfo& target, int threads) {
  const int64_t lanes = target.lanes(4);
  const int64_t rows = target.vector_registers >= 32 ? 12 : 6;
  const int64_t columns = 2 * lanes;
  Program program;
  program.name = "fma_peak";
  program.kernels.push_back(tile_kernel(rows, columns));
  GRADC_TRY(const auto code, jit_compile(program, target));

  struct ThreadData {
    std::vector<float> a, w, out, scratch;
  };
  std::vector<ThreadData> data(static_cast<size_t>(threads));
  for (ThreadData& d : data) {
    d.a.assign(static_cast<size_t>(rows), 1e-3F);
    d.w.assign(static_cast<size_t>(columns), 1e-3F);
    d.out.assign(static_cast<size_t>(rows * columns), 0.0F);
    d.scratch.assign(static_cast<size_t>(code->kernel_scratch()[0] / 4 + 64), 0.0F);
  }
  struct Shared {
    gradc_rt_kernel_fn function;
    ThreadData* data;
  } shared{code->kernels()[0].fn, data.data()};
  rt::ThreadPool pool;
  const rt::Status started = pool.start(threads);
  if (!started.ok()) return make_error(DiagKind::kInvalidUsage, {}, "{}", started.text.c_str());
  double best = 0.0;
  for (int run = 0; run < 12; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    pool.run(
        [](void* context, const gradc_rt_thread* thread) {
          auto& s = *static_cast<Shared*>(context);
          ThreadData& d = s.data[thread->index];
          const std::array<void*, 3> arguments = {d.a.data(), d.w.data(), d.out.data()};
          const auto aligned = (reinterpret_cast<uintptr_t>(d.scratch.data()) + 63) / 64 * 64;
          // Alone in its own world: every thread runs the whole kernel.
          for (int call = 0; call < kCalls; ++call)
            s.function(arguments.data(), 0, 1, reinterpret_cast<void*>(aligned));
        },
        &shared);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double flops = 2.0 * static_cast<double>(rows * columns * kDepth) * kCalls * threads;
    best = std::max(best, flops / seconds * 1e-9);
  }
  return best;
}

}  // namespace gradc
