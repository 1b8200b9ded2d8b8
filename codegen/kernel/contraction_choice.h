// How a contraction is computed, as far as its bits depend on it: in which order, and in how many
// splits. Sizes and the layout of the op decide, never views of its operands nor the target.
#pragma once

#include "codegen/kernel/contraction.h"

namespace gradc::kernel {

// Position spaces of a contraction's dimensions.
inline constexpr size_t kA = 0;
inline constexpr size_t kB = 1;
inline constexpr size_t kY = 2;
inline constexpr size_t kFirstGuard = 3;

int64_t size_of(const Contraction& c, DimClass cls);
/// The innermost and the outermost dimension of k of more than one element, or nullptr.
const ContractionDim* innermost_k(const Contraction& c);
const ContractionDim* outermost_k(const Contraction& c);

/// Whether the products lie side by side in both operands while too few rows or columns share an
/// operand: then they are added by lanes (sum_order.h), not from the first to the last. The same
/// for a product and its transpose.
bool is_dot(const Contraction& c);
/// Too little for a register tile: one row or column, an outer product. The sum is
/// the same either way, from the first k to the last.
bool prefers_nest(const Contraction& c);
/// A product for every channel: only channels run along a, b and y at once.
bool runs_along_channels(const Contraction& c);
/// Windows of every channel for itself: more of them than they have taps.
bool is_depthwise(const Contraction& c);
/// Whether a nest adds the products in groups (sum_order.h): a long sum of a thin product keeps its
/// digits. A product of fewer than 4 rows or columns is then not computed like its transpose
/// (passes/rules_contraction.cpp leaves those alone).
bool sums_in_groups(const Contraction& c);
/// The number of chunks of the outermost k dimension; 1: no split. The same for a product and its
/// transpose.
int64_t split_chunks(const Contraction& c);

}  // namespace gradc::kernel
