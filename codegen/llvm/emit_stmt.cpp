// Statements other than loops.
#include "codegen/llvm/emitter.h"
#include "codegen/llvm/micro/contract.h"
#include "ir/element.h"
#include "support/check.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace gradc::cg {

using kernel::AccumulateOp;

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
  const LocalValue started{nullptr, entry_alloca(type, local.name.c_str()), type};
  store_slot(eval_lanes(let.expr), started);
  locals_[let.local.index] = started;
}

namespace {

/// Places on the stack are aligned to what they hold, up to a cache line.
llvm::Align slot_align(const llvm::Type* type) {
  const uint64_t bits = type->getPrimitiveSizeInBits().getFixedValue();
  return llvm::Align(std::clamp<uint64_t>(std::bit_floor(bits / 8), 1, 64));
}

}  // namespace

llvm::Value* Emitter::load_slot(const LocalValue& local) {
  return ir_.CreateAlignedLoad(local.type, local.slot, slot_align(local.type));
}

void Emitter::store_slot(llvm::Value* value, const LocalValue& local) {
  ir_.CreateAlignedStore(value, local.slot, slot_align(local.type));
}

namespace {

/// u8 and bool, the only integers of so few bits.
bool is_unsigned(const llvm::Type* type) {
  return type->getScalarSizeInBits() <= 8;
}

}  // namespace

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
    using P = llvm::CmpInst::Predicate;
    const P signed_than = larger ? P::ICMP_SGT : P::ICMP_SLT;
    const P than = larger ? P::ICMP_UGT : P::ICMP_ULT;
    llvm::Value* better = ir_.CreateCmp(is_unsigned(a->getType()) ? than : signed_than, a, b);
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
  using llvm::APInt;
  const unsigned bits = type->getScalarSizeInBits();
  const APInt least = is_unsigned(type) ? APInt::getMinValue(bits) : APInt::getSignedMinValue(bits);
  const APInt most = is_unsigned(type) ? APInt::getMaxValue(bits) : APInt::getSignedMaxValue(bits);
  return llvm::ConstantInt::get(type, larger ? least : most);
}

void Emitter::emit(const kernel::Accumulate& accumulate) {
  const LocalValue& local = locals_[accumulate.local.index];
  GRADC_CHECK(local.slot != nullptr, "{}: accumulator '{}' is not initialised", kernel_.name,
              kernel_.locals[accumulate.local.index].name);
  const auto* type = llvm::dyn_cast<llvm::FixedVectorType>(local.type);
  const unsigned width = type == nullptr ? 1 : type->getNumElements();
  llvm::Value* value = splat(ir_, eval(accumulate.expr), width);
  llvm::Value* sum = nullptr;
  llvm::Value* old = nullptr;
  if (accumulate.factor.valid()) {
    llvm::Value* factor = splat(ir_, eval(accumulate.factor), width);
    old = load_slot(local);
    sum = math().fma(value, factor, old);
  } else {
    old = load_slot(local);
    sum = combine(accumulate.op, old, value);
  }
  if (lanes_.mask != nullptr && width == lanes_.width)
    sum = ir_.CreateSelect(lanes_.mask, sum, old);
  store_slot(sum, local);
}

/// A choice between what is read from memory and a number, the same on all lanes, is one branch
/// around the store, not one around each load.
bool Emitter::emit_branched(const kernel::Store& s) {
  const kernel::Expr& choice = expr(s.expr);
  const bool chooses = choice.kind == kernel::ExprKind::kScalar && choice.op == ScalarOp::kSelect &&
                       !s.add && expr(choice.args[2]).kind == kernel::ExprKind::kConst &&
                       lanes_.width > 1;
  if (!chooses || !has_load(*exprs_, choice.args[1])) return false;
  llvm::Value* condition = eval(choice.args[0]);
  if (lanes_of(condition) > 1 || llvm::isa<llvm::Constant>(condition)) return false;
  const kernel::ExprId value = choice.args[1];
  const kernel::ExprId otherwise = choice.args[2];
  auto* no = llvm::BasicBlock::Create(context(), "otherwise", function_);
  auto* join = llvm::BasicBlock::Create(context(), "after", function_);
  auto* yes = llvm::BasicBlock::Create(context(), "chosen", function_, no);
  ir_.CreateCondBr(condition, yes, no);
  ir_.SetInsertPoint(yes);
  llvm::Value* outer = std::exchange(holds_, condition);
  store(s.buffer, s.index, s.dynamic, eval(value));
  holds_ = outer;
  ir_.CreateBr(join);
  ir_.SetInsertPoint(no);
  store(s.buffer, s.index, s.dynamic, eval(otherwise));
  ir_.CreateBr(join);
  ir_.SetInsertPoint(join);
  return true;
}

void Emitter::emit(const kernel::Store& s) {
  const auto run = [&] {
    if (emit_branched(s)) return;
    llvm::Value* value = eval(s.expr);
    if (s.add) {
      llvm::Value* old = load(s.buffer, s.index, s.dynamic);
      const unsigned width = std::max(lanes_of(old), lanes_of(value));
      value = combine(AccumulateOp::kSum, splat(ir_, old, width), splat(ir_, value, width));
      const DType dtype = kernel_.buffer(s.buffer).dtype;
      if (is_short_float(dtype)) value = round_short(value, dtype);
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
