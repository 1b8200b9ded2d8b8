#include "frontend/metric_formulas.h"

#include "support/check.h"

namespace gradc {
namespace {

constexpr double kTiny = 1e-30;  // below all means of counts in f32

Val all(Val x) {
  return x.rank() == 0 ? x : reduce_sum(x, {0});
}

Val mean(Val x) {
  return x.rank() == 0 ? x : all(x) / static_cast<double>(x.shape()[0]);
}

/// 0 where there is nothing to divide by.
Val quotient(Val a, Val b) {
  return select(greater(b, 0.0), a / maximum(b, kTiny), 0.0);
}

Val without_first(Val x) {
  return slice(x, {1}, {x.shape()[0]});
}
Val without_last(Val x) {
  return slice(x, {0}, {x.shape()[0] - 1});
}

Val spread(Val scalar, Val like) {
  return broadcast(scalar, like.shape(), {});
}

/// Keras's R2Score with class_aggregation="uniform_average": 1 - error / variance of each output.
Val r_squared(Val error, Val target, Val square) {
  return mean(1.0 - quotient(error, maximum(square - target * target, 0.0)));
}

/// Trapezoids under the curve of thresholds.
Val area_roc(Val found, Val wrong, Val positives, Val negatives) {
  const Val y = found / spread(maximum(positives, kTiny), found);
  const Val x = wrong / spread(maximum(negatives, kTiny), wrong);
  return all((without_last(x) - without_first(x)) * (without_last(y) + without_first(y))) * 0.5;
}

/// Davis, Goadrich: "The relationship between precision-recall and ROC curves", 2006: true
/// positives are a line between two thresholds, precision is not.
Val area_pr(Val found, Val wrong, Val positives) {
  const Val guessed = found + wrong;
  const Val before = without_last(guessed);
  const Val after = without_first(guessed);
  const Val gain = without_last(found) - without_first(found);
  const Val slope = quotient(gain, before - after);
  const Val start = without_first(found) - slope * after;
  const Val ratio = select(greater(after, 0.0), before / maximum(after, kTiny), 1.0);
  const Val area = slope * (gain + start * log(maximum(ratio, kTiny)));
  return quotient(all(area), positives);
}

/// Gorodkin: "Comparing two K-category assignments by a K-category correlation coefficient", 2004.
Val matthews(Val right, Val guessed, Val present) {
  const Val chance = all(guessed * present);
  const Val spreads = (1.0 - all(guessed * guessed)) * (1.0 - all(present * present));
  return quotient(right - chance, sqrt(maximum(spreads, 0.0)));
}

Val kappa(Val right, Val guessed, Val present) {
  const Val chance = all(guessed * present);
  return quotient(right - chance, 1.0 - chance);
}

/// The mean of the quotients that there are.
Val defined_quotient(Val a, Val b) {
  return quotient(all(quotient(a, b)), all(cast(greater(b, 0.0), a.dtype())));
}

}  // namespace

Val metric_of(MetricFormula formula, const std::vector<Val>& m) {
  switch (formula) {
    case MetricFormula::kMean:
      return m[0];
    case MetricFormula::kQuotient:
      return quotient(m[0], m[1]);
    case MetricFormula::kRoot:
      return sqrt(m[0]);
    case MetricFormula::kExponential:
      return exp(m[0]);
    case MetricFormula::kRSquared:
      return r_squared(m[0], m[1], m[2]);
    case MetricFormula::kAreaRoc:
      return area_roc(m[0], m[1], m[2], m[3]);
    case MetricFormula::kAreaPr:
      return area_pr(m[0], m[1], m[2]);
    case MetricFormula::kMatthews:
      return matthews(m[0], m[1], m[2]);
    case MetricFormula::kKappa:
      return kappa(m[0], m[1], m[2]);
    case MetricFormula::kMeanQuotient:
      return mean(quotient(m[0], m[1]));
    case MetricFormula::kWeightedQuotient:
      return quotient(all(quotient(m[0], m[1]) * m[2]), all(m[2]));
    case MetricFormula::kDefinedQuotient:
      return defined_quotient(m[0], m[1]);
  }
  GRADC_UNREACHABLE();
}

}  // namespace gradc
