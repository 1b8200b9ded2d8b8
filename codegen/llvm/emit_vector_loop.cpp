// Vector loops: wide lanes (several registers) for the bulk, then single vectors, then the tail.
// How wide, and what stays in registers, is a matter of speed: sums of floats are made in the
// columns that kernel/sum_order.h says, whatever the width in which they are reached.
#include "codegen/kernel/sum_order.h"
#include "codegen/llvm/emitter.h"
#include "codegen/llvm/loop_facts.h"
#include "codegen/llvm/open_sums.h"
#include "support/check.h"

#include <algorithm>
#include <bit>

namespace gradc::cg {

using kernel::For;
using kernel::kSumColumns;
using kernel::kSumLanes;

namespace {

constexpr int64_t kCheap = 7;    // cost of bodies that are worth four registers at once
constexpr int64_t kMedium = 16;  // or two

class VectorLoop {
 public:
  VectorLoop(Emitter& em, const For& loop)
      : em_(em),
        loop_(loop),
        facts_(loop_facts(em.kernel(), *em.exprs(), loop.body)),
        sums_(em, facts_.accumulated),
        native_(static_cast<unsigned>(em.target().lanes(facts_.has_double ? 8 : 4))) {}

  /// All of [low, high), so many that `multiple` divides them, in no order that matters.
  void emit_plain(llvm::Value* low, llvm::Value* high, int64_t multiple) {
    const int64_t count = loop_.end - loop_.begin;
    unsigned width = native_;
    if (count < width) width = std::bit_ceil(static_cast<unsigned>(count));
    unsigned unroll = 1;
    while (unroll < most_registers() && count >= int64_t{2} * unroll * width)
      unroll *= 2;
    const unsigned wide = unroll * width;
    sums_.start(1, wide, false);
    if (unroll > 1) {
      sums_.bind();
      llvm::Value* rest = high;
      if (multiple % wide != 0) {
        Builder& ir = em_.ir();
        llvm::Value* length = ir.CreateNSWSub(high, low);
        rest = ir.CreateNSWAdd(low, ir.CreateAnd(length, em_.i64(-int64_t{wide})));
      }
      em_.loop(low, rest, wide, false, [&](llvm::Value* iv) { at({wide, loop_.var}, iv); }, "v");
      sums_.narrow(width);
      low = rest;
    }
    if (low != high) {
      em_.vector_range(
          loop_.var, low, high, range(), width, multiple,
          [&](llvm::Value*) {
            sums_.bind();
            em_.emit_block(loop_.body);
          },
          [&] { sums_.narrow(1); });
    }
    sums_.finish();
  }

  /// All iterations, sums in columns.
  void emit_lanes() {
    const int64_t rest = loop_.begin + (loop_.end - loop_.begin) / kSumColumns * kSumColumns;
    if (rest > loop_.begin) blocks(loop_.begin, rest);
    if (rest < loop_.end) behind(rest, rest > loop_.begin);
    sums_.finish();
  }

 private:
  Interval range() const { return {loop_.begin, loop_.end - 1}; }

  /// Registers of one value that a body is evaluated for at once. Its own sums, of a group and of
  /// those before it, leave half of the registers for what is added.
  unsigned most_registers() const {
    if (facts_.gathers || facts_.cost > kMedium) return 1;
    unsigned registers = facts_.cost > kCheap ? 2 : 4;
    while (registers > 1 && 2 * facts_.own_sums * registers > em_.target().vector_registers / 2)
      registers /= 2;
    return registers;
  }

  void at(const Lanes& lanes, llvm::Value* iv, int64_t offset = 0) {
    em_.with(lanes, [&] {
      em_.bind_var(loop_.var, iv, offset, range());
      em_.emit_block(loop_.body);
    });
  }

  // ---- whole blocks of columns
  // ------------------------------------------------------------------

  /// The columns stay in registers while they and what the body needs fit. A body that is worth
  /// only one register at once is not repeated for every part of a block: the parts change places.
  void blocks(int64_t low, int64_t high) {
    constexpr unsigned columns = kSumColumns;
    const auto registers = static_cast<int64_t>(sums_.num_ordered() * columns / native_);
    const int64_t free = em_.target().vector_registers / (most_registers() == 1 ? 4 : 2);
    const bool stay = registers <= free;
    const unsigned width =
        std::clamp<unsigned>(most_registers() * native_,
                             stay ? unsigned{kSumLanes} : std::min<unsigned>(native_, kSumLanes),
                             stay ? columns : unsigned{kSumLanes});
    const bool rotating = stay && most_registers() == 1;
    sums_.start_columns(columns, width, !stay);
    const auto part = [&](llvm::Value* iv) {
      sums_.bind();
      at({width, loop_.var}, iv);
      sums_.rotate();
    };
    const auto block = [&](llvm::Value* iv) {
      for (unsigned first = 0; first < columns; first += width) {
        sums_.bind(first / width);
        at({width, loop_.var}, iv, first);
      }
    };
    const auto block_in_memory = [&](llvm::Value* iv) {
      em_.loop(
          em_.i64(0), em_.i64(columns), width, true,
          [&](llvm::Value* column) {
            sums_.bind_part(column, width);
            at({width, loop_.var}, em_.ir().CreateNSWAdd(iv, column));
          },
          "column");
    };
    if (rotating) {
      grouped_loop(em_, sums_, low, high, columns, width, part, "v");
    } else if (stay) {
      grouped_loop(em_, sums_, low, high, columns, columns, block, "v");
    } else {
      grouped_loop(em_, sums_, low, high, columns, columns, block_in_memory, "v");
    }
  }

  // ---- what is left behind them
  // ------------------------------------------------------------------

  /// What is left is added to the 16 lanes of the blocks before it, if there are any.
  void behind(int64_t low, bool has_blocks) {
    const int64_t count = loop_.end - low;
    const auto lanes = static_cast<unsigned>(
        has_blocks ? uint64_t{kSumLanes}
                   : std::min<uint64_t>(kSumLanes, std::bit_ceil(static_cast<uint64_t>(count))));
    unsigned width = kSumLanes;
    if (most_registers() == 1) width = facts_.gathers ? native_ : 2 * native_;
    width = std::min(width, lanes);
    const bool by_mask = em_.target().has_masked_memory && width == lanes;
    if (has_blocks) {
      sums_.narrow(lanes, !by_mask);
    } else {
      sums_.start(1, lanes, !by_mask);
    }
    if (by_mask) {
      masked(low, low + count / lanes * lanes, lanes);
    } else {
      narrowing(low, width, lanes);
    }
  }

  void masked(int64_t low, int64_t middle, unsigned lanes) {
    sums_.bind();
    em_.loop(
        em_.i64(low), em_.i64(middle), lanes, false,
        [&](llvm::Value* iv) { at({lanes, loop_.var}, iv); }, "rest");
    const auto left = static_cast<unsigned>(loop_.end - middle);
    if (left == 0) return;
    at({lanes, loop_.var, prefix_mask(em_.context(), lanes, left)}, em_.i64(middle));
  }

  /// Without masks: ever narrower vectors, each going to its lanes.
  void narrowing(int64_t low, unsigned width, unsigned lanes) {
    for (int64_t begin = low; begin<loop_.end; width = width> native_ ? native_ : 1) {
      const int64_t end = begin + (loop_.end - begin) / width * width;
      em_.loop(
          em_.i64(begin), em_.i64(end), width, false,
          [&](llvm::Value* iv) {
            llvm::Value* column = em_.ir().CreateNSWSub(iv, em_.i64(low));
            sums_.bind_part(em_.ir().CreateAnd(column, em_.i64(lanes - 1)), width);
            at({width, loop_.var}, iv);
          },
          "rest");
      begin = end;
    }
  }

  Emitter& em_;
  const For& loop_;
  LoopFacts facts_;
  OpenSums sums_;
  unsigned native_;
};

}  // namespace

void Emitter::emit_vector(const For& loop_stmt, llvm::Value* low, llvm::Value* high,
                          int64_t multiple) {
  VectorLoop vector(*this, loop_stmt);
  if (loop_stmt.sums == kernel::SumOrder::kLanes)
    vector.emit_lanes();
  else
    vector.emit_plain(low, high, multiple);
}

}  // namespace gradc::cg
