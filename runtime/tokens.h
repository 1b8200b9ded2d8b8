// Texts as the numbers that a model reads, and back. What a number stands for is a table: entry n
// is the bytes of token n.
#pragma once

#include "runtime/file.h"
#include "runtime/status.h"

namespace gradc::rt {

/// The bytes that the text has, in byte order.
Vec<Str> used_bytes(Span<const uint8_t> text);
/// All 256.
Vec<Str> all_bytes();

/// The number of each byte of the text; the first one that the table lacks is refused with its
/// place. `where` is the file, or what else the text was given by.
Status number_characters(const char* where, Span<const uint8_t> text, const Vec<Str>& table,
                         Vec<int32_t>* out);

}  // namespace gradc::rt
