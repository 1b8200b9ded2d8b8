// The scalar functions generated code can compute for one element (or one vector of elements).
// A small closed set: elementwise ops of the op table map to one each; codegen and the kernel
// interpreter switch over it.
#pragma once

#include <cstdint>
#include <string_view>

namespace gradc {

enum class ScalarOp : uint8_t {
  // unary
  kNeg,
  kAbs,
  kSign,
  kExp,
  kExpm1,
  kLog,
  kLog1p,
  kSqrt,
  kRsqrt,
  kSin,
  kCos,
  kTanh,
  kErf,
  kErfc,
  kSigmoid,
  kRelu,
  kFloor,
  kCeil,
  kRound,
  kNot,
  kIsFinite,
  // binary
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,
  kPow,
  kAnd,
  kOr,
  // comparisons, giving bool; NaN compares false except for kNe
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  // select(condition, a, b) and conversion to the result's dtype
  kSelect,
  kCast,
  kNone,
};
inline constexpr int kNumScalarOps = static_cast<int>(ScalarOp::kNone);

std::string_view scalar_op_name(ScalarOp op);
int scalar_op_arity(ScalarOp op);
/// Of one element, in additions.
double scalar_op_cost(ScalarOp op);

}  // namespace gradc
