// Tokens of kernel text. Line breaks are tokens, since a statement ends with its line.
#pragma once

#include "support/diagnostic.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gradc::kernel {

enum class TokenKind : uint8_t {
  kWord,     ///< x, conv2d.kernel, for
  kLocal,    ///< %acc
  kSymbol,   ///< @name or @"name"
  kInteger,  ///< 42
  kNumber,   ///< 0.5, 1e-07
  kSign,     ///< ( ) { } [ ] , : = + - * / < > == != <= >= += *= ..
  kNewline,
  kEnd,
  kError,  ///< already diagnosed
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  size_t begin = 0;  ///< bytes in the text
  size_t end = 0;
  std::string text;  ///< without % @ and quotes, escapes resolved
  bool is(std::string_view sign) const { return kind == TokenKind::kSign && text == sign; }
  bool is_word(std::string_view word) const { return kind == TokenKind::kWord && text == word; }
};

/// The whole text as tokens, the last one kEnd; malformed ones are reported (kIrSyntax), `offset`
/// bytes further on, and become kError.
std::vector<Token> tokenize(std::string_view text, const std::string& file, size_t offset,
                            DiagnosticSink& sink);

}  // namespace gradc::kernel
