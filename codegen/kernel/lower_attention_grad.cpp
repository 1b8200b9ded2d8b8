// The gradient of attention in tiles. A thread has a head of keys: it goes through the blocks of
// queries of that head, and for each through the blocks of keys that some query sees, makes the
// tile of weights again from the scores and log_sum, and adds to the gradients of keys and values
// in memory and to those of the block's queries beside the tile.
#include "codegen/kernel/attention_tiles.h"
#include "ir/op.h"

#include <array>
#include <string>

namespace gradc::kernel {

Status lower_attention_grad(Unit& unit, const Node& node);

namespace {

constexpr size_t kDResult = 3;
constexpr size_t kLogSum = 4;
constexpr size_t kDelta = 5;
constexpr size_t kOperands = 6;

class BackwardKernel : public AttentionKernel {
 public:
  BackwardKernel(Unit& unit, const Node& node) : AttentionKernel(unit, node, kOperands, "") {}

  Status run() {
    dquery_ = result(0, BufferRole::kOut);
    dkey_ = sums_of(1);
    dvalue_ = sums_of(2);
    kernel_.buffers = frame_.kernel.buffers;
    for (const auto& [value, buffer] : frame_.kernel.bindings)
      e_.bind_buffer(value, buffer);
    const int64_t rows = shape_.queries.size;
    queries_ = local("queries", shape_.width * rows);
    dresult_ = local("dresult", shape_.value_width * rows);
    tile_ = local("tile", shape_.keys.size * rows);
    kept_ = has_factors() ? local("kept", shape_.keys.size * rows) : tile_;
    sums_ = local("sums", shape_.width * rows);
    share(1, 1, [&](const Affine&) {
      const int64_t steps = shape_.keys.steps;
      fill(dkey_, key_at({}, shape_.width, {}), steps * shape_.width, 0.0);
      fill(dvalue_, key_at({}, shape_.value_width, {}), steps * shape_.value_width, 0.0);
      loop("member", shape_.group, LoopKind::kSerial, [&](const Affine& member) {
        member_ = member;
        const StepBlocks& queries = shape_.queries;
        loop("rows", queries.whole(), LoopKind::kSerial,
             [&](const Affine& at) { block(times(at, queries.size), queries.size); });
        if (queries.rest() > 0) block(Affine::constant(queries.rest_first()), queries.rest());
      });
      round_sums(1, dkey_, shape_.width);
      round_sums(2, dvalue_, shape_.value_width);
    });
    return finish();
  }

 private:
  bool is_rounded() const { return unit_.body().type(node_.operands[0]).dtype != shape_.dtype; }

  /// Where a result is added up: its own place, or numbers of the type in which sums are made.
  BufferId sums_of(size_t index) {
    if (!is_rounded()) return result(index, BufferRole::kInOut);
    rounded_[index] = result(index, BufferRole::kOut);
    const Shape& shape = unit_.body().type(node_.results[index]).shape;
    return frame_.add("sums" + std::to_string(index), shape_.dtype, shape, BufferRole::kInOut,
                      unit_.temporary(shape_.dtype, shape));
  }
  void round_sums(size_t index, BufferId sums, int64_t width) {
    if (!is_rounded()) return;
    const Affine first = key_at({}, width, {});
    vector("x", shape_.keys.steps * width, [&](const Affine& x) {
      store(rounded_[index], sum(first, x), load(sums, sum(first, x)));
    });
  }

  void block(const Affine& first, int64_t rows) {
    rows_ = rows;
    transpose_queries(0, shape_.width, first, rows, queries_);
    transpose_queries(kDResult, shape_.value_width, first, rows, dresult_);
    fill(sums_, {}, shape_.width * rows, 0.0);
    each_key_block(first, rows, [&](const Affine& key, int64_t count) {
      weights(first, key, count);
      if (has_factors()) multiply_factors(first, key, count, kept_);
      add_to_keys(dvalue_, kept_, kDResult, shape_.value_width, first, key, count);
      scores_gradient(first, key, count);
      add_to_keys(dkey_, tile_, 0, shape_.width, first, key, count);
      add_to_queries(key, count);
    });
    loop("i", rows, LoopKind::kSerial, [&](const Affine& i) {
      vector("d", shape_.width, [&](const Affine& d) {
        store(dquery_, query_at(sum(first, i), shape_.width, d), load(sums_, tile_at(d, i)));
      });
    });
  }

  ExprId of_row(size_t index, const Affine& step) { return operand(index, query_at(step, 1, {})); }

  void weights(const Affine& first, const Affine& key, int64_t count) {
    each_score(first, key, count, [&](const Affine& i, ExprId score) {
      const ExprId log_sum = of_row(kLogSum, sum(first, i));
      return op(ScalarOp::kExp, op(ScalarOp::kSub, score, log_sum));
    });
  }

  /// The tile of weights becomes that of the gradients of scores.
  void scores_gradient(const Affine& first, const Affine& key, int64_t count) {
    contract(
        count, rows_, shape_.value_width,
        [&](const Affine& j, const Affine& d) {
          return operand(2, key_at(sum(key, j), shape_.value_width, d));
        },
        [&](const Affine& i, const Affine& d) { return load(dresult_, tile_at(d, i)); },
        [&](const Affine& j, const Affine& i, ExprId product) {
          const ExprId delta = of_row(kDelta, sum(first, i));
          const ExprId weight = load(tile_, tile_at(j, i));
          const ExprId of =
              has_factors()
                  ? op(ScalarOp::kSub, op(ScalarOp::kMul, load(kept_, tile_at(j, i)), product),
                       op(ScalarOp::kMul, weight, delta))
                  : op(ScalarOp::kMul, weight, op(ScalarOp::kSub, product, delta));
          store(tile_, tile_at(j, i), op(ScalarOp::kMul, of, number(shape_.attrs.scale)));
        });
  }

  /// Adds a tile x rows of an operand of queries to the gradient of the keys, or values.
  void add_to_keys(BufferId out, BufferId tile, size_t index, int64_t width, const Affine& first,
                   const Affine& key, int64_t count) {
    contract(
        count, width, rows_,
        [&](const Affine& j, const Affine& i) { return load(tile, tile_at(j, i)); },
        [&](const Affine& d, const Affine& i) {
          return operand(index, query_at(sum(first, i), width, d));
        },
        [&](const Affine& j, const Affine& d, ExprId product) {
          store(out, key_at(sum(key, j), width, d), product, true);
        });
  }

  void add_to_queries(const Affine& key, int64_t count) {
    contract(
        shape_.width, rows_, count,
        [&](const Affine& d, const Affine& j) {
          return operand(1, key_at(sum(key, j), shape_.width, d));
        },
        [&](const Affine& i, const Affine& j) { return load(tile_, tile_at(j, i)); },
        [&](const Affine& d, const Affine& i, ExprId product) {
          store(sums_, tile_at(d, i), product, true);
        });
  }

  BufferId dquery_, dkey_, dvalue_;
  std::array<BufferId, 3> rounded_;  ///< results that are sums rounded
  BufferId dresult_, sums_;
  BufferId kept_;  ///< the tile of weights times factors
};

}  // namespace

Status lower_attention_grad(Unit& unit, const Node& node) {
  return BackwardKernel(unit, node).run();
}

}  // namespace gradc::kernel
