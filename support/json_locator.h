// JSON pointer -> byte range, by scanning the text again. Only used when an error is printed, so
// reading a good file costs nothing. Tolerant: on text that is not JSON it finds what it can, never
// fails hard.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace gradc {

struct ByteRange {
  size_t begin = 0;
  size_t end = 0;
};

enum class JsonPart { kValue, kKey };

/// Byte range of the value (or of the member's key, quotes included) that `pointer` (RFC 6901)
/// names; nothing when it is not there. `occurrence` chooses among equal keys of the last object: 0
/// is the first.
std::optional<ByteRange> locate_json(std::string_view text, std::string_view pointer, JsonPart part,
                                     size_t occurrence = 0);

/// One pointer step escaped as RFC 6901 says: "~" -> "~0", "/" -> "~1".
std::string escape_pointer_token(std::string_view token);

}  // namespace gradc
