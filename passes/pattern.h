// A small pattern language for rewrite rules: `rule("x * 1 -> x", x * one, x)`.
//
// A pattern is a tree of ops over variables (x, y, z: any value; c: any splat constant) and splat
// constants of a given number. A variable that occurs twice must match the same value. Operands of
// a commutative op are tried in both orders. Matching looks at elementwise ops only, whose operands
// and result have one shape; rules about shapes and attributes are functions (rules_shape.cpp).
#pragma once

#include "ir/builder.h"

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gradc {

/// One rewrite. `apply` gives the value that stands for the node's first result, or an empty Val
/// when the rule does not apply; the builder inserts before the node.
struct Rule {
  std::string text;                         ///< "x * 1 -> x", with the condition in words; unique
  std::function<bool(const OpDef&)> roots;  ///< the ops it may apply to
  std::function<Val(Builder&, NodeId)> apply;
  /// Builds an example where the rule applies, from new inputs, for the generic tests.
  std::function<Val(Builder&)> sample;
};

namespace pattern {

struct Tree;
using Pattern = std::shared_ptr<const Tree>;

struct Tree {
  enum class Kind : uint8_t { kAny, kSplat, kNumber, kOp };
  Kind kind = Kind::kAny;
  size_t variable = 0;  ///< kAny, kSplat: which
  double number = 0.0;  ///< kNumber
  Op op{};              ///< kOp
  std::vector<Pattern> operands;
};

inline constexpr size_t kNumVariables = 4;

/// What the variables of a pattern stand for.
struct Match {
  Builder* builder = nullptr;
  std::array<Val, kNumVariables> values;
  Val x() const { return values[0]; }
  Val y() const { return values[1]; }
  Val z() const { return values[2]; }
  Val c() const { return values[3]; }
  double c_value() const;
};

Pattern any(size_t variable);
Pattern splat(size_t variable);
Pattern number(double value);
Pattern apply(Op op, std::vector<Pattern> operands);
inline Pattern operator+(Pattern a, Pattern b) {
  return apply(Op::kAdd, {std::move(a), std::move(b)});
}
inline Pattern operator-(Pattern a, Pattern b) {
  return apply(Op::kSub, {std::move(a), std::move(b)});
}
inline Pattern operator*(Pattern a, Pattern b) {
  return apply(Op::kMul, {std::move(a), std::move(b)});
}
inline Pattern operator/(Pattern a, Pattern b) {
  return apply(Op::kDiv, {std::move(a), std::move(b)});
}
inline Pattern operator-(Pattern a) {
  return apply(Op::kNeg, {std::move(a)});
}

using Condition = bool (*)(const Match&);
using Replacement = Val (*)(const Match&);
using SampleFn = Val (*)(Builder&);

/// A rule whose right side is a pattern over the variables of the left; its splat numbers take the
/// type of the result.
Rule rule(std::string text, Pattern from, Pattern to, Condition condition = nullptr,
          SampleFn sample = nullptr);
/// A rule whose right side is computed.
Rule rule(std::string text, Pattern from, Replacement to, Condition condition = nullptr,
          SampleFn sample = nullptr);

}  // namespace pattern

/// The number all elements of a constant have, if the value is such a constant.
std::optional<double> splat_value(const Graph& graph, ValueId value);
/// The node that defines the value if it has this op, else invalid.
NodeId def_with_op(const Graph& graph, ValueId value, Op op);
/// Whether no element can be infinite or NaN, as far as a short look at its definition tells.
bool is_surely_finite(const Graph& graph, ValueId value);

/// The rules of canonicalize, in the order they are tried.
const std::vector<Rule>& canonical_rules();
std::vector<Rule> algebra_rules();
std::vector<Rule> view_rules();
std::vector<Rule> contraction_rules();
std::vector<Rule> row_rules();
/// One line per rule, for `gradc opt --help-rules` and the documentation.
std::string print_rules();

}  // namespace gradc
