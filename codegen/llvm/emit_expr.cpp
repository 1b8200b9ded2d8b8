// Expressions: constants, indices, locals, guards. Operators are in emit_scalar_op.cpp, integer
// ranges and 32-bit index arithmetic in emit_int.cpp.
#include "codegen/llvm/emitter.h"
#include "support/check.h"

#include <llvm/IR/Constants.h>

#include <algorithm>
#include <cmath>

namespace gradc::cg {

using kernel::Affine;
using kernel::Expr;
using kernel::ExprId;
using kernel::ExprKind;

Emitter::Emitter(llvm::Function* function, const kernel::Kernel& kernel, const TargetInfo& target)
    : function_(function),
      ir_(llvm::BasicBlock::Create(function->getContext(), "entry", function)),
      kernel_(kernel),
      target_(target),
      exprs_(&kernel.exprs),
      buffers_(kernel.buffers.size()),
      vars_(kernel.vars.size()),
      locals_(kernel.locals.size()) {}

void Emitter::bind_var(kernel::VarId id, llvm::Value* base, int64_t offset, Interval range) {
  vars_[id.index] = {base, offset, range, ++depth_};
}

void Emitter::set_threads(llvm::Value* index, llvm::Value* count) {
  thread_index_ = index;
  thread_count_ = count;
}

llvm::Value* Emitter::reserve_scratch(int64_t bytes) {
  llvm::Value* pointer = ir_.CreateConstInBoundsGEP1_64(
      ir_.getInt8Ty(), scratch_, static_cast<uint64_t>(scratch_bytes_), "local");
  scratch_bytes_ += (bytes + 63) / 64 * 64;
  return pointer;
}

llvm::AllocaInst* Emitter::entry_alloca(llvm::Type* type, const char* name) {
  llvm::BasicBlock& entry = function_->getEntryBlock();
  Builder at_entry(&entry, entry.begin());
  return at_entry.CreateAlloca(type, nullptr, name);
}

llvm::Value* Emitter::read_local(kernel::LocalId id) {
  const LocalValue& local = locals_[id.index];
  if (local.slot != nullptr) return load_slot(local);
  GRADC_CHECK(local.value != nullptr, "{}: local '{}' read before it is set", kernel_.name,
              kernel_.locals[id.index].name);
  return local.value;
}

Terms Emitter::terms_of(const Affine& index) const {
  auto terms = index.terms;
  std::sort(terms.begin(), terms.end(), [this](const auto& a, const auto& b) {
    return vars_[a.first.index].depth < vars_[b.first.index].depth;
  });
  Terms result{{}, index.offset};
  for (const auto& [id, coefficient] : terms) {
    const VarValue& value = vars_[id.index];
    GRADC_CHECK(value.depth > 0, "{}: loop variable '{}' used outside its loop", kernel_.name,
                kernel_.vars[id.index]);
    result.constant += value.offset * coefficient;
    if (value.base != nullptr) result.dynamic.emplace_back(value.base, coefficient);
  }
  return result;
}

llvm::Value* Emitter::dynamic_sum(const Terms& terms) {
  llvm::Value* sum = nullptr;
  for (const auto& [base, coefficient] : terms.dynamic) {
    llvm::Value* term = coefficient == 1 ? base : ir_.CreateNSWMul(base, i64(coefficient));
    sum = sum == nullptr ? term : ir_.CreateNSWAdd(sum, term);
  }
  return sum;
}

llvm::Value* Emitter::sum_of(const Terms& terms) {
  llvm::Value* sum = dynamic_sum(terms);
  if (sum == nullptr) return i64(terms.constant);
  return terms.constant == 0 ? sum : ir_.CreateNSWAdd(sum, i64(terms.constant));
}

std::pair<llvm::Value*, int64_t> Emitter::affine_parts(const Affine& index) {
  const Terms terms = terms_of(index);
  return {dynamic_sum(terms), terms.constant};
}

llvm::Value* Emitter::affine(const Affine& index) {
  return sum_of(terms_of(index));
}

llvm::Value* Emitter::eval_index(const Affine& index, DType dtype) {
  llvm::Type* type = register_type(context(), dtype);
  llvm::Value* scalar = ir_.CreateTrunc(affine(index), type);
  const int64_t step = lanes_.width == 1 ? 0 : index.coefficient(lanes_.var);
  if (step == 0) return scalar;
  llvm::Constant* lane = iota(type, lanes_.width);
  llvm::Value* offsets = lane;
  if (step != 1) {
    llvm::Value* scale = llvm::ConstantInt::getSigned(type, step);
    offsets = ir_.CreateMul(lane, splat(ir_, scale, lanes_.width));
  }
  return ir_.CreateAdd(splat(ir_, scalar, lanes_.width), offsets);
}

llvm::Value* Emitter::eval_lanes(ExprId id) {
  return splat(ir_, eval(id), lanes_.width);
}

llvm::Value* Emitter::eval(ExprId id) {
  const Expr& e = expr(id);
  switch (e.kind) {
    case ExprKind::kConst: {
      llvm::Type* type = register_type(context(), e.dtype);
      if (type->isFloatingPointTy()) return llvm::ConstantFP::get(type, e.value);
      return llvm::ConstantInt::getSigned(type, static_cast<int64_t>(e.value));
    }
    case ExprKind::kIndex:
      if (widens(id)) return widen(eval_narrow(id));
      return eval_index(e.index, e.dtype);
    case ExprKind::kLoad:
      return load(e.buffer, e.index, e.args[0]);
    case ExprKind::kLocal:
      return read_local(e.local);
    case ExprKind::kScalar:
      return eval_scalar_op(e);
    case ExprKind::kFloorDiv:
    case ExprKind::kFloorMod:
      if (widens(id)) return widen(eval_narrow(id));
      return divide_floor(eval(e.args[0]), e.imm, e.kind == ExprKind::kFloorMod,
                          range_of(e.args[0]).non_negative());
    case ExprKind::kGuard:
      return eval_guard(e);
    case ExprKind::kRandom:
      return eval_random(e);
  }
  GRADC_UNREACHABLE();
}

bool Emitter::has_load(const std::vector<Expr>& exprs, ExprId id) {
  if (!id.valid()) return false;
  const Expr& e = exprs[id.index];
  return e.kind == ExprKind::kLoad || std::any_of(e.args.begin(), e.args.end(),
                                                  [&](ExprId arg) { return has_load(exprs, arg); });
}

llvm::Value* Emitter::lane_mask() {
  if (lanes_.mask != nullptr) return lanes_.mask;
  return llvm::Constant::getAllOnesValue(with_lanes(ir_.getInt1Ty(), lanes_.width));
}

/// Whether a guard under which all lanes are or none is a register of neighbours, or else is zeros,
/// in code that is better off without a branch: what is loaded can be zeros.
bool Emitter::is_row_or_zeros(const Expr& guard) const {
  const Expr& row = expr(guard.args[1]);
  const Expr& otherwise = expr(guard.args[2]);
  const bool is_row = row.kind == ExprKind::kLoad && !row.args[0].valid() &&
                      row.index.coefficient(lanes_.var) == 1 && lanes_.width > 1 &&
                      lanes_.width * dtype_bytes(kernel_.buffer(row.buffer).dtype) <= kZeroBytes;
  return is_branchless_ && is_row && !lanes_.guarded && otherwise.kind == ExprKind::kConst &&
         otherwise.value == 0 && !std::signbit(otherwise.value);
}

llvm::Value* Emitter::eval_guard(const Expr& e) {
  llvm::Value* condition = eval(e.args[0]);
  if (condition == holds_) return eval(e.args[1]);
  if (const auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition))
    return eval(e.args[known->isOne() ? 1 : 2]);
  if (lanes_of(condition) > 1) {
    const auto under = [&](llvm::Value* mask, ExprId id) {
      Lanes inner = lanes_;
      inner.mask = lanes_.mask == nullptr ? mask : ir_.CreateAnd(mask, lanes_.mask);
      inner.guarded = true;
      return with(inner, [&] { return eval(id); });
    };
    llvm::Value* yes = under(condition, e.args[1]);
    llvm::Value* no =
        has_load(*exprs_, e.args[2]) ? under(ir_.CreateNot(condition), e.args[2]) : eval(e.args[2]);
    return ir_.CreateSelect(condition, splat(ir_, yes, lanes_.width), splat(ir_, no, lanes_.width));
  }
  if (!has_load(*exprs_, e.args[1]) && !has_load(*exprs_, e.args[2])) {
    llvm::Value* yes = eval(e.args[1]);
    llvm::Value* no = eval(e.args[2]);
    const unsigned width = std::max(lanes_of(yes), lanes_of(no));
    return ir_.CreateSelect(condition, splat(ir_, yes, width), splat(ir_, no, width));
  }
  if (is_row_or_zeros(e)) {
    const Expr& row = expr(e.args[1]);
    return load_or_zeros(row.buffer, row.index, condition);
  }
  auto* then_block = llvm::BasicBlock::Create(context(), "guarded", function_);
  auto* else_block = llvm::BasicBlock::Create(context(), "otherwise", function_);
  auto* join = llvm::BasicBlock::Create(context(), "join", function_);
  ir_.CreateCondBr(condition, then_block, else_block);
  ir_.SetInsertPoint(then_block);
  llvm::Value* yes = splat(ir_, eval(e.args[1]), lanes_.width);
  then_block = ir_.GetInsertBlock();
  ir_.CreateBr(join);
  ir_.SetInsertPoint(else_block);
  llvm::Value* no = splat(ir_, eval(e.args[2]), lanes_.width);
  else_block = ir_.GetInsertBlock();
  ir_.CreateBr(join);
  ir_.SetInsertPoint(join);
  llvm::PHINode* result = ir_.CreatePHI(yes->getType(), 2);
  result->addIncoming(yes, then_block);
  result->addIncoming(no, else_block);
  return result;
}

}  // namespace gradc::cg
