// Whether the lasting values of an instance are numbers: training neither starts from infinite or
// NaN weights nor ends with them as if nothing were.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

/// An element that is infinite or NaN, of the tensor with index `tensor`; -1: there is none.
struct NotFinite {
  int64_t tensor = -1;
  size_t element = 0;
  bool nan = false;

  bool found() const { return tensor >= 0; }
};

/// The first one among parameters and states, then optimizer state, each in model order.
NotFinite first_not_finite(const Instance& instance);
/// `"dense/kernel" of layer "dense" is NaN at element 5 of 32`.
Str describe(const Instance& instance, const NotFinite& place);

}  // namespace gradc::rt
