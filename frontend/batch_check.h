// Whether a model fits a batch: what was inferred for the batch of its file must hold for others.
#pragma once

#include "frontend/model.h"
#include "support/diagnostic.h"

#include <cstdint>

namespace gradc {

/// Reports, at the layer, tensors that become too large, raw ops and functions that do not fit.
void check_batch_size(const Model& model, int64_t batch_size, DiagnosticSink& sink);

}  // namespace gradc
