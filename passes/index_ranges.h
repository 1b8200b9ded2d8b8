// Which integers the inputs of a graph may hold: the compiled code clamps indices that are out of
// range, so data are checked against what the graph does with them before anything runs.
#pragma once

#include "ir/graph.h"

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace gradc {

/// Both ends included.
struct IndexRange {
  int64_t low = std::numeric_limits<int64_t>::min();
  int64_t high = std::numeric_limits<int64_t>::max();
  bool operator==(const IndexRange&) const = default;
  bool everything() const { return *this == IndexRange{}; }
};

/// For each graph input whose values end as rows or classes of gather, scatter_add, one_hot or a
/// cross-entropy of class indices, the range of each element of one example (of all but the first
/// axis), or one range for all. Followed back are views, concatenations, casts, clamps, and sums,
/// differences and products with constants; what goes through anything else is not known here, and
/// is clamped when it runs.
using IndexRanges = std::map<std::string, std::vector<IndexRange>>;
IndexRanges index_ranges(const Graph& graph);

}  // namespace gradc
