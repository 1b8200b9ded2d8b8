// What the kernels of attention share: the extents, the loops around blocks of queries and keys,
// positions of operands, and a tile of scores as a contraction. Tiles lie [keys][queries], so that
// everything per query, the largest score, the sum, runs along vectors, and products read keys and
// values where they lie. Internal to lowering.
#pragma once

#include "codegen/kernel/emitter.h"
#include "codegen/kernel/lower_unit.h"
#include "ir/attention_operands.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gradc::kernel {

/// A run of steps in blocks of one size, and a shorter one at the end.
struct StepBlocks {
  int64_t steps = 1;
  int64_t size = 1;  ///< of a block

  StepBlocks(int64_t steps, bool causal);
  int64_t whole() const { return steps / size; }
  int64_t rest() const { return steps % size; }
  /// Where the rest begins.
  int64_t rest_first() const { return whole() * size; }
};

struct AttentionShape {
  AttentionAttrs attrs;
  std::vector<int64_t> leading;  ///< axes before the heads
  int64_t kv_heads = 1;
  int64_t group = 1;  ///< heads of the query per head of the key
  int64_t width = 1;
  int64_t value_width = 1;
  StepBlocks queries;
  StepBlocks keys;
  DType dtype = DType::kF32;     ///< in which everything is computed
  DType multiply = DType::kF32;  ///< of the products' operands

  AttentionShape(const Graph& body, const Node& node);
};

/// One kernel of attention while it is made.
class AttentionKernel {
 public:
  /// Mask, slopes and factors stand behind `fixed` operands.
  AttentionKernel(Unit& unit, const Node& node, size_t fixed, const std::string& suffix);

 protected:
  using Body = std::function<void(const Affine&)>;
  using Operand = std::function<ExprId(const Affine& row, const Affine& step)>;
  using Epilogue = std::function<void(const Affine& m, const Affine& n, ExprId sum)>;

  // ---- loops
  void loop(const std::string& name, int64_t extent, LoopKind kind, const Body& body,
            SumOrder sums = SumOrder::kSequence);
  void vector(const std::string& name, int64_t extent, const Body& body) {
    loop(name, extent, LoopKind::kVector, body);
  }
  /// Around the leading axes, the heads of keys, `members` heads of queries for each and so many
  /// blocks of these: sets where those are. Threads share all of them where there is much to do.
  void share(int64_t members, int64_t blocks, const Body& body);
  /// Blocks of keys that some query of [first, first + rows) sees: body(first key, keys).
  void each_key_block(const Affine& first, int64_t rows,
                      const std::function<void(const Affine&, int64_t)>& body);
  /// Where a tile of a block of queries has a row of a column: [columns][rows_].
  Affine tile_at(const Affine& column, const Affine& row) const;
  /// The tile of scores of the block's queries, from `first` on, and `count` keys: of each what
  /// `then` makes of it.
  void each_score(const Affine& first, const Affine& key, int64_t count,
                  const std::function<ExprId(const Affine& row, ExprId score)>& then);
  /// sum over k of a(m, k) * b(n, k), then the epilogue.
  void contract(int64_t m, int64_t n, int64_t k, const Operand& a, const Operand& b,
                const Epilogue& epilogue);

  // ---- values
  BufferId local(const std::string& name, int64_t elements);
  ExprId load(BufferId buffer, const Affine& at) { return e_.builder().load(buffer, at); }
  /// The value is rounded to the buffer's type.
  void store(BufferId buffer, const Affine& at, ExprId value, bool add = false) {
    const ExprId stored = e_.builder().cast(value, kernel_.buffer(buffer).dtype);
    e_.block().push_back(Store{buffer, at, {}, stored, add});
  }
  ExprId number(double value) { return e_.builder().constant(value, shape_.dtype); }
  ExprId op(ScalarOp op, ExprId a, ExprId b = {}) {
    return e_.builder().scalar(op, shape_.dtype, a, b);
  }
  /// Position of a step of the current head of queries, or keys, in rows of a width.
  Affine query_at(const Affine& step, int64_t width, const Affine& column) const;
  Affine key_at(const Affine& step, int64_t width, const Affine& column) const;
  /// In the type in which everything is computed.
  ExprId operand(size_t index, const Affine& at) {
    return e_.builder().cast(e_.value(node_.operands[index], {at, {}}), shape_.dtype);
  }
  /// A product as a score: scaled, less the slope's part, and -infinity where the query does not
  /// see the key.
  ExprId score(ExprId product, const Affine& query, const Affine& key);
  bool has_factors() const { return at_.factors.has_value(); }
  /// tile_ times the factors of the block's queries, from `first` on, and `count` keys, to `out`.
  void multiply_factors(const Affine& first, const Affine& key, int64_t count, BufferId out);
  /// [rows][width] of an operand from query `first`, as [width][rows].
  void transpose_queries(size_t index, int64_t width, const Affine& first, int64_t rows,
                         BufferId out);
  void fill(BufferId buffer, const Affine& first, int64_t elements, double value);

  /// The place of a result: the caller's, or memory of the kernel's own where nobody wants it.
  BufferId result(size_t index, BufferRole role);
  /// `joins`: writes other elements than the kernel before it.
  Status finish(bool joins = false);

  Unit& unit_;
  const Node& node_;
  AttentionShape shape_;
  AttentionOperands at_;
  Unit::Frame frame_;
  Kernel kernel_;
  Emitter e_;
  std::vector<Affine> leading_;
  Affine kv_, member_;  ///< head of the keys, and which of its heads of queries
  int64_t rows_ = 1;    ///< of the block of queries
  BufferId queries_;    ///< of the block: [width][rows_]
  BufferId tile_;       ///< [keys][rows_]

 private:
  Affine flat_key_head() const;
  /// An operand of the rank of the scores, at one of them.
  ExprId of_score(size_t index, const Affine& query, const Affine& key);
};

/// x * factor.
Affine times(const Affine& x, int64_t factor);
Affine sum(const Affine& a, const Affine& b);

}  // namespace gradc::kernel
