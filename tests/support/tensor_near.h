// Comparing tensors with a tolerance, with a message that names the worst element.
#pragma once

#include "ir/tensor.h"

#include <string>

namespace gradc::testing {

struct Tolerance {
  double relative = 1e-4;
  double absolute = 1e-5;
};

/// Empty when the types are equal and every element differs by at most absolute + relative * the
/// magnitude expected; NaN equals NaN. Else says where it differs most.
std::string tensor_difference(const Tensor& actual, const Tensor& expected,
                              const Tolerance& tolerance = {});

}  // namespace gradc::testing
