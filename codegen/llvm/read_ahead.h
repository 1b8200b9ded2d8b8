// What a loop that reads ahead asks memory for: a choice of speed, which no value depends on.
#pragma once

#include "codegen/kernel/kernel.h"

#include <vector>

namespace gradc::cg {

struct Touch {
  kernel::BufferId buffer;
  kernel::Affine index;  ///< may lie outside the buffer
};

/// So that each element is asked for once: of the loads of every step of a loop inside, those of
/// the next iteration outside that neither this iteration nor the next step makes.
struct ReadAhead {
  kernel::VarId step;  ///< of the loop inside; invalid: there is nothing to ask for
  std::vector<Touch> touches;
};

/// For the innermost loop of `loop`, if there is but one, which accumulates what it loads.
ReadAhead reads_ahead(const kernel::Kernel& kernel, const std::vector<kernel::Expr>& exprs,
                      const kernel::For& loop);

}  // namespace gradc::cg
