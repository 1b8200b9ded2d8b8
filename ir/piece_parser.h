// What statements of the graph text are made of: the cursor over tokens, errors, names, types and
// attributes. parser.cpp builds statements on it.
#pragma once

#include "ir/graph_ast.h"
#include "ir/lexer.h"
#include "ir/parser.h"
#include "support/diagnostic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc {

class PieceParser {
 protected:
  /// `text` and `file_name` outlive the parser.
  PieceParser(std::string_view text, const std::string& file_name, DiagnosticSink& sink,
              ExtentNames* names = nullptr)
      : text_(text),
        file_name_(file_name),
        sink_(sink),
        tokens_(tokenize(text, file_name, sink)),
        names_(names) {}

  // ---- tokens
  const Token& peek(size_t ahead = 0) const {
    return tokens_[std::min(position_ + ahead, tokens_.size() - 1)];
  }
  Token take() {
    Token token = peek();
    if (position_ + 1 < tokens_.size()) ++position_;
    return token;
  }
  bool accept(char c) {
    const bool found = peek().is(c);
    if (found) take();
    return found;
  }
  bool at_line_end() const {
    return peek().kind == TokenKind::kNewline || peek().kind == TokenKind::kEnd;
  }
  bool at_end() const { return peek().kind == TokenKind::kEnd || sink_.all().size() >= kMaxErrors; }
  void skip_blank_lines() {
    while (peek().kind == TokenKind::kNewline)
      take();
  }
  void skip_line() {
    while (!at_line_end())
      take();
  }
  std::string spelling(const Token& token) const;

  // ---- errors: each returns false so that `return fail(...)` leaves a statement
  template <class... Args>
  bool fail(const Token& token, fmt::format_string<Args...> format, Args&&... args) {
    if (token.kind != TokenKind::kError) {  // those were reported by the lexer
      sink_.error(DiagKind::kIrSyntax,
                  Place{file_name_, {}, false, token.begin, std::max(token.end, token.begin + 1)},
                  format, std::forward<Args>(args)...);
    }
    return false;
  }
  bool expected(std::string_view what) {
    return fail(peek(), "expected {}, found {}", what, spelling(peek()));
  }
  bool expect(char c) { return accept(c) || expected(fmt::format("\"{}\"", c)); }
  bool end_of_statement(std::string& location);

  // ---- pieces
  bool value_name(AstName& out);
  /// `given` (may be null): the type that the value will have, which names in the text take over.
  bool type(AstType& out, const TensorType* given = nullptr);
  bool extents(AstType& out, const TensorType* given);
  bool extent(const Token& token, const TensorType* given, std::vector<int64_t>& dims);
  bool integer(const Token& token, int64_t& out);
  /// The number that a name stands for.
  std::optional<int64_t> named(const Token& token) const;
  const ExtentNames* names() const { return names_; }
  bool attr_value(AttrValue& out);
  bool number_or_word(AttrValue& out);
  bool int_list(AttrValue& out);
  bool dense(AttrValue& out);
  bool attr_list(char close, std::vector<AstAttr>& out);

  /// The end of the token that was taken last.
  size_t last_end() const { return tokens_[position_ - 1].end; }
  bool last_is(char c) const { return position_ > 0 && tokens_[position_ - 1].is(c); }
  /// Gives up: nothing more is read.
  void skip_everything() { position_ = tokens_.size() - 1; }

 private:
  static constexpr size_t kMaxErrors = 100;  // then the rest of the text is not read

  std::string_view text_;
  const std::string& file_name_;
  DiagnosticSink& sink_;
  std::vector<Token> tokens_;
  ExtentNames* names_;
  size_t position_ = 0;
};

}  // namespace gradc
