// How a contraction is cut into register tiles and cache blocks, from the target's numbers and the
// problem's sizes and strides.
#pragma once

#include "codegen/kernel/kernel.h"
#include "codegen/target_info.h"

namespace gradc::kernel {

/// One operand as the engine sees it: strides of its innermost dimensions, in elements.
struct GemmOperand {
  bool plain = true;     ///< an unguarded load with affine index
  bool regular = true;   ///< one row (or column) dimension and one k dimension: a strided matrix
  int64_t stride = 0;    ///< along m (a) or n (b), innermost
  int64_t k_stride = 0;  ///< along k, innermost
};

struct GemmProblem {
  int64_t batch = 1, m = 1, n = 1, k = 1;
  GemmOperand a, b;
};

/// The schedule with the least estimated time per core.
GemmSchedule choose_schedule(const GemmProblem& problem, const TargetInfo& target);

}  // namespace gradc::kernel
