#include "codegen/kernel/kernel_lexer.h"

#include <array>
#include <charconv>

namespace gradc::kernel {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

constexpr std::array<std::string_view, 22> kSigns = {"..", "+=", "*=", "==", "!=", "<=", ">=", "(",
                                                     ")",  "{",  "}",  "[",  "]",  ",",  ":",  "=",
                                                     "+",  "-",  "*",  "/",  "<",  ">"};

class Lexer {
 public:
  Lexer(std::string_view text, const std::string& file, size_t offset, DiagnosticSink& sink)
      : text_(text), file_(file), offset_(offset), sink_(sink) {}

  std::vector<Token> run() {
    while (at_ < text_.size())
      next();
    begin_ = at_;
    push(TokenKind::kNewline, {});
    push(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  void push(TokenKind kind, std::string text) {
    tokens_.push_back({kind, begin_, at_, std::move(text)});
  }
  void fail(std::string message) {
    sink_.add({DiagKind::kIrSyntax,
               Severity::kError,
               std::move(message),
               Place{file_, {}, false, offset_ + begin_, offset_ + at_},
               {},
               {}});
    push(TokenKind::kError, {});
  }

  std::string name() {
    const size_t first = at_;
    while (is_letter(peek()) || is_digit(peek()) || (peek() == '.' && peek(1) != '.'))
      ++at_;
    return std::string(text_.substr(first, at_ - first));
  }

  void number() {
    TokenKind kind = TokenKind::kInteger;
    while (is_digit(peek()))
      ++at_;
    if (peek() == '.' && is_digit(peek(1))) {
      kind = TokenKind::kNumber;
      ++at_;
      while (is_digit(peek()))
        ++at_;
    }
    const size_t sign = peek(1) == '+' || peek(1) == '-' ? 2 : 1;
    if (peek() == 'e' && is_digit(peek(sign))) {
      kind = TokenKind::kNumber;
      at_ += sign;
      while (is_digit(peek()))
        ++at_;
    }
    push(kind, std::string(text_.substr(begin_, at_ - begin_)));
  }

  /// The rest of a quoted name; false where it has no end or an unknown escape.
  bool quoted(std::string& out) {
    ++at_;
    while (at_ < text_.size() && peek() != '\n') {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (c != '\\') {
        out += c;
        continue;
      }
      const char escape = peek();
      ++at_;
      unsigned value = 0;
      const std::string_view digits = text_.substr(std::min(at_, text_.size()), 2);
      if (escape == 'n') {
        out += '\n';
      } else if (escape == '"' || escape == '\\') {
        out += escape;
      } else if (escape == 'x' && digits.size() == 2 &&
                 std::from_chars(digits.data(), digits.data() + 2, value, 16).ptr ==
                     digits.data() + 2) {
        out += static_cast<char>(value);
        at_ += 2;
      } else {
        at_ = std::min(at_, text_.size());
        return false;
      }
    }
    return false;
  }

  void symbol() {
    ++at_;
    std::string text;
    if (peek() == '"') {
      if (!quoted(text)) return fail("a quoted name has an unknown escape or no end on its line");
    } else {
      text = name();
    }
    if (text.empty()) return fail("expected a name behind \"@\"");
    push(TokenKind::kSymbol, std::move(text));
  }

  void sign() {
    for (const std::string_view one : kSigns) {
      if (text_.substr(at_, one.size()) != one) continue;
      at_ += one.size();
      return push(TokenKind::kSign, std::string(one));
    }
    ++at_;
    while ((static_cast<unsigned char>(peek()) & 0xC0U) == 0x80U)
      ++at_;  // the rest of a UTF-8 character
    fail("unexpected character");
  }

  void next() {
    const char c = peek();
    begin_ = at_;
    if (c == ' ' || c == '\t' || c == '\r') {
      ++at_;
    } else if (c == '/' && peek(1) == '/') {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (c == '\n') {
      ++at_;
      push(TokenKind::kNewline, {});
    } else if (c == '%' || is_letter(c)) {
      if (c == '%') ++at_;
      std::string text = name();
      if (text.empty()) return fail("expected a name behind \"%\"");
      push(c == '%' ? TokenKind::kLocal : TokenKind::kWord, std::move(text));
    } else if (c == '@') {
      symbol();
    } else if (is_digit(c)) {
      number();
    } else {
      sign();
    }
  }

  std::string_view text_;
  const std::string& file_;
  const size_t offset_;
  DiagnosticSink& sink_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  size_t begin_ = 0;
};

}  // namespace

std::vector<Token> tokenize(std::string_view text, const std::string& file, size_t offset,
                            DiagnosticSink& sink) {
  return Lexer(text, file, offset, sink).run();
}

}  // namespace gradc::kernel
