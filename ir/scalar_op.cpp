#include "ir/scalar_op.h"

#include <array>

namespace gradc {

namespace {

constexpr std::array<std::string_view, kNumScalarOps + 1> kNames = {
    "neg",       "abs",  "sign", "exp",  "expm1",   "log",  "log1p",  "sqrt", "rsqrt", "sin",
    "cos",       "tanh", "erf",  "erfc", "sigmoid", "relu", "floor",  "ceil", "round", "not",
    "is_finite", "add",  "sub",  "mul",  "div",     "max",  "min",    "pow",  "and",   "or",
    "eq",        "ne",   "lt",   "le",   "gt",      "ge",   "select", "cast", "none"};

}  // namespace

std::string_view scalar_op_name(ScalarOp op) {
  return kNames[static_cast<size_t>(op)];
}

int scalar_op_arity(ScalarOp op) {
  if (op <= ScalarOp::kIsFinite || op == ScalarOp::kCast) return 1;
  if (op == ScalarOp::kSelect) return 3;
  return op == ScalarOp::kNone ? 0 : 2;
}

}  // namespace gradc
