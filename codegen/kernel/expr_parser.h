// What statements of kernel text are made of: the cursor over tokens, errors, names and
// expressions. kernel_parser.cpp builds statements on it.
#pragma once

#include "codegen/kernel/kernel.h"
#include "codegen/kernel/kernel_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gradc::kernel {

class ExprParser {
 protected:
  /// `text` and `file` outlive the parser.
  ExprParser(std::string_view text, const std::string& file, size_t offset, DiagnosticSink& sink)
      : text_(text),
        file_(file),
        offset_(offset),
        sink_(sink),
        tokens_(tokenize(text, file, offset, sink)) {}

  // ---- tokens
  const Token& peek(size_t ahead = 0) const {
    return tokens_[std::min(position_ + ahead, tokens_.size() - 1)];
  }
  Token take() {
    Token token = peek();
    if (position_ + 1 < tokens_.size()) ++position_;
    return token;
  }
  bool accept(std::string_view sign) {
    const bool found = peek().is(sign);
    if (found) take();
    return found;
  }
  bool accept_word(std::string_view word) {
    const bool found = peek().is_word(word);
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
  /// Whether the token before is a "{": a body follows.
  bool after_brace() const { return position_ > 0 && tokens_[position_ - 1].is("{"); }

  // ---- errors: each returns false so that `return fail(...)` leaves a statement
  template <class... Args>
  bool fail(const Token& token, fmt::format_string<Args...> format, Args&&... args) {
    if (token.kind == TokenKind::kError) return false;  // those were reported by the lexer
    const size_t end = std::max(token.end, token.begin + 1);
    sink_.error(DiagKind::kIrSyntax, Place{file_, {}, false, offset_ + token.begin, offset_ + end},
                format, std::forward<Args>(args)...);
    return false;
  }
  bool expected(std::string_view what);
  bool expect(std::string_view sign) {
    return accept(sign) || expected(fmt::format("\"{}\"", sign));
  }
  bool expect_word(std::string_view word) {
    return accept_word(word) || expected(fmt::format("\"{}\"", word));
  }

  // ---- pieces
  bool integer(int64_t& out);  ///< with a sign
  bool dtype(DType& out);
  bool type(DType& dtype, Shape& shape);
  bool declare_var(VarId& out);  ///< a new one, or one of that name again
  bool affine(Affine& out);
  /// x[i + 1 + dynamic]
  bool place(BufferId& buffer, Affine& index, ExprId& dynamic);
  bool expr(ExprId& out);

  void begin_kernel() {
    kernel_ = Kernel();
    buffers_.clear();
    vars_.clear();
    locals_.clear();
  }

  Kernel kernel_;
  std::unordered_map<std::string, BufferId> buffers_;
  std::unordered_map<std::string, VarId> vars_;
  std::unordered_map<std::string, LocalId> locals_;

 private:
  static constexpr size_t kMaxErrors = 100;  // then the rest of the text is not read
  static constexpr int kMaxDepth = 1000;     // of expressions in expressions

  bool primary(Expr& out);
  bool constant(Expr& out);
  bool parenthesised(Expr& out);
  bool call(Expr& out);
  bool arguments(Expr& out, size_t count);
  bool term(Affine& out, int64_t sign);
  bool is_term(size_t ahead) const;
  bool begins_index() const;
  bool names_var(size_t ahead) const;
  ExprId add(Expr expr);

  std::string_view text_;
  const std::string& file_;
  const size_t offset_;
  DiagnosticSink& sink_;
  std::vector<Token> tokens_;
  size_t position_ = 0;
  int depth_ = 0;
};

}  // namespace gradc::kernel
