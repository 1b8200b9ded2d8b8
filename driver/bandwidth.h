// Measures what memory of different sizes delivers, by compiled loops of the same compiler: the
// other roof beside the FMA peak.
#pragma once

#include "codegen/target_info.h"
#include "support/result.h"

#include <cstdint>
#include <vector>

namespace gradc {

/// The rate at which one working set of that size is read and written, by all threads together.
struct BandwidthPoint {
  int64_t bytes = 0;  ///< of each thread
  double gigabytes_per_second = 0.0;
};

/// From what fits the first cache to what fits none, each thread on memory of its own: two arrays
/// are read, one is written.
Result<std::vector<BandwidthPoint>> measure_bandwidth(const TargetInfo& target, int threads);

/// The rate for a working set: that of the smallest measured size that holds it.
double bandwidth_for(const std::vector<BandwidthPoint>& points, int64_t bytes);

}  // namespace gradc
