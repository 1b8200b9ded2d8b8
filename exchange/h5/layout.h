// Where the bytes of a dataset lie (IV.A.2.i).
#pragma once

#include "exchange/h5/cursor.h"

#include <string>
#include <vector>

namespace gradc::exchange::h5 {

/// How the blocks of a chunked dataset are found.
enum class ChunkIndex { kTree1, kSingle, kImplicit, kFixedArray, kExtensibleArray, kTree2 };

struct Layout {
  enum class Kind { kCompact, kContiguous, kChunked };
  Kind kind = Kind::kContiguous;
  Span compact;
  uint64_t address = kNowhere;  ///< of the bytes, or of the index of blocks
  uint64_t size = 0;            ///< contiguous: of the bytes
  // chunked
  ChunkIndex index = ChunkIndex::kTree1;
  std::vector<uint64_t> block;  ///< extents of a block, as many as the dataset has axes
  uint64_t element = 0;         ///< bytes
  bool edges_unpacked = false;  ///< no filters for blocks that reach beyond the dataset
  bool has_single = false;      ///< a single block with filters:
  uint64_t single_size = 0;
  uint32_t single_skipped = 0;
};

/// Empty where it is read; else what is wrong: "is of an unknown layout".
std::string read_layout(Span message, Layout& out);

}  // namespace gradc::exchange::h5
