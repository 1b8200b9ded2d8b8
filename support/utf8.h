// UTF-8 and what of it may be shown: names and file contents are the user's, a terminal's escape
// sequences and marks that turn the writing direction are not theirs to send.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gradc {

/// Length in bytes of the valid UTF-8 sequence at `i` (no overlong forms, no surrogates), 0 when
/// there is none; sets its code point.
size_t decode_utf8(std::string_view text, size_t i, uint32_t* code);

/// Appends a code point below 0x110000 that is no surrogate.
void append_utf8(std::string& out, uint32_t code);

/// Whether a character may stand in what is printed: no control character (C0, DEL, C1), no mark of
/// writing direction, no line or paragraph separator.
bool is_printable(uint32_t code);

/// Whether the text is UTF-8 of printable characters only.
bool is_all_printable(std::string_view text);

/// The same text with everything that may not be printed, and bytes that are no UTF-8, as escapes:
/// \n, \x1b, \u202e. Longer text than `max_bytes` loses its middle, which is said.
std::string printable(std::string_view text, size_t max_bytes = SIZE_MAX);

/// The same of text in several lines, whose line breaks are kept.
std::string printable_lines(std::string_view text);

}  // namespace gradc
