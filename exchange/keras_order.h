// The order in which Keras keeps a model's layers, whatever the order in which they were made or
// written: its files count layers, and match weights, by it.
#pragma once

#include "frontend/model.h"

#include <vector>

namespace gradc::exchange {

/// An input or a layer of the model.
struct KerasItem {
  bool is_input = false;
  size_t index = 0;
};

/// From the deepest (what is farthest from the outputs) on; at one depth as a search from the
/// outputs back first meets them. What leads to no output stands at the end.
std::vector<KerasItem> keras_order(const Model& model);

/// Trained parameters in Keras's order of `model.trainable_variables`.
struct TrainedParameter {
  const Layer* layer = nullptr;
  const ParameterSpec* spec = nullptr;

  std::string name() const { return layer->name + "/" + spec->name; }
};
std::vector<TrainedParameter> trained_parameters(const Model& model);

}  // namespace gradc::exchange
