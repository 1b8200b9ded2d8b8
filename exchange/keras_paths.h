// Where .keras archives keep the variables of a layer.
#pragma once

#include "frontend/model.h"

#include "exchange/keras_components.h"

#include <string>
#include <string_view>

namespace gradc::exchange {

/// Keras's to_snake_case: "Conv2D" -> "conv2d", "BatchNormalization" -> "batch_normalization".
std::string snake_case(std::string_view class_name);

/// What the objects of a class are called in an archive, before their number.
std::string object_name(std::string_view class_name);

/// The object inside of a layer that has a parameter: "" for the layer itself, "/cell",
/// "/forward_layer/cell", "/query_dense", ...
std::string path_inside(const Layer& layer, std::string_view parameter, KerasForm form);

}  // namespace gradc::exchange
