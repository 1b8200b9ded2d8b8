// Results of a contraction that one pass over its operands makes side by side.
#pragma once

#include "codegen/kernel/contraction.h"
#include "codegen/kernel/nest.h"

#include <cstdint>
#include <vector>

namespace gradc::kernel {

/// Results whose sums, if not short, run over the same elements of b, side by side in one pass: the
/// innermost dimensions of m that do not move b (the taps of a depthwise filter's gradient), as
/// long as that leaves enough for vectors. How far each result is from the first, in every space;
/// the dimensions are taken out of the nest. With `row` > 1, at most so many neighbours of a row of
/// depthwise windows, where that pays. Sums stay in their order.
std::vector<std::vector<int64_t>> take_beside(const Contraction& c, Nest& nest, int64_t row);

/// The position so far from `at` in every space.
NestCursor moved(NestCursor& at, const std::vector<int64_t>& offsets);

}  // namespace gradc::kernel
