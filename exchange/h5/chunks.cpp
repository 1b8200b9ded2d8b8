#include "exchange/h5/chunks.h"

#include "exchange/h5/btree2.h"

namespace gradc::exchange::h5 {
namespace {

uint64_t blocks_of(uint64_t extent, uint64_t block) {
  return extent / block + (extent % block != 0 ? 1 : 0);
}

/// A B-tree of version 1 of blocks (III.A.1, node type 1).
class Tree1 {
 public:
  Tree1(const FileBytes& file, const Layout& layout, ChunkList& list)
      : file_(file), layout_(layout), list_(list) {}

  bool read(uint64_t address, size_t max_level) {
    Cursor at(file_.from(address));
    if (!at.expect("TREE\x01")) return false;
    const size_t level = at.u8();
    const uint64_t entries = at.u16();
    at.skip(8 + 8);  // siblings
    const size_t rank = layout_.block.size();
    const uint64_t entry_bytes = 4 + 4 + 8 * (rank + 1) + 8;
    if (!at.ok() || level > max_level || !list_.spend(24 + entries * entry_bytes)) return false;
    std::vector<uint64_t> place(rank);
    for (uint64_t i = 0; i < entries; ++i) {
      const uint64_t size = at.u32();
      const uint64_t skipped = at.u32();
      bool aligned = true;
      for (size_t axis = 0; axis < rank; ++axis) {
        const uint64_t offset = at.u64();
        aligned &= offset % layout_.block[axis] == 0;
        place[axis] = offset / layout_.block[axis];
      }
      at.skip(8);  // inside an element
      const uint64_t child = at.u64();
      if (!at.ok()) return false;
      if (level > 0 ? !read(child, level - 1) : !aligned || !list_.put(place, child, size, skipped))
        return false;
    }
    return true;
  }

 private:
  const FileBytes& file_;
  const Layout& layout_;
  ChunkList& list_;
};

/// Records of a B-tree of version 2: with filters, a size of the bytes that are left, and which of
/// them are skipped.
bool read_tree2(const FileBytes& file, const Layout& layout, const Grid& grid, bool has_filters,
                ChunkList& list) {
  constexpr uint8_t kPlain = 10;
  constexpr uint8_t kFiltered = 11;
  const auto records =
      btree2_records(file, layout.address, has_filters ? kFiltered : kPlain, list.meter());
  if (!records) return false;
  const size_t rank = layout.block.size();
  std::vector<uint64_t> place(rank);
  for (const Span record : *records) {
    Cursor at(record);
    const uint64_t address = at.u64();
    uint64_t size = grid.block_bytes;
    uint64_t skipped = 0;
    if (has_filters) {
      const size_t fixed = 8 + 4 + 8 * rank;
      if (record.size() <= fixed || record.size() > fixed + 8) return false;
      size = at.number(record.size() - fixed);
      skipped = at.u32();
    }
    for (uint64_t& axis : place)
      axis = at.u64();
    if (!at.ok() || !list.put(place, address, size, skipped)) return false;
  }
  return true;
}

bool read_implicit(const FileBytes& file, uint64_t address, const Grid& grid, ChunkList& list) {
  uint64_t all = 1;
  for (const uint64_t limit : grid.limits) {
    if (limit == kNowhere || limit == 0 || all > file.size() / limit) return false;
    all *= limit;
  }
  if (all > file.size() / grid.block_bytes || !file.holds(address, all * grid.block_bytes) ||
      !list.spend(all))
    return false;
  for (uint64_t i = 0; i < all; ++i) {
    if (!list.put_number(i, 0, address + i * grid.block_bytes, grid.block_bytes, 0)) return false;
  }
  return true;
}

}  // namespace

std::optional<Grid> make_grid(const Dataspace& space, const Layout& layout) {
  if (layout.block.size() != space.extents.size()) return std::nullopt;
  Grid grid;
  grid.total = 1;
  uint64_t bytes = layout.element;
  for (size_t i = 0; i < layout.block.size(); ++i) {
    const uint64_t block = layout.block[i];
    if (block == 0 || bytes == 0 || bytes > UINT32_MAX / block) return std::nullopt;
    bytes *= block;
    const uint64_t limit = space.limits[i];
    grid.counts.push_back(blocks_of(space.extents[i], block));
    grid.limits.push_back(limit == kNowhere ? kNowhere : blocks_of(limit, block));
    if (grid.counts[i] != 0 && grid.total > (uint64_t{1} << 62U) / grid.counts[i])
      return std::nullopt;
    grid.total *= grid.counts[i];
  }
  grid.block_bytes = bytes;
  return grid;
}

bool ChunkList::put(const std::vector<uint64_t>& at, uint64_t address, uint64_t size,
                    uint64_t skipped) {
  uint64_t number = 0;
  for (size_t axis = 0; axis < at.size(); ++axis) {
    if (at[axis] >= grid_.counts[axis]) return true;
    number = number * grid_.counts[axis] + at[axis];
  }
  if (size == 0 || !file_.holds(address, size)) return false;
  chunks_.push_back({number, address, size, skipped});
  return true;
}

bool ChunkList::put_number(uint64_t number, size_t first, uint64_t address, uint64_t size,
                           uint64_t skipped) {
  std::vector<uint64_t> at(grid_.counts.size());
  for (size_t axis = at.size(); axis-- > 0;) {
    if (axis == first) continue;
    const uint64_t limit = grid_.limits[axis];
    if (limit == kNowhere || limit == 0) return false;
    at[axis] = number % limit;
    number /= limit;
  }
  at[first] = number;
  return put(at, address, size, skipped);
}

bool put_element(Cursor& at, size_t size_bytes, uint64_t number, size_t first, const Grid& grid,
                 ChunkList& list) {
  const uint64_t address = at.u64();
  const uint64_t size = size_bytes > 0 ? at.number(size_bytes) : grid.block_bytes;
  const uint64_t skipped = size_bytes > 0 ? at.u32() : 0;
  if (!at.ok()) return false;
  return address == kNowhere || list.put_number(number, first, address, size, skipped);
}

std::optional<std::vector<Chunk>> stored_chunks(const FileBytes& file, const Layout& layout,
                                                const Grid& grid, bool has_filters, Meter& all) {
  ChunkList list(file, grid, all);
  if (layout.address == kNowhere) return list.take();
  constexpr size_t kMaxLevel = 255;
  bool good = false;
  switch (layout.index) {
    case ChunkIndex::kTree1:
      good = Tree1(file, layout, list).read(layout.address, kMaxLevel);
      break;
    case ChunkIndex::kSingle:
      good = layout.has_single == has_filters &&
             list.put(std::vector<uint64_t>(grid.counts.size()), layout.address,
                      has_filters ? layout.single_size : grid.block_bytes, layout.single_skipped);
      break;
    case ChunkIndex::kImplicit:
      good = !has_filters && read_implicit(file, layout.address, grid, list);
      break;
    case ChunkIndex::kFixedArray:
      good = read_fixed_array(file, layout.address, grid, has_filters, list);
      break;
    case ChunkIndex::kExtensibleArray:
      good = read_extensible_array(file, layout.address, grid, has_filters, list);
      break;
    case ChunkIndex::kTree2:
      good = read_tree2(file, layout, grid, has_filters, list);
      break;
  }
  if (!good) return std::nullopt;
  return list.take();
}

}  // namespace gradc::exchange::h5
