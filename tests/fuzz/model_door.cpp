// The door that every model comes through: JSON text to the graph of a training step and its plan.
#include "driver/compiled_model.h"
#include "driver/entry_builder.h"
#include "frontend/native_reader.h"
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
  for (const EntryPoint kind : {EntryPoint::kPredict, EntryPoint::kTrainStepTail}) {
    if (needs_training(kind) && !model->training) continue;
    const auto entry = build_staged(*model, kind, 2, PipelineStage::kPlanned, {});
    if (!entry.ok()) render(entry.diagnostics(), sources);
  }
  std::vector<Diagnostic> warnings;
  const auto tables = make_tables(*model, 2, warnings);
  if (!tables.ok()) render(tables.diagnostics(), sources);
}

}  // namespace gradc::fuzz
