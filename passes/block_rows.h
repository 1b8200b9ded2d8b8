// The sizes from which on values are made in blocks of rows (block_rows.cpp).
#pragma once

#include "passes/pass.h"

#include <cstdint>

namespace gradc {

struct BlockSizes {
  /// Of a value from which on it is large.
  int64_t large_bytes = int64_t{32} << 20U;
  /// Rows of a block: enough that a pass over the sums is little beside the products of a block.
  int64_t most_rows = 256;
  int64_t fewest_rows = 64;
  int64_t fewest_blocks = 4;
};

/// The pass block_rows, for other sizes than its own.
Result<bool> make_in_blocks(Graph& graph, PassContext& context, const BlockSizes& sizes);

}  // namespace gradc
