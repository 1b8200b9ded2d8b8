// sin and cos on floats: reduction by multiples of pi/2 in double, then the polynomials of Cephes'
// sinf and cosf (S. L. Moshier). Arguments beyond 2^19, where that reduction loses digits, take
// libm's way, one lane after the other.
#include "codegen/llvm/math/math.h"

#include <llvm/IR/Function.h>
#include <llvm/IR/Module.h>

namespace gradc::cg::math {

namespace {

constexpr double kTwoOverPi = 6.36619772367581382433e-01;
constexpr double kHalfPiHigh = 1.57079632673412561417e+00;  // 33 bits: n * kHalfPiHigh is exact
constexpr double kHalfPiLow = 6.07710050650619224932e-11;
constexpr double kLargest = 0x1p19;

struct Reduced {
  llvm::Value* r;         ///< in [-pi/4, pi/4]
  llvm::Value* quadrant;  ///< i32, low two bits count
};

Reduced reduce(MathBuilder m, llvm::Value* x) {
  Builder& ir = m.ir();
  const unsigned lanes = lanes_of(x);
  llvm::Value* wide = ir.CreateFPExt(x, with_lanes(ir.getDoubleTy(), lanes));
  llvm::Value* shift = m.like(wide, 0x1.8p52);
  llvm::Value* shifted = ir.CreateFAdd(ir.CreateFMul(wide, m.like(wide, kTwoOverPi)), shift);
  llvm::Value* n = ir.CreateFSub(shifted, shift);
  llvm::Value* r = m.fma(n, m.like(wide, -kHalfPiHigh), wide);
  r = m.fma(n, m.like(wide, -kHalfPiLow), r);
  return {ir.CreateFPTrunc(r, x->getType()),
          ir.CreateTrunc(m.bits(shifted), with_lanes(ir.getInt32Ty(), lanes))};
}

llvm::Value* sin_reduced(MathBuilder m, llvm::Value* r) {
  llvm::Value* z = m.mul(r, r);
  llvm::Value* p = m.polynomial(z, {-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1});
  return m.fma(m.mul(p, z), r, r);
}

llvm::Value* cos_reduced(MathBuilder m, llvm::Value* r) {
  llvm::Value* z = m.mul(r, r);
  llvm::Value* p =
      m.polynomial(z, {2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2});
  llvm::Value* q = m.fma(z, -0.5, m.like(r, 1.0));
  return m.fma(m.mul(p, z), z, q);
}

/// `quick` on all lanes; where some lane is too large for it, libm's function on every lane.
llvm::Value* with_large(MathBuilder m, llvm::Value* x, llvm::Value* quick, const char* name) {
  Builder& ir = m.ir();
  const unsigned lanes = lanes_of(x);
  llvm::Value* large = ir.CreateFCmpOGT(m.abs(x), m.like(x, kLargest));
  llvm::Value* any = lanes == 1 ? large : ir.CreateOrReduce(large);
  llvm::Function* function = ir.GetInsertBlock()->getParent();
  llvm::BasicBlock* before = ir.GetInsertBlock();
  auto* slow = llvm::BasicBlock::Create(ir.getContext(), "large", function);
  auto* join = llvm::BasicBlock::Create(ir.getContext(), "joined", function);
  ir.CreateCondBr(any, slow, join);
  ir.SetInsertPoint(slow);
  llvm::Value* wide = ir.CreateFPExt(x, with_lanes(ir.getDoubleTy(), lanes));
  llvm::Value* exact = ir.CreateFPTrunc(libm(ir, name, wide), x->getType());
  exact = ir.CreateSelect(large, exact, quick);
  slow = ir.GetInsertBlock();
  ir.CreateBr(join);
  ir.SetInsertPoint(join);
  llvm::PHINode* result = ir.CreatePHI(x->getType(), 2);
  result->addIncoming(quick, before);
  result->addIncoming(exact, slow);
  return result;
}

llvm::Value* periodic(MathBuilder m, llvm::Value* x, int64_t quarter, const char* name) {
  Builder& ir = m.ir();
  const Reduced red = reduce(m, x);
  llvm::Value* quadrant = ir.CreateAdd(red.quadrant, m.int_like(x, quarter));
  llvm::Value* zero = m.int_like(x, 0);
  llvm::Value* swap = ir.CreateICmpNE(ir.CreateAnd(quadrant, m.int_like(x, 1)), zero);
  llvm::Value* value = m.select(swap, cos_reduced(m, red.r), sin_reduced(m, red.r));
  llvm::Value* negative = ir.CreateShl(ir.CreateAnd(quadrant, m.int_like(x, 2)), m.int_like(x, 30));
  value = m.from_bits(ir.CreateXor(m.bits(value), negative));
  return with_large(m, x, value, name);
}

}  // namespace

/// sin within 2 ULP.
llvm::Value* sin(MathBuilder m, llvm::Value* x) {
  return periodic(m, x, 0, "sin");
}

/// cos within 2 ULP.
llvm::Value* cos(MathBuilder m, llvm::Value* x) {
  return periodic(m, x, 1, "cos");
}

}  // namespace gradc::cg::math
