// The page of `gradc eval --report`: what evaluation.h tells, as tables and pictures. One file
// without a script that needs nothing beside it.
#pragma once

#include "support/json.h"

#include <string>

namespace gradc::results {

std::string results_page(const Json& results);

}  // namespace gradc::results
