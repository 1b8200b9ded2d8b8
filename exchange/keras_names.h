// Keras's class names, of all versions, as names of gradc's tables. Names are compared without case
// and underscores, so that only what is called differently stands in a table.
#pragma once

#include "frontend/layer_def.h"

#include <span>
#include <string>
#include <string_view>

namespace gradc::exchange {

/// "Custom>LeakyReLU" -> "leakyrelu".
std::string squashed(std::string_view name);

/// Null when gradc has no such layer.
const LayerDef* find_keras_layer(std::string_view class_name);
/// Null when gradc has no such activation, loss, ....
const ComponentDef* find_keras_component(Family family, std::string_view name);

/// The option of `table` that a Keras option of that name is, in any version; null: none.
const OptionDef* find_keras_option(std::span<const OptionDef> table, std::string_view name);

/// An option of the layer here, an argument of its calls there.
bool is_flag_of_call(std::string_view name);

/// "Model", "Functional", "Sequential", ...
bool is_model_class(std::string_view class_name);
bool is_sequential(std::string_view class_name);

}  // namespace gradc::exchange
