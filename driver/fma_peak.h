// The machine's floating-point peak, measured: what shares of the peak refer to.
#pragma once

#include "codegen/target_info.h"
#include "support/result.h"

namespace gradc {

/// GFLOP/s of independent f32 vector multiply-adds, in code generated for the target, on that many
/// threads at once; the best of several short runs.
Result<double> measure_fma_peak(const TargetInfo& target, int threads);

}  // namespace gradc
