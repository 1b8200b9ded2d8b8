// What the two halves of the op `scan` share: the entry (scan.cpp) and its gradient
// (scan_grad.cpp).
#pragma once

#include "ir/ops/common.h"

namespace gradc::ops {

Grads scan_grad(const GradArgs& g);

/// [steps] in front of a shape.
Shape stacked_shape(int64_t steps, const Shape& shape);

}  // namespace gradc::ops
