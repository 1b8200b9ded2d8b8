// Places inside a JSON string: a part of what it says. A Place has no room of its own for them;
// they stand in byte_end, while byte_begin says that no bytes of the file are known.
#pragma once

#include "support/diagnostic.h"
#include "support/json_scanner.h"

#include <optional>
#include <utility>

namespace gradc {

/// Bytes of the string that the place's pointer names, escapes resolved; below 2^16.
inline Place part_of_text(Place text, size_t begin, size_t end) {
  text.byte_begin = SIZE_MAX;
  text.byte_end = (begin << 16U) | end;
  return text;
}

/// Those bytes, where the place has some.
inline std::optional<ByteRange> text_part(const Place& place) {
  if (place.byte_begin != SIZE_MAX || place.byte_end == SIZE_MAX) return std::nullopt;
  return ByteRange{place.byte_end >> 16U, place.byte_end & 0xFFFFU};
}

}  // namespace gradc
