#include "runtime/tokens.h"

#include "runtime/text.h"

namespace gradc::rt {
namespace {

bool continues(Span<const uint8_t> text, size_t i) {
  return i < text.size() && (text[i] & 0xC0) == 0x80;
}

// The byte at `at` has no number: where it stands, and what the character is that it belongs to.
Status refuse_character(const char* where, Span<const uint8_t> text, size_t at,
                        const bool* is_known, const Vec<Str>& known) {
  size_t line = 1;
  size_t place = 1;
  for (size_t i = 0; i < at; ++i) {
    place = text[i] == '\n' ? 1 : place + (continues(text, i) ? 0 : 1);
    line += text[i] == '\n' ? 1 : 0;
  }
  size_t first = at;
  for (size_t back = 0; continues(text, first) && first > 0 && back < 3; ++back)
    --first;
  if (continues(text, at)) --place;
  size_t end = at + 1;
  while (continues(text, end) && end - first < 4)
    ++end;
  const char* bytes = reinterpret_cast<const char*>(text.data());
  if (valid_utf8(bytes + first, end - first) < end - first) {  // no character: the byte alone
    first = at;
    end = at + 1;
  }
  const Vec<Str> used = used_bytes(text);
  size_t others = 0;
  for (const Str& byte : used)
    others += is_known[static_cast<uint8_t>(byte[0])] ? 0 : 1;
  const Str more =
      others > end - first ? format(" (and %zu more new bytes)", others - (end - first)) : Str();
  return error(
      "%s:%zu:%zu: characters: the text has \"%s\"%s, which the model was not trained with; the "
      "model knows %s, the text has %s",
      where, line, place, shown(bytes + first, end - first).c_str(), more.c_str(),
      shown_list(known).c_str(), shown_list(used).c_str());
}

}  // namespace

Vec<Str> used_bytes(Span<const uint8_t> text) {
  bool used[256] = {};
  for (uint8_t byte : text)
    used[byte] = true;
  Vec<Str> table;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    if (used[b]) table.push(Str(&byte, 1));
  }
  return table;
}

Vec<Str> all_bytes() {
  Vec<Str> table;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    table.push(Str(&byte, 1));
  }
  return table;
}

Status number_characters(const char* where, Span<const uint8_t> text, const Vec<Str>& table,
                         Vec<int32_t>* out) {
  bool is_known[256] = {};
  int32_t number_of[256] = {};
  for (size_t i = 0; i < table.size(); ++i) {
    const auto byte = static_cast<uint8_t>(table[i][0]);
    is_known[byte] = true;
    number_of[byte] = static_cast<int32_t>(i);
  }
  out->reserve(out->size() + text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    if (!is_known[text[at]]) return refuse_character(where, text, at, is_known, table);
    out->push(number_of[text[at]]);
  }
  return {};
}

}  // namespace gradc::rt
