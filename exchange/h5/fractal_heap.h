// Fractal heaps (III.G): where the links and attributes of objects with many of them lie.
#pragma once

#include "exchange/h5/file_bytes.h"

#include <map>
#include <optional>

namespace gradc::exchange::h5 {

class FractalHeap {
 public:
  /// Nothing where it is damaged, or packed by filters.
  static std::optional<FractalHeap> open(const FileBytes& file, uint64_t address, Meter& meter);
  /// The object of a heap ID; empty where there is none.
  Span object(Span id) const;

 private:
  explicit FractalHeap(const FileBytes& file) : file_(&file) {}
  bool read_header(uint64_t address, Meter& meter);
  Span managed(Span id) const;
  Span huge(Span id) const;
  Span in_direct_block(uint64_t address, uint64_t block_bytes, uint64_t offset,
                       uint64_t length) const;

  const FileBytes* file_;
  size_t id_bytes_ = 0;
  size_t offset_bytes_ = 0;  ///< of an offset in the heap
  size_t length_bytes_ = 0;  ///< of a managed object's length
  bool has_checksums_ = false;
  uint64_t width_ = 0;  ///< blocks in a row of the doubling table
  uint64_t first_block_ = 0, largest_direct_ = 0;
  uint64_t root_ = 0;
  uint64_t root_rows_ = 0;         ///< 0: the root is a direct block
  std::map<uint64_t, Span> huge_;  ///< by their numbers
};

}  // namespace gradc::exchange::h5
