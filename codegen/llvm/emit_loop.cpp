// Loops: serial, unrolled, split over threads, and vector loops with their accumulators and tails.
#include "codegen/llvm/emitter.h"
#include "support/check.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <set>

namespace gradc::cg {

using kernel::AccumulateOp;
using kernel::Block;
using kernel::ExprId;
using kernel::ExprKind;
using kernel::For;
using kernel::LoopKind;

namespace {

constexpr int64_t kFullUnrollLimit = 16;
/// Threads' pieces of a parallel vector loop begin at multiples of this.
constexpr int64_t kPieceUnit = 64;

struct BodyFacts {
  int64_t cost = 0;  ///< vector instructions, roughly
  bool has_double = false;
  bool gathers = false;
  std::map<uint32_t, AccumulateOp> accumulated;
  std::set<uint32_t> started;
};

int64_t op_cost(const kernel::Expr& e) {
  if (e.kind == ExprKind::kRandom) return 60;
  if (e.kind != ExprKind::kScalar) return 1;
  switch (e.op) {
    case ScalarOp::kExp:
    case ScalarOp::kExpm1:
    case ScalarOp::kLog:
    case ScalarOp::kLog1p:
    case ScalarOp::kSin:
    case ScalarOp::kCos:
    case ScalarOp::kTanh:
    case ScalarOp::kErf:
    case ScalarOp::kSigmoid:
    case ScalarOp::kPow:
      return 20;
    case ScalarOp::kDiv:
    case ScalarOp::kSqrt:
    case ScalarOp::kRsqrt:
      return 4;
    case ScalarOp::kNeg:
    case ScalarOp::kAbs:
    case ScalarOp::kSign:
    case ScalarOp::kRelu:
    case ScalarOp::kFloor:
    case ScalarOp::kCeil:
    case ScalarOp::kRound:
    case ScalarOp::kNot:
    case ScalarOp::kIsFinite:
    case ScalarOp::kAdd:
    case ScalarOp::kSub:
    case ScalarOp::kMul:
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
      return 1;
  }
  GRADC_UNREACHABLE();
}

class FactCollector {
 public:
  FactCollector(const std::vector<kernel::Expr>& exprs, const kernel::Kernel& kernel)
      : exprs_(exprs), kernel_(kernel) {}

  void visit(ExprId id) {
    if (!id.valid()) return;
    const kernel::Expr& e = exprs_[id.index];
    facts.cost += op_cost(e);
    if (e.dtype == DType::kF64) facts.has_double = true;
    if (e.kind == ExprKind::kLoad && e.args[0].valid()) facts.gathers = true;
    for (const ExprId arg : e.args)
      visit(arg);
  }

  void visit(const Block& block) {
    for (const kernel::Stmt& stmt : block) {
      if (const auto* let = std::get_if<kernel::Let>(&stmt)) {
        facts.started.insert(let->local.index);
        visit(let->expr);
      } else if (const auto* acc = std::get_if<kernel::Accumulate>(&stmt)) {
        facts.accumulated[acc->local.index] = acc->op;
        visit(acc->expr);
      } else if (const auto* store = std::get_if<kernel::Store>(&stmt)) {
        visit(store->expr);
        if (store->dynamic.valid()) facts.gathers = true;
        if (kernel_.buffer(store->buffer).dtype == DType::kF64) facts.has_double = true;
        visit(store->dynamic);
      } else if (const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt)) {
        visit((*loop)->body);
      } else if (const auto* branch = std::get_if<std::unique_ptr<kernel::If>>(&stmt)) {
        visit((*branch)->condition);
        visit((*branch)->body);
      }
    }
  }

  BodyFacts facts;

 private:
  const std::vector<kernel::Expr>& exprs_;
  const kernel::Kernel& kernel_;
};

int64_t constant_or(llvm::Value* value, int64_t otherwise) {
  const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(value);
  return constant == nullptr ? otherwise : constant->getSExtValue();
}

}  // namespace

void Emitter::loop(llvm::Value* low, llvm::Value* high, int64_t step, bool known_non_empty,
                   const std::function<void(llvm::Value*)>& body, const char* name) {
  const int64_t first = constant_or(low, INT64_MAX);
  const int64_t last = constant_or(high, INT64_MIN);
  const bool is_static = first != INT64_MAX && last != INT64_MIN;
  if (is_static) {
    if (first >= last) return;
    known_non_empty = true;
    if (last - first <= step) return body(low);
  }
  auto* preheader = ir_.GetInsertBlock();
  auto* header = llvm::BasicBlock::Create(context(), name, function_);
  auto* after = llvm::BasicBlock::Create(context(), "done", function_);
  if (known_non_empty)
    ir_.CreateBr(header);
  else
    ir_.CreateCondBr(ir_.CreateICmpSLT(low, high), header, after);
  ir_.SetInsertPoint(header);
  llvm::PHINode* iv = ir_.CreatePHI(ir_.getInt64Ty(), 2, name);
  iv->addIncoming(low, preheader);
  body(iv);
  llvm::Value* next = ir_.CreateNSWAdd(iv, i64(step));
  iv->addIncoming(next, ir_.GetInsertBlock());
  ir_.CreateCondBr(ir_.CreateICmpSLT(next, high), header, after);
  ir_.SetInsertPoint(after);
}

unsigned Emitter::vector_width(const Block& body) const {
  FactCollector collector(*exprs_, kernel_);
  collector.visit(body);
  return static_cast<unsigned>(target_.lanes(collector.facts.has_double ? 8 : 4));
}

void Emitter::vector_range(kernel::VarId var, llvm::Value* low, llvm::Value* high, Interval range,
                           unsigned width, const std::function<void(llvm::Value*)>& body) {
  const auto at = [&](const Lanes& lanes, llvm::Value* iv) {
    with(lanes, [&] {
      bind_var(var, iv, 0, range);
      body(iv);
    });
  };
  llvm::Value* count = ir_.CreateNSWSub(high, low);
  llvm::Value* whole = ir_.CreateAnd(count, i64(-static_cast<int64_t>(width)));
  llvm::Value* middle = ir_.CreateNSWAdd(low, whole);
  loop(low, middle, width, false, [&](llvm::Value* iv) { at({width, var}, iv); }, "v");
  if (width == 1 || constant_or(ir_.CreateICmpEQ(middle, high), 0) != 0) return;
  if (!target_.has_masked_memory) {
    loop(middle, high, 1, false, [&](llvm::Value* iv) { at({1, var}, iv); }, "rest");
    return;
  }
  when(ir_.CreateICmpSLT(middle, high), [&] {
    llvm::Value* left = ir_.CreateTrunc(ir_.CreateNSWSub(high, middle), ir_.getInt32Ty());
    llvm::Value* mask = ir_.CreateICmpULT(iota(ir_.getInt32Ty(), width), splat(ir_, left, width));
    at({width, var, mask}, middle);
  });
}

std::pair<llvm::Value*, llvm::Value*> Emitter::thread_range(int64_t count, int64_t grain) {
  const int64_t units = (count + grain - 1) / grain;
  llvm::Value* t = ir_.CreateSExt(thread_index_, ir_.getInt64Ty());
  llvm::Value* threads = ir_.CreateSExt(thread_count_, ir_.getInt64Ty());
  const auto bound = [&](llvm::Value* index) {
    llvm::Value* unit = ir_.CreateUDiv(ir_.CreateNSWMul(index, i64(units)), threads);
    llvm::Value* element = ir_.CreateNSWMul(unit, i64(grain));
    if (units * grain == count) return element;
    return static_cast<llvm::Value*>(
        ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, element, i64(count)));
  };
  return {bound(t), bound(ir_.CreateNSWAdd(t, i64(1)))};
}

void Emitter::emit_serial(const For& loop_stmt, llvm::Value* low, llvm::Value* high) {
  const Interval range{loop_stmt.begin, loop_stmt.end - 1};
  loop(
      low, high, 1, false,
      [&](llvm::Value* iv) {
        bind_var(loop_stmt.var, iv, 0, range);
        emit_block(loop_stmt.body);
      },
      kernel_.vars[loop_stmt.var.index].c_str());
}

void Emitter::emit_parallel(const For& loop_stmt) {
  const int64_t count = loop_stmt.end - loop_stmt.begin;
  const bool vector = loop_stmt.kind == LoopKind::kParallelVector;
  const int64_t grain = std::max<int64_t>(
      vector ? (loop_stmt.grain + kPieceUnit - 1) / kPieceUnit * kPieceUnit : loop_stmt.grain, 1);
  auto [low, high] = thread_range(count, grain);
  low = ir_.CreateNSWAdd(low, i64(loop_stmt.begin));
  high = ir_.CreateNSWAdd(high, i64(loop_stmt.begin));
  first_thread_stores_ = false;
  if (vector)
    emit_vector(loop_stmt, low, high);
  else
    emit_serial(loop_stmt, low, high);
  first_thread_stores_ = true;
}

/// One vector loop: wide lanes (several registers) for the bulk, then single vectors, then the
/// tail. Accumulators of the enclosing code become lane accumulators and are combined at the end in
/// a fixed order.
class VectorLoop {
 public:
  VectorLoop(Emitter& em, const For& loop, llvm::Value* low, llvm::Value* high)
      : em_(em), loop_(loop), low_(low), high_(high) {
    FactCollector collector(*em.exprs_, em.kernel());
    collector.visit(loop.body);
    facts_ = std::move(collector.facts);
    for (const uint32_t local : facts_.started)
      facts_.accumulated.erase(local);
    width_ = static_cast<unsigned>(em.target().lanes(facts_.has_double ? 8 : 4));
    const int64_t count = loop.end - loop.begin;
    if (count < width_) width_ = std::bit_ceil(static_cast<unsigned>(count));
    while (unroll_ < max_unroll() && count >= int64_t{2} * unroll_ * width_)
      unroll_ *= 2;
  }

  void emit() {
    Builder& ir = em_.ir();
    const Interval range{loop_.begin, loop_.end - 1};
    llvm::Value* rest = low_;
    if (unroll_ > 1) {
      const int64_t wide = static_cast<int64_t>(unroll_) * width_;
      llvm::Value* count = ir.CreateNSWSub(high_, low_);
      rest = ir.CreateNSWAdd(low_, ir.CreateAnd(count, em_.i64(-wide)));
      start(static_cast<unsigned>(wide));
      em_.loop(low_, rest, wide, false, [&](llvm::Value* iv) {
        em_.with({static_cast<unsigned>(wide), loop_.var}, [&] {
          em_.bind_var(loop_.var, iv, 0, range);
          em_.emit_block(loop_.body);
        });
      });
      narrow(width_);
    } else {
      start(width_);
    }
    em_.vector_range(loop_.var, rest, high_, range, width_,
                     [&](llvm::Value*) { em_.emit_block(loop_.body); });
    finish();
  }

 private:
  unsigned max_unroll() const {
    if (facts_.gathers || facts_.cost > 16) return 1;
    return facts_.cost > 7 ? 2 : 4;
  }

  llvm::AllocaInst* make_slot(uint32_t local, AccumulateOp op, unsigned width) {
    const DType dtype = em_.kernel().locals[local].dtype;
    llvm::Constant* zero = em_.identity(op, dtype);
    llvm::AllocaInst* slot = em_.entry_alloca(with_lanes(zero->getType(), width), "lanes");
    em_.ir().CreateStore(splat(em_.ir(), zero, width), slot);
    return slot;
  }

  void start(unsigned width) {
    for (const auto& [local, op] : facts_.accumulated) {
      outer_[local] = em_.locals_[local];
      GRADC_CHECK(em_.locals_[local].slot != nullptr, "accumulator '{}' is not initialised",
                  em_.kernel().locals[local].name);
      em_.locals_[local] = {nullptr, make_slot(local, op, width)};
    }
  }

  llvm::Value* read(uint32_t local) {
    llvm::AllocaInst* slot = em_.locals_[local].slot;
    return em_.ir().CreateLoad(slot->getAllocatedType(), slot);
  }

  void narrow(unsigned width) {
    for (const auto& [local, op] : facts_.accumulated) {
      llvm::Value* value = em_.combine_lanes(op, read(local), width);
      llvm::AllocaInst* slot = em_.entry_alloca(value->getType(), "lanes");
      em_.ir().CreateStore(value, slot);
      em_.locals_[local] = {nullptr, slot};
    }
  }

  void finish() {
    for (const auto& [local, op] : facts_.accumulated) {
      llvm::Value* value = em_.combine_lanes(op, read(local), 1);
      llvm::AllocaInst* slot = outer_[local].slot;
      llvm::Value* old = em_.ir().CreateLoad(slot->getAllocatedType(), slot);
      em_.ir().CreateStore(em_.combine(op, old, value), slot);
      em_.locals_[local] = outer_[local];
    }
  }

  Emitter& em_;
  const For& loop_;
  llvm::Value* low_;
  llvm::Value* high_;
  BodyFacts facts_;
  unsigned width_ = 1;
  unsigned unroll_ = 1;
  std::map<uint32_t, LocalValue> outer_;
};

void Emitter::emit_vector(const For& loop_stmt, llvm::Value* low, llvm::Value* high) {
  VectorLoop(*this, loop_stmt, low, high).emit();
}

void Emitter::emit(const For& loop_stmt) {
  if (loop_stmt.begin >= loop_stmt.end) return;
  llvm::Value* low = i64(loop_stmt.begin);
  llvm::Value* high = i64(loop_stmt.end);
  switch (loop_stmt.kind) {
    case LoopKind::kSerial:
      return emit_serial(loop_stmt, low, high);
    case LoopKind::kParallel:
    case LoopKind::kParallelVector:
      return emit_parallel(loop_stmt);
    case LoopKind::kVector:
      return emit_vector(loop_stmt, low, high);
    case LoopKind::kUnroll:
      if (loop_stmt.end - loop_stmt.begin > kFullUnrollLimit)
        return emit_serial(loop_stmt, low, high);
      for (int64_t i = loop_stmt.begin; i < loop_stmt.end; ++i) {
        bind_var(loop_stmt.var, nullptr, i, {i, i});
        emit_block(loop_stmt.body);
      }
      return;
  }
  GRADC_UNREACHABLE();
}

}  // namespace gradc::cg
