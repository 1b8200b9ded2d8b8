// Every tensor of a model has a name in files and in `gradc run`, every score one in logs; two may
// not have the same.
#pragma once

#include "frontend/model.h"
#include "support/diagnostic.h"

namespace gradc {

/// Reports names that layers, inputs, outputs, metrics, the optimizer and the data's statistics
/// would share, with both places.
void check_tensor_names(const Model& model, DiagnosticSink& sink);

}  // namespace gradc
