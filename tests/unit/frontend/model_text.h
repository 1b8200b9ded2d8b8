// Helpers of the frontend's tests: a model from text, its problems as rendered text.
#pragma once

#include "frontend/native_reader.h"
#include "support/diagnostic_render.h"

#include <string>

namespace gradc {

inline Result<Model> parse_model(const std::string& text) {
  SourceSet sources;
  return read_model_text("model.json", text, sources);
}

/// The rendered diagnostics; "" when the model is good and has no warnings.
inline std::string problems_of(const std::string& text) {
  SourceSet sources;
  const Result<Model> model = read_model_text("model.json", text, sources);
  return render_diagnostics(model.ok() ? model.value().warnings : model.diagnostics(), sources);
}

/// A model of one input "x" with these layers (JSON text of the list's elements).
inline std::string with_layers(const std::string& layers, const std::string& shape = "[8]") {
  return R"({"inputs": [{"name": "x", "shape": )" + shape + R"(}], "layers": [)" + layers + "]}";
}

/// with_layers plus a loss and optimizer.
inline std::string with_training(const std::string& layers, const std::string& training,
                                 const std::string& shape = "[8]") {
  return R"({"inputs": [{"name": "x", "shape": )" + shape + R"(}], "layers": [)" + layers +
         R"(], "training": )" + training + "}";
}

}  // namespace gradc
