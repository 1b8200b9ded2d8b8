// What a step of an optimizer is when one looks at its formula (ir/step_rule.h).
#pragma once

#include "ir/step_rule.h"

#include <cstddef>

namespace gradc {

/// How many nodes a step's formula has, constants and repeated scalars aside, where each element of
/// its results is made of the elements in its place and of scalars as they come; 0 where it looks
/// at the whole parameter, or works something out once for all elements.
size_t element_wise_size(const StepAttrs& attrs);

}  // namespace gradc
