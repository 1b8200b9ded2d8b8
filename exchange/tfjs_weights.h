// TensorFlow.js: "weightsManifest" of model.json and the shards beside it.
#pragma once

#include "exchange/weights.h"

namespace gradc::exchange {

struct TfjsWeights {
  std::vector<WeightGroup> groups;
  std::vector<rt::Array> optimizer;  ///< what is marked as the optimizer's
};

/// `model_json` is the path of model.json; shards are read from its folder and nowhere else.
Result<TfjsWeights> read_tfjs_weights(const std::string& model_json);

}  // namespace gradc::exchange
