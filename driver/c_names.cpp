#include "driver/c_names.h"

#include "driver/aot.h"

#include <fmt/format.h>

#include <algorithm>

namespace gradc {

namespace {

constexpr std::string_view kReserved = " "
#include "driver/reserved_names.def"
    ;

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

bool is_reserved(const std::string& word) {
  return kReserved.find(" " + word + " ") != std::string_view::npos;
}

/// The word itself, or one of the functions named after it ("pthread" would define pthread_create).
bool clashes(const std::string& word) {
  if (is_reserved(word)) return true;
  const std::vector<std::string> functions = exported_symbols(word);
  return std::any_of(functions.begin(), functions.end(), is_reserved);
}

/// FNV-1a.
uint32_t number_of(std::string_view text) {
  uint32_t hash = 2166136261U;
  for (char c : text)
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

/// The code point at the front of UTF-8 text and its bytes; none when the text is not UTF-8 there.
struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;
};

CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t bytes = byte(0) < 0x80             ? 1
                       : (byte(0) & 0xE0) == 0xC0 ? 2
                       : (byte(0) & 0xF0) == 0xE0 ? 3
                       : (byte(0) & 0xF8) == 0xF0 ? 4
                                                  : 0;
  if (bytes == 0 || bytes > text.size()) return {};
  uint32_t value = bytes == 1 ? byte(0) : byte(0) & (0x7FU >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3FU);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  return value < kLeast[bytes] ? CodePoint{} : CodePoint{value, bytes};
}

/// Shown as it is: not a control character, a line separator or a mark that reorders text.
bool is_plain(uint32_t c) {
  const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
  const bool invisible = (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
                         (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || c == 0x061C ||
                         (c >= 0xD800 && c <= 0xDFFF) || (c >= 0xE0000 && c <= 0xE007F);
  return !control && !invisible;
}

}  // namespace

std::string ascii_upper(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    c = is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c;
  return result;
}

std::string c_identifier(std::string_view name) {
  constexpr size_t kMostCharacters = 100;
  std::string word;
  for (char c : name) {
    if (is_word(c)) {
      word += c;
    } else if (!word.empty() && word.back() != '_') {
      word += '_';
    }
  }
  if (word.size() > kMostCharacters) {
    word = fmt::format("{}_{:08x}", word.substr(0, kMostCharacters - 9), number_of(name));
  }
  while (!word.empty() && word.back() == '_')
    word.pop_back();
  if (word.empty()) return "model";
  const bool led = !is_word(name.front());  // "_x" is not ours, and "x" may be another model
  return led || is_digit(word.front()) || clashes(word) ? "model_" + word : word;
}

std::string c_comment_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    if (c.bytes == 0 || !is_plain(c.value)) {
      const size_t bytes = std::max<size_t>(c.bytes, 1);
      for (size_t i = 0; i < bytes; ++i)
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i]));
      text.remove_prefix(bytes);
      continue;
    }
    const char last = out.empty() ? ' ' : out.back();
    const char first = text.front();
    // No comment's end or beginning, no trigraph.
    if ((last == '*' && first == '/') || (last == '/' && first == '*') ||
        (last == '?' && first == '?')) {
      out += ' ';
    }
    out += first == '\\' ? std::string("\\\\") : std::string(text.substr(0, c.bytes));
    text.remove_prefix(c.bytes);
  }
  return out;
}

}  // namespace gradc
