// Where nodes say that they come from (ir/location.h), for each call of a model.
#pragma once

#include "frontend/model.h"

#include <string>
#include <vector>

namespace gradc {

/// The place of each call in the file. A block's layers stand there once, so the calls of its
/// repetitions add their names. No two are equal, unless the model was not read from a file.
std::vector<std::string> call_locations(const Model& model);

}  // namespace gradc
