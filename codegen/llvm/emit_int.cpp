// Integer expressions: ranges, known low bits, floor division, and index arithmetic in 32-bit lanes
// where the ranges of the loop variables prove that it cannot overflow (64-bit lanes are twice as
// many registers, and have no cheap multiplication).
#include "codegen/llvm/emitter.h"
#include "support/check.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>

namespace gradc::cg {

using kernel::Affine;
using kernel::Expr;
using kernel::ExprId;
using kernel::ExprKind;

namespace {

__extension__ typedef __int128 Int128;  // products of two 64-bit numbers never overflow

constexpr Interval kUnknown{};

/// Saturating arithmetic is enough: a saturated bound never fits 32 bits.
int64_t clamp(Int128 x) {
  if (x > INT64_MAX) return INT64_MAX;
  if (x < INT64_MIN) return INT64_MIN;
  return static_cast<int64_t>(x);
}

Interval scaled(Interval x, int64_t factor) {
  const Int128 a = static_cast<Int128>(x.low) * factor;
  const Int128 b = static_cast<Int128>(x.high) * factor;
  return {clamp(std::min(a, b)), clamp(std::max(a, b))};
}

Interval plus(Interval a, Interval b) {
  return {clamp(static_cast<Int128>(a.low) + b.low), clamp(static_cast<Int128>(a.high) + b.high)};
}

int64_t floor_div(int64_t x, int64_t d) {
  return x >= 0 ? x / d : -((-x + d - 1) / d);
}

}  // namespace

Interval Emitter::range_of(const Affine& index) const {
  Interval sum{index.offset, index.offset};
  for (const auto& [id, coefficient] : index.terms)
    sum = plus(sum, scaled(vars_[id.index].range, coefficient));
  return sum;
}

Interval Emitter::range_of(ExprId id) const {
  const Expr& e = expr(id);
  switch (e.kind) {
    case ExprKind::kConst: {
      const auto value = static_cast<int64_t>(e.value);
      return {value, value};
    }
    case ExprKind::kIndex:
      return range_of(e.index);
    case ExprKind::kFloorDiv: {
      const Interval x = range_of(e.args[0]);
      if (x.low == INT64_MIN || x.high == INT64_MAX) return kUnknown;
      return {floor_div(x.low, e.imm), floor_div(x.high, e.imm)};
    }
    case ExprKind::kFloorMod:
      return {0, e.imm - 1};
    case ExprKind::kScalar:
      if (e.op == ScalarOp::kAdd) return plus(range_of(e.args[0]), range_of(e.args[1]));
      if (e.op == ScalarOp::kSub) return plus(range_of(e.args[0]), scaled(range_of(e.args[1]), -1));
      if (e.op == ScalarOp::kMul && expr(e.args[1]).kind == ExprKind::kConst)
        return scaled(range_of(e.args[0]), static_cast<int64_t>(expr(e.args[1]).value));
      return kUnknown;
    case ExprKind::kLoad:
      if (e.dtype == DType::kI32) return {INT32_MIN, INT32_MAX};
      if (e.dtype == DType::kU8) return {0, UINT8_MAX};
      return kUnknown;
    case ExprKind::kLocal:
    case ExprKind::kGuard:
    case ExprKind::kRandom:
      return kUnknown;
  }
  GRADC_UNREACHABLE();
}

unsigned Emitter::zero_bits(const llvm::Value* x) const {
  constexpr unsigned kMost = 6;
  if (const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(x))
    return std::min(kMost, constant->getValue().countr_zero());
  if (const auto known = zero_bits_.find(x); known != zero_bits_.end()) return known->second;
  const auto* made = llvm::dyn_cast<llvm::Instruction>(x);
  if (made == nullptr) return 0;
  const auto of = [&](unsigned operand) { return zero_bits(made->getOperand(operand)); };
  switch (made->getOpcode()) {
    case llvm::Instruction::Add:
    case llvm::Instruction::Sub:
      return std::min(of(0), of(1));
    case llvm::Instruction::Mul:
      return std::min(kMost, of(0) + of(1));
    case llvm::Instruction::And:
      return std::max(of(0), of(1));
    case llvm::Instruction::Call: {
      const auto* call = llvm::cast<llvm::CallInst>(made);
      const bool chooses = call->getIntrinsicID() == llvm::Intrinsic::smin ||
                           call->getIntrinsicID() == llvm::Intrinsic::smax;
      return chooses ? std::min(of(0), of(1)) : 0;
    }
    default:
      return 0;
  }
}

std::optional<int64_t> Emitter::remainder(const Terms& terms, int64_t divisor) const {
  for (const auto& [base, coefficient] : terms.dynamic) {
    if (((coefficient << zero_bits(base)) & (divisor - 1)) != 0) return std::nullopt;
  }
  return terms.constant & (divisor - 1);
}

bool Emitter::is_narrow(ExprId id) const {
  const Expr& e = expr(id);
  if (e.dtype != DType::kI64 && e.dtype != DType::kI32) return false;
  if (!range_of(id).fits_i32()) return false;
  switch (e.kind) {
    case ExprKind::kConst:
    case ExprKind::kIndex:
      return true;
    case ExprKind::kFloorDiv:
    case ExprKind::kFloorMod:
      return e.imm <= INT32_MAX && is_narrow(e.args[0]);
    case ExprKind::kScalar:
      return (e.op == ScalarOp::kAdd || e.op == ScalarOp::kSub || e.op == ScalarOp::kMul) &&
             is_narrow(e.args[0]) && is_narrow(e.args[1]);
    case ExprKind::kLoad:
    case ExprKind::kLocal:
    case ExprKind::kGuard:
    case ExprKind::kRandom:
      return false;
  }
  GRADC_UNREACHABLE();
}

bool Emitter::widens(ExprId id) const {
  return lanes_.width > 1 && expr(id).dtype == DType::kI64 && is_narrow(id);
}

llvm::Value* Emitter::widen(llvm::Value* narrow) {
  return ir_.CreateSExt(narrow, with_lanes(ir_.getInt64Ty(), lanes_of(narrow)));
}

llvm::Value* Emitter::eval_narrow(ExprId id) {
  const Expr& e = expr(id);
  if (e.kind == ExprKind::kConst) return i32(static_cast<int64_t>(e.value));
  if (e.kind == ExprKind::kIndex) return eval_index(e.index, DType::kI32);
  if (e.kind == ExprKind::kFloorDiv || e.kind == ExprKind::kFloorMod)
    return divide_floor(eval_narrow(e.args[0]), e.imm, e.kind == ExprKind::kFloorMod,
                        range_of(e.args[0]).non_negative());
  llvm::Value* a = eval_narrow(e.args[0]);
  llvm::Value* b = eval_narrow(e.args[1]);
  const unsigned width = std::max(lanes_of(a), lanes_of(b));
  a = splat(ir_, a, width);
  b = splat(ir_, b, width);
  if (e.op == ScalarOp::kAdd) return ir_.CreateNSWAdd(a, b);
  if (e.op == ScalarOp::kSub) return ir_.CreateNSWSub(a, b);
  return ir_.CreateNSWMul(a, b);
}

llvm::Value* Emitter::divide_floor(llvm::Value* x, int64_t divisor, bool modulo,
                                   bool non_negative) {
  GRADC_CHECK(divisor > 0, "{}: floor division by {}", kernel_.name, divisor);
  llvm::Type* element = x->getType()->getScalarType();
  llvm::Value* d = splat(ir_, llvm::ConstantInt::getSigned(element, divisor), lanes_of(x));
  if (non_negative) return modulo ? ir_.CreateURem(x, d) : ir_.CreateUDiv(x, d);
  llvm::Value* remainder = ir_.CreateSRem(x, d);
  llvm::Value* negative = ir_.CreateICmpSLT(remainder, llvm::Constant::getNullValue(x->getType()));
  if (modulo) return ir_.CreateSelect(negative, ir_.CreateAdd(remainder, d), remainder);
  llvm::Value* quotient = ir_.CreateSDiv(x, d);
  return ir_.CreateAdd(quotient, ir_.CreateSExt(negative, x->getType()));
}

}  // namespace gradc::cg
