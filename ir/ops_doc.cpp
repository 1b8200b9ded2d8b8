#include "ir/ops_doc.h"

#include "ir/op.h"

#include <fmt/format.h>

#include <string_view>

namespace gradc {

namespace {

constexpr std::string_view kIntroduction =
    "# Ops\n\n"
    "Generated from the op table by `gradc ops`; a test compares this page with it.\n\n"
    "Operands of elementwise ops have equal types: broadcasts and casts are ops of their own. Axes "
    "are non-negative.\nAn operand written `name...` stands for any number. Attributes "
    "are\nshown with their defaults; empty lists of "
    "strides, dilations and paddings stand for 1, 1 and 0 everywhere.\nPrimitive ops have a "
    "lowering; composite ops expand into primitives before code is generated.\n";

/// The text of a table cell, with a backslash before each of `special`.
std::string cell(std::string_view text, std::string_view special) {
  std::string out;
  for (char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string attributes(const OpDef& op) {
  if (op.attrs == nullptr) return "";
  std::string out;
  for (const auto& [name, value] : AttrRef(op.attrs->make_default(), op.attrs).all_fields()) {
    const std::string shown = print_attr(value);
    out += fmt::format("{}`{}={}`", out.empty() ? "" : ", ", name,
                       shown == "dense<>" ? "(required)" : shown);
  }
  return out;
}

std::string gradient(const OpDef& op) {
  if (!op.no_grad.empty()) return fmt::format("no: {}", op.no_grad);
  if (op.has(kTraitPiecewiseConstant)) return "zero: the function is piecewise constant";
  return op.grad != nullptr ? "yes" : "by its expansion";
}

std::string row(const OpDef& op) {
  std::string what = cell(op.summary, "|*_");
  if (!op.formula.empty()) what += fmt::format(" `{}`", cell(op.formula, "|"));
  return fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", op.name, cell(op.operands, "_"),
                     cell(op.results, "_"), attributes(op), what, gradient(op));
}

std::string family(std::string_view title) {
  return fmt::format(
      "\n## {}\n\n| op | operands | results | attributes | what it computes | gradient |\n"
      "|----|----------|---------|------------|------------------|----------|\n",
      title);
}

}  // namespace

std::string ops_markdown() {
  std::string out(kIntroduction);
#define GRADC_OP_FAMILY(title) out += family(title);
#define GRADC_OP(enumerator, name) out += row(def(Op::enumerator));
#include "ir/ops.def"
#undef GRADC_OP
  return out;
}

std::string op_text(std::string_view name) {
  const OpDef* const op = find_op(name);
  if (op == nullptr) return {};
  const OpDef& of = *op;
  std::string out = fmt::format("# {}\n\n{}\n", of.name, of.summary);
  const auto add = [&](const char* what, std::string_view text) {
    if (!text.empty()) out += fmt::format("- {}: {}\n", what, text);
  };
  out += "\n";
  add("operands", of.operands);
  add("results", of.results);
  add("attributes", attributes(of));
  add("computes", of.formula);
  add("gradient", gradient(of));
  return out;
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
#define GRADC_OP(enumerator, spelling) names.emplace_back(spelling);
#include "ir/ops.def"
#undef GRADC_OP
  return names;
}

}  // namespace gradc
