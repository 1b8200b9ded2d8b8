// The layers of a model as a table: what each gives, how many parameters it has, where its inputs
// come from. As Keras's model.summary() prints it.
#pragma once

#include "frontend/model.h"
#include "support/json.h"

#include <string>

namespace gradc {

/// Shapes have "None" for the batch axis; a layer that is used again counts its parameters once.
std::string summary_text(const Model& model);
/// The same: "layers" [{name, type, outputs, parameters, trainable_parameters, inputs}],
/// "parameters", "trainable_parameters", "parameter_bytes".
Json summary_json(const Model& model);

}  // namespace gradc
