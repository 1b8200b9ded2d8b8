// Connecting the expanded layers: references, topological order, cycles, shapes, outputs, layers
// that nothing uses.
#pragma once

#include "frontend/expand.h"
#include "frontend/model.h"

#include <optional>

namespace gradc {

/// Reads the layers' options, connects them and infers shapes; fills the model's layers, calls and
/// outputs. `batch_size` is only for size limits, raw ops and functions; other batches are checked
/// where they are asked for (frontend/batch_check.h).
void connect_layers(Expansion& expansion, const std::optional<JsonCursor>& outputs,
                    int64_t batch_size, DiagnosticSink& sink, Model& model);

}  // namespace gradc
