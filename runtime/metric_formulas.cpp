// The formulas of frontend/metric_formulas.cpp, in double.
#include "runtime/metric_formulas.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

// The means of a part.
struct Means {
  const double* sum;
  size_t size;
  double weight;

  double operator[](size_t i) const { return sum[i] / weight; }
};

double quotient(double a, double b) {
  return b > 0 ? a / b : 0;
}

double r_squared(const Means& error, const Means& target, const Means& square) {
  double sum = 0;
  for (size_t i = 0; i < error.size; ++i) {
    const double variance = square[i] - target[i] * target[i];
    sum += 1 - quotient(error[i], std::max(variance, 0.0));
  }
  return sum / static_cast<double>(error.size);
}

double area_roc(const Means& found, const Means& wrong, double positives, double negatives) {
  double area = 0;
  for (size_t k = 0; k + 1 < found.size; ++k) {
    area += (wrong[k] - wrong[k + 1]) * (found[k] + found[k + 1]) / 2;
  }
  return quotient(quotient(area, positives), negatives);
}

double area_pr(const Means& found, const Means& wrong, double positives) {
  double area = 0;
  for (size_t k = 0; k + 1 < found.size; ++k) {
    const double before = found[k] + wrong[k];
    const double after = found[k + 1] + wrong[k + 1];
    const double gain = found[k] - found[k + 1];
    const double slope = quotient(gain, before - after);
    const double start = found[k + 1] - slope * after;
    const double ratio = after > 0 ? before / after : 1;
    area += slope * (gain + start * std::log(ratio));
  }
  return quotient(area, positives);
}

double product(const Means& a, const Means& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size; ++i)
    sum += a[i] * b[i];
  return sum;
}

double matthews(double right, const Means& guessed, const Means& present) {
  const double spreads = (1 - product(guessed, guessed)) * (1 - product(present, present));
  return quotient(right - product(guessed, present), std::sqrt(std::max(spreads, 0.0)));
}

double kappa(double right, const Means& guessed, const Means& present) {
  const double chance = product(guessed, present);
  return quotient(right - chance, 1 - chance);
}

// Quotients of each element, each weighing something.
template <class Weight>
double mean_of_quotients(const Means& a, const Means& b, Weight weight) {
  double sum = 0;
  double total = 0;
  for (size_t i = 0; i < a.size; ++i) {
    sum += quotient(a[i], b[i]) * weight(i);
    total += weight(i);
  }
  return quotient(sum, total);
}

}  // namespace

double metric_of(int64_t formula, double weight, Span<const MetricPart> parts) {
  const auto p = [&](size_t i) { return Means{parts[i].sum, parts[i].size, weight}; };
  switch (formula) {
    case GRADC_RT_FORMULA_QUOTIENT:
      return quotient(p(0)[0], p(1)[0]);
    case GRADC_RT_FORMULA_ROOT:
      return std::sqrt(std::max(p(0)[0], 0.0));
    case GRADC_RT_FORMULA_EXPONENTIAL:
      return std::exp(p(0)[0]);
    case GRADC_RT_FORMULA_R_SQUARED:
      return r_squared(p(0), p(1), p(2));
    case GRADC_RT_FORMULA_AREA_ROC:
      return area_roc(p(0), p(1), p(2)[0], p(3)[0]);
    case GRADC_RT_FORMULA_AREA_PR:
      return area_pr(p(0), p(1), p(2)[0]);
    case GRADC_RT_FORMULA_MATTHEWS:
      return matthews(p(0)[0], p(1), p(2));
    case GRADC_RT_FORMULA_KAPPA:
      return kappa(p(0)[0], p(1), p(2));
    case GRADC_RT_FORMULA_MEAN_QUOTIENT:
      return mean_of_quotients(p(0), p(1), [](size_t) { return 1.0; });
    case GRADC_RT_FORMULA_WEIGHTED_QUOTIENT:
      return mean_of_quotients(p(0), p(1), [&](size_t i) { return p(2)[i]; });
    case GRADC_RT_FORMULA_DEFINED_QUOTIENT:
      return mean_of_quotients(p(0), p(1), [&](size_t i) { return p(1)[i] > 0 ? 1.0 : 0.0; });
    default:
      return p(0)[0];
  }
}

}  // namespace gradc::rt
