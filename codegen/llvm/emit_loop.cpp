// Loops: serial, unrolled and split over threads. Vector loops are in emit_vector_loop.cpp.
#include "codegen/llvm/emitter.h"
#include "codegen/llvm/loop_facts.h"
#include "codegen/llvm/open_sums.h"
#include "runtime/model_abi.h"
#include "support/check.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace gradc::cg {

using kernel::Block;
using kernel::For;
using kernel::LoopKind;

namespace {

constexpr int64_t kFullUnrollLimit = 16;
constexpr int64_t kManySums = 6;
/// Threads' pieces of a parallel vector loop begin at multiples of this.
constexpr int64_t kPieceUnit = 64;

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
  know_zero_bits(iv, std::min(zero_bits(low), zero_bits(i64(step))));
  body(iv);
  llvm::Value* next = ir_.CreateNSWAdd(iv, i64(step));
  iv->addIncoming(next, ir_.GetInsertBlock());
  ir_.CreateCondBr(ir_.CreateICmpSLT(next, high), header, after);
  ir_.SetInsertPoint(after);
}

unsigned Emitter::vector_width(const Block& body) const {
  const LoopFacts facts = loop_facts(kernel_, *exprs_, body);
  return static_cast<unsigned>(target_.lanes(facts.has_double ? 8 : 4));
}

void Emitter::vector_range(kernel::VarId var, llvm::Value* low, llvm::Value* high, Interval range,
                           unsigned width, int64_t multiple,
                           const std::function<void(llvm::Value*)>& body,
                           const std::function<void()>& before_single) {
  const auto at = [&](const Lanes& lanes, llvm::Value* iv) {
    with(lanes, [&] {
      bind_var(var, iv, 0, range);
      body(iv);
    });
  };
  if (multiple % width == 0)
    return loop(low, high, width, false, [&](llvm::Value* iv) { at({width, var}, iv); }, "v");
  llvm::Value* count = ir_.CreateNSWSub(high, low);
  llvm::Value* whole = ir_.CreateAnd(count, i64(-static_cast<int64_t>(width)));
  llvm::Value* middle = ir_.CreateNSWAdd(low, whole);
  loop(low, middle, width, false, [&](llvm::Value* iv) { at({width, var}, iv); }, "v");
  if (width == 1 || constant_or(ir_.CreateICmpEQ(middle, high), 0) != 0) return;
  if (!target_.has_masked_memory) {
    if (before_single) before_single();
    loop(middle, high, 1, false, [&](llvm::Value* iv) { at({1, var}, iv); }, "rest");
    return;
  }
  when(ir_.CreateICmpSLT(middle, high), [&] {
    llvm::Value* left = ir_.CreateTrunc(ir_.CreateNSWSub(high, middle), ir_.getInt32Ty());
    llvm::Value* mask = ir_.CreateICmpULT(iota(ir_.getInt32Ty(), width), splat(ir_, left, width));
    at({width, var, mask}, middle);
  });
}

/// Where a piece begins, or all pieces end; there nothing runs whose low bits would matter.
llvm::Value* Emitter::at_most(llvm::Value* begin, llvm::Value* count) {
  llvm::Value* bound = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, begin, count);
  know_zero_bits(bound, zero_bits(begin));
  return bound;
}

std::pair<llvm::Value*, llvm::Value*> Emitter::thread_range(int64_t count, int64_t grain) {
  const int64_t units = (count + grain - 1) / grain;
  // A division of short numbers is one instruction; of long ones LLVM tests first whether they are.
  const bool is_short = units < INT32_MAX / GRADC_RT_MAX_THREADS;
  llvm::Type* type = is_short ? ir_.getInt32Ty() : ir_.getInt64Ty();
  llvm::Value* t = ir_.CreateSExt(thread_index_, type);
  llvm::Value* threads = ir_.CreateSExt(thread_count_, type);
  const auto bound = [&](llvm::Value* index) {
    llvm::Value* all =
        ir_.CreateNSWMul(index, llvm::ConstantInt::get(type, static_cast<uint64_t>(units)));
    llvm::Value* unit = ir_.CreateZExt(ir_.CreateUDiv(all, threads), ir_.getInt64Ty());
    llvm::Value* element = ir_.CreateNSWMul(unit, i64(grain));
    return units * grain == count ? element : at_most(element, i64(count));
  };
  return {bound(t), bound(ir_.CreateNSWAdd(t, llvm::ConstantInt::get(type, 1)))};
}

std::pair<llvm::Value*, llvm::Value*> Emitter::thread_range(llvm::Value* count, int64_t grain) {
  if (const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(count))
    return thread_range(constant->getSExtValue(), grain);
  llvm::Value* units = ir_.CreateUDiv(ir_.CreateNSWAdd(count, i64(grain - 1)), i64(grain));
  llvm::Value* t = ir_.CreateSExt(thread_index_, ir_.getInt64Ty());
  llvm::Value* threads = ir_.CreateSExt(thread_count_, ir_.getInt64Ty());
  const auto bound = [&](llvm::Value* index) {
    llvm::Value* unit = ir_.CreateUDiv(ir_.CreateNSWMul(index, units), threads);
    return at_most(ir_.CreateNSWMul(unit, i64(grain)), count);
  };
  return {bound(t), bound(ir_.CreateNSWAdd(t, i64(1)))};
}

llvm::Value* Emitter::limit(kernel::ExprId below, int64_t most) {
  if (!below.valid()) return i64(most);
  llvm::Value* value = ir_.CreateSExtOrTrunc(eval(below), ir_.getInt64Ty());
  value = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, value, i64(most));
  return ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, value, i64(0));
}

void Emitter::emit_serial(const For& loop_stmt, llvm::Value* low, llvm::Value* high) {
  const Interval range{loop_stmt.begin, loop_stmt.end - 1};
  const char* name = kernel_.vars[loop_stmt.var.index].c_str();
  const auto iteration = [&](llvm::Value* iv) {
    bind_var(loop_stmt.var, iv, 0, range);
    read_ahead(loop_stmt.var);
    emit_block(loop_stmt.body);
  };
  if (loop_stmt.sums == kernel::SumOrder::kSequence)
    return loop(low, high, 1, false, iteration, name);
  OpenSums sums(*this, loop_facts(kernel_, *exprs_, loop_stmt.body).accumulated);
  grouped_loop(
      *this, sums, loop_stmt.begin, loop_stmt.end, 1, 1,
      [&](llvm::Value* iv) {
        sums.bind();
        if (!loop_stmt.below.valid()) return iteration(iv);
        when(ir_.CreateICmpSLT(iv, high), [&] { iteration(iv); });
      },
      name);
  sums.restore();
}

/// Parallel loops that hold nothing but each other are shared as one.
void Emitter::emit_parallel_nest(const std::vector<const For*>& nest) {
  int64_t inner_count = 1;
  for (size_t i = 1; i < nest.size(); ++i)
    inner_count *= std::max<int64_t>(nest[i]->end - nest[i]->begin, 0);
  const int64_t outer_count = std::max<int64_t>(nest[0]->end - nest[0]->begin, 0);
  if (outer_count * inner_count == 0) return;
  llvm::Value* count = ir_.CreateNSWMul(limit(nest[0]->below, outer_count), i64(inner_count));
  const auto [low, high] = thread_range(count, 1);
  first_thread_stores_ = false;
  loop(
      low, high, 1, false,
      [&](llvm::Value* flat) {
        for (auto it = nest.rbegin(); it != nest.rend(); ++it) {
          const For& inner = **it;
          llvm::Value* extent = i64(inner.end - inner.begin);
          llvm::Value* index = *it == nest.front() ? flat : ir_.CreateURem(flat, extent);
          if (*it != nest.front()) flat = ir_.CreateUDiv(flat, extent);
          bind_var(inner.var, index, inner.begin, {inner.begin, inner.end - 1});
        }
        emit_block(nest.back()->body);
      },
      "share");
  first_thread_stores_ = true;
}

void Emitter::emit_parallel(const For& loop_stmt) {
  std::vector<const For*> nest = {&loop_stmt};
  while (const For* inner = kernel::nested_parallel(*nest.back()))
    nest.push_back(inner);
  if (nest.size() > 1) return emit_parallel_nest(nest);
  const int64_t count = loop_stmt.end - loop_stmt.begin;
  const bool vector = loop_stmt.kind == LoopKind::kParallelVector;
  const int64_t grain = std::max<int64_t>(
      vector ? (loop_stmt.grain + kPieceUnit - 1) / kPieceUnit * kPieceUnit : loop_stmt.grain, 1);
  auto [low, high] = thread_range(limit(loop_stmt.below, count), grain);
  low = ir_.CreateNSWAdd(low, i64(loop_stmt.begin));
  high = ir_.CreateNSWAdd(high, i64(loop_stmt.begin));
  first_thread_stores_ = false;
  // Shares begin at multiples of the grain, and so does what is behind the last.
  if (vector)
    emit_vector(loop_stmt, low, high, loop_stmt.below.valid() ? 1 : std::gcd(count, grain));
  else
    emit_serial(loop_stmt, low, high);
  first_thread_stores_ = true;
}

void Emitter::emit_unrolled(const For& loop_stmt) {
  // Many sums of one step share what it loads, and the next steps load most of it again: it stays
  // in registers where no branch stands between.
  const auto sums = std::count_if(loop_stmt.body.begin(), loop_stmt.body.end(), [](const auto& s) {
    return std::holds_alternative<kernel::Accumulate>(s);
  });
  const bool outside = std::exchange(is_branchless_, is_branchless_ || sums >= kManySums);
  for (int64_t i = loop_stmt.begin; i < loop_stmt.end; ++i) {
    bind_var(loop_stmt.var, nullptr, i, {i, i});
    read_ahead(loop_stmt.var);
    emit_block(loop_stmt.body);
  }
  is_branchless_ = outside;
}

void Emitter::emit(const For& loop_stmt) {
  if (loop_stmt.begin >= loop_stmt.end) return;
  llvm::Value* low = i64(loop_stmt.begin);
  llvm::Value* high = limit(loop_stmt.below, loop_stmt.end);
  switch (loop_stmt.kind) {
    case LoopKind::kSerial: {
      if (!loop_stmt.ahead) return emit_serial(loop_stmt, low, high);
      const ReadAhead outside = std::exchange(ahead_, reads_ahead(kernel_, *exprs_, loop_stmt));
      emit_serial(loop_stmt, low, high);
      ahead_ = outside;
      return;
    }
    case LoopKind::kParallel:
    case LoopKind::kParallelVector:
      return emit_parallel(loop_stmt);
    case LoopKind::kVector:
      return emit_vector(loop_stmt, low, high, 1);
    case LoopKind::kUnroll:
      if (loop_stmt.below.valid() || loop_stmt.end - loop_stmt.begin > kFullUnrollLimit)
        return emit_serial(loop_stmt, low, high);
      return emit_unrolled(loop_stmt);
  }
  GRADC_UNREACHABLE();
}

}  // namespace gradc::cg
