// Statements other than loops.
#include "codegen/llvm/emitter.h"
#include "codegen/llvm/micro/contract.h"
#include "support/check.h"

#include <limits>

namespace gradc::cg {

using kernel::AccumulateOp;
using kernel::ExprKind;

void Emitter::emit_block(const kernel::Block& block) {
  for (const kernel::Stmt& stmt : block) {
    if (const auto* loop = std::get_if<std::unique_ptr<kernel::For>>(&stmt))
      emit(**loop);
    else if (const auto* branch = std::get_if<std::unique_ptr<kernel::If>>(&stmt))
      emit(**branch);
    else if (const auto* contract = std::get_if<std::unique_ptr<kernel::Contract>>(&stmt))
      emit(**contract);
    else if (const auto* let = std::get_if<kernel::Let>(&stmt))
      emit(*let);
    else if (const auto* accumulate = std::get_if<kernel::Accumulate>(&stmt))
      emit(*accumulate);
    else
      emit(std::get<kernel::Store>(stmt));
  }
}

void Emitter::emit(const kernel::Let& let) {
  const kernel::Local& local = kernel_.locals[let.local.index];
  if (!local.mutable_) {
    bind_local(let.local, eval(let.expr));
    return;
  }
  llvm::Type* type = with_lanes(register_type(context(), local.dtype), lanes_.width);
  llvm::AllocaInst* slot = entry_alloca(type, local.name.c_str());
  ir_.CreateStore(eval_lanes(let.expr), slot);
  locals_[let.local.index] = {nullptr, slot};
}

llvm::Value* Emitter::combine(AccumulateOp op, llvm::Value* a, llvm::Value* b) {
  const bool is_float = a->getType()->isFPOrFPVectorTy();
  switch (op) {
    case AccumulateOp::kSum:
      return is_float ? ir_.CreateFAdd(a, b) : ir_.CreateAdd(a, b);
    case AccumulateOp::kProd:
      return is_float ? ir_.CreateFMul(a, b) : ir_.CreateMul(a, b);
    case AccumulateOp::kMax:
    case AccumulateOp::kMin:
      break;
  }
  const bool larger = op == AccumulateOp::kMax;
  if (!is_float) {
    llvm::Value* better = larger ? ir_.CreateICmpSGT(a, b) : ir_.CreateICmpSLT(a, b);
    return ir_.CreateSelect(better, a, b);
  }
  // NaN on either side gives NaN: an ordered comparison picks b, then a NaN of a comes back.
  llvm::Value* better = larger ? ir_.CreateFCmpOGT(a, b) : ir_.CreateFCmpOLT(a, b);
  return ir_.CreateSelect(ir_.CreateFCmpUNO(a, a), a, ir_.CreateSelect(better, a, b));
}

llvm::Value* Emitter::combine_lanes(AccumulateOp op, llvm::Value* vector, unsigned width) {
  while (lanes_of(vector) > width) {
    const unsigned half = lanes_of(vector) / 2;
    vector = combine(op, slice_lanes(ir_, vector, 0, half), slice_lanes(ir_, vector, half, half));
  }
  return vector;
}

llvm::Constant* Emitter::identity(AccumulateOp op, DType dtype) {
  llvm::Type* type = register_type(context(), dtype);
  const bool larger = op == AccumulateOp::kMax;
  if (op == AccumulateOp::kSum) return llvm::Constant::getNullValue(type);
  if (type->isFloatingPointTy())
    return op == AccumulateOp::kProd ? llvm::ConstantFP::get(type, 1.0)
                                     : llvm::ConstantFP::getInfinity(type, /*Negative=*/larger);
  if (op == AccumulateOp::kProd) return llvm::ConstantInt::get(type, 1);
  const unsigned bits = type->getScalarSizeInBits();
  return llvm::ConstantInt::get(
      type, larger ? llvm::APInt::getSignedMinValue(bits) : llvm::APInt::getSignedMaxValue(bits));
}

void Emitter::emit(const kernel::Accumulate& accumulate) {
  llvm::AllocaInst* slot = locals_[accumulate.local.index].slot;
  GRADC_CHECK(slot != nullptr, "{}: accumulator '{}' is not initialised", kernel_.name,
              kernel_.locals[accumulate.local.index].name);
  const auto* type = llvm::dyn_cast<llvm::FixedVectorType>(slot->getAllocatedType());
  const unsigned width = type == nullptr ? 1 : type->getNumElements();
  // The rest of a vector loop, lane by lane, goes into lane 0 of the loop's accumulators.
  const bool first_lane = width > 1 && lanes_.width == 1;
  const auto value_of = [&](kernel::ExprId id) {
    return splat(ir_, eval(id), first_lane ? 1 : width);
  };
  const auto read_old = [&] {
    llvm::Value* all = ir_.CreateLoad(slot->getAllocatedType(), slot);
    return first_lane ? ir_.CreateExtractElement(all, uint64_t{0}) : all;
  };
  const kernel::Expr& e = expr(accumulate.expr);
  llvm::Value* old = nullptr;
  llvm::Value* sum = nullptr;
  if (accumulate.op == AccumulateOp::kSum && e.kind == ExprKind::kScalar &&
      e.op == ScalarOp::kMul && e.dtype == DType::kF32) {
    llvm::Value* a = value_of(e.args[0]);
    llvm::Value* b = value_of(e.args[1]);
    old = read_old();
    sum = math().fma(a, b, old);
  } else {
    llvm::Value* value = value_of(accumulate.expr);
    old = read_old();
    sum = combine(accumulate.op, old, value);
  }
  if (lanes_.mask != nullptr && width == lanes_.width)
    sum = ir_.CreateSelect(lanes_.mask, sum, old);
  if (first_lane)
    sum = ir_.CreateInsertElement(ir_.CreateLoad(slot->getAllocatedType(), slot), sum, uint64_t{0});
  ir_.CreateStore(sum, slot);
}

void Emitter::emit(const kernel::Store& s) {
  const auto run = [&] {
    llvm::Value* value = eval(s.expr);
    if (s.add) {
      llvm::Value* old = load(s.buffer, s.index, s.dynamic);
      const unsigned width = std::max(lanes_of(old), lanes_of(value));
      value = combine(AccumulateOp::kSum, splat(ir_, old, width), splat(ir_, value, width));
    }
    store(s.buffer, s.index, s.dynamic, value);
  };
  if (first_thread_stores_)
    when(ir_.CreateICmpEQ(thread_index_, i32(0)), run);
  else
    run();
}

void Emitter::when(llvm::Value* condition, const std::function<void()>& body) {
  if (const auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition)) {
    if (known->isOne()) body();
    return;
  }
  auto* then_block = llvm::BasicBlock::Create(context(), "then", function_);
  auto* join = llvm::BasicBlock::Create(context(), "after", function_);
  ir_.CreateCondBr(condition, then_block, join);
  ir_.SetInsertPoint(then_block);
  body();
  ir_.CreateBr(join);
  ir_.SetInsertPoint(join);
}

void Emitter::emit(const kernel::If& branch) {
  llvm::Value* condition = eval(branch.condition);
  if (lanes_of(condition) == 1) {
    when(condition, [&] { emit_block(branch.body); });
    return;
  }
  Lanes inner = lanes_;
  inner.mask = lanes_.mask == nullptr ? condition : ir_.CreateAnd(condition, lanes_.mask);
  inner.guarded = true;
  with(inner, [&] { emit_block(branch.body); });
}

void Emitter::emit(const kernel::Contract& contract) {
  ContractEmitter(*this, contract).emit();
}

}  // namespace gradc::cg
