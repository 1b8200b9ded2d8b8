#include "ir/op.h"

#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace gradc {

namespace ops {
#define GRADC_OP(enumerator, name) extern const OpDef enumerator;
#include "ir/ops.def"
#undef GRADC_OP
}  // namespace ops

namespace {

constexpr std::array<const OpDef*, kNumOps> kTable = {
#define GRADC_OP(enumerator, name) &ops::enumerator,
#include "ir/ops.def"
#undef GRADC_OP
};

}  // namespace

const OpDef& def(Op op) {
  return *kTable[static_cast<size_t>(op)];
}

std::string_view op_name(Op op) {
  return def(op).name;
}

Arity arity(const OpDef& entry) {
  Arity count;
  for (std::string_view rest = entry.operands; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    if (word.ends_with("...")) {
      count.max = SIZE_MAX;
      break;
    }
    ++count.max;
    ++count.min;
  }
  return count;
}

namespace {

/// The number of operands and the kind of the attributes.
Status check_call(const OpDef& entry, std::span<const TensorType> operands, const AttrRef& attrs) {
  const auto [min, max] = arity(entry);
  if (operands.size() < min || operands.size() > max) {
    const std::string expected = fmt::format("{}{}", max == SIZE_MAX ? "at least " : "", min);
    return make_error(DiagKind::kIrInvalid, {}, "{} has {} operands, expected {} ({})", entry.name,
                      operands.size(), expected, entry.operands);
  }
  if (entry.attrs != nullptr ? attrs.empty() || attrs.vtable() != entry.attrs : !attrs.empty())
    return make_error(DiagKind::kIrInvalid, {}, "{} has the attributes of another op", entry.name);
  return Ok{};
}

}  // namespace

Result<Types> infer_types(Op op, std::span<const TensorType> operands, const AttrRef& attrs,
                          const Graph* body) {
  const OpDef& entry = def(op);
  GRADC_TRY_STATUS(check_call(entry, operands, attrs));
  return entry.infer({operands, attrs, body, entry.name});
}

Result<Types> body_arg_types(Op op, std::span<const TensorType> operands, const AttrRef& attrs) {
  const OpDef& entry = def(op);
  GRADC_CHECK(entry.body != nullptr, "{} has no body", entry.name);
  GRADC_TRY_STATUS(check_call(entry, operands, attrs));
  return entry.body->arg_types({operands, attrs, nullptr, entry.name});
}

const OpDef* find_op(std::string_view name) {
  for (const OpDef* entry : kTable) {
    if (entry->name == name) return entry;
  }
  return nullptr;
}

std::span<const OpDef* const> all_ops() {
  return kTable;
}

std::string_view lowering_name(Lowering lowering) {
  static constexpr std::array<std::string_view, 10> kNames = {
      "scalar", "reduce", "matmul", "conv",      "pool",
      "gather", "view",   "source", "structure", "composite"};
  return kNames[static_cast<size_t>(lowering)];
}

}  // namespace gradc
