#include "driver/fma_peak.h"

#include "codegen/jit.h"
#include "codegen/kernel/kernel.h"
#include "codegen/kernel/program.h"
#include "runtime/kernel_call.h"
#include "runtime/thread_pool.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

namespace gradc {

namespace {

using namespace kernel;

constexpr int kCalls = 64;

struct Sizes {
  int64_t rows, columns, depth;
};

/// f32 and f64: one register tile, deep; every step of the sum reads the same operands, so the tile
/// stays in registers and the loads in the nearest cache (rows of A are a line apart, as rows side
/// by side would be packed). bf16, which is packed in any case: a
/// matrix of which packing is a few hundredths of the time.
Sizes sizes_of(DType dtype, const TargetInfo& target) {
  if (dtype == DType::kBF16) return {240, 256, 512};
  const int64_t rows = target.vector_registers >= 32 ? 12 : 6;
  return {rows, 2 * target.lanes(dtype_bytes(dtype)), 4096};
}

/// Nothing but multiply-adds and their operands.
Kernel product_kernel(DType dtype, const Sizes& size) {
  Kernel k;
  k.name = "fma_peak";
  KernelBuilder b(k);
  const int64_t steps = dtype == DType::kBF16 ? size.depth : 1;  // that differ in memory
  const DType acc = accumulator_dtype(dtype);
  const int64_t row = steps > 1 ? steps : 64 / dtype_bytes(dtype);
  const BufferId a = b.buffer("a", dtype, Shape{size.rows * row}, BufferRole::kIn);
  const BufferId w = b.buffer("w", dtype, Shape{size.columns * steps}, BufferRole::kIn);
  const BufferId out = b.buffer("out", acc, Shape{size.rows, size.columns}, BufferRole::kOut);
  auto contract = std::make_unique<Contract>();
  const VarId i = b.var("i"), j = b.var("j"), p = b.var("p");
  contract->m = {{i, size.rows}};
  contract->n = {{j, size.columns}};
  contract->k = {{p, size.depth}};
  Affine in_a = Affine::variable(i, row), in_w = Affine::variable(j);
  if (steps > 1) in_a.add(Affine::variable(p));
  if (steps > 1) in_w.add(Affine::variable(p), size.columns);
  contract->a = b.load(a, in_a);
  contract->b = b.load(w, in_w);
  contract->acc = b.local("acc", acc);
  Affine index = Affine::variable(i, size.columns);
  index.add(Affine::variable(j));
  contract->epilogue.push_back(Store{out, index, {}, b.read(contract->acc), false});
  contract->parallel = false;
  k.body.push_back(std::move(contract));
  return k;
}

Result<double> measure_peak(const TargetInfo& target, int threads, DType dtype) {
  const Sizes size = sizes_of(dtype, target);
  Program program;
  program.name = "fma_peak";
  program.kernels.push_back(product_kernel(dtype, size));
  GRADC_TRY(const auto code, jit_compile(program, target));

  const int calls = dtype == DType::kBF16 ? 1 : kCalls;
  struct ThreadData {
    std::vector<double> a, w, out;  // room for every type; zeros, which are as fast as others
    std::vector<float> scratch;
  };
  std::vector<ThreadData> data(static_cast<size_t>(threads));
  for (ThreadData& d : data) {
    d.a.assign(static_cast<size_t>(size.rows * size.depth), 0.0);
    d.w.assign(static_cast<size_t>(size.columns * size.depth), 0.0);
    d.out.assign(static_cast<size_t>(size.rows * size.columns), 0.0);
    d.scratch.assign(static_cast<size_t>(code->kernel_scratch()[0] / 4 + 64), 0.0F);
  }
  struct Shared {
    const gradc_rt_kernel& kernel;
    ThreadData* data;
    int calls;
  } shared{code->kernels()[0], data.data(), calls};
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
          for (int call = 0; call < s.calls; ++call)
            rt::call_kernel(s.kernel, arguments.data(), 0, 1, reinterpret_cast<void*>(aligned));
        },
        &shared);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double flops =
        2.0 * static_cast<double>(size.rows * size.columns * size.depth) * calls * threads;
    best = std::max(best, flops / seconds * 1e-9);
  }
  return best;
}

}  // namespace

DType multiplied_in(const Kernel& kernel) {
  for (const Stmt& stmt : kernel.body) {
    if (const auto* contract = std::get_if<std::unique_ptr<Contract>>(&stmt))
      return kernel.expr((*contract)->a).dtype;
  }
  return DType::kF32;
}

Result<FmaPeaks> FmaPeaks::measure(const TargetInfo& target, int threads, const Program& program) {
  FmaPeaks peaks;
  const auto measure_once = [&](DType dtype) -> Status {
    double& gflops = peaks.gflops_[static_cast<size_t>(dtype)];
    if (gflops > 0) return Ok{};
    GRADC_TRY(gflops, measure_peak(target, threads, dtype));
    return Ok{};
  };
  GRADC_TRY_STATUS(measure_once(DType::kF32));
  for (const Kernel& kernel : program.kernels) {
    const DType dtype = multiplied_in(kernel);
    const bool own = dtype == DType::kF64 || (dtype == DType::kBF16 && target.has_bf16_dot);
    if (own) GRADC_TRY_STATUS(measure_once(dtype));
  }
  return peaks;
}

double FmaPeaks::of(DType type) const {
  const double own = gflops_[static_cast<size_t>(type)];
  return own > 0 ? own : gflops_[static_cast<size_t>(DType::kF32)];
}

double FmaPeaks::of(const Program& program, const Entry& entry) const {
  double flops = 0, least = 0;  // the time if all were at their peak
  const auto visit = [&](const auto& self, const std::vector<Step>& steps, double times) -> void {
    for (const Step& step : steps) {
      if (step.loop() != nullptr) {
        self(self, step.loop()->body, times * static_cast<double>(step.loop()->trips));
        continue;
      }
      const Kernel& kernel = program.kernels[step.call()->kernel];
      const double work = static_cast<double>(kernel.flops) * times;
      flops += work;
      least += work / of(kernel);
    }
  };
  visit(visit, entry.steps, 1.0);
  return least > 0 ? flops / least : of(DType::kF32);
}

}  // namespace gradc
