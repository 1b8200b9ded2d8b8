// What lowering a reduction kernel as one nest and lowering it split among threads share. Internal
// to lowering.
#pragma once

#include "codegen/kernel/lower_unit.h"

#include <vector>

namespace gradc::kernel {

// Position spaces of a reduction's nest.
inline constexpr size_t kFull = 0;     ///< position in the full shape
inline constexpr size_t kPoint = 1;    ///< position in the kept shape
inline constexpr size_t kReduced = 2;  ///< position in the reduced shape
inline constexpr size_t kPartial = 3;  ///< position in the partial results of a split

/// The loops of one stage of reductions whose results are all that is stored.
struct ReductionSpace {
  std::vector<NestDim> dims;
  SumOrder sums = SumOrder::kSequence;  ///< kSequence: no order matters
  int64_t full_size = 1;
  int64_t point_size = 1;
  std::vector<NodeId> reductions;
};

AccumulateOp accumulate_op(const Node& node);
/// The accumulator, converted, is the value of `result` at the point.
void bind_reduced(NestCursor& at, ValueId result, LocalId acc);

/// Splits a long reduction with few results into kernels that use all threads, if it is one;
/// whether it was. No bit depends on that: the pieces are nodes of the tree in which the sums are
/// made.
Result<bool> split_reduction(Unit& unit, const ReductionSpace& space);

}  // namespace gradc::kernel
