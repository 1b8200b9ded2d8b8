// How a model is trained, as files say it. What they cannot say is left out, with a warning.
#pragma once

#include "frontend/model.h"
#include "support/json.h"

#include "exchange/keras_components.h"

#include <vector>

namespace gradc::exchange {

/// "training_config" of .h5 files and of the topology in TensorFlow.js folders; null without
/// training.
Json export_training_config(const Model& model, std::vector<Diagnostic>& left_out);

/// "compile_config" of archives.
Json export_compile_config(const Model& model, KerasForm form, std::vector<Diagnostic>& left_out);

/// "trainingConfig" of TensorFlow.js; null when TensorFlow.js could not load the model with it.
Json export_tfjs_training(const Model& model);

}  // namespace gradc::exchange
