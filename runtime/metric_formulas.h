// What a metric is of the means of its parts, over all batches of an epoch or a data set.
#pragma once

#include "runtime/containers.h"
#include "runtime/model_abi.h"

namespace gradc::rt {

/// One part: weighted sums, of one or more elements.
struct MetricPart {
  const double* sum = nullptr;
  size_t size = 0;
};

/// `parts` as gradc_rt_formula lists them; `weight` is what all sums are divided by. What is
/// divided by nothing is 0.
double metric_of(int64_t formula, double weight, Span<const MetricPart> parts);

}  // namespace gradc::rt
