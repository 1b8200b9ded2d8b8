#include "driver/bench_gir.h"

#include "driver/fma_peak.h"
#include "driver/free_memory.h"
#include "driver/gir_program.h"
#include "driver/runtime_status.h"

#include <chrono>
#include <memory>

namespace gradc {

Result<BenchResult> bench_gir(const BenchOptions& options) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  GRADC_TRY(GirFile file, read_gir_file(options.model));
  GirOptions compile;
  GRADC_TRY(compile.target, TargetInfo::host_as(options.cpu));
  compile.memory_budget_bytes = options.memory_budget_bytes;
  if (options.cache) compile.cache = DiskCache::of_user();
  GRADC_TRY(const auto program, GirProgram::create(file, compile));
  GRADC_TRY_STATUS(program->compile());
  BenchResult result;
  result.compile_ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  result.kernels = program->code_timings().kernels;
  result.cached_kernels = program->code_timings().cached_kernels;
  for (const TimeReport::Entry& entry : program->times().entries())
    result.compile_stages_ms.emplace_back(entry.name, program->times().milliseconds(entry.name));
  const gradc_rt_model& model = program->runtime_model();
  const auto bytes = static_cast<int64_t>(rt::Instance::memory_bytes(model, options.threads));
  GRADC_TRY_STATUS(check_free_memory("a run of this graph", bytes));
  rt::Instance* raw = nullptr;
  GRADC_TRY_STATUS(from_runtime(rt::Instance::create(model, {options.threads}, nullptr, 0, &raw)));
  const std::unique_ptr<rt::Instance, void (*)(rt::Instance*)> instance(
      raw, [](rt::Instance* i) { rt::Instance::destroy(i); });
  GRADC_TRY_STATUS(from_runtime(instance->initialize(0)));
  GRADC_TRY_STATUS(from_runtime(instance->prepare(GRADC_RT_PREDICT)));
  result.threads = instance->threads();
  GRADC_TRY(const FmaPeaks peaks,
            FmaPeaks::measure(compile.target, result.threads, program->program()));
  result.peak_gflops = peaks.of(program->program(), program->entry());
  result.code_bytes = program->code_timings().code_bytes;
  time_entry(*instance, GRADC_RT_PREDICT, options, result);

  const int64_t input = instance->nth(GRADC_RT_INPUT, 0);
  const bool batched = input >= 0 && instance->tensor(static_cast<size_t>(input)).rank > 0;
  result.batch_size = batched ? instance->tensor(static_cast<size_t>(input)).dims[0] : 1;
  result.gflop_per_step = static_cast<double>(program->flops()) * 1e-9;
  result.examples_per_second =
      static_cast<double>(result.batch_size) / result.step_ms_median * 1000.0;
  result.gflops = result.gflop_per_step / result.step_ms_median * 1000.0;
  result.peak_gflops_fraction = result.peak_gflops > 0 ? result.gflops / result.peak_gflops : 0.0;
  const BenchedEntry benched{compile.target, program->program(), program->entry(),
                             GRADC_RT_PREDICT};
  GRADC_TRY_STATUS(measure_kernels(options, benched, *instance, peaks, result));
  return result;
}

}  // namespace gradc
