// The machine's floating-point peak, measured: what shares of the peak refer to.
#pragma once

#include "codegen/kernel/program.h"
#include "codegen/target_info.h"
#include "support/result.h"

#include <array>

namespace gradc {

/// The type that a kernel's contraction multiplies in; f32 where it has none.
DType multiplied_in(const kernel::Kernel& kernel);

/// GFLOP/s of multiply-adds of each type, in code generated for the target, on that many threads at
/// once; the best of several short runs. Only what a program multiplies in is measured, and f32.
class FmaPeaks {
 public:
  static Result<FmaPeaks> measure(const TargetInfo& target, int threads,
                                  const kernel::Program& program);
  /// Of f32 for types that are widened to it.
  double of(DType type) const;
  double of(const kernel::Kernel& kernel) const { return of(multiplied_in(kernel)); }
  /// The rate at which an entry's products could be done, each at the peak of its type.
  double of(const kernel::Program& program, const kernel::Entry& entry) const;

 private:
  std::array<double, kNumDTypes> gflops_{};  ///< 0: not measured
};

}  // namespace gradc
