// A model as Keras's functional JSON.
#pragma once

#include "frontend/model.h"
#include "support/json.h"
#include "support/result.h"

#include "exchange/keras_components.h"

#include <string>
#include <vector>

namespace gradc::exchange {

/// {"class_name": "Functional", "config": {...}}, layers as keras_order has them; all that Keras
/// does not have is reported at once.
Result<OwnJson> export_keras(const Model& model, KerasForm form);

/// The Keras that an archive names, which has all that the model needs.
std::string_view oldest_keras(const Model& model, KerasForm form);

/// What layers are called in a file: their names, in Keras 3 without slashes.
std::vector<std::string> keras_layer_names(const Model& model, KerasForm form);

/// The form of an archive that has the model's formulas: 3, unless an activation or the optimizer
/// is of before.
KerasForm archive_form(const Model& model);

}  // namespace gradc::exchange
