// The parameters of blocks: "$name" in a block's layers stands for a value that each use may give.
#pragma once

#include "frontend/expansion_budget.h"
#include "frontend/json_reader.h"

#include <map>
#include <optional>
#include <string>

namespace gradc {

struct BlockParameter {
  OwnJson value;
  JsonSize size;
};
using BlockParameters = std::map<std::string, BlockParameter>;

/// The block's "parameters" with their defaults, overridden by what the use gives in "with".
BlockParameters read_block_parameters(ObjectReader& block, const std::optional<JsonCursor>& with);

/// Replaces every string "$name" below `value`, which stands at `at`, by the parameter's value.
/// Unknown parameters are reported; false when the budget or the depth of JSON does not allow it.
bool fill_block(Json& value, const BlockParameters& parameters, const JsonCursor& at,
                ExpansionBudget& budget, DiagnosticSink& sink);

}  // namespace gradc
