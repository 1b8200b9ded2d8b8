// The numbers of an optimizer that may change from step to step. A tuned step (PassOptions::tuned)
// reads what its formulas make of them from inputs instead of having constants, with the same bits.
#pragma once

#include "ir/optimizer_spec.h"

#include <string>
#include <utility>
#include <vector>

namespace gradc {

struct OptimizerNumbers {
  /// What a tuned step follows from, beside the learning rate: names that OptimizerSpec knows.
  std::vector<std::string> names;
  /// The inputs of a tuned step, by their whole names ("number/1 - beta_1"), and their values for
  /// the specification; without the learning rate's.
  std::vector<std::pair<std::string, double>> inputs;
};

OptimizerNumbers optimizer_numbers(const OptimizerSpec& spec);

}  // namespace gradc
