// A scanner over JSON text that walks only the path asked for. Skipping is iterative, so depth
// costs no stack.
#include "support/json_locator.h"

#include <nlohmann/json.hpp>

#include <charconv>
#include <vector>

namespace gradc {
namespace {

std::vector<std::string> split_pointer(std::string_view pointer) {
  std::vector<std::string> tokens;
  size_t i = 0;
  while (i < pointer.size()) {
    ++i;  // the slash
    std::string token;
    for (; i < pointer.size() && pointer[i] != '/'; ++i) {
      if (pointer[i] == '~' && i + 1 < pointer.size()) {
        token += pointer[++i] == '1' ? '/' : '~';
      } else {
        token += pointer[i];
      }
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  void skip_space() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) {
      ++at_;
    }
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  size_t at() {
    skip_space();
    return at_;
  }

  /// Skips a string; false when none starts here or it does not end.
  bool skip_string(ByteRange* range) {
    skip_space();
    const size_t begin = at_;
    if (at_ >= text_.size() || text_[at_] != '"') return false;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
      } else if (text_[at_] == '"') {
        ++at_;
        *range = {begin, at_};
        return true;
      }
    }
    return false;
  }

  /// Skips one value of any kind.
  bool skip_value(ByteRange* range) {
    const size_t begin = at();
    size_t depth = 0;
    while (at() < text_.size()) {
      const char c = text_[at_];
      ByteRange ignored;
      if (c == '"') {
        if (!skip_string(&ignored)) return false;
      } else if (c == '{' || c == '[') {
        ++depth;
        ++at_;
      } else if (c == '}' || c == ']') {
        if (depth == 0) return false;
        --depth;
        ++at_;
      } else if (c == ',' || c == ':') {
        if (depth == 0) return false;
        ++at_;
      } else {
        while (at_ < text_.size() &&
               std::string_view(" \t\r\n,:{}[]\"").find(text_[at_]) == std::string_view::npos) {
          ++at_;
        }
      }
      if (depth == 0) {
        *range = {begin, at_};
        return true;
      }
    }
    return false;
  }

  std::string_view slice(ByteRange range) const {
    return text_.substr(range.begin, range.end - range.begin);
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

std::string unquote(std::string_view quoted) {
  const auto parsed = nlohmann::json::parse(quoted, nullptr, /*allow_exceptions=*/false);
  return parsed.is_string() ? parsed.get<std::string>() : std::string();
}

/// Enters the object at the scanner and stops before the value of the wanted member.
bool enter_member(Scanner& scanner, const std::string& name, size_t occurrence, ByteRange* key) {
  if (!scanner.take('{')) return false;
  while (scanner.skip_string(key)) {
    if (!scanner.take(':')) return false;
    if (unquote(scanner.slice(*key)) == name && occurrence-- == 0) return true;
    ByteRange ignored;
    if (!scanner.skip_value(&ignored) || !scanner.take(',')) return false;
  }
  return false;
}

bool enter_element(Scanner& scanner, const std::string& token) {
  size_t index = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), index);
  if (error != std::errc() || end != token.data() + token.size()) return false;
  if (!scanner.take('[')) return false;
  for (; index > 0; --index) {
    ByteRange ignored;
    if (!scanner.skip_value(&ignored) || !scanner.take(',')) return false;
  }
  return true;
}

}  // namespace

std::optional<ByteRange> locate_json(std::string_view text, std::string_view pointer, JsonPart part,
                                     size_t occurrence) {
  Scanner scanner(text);
  if (text.starts_with("\xEF\xBB\xBF")) {
    const auto inner = locate_json(text.substr(3), pointer, part, occurrence);
    if (!inner) return std::nullopt;
    return ByteRange{inner->begin + 3, inner->end + 3};
  }
  const std::vector<std::string> tokens = split_pointer(pointer);
  std::optional<ByteRange> key;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const size_t at = scanner.at();
    const bool last = i + 1 == tokens.size();
    if (at < text.size() && text[at] == '{') {
      ByteRange found;
      if (!enter_member(scanner, tokens[i], last ? occurrence : 0, &found)) return std::nullopt;
      key = found;
    } else {
      if (!enter_element(scanner, tokens[i])) return std::nullopt;
      key.reset();
    }
  }
  if (part == JsonPart::kKey && key) return key;
  ByteRange value;
  const size_t begin = scanner.at();
  if (scanner.skip_value(&value)) return value;
  if (begin >= text.size()) return std::nullopt;
  return ByteRange{begin, text.size()};  // the value never ends
}

std::string escape_pointer_token(std::string_view token) {
  std::string out;
  for (const char c : token) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace gradc
