// The door that every model comes through: JSON text to the graphs of its entries, through all
// passes.
#include "frontend/graph_builder.h"
#include "frontend/native_reader.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "support/diagnostic_render.h"
#include "tests/fuzz/door.h"

namespace gradc::fuzz {

namespace {

constexpr size_t kMaxCalls = 60;
constexpr int64_t kMaxElements = 1 << 16;

bool is_small(const Model& model) {
  if (model.calls.size() > kMaxCalls || model.inputs.size() > kMaxCalls) return false;
  const auto small = [](const Ints& shape) {
    int64_t count = 1;
    for (const int64_t extent : shape) {
      if (extent > kMaxElements) return false;
      count *= extent;
      if (count > kMaxElements) return false;
    }
    return true;
  };
  for (size_t i = 0; i < model.inputs.size() + model.calls.size(); ++i)
    if (!small(model.spec(i).shape)) return false;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& parameter : layer.parameters)
      if (!small(parameter.shape)) return false;
  }
  return true;
}

void render(const std::vector<Diagnostic>& diagnostics, const SourceSet& sources) {
  require(!render_diagnostics(diagnostics, sources).empty(), "a failure says nothing");
}

}  // namespace

void model_door(std::string_view bytes) {
  SourceSet sources;
  const auto model = read_model_text("model.json", std::string(bytes), sources);
  if (!model.ok()) return render(model.diagnostics(), sources);
  (void)render_diagnostics(model->warnings, sources);
  if (!is_small(*model)) return;
  for (const EntryKind kind : {EntryKind::kPredict, EntryKind::kTrain}) {
    const bool trains = kind == EntryKind::kTrain;
    if (trains && !model->training) continue;
    auto entry = build_entry_graph(*model, {kind, 2, trains});
    if (!entry.ok()) return render(entry.diagnostics(), sources);
    PassContext context;
    if (trains) context.options.optimizer = std::move(entry->optimizer);
    const Status status = run_passes(
        *entry->graph, pipeline_text(trains ? PipelineKind::kTrainStep : PipelineKind::kForward),
        context);
    if (!status.ok()) render(status.diagnostics(), sources);
  }
}

}  // namespace gradc::fuzz
