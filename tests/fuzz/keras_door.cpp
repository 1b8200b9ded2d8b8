// The door of other programs' descriptions: Keras's JSON of any version to a model, and back to
// JSON, which must be readable again.
#include "support/diagnostic_render.h"
#include "tests/fuzz/door.h"

#include "exchange/keras_export.h"
#include "exchange/read_model.h"

namespace gradc::fuzz {

namespace {

constexpr size_t kMaxCalls = 200;

ReadOptions dialects() {
  return {.dialects = &exchange::all_dialects(), .given = {}};
}

}  // namespace

void keras_door(std::string_view bytes) {
  SourceSet sources;
  const auto model = read_model_text("keras.json", std::string(bytes), sources, dialects());
  if (!model.ok()) {
    require(!render_diagnostics(model.diagnostics(), sources).empty(), "a failure says nothing");
    return;
  }
  (void)render_diagnostics(model->warnings, sources);
  if (model->calls.size() > kMaxCalls) return;
  for (const auto form : {exchange::KerasForm::kTwo, exchange::KerasForm::kThree}) {
    const auto written = exchange::export_keras(*model, form);
    if (!written.ok()) continue;
    SourceSet again;
    const auto copy = read_model_text("written.json", (**written).dump(), again, dialects());
    require(copy.ok(), "what was written is not read again", copy.ok() ? "" : copy.message());
    require(copy->num_trainable() == model->num_trainable(), "what was written is another model");
  }
}

}  // namespace gradc::fuzz
