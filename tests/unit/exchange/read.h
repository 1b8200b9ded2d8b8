// Reading a description from text or file in tests.
#pragma once

#include "support/diagnostic_render.h"

#include "exchange/read_model.h"
#include <gtest/gtest.h>

#include <string>

namespace gradc::exchange {

/// Problems as they are shown, or nothing.
inline std::string problems_of(const Result<Model>& model, const SourceSet& sources) {
  return model.ok() ? std::string() : render_diagnostics(model.diagnostics(), sources);
}

struct Read {
  SourceSet sources;
  Result<Model> model;
  std::string problems;
};

inline Read read_text(const std::string& text, const InputShapes& shapes = {}) {
  SourceSet sources;
  Result<Model> model = read_model_text("keras.json", text, sources,
                                        {.dialects = &all_dialects(), .given = {.shapes = shapes}});
  std::string problems = problems_of(model, sources);
  return {std::move(sources), std::move(model), std::move(problems)};
}

inline int64_t num_parameters(const Model& model) {
  return model.num_trainable() + model.num_not_trainable();
}

}  // namespace gradc::exchange
