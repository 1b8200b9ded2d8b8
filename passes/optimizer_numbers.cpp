#include "passes/optimizer_numbers.h"

#include "support/check.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace gradc {

namespace {

/// How a step is written around what it is of.
struct Written {
  NumberStep step;
  std::string_view before, behind;
};
constexpr std::array<Written, 5> kWritten = {{
    {NumberStep::kRest, "1 - ", ""},
    {NumberStep::kInverse, "1 / ", ""},
    {NumberStep::kTwice, "2 ", ""},
    {NumberStep::kNegative, "-", ""},
    {NumberStep::kLogarithm, "log(", ")"},
}};

}  // namespace

NumberFormula read_formula(std::string_view formula) {
  NumberFormula result;
  const auto outermost = [&] {
    return std::ranges::find_if(kWritten, [&](const Written& w) {
      return formula.starts_with(w.before) && formula.ends_with(w.behind);
    });
  };
  for (auto found = outermost(); found != kWritten.end(); found = outermost()) {
    result.steps.push_back(found->step);
    formula.remove_prefix(found->before.size());
    formula.remove_suffix(found->behind.size());
  }
  std::ranges::reverse(result.steps);
  result.name = formula;
  return result;
}

double evaluate(const NumberFormula& formula, double x) {
  for (const NumberStep step : formula.steps) {
    switch (step) {
      case NumberStep::kRest:
        x = 1.0 - x;
        break;
      case NumberStep::kTwice:
        x = 2.0 * x;
        break;
      case NumberStep::kNegative:
        x = -x;
        break;
      case NumberStep::kLogarithm:
        x = std::log(x);
        break;
      case NumberStep::kInverse:
        x = 1.0 / x;
        break;
    }
  }
  return x;
}

}  // namespace gradc
