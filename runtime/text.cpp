// Escaping. One walk over the characters serves cells, names and whole messages.
#include "runtime/text.h"

namespace gradc::rt {
namespace {

constexpr size_t kMostNames = 20;
constexpr size_t kNoLimit = static_cast<size_t>(-1);

// The character at text[0..length): its code, and how many bytes it takes; 0 bytes if they are not
// UTF-8.
size_t decode(const char* text, size_t length, uint32_t* code) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  *code = first;
  if (first < 0x80) return 1;
  const size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || length < bytes) return 0;
  *code = first & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    *code = (*code << 6) | (byte(i) & 0x3Fu);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = *code >= 0xD800 && *code <= 0xDFFF;
  return *code < kLeast[bytes] || *code > 0x10FFFF || surrogate ? 0 : bytes;
}

// Control characters, line and paragraph separators, and what is invisible or turns the direction.
bool must_escape(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0xAD || code == 0x61C ||
         (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF ||
         (code >= 0xFFF9 && code <= 0xFFFB) || (code >= 0xE0000 && code <= 0xE007F);
}

void append_escape(Str& out, uint32_t code, bool is_byte) {
  if (code == '\n') {
    out.append("\\n");
  } else if (code == '\r') {
    out.append("\\r");
  } else if (code == '\t') {
    out.append("\\t");
  } else if (is_byte || code < 0x80) {
    out.appendf("\\x%02x", code);
  } else {
    out.appendf("\\u{%x}", code);
  }
}

Str escaped(const char* text, size_t length, size_t most, bool keeps_lines) {
  Str out;
  size_t at = 0;
  while (at < length) {
    uint32_t code = 0;
    const size_t bytes = decode(text + at, length - at, &code);
    if (out.size() + (bytes > 1 ? bytes : 1) > most) {
      out.append("...");
      break;
    }
    if (bytes == 0) {
      append_escape(out, static_cast<uint8_t>(text[at]), true);
    } else if (must_escape(code) && !(keeps_lines && code == '\n')) {
      append_escape(out, code, false);
    } else {
      out.append(text + at, bytes);
    }
    at += bytes > 0 ? bytes : 1;
  }
  return out;
}

}  // namespace

Str shown(const char* text, size_t length, size_t most) {
  return escaped(text, length, most, false);
}

Str shown(const char* text) {
  return shown(text, strlen(text));
}

Str shown_list(const Vec<Str>& names) {
  Str text;
  for (size_t i = 0; i < names.size() && i < kMostNames; ++i)
    text.appendf("%s\"%s\"", text.empty() ? "" : ", ", shown(names[i]).c_str());
  if (names.size() > kMostNames) text.appendf(" and %zu more", names.size() - kMostNames);
  return text;
}

Str printable(const Str& message) {
  return escaped(message.c_str(), message.size(), kNoLimit, true);
}

size_t valid_utf8(const char* text, size_t length) {
  size_t at = 0;
  while (at < length) {
    uint32_t code = 0;
    const size_t bytes = decode(text + at, length - at, &code);
    if (bytes == 0) return at;
    at += bytes;
  }
  return length;
}

}  // namespace gradc::rt
