// What a metric is of the means of its parts: of one batch in the graph, of many in the runtime
// (runtime/metric_formulas.h), which adds up the parts.
#pragma once

#include "ir/builder.h"

#include <cstdint>
#include <vector>

namespace gradc {

/// Values for each position, of which the mean over all that count is taken; the last `kept` axes
/// stay.
struct MetricPart {
  Val values;
  int64_t kept = 0;
};

/// As gradc_rt_formula, in its order.
enum class MetricFormula : uint8_t {
  kMean,
  kQuotient,
  kRoot,
  kExponential,
  kRSquared,
  kAreaRoc,
  kAreaPr,
  kMatthews,
  kKappa,
  kMeanQuotient,
  kWeightedQuotient,
  kDefinedQuotient,
};

/// The metric, f32 or the parts' type, from the means of its parts.
Val metric_of(MetricFormula formula, const std::vector<Val>& means);

}  // namespace gradc
