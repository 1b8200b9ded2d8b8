#include "ir/scalar_op.h"

#include "support/check.h"

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

double scalar_op_cost(ScalarOp op) {
  switch (op) {
    case ScalarOp::kNeg:
    case ScalarOp::kAbs:
    case ScalarOp::kSign:
    case ScalarOp::kRelu:
    case ScalarOp::kFloor:
    case ScalarOp::kCeil:
    case ScalarOp::kRound:
    case ScalarOp::kNot:
    case ScalarOp::kIsFinite:
    case ScalarOp::kAdd:
    case ScalarOp::kSub:
    case ScalarOp::kMul:
    case ScalarOp::kMax:
    case ScalarOp::kMin:
    case ScalarOp::kAnd:
    case ScalarOp::kOr:
    case ScalarOp::kEq:
    case ScalarOp::kNe:
    case ScalarOp::kLt:
    case ScalarOp::kLe:
    case ScalarOp::kGt:
    case ScalarOp::kGe:
    case ScalarOp::kSelect:
    case ScalarOp::kCast:
      return 1;
    case ScalarOp::kDiv:
    case ScalarOp::kSqrt:
    case ScalarOp::kRsqrt:
      return 8;
    case ScalarOp::kExp:
    case ScalarOp::kExpm1:
    case ScalarOp::kLog:
    case ScalarOp::kLog1p:
    case ScalarOp::kSin:
    case ScalarOp::kCos:
    case ScalarOp::kTanh:
    case ScalarOp::kErf:
    case ScalarOp::kErfc:
    case ScalarOp::kSigmoid:
      return 16;
    case ScalarOp::kPow:
      return 40;
    case ScalarOp::kNone:
      return 0;
  }
  GRADC_UNREACHABLE();
}

}  // namespace gradc
