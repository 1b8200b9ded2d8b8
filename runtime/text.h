// Text of files and of users in messages: what it holds must not steer a terminal, split a line, or
// fill the screen.
#pragma once

#include "runtime/containers.h"

namespace gradc::rt {

/// `text` fit for a message: control characters, bytes that are not UTF-8 and marks that change the
/// direction of writing become escapes (\n, \x1b, \u{202e}); beyond `most` bytes it is cut, with
/// "..." at the end.
Str shown(const char* text, size_t length, size_t most = 40);
inline Str shown(const Str& text, size_t most = 40) {
  return shown(text.c_str(), text.size(), most);
}
Str shown(const char* text);

/// The names, quoted and separated by commas; after 20 of them, how many more there are.
Str shown_list(const Vec<Str>& names);

/// A whole message with what could harm a terminal escaped; its line ends stay.
Str printable(const Str& message);

/// Where `text` stops being UTF-8; `length` if it does not.
size_t valid_utf8(const char* text, size_t length);

}  // namespace gradc::rt
