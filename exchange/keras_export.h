// A model as Keras 2's functional JSON, which Keras 2 and 3 and TensorFlow.js read.
#pragma once

#include "frontend/model.h"
#include "support/json.h"
#include "support/result.h"

#include <string>

namespace gradc::exchange {

/// What the JSON says of its version: 2.15 is the last Keras 2, whose formulas it has.
inline constexpr const char* kWrittenKerasVersion = "2.15.0";

/// {"class_name": "Functional", "config": {...}}; all that Keras does not have is reported at once.
Result<OwnJson> export_keras(const Model& model);

/// {"loss", "metrics", "optimizer_config", ...}; null without training.
Json export_training(const Model& model);

/// "max_pooling2d" -> "MaxPooling2D".
std::string keras_class(std::string_view type);

}  // namespace gradc::exchange
