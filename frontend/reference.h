// Generated reference: the JSON Schema of the model file and the list of layers, both from the
// option tables that the reader itself uses (`gradc schema`, `gradc layers`).
#pragma once

#include "support/json.h"

#include <string>

namespace gradc {

/// JSON Schema (draft 2020-12) of the native model file.
Json model_schema();

/// All layers, activations, initializers, losses, ... with their options, as Markdown.
std::string layer_reference();

}  // namespace gradc
