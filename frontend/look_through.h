// What stands before the op that ends a network: losses and metrics may work on that instead.
#pragma once

#include "ir/builder.h"

#include <optional>

namespace gradc {

/// The operand of the op that defines x, when that is this op (softmax: over the last axis).
std::optional<Val> operand_of(Val x, Op op);

}  // namespace gradc
