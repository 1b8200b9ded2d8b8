#include "ir/piece_parser.h"

#include "ir/element.h"
#include "support/check.h"
#include "support/numbers.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

namespace gradc {

namespace {

constexpr int64_t kMaxElements = int64_t{1} << 48;

bool read_double(const std::string& text, double& out) {
  if (text == "nan" || text == "inf" || text == "-inf") {
    out = text == "nan" ? std::numeric_limits<double>::quiet_NaN()
                        : std::numeric_limits<double>::infinity();
    if (text[0] == '-') out = -out;
    return true;
  }
  out = parse_double(text).value_or(std::numeric_limits<double>::infinity());
  return std::isfinite(out);
}

}  // namespace

std::string PieceParser::spelling(const Token& token) const {
  switch (token.kind) {
    case TokenKind::kNewline:
      return "the end of the line";
    case TokenKind::kEnd:
      return "the end of the text";
    case TokenKind::kWord:
    case TokenKind::kValue:
    case TokenKind::kSymbol:
    case TokenKind::kString:
    case TokenKind::kInteger:
    case TokenKind::kNumber:
    case TokenKind::kExtents:
    case TokenKind::kArrow:
    case TokenKind::kEllipsis:
    case TokenKind::kPunctuation:
    case TokenKind::kError:
      return fmt::format("\"{}\"", text_.substr(token.begin, token.end - token.begin));
  }
  GRADC_UNREACHABLE();
}

bool PieceParser::end_of_statement(std::string& location) {
  if (!at_line_end()) return expected("the end of the line");
  location = peek().text;
  return true;
}

// ---- pieces ------------------------------------------------------------------------------------

bool PieceParser::value_name(AstName& out) {
  if (peek().kind != TokenKind::kValue) return expected("a value such as %x");
  const Token token = take();
  out = {token.text, {token.begin, token.end}};
  return true;
}

bool PieceParser::integer(const Token& token, int64_t& out) {
  const char* last = token.text.data() + token.text.size();
  const auto [end, error] = std::from_chars(token.text.data(), last, out);
  if (error == std::errc() && end == last) return true;
  return fail(token, "{} does not fit in 64 bits", token.text);
}

/// f32[32x784], f32[] for a scalar.
bool PieceParser::type(AstType& out, const TensorType* given) {
  const Token word = peek();
  const std::optional<DType> dtype =
      word.kind == TokenKind::kWord ? find_dtype(word.text) : std::nullopt;
  if (!dtype) return expected("a type such as f32[32x784]");
  take();
  out.type.dtype = *dtype;
  if (!expect('[')) return false;
  if (!peek().is(']') && !extents(out, given)) return false;
  out.range = {word.begin, peek().end};
  return expect(']');
}

std::optional<int64_t> PieceParser::named(const Token& token) const {
  if (names_ == nullptr || token.kind != TokenKind::kWord) return std::nullopt;
  const auto found = names_->values.find(token.text);
  return found == names_->values.end() ? std::nullopt : std::optional(found->second);
}

/// One extent: a number, or a name in capitals.
bool PieceParser::extent(const Token& token, const TensorType* given, std::vector<int64_t>& dims) {
  if (names_ == nullptr || token.text.empty() || token.text[0] < 'A' || token.text[0] > 'Z') {
    if (token.text.find_first_not_of("0123456789") != std::string::npos || token.text.empty())
      return fail(token, "expected extents such as 32x784, found \"{}\"", token.text);
    if (!integer(token, dims.emplace_back())) return false;
    return dims.back() >= 1 || fail(token, "extent {} is not positive", dims.back());
  }
  const size_t axis = dims.size();
  std::optional<int64_t> value = named(token);
  if (!value && given != nullptr && axis < static_cast<size_t>(given->rank())) {
    value = given->shape[static_cast<int>(axis)];
    names_->values.emplace(token.text, *value);
  }
  if (!value) {
    return fail(token, "no input says what the extent {} is; \"sizes\" may give it", token.text);
  }
  dims.push_back(*value);
  return true;
}

bool PieceParser::extents(AstType& out, const TensorType* given) {
  const auto is_part = [](const Token& token) {
    return token.kind == TokenKind::kInteger || token.kind == TokenKind::kExtents ||
           token.kind == TokenKind::kWord;
  };
  if (!is_part(peek()) || (names_ == nullptr && peek().kind == TokenKind::kWord))
    return expected("extents such as 32x784");
  Token token = take();
  while (names_ != nullptr && is_part(peek()) && peek().begin == token.end) {
    const Token next = take();  // "32xD" is read as two
    token.text += next.text;
    token.end = next.end;
  }
  token.kind = TokenKind::kWord;
  std::vector<int64_t> dims;
  double elements = 1.0;
  for (size_t begin = 0; begin <= token.text.size();) {
    const size_t end = std::min(token.text.find('x', begin), token.text.size());
    Token one = token;
    one.text = token.text.substr(begin, end - begin);
    if (!extent(one, given, dims)) return false;
    elements *= static_cast<double>(dims.back());
    begin = end + 1;
  }
  if (dims.size() > Shape::kMaxRank)
    return fail(token, "{} dimensions are over the maximum of {}", dims.size(), +Shape::kMaxRank);
  if (elements > static_cast<double>(kMaxElements))
    return fail(token, "[{}] has more than 2^48 elements", token.text);
  out.type.shape = Shape(dims);
  return true;
}

bool PieceParser::number_or_word(AttrValue& out) {
  const Token token = take();
  double number = 0.0;
  if (token.text == "nan" || token.text == "inf" || token.kind == TokenKind::kNumber) {
    if (!read_double(token.text, number))
      return fail(token, "{} is out of the range of doubles", token.text);
    out = number;
  } else if (token.text == "true" || token.text == "false") {
    out = token.text == "true";
  } else if (const std::optional<DType> dtype = find_dtype(token.text)) {
    out = *dtype;
  } else if (const std::optional<int64_t> number_of = named(token)) {
    out = *number_of;
  } else {
    out = token.text;
  }
  return true;
}

bool PieceParser::attr_value(AttrValue& out) {
  const Token& token = peek();
  if (token.is_word("dense") && peek(1).is('<')) return dense(out);
  if (token.is('[')) return int_list(out);
  if (token.kind == TokenKind::kWord || token.kind == TokenKind::kNumber)
    return number_or_word(out);
  if (token.kind == TokenKind::kString) {
    out = take().text;
    return true;
  }
  if (token.kind == TokenKind::kInteger) {
    int64_t value = 0;
    if (!integer(take(), value)) return false;
    out = value;
    return true;
  }
  return expected("a value: true, 3, 0.5, \"text\", f32, [1, 2] or dense<1.0, 2.0>");
}

bool PieceParser::int_list(AttrValue& out) {
  take();
  std::vector<int64_t> list;
  while (!peek().is(']')) {
    if (!list.empty() && !expect(',')) return false;
    if (const std::optional<int64_t> value = named(peek())) {
      take();
      list.push_back(*value);
      continue;
    }
    if (peek().kind != TokenKind::kInteger) return expected("an integer");
    if (!integer(take(), list.emplace_back())) return false;
  }
  take();
  out = std::move(list);
  return true;
}

bool PieceParser::dense(AttrValue& out) {
  take();
  take();
  std::vector<double> elements;
  while (!peek().is('>')) {
    if (!elements.empty() && !expect(',')) return false;
    if (peek().kind == TokenKind::kEllipsis)
      return fail(peek(), "this constant was cut short when it was printed");
    const Token token = take();
    if (!read_double(token.text, elements.emplace_back()))
      return fail(token, "expected a number, found {}", spelling(token));
    int64_t whole = 0;
    if (token.kind != TokenKind::kInteger) continue;
    if (!integer(token, whole)) return false;
    if (!fits_double(whole))
      return fail(token, "a constant cannot hold {}: integers go up to 2^53", token.text);
  }
  take();
  out = std::make_shared<const std::vector<double>>(std::move(elements));
  return true;
}

bool PieceParser::attr_list(char close, std::vector<AstAttr>& out) {
  take();
  while (!peek().is(close)) {
    if (!out.empty() && !expect(',')) return false;
    if (peek().kind != TokenKind::kWord) return expected("an attribute's name");
    const Token name = take();
    AttrValue value;
    if (!expect('=') || !attr_value(value)) return false;
    out.push_back({{name.text, std::move(value)}, {name.begin, last_end()}});
  }
  take();
  return true;
}

}  // namespace gradc
