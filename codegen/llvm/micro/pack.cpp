// Copies into packed blocks: what both operands need, and A. B: pack_b.cpp.
#include "codegen/llvm/micro/pack.h"

#include "codegen/llvm/micro/environment.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <numeric>

namespace gradc::cg {

using kernel::ContractDim;
using kernel::VarId;

llvm::Type* word_type(llvm::LLVMContext& context, const ContractPlan& plan) {
  return plan.type == TileType::kF64 ? llvm::Type::getDoubleTy(context)
                                     : llvm::Type::getFloatTy(context);
}

int64_t Packer::a_bytes() const {
  if (!plan_.a_packed()) return 0;
  if (plan_.a_layout == Layout::kStaged)
    return (plan_.stage.words(plan_.rows) + plan_.lanes) * plan_.word_bytes();
  const int64_t words = plan_.a_layout == Layout::kKOfRows
                            ? plan_.a_depth() * plan_.k_levels.back().a_stride
                            : plan_.mc / plan_.mr * plan_.a_tile_words();
  return words * plan_.word_bytes() + 256;
}

int64_t Packer::panel_words() const {
  return (round_up(plan_.kc, plan_.lanes) + plan_.lanes) * plan_.nr();
}

int64_t Packer::b_bytes() const {
  return plan_.b_packed() ? plan_.packed_panels() * panel_words() * plan_.word_bytes() : 0;
}

llvm::Value* Packer::element(llvm::Value* base, llvm::Value* index) {
  return em_.ir().CreateInBoundsGEP(word_type(em_.context(), plan_), base, index);
}

void Packer::for_runs(const Dims& dims, const FlatRange& range, const Run& body) {
  Builder& ir = em_.ir();
  const ContractDim& inner = dims.back();
  if (dims.size() == 1) return body(inner.var, range.low, range.high, range.low);
  const Dims outer(dims.begin(), dims.end() - 1);
  llvm::Value* extent = em_.i64(inner.extent);
  llvm::Value* first = ir.CreateUDiv(range.low, extent);
  llvm::Value* last = ir.CreateUDiv(ir.CreateNSWAdd(range.high, em_.i64(inner.extent - 1)), extent);
  em_.loop(first, last, 1, false, [&](llvm::Value* q) {
    bind_flat(em_, outer, q);
    llvm::Value* start = ir.CreateNSWMul(q, extent);
    if (range.whole) return body(inner.var, em_.i64(0), extent, start);
    llvm::Value* low = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax,
                                                ir.CreateNSWSub(range.low, start), em_.i64(0));
    llvm::Value* high =
        ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, ir.CreateNSWSub(range.high, start), extent);
    body(inner.var, low, high, ir.CreateNSWAdd(start, low));
  });
}

void Packer::for_each(const Dims& dims, const FlatRange& range,
                      const std::function<void(llvm::Value*)>& body) {
  em_.loop(range.low, range.high, 1, false, [&](llvm::Value* flat) {
    bind_flat(em_, dims, flat);
    body(flat);
  });
}

// ---- words of pairs
// ------------------------------------------------------------------------------

/// What stands for the k behind the last: a product of zero that leaves every sum as it is, -0 too.
llvm::Value* Packer::padding(kernel::ExprId source) const {
  const double zero = source == plan_.a ? -0.0 : 0.0;
  return llvm::ConstantFP::get(em_.ir().getFloatTy(), zero);
}

/// The operand's words on all lanes, which run along rows or columns. Of a pair the earlier k is
/// the upper half, as the instruction adds that first; both are floats with an empty lower half.
llvm::Value* Packer::words(kernel::ExprId source) {
  if (!plan_.pairs()) return em_.eval_lanes(source);
  Builder& ir = em_.ir();
  const VarId var = plan_.k.back().var;
  const Interval range{0, plan_.inner_k - 1};
  llvm::Value* k = ir.CreateNSWMul(word_, em_.i64(2));
  em_.bind_var(var, k, 0, range);
  llvm::Value* first = em_.eval_lanes(source);
  llvm::Value* second = nullptr;
  if (plan_.inner_k % 2 == 0) {
    em_.bind_var(var, k, 1, range);
    second = em_.eval_lanes(source);
  } else {
    llvm::Value* next = ir.CreateNSWAdd(k, em_.i64(1));
    llvm::Value* exists = ir.CreateICmpSLT(next, em_.i64(plan_.inner_k));
    em_.bind_var(var, ir.CreateSelect(exists, next, k), 0, range);
    second = em_.eval_lanes(source);
    second = ir.CreateSelect(exists, second, splat(ir, padding(source), lanes_of(second)));
  }
  llvm::Type* integer = with_lanes(ir.getInt32Ty(), lanes_of(first));
  llvm::Value* lower = ir.CreateLShr(ir.CreateBitCast(second, integer), uint64_t{16});
  llvm::Value* both = ir.CreateOr(ir.CreateBitCast(first, integer), lower);
  return ir.CreateBitCast(both, first->getType());
}

/// The operand on lanes that run along the innermost k: half as many words.
llvm::Value* Packer::along_k(kernel::ExprId source) {
  llvm::Value* value = em_.eval_lanes(source);
  if (!plan_.pairs()) return value;
  Builder& ir = em_.ir();
  const unsigned width = em_.lanes().width;
  if (em_.lanes().mask != nullptr)
    value = ir.CreateSelect(em_.lanes().mask, value, splat(ir, padding(source), width));
  llvm::Type* integer = with_lanes(ir.getInt32Ty(), width / 2);
  llvm::Value* pairs = ir.CreateBitCast(em_.to_memory(value, DType::kBF16), integer);
  llvm::Value* turned = ir.CreateIntrinsic(llvm::Intrinsic::fshl, {integer},
                                           {pairs, pairs, llvm::ConstantInt::get(integer, 16)});
  return ir.CreateBitCast(turned, with_lanes(ir.getFloatTy(), width / 2));
}

/// Steps of k one by one, with the variables of k bound to each.
void Packer::for_steps(const FlatRange& steps, const std::function<void(llvm::Value* step)>& body) {
  for_each(plan_.k, steps, [&](llvm::Value* step) {
    if (plan_.pairs()) word_ = em_.affine(kernel::Affine::variable(plan_.k.back().var));
    body(step);
  });
}

/// Some steps of k at a time: body is given the first, and what calls a function for each of them
/// with the variable of k bound to it.
void Packer::for_steps_together(
    const FlatRange& steps,
    const std::function<void(llvm::Value* step, const EachStep& each)>& body) {
  constexpr int64_t kTogether = 4;
  if (plan_.k.size() > 1 || plan_.pairs())
    return for_steps(steps, [&](llvm::Value* step) { body(step, [](auto& one) { one(0); }); });
  Builder& ir = em_.ir();
  const ContractDim& k = plan_.k.back();
  const auto some = [&](llvm::Value* low, llvm::Value* high, int64_t count) {
    em_.loop(low, high, count, false, [&](llvm::Value* step) {
      body(step, [&](const std::function<void(int64_t later)>& one) {
        for (int64_t later = 0; later < count; ++later) {
          em_.bind_var(k.var, step, later, {0, k.extent - 1});
          one(later);
        }
      });
    });
  };
  llvm::Value* count = ir.CreateNSWSub(steps.high, steps.low);
  llvm::Value* whole = ir.CreateNSWAdd(steps.low, ir.CreateAnd(count, em_.i64(-kTogether)));
  some(steps.low, whole, kTogether);
  if (steps_multiple() % kTogether != 0) some(whole, steps.high, 1);
}

// ---- A
// -------------------------------------------------------------------------------------------

/// Rows [low, high) at one step of k.
void Packer::copy_run(VarId var, int64_t extent, llvm::Value* low, llvm::Value* high,
                      int64_t multiple, llvm::Value* to) {
  int64_t unroll = 4;
  while (unroll > 1 && extent % (unroll * plan_.lanes) != 0 && extent < 8 * unroll * plan_.lanes)
    unroll /= 2;
  const auto width = static_cast<unsigned>(unroll * plan_.lanes);
  em_.vector_range(var, low, high, {0, extent - 1}, width, multiple, [&](llvm::Value* at) {
    llvm::Value* offset = em_.ir().CreateNSWSub(at, low);
    em_.masked_store(words(plan_.a), element(to, offset), plan_.word_bytes());
  });
}

/// What divides the number of steps in a run of the innermost k: blocks begin at multiples of kc.
int64_t Packer::steps_multiple() const {
  if (plan_.k_below.valid() || plan_.pairs()) return 1;
  const int64_t extent = plan_.k.back().extent;
  return plan_.k_blocks() > 1 ? std::gcd(extent, plan_.kc) : extent;
}

/// Words [low, high) of the innermost k of one row.
void Packer::copy_steps(llvm::Value* low, llvm::Value* high, llvm::Value* to) {
  if (!plan_.pairs())
    return copy_run(plan_.k.back().var, plan_.inner_k, low, high, steps_multiple(), to);
  Builder& ir = em_.ir();
  int64_t width = 8 * plan_.lanes;
  while (width > plan_.lanes / 2 && plan_.inner_k % width != 0 && plan_.inner_k < 4 * width)
    width /= 2;
  llvm::Value* begin = ir.CreateNSWMul(low, em_.i64(2));
  llvm::Value* end = ir.CreateBinaryIntrinsic(
      llvm::Intrinsic::smin, ir.CreateNSWMul(high, em_.i64(2)), em_.i64(plan_.inner_k));
  em_.vector_range(plan_.k.back().var, begin, end, {0, plan_.inner_k - 1},
                   static_cast<unsigned>(width), steps_multiple(), [&](llvm::Value* at) {
                     llvm::Value* pairs = along_k(plan_.a);
                     llvm::Value* offset = ir.CreateLShr(ir.CreateNSWSub(at, begin), 1);
                     store_words(pairs, element(to, offset), ir.CreateNSWSub(end, at));
                   });
}

/// Stores words of pairs, of which the lanes' mask leaves the first `left` numbers.
void Packer::store_words(llvm::Value* pairs, llvm::Value* to, llvm::Value* left) {
  Builder& ir = em_.ir();
  const llvm::Align align(4);
  if (em_.lanes().mask == nullptr) {
    ir.CreateAlignedStore(pairs, to, align);
    return;
  }
  const unsigned width = lanes_of(pairs);
  llvm::Value* count = ir.CreateLShr(ir.CreateNSWAdd(left, em_.i64(1)), 1);
  llvm::Value* mask = ir.CreateICmpULT(iota(ir.getInt32Ty(), width),
                                       splat(ir, ir.CreateTrunc(count, ir.getInt32Ty()), width));
  ir.CreateMaskedStore(pairs, to, align, mask);
}

/// Rows of one tile at one step of k, and zeros up to a_lanes(), where the next step goes.
void Packer::tile_rows(llvm::Value* to, llvm::Value* tile, int64_t rows) {
  const auto width = static_cast<unsigned>(plan_.a_lanes());
  const kernel::ContractDim& m = plan_.m.front();
  Lanes lanes{width, m.var};
  if (rows != plan_.a_lanes())
    lanes.mask = prefix_mask(em_.context(), width, static_cast<unsigned>(rows));
  em_.with(lanes, [&] {
    em_.bind_var(m.var, em_.ir().CreateNSWMul(tile, em_.i64(plan_.mr)), 0, {0, m.extent - 1});
    em_.ir().CreateAlignedStore(words(plan_.a), to,
                                llvm::Align(static_cast<uint64_t>(plan_.word_bytes())));
  });
}

/// Steps of k outside, so that the source is read as it lies and each step overwrites what the one
/// before left behind its rows; some of them side by side, so that a line of a tile is written at
/// once, not when the tiles before it have driven it out of the first cache again.
void Packer::tiles_of_k(llvm::Value* to, const FlatRange& rows, const FlatRange& steps) {
  Builder& ir = em_.ir();
  const int64_t full = plan_.rows / plan_.mr;
  const int64_t rest = plan_.rows % plan_.mr;
  llvm::Value* first = ir.CreateUDiv(rows.low, em_.i64(plan_.mr));
  llvm::Value* last = ir.CreateUDiv(rows.high, em_.i64(plan_.mr));
  for_steps_together(steps, [&](llvm::Value* step, const EachStep& each) {
    llvm::Value* row =
        element(to, ir.CreateNSWMul(ir.CreateNSWSub(step, steps.low), em_.i64(plan_.mr)));
    const auto copy = [&](llvm::Value* tile, int64_t count) {
      llvm::Value* place = element(
          row, ir.CreateNSWMul(ir.CreateNSWSub(tile, first), em_.i64(plan_.a_tile_words())));
      each([&](int64_t later) {
        tile_rows(element(place, em_.i64(later * plan_.mr)), tile, count);
      });
    };
    em_.loop(first, last, 1, false, [&](llvm::Value* tile) { copy(tile, plan_.mr); }, "tile");
    if (rest > 0)
      em_.when(ir.CreateAnd(ir.CreateICmpEQ(rows.high, em_.i64(plan_.rows)),
                            ir.CreateICmpSLT(rows.low, rows.high)),
               [&] { copy(em_.i64(full), rest); });
  });
}

/// Numbers as bits of bf16 in memory's order; none of them at or behind `left`.
llvm::Value* Packer::staged_load(llvm::Value* pointer, llvm::Value* left, unsigned lanes,
                                 DType dtype) {
  Builder& ir = em_.ir();
  llvm::Value* count = ir.CreateTrunc(
      ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, left, em_.i64(lanes)), ir.getInt32Ty());
  llvm::Value* mask = ir.CreateICmpSLT(iota(ir.getInt32Ty(), lanes), splat(ir, count, lanes));
  llvm::Type* type = with_lanes(memory_type(em_.context(), dtype), lanes);
  llvm::Value* value = em_.with(Lanes{lanes, plan_.k.back().var, mask},
                                [&] { return em_.masked_load(type, pointer, dtype_bytes(dtype)); });
  if (dtype == DType::kBF16) return value;
  return em_.to_memory(em_.round_short(value, DType::kBF16), DType::kBF16);
}

/// Words [at, at + lanes) of the run that begins at `source`, the earlier k above.
llvm::Value* Packer::staged_words(llvm::Value* source, llvm::Value* at, llvm::Value* count,
                                  DType dtype) {
  Builder& ir = em_.ir();
  const auto lanes = static_cast<unsigned>(plan_.lanes);
  llvm::Type* integer = with_lanes(ir.getInt32Ty(), lanes);
  llvm::Type* element = memory_type(em_.context(), dtype);
  llvm::Value* left = ir.CreateNSWSub(count, at);
  if (!plan_.stage.across) {
    llvm::Value* first = ir.CreateGEP(element, source, ir.CreateNSWMul(at, em_.i64(2)));
    llvm::Value* pairs = staged_load(first, ir.CreateNSWMul(left, em_.i64(2)), 2 * lanes, dtype);
    pairs = ir.CreateBitCast(pairs, integer);
    return ir.CreateIntrinsic(llvm::Intrinsic::fshl, {integer},
                              {pairs, pairs, llvm::ConstantInt::get(integer, 16)});
  }
  llvm::Value* first = ir.CreateGEP(element, source, at);
  llvm::Value* second = ir.CreateGEP(element, first, em_.i64(plan_.stage.step));
  llvm::Value* upper = ir.CreateZExt(staged_load(first, left, lanes, dtype), integer);
  llvm::Value* lower = ir.CreateZExt(staged_load(second, left, lanes, dtype), integer);
  return ir.CreateOr(ir.CreateShl(upper, 16), lower);
}

/// The run that these rows read in a block of k.
void Packer::stage_a(llvm::Value* to, const FlatRange& rows, const FlatRange& steps) {
  Builder& ir = em_.ir();
  const kernel::Expr& load = *cast_load(plan_.exprs, plan_.a);
  bind_flat(em_, plan_.m, rows.low);
  bind_flat(em_, plan_.k, steps.low);  // blocks begin where the innermost k does
  llvm::Value* source = em_.address(load.buffer, load.index);
  llvm::Value* more = ir.CreateNSWSub(ir.CreateNSWSub(rows.high, rows.low), em_.i64(1));
  llvm::Value* count = ir.CreateNSWAdd(ir.CreateNSWMul(more, em_.i64(plan_.stage.row_words)),
                                       em_.i64(plan_.stage.first_words));
  em_.when(ir.CreateICmpSGE(more, em_.i64(0)), [&] {
    em_.loop(
        em_.i64(0), count, plan_.lanes, false,
        [&](llvm::Value* at) {
          ir.CreateAlignedStore(staged_words(source, at, count, load.dtype), element(to, at),
                                llvm::Align(4));
        },
        "stage");
  });
}

void Packer::pack_a(llvm::Value* to, const FlatRange& rows, const FlatRange& steps) {
  if (plan_.a_layout == Layout::kStaged) return stage_a(to, rows, steps);
  Builder& ir = em_.ir();
  if (plan_.a_layout == Layout::kTilesOfK) return tiles_of_k(to, rows, steps);
  if (plan_.a_layout == Layout::kRowsOfK) {
    for_each(plan_.m, rows, [&](llvm::Value* row) {
      llvm::Value* begin =
          element(to, ir.CreateNSWMul(ir.CreateNSWSub(row, rows.low), em_.i64(plan_.a_row_stride)));
      for_runs(plan_.k, steps, [&](VarId, llvm::Value* low, llvm::Value* high, llvm::Value* flat) {
        copy_steps(low, high, element(begin, ir.CreateNSWSub(flat, steps.low)));
      });
    });
    return;
  }
  const int64_t stride = plan_.k_levels.back().a_stride;
  for_steps(steps, [&](llvm::Value* step) {
    llvm::Value* begin =
        element(to, ir.CreateNSWMul(ir.CreateNSWSub(step, steps.low), em_.i64(stride)));
    for_runs(plan_.m, rows, [&](VarId var, llvm::Value* low, llvm::Value* high, llvm::Value* flat) {
      // Shares of rows begin at multiples of mr.
      const int64_t extent = plan_.m.back().extent;
      copy_run(var, extent, low, high, rows.whole ? extent : std::gcd(extent, plan_.mr),
               element(begin, ir.CreateNSWSub(flat, rows.low)));
    });
  });
}

}  // namespace gradc::cg
