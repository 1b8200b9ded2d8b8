// The blocks of a chunked dataset that are stored: B-trees of both versions (III.A.1, III.A.2),
// one block, blocks in turn, fixed and extensible arrays (the specification's appendix C).
#pragma once

#include "exchange/h5/datatype.h"
#include "exchange/h5/file_bytes.h"
#include "exchange/h5/layout.h"

#include <optional>
#include <vector>

namespace gradc::exchange::h5 {

/// How a dataset is cut into blocks.
struct Grid {
  std::vector<uint64_t> counts;  ///< of blocks along each axis
  std::vector<uint64_t> limits;  ///< what they can become; kNowhere: anything
  uint64_t total = 0;
  size_t block_bytes = 0;
};

/// Nothing where a block is larger than memory can be, or is no block of this dataset.
std::optional<Grid> make_grid(const Dataspace& space, const Layout& layout);

struct Chunk {
  uint64_t number;  ///< in the grid, row by row
  uint64_t address, size;
  uint64_t skipped;  ///< filters, a bit each
};

/// Nothing where the index is damaged, or blocks are not in the file. `all` is for the indices of
/// all datasets.
std::optional<std::vector<Chunk>> stored_chunks(const FileBytes& file, const Layout& layout,
                                                const Grid& grid, bool has_filters, Meter& all);

/// Collects blocks as the index has them.
class ChunkList {
 public:
  ChunkList(const FileBytes& file, const Grid& grid, Meter& all)
      : file_(file), grid_(grid), meter_(2 * file.size(), &all) {}
  Meter& meter() { return meter_; }
  bool spend(uint64_t bytes) { return meter_.spend(bytes); }
  /// By its place along each axis. What lies beyond the dataset is left out.
  bool put(const std::vector<uint64_t>& at, uint64_t address, uint64_t size, uint64_t skipped);
  /// By its number among all that there may be, the axis `first` being the slowest.
  bool put_number(uint64_t number, size_t first, uint64_t address, uint64_t size, uint64_t skipped);
  std::vector<Chunk> take() { return std::move(chunks_); }

 private:
  const FileBytes& file_;
  const Grid& grid_;
  Meter meter_;
  std::vector<Chunk> chunks_;
};

/// An array's element: an address, with filters a size of these bytes and what is skipped too.
bool put_element(Cursor& at, size_t size_bytes, uint64_t number, size_t first, const Grid& grid,
                 ChunkList& list);

bool read_fixed_array(const FileBytes& file, uint64_t address, const Grid& grid, bool has_filters,
                      ChunkList& list);
bool read_extensible_array(const FileBytes& file, uint64_t address, const Grid& grid,
                           bool has_filters, ChunkList& list);

}  // namespace gradc::exchange::h5
