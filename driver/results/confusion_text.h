// The confusion matrices of an evaluation for a terminal.
#pragma once

#include "support/json.h"

#include <string>

namespace gradc::results {

/// A matrix for each output of classes, rows the true ones; where it would be wider than `width`
/// columns, the pairs that are confused most.
std::string confusion_text(const Json& results, size_t width = 120);

}  // namespace gradc::results
