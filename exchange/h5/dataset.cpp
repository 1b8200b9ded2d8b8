// Numbers out of a file. How many bytes are stated is compared with how many are stored before any
// are made.
#include "support/utf8.h"

#include "exchange/h5/chunks.h"
#include "exchange/h5/filters.h"
#include "exchange/h5/numbers.h"
#include "exchange/h5/reader.h"
#include "exchange/h5_file.h"

#include <cstring>

namespace gradc::exchange {
namespace {

using h5::MessageType;

/// What may be stated beyond what is stored: a dataset of one value for all elements takes none.
constexpr uint64_t kFreeBytes = uint64_t{64} << 20U;
constexpr uint64_t kMaxInflation = 1000;

/// Whether so much may be stated where so much is stored.
bool is_bomb(uint64_t stated, uint64_t stored) {
  return stated > kFreeBytes && stated / kMaxInflation > stored;
}

/// What is known of a dataset before its bytes are read.
struct Dataset {
  h5::NumberType type;
  h5::Dataspace space;
  h5::Layout layout;
  std::vector<h5::Filter> filters;
  h5::Span fill;  ///< an element; empty: zeros
  // chunked
  h5::Grid grid;
  std::vector<h5::Chunk> chunks;

  uint64_t stored = 0;  ///< bytes
};

/// The value of what is not stored (IV.A.2.e, IV.A.2.f); empty where it is zero.
bool read_fill(const std::vector<h5::Message>& header, size_t element, h5::Span& out) {
  uint64_t size = 0;
  if (const h5::Message* message = h5::find_message(header, MessageType::kFillValue)) {
    h5::Cursor at(message->data);
    const uint8_t version = at.u8();
    if (message->shared || version < 1 || version > 3) return false;
    const uint8_t flags = at.u8();
    if (version < 3) at.skip(1);
    const bool stated = version < 3 ? at.u8() == 1 : (flags & 0x20U) != 0;
    size = stated ? at.u32() : 0;
    out = at.take(size);
    if (!at.ok()) return false;
  } else if (const h5::Message* old = h5::find_message(header, MessageType::kOldFillValue)) {
    h5::Cursor at(old->data);
    size = at.u32();
    out = at.take(size);
    if (!at.ok() || old->shared) return false;
  }
  return size == 0 || size == element;
}

/// Sets all elements to the fill value.
void put_fill(h5::Span fill, rt::Span<uint8_t> out) {
  if (fill.empty() || std::ranges::all_of(fill, [](uint8_t byte) { return byte == 0; })) {
    if (!out.empty()) std::memset(out.data(), 0, out.size());
    return;
  }
  for (size_t at = 0; at < out.size(); at += fill.size())
    std::memcpy(out.data() + at, fill.data(), fill.size());
}

/// Copies what of a block lies in the dataset, row by row of its last axis.
void put_block(const Dataset& set, uint64_t number, h5::Span block, uint8_t* out) {
  const size_t rank = set.space.extents.size();
  const size_t element = set.type.bytes;
  std::vector<uint64_t> begin(rank);
  std::vector<uint64_t> length(rank);  // of the part inside
  for (size_t axis = rank; axis-- > 0;) {
    begin[axis] = number % set.grid.counts[axis] * set.layout.block[axis];
    number /= set.grid.counts[axis];
    length[axis] = std::min(set.layout.block[axis], set.space.extents[axis] - begin[axis]);
  }
  std::vector<uint64_t> at(rank);
  for (;;) {
    uint64_t from = 0;
    uint64_t to = 0;
    for (size_t axis = 0; axis < rank; ++axis) {
      from = from * set.layout.block[axis] + at[axis];
      to = to * set.space.extents[axis] + begin[axis] + at[axis];
    }
    std::memcpy(out + to * element, block.data() + from * element, length[rank - 1] * element);
    size_t axis = rank - 1;
    while (axis-- > 0) {
      if (++at[axis] < length[axis]) break;
      at[axis] = 0;
    }
    if (axis > rank) return;
  }
}

/// Whether a block reaches beyond the dataset.
bool is_edge(const Dataset& set, uint64_t number) {
  for (size_t axis = set.grid.counts.size(); axis-- > 0;) {
    const uint64_t at = number % set.grid.counts[axis];
    number /= set.grid.counts[axis];
    if ((at + 1) * set.layout.block[axis] > set.space.extents[axis]) return true;
  }
  return false;
}

constexpr const char* kDamaged = "is damaged";
constexpr const char* kUnreadable = "cannot be read";

/// Datatype, shape, layout, filters and fill value; empty, or what is wrong.
std::string read_header(h5::Reader& reader, const std::vector<h5::Message>& header, Dataset& out) {
  const h5::Message* type = h5::find_message(header, MessageType::kDatatype);
  const h5::Message* space = h5::find_message(header, MessageType::kDataspace);
  const h5::Message* layout = h5::find_message(header, MessageType::kLayout);
  if (type == nullptr || space == nullptr || layout == nullptr) return kUnreadable;
  if (h5::find_message(header, MessageType::kExternalFiles) != nullptr)
    return "lies in another file, which is not opened";
  const std::string other = h5::number_type(reader.datatype(*type), out.type);
  if (!other.empty()) return fmt::format("is of a type that is no number ({})", other);
  auto shape = space->shared ? std::nullopt : h5::read_dataspace(space->data);
  if (!shape || shape->is_null) return "has no shape";
  out.space = std::move(*shape);
  const std::string wrong =
      layout->shared ? kUnreadable : h5::read_layout(layout->data, out.layout);
  if (!wrong.empty()) return wrong;
  if (const h5::Message* filters = h5::find_message(header, MessageType::kFilters)) {
    const std::string unknown = filters->shared ? "a filter of an unknown form"
                                                : h5::read_filters(filters->data, out.filters);
    if (!unknown.empty()) return "is packed by " + unknown;
  }
  if (!out.filters.empty() && out.layout.kind != h5::Layout::Kind::kChunked) return kDamaged;
  return read_fill(header, out.type.bytes, out.fill) ? "" : kDamaged;
}

/// Finds what of it is stored; empty, or what is wrong.
std::string find_bytes(h5::Reader& reader, uint64_t count, Dataset& set) {
  const h5::Layout& layout = set.layout;
  set.stored = layout.size;
  if (layout.kind == h5::Layout::Kind::kContiguous && layout.address == h5::kNowhere)
    set.stored = 0;
  if (layout.kind != h5::Layout::Kind::kChunked || count == 0) return {};
  auto grid = h5::make_grid(set.space, layout);
  if (!grid || layout.element != set.type.bytes) return kDamaged;
  set.grid = std::move(*grid);
  auto chunks =
      h5::stored_chunks(reader.bytes(), layout, set.grid, !set.filters.empty(), reader.indices());
  if (!chunks) return kDamaged;
  set.chunks = std::move(*chunks);
  for (const h5::Chunk& chunk : set.chunks)
    set.stored += chunk.size;
  return {};
}

/// All stored elements in turn; empty, or what is wrong.
std::string read_elements(const h5::FileBytes& file, const Dataset& set, rt::Span<uint8_t> out) {
  const h5::Layout& layout = set.layout;
  if (layout.kind != h5::Layout::Kind::kChunked) {
    const bool compact = layout.kind == h5::Layout::Kind::kCompact;
    if (!compact && layout.address == h5::kNowhere) {
      put_fill(set.fill, out);
      return {};
    }
    const h5::Span bytes = compact ? layout.compact : file.at(layout.address, layout.size);
    if (bytes.size() != out.size() || layout.size != out.size()) return kDamaged;
    if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
    return {};
  }
  put_fill(set.fill, out);
  std::vector<uint8_t> room;
  for (const h5::Chunk& chunk : set.chunks) {
    const bool plain = set.filters.empty() || (layout.edges_unpacked && is_edge(set, chunk.number));
    h5::Span block = file.at(chunk.address, chunk.size);
    if (!plain) {
      if (is_bomb(set.grid.block_bytes, chunk.size) ||
          !h5::unpack(set.filters, chunk.skipped, block, set.grid.block_bytes, room))
        return kDamaged;
      block = room;
    }
    if (block.size() != set.grid.block_bytes) return kDamaged;
    put_block(set, chunk.number, block, out.data());
  }
  return {};
}

}  // namespace

/// Counts what was made; many names may lead to one dataset, many blocks to one.
bool H5File::is_too_much(uint64_t bytes) const {
  read_bytes_ += std::min(bytes, UINT64_MAX - read_bytes_);
  return is_bomb(read_bytes_, reader_->bytes().size());
}

Result<rt::Array> H5File::dataset(const std::string& path) const {
  const auto bad = [&](std::string_view why) {
    return problem(fmt::format("the data \"{}\" {}", printable(path, 120), why));
  };
  const std::optional<uint64_t> where = address(path);
  if (!where) return bad("is not in the file, or behind a link that leads elsewhere");
  const std::vector<h5::Message>* header = reader_->header(*where);
  if (header == nullptr) return bad(kUnreadable);
  const h5::FileBytes& file = reader_->bytes();
  Dataset set;
  std::string wrong = read_header(*reader_, *header, set);
  if (!wrong.empty()) return bad(wrong);
  rt::Array array;
  array.name = rt::Str(path.c_str(), path.size());
  array.dtype = set.type.dtype;
  for (const uint64_t extent : set.space.extents)
    array.dims.push(static_cast<int64_t>(extent));
  size_t count = 0;
  size_t bytes = 0;
  if (!rt::checked_size(array.dims.span(), rt::dtype_bytes(array.dtype), &count, &bytes))
    return bad("is larger than memory can be");
  wrong = find_bytes(*reader_, count, set);
  if (!wrong.empty()) return bad(wrong);
  const uint64_t stored = std::min(set.stored, file.size());
  if (is_bomb(bytes, stored))
    return bad(fmt::format("states {} bytes, but {} are stored", bytes, stored));
  if (is_too_much(std::max<uint64_t>(bytes, set.grid.block_bytes * set.chunks.size()))) {
    return bad(fmt::format("makes {} bytes of what was read of a file of {}: more than it can hold",
                           read_bytes_, file.size()));
  }
  if (count == 0) return array;
  rt::Bytes raw;
  raw.resize(count * set.type.bytes);
  wrong = read_elements(file, set, {raw.data(), raw.size()});
  if (!wrong.empty()) return bad(wrong);
  if (!h5::convert(set.type, std::move(raw), array.data))
    return bad("has integers above 9223372036854775807");
  return array;
}

}  // namespace gradc::exchange
