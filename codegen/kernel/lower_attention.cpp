// Attention in tiles. A thread has a block of queries of one head: it goes through the keys block
// by block, makes a tile of scores, their exponentials relative to the largest so far, and adds
// their products with the values to sums that are scaled down whenever a larger score turns up
// (Dao, FlashAttention-2). Blocks beyond what a causal query sees are left out. Which queries and
// keys make a block follows from their numbers alone.
#include "codegen/kernel/attention_tiles.h"
#include "codegen/kernel/sum_order.h"
#include "ir/op.h"

namespace gradc::kernel {

Status lower_attention_grad(Unit& unit, const Node& node);

namespace {

constexpr size_t kOperands = 3;
constexpr double kLowestScore = -3e38;  // lower ones are those of keys not seen

class ForwardKernel : public AttentionKernel {
 public:
  /// A kernel for all whole blocks of queries, or for the rest.
  ForwardKernel(Unit& unit, const Node& node, bool rest)
      : AttentionKernel(unit, node, kOperands, rest ? ".rest" : ""), rest_(rest) {
    rows_ = rest ? shape_.queries.rest() : shape_.queries.size;
  }

  Status run() {
    out_ = result(0, BufferRole::kOut);
    log_sum_ = result(1, BufferRole::kOut);
    kernel_.buffers = frame_.kernel.buffers;
    for (const auto& [value, buffer] : frame_.kernel.bindings)
      e_.bind_buffer(value, buffer);
    queries_ = local("queries", shape_.width * rows_);
    tile_ = local("tile", shape_.keys.size * rows_);
    sums_ = local("sums", shape_.value_width * rows_);
    largest_ = local("largest", rows_);
    next_ = local("next", rows_);
    shrink_ = local("shrink", rows_);
    total_ = local("total", rows_);
    share(shape_.group, rest_ ? 1 : shape_.queries.whole(), [&](const Affine& at) {
      block(rest_ ? Affine::constant(shape_.queries.rest_first()) : times(at, rows_));
    });
    return finish(rest_);
  }

 private:
  void block(const Affine& first) {
    transpose_queries(0, shape_.width, first, rows_, queries_);
    fill(sums_, {}, shape_.value_width * rows_, 0.0);
    fill(largest_, {}, rows_, kLowestScore);
    fill(total_, {}, rows_, 0.0);
    each_key_block(first, rows_, [&](const Affine& key, int64_t count) {
      scores(first, key, count);
      exponentials(count);
      if (has_factors()) multiply_factors(first, key, count, tile_);
      products(key, count);
    });
    finish_rows(first);
  }

  void scores(const Affine& first, const Affine& key, int64_t count) {
    each_score(first, key, count, [](const Affine&, ExprId score) { return score; });
  }

  void exponentials(int64_t count) {
    KernelBuilder& b = e_.builder();
    vector("i", rows_, [&](const Affine& i) {
      const LocalId largest = e_.new_local("largest", shape_.dtype, true);
      e_.block().push_back(Let{largest, load(largest_, i)});
      loop("j", count, LoopKind::kSerial, [&](const Affine& j) {
        e_.block().push_back(
            Accumulate{largest, AccumulateOp::kMax, load(tile_, tile_at(j, i)), {}});
      });
      store(next_, i, b.read(largest));
    });
    vector("i", rows_, [&](const Affine& i) {
      const ExprId largest = e_.let(load(next_, i), "next");
      const ExprId shrink =
          e_.let(op(ScalarOp::kExp, op(ScalarOp::kSub, load(largest_, i), largest)), "shrink");
      const LocalId total = e_.new_local("total", shape_.dtype, true);
      e_.block().push_back(Let{total, number(0.0)});
      const auto each = [&](const Affine& j) {
        const ExprId power = e_.let(
            op(ScalarOp::kExp, op(ScalarOp::kSub, load(tile_, tile_at(j, i)), largest)), "power");
        store(tile_, tile_at(j, i), power);
        e_.block().push_back(Accumulate{total, AccumulateOp::kSum, power, {}});
      };
      loop("j", count, LoopKind::kSerial, each, groups_of(count));
      const ExprId kept = op(ScalarOp::kMul, load(total_, i), shrink);
      store(total_, i, op(ScalarOp::kAdd, kept, b.read(total)));
      store(shrink_, i, shrink);
      store(largest_, i, largest);
    });
  }

  void products(const Affine& key, int64_t count) {
    contract(
        shape_.value_width, rows_, count,
        [&](const Affine& d, const Affine& j) {
          return operand(2, key_at(sum(key, j), shape_.value_width, d));
        },
        [&](const Affine& i, const Affine& j) { return load(tile_, tile_at(j, i)); },
        [&](const Affine& d, const Affine& i, ExprId product) {
          const ExprId kept = op(ScalarOp::kMul, load(sums_, tile_at(d, i)), load(shrink_, i));
          store(sums_, tile_at(d, i), op(ScalarOp::kAdd, kept, product));
        });
  }

  /// The largest score gives e^0: a sum is below 1 where no key is seen.
  ExprId divisor(const Affine& i) { return op(ScalarOp::kMax, load(total_, i), number(1.0)); }

  void finish_rows(const Affine& first) {
    KernelBuilder& b = e_.builder();
    vector("i", rows_, [&](const Affine& i) {
      const ExprId seen = b.scalar(ScalarOp::kGt, DType::kBool, load(total_, i), number(0.0));
      const ExprId log_sum = op(ScalarOp::kAdd, load(largest_, i), op(ScalarOp::kLog, divisor(i)));
      store(log_sum_, query_at(sum(first, i), 1, {}),
            b.scalar(ScalarOp::kSelect, shape_.dtype, seen, log_sum, number(0.0)));
    });
    loop("i", rows_, LoopKind::kSerial, [&](const Affine& i) {
      const ExprId total = e_.let(divisor(i), "total");
      vector("d", shape_.value_width, [&](const Affine& d) {
        store(out_, query_at(sum(first, i), shape_.value_width, d),
              op(ScalarOp::kDiv, load(sums_, tile_at(d, i)), total));
      });
    });
  }

  bool rest_;
  BufferId out_, log_sum_;
  BufferId sums_, largest_, next_, shrink_, total_;
};

}  // namespace

Status lower_attention(Unit& unit, const Node& node) {
  if (node.op == Op::kAttentionTilesGrad) return lower_attention_grad(unit, node);
  GRADC_TRY_STATUS(ForwardKernel(unit, node, false).run());
  const AttentionShape shape(unit.body(), node);
  if (shape.queries.rest() == 0) return Ok{};
  return ForwardKernel(unit, node, true).run();
}

}  // namespace gradc::kernel
