#include "ir/op.h"

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
