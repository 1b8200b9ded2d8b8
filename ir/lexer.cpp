#include "ir/lexer.h"

#include <fmt/format.h>

namespace gradc {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_name_char(char c) {
  return is_letter(c) || is_digit(c) || c == '.';
}
bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

class Lexer {
 public:
  Lexer(std::string_view text, const std::string& file_name, DiagnosticSink& sink)
      : text_(text), file_name_(file_name), sink_(sink) {}

  std::vector<Token> run() {
    while (position_ < text_.size())
      next();
    begin_ = position_;
    push(TokenKind::kNewline, {});
    push(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  char at(size_t offset) const {
    return position_ + offset < text_.size() ? text_[position_ + offset] : '\0';
  }
  void push(TokenKind kind, std::string text) {
    tokens_.push_back({kind, begin_, position_, std::move(text)});
  }
  void fail(std::string message) {
    sink_.add({DiagKind::kIrSyntax,
               Severity::kError,
               std::move(message),
               Place{file_name_, {}, false, begin_, position_},
               {},
               {}});
    push(TokenKind::kError, {});
  }

  void next();
  void line_end();
  void block_comment();
  void number();
  void word();
  void sigil(TokenKind kind, std::string_view what);
  bool string_text(std::string& out);
  bool escape(std::string& out);

  std::string_view text_;
  const std::string& file_name_;
  DiagnosticSink& sink_;
  std::vector<Token> tokens_;
  size_t position_ = 0;
  size_t begin_ = 0;
};

/// A line break with the // comment before it.
void Lexer::line_end() {
  std::string comment;
  if (at(0) == '/') {
    size_t end = text_.find('\n', position_);
    if (end == std::string_view::npos) end = text_.size();
    size_t first = position_ + 2;
    size_t last = end;
    while (first < last && is_blank(text_[first]))
      ++first;
    while (last > first && is_blank(text_[last - 1]))
      --last;
    comment = std::string(text_.substr(first, last - first));
    position_ = end;
  }
  if (position_ < text_.size()) ++position_;
  push(TokenKind::kNewline, std::move(comment));
}

void Lexer::block_comment() {
  const size_t close = text_.find("*/", position_ + 2);
  if (close == std::string_view::npos) {
    position_ += 2;
    fail("comment is not closed by \"*/\"");
    position_ = text_.size();
    return;
  }
  position_ = close + 2;
}

void Lexer::number() {
  if (at(0) == '-') ++position_;
  if (text_.substr(position_, 3) == "inf") {
    position_ += 3;
    push(TokenKind::kNumber, "-inf");
    return;
  }
  if (!is_digit(at(0))) return fail("expected a number after \"-\"");
  TokenKind kind = TokenKind::kInteger;
  while (is_digit(at(0)))
    ++position_;
  if (at(0) == 'x' && is_digit(at(1))) {
    kind = TokenKind::kExtents;
    while (is_digit(at(0)) || (at(0) == 'x' && is_digit(at(1))))
      ++position_;
  } else {
    if (at(0) == '.' && is_digit(at(1))) {
      kind = TokenKind::kNumber;
      ++position_;
      while (is_digit(at(0)))
        ++position_;
    }
    const size_t sign = at(1) == '+' || at(1) == '-' ? 2 : 1;
    if (at(0) == 'e' && is_digit(at(sign))) {
      kind = TokenKind::kNumber;
      position_ += sign;
      while (is_digit(at(0)))
        ++position_;
    }
  }
  push(kind, std::string(text_.substr(begin_, position_ - begin_)));
}

void Lexer::word() {
  while (is_name_char(at(0)) || (at(0) == '/' && is_name_char(at(1))))
    ++position_;
  push(TokenKind::kWord, std::string(text_.substr(begin_, position_ - begin_)));
}

bool Lexer::escape(std::string& out) {
  const char c = at(0);
  ++position_;
  if (c == '"' || c == '\\') {
    out += c;
  } else if (c == 'n') {
    out += '\n';
  } else if (c == 'x' && hex_digit(at(0)) >= 0 && hex_digit(at(1)) >= 0) {
    out += static_cast<char>(hex_digit(at(0)) * 16 + hex_digit(at(1)));
    position_ += 2;
  } else {
    return false;
  }
  return true;
}

/// Reads a string from its opening quote; false (diagnosed) when it is malformed.
bool Lexer::string_text(std::string& out) {
  ++position_;
  bool well_formed = true;
  while (position_ < text_.size() && at(0) != '\n') {
    const char c = at(0);
    ++position_;
    if (c == '"') {
      if (!well_formed) fail("unknown escape in a string; known: \\\" \\\\ \\n \\xHH");
      return well_formed;
    }
    if (c == '\\') {
      well_formed &= position_ < text_.size() && at(0) != '\n' && escape(out);
    } else {
      out += c;
    }
  }
  fail("string is not closed on its line");
  return false;
}

/// %name, @name or @"name".
void Lexer::sigil(TokenKind kind, std::string_view what) {
  ++position_;
  std::string name;
  if (kind == TokenKind::kSymbol && at(0) == '"') {
    if (string_text(name)) push(kind, std::move(name));
    return;
  }
  while (is_name_char(at(0)))
    name += text_[position_++];
  if (name.empty()) return fail(fmt::format("expected the name of a {}", what));
  push(kind, std::move(name));
}

void Lexer::next() {
  const char c = at(0);
  begin_ = position_;
  if (is_blank(c)) {
    ++position_;
  } else if (c == '\n' || (c == '/' && at(1) == '/')) {
    line_end();
  } else if (c == '/' && at(1) == '*') {
    block_comment();
  } else if (c == '%') {
    sigil(TokenKind::kValue, "value");
  } else if (c == '@') {
    sigil(TokenKind::kSymbol, "graph");
  } else if (c == '"') {
    std::string text;
    if (string_text(text)) push(TokenKind::kString, std::move(text));
  } else if (c == '<' && at(1) == '-' && !is_digit(at(2)) && at(2) != 'i') {
    position_ += 2;
    push(TokenKind::kArrow, {});
  } else if (is_digit(c) || c == '-') {
    number();
  } else if (is_letter(c)) {
    word();
  } else if (c == '.' && at(1) == '.' && at(2) == '.') {
    position_ += 3;
    push(TokenKind::kEllipsis, {});
  } else if (std::string_view("{}()[]<>=,:").find(c) != std::string_view::npos && c != '\0') {
    ++position_;
    push(TokenKind::kPunctuation, std::string(1, c));
  } else {
    ++position_;
    while (position_ < text_.size() && (static_cast<unsigned char>(at(0)) & 0xC0U) == 0x80U)
      ++position_;  // the rest of a UTF-8 character
    fail("unexpected character");
  }
}

}  // namespace

std::vector<Token> tokenize(std::string_view text, const std::string& file_name,
                            DiagnosticSink& sink) {
  return Lexer(text, file_name, sink).run();
}

}  // namespace gradc
