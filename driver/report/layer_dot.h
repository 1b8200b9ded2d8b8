// A model's layers as Graphviz text: a box for each, a frame around what a block made.
#pragma once

#include "frontend/model.h"

#include <string>

namespace gradc {

/// Input of `dot -Tsvg`.
std::string layers_to_dot(const Model& model);

}  // namespace gradc
