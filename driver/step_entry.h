// The entry that makes one step of a language model: `gradc generate` goes from token to token with
// it and keeps what the model knows of the text so far (passes/step_graph.h).
#pragma once

#include "frontend/model.h"
#include "passes/step_graph.h"

#include <optional>

namespace gradc {

/// Nothing for a model that no text goes on with. Its problem names the layer that stands in the
/// way.
std::optional<StepGraph> step_entry(const Model& model);

}  // namespace gradc
