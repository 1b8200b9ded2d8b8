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
/// Additions to one float before it is set aside and another begun.
constexpr int64_t kSumRun = 16;

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
    case ScalarOp::kErfc:
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

/// How often one execution of the block adds to an accumulator of the code around it. Loops with
/// accumulators of their own (vector loops, sums in runs) give it one addition.
int64_t additions(const Block& block) {
  int64_t count = 0;
  for (const kernel::Stmt& stmt : block) {
    if (std::holds_alternative<kernel::Accumulate>(stmt)) count = std::max<int64_t>(count, 1);
    if (const auto* branch = std::get_if<std::unique_ptr<kernel::If>>(&stmt))
      count = std::max(count, additions((*branch)->body));
    const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt);
    if (loop == nullptr) continue;
    const int64_t all = additions((*loop)->body) * ((*loop)->end - (*loop)->begin);
    const bool own = (*loop)->kind == LoopKind::kVector || all > 2 * kSumRun;
    count = std::max(count, own ? std::min<int64_t>(all, 1) : all);
  }
  return count;
}

}  // namespace

/// A loop whose iterations add to floats of the code around it. A float sum of n terms one after
/// the other loses n roundings, so it is made in runs of kSumRun additions to a fresh accumulator,
/// runs of runs, and so on: a tree that the number of iterations alone determines.
class SumRuns {
 public:
  SumRuns(Emitter& em, const For& loop) : em_(em), loop_(loop) {
    FactCollector collector(*em.exprs_, em.kernel());
    collector.visit(loop.body);
    for (const uint32_t local : collector.facts.started)
      collector.facts.accumulated.erase(local);
    for (const auto& [local, op] : collector.facts.accumulated) {
      const bool sum = op == AccumulateOp::kSum && is_float(em.kernel().locals[local].dtype);
      if (sum && em.locals_[local].slot != nullptr) sums_.push_back(local);
    }
  }

  /// At most `iterations` of `step` from `low` on; body(iv) is one of them.
  void emit(llvm::Value* low, llvm::Value* high, int64_t step, int64_t iterations,
            const std::function<void(llvm::Value*)>& body, const char* name) {
    const int64_t each = std::max<int64_t>(additions(loop_.body), 1);
    const int64_t run = std::max<int64_t>(1, kSumRun / each);
    runs_.clear();
    if (!sums_.empty() && iterations > 2 * kSumRun / each) {
      runs_.push_back(run);
      while (iterations / runs_.back() > 2 * kSumRun)
        runs_.push_back(runs_.back() * kSumRun);
    }
    step_ = step;
    emit_level(runs_.size(), low, high, body, name);
  }

 private:
  using Body = std::function<void(llvm::Value*)>;

  /// [low, high) in runs of that level; level 0 is the iterations themselves.
  void emit_level(size_t level, llvm::Value* low, llvm::Value* high, const Body& body,
                  const char* name) {
    if (level == 0) return em_.loop(low, high, step_, false, body, name);
    Builder& ir = em_.ir();
    const int64_t length = runs_[level - 1] * step_;
    const int64_t first = constant_or(low, INT64_MAX);
    const int64_t last = constant_or(high, INT64_MIN);
    const bool is_static = first < last && last != INT64_MIN;
    // Whole runs, so that their length is a constant, and what is left of the innermost ones.
    const int64_t whole = is_static ? (last - first) / length * length : 0;
    const bool split = is_static && (level == 1 || first + whole == last);
    llvm::Value* end = split ? em_.i64(first + whole) : high;
    em_.loop(
        low, end, length, false,
        [&](llvm::Value* begin) {
          llvm::Value* next = ir.CreateNSWAdd(begin, em_.i64(length));
          if (!split) next = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, next, high);
          run(level, begin, next, body, name);
        },
        "run");
    if (split && first + whole < last) run(level, end, high, body, name);
  }

  void run(size_t level, llvm::Value* low, llvm::Value* high, const Body& body, const char* name) {
    const std::vector<LocalValue> outer = begin_run();
    emit_level(level - 1, low, high, body, name);
    end_run(outer);
  }

  std::vector<LocalValue> begin_run() {
    std::vector<LocalValue> outer;
    for (const uint32_t local : sums_) {
      outer.push_back(em_.locals_[local]);
      llvm::Type* type = outer.back().slot->getAllocatedType();
      llvm::AllocaInst* slot = em_.entry_alloca(type, "run");
      em_.ir().CreateStore(llvm::Constant::getNullValue(type), slot);
      em_.locals_[local] = {nullptr, slot};
    }
    return outer;
  }

  void end_run(const std::vector<LocalValue>& outer) {
    Builder& ir = em_.ir();
    for (size_t i = 0; i < sums_.size(); ++i) {
      llvm::AllocaInst* slot = em_.locals_[sums_[i]].slot;
      llvm::AllocaInst* total = outer[i].slot;
      llvm::Value* run = ir.CreateLoad(slot->getAllocatedType(), slot);
      llvm::Value* before = ir.CreateLoad(total->getAllocatedType(), total);
      ir.CreateStore(em_.combine(AccumulateOp::kSum, before, run), total);
      em_.locals_[sums_[i]] = outer[i];
    }
  }

  Emitter& em_;
  const For& loop_;
  std::vector<uint32_t> sums_;
  std::vector<int64_t> runs_;  ///< iterations of the runs of each level, innermost first
  int64_t step_ = 1;
};

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
  SumRuns(*this, loop_stmt)
      .emit(
          low, high, 1, loop_stmt.end - loop_stmt.begin,
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
    const int64_t wide = static_cast<int64_t>(unroll_) * width_;
    llvm::Value* count = ir.CreateNSWSub(high_, low_);
    llvm::Value* rest = ir.CreateNSWAdd(low_, ir.CreateAnd(count, em_.i64(-wide)));
    start(static_cast<unsigned>(wide));
    SumRuns(em_, loop_)
        .emit(
            low_, rest, wide, (loop_.end - loop_.begin) / wide,
            [&](llvm::Value* iv) {
              em_.with({static_cast<unsigned>(wide), loop_.var}, [&] {
                em_.bind_var(loop_.var, iv, 0, range);
                em_.emit_block(loop_.body);
              });
            },
            "v");
    if (unroll_ > 1) narrow(width_);
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
