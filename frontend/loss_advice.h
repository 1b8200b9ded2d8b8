// The commonest mistakes in a model file, with which nothing fails but the training.
#pragma once

#include "frontend/model.h"

namespace gradc {

/// Reports losses of logits that are none, or of values that are surely no probabilities.
void warn_of_activation(const Model& model, const OutputLoss& loss, DiagnosticSink& sink);

}  // namespace gradc
