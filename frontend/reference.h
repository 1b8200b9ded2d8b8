// Generated reference: the JSON Schema of the model file and the list of layers, both from the
// option tables that the reader itself uses (`gradc schema`, `gradc layers`).
#pragma once

#include "support/json.h"

#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// JSON Schema (draft 2020-12) of the native model file.
Json model_schema();

/// All layers, activations, initializers, losses, ... with their options, as Markdown.
std::string layer_reference();
/// What that list says of one name, in every family that has it; empty if none has.
std::string layer_reference(std::string_view name);
/// All names that the list has, without other spellings of them.
std::vector<std::string> layer_reference_names();

}  // namespace gradc
