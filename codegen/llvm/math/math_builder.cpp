// Instruction helpers of the vector mathematics, and the calls of libm for doubles.
#include "codegen/llvm/math/math.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>

namespace gradc::cg::math {

llvm::Value* MathBuilder::like(llvm::Value* x, double value) {
  return llvm::ConstantFP::get(x->getType(), value);
}

llvm::Value* MathBuilder::int_like(llvm::Value* x, int64_t value) {
  const unsigned bits = x->getType()->getScalarSizeInBits();
  llvm::Type* type = with_lanes(ir_.getIntNTy(bits), lanes_of(x));
  return llvm::ConstantInt::getSigned(type, value);
}

llvm::Value* MathBuilder::fma(llvm::Value* a, llvm::Value* b, llvm::Value* c) {
  if (!has_fma_) return ir_.CreateFAdd(ir_.CreateFMul(a, b), c);
  return ir_.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, b, c});
}

llvm::Value* MathBuilder::polynomial(llvm::Value* x, std::initializer_list<double> coefficients) {
  llvm::Value* sum = nullptr;
  for (const double c : coefficients)
    sum = sum == nullptr ? like(x, c) : fma(sum, x, c);
  return sum;
}

llvm::Value* MathBuilder::abs(llvm::Value* x) {
  return ir_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
}

llvm::Value* MathBuilder::sqrt(llvm::Value* x) {
  return ir_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x);
}

llvm::Value* MathBuilder::copysign(llvm::Value* magnitude, llvm::Value* sign) {
  return ir_.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, magnitude, sign);
}

llvm::Value* MathBuilder::round_small(llvm::Value* x) {
  llvm::Value* shift = like(x, 0x1.8p23);
  return ir_.CreateFSub(ir_.CreateFAdd(x, shift), shift);
}

llvm::Value* MathBuilder::bits(llvm::Value* x) {
  const unsigned width = x->getType()->getScalarSizeInBits();
  return ir_.CreateBitCast(x, with_lanes(ir_.getIntNTy(width), lanes_of(x)));
}

llvm::Value* MathBuilder::from_bits(llvm::Value* x) {
  llvm::Type* type =
      x->getType()->getScalarSizeInBits() == 64 ? ir_.getDoubleTy() : ir_.getFloatTy();
  return ir_.CreateBitCast(x, with_lanes(type, lanes_of(x)));
}

llvm::Value* MathBuilder::keep_nan(llvm::Value* x, llvm::Value* value) {
  return ir_.CreateSelect(ir_.CreateFCmpUNO(x, x), x, value);
}

llvm::Value* libm(Builder& ir, const char* name, llvm::Value* x, llvm::Value* y) {
  llvm::Type* type = ir.getDoubleTy();
  llvm::Module* module = ir.GetInsertBlock()->getModule();
  auto* signature = y == nullptr ? llvm::FunctionType::get(type, {type}, false)
                                 : llvm::FunctionType::get(type, {type, type}, false);
  const llvm::FunctionCallee callee = module->getOrInsertFunction(name, signature);
  const auto call = [&](llvm::Value* a, llvm::Value* b) {
    return y == nullptr ? ir.CreateCall(callee, {a}) : ir.CreateCall(callee, {a, b});
  };
  if (!x->getType()->isVectorTy()) return call(x, y);
  llvm::Value* result = llvm::PoisonValue::get(x->getType());
  for (unsigned i = 0; i < lanes_of(x); ++i) {
    llvm::Value* b = y == nullptr ? nullptr : ir.CreateExtractElement(y, i);
    result = ir.CreateInsertElement(result, call(ir.CreateExtractElement(x, i), b), i);
  }
  return result;
}

}  // namespace gradc::cg::math
