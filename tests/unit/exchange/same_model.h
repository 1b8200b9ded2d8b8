// Whether two models are the same network, trained the same way.
#pragma once

#include "frontend/model.h"

#include <string>

namespace gradc::exchange {

/// Everything that is computed and trained: inputs, layers with all options, calls, outputs,
/// losses, metrics, optimizer. Names of the model and of files are not in it.
std::string text_of_model(const Model& model);

}  // namespace gradc::exchange
