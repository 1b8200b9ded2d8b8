// Loops and contractions that end where what they would do from there on is known to change
// nothing: sums over what is chosen to be zero, rows of results that are not specified.
#pragma once

#include "codegen/kernel/kernel.h"

#include <optional>
#include <utility>
#include <vector>

namespace gradc::kernel {

/// Rows of a kernel's results (runs of `widths` elements, by buffer; 0: not a result) that are
/// specified: those below the number that the first element of `count` holds.
struct SpecifiedRows {
  BufferId count;
  std::vector<int64_t> widths;
};

/// A buffer that is written, element for element, over another one.
using InPlace = std::vector<std::pair<BufferId, BufferId>>;

/// Ends loops early. A sum over `select(i < count, x, 0)`, where `count` is an element of a buffer,
/// ends at count, in a loop in sequence or groups and in a contraction; then the choice is gone.
/// The order of what is added stays that of the whole. Where rows of the results are not specified,
/// the outermost loop or the rows of a contraction end at the last that is. A contraction that adds
/// to what it is written over does nothing where it would add nothing.
void end_early(Kernel& kernel, const std::optional<SpecifiedRows>& rows, const InPlace& in_place);

}  // namespace gradc::kernel
