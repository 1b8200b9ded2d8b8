// Loads and stores: contiguous, reversed, gathered, masked. Lanes that are off never touch memory.
#include "codegen/llvm/emitter.h"
#include "support/check.h"

#include <algorithm>

namespace gradc::cg {

using kernel::Affine;
using kernel::BufferId;
using kernel::ExprId;

llvm::Value* Emitter::address(BufferId buffer, const Affine& index) {
  llvm::Type* type = memory_type(context(), kernel_.buffer(buffer).dtype);
  llvm::Value* pointer = buffers_[buffer.index];
  GRADC_CHECK(pointer != nullptr, "{}: buffer '{}' is not bound", kernel_.name,
              kernel_.buffer(buffer).name);
  const auto [dynamic, constant] = affine_parts(index);
  if (dynamic != nullptr) pointer = ir_.CreateInBoundsGEP(type, pointer, dynamic);
  if (constant != 0) pointer = ir_.CreateInBoundsGEP(type, pointer, i64(constant));
  return pointer;
}

llvm::Value* Emitter::masked_load(llvm::Type* type, llvm::Value* pointer, int64_t align) {
  const llvm::Align alignment(static_cast<uint64_t>(align));
  if (lanes_.mask == nullptr || !type->isVectorTy())
    return ir_.CreateAlignedLoad(type, pointer, alignment);
  return ir_.CreateMaskedLoad(type, pointer, alignment, lanes_.mask,
                              llvm::Constant::getNullValue(type));
}

void Emitter::masked_store(llvm::Value* value, llvm::Value* pointer, int64_t align) {
  const llvm::Align alignment(static_cast<uint64_t>(align));
  if (lanes_.mask == nullptr || !value->getType()->isVectorTy())
    ir_.CreateAlignedStore(value, pointer, alignment);
  else
    ir_.CreateMaskedStore(value, pointer, alignment, lanes_.mask);
}

llvm::Value* Emitter::lane_pointers(BufferId buffer, const Affine& index, llvm::Value* dynamic) {
  llvm::Type* type = memory_type(context(), kernel_.buffer(buffer).dtype);
  llvm::Value* pointer = address(buffer, index);
  const int64_t step = index.coefficient(lanes_.var);
  const bool narrow = std::abs(step) < INT32_MAX / 4096 &&
                      (dynamic == nullptr || dynamic->getType()->getScalarSizeInBits() == 32);
  llvm::Type* index_type = narrow ? ir_.getInt32Ty() : ir_.getInt64Ty();
  llvm::Value* offsets =
      ir_.CreateMul(iota(index_type, lanes_.width),
                    splat(ir_, llvm::ConstantInt::getSigned(index_type, step), lanes_.width));
  if (dynamic == nullptr) return ir_.CreateGEP(type, pointer, offsets);
  if (step == 0) return ir_.CreateGEP(type, pointer, splat(ir_, dynamic, lanes_.width));
  llvm::Type* wide = with_lanes(ir_.getInt64Ty(), lanes_.width);
  llvm::Value* sum = ir_.CreateAdd(ir_.CreateSExt(offsets, wide),
                                   ir_.CreateSExt(splat(ir_, dynamic, lanes_.width), wide));
  return ir_.CreateGEP(type, pointer, sum);
}

namespace {

llvm::Value* reversed(Builder& ir, llvm::Value* vector) {
  return ir.CreateVectorReverse(vector);
}

}  // namespace

llvm::Value* Emitter::load(BufferId buffer, const Affine& index, ExprId dynamic) {
  const DType dtype = kernel_.buffer(buffer).dtype;
  const int64_t align = dtype_bytes(dtype);
  llvm::Type* element = memory_type(context(), dtype);
  llvm::Type* type = with_lanes(element, lanes_.width);
  llvm::Value* offset = nullptr;
  if (dynamic.valid())
    offset = lanes_.width > 1 && is_narrow(dynamic) ? eval_narrow(dynamic) : eval(dynamic);
  const int64_t step = lanes_.width == 1 ? 0 : index.coefficient(lanes_.var);
  const bool varying = offset != nullptr && lanes_of(offset) > 1;
  if (varying || (step != 0 && step != 1 && step != -1)) {
    llvm::Value* pointers = lane_pointers(buffer, index, offset);
    llvm::Value* value =
        ir_.CreateMaskedGather(type, pointers, llvm::Align(static_cast<uint64_t>(align)),
                               lane_mask(), llvm::Constant::getNullValue(type));
    return from_memory(value, dtype);
  }
  llvm::Value* pointer = address(buffer, index);
  if (offset != nullptr) pointer = ir_.CreateGEP(element, pointer, offset);
  if (step == 0) {
    if (lanes_.guarded && lanes_.width > 1)
      pointer = ir_.CreateSelect(ir_.CreateOrReduce(lane_mask()), pointer, buffers_[buffer.index]);
    llvm::Value* value =
        ir_.CreateAlignedLoad(element, pointer, llvm::Align(static_cast<uint64_t>(align)));
    return from_memory(value, dtype);
  }
  if (step == 1) return from_memory(masked_load(type, pointer, align), dtype);
  pointer = ir_.CreateGEP(element, pointer, i64(1 - static_cast<int64_t>(lanes_.width)));
  Lanes backwards = lanes_;
  if (lanes_.mask != nullptr) backwards.mask = reversed(ir_, lanes_.mask);
  llvm::Value* value = with(backwards, [&] { return masked_load(type, pointer, align); });
  return from_memory(reversed(ir_, value), dtype);
}

llvm::Value* Emitter::load_or_zeros(BufferId buffer, const Affine& index, llvm::Value* condition) {
  const DType dtype = kernel_.buffer(buffer).dtype;
  llvm::Type* type = with_lanes(memory_type(context(), dtype), lanes_.width);
  llvm::Module& module = *function_->getParent();
  llvm::GlobalVariable* zeros = module.getNamedGlobal("zeros");
  if (zeros == nullptr) {
    auto* bytes = llvm::ArrayType::get(ir_.getInt8Ty(), kZeroBytes);
    zeros = new llvm::GlobalVariable(module, bytes, /*isConstant=*/true,
                                     llvm::GlobalValue::PrivateLinkage,
                                     llvm::Constant::getNullValue(bytes), "zeros");
    zeros->setAlignment(llvm::Align(kZeroBytes));
  }
  llvm::Value* pointer = ir_.CreateSelect(condition, address(buffer, index), zeros);
  return from_memory(masked_load(type, pointer, dtype_bytes(dtype)), dtype);
}

void Emitter::read_ahead(kernel::VarId var) {
  if (!ahead_.step.valid() || ahead_.step != var) return;
  for (const auto& [buffer, index] : ahead_.touches) {
    // Behind the end of a buffer it does no harm: a prefetch never faults.
    llvm::Type* type = memory_type(context(), kernel_.buffer(buffer).dtype);
    const auto [dynamic, constant] = affine_parts(index);
    llvm::Value* pointer = buffers_[buffer.index];
    if (dynamic != nullptr) pointer = ir_.CreateGEP(type, pointer, dynamic);
    if (constant != 0) pointer = ir_.CreateGEP(type, pointer, i64(constant));
    // For reading, into the second cache: the first one holds what this iteration reads.
    ir_.CreateIntrinsic(llvm::Intrinsic::prefetch, {static_cast<llvm::Type*>(ir_.getPtrTy())},
                        {pointer, ir_.getInt32(0), ir_.getInt32(2), ir_.getInt32(1)});
  }
}

void Emitter::store(BufferId buffer, const Affine& index, ExprId dynamic, llvm::Value* value) {
  const DType dtype = kernel_.buffer(buffer).dtype;
  const int64_t align = dtype_bytes(dtype);
  const llvm::Align alignment(static_cast<uint64_t>(align));
  llvm::Type* element = memory_type(context(), dtype);
  llvm::Value* offset = nullptr;
  if (dynamic.valid())
    offset = lanes_.width > 1 && is_narrow(dynamic) ? eval_narrow(dynamic) : eval(dynamic);
  value = to_memory(value, dtype);
  const int64_t step = lanes_.width == 1 ? 0 : index.coefficient(lanes_.var);
  const bool varying = offset != nullptr && lanes_of(offset) > 1;
  if (lanes_.width > 1 && (varying || step != 1)) {
    llvm::Value* pointers = lane_pointers(buffer, index, offset);
    if (!pointers->getType()->isVectorTy()) pointers = splat(ir_, pointers, lanes_.width);
    ir_.CreateMaskedScatter(splat(ir_, value, lanes_.width), pointers, alignment, lane_mask());
    return;
  }
  llvm::Value* pointer = address(buffer, index);
  if (offset != nullptr) pointer = ir_.CreateGEP(element, pointer, offset);
  masked_store(splat(ir_, value, lanes_.width), pointer, align);
}

}  // namespace gradc::cg
