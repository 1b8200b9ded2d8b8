// Tokens of the text form. Line breaks are tokens, since a statement ends with its line.
#pragma once

#include "support/diagnostic.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

enum class TokenKind : uint8_t {
  kWord,     ///< matmul, f32, dense/kernel (words joined by '/')
  kValue,    ///< %name
  kSymbol,   ///< @name or @"name"
  kString,   ///< "text"
  kInteger,  ///< 42, -1
  kNumber,   ///< 0.5, 1e-07, -inf
  kExtents,  ///< 32x784
  kArrow,    ///< <-
  kEllipsis,
  kPunctuation,  ///< one of { } ( ) [ ] < > = , :
  kNewline,      ///< text: the line's // comment
  kEnd,
  kError,  ///< already diagnosed
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  size_t begin = 0;  ///< bytes in the text
  size_t end = 0;
  std::string text;  ///< without % @ // and quotes, escapes resolved
  bool is(char c) const { return kind == TokenKind::kPunctuation && text[0] == c; }
  bool is_word(std::string_view word) const { return kind == TokenKind::kWord && text == word; }
};

/// The whole text as tokens, the last one kEnd; malformed ones are reported (kIrSyntax) and become
/// kError tokens.
std::vector<Token> tokenize(std::string_view text, const std::string& file_name,
                            DiagnosticSink& sink);

}  // namespace gradc
