// Element types in LLVM and small vector helpers.
#include "codegen/llvm/types.h"

#include "support/check.h"

#include <llvm/IR/Constants.h>

#include <numeric>

namespace gradc::cg {

llvm::Type* register_type(llvm::LLVMContext& context, DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kBF16:
    case DType::kF16:
      return llvm::Type::getFloatTy(context);
    case DType::kF64:
      return llvm::Type::getDoubleTy(context);
    case DType::kI32:
      return llvm::Type::getInt32Ty(context);
    case DType::kI64:
      return llvm::Type::getInt64Ty(context);
    case DType::kU8:
      return llvm::Type::getInt8Ty(context);
    case DType::kBool:
      return llvm::Type::getInt1Ty(context);
  }
  GRADC_UNREACHABLE();
}

llvm::Type* memory_type(llvm::LLVMContext& context, DType dtype) {
  switch (dtype) {
    case DType::kBF16:
    case DType::kF16:
      return llvm::Type::getInt16Ty(context);
    case DType::kBool:
      return llvm::Type::getInt8Ty(context);
    case DType::kF32:
    case DType::kF64:
    case DType::kI32:
    case DType::kI64:
    case DType::kU8:
      return register_type(context, dtype);
  }
  GRADC_UNREACHABLE();
}

llvm::Type* with_lanes(llvm::Type* scalar, unsigned lanes) {
  return lanes == 1 ? scalar : llvm::FixedVectorType::get(scalar, lanes);
}

unsigned lanes_of(const llvm::Value* value) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  return vector == nullptr ? 1 : vector->getNumElements();
}

llvm::Value* splat(Builder& ir, llvm::Value* value, unsigned lanes) {
  if (lanes == 1 || value->getType()->isVectorTy()) return value;
  return ir.CreateVectorSplat(lanes, value);
}

llvm::Constant* iota(llvm::Type* element, unsigned lanes) {
  if (lanes == 1) return llvm::ConstantInt::get(element, 0);
  std::vector<llvm::Constant*> values;
  for (unsigned i = 0; i < lanes; ++i)
    values.push_back(llvm::ConstantInt::get(element, i));
  return llvm::ConstantVector::get(values);
}

llvm::Constant* prefix_mask(llvm::LLVMContext& context, unsigned lanes, unsigned active) {
  std::vector<llvm::Constant*> bits;
  for (unsigned i = 0; i < lanes; ++i)
    bits.push_back(llvm::ConstantInt::getBool(context, i < active));
  return llvm::ConstantVector::get(bits);
}

llvm::Value* slice_lanes(Builder& ir, llvm::Value* vector, unsigned begin, unsigned count) {
  if (lanes_of(vector) == count) return vector;
  if (count == 1) return ir.CreateExtractElement(vector, begin);
  std::vector<int> indices(count);
  std::iota(indices.begin(), indices.end(), static_cast<int>(begin));
  return ir.CreateShuffleVector(vector, indices);
}

}  // namespace gradc::cg
