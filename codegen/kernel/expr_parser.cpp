#include "codegen/kernel/expr_parser.h"

#include "codegen/kernel/kernel_words.h"
#include "ir/element.h"
#include "support/numbers.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace gradc::kernel {

namespace {

constexpr double kMaxElements = 281474976710656.0;  // 2^48, as of every value

std::optional<ScalarOp> find_scalar_op(std::string_view name) {
  for (int i = 0; i < kNumScalarOps; ++i) {
    const auto op = static_cast<ScalarOp>(i);
    if (scalar_op_name(op) == name && op != ScalarOp::kCast) return op;
  }
  return std::nullopt;
}

}  // namespace

bool ExprParser::expected(std::string_view what) {
  const Token& token = peek();
  const std::string found =
      token.kind == TokenKind::kEnd ? "the end of the text"
      : token.kind == TokenKind::kNewline
          ? "the end of the line"
          : fmt::format("\"{}\"", text_.substr(token.begin, token.end - token.begin));
  return fail(token, "expected {}, found {}", what, found);
}

bool ExprParser::integer(int64_t& out) {
  const bool negative = accept("-");
  if (peek().kind != TokenKind::kInteger) return expected("a whole number");
  const Token token = take();
  const std::string digits = (negative ? "-" : "") + token.text;
  const char* last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, out);
  if (error == std::errc() && end == last) return true;
  return fail(token, "{} does not fit in 64 bits", digits);
}

bool ExprParser::dtype(DType& out) {
  const std::optional<DType> found =
      peek().kind == TokenKind::kWord ? find_dtype(peek().text) : std::nullopt;
  if (!found) return expected("an element type such as f32");
  take();
  out = *found;
  return true;
}

/// f32[32x784]: "32" and "x784" are two tokens.
bool ExprParser::type(DType& dtype, Shape& shape) {
  const Token begin = peek();
  if (!this->dtype(dtype) || !expect("[")) return false;
  std::vector<int64_t> dims;
  double elements = 1.0;
  while (!peek().is("]")) {
    if (peek().kind != TokenKind::kInteger && !(peek().kind == TokenKind::kWord && !dims.empty()))
      return expected("extents such as 32x784");
    const Token token = take();
    for (size_t at = token.kind == TokenKind::kWord ? 1 : 0; at <= token.text.size();) {
      const size_t end = std::min(token.text.find('x', at), token.text.size());
      const char* last = token.text.data() + end;
      const bool separated = at == 0 || token.text[at - 1] == 'x';
      const auto read = std::from_chars(token.text.data() + at, last, dims.emplace_back());
      if (!separated || read.ec != std::errc() || read.ptr != last || dims.back() < 1)
        return fail(token, "\"{}\" is no extent of at least 1", token.text);
      elements *= static_cast<double>(dims.back());
      at = end + 1;
    }
  }
  take();
  if (dims.size() > Shape::kMaxRank)
    return fail(begin, "{} dimensions are over the maximum of {}", dims.size(), +Shape::kMaxRank);
  if (elements > kMaxElements) return fail(begin, "the buffer has more than 2^48 elements");
  shape = Shape(dims);
  return true;
}

bool ExprParser::declare_var(VarId& out) {
  if (peek().kind != TokenKind::kWord) return expected("the name of a loop variable");
  const Token token = take();
  const auto [it, fresh] = vars_.emplace(token.text, VarId(kernel_.vars.size()));
  if (fresh) kernel_.vars.push_back(token.text);
  out = it->second;
  return true;
}

// ---- indices -----------------------------------------------------------------------------------

/// A word that is no buffer, no function and no constant.
bool ExprParser::names_var(size_t ahead) const {
  const Token& token = peek(ahead);
  return token.kind == TokenKind::kWord && !peek(ahead + 1).is("[") && !peek(ahead + 1).is("(") &&
         token.text != "inf" && token.text != "nan";
}

/// i, 3*i or 5, and not a constant with a type behind it.
bool ExprParser::is_term(size_t ahead) const {
  if (names_var(ahead)) return true;
  if (peek(ahead).kind != TokenKind::kInteger || peek(ahead + 1).is(":")) return false;
  return !peek(ahead + 1).is("*") || names_var(ahead + 2);
}

bool ExprParser::term(Affine& out, int64_t sign) {
  int64_t factor = 1;
  if (peek().kind == TokenKind::kInteger) {
    if (!integer(factor)) return false;
    if (!accept("*")) {
      if (__builtin_add_overflow(out.offset, sign * factor, &out.offset))
        return fail(peek(), "the index does not fit in 64 bits");
      return true;
    }
  }
  if (!names_var(0)) return expected("a loop variable");
  const Token token = take();
  const auto found = vars_.find(token.text);
  if (found == vars_.end())
    return fail(token, "no loop variable is called \"{}\" here", token.text);
  if (factor == 0 || out.coefficient(found->second) != 0)
    return fail(token, "\"{}\" stands twice in an index, or zero times", token.text);
  out.terms.emplace_back(found->second, sign * factor);
  return true;
}

bool ExprParser::affine(Affine& out) {
  if (!term(out, accept("-") ? -1 : 1)) return false;
  while ((peek().is("+") || peek().is("-")) && is_term(1)) {
    if (!term(out, take().is("-") ? -1 : 1)) return false;
  }
  return true;
}

bool ExprParser::place(BufferId& buffer, Affine& index, ExprId& dynamic) {
  const Token name = take();
  const auto found = buffers_.find(name.text);
  if (found == buffers_.end()) return fail(name, "no buffer is called \"{}\"", name.text);
  buffer = found->second;
  if (!expect("[")) return false;
  const bool affine_first = is_term(0) || (peek().is("-") && is_term(1));
  if (affine_first && !affine(index)) return false;
  if (!affine_first || accept("+")) {
    if (!expr(dynamic)) return false;
  }
  return expect("]");
}

// ---- expressions -------------------------------------------------------------------------------

ExprId ExprParser::add(Expr expr) {
  kernel_.exprs.push_back(std::move(expr));
  return ExprId(kernel_.exprs.size() - 1);
}

bool ExprParser::expr(ExprId& out) {
  if (depth_ >= kMaxDepth)
    return fail(peek(), "expressions are nested more than {} deep", +kMaxDepth);
  Expr expr;
  ++depth_;
  const bool read = primary(expr);
  --depth_;
  if (!read) return false;
  if (expr.op != ScalarOp::kCast) expr.dtype = implied_dtype(kernel_, expr);
  if (accept(":") && !dtype(expr.dtype)) return false;
  if (expr.kind == ExprKind::kConst) expr.value = as_constant(expr.value, expr.dtype);
  out = add(std::move(expr));
  return true;
}

bool ExprParser::primary(Expr& out) {
  if (peek().is("(")) return parenthesised(out);
  if (peek().kind == TokenKind::kLocal) {
    const Token token = take();
    const auto found = locals_.find(token.text);
    if (found == locals_.end()) return fail(token, "%{} is not defined above", token.text);
    out.kind = ExprKind::kLocal;
    out.local = found->second;
    return true;
  }
  if (peek().kind == TokenKind::kWord && peek(1).is("[")) {
    out.kind = ExprKind::kLoad;
    return place(out.buffer, out.index, out.args[0]);
  }
  if (peek().kind == TokenKind::kWord && peek(1).is("(")) return call(out);
  return constant(out);
}

bool ExprParser::constant(Expr& out) {
  out.kind = ExprKind::kConst;
  const bool negative = accept("-");
  const Token& token = peek();
  if (token.is_word("inf")) {
    out.value = std::numeric_limits<double>::infinity();
  } else if (token.is_word("nan")) {
    out.value = std::numeric_limits<double>::quiet_NaN();
  } else if (token.kind == TokenKind::kInteger || token.kind == TokenKind::kNumber) {
    const std::optional<double> value = parse_double(token.text);
    if (!value || !std::isfinite(*value))
      return fail(token, "{} is out of the range of doubles", token.text);
    out.value = *value;
  } else {
    return expected("an expression");
  }
  take();
  if (negative) out.value = std::copysign(out.value, -1.0);
  return true;
}

/// Behind "(": is it an index, i + 1, and not two operands?
bool ExprParser::begins_index() const {
  const size_t first = peek(1).is("-") ? 2 : 1;
  if (names_var(first)) return true;
  if (peek(first).kind != TokenKind::kInteger) return false;
  return peek(first + 1).is(")") || (peek(first + 1).is("*") && names_var(first + 2));
}

bool ExprParser::parenthesised(Expr& out) {
  const bool index = begins_index();
  take();
  if (index) {
    out.kind = ExprKind::kIndex;
    return affine(out.index) && expect(")");
  }
  out.kind = ExprKind::kScalar;
  if (!expr(out.args[0])) return false;
  const std::optional<ScalarOp> op =
      peek().kind == TokenKind::kSign || peek().kind == TokenKind::kWord
          ? find_word(kInfixWords, peek().text)
          : std::nullopt;
  if (!op) return expected("an operator such as +");
  take();
  out.op = *op;
  return expr(out.args[1]) && expect(")");
}

bool ExprParser::arguments(Expr& out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (i > 0 && !expect(",")) return false;
    if (!expr(out.args[i])) return false;
  }
  return true;
}

bool ExprParser::call(Expr& out) {
  const Token name = take();
  take();
  const auto whole = [&](ExprKind kind, size_t count, bool number) {
    out.kind = kind;
    return arguments(out, count) && (!number || (expect(",") && integer(out.imm))) && expect(")");
  };
  if (name.text == "guard") return whole(ExprKind::kGuard, 3, false);
  if (name.text == "random") return whole(ExprKind::kRandom, 4, false);
  const bool div = name.text == "floor_div";
  if (div || name.text == "floor_mod") {
    if (!whole(div ? ExprKind::kFloorDiv : ExprKind::kFloorMod, 1, true)) return false;
    return out.imm > 0 || fail(name, "{} by {}, which is not positive", name.text, out.imm);
  }
  if (const std::optional<DType> to = find_dtype(name.text)) {
    out.op = ScalarOp::kCast;
    out.dtype = *to;
    return whole(ExprKind::kScalar, 1, false);
  }
  const std::optional<ScalarOp> op = find_scalar_op(name.text);
  if (!op) return fail(name, "no function is called \"{}\"", name.text);
  out.op = *op;
  return whole(ExprKind::kScalar, static_cast<size_t>(scalar_op_arity(*op)), false);
}

}  // namespace gradc::kernel
