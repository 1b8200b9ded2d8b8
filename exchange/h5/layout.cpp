#include "exchange/h5/layout.h"

#include "exchange/h5/datatype.h"

namespace gradc::exchange::h5 {
namespace {

constexpr const char* kUnknown = "is of an unknown layout";

/// Extents of a block, then the bytes of an element.
bool read_block(Cursor& at, size_t rank_and_one, size_t bytes, Layout& out) {
  if (rank_and_one < 2 || rank_and_one > kMaxRank + 1 || bytes == 0 || bytes > 8) return false;
  for (size_t i = 0; i + 1 < rank_and_one; ++i)
    out.block.push_back(at.number(bytes));
  out.element = at.number(bytes);
  return at.ok();
}

bool read_chunked3(Cursor& at, Layout& out) {
  const size_t rank_and_one = at.u8();
  out.address = at.u64();
  return read_block(at, rank_and_one, 4, out);
}

bool read_chunked4(Cursor& at, Layout& out) {
  const uint8_t flags = at.u8();
  const size_t rank_and_one = at.u8();
  const size_t extent_bytes = at.u8();
  if (!read_block(at, rank_and_one, extent_bytes, out)) return false;
  const uint8_t index = at.u8();
  if (index < 1 || index > 5) return false;
  out.index = static_cast<ChunkIndex>(index);
  out.edges_unpacked = (flags & 0x01U) != 0;
  out.has_single = out.index == ChunkIndex::kSingle && (flags & 0x02U) != 0;
  if (out.has_single) {
    out.single_size = at.u64();
    out.single_skipped = at.u32();
  }
  // What the index was made with stands in it too.
  constexpr uint64_t kParameters[] = {0, 0, 0, 1, 5, 6};
  at.skip(kParameters[index]);
  out.address = at.u64();
  return at.ok();
}

}  // namespace

std::string read_layout(Span message, Layout& out) {
  Cursor at(message);
  const uint8_t version = at.u8();
  const uint8_t kind = at.u8();
  if (!at.ok() || version < 3 || version > 4) return kUnknown;
  constexpr uint8_t kVirtual = 3;
  if (kind == kVirtual) return "lies in another file, which is not opened";
  if (kind == 0) {
    out.kind = Layout::Kind::kCompact;
    const uint64_t bytes = at.u16();
    out.compact = at.take(bytes);
    out.size = bytes;
  } else if (kind == 1) {
    out.kind = Layout::Kind::kContiguous;
    out.address = at.u64();
    out.size = at.u64();
  } else if (kind == 2) {
    out.kind = Layout::Kind::kChunked;
    if (!(version == 3 ? read_chunked3(at, out) : read_chunked4(at, out))) return kUnknown;
  } else {
    return kUnknown;
  }
  return at.ok() ? "" : "is damaged";
}

}  // namespace gradc::exchange::h5
