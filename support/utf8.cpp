// Decoding by the table of the Unicode standard (3-7): the second byte's range depends on the
// first.
#include "support/utf8.h"

#include <fmt/format.h>

#include <algorithm>

namespace gradc {

size_t decode_utf8(std::string_view text, size_t i, uint32_t* code) {
  const auto lead = static_cast<unsigned char>(text[i]);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
  if (length == 0 || i + length > text.size()) return 0;
  *code = length == 1 ? lead : lead & (0xFFU >> (length + 1));
  for (size_t k = 1; k < length; ++k) {
    const auto next = static_cast<unsigned char>(text[i + k]);
    if ((next & 0xC0U) != 0x80U) return 0;
    *code = (*code << 6U) | (next & 0x3FU);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = *code >= 0xD800 && *code < 0xE000;
  return *code < kLeast[length] || *code > 0x10FFFF || surrogate ? 0 : length;
}

void append_utf8(std::string& out, uint32_t code) {
  const auto tail = [&](unsigned shift) {
    out += static_cast<char>(0x80U | ((code >> shift) & 0x3FU));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0U | (code >> 6U));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0U | (code >> 12U));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0U | (code >> 18U));
    tail(12);
    tail(6);
    tail(0);
  }
}

bool is_printable(uint32_t code) {
  if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return false;
  const bool direction = code == 0x061C || code == 0x200E || code == 0x200F ||
                         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
  return !direction && code != 0x2028 && code != 0x2029 && code != 0xFEFF;
}

bool is_all_printable(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    uint32_t code = 0;
    const size_t length = decode_utf8(text, i, &code);
    if (length == 0 || !is_printable(code)) return false;
    i += length;
  }
  return true;
}

namespace {

std::string escape_of(uint32_t code) {
  if (code == '\t') return "\\t";
  if (code == '\n') return "\\n";
  if (code == '\r') return "\\r";
  return code < 0x100 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{:04x}", code);
}

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    uint32_t code = 0;
    const size_t length = decode_utf8(text, i, &code);
    if (length > 0 && is_printable(code)) {
      out.append(text, i, length);
    } else {
      out += escape_of(length > 0 ? code : static_cast<unsigned char>(text[i]));
    }
    i += std::max<size_t>(length, 1);
  }
  return out;
}

/// The nearest place at or before `at` where a sequence may begin.
size_t boundary(std::string_view text, size_t at) {
  for (size_t back = 0; back < 4 && at > 0 && at < text.size(); ++back, --at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U) break;
  }
  return at;
}

}  // namespace

std::string printable(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return escaped(text);
  const size_t head = boundary(text, max_bytes - max_bytes / 4);
  const size_t tail = boundary(text, text.size() - max_bytes / 4);
  return fmt::format("{}...({} bytes)...{}", escaped(text.substr(0, head)), tail - head,
                     escaped(text.substr(tail)));
}

std::string printable_lines(std::string_view text) {
  constexpr size_t kMaxLine = 4000;
  std::string out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    out += printable(text.substr(0, end), kMaxLine);
    if (end == std::string_view::npos) break;
    out += '\n';
    text.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace gradc
