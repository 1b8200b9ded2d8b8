// TensorFlow.js: "weightsManifest" of model.json and the shards beside it.
#pragma once

#include "exchange/weights.h"

namespace gradc::exchange {

/// `model_json` is the path of model.json; shards are read from its folder and nowhere else.
Result<std::vector<WeightGroup>> read_tfjs_weights(const std::string& model_json);

}  // namespace gradc::exchange
