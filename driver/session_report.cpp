// What a session says of its code: a stage of an entry as text, and what each kernel takes.
#include "codegen/kernel/program_text.h"
#include "codegen/object_writer.h"
#include "driver/bench.h"
#include "driver/gir_file.h"
#include "driver/session_impl.h"
#include "ir/printer.h"
#include "passes/plan_text.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace gradc {

namespace {

/// The entry of that name, or an error with all that there are.
Result<EntryPoint> find_entry(const CompiledModel& model, const std::string& name) {
  std::vector<std::string_view> names;
  for (int i = 0; i < kNumEntryPoints; ++i) {
    const auto kind = static_cast<EntryPoint>(i);
    if (!model.supports(kind)) continue;
    if (entry_name(kind) == name) return kind;
    names.push_back(entry_name(kind));
  }
  return make_error(DiagKind::kInvalidUsage, {}, "the model has no entry \"{}\"; it has {}", name,
                    fmt::join(names, ", "));
}

Result<std::string> graph_text(const CompiledModel& model, EntryPoint kind, PipelineStage last) {
  const CompileOptions& options = model.options();
  kernel::ProgramLowering lowering(model.model().name, options.target);
  BuildOptions build;
  build.name_bodies = true;
  build.lowering = &lowering;
  build.memory_budget_bytes = options.memory_budget_bytes;
  GRADC_TRY(const StagedEntry staged,
            build_staged(model.model(), kind, model.batch_size(), last, build));
  const std::string text =
      staged.plan ? print_planned(*staged.graph, *staged.plan) : print_graph(*staged.graph);
  return stage_line(last) + text;
}

Result<std::string> stage_text(const CompiledModel& model, EntryPoint kind,
                               const std::string& stage) {
  for (size_t i = 0; i < kStageNames.size(); ++i) {
    if (kStageNames[i] == stage) return graph_text(model, kind, static_cast<PipelineStage>(i));
  }
  constexpr std::array<std::string_view, 3> kCode = {"kernels", "llvm", "asm"};
  if (std::ranges::find(kCode, stage) == kCode.end()) {
    return make_error(DiagKind::kInvalidUsage, {}, "there is no stage \"{}\"; it is one of {}, {}",
                      stage, fmt::join(kStageNames, ", "), fmt::join(kCode, ", "));
  }
  const std::array kinds = {kind};
  GRADC_TRY(const kernel::Program program, model.lower(kinds));
  if (stage == "kernels") return kernel::to_string(program);
  ObjectOptions object;
  object.kind = stage == "llvm" ? ObjectKind::kLlvm : ObjectKind::kAssembly;
  GRADC_TRY(ObjectFile file, write_object(program, model.options().target, object));
  return std::move(file.bytes);
}

/// Of a training step on an instance of its own.
Result<std::string> profile_of(CompiledModel& model, const rt::InstanceOptions& options,
                               double seconds) {
  const std::array kinds = {EntryPoint::kTrainStep};
  if (!model.supports(kinds[0]))
    return make_error(DiagKind::kMissingOption, {}, "the model has no \"training\" section");
  GRADC_TRY_STATUS(model.compile(kinds));
  rt::Instance* raw = nullptr;
  GRADC_TRY_STATUS(from_runtime(model.create_instance(options, &raw)));
  const std::unique_ptr<rt::Instance, void (*)(rt::Instance*)> instance(
      raw, [](rt::Instance* made) { rt::Instance::destroy(made); });
  GRADC_TRY_STATUS(from_runtime(instance->initialize(model.runtime_model().training.seed)));
  GRADC_TRY_STATUS(from_runtime(instance->prepare(GRADC_RT_TRAIN_STEP)));
  fill_batch(*instance, 0.0);
  GRADC_TRY(const kernel::Program program, model.lower(kinds));
  const int threads = instance->threads();
  GRADC_TRY(const FmaPeaks peaks, FmaPeaks::measure(model.options().target, threads, program));
  GRADC_TRY(const std::vector<BandwidthPoint> bandwidth,
            measure_bandwidth(model.options().target, threads));
  return profile_text(profile_entry(*instance, GRADC_RT_TRAIN_STEP, program,
                                    program.entries.front(), seconds, peaks, bandwidth));
}

/// make() gives a text or diagnostics.
template <class Make>
std::string text_of(SessionStatus* status, Make&& make) {
  std::string text;
  SessionStatus made = protect([&]() -> SessionStatus {
    Result<std::string> result = make();
    if (!result.ok()) return failed(render_diagnostics(result.diagnostics(), SourceSet()));
    text = result.take();
    return {};
  });
  if (status != nullptr) *status = std::move(made);
  return text;
}

}  // namespace

std::string SessionImpl::dump(const std::string& stage, const std::string& entry,
                              SessionStatus* status) {
  return text_of(status, [&]() -> Result<std::string> {
    GRADC_TRY(const EntryPoint kind, find_entry(model_, entry));
    return stage_text(model_, kind, stage);
  });
}

std::string SessionImpl::profile(double seconds, SessionStatus* status) {
  return text_of(status, [&]() -> Result<std::string> {
    if (!(seconds > 0.0 && seconds <= 3600.0))
      return make_error(DiagKind::kInvalidUsage, {},
                        "a profile takes {} seconds, expected above 0 and at most 3600", seconds);
    rt::InstanceOptions options;
    options.threads = instance_.threads();
    options.host_threads = live_->host_threads();
    return profile_of(model_, options, seconds);
  });
}

}  // namespace gradc
