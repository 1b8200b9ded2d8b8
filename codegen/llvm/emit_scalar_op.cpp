// Operators on elements: arithmetic, comparisons, selection, conversion, and the calls of vector
// mathematics.
#include "codegen/llvm/emitter.h"
#include "support/check.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>

namespace gradc::cg {

using kernel::Expr;

namespace {

llvm::Value* unary_intrinsic(Builder& ir, llvm::Intrinsic::ID id, llvm::Value* x) {
  return ir.CreateUnaryIntrinsic(id, x);
}

llvm::Value* sign_of(Builder& ir, llvm::Value* x) {
  llvm::Type* type = x->getType();
  llvm::Constant* zero = llvm::Constant::getNullValue(type);
  if (!type->isFPOrFPVectorTy()) {
    llvm::Value* positive = ir.CreateZExt(ir.CreateICmpSGT(x, zero), type);
    return ir.CreateAdd(positive, ir.CreateSExt(ir.CreateICmpSLT(x, zero), type));
  }
  llvm::Value* below =
      ir.CreateSelect(ir.CreateFCmpOLT(x, zero), llvm::ConstantFP::get(type, -1.0), x);
  return ir.CreateSelect(ir.CreateFCmpOGT(x, zero), llvm::ConstantFP::get(type, 1.0), below);
}

/// The integer quotient; 0 where the divisor is 0 (masked lanes hold zeros).
llvm::Value* divide_integers(Builder& ir, llvm::Value* a, llvm::Value* b, bool is_unsigned) {
  llvm::Constant* zero = llvm::Constant::getNullValue(a->getType());
  llvm::Constant* one = llvm::ConstantInt::get(a->getType(), 1);
  llvm::Value* by_zero = ir.CreateICmpEQ(b, zero);
  if (is_unsigned)
    return ir.CreateSelect(by_zero, zero, ir.CreateUDiv(a, ir.CreateSelect(by_zero, one, b)));
  llvm::Value* by_minus_one = ir.CreateICmpEQ(b, llvm::ConstantInt::getSigned(a->getType(), -1));
  llvm::Value* safe = ir.CreateSelect(ir.CreateOr(by_zero, by_minus_one), one, b);
  llvm::Value* quotient = ir.CreateSDiv(a, safe);
  quotient = ir.CreateSelect(by_minus_one, ir.CreateNeg(a), quotient);
  return ir.CreateSelect(by_zero, zero, quotient);
}

/// The larger (or smaller) of two elements; NaN if either is NaN.
llvm::Value* extremum(Builder& ir, llvm::Value* a, llvm::Value* b, bool larger, bool is_unsigned) {
  if (!a->getType()->isFPOrFPVectorTy()) {
    const auto id = larger ? (is_unsigned ? llvm::Intrinsic::umax : llvm::Intrinsic::smax)
                           : (is_unsigned ? llvm::Intrinsic::umin : llvm::Intrinsic::smin);
    return ir.CreateBinaryIntrinsic(id, a, b);
  }
  llvm::Value* better = larger ? ir.CreateFCmpOGT(a, b) : ir.CreateFCmpOLT(a, b);
  llvm::Value* ordered = ir.CreateSelect(better, a, b);
  return ir.CreateSelect(ir.CreateFCmpUNO(a, a), a, ordered);
}

llvm::Value* relu_of(Builder& ir, llvm::Value* x) {
  llvm::Constant* zero = llvm::Constant::getNullValue(x->getType());
  if (x->getType()->isFPOrFPVectorTy()) return ir.CreateSelect(ir.CreateFCmpOGT(zero, x), zero, x);
  return ir.CreateSelect(ir.CreateICmpSGT(zero, x), zero, x);
}

const char* libm_name(ScalarOp op) {
  switch (op) {
    case ScalarOp::kExp:
      return "exp";
    case ScalarOp::kExpm1:
      return "expm1";
    case ScalarOp::kLog:
      return "log";
    case ScalarOp::kLog1p:
      return "log1p";
    case ScalarOp::kSin:
      return "sin";
    case ScalarOp::kCos:
      return "cos";
    case ScalarOp::kTanh:
      return "tanh";
    case ScalarOp::kErf:
      return "erf";
    case ScalarOp::kErfc:
      return "erfc";
    case ScalarOp::kPow:
      return "pow";
    case ScalarOp::kNeg:
    case ScalarOp::kAbs:
    case ScalarOp::kSign:
    case ScalarOp::kSqrt:
    case ScalarOp::kRsqrt:
    case ScalarOp::kSigmoid:
    case ScalarOp::kRelu:
    case ScalarOp::kFloor:
    case ScalarOp::kCeil:
    case ScalarOp::kRound:
    case ScalarOp::kNot:
    case ScalarOp::kIsFinite:
    case ScalarOp::kAdd:
    case ScalarOp::kSub:
    case ScalarOp::kMul:
    case ScalarOp::kDiv:
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
    case ScalarOp::kNone:
      return nullptr;
  }
  GRADC_UNREACHABLE();
}

llvm::Value* is_finite(Builder& ir, llvm::Value* x) {
  llvm::Value* magnitude = unary_intrinsic(ir, llvm::Intrinsic::fabs, x);
  return ir.CreateFCmpONE(magnitude, llvm::ConstantFP::getInfinity(x->getType()));
}

llvm::Value* unary(Emitter& em, ScalarOp op, llvm::Value* x) {
  Builder& ir = em.ir();
  const bool is_float = x->getType()->isFPOrFPVectorTy();
  const bool is_double = x->getType()->getScalarType()->isDoubleTy();
  if (is_double && libm_name(op) != nullptr) return math::libm(ir, libm_name(op), x);
  llvm::Value* one = is_float ? llvm::ConstantFP::get(x->getType(), 1.0) : nullptr;
  switch (op) {
    case ScalarOp::kNeg:
      return is_float ? ir.CreateFNeg(x) : ir.CreateNeg(x);
    case ScalarOp::kAbs:
      if (is_float) return unary_intrinsic(ir, llvm::Intrinsic::fabs, x);
      return ir.CreateBinaryIntrinsic(llvm::Intrinsic::abs, x, ir.getFalse());
    case ScalarOp::kSign:
      return sign_of(ir, x);
    case ScalarOp::kExp:
      return math::exp(em.math(), x);
    case ScalarOp::kExpm1:
      return math::expm1(em.math(), x);
    case ScalarOp::kLog:
      return math::log(em.math(), x);
    case ScalarOp::kLog1p:
      return math::log1p(em.math(), x);
    case ScalarOp::kSqrt:
      return unary_intrinsic(ir, llvm::Intrinsic::sqrt, x);
    case ScalarOp::kRsqrt:
      return ir.CreateFDiv(one, unary_intrinsic(ir, llvm::Intrinsic::sqrt, x));
    case ScalarOp::kSin:
      return math::sin(em.math(), x);
    case ScalarOp::kCos:
      return math::cos(em.math(), x);
    case ScalarOp::kTanh:
      return math::tanh(em.math(), x);
    case ScalarOp::kErf:
      return math::erf(em.math(), x);
    case ScalarOp::kErfc:
      return math::erfc(em.math(), x);
    case ScalarOp::kSigmoid:
      if (!is_double) return math::sigmoid(em.math(), x);
      return ir.CreateFDiv(one, ir.CreateFAdd(one, math::libm(ir, "exp", ir.CreateFNeg(x))));
    case ScalarOp::kRelu:
      return relu_of(ir, x);
    case ScalarOp::kFloor:
      return unary_intrinsic(ir, llvm::Intrinsic::floor, x);
    case ScalarOp::kCeil:
      return unary_intrinsic(ir, llvm::Intrinsic::ceil, x);
    case ScalarOp::kRound:
      return unary_intrinsic(ir, llvm::Intrinsic::rint, x);
    case ScalarOp::kNot:
      return ir.CreateNot(x);
    case ScalarOp::kIsFinite:
      return is_finite(ir, x);
    case ScalarOp::kAdd:
    case ScalarOp::kSub:
    case ScalarOp::kMul:
    case ScalarOp::kDiv:
    case ScalarOp::kMax:
    case ScalarOp::kMin:
    case ScalarOp::kPow:
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
    case ScalarOp::kNone:
      break;
  }
  GRADC_UNREACHABLE();
}

llvm::Value* binary(Emitter& em, ScalarOp op, llvm::Value* a, llvm::Value* b, DType dtype) {
  Builder& ir = em.ir();
  const bool is_float = a->getType()->isFPOrFPVectorTy();
  const bool is_unsigned = dtype == DType::kU8 || dtype == DType::kBool;
  if (op == ScalarOp::kAdd) return is_float ? ir.CreateFAdd(a, b) : ir.CreateAdd(a, b);
  if (op == ScalarOp::kSub) return is_float ? ir.CreateFSub(a, b) : ir.CreateSub(a, b);
  if (op == ScalarOp::kMul) return is_float ? ir.CreateFMul(a, b) : ir.CreateMul(a, b);
  if (op == ScalarOp::kDiv)
    return is_float ? ir.CreateFDiv(a, b) : divide_integers(ir, a, b, is_unsigned);
  if (op == ScalarOp::kMax) return extremum(ir, a, b, true, is_unsigned);
  if (op == ScalarOp::kMin) return extremum(ir, a, b, false, is_unsigned);
  if (op == ScalarOp::kAnd) return ir.CreateAnd(a, b);
  if (op == ScalarOp::kOr) return ir.CreateOr(a, b);
  GRADC_CHECK(op == ScalarOp::kPow && is_float, "{} is no binary operator here",
              scalar_op_name(op));
  if (a->getType()->getScalarType()->isDoubleTy()) return math::libm(ir, "pow", a, b);
  return math::pow(em.math(), a, b);
}

llvm::CmpInst::Predicate predicate(ScalarOp op, bool is_float, bool is_unsigned) {
  using P = llvm::CmpInst::Predicate;
  if (op == ScalarOp::kEq) return is_float ? P::FCMP_OEQ : P::ICMP_EQ;
  if (op == ScalarOp::kNe) return is_float ? P::FCMP_UNE : P::ICMP_NE;
  if (op == ScalarOp::kLt) return is_float ? P::FCMP_OLT : is_unsigned ? P::ICMP_ULT : P::ICMP_SLT;
  if (op == ScalarOp::kLe) return is_float ? P::FCMP_OLE : is_unsigned ? P::ICMP_ULE : P::ICMP_SLE;
  if (op == ScalarOp::kGt) return is_float ? P::FCMP_OGT : is_unsigned ? P::ICMP_UGT : P::ICMP_SGT;
  GRADC_CHECK(op == ScalarOp::kGe, "{} is no comparison", scalar_op_name(op));
  return is_float ? P::FCMP_OGE : is_unsigned ? P::ICMP_UGE : P::ICMP_SGE;
}

/// Ops whose result is one of the operands, their negation or a small integer.
bool is_exact(ScalarOp op) {
  return op == ScalarOp::kNeg || op == ScalarOp::kAbs || op == ScalarOp::kSign ||
         op == ScalarOp::kRelu || op == ScalarOp::kFloor || op == ScalarOp::kCeil ||
         op == ScalarOp::kRound || op == ScalarOp::kMax || op == ScalarOp::kMin;
}

bool is_comparison(ScalarOp op) {
  return op >= ScalarOp::kEq && op <= ScalarOp::kGe;
}

}  // namespace

/// What a comparison of integers is wherever its loop variables may be.
std::optional<bool> Emitter::decided(const Expr& e) const {
  const DType dtype = expr(e.args[0]).dtype;
  if (dtype != DType::kI64 && dtype != DType::kI32) return std::nullopt;
  const Interval a = range_of(e.args[0]);
  const Interval b = range_of(e.args[1]);
  if (e.op == ScalarOp::kGe && a.low >= b.high) return true;
  if (e.op == ScalarOp::kGe && a.high < b.low) return false;
  if (e.op == ScalarOp::kLe && a.high <= b.low) return true;
  if (e.op == ScalarOp::kLe && a.low > b.high) return false;
  return std::nullopt;
}

llvm::Value* Emitter::eval_compare(const Expr& e) {
  if (const std::optional<bool> known = decided(e)) return ir_.getInt1(*known);
  const bool narrow = is_narrow(e.args[0]) && is_narrow(e.args[1]);
  llvm::Value* a = narrow ? eval_narrow(e.args[0]) : eval(e.args[0]);
  llvm::Value* b = narrow ? eval_narrow(e.args[1]) : eval(e.args[1]);
  const DType dtype = expr(e.args[0]).dtype;
  const unsigned width = std::max(lanes_of(a), lanes_of(b));
  return ir_.CreateCmp(
      predicate(e.op, is_float(dtype), dtype == DType::kU8 || dtype == DType::kBool),
      splat(ir_, a, width), splat(ir_, b, width));
}

llvm::Value* Emitter::eval_scalar_op(const Expr& e) {
  if (is_comparison(e.op)) return eval_compare(e);
  if (e.op == ScalarOp::kCast) return eval_cast(eval(e.args[0]), expr(e.args[0]).dtype, e.dtype);
  if (e.op == ScalarOp::kSelect) {
    llvm::Value* condition = eval(e.args[0]);
    llvm::Value* a = eval(e.args[1]);
    llvm::Value* b = eval(e.args[2]);
    const unsigned width = std::max({lanes_of(condition), lanes_of(a), lanes_of(b)});
    return ir_.CreateSelect(condition, splat(ir_, a, width), splat(ir_, b, width));
  }
  llvm::Value* a = eval(e.args[0]);
  if (scalar_op_arity(e.op) == 1) return rounded(unary(*this, e.op, a), e);
  llvm::Value* b = eval(e.args[1]);
  const unsigned width = std::max(lanes_of(a), lanes_of(b));
  return rounded(binary(*this, e.op, splat(ir_, a, width), splat(ir_, b, width), e.dtype), e);
}

/// Short floats are computed as f32: every op rounds its result, whether it is stored or not.
llvm::Value* Emitter::rounded(llvm::Value* value, const Expr& e) {
  const bool is_short = e.dtype == DType::kBF16 || e.dtype == DType::kF16;
  return is_short && !is_exact(e.op) ? round_short(value, e.dtype) : value;
}

namespace {

/// The bits of a float, rounded to bf16: nearest, ties to even; a subnormal becomes zero, as it is
/// for the processor's own rounding; NaN stays NaN. Only the upper half counts.
llvm::Value* bf16_rounded_bits(Builder& ir, llvm::Value* x) {
  llvm::Type* wide = with_lanes(ir.getInt32Ty(), lanes_of(x));
  llvm::Value* bits = ir.CreateBitCast(x, wide);
  const auto c = [&](uint32_t v) { return llvm::ConstantInt::get(wide, v); };
  llvm::Value* odd = ir.CreateAnd(ir.CreateLShr(bits, c(16)), c(1));
  llvm::Value* rounded = ir.CreateAdd(ir.CreateAdd(bits, c(0x7FFF)), odd);
  llvm::Value* quiet = ir.CreateOr(bits, c(0x400000));
  llvm::Value* result = ir.CreateSelect(ir.CreateFCmpUNO(x, x), quiet, rounded);
  llvm::Value* exponent = ir.CreateAnd(bits, c(0x7F800000));
  return ir.CreateSelect(ir.CreateICmpEQ(exponent, c(0)), ir.CreateAnd(bits, c(0x80000000)),
                         result);
}

/// The upper half of a float that is a bf16.
llvm::Value* bf16_bits(Builder& ir, llvm::Value* x) {
  const unsigned lanes = lanes_of(x);
  llvm::Type* wide = with_lanes(ir.getInt32Ty(), lanes);
  llvm::Value* bits = ir.CreateLShr(ir.CreateBitCast(x, wide), llvm::ConstantInt::get(wide, 16));
  return ir.CreateTrunc(bits, with_lanes(ir.getInt16Ty(), lanes));
}

/// The bits of a float, rounded to f16, by integers alone: nearest, ties to even.
llvm::Value* f16_bits(Builder& ir, llvm::Value* x) {
  llvm::Type* wide = with_lanes(ir.getInt32Ty(), lanes_of(x));
  const auto c = [&](uint32_t v) { return llvm::ConstantInt::get(wide, v); };
  llvm::Value* bits = ir.CreateBitCast(x, wide);
  llvm::Value* size = ir.CreateAnd(bits, c(0x7FFFFFFF));
  // A normal number: the other exponent, and what is cut off rounded into the rest.
  llvm::Value* odd = ir.CreateAnd(ir.CreateLShr(size, c(13)), c(1));
  llvm::Value* rounded = ir.CreateAdd(ir.CreateAdd(size, c(0xFFF)), odd);
  llvm::Value* normal = ir.CreateSub(ir.CreateLShr(rounded, c(13)), c(112U << 10U));
  // A subnormal one: beside 0.5, f32's last bit is f16's smallest number.
  llvm::Value* half = llvm::ConstantFP::get(x->getType(), 0.5);
  llvm::Value* beside = ir.CreateFAdd(ir.CreateBitCast(size, x->getType()), half);
  llvm::Value* small = ir.CreateSub(ir.CreateBitCast(beside, wide), c(0x3F000000));
  llvm::Value* result = ir.CreateSelect(ir.CreateICmpULT(size, c(113U << 23U)), small, normal);
  result = ir.CreateSelect(ir.CreateICmpUGT(size, c(0x477FFFFF)), c(0x7C00), result);
  result = ir.CreateSelect(ir.CreateFCmpUNO(x, x), c(0x7E00), result);
  llvm::Value* sign = ir.CreateAnd(ir.CreateLShr(bits, c(16)), c(0x8000));
  return ir.CreateTrunc(ir.CreateOr(result, sign), with_lanes(ir.getInt16Ty(), lanes_of(x)));
}

llvm::Value* float_of_f16(Builder& ir, llvm::Value* bits) {
  const unsigned lanes = lanes_of(bits);
  llvm::Type* wide = with_lanes(ir.getInt32Ty(), lanes);
  llvm::Type* type = with_lanes(ir.getFloatTy(), lanes);
  const auto c = [&](uint32_t v) { return llvm::ConstantInt::get(wide, v); };
  llvm::Value* x = ir.CreateZExt(bits, wide);
  llvm::Value* size = ir.CreateAnd(x, c(0x7FFF));
  llvm::Value* moved = ir.CreateAdd(ir.CreateShl(size, c(13)), c(112U << 23U));
  llvm::Value* special = ir.CreateAdd(moved, c(112U << 23U));  // infinite, or NaN
  moved = ir.CreateSelect(ir.CreateICmpUGT(size, c(0x7BFF)), special, moved);
  llvm::Value* small =
      ir.CreateFMul(ir.CreateSIToFP(size, type), llvm::ConstantFP::get(type, 0x1p-24));
  llvm::Value* result =
      ir.CreateSelect(ir.CreateICmpULT(size, c(0x400)), ir.CreateBitCast(small, wide), moved);
  llvm::Value* sign = ir.CreateShl(ir.CreateAnd(x, c(0x8000)), c(16));
  return ir.CreateBitCast(ir.CreateOr(result, sign), type);
}

llvm::Value* float_of_bf16(Builder& ir, llvm::Value* bits) {
  const unsigned lanes = lanes_of(bits);
  llvm::Type* wide = with_lanes(ir.getInt32Ty(), lanes);
  llvm::Value* shifted = ir.CreateShl(ir.CreateZExt(bits, wide), llvm::ConstantInt::get(wide, 16));
  return ir.CreateBitCast(shifted, with_lanes(ir.getFloatTy(), lanes));
}

}  // namespace

/// A float rounded to a short one, as a float again.
llvm::Value* Emitter::round_short(llvm::Value* x, DType dtype) {
  const unsigned lanes = lanes_of(x);
  if (dtype == DType::kF16) return from_memory(to_memory(x, dtype), dtype);
  if (target_.has_bf16_dot) {
    llvm::Value* rounded = ir_.CreateFPTrunc(x, with_lanes(ir_.getBFloatTy(), lanes));
    return float_of_bf16(ir_, ir_.CreateBitCast(rounded, with_lanes(ir_.getInt16Ty(), lanes)));
  }
  llvm::Value* bits = bf16_rounded_bits(ir_, x);
  llvm::Value* upper = ir_.CreateAnd(bits, llvm::ConstantInt::get(bits->getType(), 0xFFFF0000));
  return ir_.CreateBitCast(upper, x->getType());
}

/// Short floats in registers are floats of their type's values.
llvm::Value* Emitter::from_memory(llvm::Value* value, DType dtype) {
  const unsigned lanes = lanes_of(value);
  if (dtype == DType::kBool)
    return ir_.CreateICmpNE(value, llvm::Constant::getNullValue(value->getType()));
  if (dtype == DType::kBF16) return float_of_bf16(ir_, value);
  if (dtype == DType::kF16) {
    if (!target_.has_f16) return float_of_f16(ir_, value);
    llvm::Value* half = ir_.CreateBitCast(value, with_lanes(ir_.getHalfTy(), lanes));
    return ir_.CreateFPExt(half, with_lanes(ir_.getFloatTy(), lanes));
  }
  return value;
}

llvm::Value* Emitter::to_memory(llvm::Value* value, DType dtype) {
  const unsigned lanes = lanes_of(value);
  if (dtype == DType::kBool) return ir_.CreateZExt(value, with_lanes(ir_.getInt8Ty(), lanes));
  if (dtype == DType::kBF16) return bf16_bits(ir_, value);
  if (dtype == DType::kF16) {
    if (!target_.has_f16) return f16_bits(ir_, value);
    llvm::Value* half = ir_.CreateFPTrunc(value, with_lanes(ir_.getHalfTy(), lanes));
    return ir_.CreateBitCast(half, with_lanes(ir_.getInt16Ty(), lanes));
  }
  return value;
}

namespace {

/// The f32 with which a further rounding to fewer bits gives what one rounding of the f64 would:
/// cut off, the last bit set where anything was cut.
llvm::Value* f32_to_round(Builder& ir, llvm::Value* x) {
  llvm::Type* type = with_lanes(ir.getFloatTy(), lanes_of(x));
  llvm::Type* bits_type = with_lanes(ir.getInt32Ty(), lanes_of(x));
  llvm::Value* near = ir.CreateFPTrunc(x, type);
  llvm::Value* back = ir.CreateFPExt(near, x->getType());
  const auto size = [&](llvm::Value* v) { return unary_intrinsic(ir, llvm::Intrinsic::fabs, v); };
  llvm::Value* above = ir.CreateZExt(ir.CreateFCmpOGT(size(back), size(x)), bits_type);
  llvm::Value* differs = ir.CreateZExt(ir.CreateFCmpONE(back, x), bits_type);
  llvm::Value* cut = ir.CreateSub(ir.CreateBitCast(near, bits_type), above);
  return ir.CreateBitCast(ir.CreateOr(cut, differs), type);
}

/// A whole number as an f64 that rounds to a short float as the number would: the lower half of
/// more than 53 bits leaves but a mark that it was there.
llvm::Value* f64_to_round(Builder& ir, llvm::Value* x, bool is_unsigned) {
  llvm::Type* type = with_lanes(ir.getDoubleTy(), lanes_of(x));
  if (is_unsigned) return ir.CreateUIToFP(x, type);
  if (x->getType()->getScalarSizeInBits() < 64) return ir.CreateSIToFP(x, type);
  const auto c = [&](int64_t v) { return llvm::ConstantInt::getSigned(x->getType(), v); };
  llvm::Value* lower = ir.CreateAnd(x, c(0xFFFF));
  llvm::Value* rest = ir.CreateZExt(ir.CreateICmpNE(lower, c(0)), x->getType());
  llvm::Value* marked = ir.CreateShl(ir.CreateOr(ir.CreateAShr(x, c(16)), rest), c(16));
  llvm::Value* is_small =
      ir.CreateICmpULT(ir.CreateAdd(x, c(int64_t{1} << 52)), c(int64_t{1} << 53));
  return ir.CreateSIToFP(ir.CreateSelect(is_small, x, marked), type);
}

}  // namespace

/// A short float is made in one rounding, whatever it is made of.
llvm::Value* Emitter::cast_to_short(llvm::Value* x, DType from, DType to) {
  if (!is_float(from)) x = f64_to_round(ir_, x, from == DType::kU8 || from == DType::kBool);
  if (x->getType()->getScalarType()->isDoubleTy()) x = f32_to_round(ir_, x);
  return round_short(x, to);
}

llvm::Value* Emitter::eval_cast(llvm::Value* x, DType from, DType to) {
  const unsigned lanes = lanes_of(x);
  llvm::Type* type = with_lanes(register_type(context(), to), lanes);
  if (to == DType::kBF16 || to == DType::kF16) return cast_to_short(x, from, to);
  const bool from_float = is_float(from);
  const bool from_unsigned = from == DType::kU8 || from == DType::kBool;
  if (to == DType::kBool) {
    llvm::Constant* zero = llvm::Constant::getNullValue(x->getType());
    return from_float ? ir_.CreateFCmpUNE(x, zero) : ir_.CreateICmpNE(x, zero);
  }
  if (is_float(to)) {
    if (from_float) return ir_.CreateFPCast(x, type);
    return from_unsigned ? ir_.CreateUIToFP(x, type) : ir_.CreateSIToFP(x, type);
  }
  if (from_float) {
    const auto id = to == DType::kU8 ? llvm::Intrinsic::fptoui_sat : llvm::Intrinsic::fptosi_sat;
    return ir_.CreateIntrinsic(id, {type, x->getType()}, {x});
  }
  if (from_unsigned) return ir_.CreateZExt(x, type);
  const unsigned bits = type->getScalarSizeInBits();
  if (bits >= x->getType()->getScalarSizeInBits()) return ir_.CreateSExt(x, type);
  const int64_t low = to == DType::kU8 ? 0 : INT32_MIN;
  const int64_t high = to == DType::kU8 ? UINT8_MAX : INT32_MAX;
  x = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x,
                                llvm::ConstantInt::getSigned(x->getType(), low));
  x = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x,
                                llvm::ConstantInt::getSigned(x->getType(), high));
  return ir_.CreateTrunc(x, type);
}

}  // namespace gradc::cg
