// The functions of formulas, which are those of other tables: scalar ops, losses, activations.
#pragma once

#include "frontend/options.h"
#include "ir/op.h"

#include <string>
#include <string_view>
#include <vector>

namespace gradc {

struct FormulaFunction {
  enum class Group : uint8_t {
    kNone,
    kReduction,   ///< mean, sum, max, min of one operand
    kScalar,      ///< `op`, element by element
    kSquare,      ///< the operand times itself
    kActivation,  ///< `component`
    kLoss,        ///< `component`
  };
  Group group = Group::kNone;
  Op op{};
  const ComponentDef* component = nullptr;
};

/// What a name means before "(" with so many operands: max of one is a reduction, of two a scalar.
FormulaFunction find_function(std::string_view name, size_t operands);
bool is_function(std::string_view name);
/// All of them, for suggestions.
std::vector<std::string> function_names();
/// The op of "+", "<=", ...
Op infix_op(std::string_view text);

}  // namespace gradc
