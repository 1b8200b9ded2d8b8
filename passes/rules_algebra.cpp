// Algebra of elementwise ops. A rule holds for every IEEE value of its variables, infinities and
// NaN included, up to the sign of a zero result, which gradc does not promise; where it does not
// (x * 0, x - x), a condition says for which operands it does. Nothing here reorders roundings:
// constants move only where the arithmetic is exact. No rule makes code worse.
#include "ir/element.h"
#include "passes/pattern.h"

#include <cmath>
#include <cstdlib>

namespace gradc {

namespace {

using namespace pattern;  // NOLINT(google-build-using-namespace): rules read as algebra

bool x_is_finite(const Match& m) {
  return is_surely_finite(m.builder->graph(), m.x().id());
}
/// Multiplying by 1 / c is dividing by c: c and 1 / c are powers of two, and numbers of the type.
bool reciprocal_is_exact(const Match& m) {
  int exponent = 0;
  const double mantissa = std::frexp(m.c_value(), &exponent);
  const DType dtype = m.x().dtype();
  return is_float(dtype) && std::fabs(mantissa) == 0.5 && std::abs(exponent) < 100 &&
         is_element(1.0 / m.c_value(), dtype);
}
bool minus_c_exists(const Match& m) {
  return is_element(-m.c_value(), m.x().dtype());
}

Val finite_input(Builder& b) {
  return tanh(cast(b.input(InputKind::kInput, {DType::kBool, Shape{2, 3}}, "x", "x"), DType::kF32));
}
Val finite_times_zero(Builder& b) {
  return finite_input(b) * 0.0;
}
Val finite_minus_itself(Builder& b) {
  const Val x = finite_input(b);
  return x - x;
}

std::vector<Rule> arithmetic_rules() {
  const Pattern x = any(0), y = any(1), c = splat(3);
  const Pattern zero = number(0.0), one = number(1.0), minus_one = number(-1.0);
  const auto abs = [](const Pattern& p) { return apply(Op::kAbs, {p}); };
  const auto relu = [](const Pattern& p) { return apply(Op::kRelu, {p}); };
  const auto max = [](const Pattern& a, const Pattern& b) { return apply(Op::kMax, {a, b}); };
  const auto min = [](const Pattern& a, const Pattern& b) { return apply(Op::kMin, {a, b}); };
  const auto pow = [](const Pattern& a, const Pattern& b) { return apply(Op::kPow, {a, b}); };
  return {
      rule("x + 0 -> x", x + zero, x),
      rule("x - 0 -> x", x - zero, x),
      rule("0 - x -> -x", zero - x, -x),
      rule("x * 1 -> x", x * one, x),
      rule("x / 1 -> x", x / one, x),
      rule("x * -1 -> -x", x * minus_one, -x),
      rule("x / -1 -> -x", x / minus_one, -x),
      rule("x * 0 -> 0, if x is surely finite", x * zero, zero, x_is_finite, finite_times_zero),
      rule("x - x -> 0, if x is surely finite", x - x, zero, x_is_finite, finite_minus_itself),
      rule(
          "x / c -> x * (1 / c), if c is a power of two", x / c,
          [](const Match& m) { return m.x() * (1.0 / m.c_value()); }, reciprocal_is_exact),
      rule("-(-x) -> x", -(-x), x),
      rule("-(x - y) -> y - x", -(x - y), y - x),
      rule(
          "-(x * c) -> x * -c", -(x * c), [](const Match& m) { return m.x() * -m.c_value(); },
          minus_c_exists),
      rule(
          "-x * c -> x * -c", -x * c, [](const Match& m) { return m.x() * -m.c_value(); },
          minus_c_exists),
      rule("-x * -y -> x * y", -x * -y, x * y),
      rule("-x / -y -> x / y", -x / -y, x / y),
      rule("x + -y -> x - y", x + -y, x - y),
      rule("x - -y -> x + y", x - -y, x + y),
      rule("pow(x, 1) -> x", pow(x, one), x),
      rule("pow(x, 2) -> x * x", pow(x, number(2.0)), x * x),
      rule("pow(x, 3) -> x * x * x", pow(x, number(3.0)), x * x * x),
      rule("pow(x, -1) -> 1 / x", pow(x, minus_one), one / x),
      rule("max(x, x) -> x", max(x, x), x),
      rule("min(x, x) -> x", min(x, x), x),
      rule("abs(-x) -> abs(x)", abs(-x), abs(x)),
      rule("abs(abs(x)) -> abs(x)", abs(abs(x)), abs(x)),
      rule("relu(relu(x)) -> relu(x)", relu(relu(x)), relu(x)),
  };
}

std::vector<Rule> logic_rules() {
  const Pattern x = any(0), y = any(1), z = any(2);
  const Pattern yes = number(1.0), no = number(0.0);
  const auto op = [](Op root, std::vector<Pattern> operands) {
    return apply(root, std::move(operands));
  };
  const auto select = [&](const Pattern& a, const Pattern& b, const Pattern& d) {
    return op(Op::kSelect, {a, b, d});
  };
  return {
      rule("not(not(x)) -> x", op(Op::kNot, {op(Op::kNot, {x})}), x),
      rule("not(x == y) -> x != y", op(Op::kNot, {op(Op::kEqual, {x, y})}),
           op(Op::kNotEqual, {x, y})),
      rule("not(x != y) -> x == y", op(Op::kNot, {op(Op::kNotEqual, {x, y})}),
           op(Op::kEqual, {x, y})),
      rule("and(x, true) -> x", op(Op::kAnd, {x, yes}), x),
      rule("and(x, false) -> false", op(Op::kAnd, {x, no}), no),
      rule("and(x, x) -> x", op(Op::kAnd, {x, x}), x),
      rule("or(x, false) -> x", op(Op::kOr, {x, no}), x),
      rule("or(x, true) -> true", op(Op::kOr, {x, yes}), yes),
      rule("or(x, x) -> x", op(Op::kOr, {x, x}), x),
      rule("select(true, x, y) -> x", select(yes, x, y), x),
      rule("select(false, x, y) -> y", select(no, x, y), y),
      rule("select(x, y, y) -> y", select(x, y, y), y),
      rule("select(not(x), y, z) -> select(x, z, y)", select(op(Op::kNot, {x}), y, z),
           select(x, z, y)),
  };
}

}  // namespace

std::vector<Rule> algebra_rules() {
  std::vector<Rule> rules = arithmetic_rules();
  for (Rule& logic : logic_rules())
    rules.push_back(std::move(logic));
  return rules;
}

}  // namespace gradc
