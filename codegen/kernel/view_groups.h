// Views as maps between row-major positions: the axes of the result are grouped into runs that move
// as one, so that a position splits into as few parts as the view needs.
#pragma once

#include "ir/graph.h"

#include <cstdint>
#include <vector>

namespace gradc::kernel {

/// q = (position / inner) mod size of the result maps to operand coordinate
/// ((q - low) / spread) * step + start (or reversed: size - 1 - q), with stride operand_inner.
struct ViewGroup {
  int64_t inner = 1;
  int64_t size = 1;
  int64_t operand_inner = 1;
  int64_t operand_size = 1;
  int64_t start = 0;   ///< slice
  int64_t step = 1;    ///< slice
  int64_t low = 0;     ///< pad
  int64_t spread = 1;  ///< pad with interior: 1 + interior
  bool reversed = false;
  bool padded = false;
};

/// The groups of a view with one operand (broadcast, transpose, slice, pad, reverse); groups of one
/// element are left out.
std::vector<ViewGroup> view_groups(const Graph& graph, const Node& node);

}  // namespace gradc::kernel
