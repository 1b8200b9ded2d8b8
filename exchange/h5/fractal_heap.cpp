#include "exchange/h5/fractal_heap.h"

#include "exchange/h5/btree2.h"

#include <bit>

namespace gradc::exchange::h5 {
namespace {

size_t log2_of(uint64_t value) {
  return static_cast<size_t>(std::bit_width(value)) - 1;
}

}  // namespace

std::optional<FractalHeap> FractalHeap::open(const FileBytes& file, uint64_t address,
                                             Meter& meter) {
  FractalHeap heap(file);
  if (!heap.read_header(address, meter)) return std::nullopt;
  return heap;
}

bool FractalHeap::read_header(uint64_t address, Meter& meter) {
  Cursor at(file_->from(address));
  if (!at.expect("FRHP") || at.u8() != 0) return false;
  id_bytes_ = at.u16();
  const uint64_t filters = at.u16();
  has_checksums_ = (at.u8() & 0x02U) != 0;
  const uint64_t largest_managed = at.u32();
  at.skip(8);  // the next huge object's number
  const uint64_t huge = at.u64();
  at.skip(8 + 8 + 8 + 8 + 8 + 8);  // free space, sizes and count of what is managed
  at.skip(8);                      // size of huge objects
  const uint64_t huge_count = at.u64();
  at.skip(8 + 8);  // tiny objects
  width_ = at.u16();
  first_block_ = at.u64();
  largest_direct_ = at.u64();
  const size_t heap_bits = at.u16();
  at.skip(2);  // rows that a new root has
  root_ = at.u64();
  root_rows_ = at.u16();
  constexpr size_t kMaxBits = 56;
  if (!at.ok() || filters != 0 || heap_bits == 0 || heap_bits > kMaxBits) return false;
  if (!std::has_single_bit(width_) || !std::has_single_bit(first_block_) ||
      !std::has_single_bit(largest_direct_) || largest_managed == 0)
    return false;
  const size_t limit = log2_of(first_block_) + log2_of(width_);
  if (limit > heap_bits || largest_direct_ < first_block_ || log2_of(largest_direct_) > heap_bits ||
      root_rows_ > heap_bits - limit + 1)
    return false;
  offset_bytes_ = (heap_bits + 7) / 8;
  length_bytes_ = std::min((log2_of(largest_direct_) + 7) / 8, log2_of(largest_managed) / 8 + 1);
  constexpr uint8_t kHugeObjects = 1;  // indirect, without filters
  if (huge_count == 0) return true;
  const auto records = btree2_records(*file_, huge, kHugeObjects, meter);
  if (!records) return false;
  for (const Span record : *records) {
    Cursor own(record);
    const uint64_t where = own.u64();
    const uint64_t length = own.u64();
    huge_.emplace(own.u64(), file_->at(where, length));
  }
  return true;
}

Span FractalHeap::object(Span id) const {
  if (id.empty() || id.size() != id_bytes_) return {};
  constexpr uint8_t kManaged = 0x00;
  constexpr uint8_t kHuge = 0x10;
  const uint8_t kind = id[0] & 0xF0U;  // and the version, which is 0
  if (kind == kManaged) return managed(id.subspan(1));
  // Tiny ones lie in their IDs, which are too short for a link or an attribute.
  return kind == kHuge ? huge(id.subspan(1)) : Span();
}

Span FractalHeap::huge(Span id) const {
  const auto found = huge_.find(Cursor(id).number(std::min<size_t>(id.size(), 8)));
  return found == huge_.end() ? Span() : found->second;
}

/// Rows 0 and 1 of the doubling table have blocks of the first size, each later row of twice as
/// much; blocks beyond the largest direct size are tables again (III.G, "doubling table").
Span FractalHeap::managed(Span id) const {
  Cursor at(id);
  uint64_t offset = at.number(offset_bytes_);
  const uint64_t length = at.number(length_bytes_);
  if (!at.ok()) return {};
  if (root_rows_ == 0) return in_direct_block(root_, first_block_, offset, length);
  uint64_t block = root_;
  uint64_t rows = root_rows_;
  const uint64_t row_bytes = first_block_ * width_;
  for (int depth = 0; depth < 64; ++depth) {
    const uint64_t row = offset < row_bytes ? 0 : log2_of(offset / row_bytes) + 1;
    if (row >= rows) return {};
    const uint64_t block_bytes = row == 0 ? first_block_ : first_block_ << (row - 1);
    const uint64_t row_begin = row == 0 ? 0 : row_bytes << (row - 1);
    const uint64_t entry = row * width_ + (offset - row_begin) / block_bytes;
    offset = (offset - row_begin) % block_bytes;
    Cursor table(file_->from(block));
    if (!table.expect("FHIB") || table.u8() != 0) return {};
    table.skip(8 + offset_bytes_ + 8 * entry);
    const uint64_t child = table.u64();
    if (!table.ok()) return {};
    if (block_bytes <= largest_direct_) return in_direct_block(child, block_bytes, offset, length);
    if (block_bytes < row_bytes) return {};
    block = child;
    rows = log2_of(block_bytes) - log2_of(row_bytes) + 1;
  }
  return {};
}

Span FractalHeap::in_direct_block(uint64_t address, uint64_t block_bytes, uint64_t offset,
                                  uint64_t length) const {
  const uint64_t prefix = 4 + 1 + 8 + offset_bytes_ + (has_checksums_ ? 4U : 0U);
  const Span block = file_->at(address, block_bytes);
  Cursor at(block);
  if (!at.expect("FHDB") || at.u8() != 0 || offset < prefix || offset > block.size()) return {};
  if (length > block.size() - offset) return {};
  return block.subspan(offset, length);
}

}  // namespace gradc::exchange::h5
