// What TensorFlow.js calls optimizers, losses and metrics in its own "trainingConfig".
#pragma once

#include "frontend/options.h"
#include "support/json.h"

#include <string>

namespace gradc::exchange {

/// {"class_name", "config"}; null when TensorFlow.js has no such optimizer, or computes it
/// otherwise.
Json tfjs_optimizer(const Component& optimizer);
/// Empty when TensorFlow.js has no such loss.
std::string tfjs_loss(const Component& loss);
bool has_tfjs_metric(const Component& metric);

/// The same object with Keras's names of its options.
Json keras_optimizer_of_tfjs(const Json& optimizer);

}  // namespace gradc::exchange
