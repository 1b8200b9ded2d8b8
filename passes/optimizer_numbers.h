// The numbers of an optimizer that may change from step to step. A tuned step (PassOptions::tuned)
// reads what its formulas make of them from inputs instead of having constants, with the same bits.
#pragma once

#include "ir/optimizer_spec.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc {

/// What a rule's formula is made of instead of a number itself, by arithmetic on the host.
enum class NumberStep : uint8_t { kRest, kTwice, kNegative, kLogarithm, kInverse };

/// A formula of one number (Num::formula), taken apart.
struct NumberFormula {
  std::string name;               ///< the number
  std::vector<NumberStep> steps;  ///< what is made of it, first to last
};

/// "log(1 - beta_1)": the rest of beta_1, and its logarithm.
NumberFormula read_formula(std::string_view formula);
/// The same of a value of the number.
double evaluate(const NumberFormula& formula, double number);

struct OptimizerNumbers {
  /// What a tuned step follows from, beside the learning rate: names that OptimizerSpec knows.
  std::vector<std::string> names;
  /// The inputs of a tuned step, by their whole names ("number/1 - beta_1"), and their values for
  /// the specification; without the learning rate's.
  std::vector<std::pair<std::string, double>> inputs;
};

OptimizerNumbers optimizer_numbers(const OptimizerSpec& spec);

}  // namespace gradc
