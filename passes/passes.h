// All passes: one function each, declared from passes.def, and the table by which they are found.
#pragma once

#include "passes/pass.h"

#include <span>
#include <string_view>

namespace gradc {

namespace passes {
#define GRADC_PASS(name, scope, summary) Result<bool> name(Graph& graph, PassContext& context);
#include "passes/passes.def"
#undef GRADC_PASS
}  // namespace passes

/// Every pass in the order of passes.def.
std::span<const PassInfo> all_passes();
/// The pass of that name, or nullptr.
const PassInfo* find_pass(std::string_view name);

}  // namespace gradc
