// Weights of .h5 files (whole models and weights alone) and of the model.weights.h5 in .keras
// files.
#pragma once

#include "exchange/h5_file.h"
#include "exchange/keras_model.h"
#include "exchange/optimizer_state.h"
#include "exchange/weights.h"

#include <optional>
#include <string>
#include <vector>

namespace gradc::exchange {

/// A .h5 file's description as one JSON text, as kcfg and h5cfg files have it; `file` must have
/// one.
Result<std::string> h5_description(const H5File& file);
bool h5_has_description(const H5File& file);

/// "model_weights", or the file itself if it has "layer_names": a group for each layer.
bool h5_has_weights(const H5File& file);
Result<std::vector<WeightGroup>> read_h5_weights(const H5File& file);

/// The group "optimizer_weights", where there is one.
Result<std::optional<StateVariables>> read_h5_state(const H5File& file);

/// The variables of a model in a .keras file, which are numbered, not named; layers are found by
/// their class and order.
Result<std::vector<WeightGroup>> read_keras_variables(const H5File& file, const KerasModel& model);
/// "optimizer/vars".
Result<std::optional<StateVariables>> read_keras_state(const H5File& file);

}  // namespace gradc::exchange
