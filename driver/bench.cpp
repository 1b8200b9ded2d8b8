#include "driver/bench.h"

#include "driver/bench_gir.h"
#include "driver/fma_peak.h"
#include "driver/free_memory.h"
#include "driver/output.h"
#include "driver/runtime_status.h"
#include "runtime/instance.h"
#include "runtime/table_bytes.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <sys/resource.h>

namespace gradc {

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

}  // namespace

void fill_batch(rt::Instance& instance, double ignored) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (tensor.kind != GRADC_RT_INPUT && tensor.kind != GRADC_RT_TARGET) continue;
    const auto dtype = static_cast<rt::Dtype>(tensor.dtype);
    const size_t count = static_cast<size_t>(tensor.bytes) / rt::dtype_bytes(dtype);
    const bool known = tensor.data != nullptr && tensor.data->value_count > 0;
    const int64_t limit = known ? tensor.data->value_count : 2;
    const bool ignores = tensor.data != nullptr && tensor.data->has_ignored != 0 && ignored > 0.0;
    for (size_t j = 0; j < count; ++j) {
      const double value = uniform(random);
      if (ignores && uniform(random) < ignored) {
        rt::store_f64(instance.data(i), dtype, j, static_cast<double>(tensor.data->ignored));
        continue;
      }
      rt::store_f64(
          instance.data(i), dtype, j,
          rt::is_float(dtype)
              ? value
              : static_cast<double>(static_cast<int64_t>(value * static_cast<double>(limit))));
    }
  }
}

namespace {

int64_t bytes_of(const gradc_rt_model& model, std::initializer_list<int64_t> kinds) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    if (std::find(kinds.begin(), kinds.end(), model.tensors[i].kind) != kinds.end())
      bytes += model.tensors[i].bytes;
  }
  return bytes;
}

/// What the process holds of memory that no file stands behind, 0 where the system does not say.
int64_t anonymous_memory() {
  std::FILE* file = std::fopen("/proc/self/status", "re");
  if (file == nullptr) return 0;
  std::array<char, 256> line{};
  long long kilobytes = 0;
  while (std::fgets(line.data(), line.size(), file) != nullptr) {
    if (std::sscanf(line.data(), "RssAnon: %lld kB", &kilobytes) == 1) break;
  }
  std::fclose(file);
  return kilobytes * 1024;
}

void time_runs(rt::Instance& instance, gradc_rt_entry_kind entry, const BenchOptions& options,
               BenchResult& result) {
  const Clock::time_point warm_up = Clock::now();
  const double warm_up_ms = std::min(500.0, options.seconds * 250.0);
  do {
    instance.run(entry);
  } while (milliseconds_since(warm_up) < warm_up_ms);
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  while (options.steps > 0
             ? static_cast<int64_t>(times.size()) < options.steps
             : times.size() < 5 || milliseconds_since(begin) < options.seconds * 1000.0) {
    const Clock::time_point step = Clock::now();
    instance.run(entry);
    times.push_back(milliseconds_since(step));
  }
  std::sort(times.begin(), times.end());
  result.steps = static_cast<int64_t>(times.size());
  result.step_ms_median = times[times.size() / 2];
  result.step_ms_min = times.front();
}

}  // namespace

void time_entry(rt::Instance& instance, gradc_rt_entry_kind entry, const BenchOptions& options,
                BenchResult& result) {
  fill_batch(instance, options.ignored);
  time_runs(instance, entry, options, result);
  result.resident_bytes = anonymous_memory();
  const gradc_rt_model& model = instance.model();
  result.arena_bytes = model.entries[entry].arena_bytes;
  result.scratch_bytes = model.entries[entry].scratch_bytes;
  result.table_bytes = rt::table_bytes(model);
  result.planned_bytes =
      static_cast<int64_t>(rt::Instance::memory_bytes(model, instance.threads())) +
      result.table_bytes + result.code_bytes;
  result.parameter_bytes = bytes_of(model, {GRADC_RT_PARAMETER});
  result.state_bytes =
      bytes_of(model, {GRADC_RT_STATE, GRADC_RT_OPTIMIZER_STATE, GRADC_RT_CARRIED});
  result.input_bytes = bytes_of(model, {GRADC_RT_INPUT, GRADC_RT_TARGET, GRADC_RT_TAIL_WEIGHT});
  result.output_bytes = bytes_of(model, {GRADC_RT_OUTPUT, GRADC_RT_LOSS, GRADC_RT_METRIC,
                                         GRADC_RT_METRIC_PART, GRADC_RT_COUNT});
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  result.peak_rss_bytes = static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

Status measure_kernels(const BenchOptions& options, const BenchedEntry& benched,
                       rt::Instance& instance, const FmaPeaks& peaks, BenchResult& result) {
  if (options.profile) {
    GRADC_TRY(const std::vector<BandwidthPoint> bandwidth,
              measure_bandwidth(benched.target, result.threads));
    result.profile = profile_entry(instance, benched.kind, benched.program, benched.entry,
                                   std::min(options.seconds, 1.0), peaks, bandwidth);
  }
  if (options.trace.empty()) return Ok{};
  constexpr int kTracedSteps = 3;
  return write_output(options.trace, trace_entry(instance, benched.kind, benched.program,
                                                 benched.entry, kTracedSteps));
}

namespace {

const kernel::Entry& train_step_of(const kernel::Program& program) {
  const auto entry = std::find_if(
      program.entries.begin(), program.entries.end(),
      [](const kernel::Entry& e) { return e.name == entry_name(EntryPoint::kTrainStep); });
  GRADC_CHECK(entry != program.entries.end(), "the training step was not compiled");
  return *entry;
}

}  // namespace

Result<BenchResult> run_bench(const BenchOptions& options, SourceSet& sources) {
  if (!options.trace.empty()) {
    GRADC_TRY_STATUS(check_apart(options.trace, options.model));
    GRADC_TRY_STATUS(check_output(options.trace));
  }
  if (is_gir(options.model)) return bench_gir(options);
  CompileOptions compile;
  compile.batch_size = options.batch_size;
  GRADC_TRY(compile.target, TargetInfo::host_as(options.cpu));
  compile.memory_budget_bytes = options.memory_budget_bytes;
  if (options.cache) compile.cache = DiskCache::of_user();
  GRADC_TRY(const auto model, CompiledModel::open(options.model, compile, sources, options.given));
  if (!model->supports(EntryPoint::kTrainStep)) {
    return make_error(DiagKind::kMissingOption, {options.model, "", false},
                      "the model has no \"training\" section; bench times its training step");
  }
  const std::array kinds = {EntryPoint::kTrainStep};
  GRADC_TRY_STATUS(model->compile(kinds));
  GRADC_TRY_STATUS(check_free_memory("a step of this model", model->memory_bytes(options.threads)));
  rt::Instance* raw = nullptr;
  GRADC_TRY_STATUS(from_runtime(
      rt::Instance::create(model->runtime_model(), {options.threads}, nullptr, 0, &raw)));
  const std::unique_ptr<rt::Instance, void (*)(rt::Instance*)> instance(
      raw, [](rt::Instance* i) { rt::Instance::destroy(i); });
  GRADC_TRY_STATUS(from_runtime(instance->initialize(model->runtime_model().training.seed)));
  GRADC_TRY_STATUS(from_runtime(instance->prepare(GRADC_RT_TRAIN_STEP)));

  BenchResult result;
  result.threads = instance->threads();
  result.batch_size = model->batch_size();
  result.code_bytes = model->code_timings().code_bytes;
  time_entry(*instance, GRADC_RT_TRAIN_STEP, options, result);
  GRADC_TRY(const kernel::Program program, model->lower(kinds));
  GRADC_TRY(const FmaPeaks peaks, FmaPeaks::measure(compile.target, result.threads, program));
  result.peak_gflops = peaks.of(program, train_step_of(program));
  result.gflop_per_step = static_cast<double>(model->runtime_model().train_step_flops) * 1e-9;
  result.examples_per_second =
      static_cast<double>(result.batch_size) / result.step_ms_median * 1000.0;
  result.gflops = result.gflop_per_step / result.step_ms_median * 1000.0;
  result.peak_gflops_fraction = result.peak_gflops > 0 ? result.gflops / result.peak_gflops : 0.0;
  result.compile_ms = model->compile_milliseconds();
  result.kernels = model->code_timings().kernels;
  result.cached_kernels = model->code_timings().cached_kernels;
  result.cached_entries = model->code_timings().cached_entries;
  for (const TimeReport::Entry& entry : model->times().entries()) {
    if (entry.name != "total")
      result.compile_stages_ms.emplace_back(entry.name, model->times().milliseconds(entry.name));
  }
  const BenchedEntry benched{compile.target, program, train_step_of(program), GRADC_RT_TRAIN_STEP};
  GRADC_TRY_STATUS(measure_kernels(options, benched, *instance, peaks, result));
  return result;
}

}  // namespace gradc
