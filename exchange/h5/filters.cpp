#include "exchange/h5/filters.h"

#include <fmt/format.h>

#include <zlib.h>

namespace gradc::exchange::h5 {
namespace {

constexpr uint16_t kDeflate = 1;
constexpr uint16_t kShuffle = 2;
constexpr uint16_t kFletcher = 3;
constexpr size_t kSumBytes = 4;

std::string name_of_filter(uint16_t id) {
  struct Known {
    uint16_t id;
    const char* name;
  };
  constexpr Known kKnown[] = {{4, "szip"},           {5, "n-bit"},     {6, "scale-offset"},
                              {32000, "lzf"},        {32001, "blosc"}, {32004, "lz4"},
                              {32008, "bitshuffle"}, {32015, "zstd"}};
  for (const Known& known : kKnown) {
    if (known.id == id) return known.name;
  }
  return fmt::format("filter {}", id);
}

/// Whether zlib makes all of these, at most so many bytes.
bool inflate_block(std::vector<uint8_t>& block, size_t limit) {
  std::vector<uint8_t> made(limit + 1);
  z_stream stream{};
  if (block.size() > UINT32_MAX || made.size() > UINT32_MAX || inflateInit(&stream) != Z_OK)
    return false;
  stream.next_in = block.data();
  stream.avail_in = static_cast<uInt>(block.size());
  stream.next_out = made.data();
  stream.avail_out = static_cast<uInt>(made.size());
  const int state = inflate(&stream, Z_FINISH);
  const bool whole = state == Z_STREAM_END && stream.total_out <= limit;
  made.resize(whole ? stream.total_out : 0);
  inflateEnd(&stream);
  block = std::move(made);
  return whole;
}

/// First bytes of all elements, then second ones, ...; what is no whole element is at the end.
bool unshuffle(std::vector<uint8_t>& block, size_t element) {
  if (element == 0) return false;
  const size_t count = block.size() / element;
  std::vector<uint8_t> made(block);
  for (size_t byte = 0; byte < element && count > 1; ++byte) {
    for (size_t i = 0; i < count; ++i)
      made[i * element + byte] = block[byte * count + i];
  }
  block = std::move(made);
  return true;
}

/// Fletcher's sum over words of two bytes, the first one the upper.
uint32_t fletcher_sum(Span bytes) {
  uint32_t low = 0;
  uint32_t high = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    const uint32_t next = i + 1 < bytes.size() ? bytes[i + 1] : 0U;
    low += static_cast<uint32_t>(bytes[i]) << 8U | next;
    low = (low & 0xFFFFU) + (low >> 16U);
    high += low;
    high = (high & 0xFFFFU) + (high >> 16U);
  }
  return high << 16U | low;
}

bool check_sum(std::vector<uint8_t>& block) {
  if (block.size() < kSumBytes) return false;
  const Span all(block);
  const Span bytes = all.first(all.size() - kSumBytes);
  const auto stored = static_cast<uint32_t>(Cursor(all.subspan(bytes.size())).number(kSumBytes));
  const bool good = fletcher_sum(bytes) == stored;
  block.resize(bytes.size());
  return good;
}

}  // namespace

std::string read_filters(Span message, std::vector<Filter>& out) {
  constexpr size_t kMaxFilters = 4;
  Cursor at(message);
  const uint8_t version = at.u8();
  const size_t count = at.u8();
  if (version == 1) at.skip(6);
  if (!at.ok() || version < 1 || version > 2) return "a filter of an unknown form";
  if (count > kMaxFilters) return fmt::format("{} filters at once", count);
  for (size_t i = 0; i < count; ++i) {
    Filter filter;
    filter.id = at.u16();
    const bool has_name = version == 1 || filter.id >= 256;
    const uint64_t name_bytes = has_name ? at.u16() : 0;
    at.skip(2);  // flags
    const size_t values = at.u16();
    at.skip(name_bytes);
    for (size_t k = 0; k < values && at.ok(); ++k) {
      const uint32_t value = at.u32();
      if (k == 0) filter.value = value;
    }
    if (version == 1 && values % 2 == 1) at.skip(4);
    if (!at.ok()) return "a filter of an unknown form";
    const bool known = filter.id == kDeflate || filter.id == kShuffle || filter.id == kFletcher;
    if (!known)
      return fmt::format("another filter than gzip (deflate): {}", name_of_filter(filter.id));
    const bool again =
        filter.id == kDeflate && std::ranges::find(out, kDeflate, &Filter::id) != out.end();
    if (again) return "gzip (deflate) twice";
    out.push_back(filter);
  }
  return {};
}

bool unpack(const std::vector<Filter>& filters, uint64_t skipped, Span packed, size_t bytes,
            std::vector<uint8_t>& out) {
  out.assign(packed.begin(), packed.end());
  for (size_t i = filters.size(); i-- > 0;) {
    if ((skipped >> i & 1U) != 0) continue;
    const Filter& filter = filters[i];
    const bool good = filter.id == kDeflate ? inflate_block(out, bytes + kSumBytes * filters.size())
                      : filter.id == kShuffle ? unshuffle(out, filter.value)
                                              : check_sum(out);
    if (!good) return false;
  }
  return out.size() == bytes;
}

}  // namespace gradc::exchange::h5
