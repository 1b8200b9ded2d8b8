#include "frontend/formula_functions.h"

#include "frontend/families.h"
#include "frontend/own_losses.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <utility>

namespace gradc {
namespace {

using Group = FormulaFunction::Group;

constexpr std::array<std::string_view, 4> kReductions = {"mean", "sum", "max", "min"};

/// Names beside those of the op table.
constexpr std::pair<std::string_view, Op> kOtherNames[] = {{"where", Op::kSelect}};

/// Scalar functions whose result follows from their operands alone. Those of the language's
/// operators have no name in it.
bool is_scalar_function(const OpDef& op) {
  constexpr Op kOperators[] = {Op::kAdd,     Op::kSub,          Op::kMul,  Op::kDiv,
                               Op::kEqual,   Op::kNotEqual,     Op::kLess, Op::kLessEqual,
                               Op::kGreater, Op::kGreaterEqual, Op::kNeg};
  return op.has(kTraitElementwise) && !op.has(kTraitRandom) && op.attrs == nullptr &&
         std::ranges::find(kOperators, op.op) == std::end(kOperators) && op.op != Op::kCast;
}

const OpDef* scalar_function(std::string_view name) {
  for (const auto& [other, op] : kOtherNames)
    if (other == name) return &def(op);
  const OpDef* op = find_op(name);
  return op != nullptr && is_scalar_function(*op) ? op : nullptr;
}

const ComponentDef* loss_function(std::string_view name) {
  const ComponentDef* loss = find_member(Family::kLoss, name);
  return loss != nullptr && is_loss_of_two(*loss) ? loss : nullptr;
}

bool is_reduction(std::string_view name) {
  return std::ranges::find(kReductions, name) != kReductions.end();
}

}  // namespace

FormulaFunction find_function(std::string_view name, size_t operands) {
  if (name == "square") return {.group = Group::kSquare};
  const OpDef* scalar = scalar_function(name);
  if (is_reduction(name) && (operands < 2 || scalar == nullptr))
    return {.group = Group::kReduction};
  if (scalar != nullptr) return {.group = Group::kScalar, .op = scalar->op};
  if (const ComponentDef* loss = loss_function(name))
    return {.group = Group::kLoss, .component = loss};
  if (const ComponentDef* activation = find_member(Family::kActivation, name))
    return {.group = Group::kActivation, .component = activation};
  return {};
}

bool is_function(std::string_view name) {
  return find_function(name, 1).group != Group::kNone;
}

std::vector<std::string> function_names() {
  std::vector<std::string> names(kReductions.begin(), kReductions.end());
  names.emplace_back("target");
  names.emplace_back("square");
  for (const auto& [name, op] : kOtherNames)
    names.emplace_back(name);
  for (const OpDef* op : all_ops())
    if (is_scalar_function(*op)) names.emplace_back(op->name);
  for (const ComponentDef* loss : family_members(Family::kLoss)) {
    if (!is_loss_of_two(*loss)) continue;
    names.emplace_back(loss->type);
    for (std::string& alias : split_words(loss->aliases))
      names.push_back(std::move(alias));
  }
  for (const std::string& activation : member_names(Family::kActivation))
    names.push_back(activation);
  return names;
}

Op infix_op(std::string_view text) {
  constexpr std::pair<std::string_view, Op> kInfix[] = {
      {"+", Op::kAdd},           {"-", Op::kSub},    {"*", Op::kMul},        {"/", Op::kDiv},
      {"^", Op::kPow},           {"<", Op::kLess},   {"<=", Op::kLessEqual}, {">", Op::kGreater},
      {">=", Op::kGreaterEqual}, {"==", Op::kEqual}, {"!=", Op::kNotEqual}};
  for (const auto& [written, op] : kInfix)
    if (written == text) return op;
  GRADC_UNREACHABLE();
}

}  // namespace gradc
