// A parser by recursive descent, a function for each level of binding:
//   comparison  sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
//   sum         product {("+" | "-") product}
//   product     sign {("*" | "/") sign}
//   sign        "-" sign | power
//   power       subscripted ["^" sign]                     so -x^2 is -(x^2), 2^-x is possible
//   subscripted part {"[" subscript {"," subscript} "]"}
//   part        number | name | 'name' | name "(" [argument {"," argument}] ")" | "(" comparison
//   ")" argument    comparison | name "=" (["-"] number | "true" | "false") subscript   integer |
//   [integer] ":" [integer]
#include "frontend/formula.h"

#include "support/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace gradc {
namespace {

constexpr int kMostLevels = 64;
constexpr int kMostParts = 1000;  // names, numbers and subscripts: what is built is as deep

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

class FormulaParser {
 public:
  FormulaParser(const std::string& text, const Place& place, DiagnosticSink& sink)
      : text_(text), place_(place), sink_(sink) {}

  std::optional<FormulaNode> run() {
    auto root = comparison();
    if (!root) return std::nullopt;
    skip_blanks();
    if (at_ < text_.size()) {
      unexpected("an operator");
      return std::nullopt;
    }
    return root;
  }

 private:
  using Parsed = std::optional<FormulaNode>;
  using Kind = FormulaNode::Kind;

  Diagnostic& report(FormulaRange range, std::string message) {
    return sink_.add(make_error(DiagKind::kBadValue, place_in(place_, range), "{}", message));
  }

  void unexpected(std::string_view wanted) {
    skip_blanks();
    if (at_ == text_.size()) {
      report({at_, at_}, fmt::format("the formula ends where {} should stand", wanted));
      return;
    }
    size_t end = at_ + 1;  // a whole character
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0U) == 0x80U)
      ++end;
    report({at_, end},
           fmt::format("\"{}\" stands where {} should be", text_.substr(at_, end - at_), wanted));
  }

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t'))
      ++at_;
  }

  bool take(std::string_view word) {
    skip_blanks();
    if (!std::string_view(text_).substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  bool demand(std::string_view word, std::string_view wanted) {
    if (take(word)) return true;
    unexpected(wanted);
    return false;
  }

  static FormulaNode infix(std::string op, FormulaRange range, FormulaNode a, FormulaNode b) {
    FormulaNode node{.kind = Kind::kInfix, .text = std::move(op), .range = range};
    node.operands.push_back(std::move(a));
    node.operands.push_back(std::move(b));
    return node;
  }

  Parsed comparison() {
    if (++levels_ > kMostLevels) {
      report({at_, at_}, fmt::format("a formula of more than {} levels", kMostLevels));
      return std::nullopt;
    }
    Parsed left = sum();
    if (left) left = compared(std::move(*left));
    --levels_;
    return left;
  }

  Parsed compared(FormulaNode left) {
    skip_blanks();
    for (const char* op : {"<=", ">=", "==", "!=", "<", ">"}) {
      const size_t begin = at_;
      if (!take(op)) continue;
      const FormulaRange range{begin, at_};
      Parsed right = sum();
      if (!right) return std::nullopt;
      return infix(op, range, std::move(left), std::move(*right));
    }
    return left;
  }

  Parsed sum() {
    return chain("+-", [this] { return product(); });
  }
  Parsed product() {
    return chain("*/", [this] { return sign(); });
  }

  template <class Next>
  Parsed chain(std::string_view operators, Next next) {
    Parsed left = next();
    while (left) {
      skip_blanks();
      const bool more = at_ < text_.size() && operators.find(text_[at_]) != std::string_view::npos;
      if (!more || text_.compare(at_, 2, "**") == 0) break;
      const FormulaRange range{at_, at_ + 1};
      const std::string op(1, text_[at_++]);
      Parsed right = next();
      if (!right) return std::nullopt;
      left = infix(op, range, std::move(*left), std::move(*right));
    }
    return left;
  }

  Parsed sign() {
    skip_blanks();
    const size_t begin = at_;
    if (!take("-")) return power();
    if (++levels_ > kMostLevels) {
      report({begin, at_}, fmt::format("a formula of more than {} levels", kMostLevels));
      return std::nullopt;
    }
    Parsed operand = sign();
    --levels_;
    if (!operand) return std::nullopt;
    FormulaNode node{.kind = Kind::kMinus, .text = "-", .range = {begin, begin + 1}};
    node.operands.push_back(std::move(*operand));
    return node;
  }

  Parsed power() {
    Parsed base = subscripted();
    if (!base) return std::nullopt;
    skip_blanks();
    const size_t begin = at_;
    if (!take("^")) {
      if (!take("**")) return base;
      report({begin, at_}, "\"**\" is no operator of formulas").with_help("\"^\" is the power");
      return std::nullopt;
    }
    const FormulaRange range{begin, at_};
    if (++levels_ > kMostLevels) {
      report(range, fmt::format("a formula of more than {} levels", kMostLevels));
      return std::nullopt;
    }
    Parsed exponent = sign();
    --levels_;
    if (!exponent) return std::nullopt;
    return infix("^", range, std::move(*base), std::move(*exponent));
  }

  Parsed subscripted() {
    skip_blanks();
    const size_t begin = at_;
    Parsed node = part();
    while (node && take("[")) {
      if (!count_part()) return std::nullopt;
      FormulaNode outer{.kind = Kind::kSubscript};
      do {
        const auto subscript = one_subscript();
        if (!subscript) return std::nullopt;
        outer.subscripts.push_back(*subscript);
      } while (take(","));
      if (!demand("]", "\"]\"")) return std::nullopt;
      outer.range = {begin, at_};
      outer.operands.push_back(std::move(*node));
      node = std::move(outer);
    }
    return node;
  }

  std::optional<FormulaSubscript> one_subscript() {
    skip_blanks();
    FormulaSubscript subscript{.range = {at_, at_}};
    subscript.first = integer();
    const bool is_range = take(":");
    if (is_range) subscript.last = integer();
    subscript.one = !is_range;
    if (!is_range && !subscript.first) {
      unexpected("an element's number, or a range like 1:");
      return std::nullopt;
    }
    subscript.range.end = at_;
    return subscript;
  }

  std::optional<int64_t> integer() {
    skip_blanks();
    int64_t number = 0;
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), number);
    if (error != std::errc()) return std::nullopt;
    at_ += static_cast<size_t>(end - begin);
    return number;
  }

  /// False after a report: there are too many.
  bool count_part() {
    if (++parts_ <= kMostParts) return true;
    report({at_, at_}, fmt::format("a formula of more than {} names and numbers", kMostParts));
    return false;
  }

  Parsed part() {
    if (!count_part()) return std::nullopt;
    skip_blanks();
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (is_digit(c) || c == '.') return number();
    if (c == '\'') return quoted_name();
    if (is_letter(c)) return named();
    if (take("(")) {
      Parsed inner = comparison();
      if (!inner || !demand(")", "\")\"")) return std::nullopt;
      return inner;
    }
    unexpected("a number, a name or \"(\"");
    return std::nullopt;
  }

  Parsed number() {
    const size_t begin = at_;
    while (at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '.'))
      ++at_;
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
      while (at_ < text_.size() && is_digit(text_[at_]))
        ++at_;
    }
    const FormulaRange range{begin, at_};
    const std::string written = text_.substr(begin, at_ - begin);
    const auto value = parse_double(written);
    if (!value || *value > 1e300) {
      report(range, fmt::format("\"{}\" is no number that can be computed with", written));
      return std::nullopt;
    }
    return FormulaNode{.kind = Kind::kNumber, .text = written, .number = *value, .range = range};
  }

  Parsed quoted_name() {
    const size_t begin = at_;
    const size_t end = text_.find('\'', begin + 1);
    if (end == std::string::npos || end == begin + 1) {
      report({begin, text_.size()}, "a name in quotes that does not end, or is empty");
      return std::nullopt;
    }
    at_ = end + 1;
    return FormulaNode{.kind = Kind::kName,
                       .text = text_.substr(begin + 1, end - begin - 1),
                       .quoted = true,
                       .range = {begin, at_}};
  }

  std::string word() {
    const size_t begin = at_;
    while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_])))
      ++at_;
    return text_.substr(begin, at_ - begin);
  }

  Parsed named() {
    const size_t begin = at_;
    FormulaNode node{.kind = Kind::kName, .text = word(), .range = {begin, at_}};
    if (!take("(")) return node;
    node.kind = Kind::kCall;
    if (take(")")) return node;
    do {
      if (!argument(node)) return std::nullopt;
    } while (take(","));
    if (!demand(")", "\",\" or \")\"")) return std::nullopt;
    return node;
  }

  bool argument(FormulaNode& call) {
    skip_blanks();
    const size_t begin = at_;
    const std::string name = at_ < text_.size() && is_letter(text_[at_]) ? word() : std::string();
    skip_blanks();
    const bool keyword =
        !name.empty() && text_.compare(at_, 1, "=") == 0 && text_.compare(at_, 2, "==") != 0;
    if (!keyword) {
      at_ = begin;
      Parsed operand = comparison();
      if (operand) call.operands.push_back(std::move(*operand));
      return operand.has_value();
    }
    ++at_;
    return keyword_value(call, name, begin);
  }

  bool keyword_value(FormulaNode& call, const std::string& name, size_t begin) {
    FormulaNode::Keyword keyword{.name = name};
    const bool negative = take("-");
    skip_blanks();
    if (at_ < text_.size() && is_letter(text_[at_])) {
      const size_t value_at = at_;
      const std::string value = word();
      if (negative || (value != "true" && value != "false")) {
        at_ = value_at;
        unexpected("a number, true or false");
        return false;
      }
      keyword.is_truth = true;
      keyword.number = value == "true" ? 1.0 : 0.0;
    } else {
      if (at_ == text_.size() || !(is_digit(text_[at_]) || text_[at_] == '.')) {
        unexpected("a number, true or false");
        return false;
      }
      const Parsed value = number();
      if (!value) return false;
      keyword.number = negative ? -value->number : value->number;
    }
    keyword.range = {begin, at_};
    call.keywords.push_back(std::move(keyword));
    return true;
  }

  const std::string& text_;
  const Place& place_;
  DiagnosticSink& sink_;
  size_t at_ = 0;
  int levels_ = 0;
  int parts_ = 0;
};

}  // namespace

Place place_in(Place text, FormulaRange range) {
  text.text_begin = range.begin;
  text.text_end = std::max(range.end, range.begin + 1);
  return text;
}

std::shared_ptr<const Formula> parse_formula(const std::string& text, const Place& place,
                                             DiagnosticSink& sink) {
  auto root = FormulaParser(text, place, sink).run();
  if (!root) return nullptr;
  auto formula = std::make_shared<Formula>();
  formula->text = text;
  formula->root = std::move(*root);
  return formula;
}

}  // namespace gradc
