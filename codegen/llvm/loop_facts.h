// What a loop's body holds, for choosing how the loop is emitted: never for what it computes.
#pragma once

#include "codegen/kernel/kernel.h"

#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace gradc::cg {

struct LoopFacts {
  int64_t cost = 0;  ///< vector instructions, roughly
  bool has_double = false;
  bool gathers = false;
  /// Locals that the body accumulates into and does not start itself.
  std::map<uint32_t, kernel::AccumulateOp> accumulated;
  int64_t own_sums = 0;  ///< locals that it starts and accumulates into, in loops of its own
};

LoopFacts loop_facts(const kernel::Kernel& kernel, const std::vector<kernel::Expr>& exprs,
                     const kernel::Block& body);

}  // namespace gradc::cg
