#include "driver/bandwidth.h"

#include "codegen/jit.h"
#include "codegen/kernel/kernel.h"
#include "codegen/kernel/program.h"
#include "runtime/kernel_call.h"
#include "runtime/thread_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

namespace gradc {

namespace {

using namespace kernel;

/// Bytes of the three arrays together: half of a common first and second cache, a third cache's
/// share of a core, and more than any cache.
constexpr std::array<int64_t, 4> kSizes = {24 << 10, 768 << 10, 6 << 20, 96 << 20};

/// out = a + b over n elements.
Kernel sum_kernel(int64_t n) {
  Kernel k;
  k.name = fmt::format("sum_{}", n);
  KernelBuilder b(k);
  const BufferId x = b.buffer("a", DType::kF32, Shape{n}, BufferRole::kIn);
  const BufferId y = b.buffer("b", DType::kF32, Shape{n}, BufferRole::kIn);
  const BufferId out = b.buffer("out", DType::kF32, Shape{n}, BufferRole::kOut);
  auto loop = std::make_unique<For>();
  loop->var = b.var("i");
  loop->end = n;
  loop->kind = LoopKind::kVector;
  const Affine at = Affine::variable(loop->var);
  const ExprId sum = b.scalar(ScalarOp::kAdd, DType::kF32, b.load(x, at), b.load(y, at));
  loop->body.push_back(Store{out, at, {}, sum, false});
  k.body.push_back(std::move(loop));
  return k;
}

struct Job {
  const gradc_rt_kernel& kernel;
  int64_t elements;  ///< of one array
  int64_t repeats;
  std::vector<std::vector<float>>* memory;  ///< by thread
};

void run_job(void* context, const gradc_rt_thread* thread) {
  const Job& job = *static_cast<const Job*>(context);
  // A page between the arrays' ends, so that they do not fall into the same sets.
  constexpr int64_t kGap = 1024 + 16;
  float* const base = (*job.memory)[static_cast<size_t>(thread->index)].data();
  const std::array<void*, 3> arguments = {base, base + job.elements + kGap,
                                          base + 2 * (job.elements + kGap)};
  for (int64_t i = 0; i < job.repeats; ++i)
    rt::call_kernel(job.kernel, arguments.data(), 0, 1, nullptr);
}

}  // namespace

Result<std::vector<BandwidthPoint>> measure_bandwidth(const TargetInfo& target, int threads) {
  Program program;
  program.name = "bandwidth";
  for (const int64_t size : kSizes)
    program.kernels.push_back(sum_kernel(size / 12));
  GRADC_TRY(const auto code, jit_compile(program, target));
  rt::ThreadPool pool;
  const rt::Status started = pool.start(threads);
  if (!started.ok()) return make_error(DiagKind::kInvalidUsage, {}, "{}", started.text.c_str());
  std::vector<std::vector<float>> memory(static_cast<size_t>(threads));
  for (auto& m : memory)
    m.assign(static_cast<size_t>(kSizes.back() / 4 + 4096), 1.0F);
  std::vector<BandwidthPoint> points;
  for (size_t s = 0; s < kSizes.size(); ++s) {
    constexpr int64_t kBytesPerSample = 64 << 20;
    Job job{code->kernels()[s], kSizes[s] / 12, std::max<int64_t>(1, kBytesPerSample / kSizes[s]),
            &memory};
    double best = 0.0;
    for (int sample = 0; sample < 6; ++sample) {
      const auto begin = std::chrono::steady_clock::now();
      pool.run(run_job, &job);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      const double bytes = static_cast<double>(job.elements * 12 * job.repeats) * threads;
      best = std::max(best, bytes / seconds.count() * 1e-9);
    }
    points.push_back({kSizes[s], best});
  }
  return points;
}

double bandwidth_for(const std::vector<BandwidthPoint>& points, int64_t bytes) {
  for (const BandwidthPoint& point : points) {
    if (bytes <= point.bytes) return point.gigabytes_per_second;
  }
  return points.empty() ? 0.0 : points.back().gigabytes_per_second;
}

}  // namespace gradc
