#include "exchange/h5/datatype.h"

#include <array>

namespace gradc::exchange::h5 {

std::optional<Datatype> read_datatype(Span message) {
  Cursor at(message);
  const uint8_t first = at.u8();
  const unsigned version = first >> 4U;
  Datatype type;
  type.kind = static_cast<TypeClass>(first & 0x0FU);
  type.bits = static_cast<uint32_t>(at.number(3));
  type.size = at.u32();
  type.properties = at.rest();
  const bool known = version >= 1 && version <= 4 && (first & 0x0FU) <= 10;
  return at.ok() && known && type.size > 0 ? std::optional(type) : std::nullopt;
}

std::string_view name_of(TypeClass kind) {
  constexpr std::array<std::string_view, 11> kNames = {
      "an integer", "a float",     "a time",         "a text",        "a field of bits", "opaque",
      "a compound", "a reference", "an enumeration", "of any length", "an array"};
  return kNames[static_cast<size_t>(kind)];
}

std::optional<Dataspace> read_dataspace(Span message) {
  Cursor at(message);
  const uint8_t version = at.u8();
  const size_t rank = at.u8();
  const uint8_t flags = at.u8();
  constexpr uint8_t kScalar = 0;
  constexpr uint8_t kNull = 2;
  uint8_t kind = rank == 0 ? kScalar : 1;
  if (version == 2) {
    kind = at.u8();
  } else {
    at.skip(5);
  }
  if (!at.ok() || version < 1 || version > 2 || rank > kMaxRank || kind > kNull)
    return std::nullopt;
  if ((kind == 1) != (rank > 0)) return std::nullopt;
  Dataspace space;
  space.is_null = kind == kNull;
  for (size_t i = 0; i < rank; ++i)
    space.extents.push_back(at.u64());
  space.limits = space.extents;
  for (size_t i = 0; (flags & 0x01U) != 0 && i < rank; ++i) {
    space.limits[i] = at.u64();
    if (space.limits[i] < space.extents[i]) return std::nullopt;
  }
  return at.ok() ? std::optional(std::move(space)) : std::nullopt;
}

std::optional<uint64_t> element_count(const Dataspace& space) {
  if (space.is_null || std::ranges::find(space.extents, 0U) != space.extents.end()) return 0;
  uint64_t count = 1;
  for (const uint64_t extent : space.extents) {
    if (count > (uint64_t{1} << 62U) / extent) return std::nullopt;
    count *= extent;
  }
  return count;
}

}  // namespace gradc::exchange::h5
