// What lowering a contraction as tiles and as a nest have in common.
#pragma once

#include "codegen/kernel/contraction.h"
#include "codegen/kernel/image_blocks.h"
#include "codegen/kernel/nest.h"

#include <optional>
#include <vector>

namespace gradc::kernel {

inline int group_of(DimClass c) {
  return static_cast<int>(c);
}

/// The padded copy that contractions of one node read.
struct Copy {
  UnitRef ref;
  int64_t size = 0;
};

/// Makes the copy an argument of the frame and lets the contraction read it.
Contraction with_copy(const Contraction& c, const std::optional<Copy>& copy, Unit::Frame& frame);

std::vector<NestDim> nest_dims(const Contraction& c);
std::vector<int64_t> space_offsets(const Contraction& c);

/// Operands as they are multiplied; zero where they do not count.
ExprId operand_a(const Contraction& c, NestCursor& at, ExprId counts = {});
ExprId operand_b(const Contraction& c, NestCursor& at, ExprId counts = {});

/// Lets the epilogue see the sum as the contraction's result.
void bind_sum(const Contraction& c, NestCursor& at, size_t space, LocalId sum);

/// As a plain loop nest; `dot`: summed by lanes.
Status lower_as_nest(Unit& unit, const Contraction& part, const std::optional<Copy>& copy, bool dot,
                     bool joins);
/// Depthwise windows, the rows that each block of them reads copied before.
Status lower_by_blocks(Unit& unit, const Contraction& part, const PaddedCopy& copy);
/// Sums of images, or of their rows, which threads share, then their sum.
Status lower_in_pieces(Unit& unit, const Contraction& part, const std::optional<Copy>& copy,
                       size_t outer);
/// Over how many of the outermost dimensions of k pieces of their own are worth it; 0: no pieces.
size_t piece_dims(const Contraction& c);
/// A phase without any tap: the epilogue of zero.
Status lower_as_zero(Unit& unit, const Contraction& c, bool joins);

/// Adds up partial results [pieces.., result] by groups, then runs the epilogue.
Status lower_combine(Unit& unit, const Contraction& c, const std::vector<int64_t>& pieces,
                     UnitRef partial);

}  // namespace gradc::kernel
