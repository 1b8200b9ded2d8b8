// Blocks in arrays: fixed (appendix C.3) and extensible (appendix C.4) ones. Checksums are not
// looked at.
#include "exchange/h5/chunks.h"

#include <bit>

namespace gradc::exchange::h5 {
namespace {

constexpr size_t kChecksum = 4;
constexpr size_t kMaxPageBits = 32;

/// Bytes of the size in an element of an array; more than 8: the element is of another kind.
size_t size_bytes_of(size_t element_bytes, bool has_filters) {
  constexpr size_t kAddress = 8;
  constexpr size_t kSkipped = 4;
  constexpr size_t kBad = 9;
  if (!has_filters) return element_bytes == kAddress ? 0 : kBad;
  return element_bytes > kAddress + kSkipped ? element_bytes - kAddress - kSkipped : kBad;
}

/// Whether a page was ever written: the upper bits come first.
bool has_page(Span pages, uint64_t page) {
  return (pages[page / 8] & (0x80U >> (page % 8))) != 0;
}

class ExtensibleArray {
 public:
  ExtensibleArray(const FileBytes& file, const Grid& grid, ChunkList& list)
      : file_(file), grid_(grid), list_(list) {
    for (size_t axis = 0; axis < grid.limits.size(); ++axis) {
      if (grid.limits[axis] == kNowhere) first_ = axis;
    }
    end_ = grid.counts[first_];
    for (size_t axis = 0; axis < grid.limits.size(); ++axis) {
      if (axis == first_ || end_ == 0) continue;
      const uint64_t limit = grid.limits[axis];
      end_ = limit == 0 || limit > (uint64_t{1} << 56U) / end_ ? 0 : end_ * limit;
    }
  }

  bool read(uint64_t address, bool has_filters) {
    Cursor at(file_.from(address));
    if (!at.expect("EAHD") || at.u8() != 0 || at.u8() != (has_filters ? 1 : 0)) return false;
    element_bytes_ = at.u8();
    const size_t index_bits = at.u8();
    const uint64_t in_index = at.u8();
    first_block_ = at.u8();
    const uint64_t least_pointers = at.u8();
    page_bits_ = at.u8();
    at.skip(6 * 8);  // what there is
    const uint64_t index = at.u64();
    size_bytes_ = size_bytes_of(element_bytes_, has_filters);
    constexpr size_t kMaxBits = 56;
    if (!at.ok() || size_bytes_ > 8 || index_bits > kMaxBits || page_bits_ > kMaxPageBits ||
        !std::has_single_bit(first_block_) || !std::has_single_bit(least_pointers))
      return false;
    const auto log2_first = static_cast<size_t>(std::countr_zero(first_block_));
    if (end_ == 0 || log2_first > index_bits) return false;
    offset_bytes_ = (index_bits + 7) / 8;
    super_blocks_ = 1 + index_bits - log2_first;
    return index == kNowhere || read_index(index, in_index, least_pointers);
  }

 private:
  /// The first elements, addresses of the blocks of the first super blocks, and of the other super
  /// blocks.
  bool read_index(uint64_t address, uint64_t in_index, uint64_t least_pointers) {
    Cursor at(file_.from(address));
    if (!at.expect("EAIB")) return false;
    at.skip(1 + 1 + 8);  // version, what elements are, the header's address
    if (!read_elements(at, in_index)) return false;
    const auto direct = 2 * static_cast<size_t>(std::countr_zero(least_pointers));
    for (size_t i = 0; i < super_blocks_ && next_ < end_; ++i) {
      if (i < direct ? !read_blocks(at, i, {}) : !read_super_block(at.u64(), i)) return false;
    }
    return at.ok();
  }

  static uint64_t blocks_in(size_t super_block) { return uint64_t{1} << (super_block / 2); }
  uint64_t elements_in_block(size_t super_block) const {
    return first_block_ << ((super_block + 1) / 2);
  }
  uint64_t pages_in_block(size_t super_block) const {
    const uint64_t elements = elements_in_block(super_block);
    const uint64_t page = uint64_t{1} << page_bits_;
    return elements > page ? elements / page : 0;
  }

  bool read_super_block(uint64_t address, size_t number) {
    if (address == kNowhere) return pass(blocks_in(number) * elements_in_block(number));
    Cursor at(file_.from(address));
    if (!at.expect("EASB")) return false;
    at.skip(1 + 1 + 8 + offset_bytes_);
    const Span pages = at.take(blocks_in(number) * ((pages_in_block(number) + 7) / 8));
    return at.ok() && read_blocks(at, number, pages);
  }

  /// Data blocks whose addresses come next.
  bool read_blocks(Cursor& at, size_t super_block, Span pages) {
    if (pages_in_block(super_block) > 0 && pages.empty()) return false;
    for (uint64_t i = 0; i < blocks_in(super_block) && next_ < end_; ++i) {
      const uint64_t address = at.u64();
      if (!at.ok() || !list_.spend(8)) return false;
      if (address == kNowhere ? !pass(elements_in_block(super_block))
                              : !read_block(address, super_block, pages, i))
        return false;
    }
    return true;
  }

  /// Pages of a super block's data blocks are numbered through.
  bool read_block(uint64_t address, size_t super_block, Span pages, uint64_t number) {
    Cursor at(file_.from(address));
    if (!at.expect("EADB")) return false;
    at.skip(1 + 1 + 8 + offset_bytes_);
    const uint64_t count = pages_in_block(super_block);
    if (count == 0) return read_elements(at, elements_in_block(super_block));
    at.skip(kChecksum);
    const uint64_t in_page = uint64_t{1} << page_bits_;
    for (uint64_t page = 0; page < count && next_ < end_; ++page) {
      if (!list_.spend(1)) return false;
      if (has_page(pages, number * count + page)) {
        if (!read_elements(at, in_page)) return false;
        at.skip(std::min<uint64_t>(kChecksum, at.left()));
      } else {
        at.skip(in_page * element_bytes_ + kChecksum);
        if (!pass(in_page)) return false;
      }
    }
    return at.ok();
  }

  bool read_elements(Cursor& at, uint64_t count) {
    const uint64_t wanted = std::min(count, end_ - std::min(next_, end_));
    if (wanted > at.left() / element_bytes_ || !list_.spend(wanted * element_bytes_ + 1))
      return false;
    for (uint64_t i = 0; i < wanted; ++i) {
      if (!put_element(at, size_bytes_, next_ + i, first_, grid_, list_)) return false;
    }
    // What is not wanted is there, or the array ends here.
    at.skip(std::min<uint64_t>((count - wanted) * element_bytes_, at.left()));
    return pass(count);
  }

  bool pass(uint64_t elements) {
    next_ += elements;
    return next_ < uint64_t{1} << 60U;
  }

  const FileBytes& file_;
  const Grid& grid_;
  ChunkList& list_;
  size_t first_ = 0;   ///< the axis that has no limit is the slowest
  uint64_t end_ = 0;   ///< of the elements that the dataset has
  uint64_t next_ = 0;  ///< the next element's number
  size_t element_bytes_ = 0, size_bytes_ = 0, page_bits_ = 0, offset_bytes_ = 0;
  uint64_t first_block_ = 0;
  size_t super_blocks_ = 0;
};

}  // namespace

bool read_fixed_array(const FileBytes& file, uint64_t address, const Grid& grid, bool has_filters,
                      ChunkList& list) {
  Cursor at(file.from(address));
  if (!at.expect("FAHD") || at.u8() != 0 || at.u8() != (has_filters ? 1 : 0)) return false;
  const size_t element_bytes = at.u8();
  const size_t page_bits = at.u8();
  const uint64_t count = at.u64();
  const uint64_t block = at.u64();
  const size_t size_bytes = size_bytes_of(element_bytes, has_filters);
  if (!at.ok() || size_bytes > 8 || page_bits > kMaxPageBits) return false;
  if (block == kNowhere) return true;
  const uint64_t in_page = uint64_t{1} << page_bits;
  Cursor data(file.from(block));
  if (!data.expect("FADB")) return false;
  data.skip(1 + 1 + 8);  // version, what elements are, the header's address
  const uint64_t pages = count > in_page ? count / in_page + (count % in_page != 0 ? 1 : 0) : 0;
  const Span map = data.take((pages + 7) / 8);
  if (pages > 0) data.skip(kChecksum);
  for (uint64_t next = 0; next < count && data.ok();) {
    const uint64_t end = pages == 0 ? count : std::min(count, next + in_page);
    if (pages > 0 && !has_page(map, next / in_page)) {
      data.skip((end - next) * element_bytes + kChecksum);
      next = end;
      continue;
    }
    for (; next < end; ++next) {
      if (!list.spend(element_bytes) || !put_element(data, size_bytes, next, 0, grid, list))
        return false;
    }
    if (pages > 0) data.skip(kChecksum);
  }
  return data.ok();
}

bool read_extensible_array(const FileBytes& file, uint64_t address, const Grid& grid,
                           bool has_filters, ChunkList& list) {
  return ExtensibleArray(file, grid, list).read(address, has_filters);
}

}  // namespace gradc::exchange::h5
