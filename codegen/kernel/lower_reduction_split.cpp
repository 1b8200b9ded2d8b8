// Long reductions with few results: partial results by pieces, which threads share, then a kernel
// that combines them and runs what follows. The pieces are whole nodes of the order of the sum
// (sum_order.h), so the result is that of one nest to the bit.
#include "codegen/kernel/lower_reduction.h"
#include "codegen/kernel/sum_order.h"
#include "ir/op.h"
#include "support/check.h"

#include <algorithm>
#include <map>
#include <memory>

namespace gradc::kernel {

AccumulateOp accumulate_op(const Node& node) {
  if (node.op == Op::kReduceSum) return AccumulateOp::kSum;
  if (node.op == Op::kReduceProd) return AccumulateOp::kProd;
  return node.op == Op::kReduceMin ? AccumulateOp::kMin : AccumulateOp::kMax;
}

void bind_reduced(NestCursor& at, ValueId result, LocalId acc) {
  Emitter& e = at.emitter();
  const DType dtype = e.body().type(result).dtype;
  if (e.kernel().locals[acc.index].dtype != dtype) {
    const ExprId cast = e.let(e.builder().cast(e.builder().read(acc), dtype), "cast");
    acc = e.kernel().expr(cast).local;
  }
  e.bind_local(result, acc, at.at(kPoint));
}

namespace {

constexpr size_t kColumn = kPartial + 1;  // the number of a column

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// The size of pieces: a power of 16 from `least` on that leaves enough of them; 0 if there are too
/// few terms.
int64_t piece_of(int64_t terms, int64_t least) {
  constexpr int64_t kFewPieces = 4;
  constexpr int64_t kEnoughPieces = 16;
  if (ceil_div(terms, least) < kFewPieces) return 0;
  int64_t piece = least;
  while (ceil_div(terms, piece * kSumGroup) >= kEnoughPieces)
    piece *= kSumGroup;
  return piece;
}

class SplitReduction {
 public:
  SplitReduction(Unit& unit, const ReductionSpace& space)
      : unit_(unit), body_(unit.body()), space_(space) {}

  Result<bool> run() {
    constexpr int64_t kSplitWork = 32768;
    constexpr int64_t kFewRows = 16;
    constexpr int64_t kFewPoints = 1024;
    if (space_.full_size < kSplitWork) return false;
    const auto is_reduced = [](const NestDim& d) { return d.reduce; };
    const auto count = std::count_if(space_.dims.begin(), space_.dims.end(), is_reduced);
    const auto outer = std::find_if(space_.dims.begin(), space_.dims.end(), is_reduced);
    if (count == 0) return false;
    split_ = static_cast<size_t>(outer - space_.dims.begin());
    if (space_.sums == SumOrder::kLanes && count == 1) {
      if (space_.point_size > kFewRows) return false;  // threads share the rows
      columns_ = kSumColumns;
    } else if (space_.point_size > kFewPoints) {
      return false;
    }
    terms_ = outer->extent / columns_;
    rest_ = outer->extent % columns_;
    // A piece of one term is worth it where the term is a sum itself.
    piece_ = piece_of(terms_, count == 1 ? kSumGroup : 1);
    if (piece_ == 0) return false;
    pieces_ = ceil_div(terms_, piece_);
    GRADC_TRY_STATUS(emit());
    return true;
  }

 private:
  using Buffers = std::map<NodeId, UnitRef>;

  Status emit() {
    partials_ = temporaries(pieces_ * points() + rest_);
    const int64_t whole = terms_ / piece_;
    GRADC_TRY_STATUS(partial(0, whole, piece_, false));
    if (terms_ % piece_ > 0) GRADC_TRY_STATUS(partial(whole, 1, terms_ % piece_, true));
    return combine();
  }

  /// Results of a piece: one per point, or one per column of a point.
  int64_t points() const { return space_.point_size * columns_; }

  DType dtype_of(NodeId id) const {
    return accumulator_dtype(body_.type(body_.node(id).operands[0]).dtype);
  }

  Buffers temporaries(int64_t elements) {
    Buffers buffers;
    for (const NodeId id : space_.reductions)
      buffers[id] = unit_.temporary(dtype_of(id), Shape{elements});
    return buffers;
  }

  BufferId add(Unit::Frame& frame, const Buffers& buffers, NodeId id, BufferRole role) {
    const UnitTemporary& temp = unit_.lowered().temporaries[buffers.at(id).index];
    return frame.add("partial", temp.dtype, temp.shape, role, buffers.at(id));
  }

  /// A nest that stores what it reduces as it is.
  Status store_plainly(Unit::Frame& frame, Nest nest, const Buffers& to, bool joins) {
    const auto locals = std::make_shared<std::map<NodeId, LocalId>>();
    std::vector<std::pair<NodeId, BufferId>> stored;
    nest.stages.resize(1);
    for (const NodeId id : space_.reductions) {
      const Node& node = body_.node(id);
      const ValueId operand = node.operands[0];
      Reduction r;
      r.op = accumulate_op(node);
      r.dtype = dtype_of(id);
      r.value = [operand](NestCursor& at) { return at.emitter().value(operand, at.at(kFull)); };
      r.done = [locals, id](NestCursor&, LocalId acc) { (*locals)[id] = acc; };
      nest.stages[0].push_back(std::move(r));
      stored.emplace_back(id, add(frame, to, id, BufferRole::kOut));
    }
    nest.points = [&](NestCursor& at) {
      std::vector<NestStore> result;
      for (const auto& [id, buffer] : stored)
        result.push_back({buffer, at.at(kPartial), at.emitter().builder().read(locals->at(id))});
      return result;
    };
    return unit_.add_nest(frame, nest, joins);
  }

  /// Pieces [first, first + count) of `size` terms each.
  Status partial(int64_t first, int64_t count, int64_t size, bool joins) {
    Unit::Frame frame = unit_.frame(joins ? ".partial_rest" : ".partial");
    Nest nest;
    nest.sums = columns_ > 1 ? SumOrder::kGroups : space_.sums;
    nest.offsets = {0, 0, 0, first * points()};
    for (size_t d = 0; d < space_.dims.size(); ++d) {
      NestDim dim = space_.dims[d];
      dim.strides.push_back(dim.reduce ? 0 : dim.strides[kPoint] * columns_);
      if (d != split_) {
        nest.dims.push_back(std::move(dim));
        continue;
      }
      NestDim column = dim;
      column.name = "column";
      column.reduce = false;
      column.group = 0;
      column.extent = columns_;
      column.strides[kPartial] = 1;
      NestDim piece = column;
      piece.name = "piece";
      piece.extent = count;
      for (size_t space = 0; space < kPartial; ++space) {
        dim.strides[space] *= columns_;
        piece.strides[space] = dim.strides[space] * piece_;
        nest.offsets[space] += piece.strides[space] * first;
      }
      piece.strides[kPartial] = points();
      dim.extent = size;
      nest.dims.insert(nest.dims.begin(), std::move(piece));
      nest.dims.push_back(std::move(dim));
      if (columns_ > 1) nest.dims.push_back(std::move(column));
    }
    return store_plainly(frame, std::move(nest), partials_, joins);
  }

  /// The pieces of one column of a point, added up inside the loop over the columns.
  ExprId column(NestCursor& at, BufferId buffer, AccumulateOp op, DType dtype) const {
    Emitter& e = at.emitter();
    KernelBuilder& b = e.builder();
    const LocalId sum = e.new_local("column", dtype, true);
    e.block().push_back(Let{sum, b.constant(neutral_element(op, dtype), dtype)});
    auto loop = std::make_unique<For>();
    loop->var = e.new_var("piece", pieces_);
    loop->end = pieces_;
    loop->sums = is_ordered(op, dtype) ? groups_of(pieces_) : SumOrder::kSequence;
    e.open(&loop->body, {loop->var});
    Affine place = at.at(kPartial).affine;
    place.add(Affine::variable(loop->var), points());
    e.block().push_back(Accumulate{sum, op, b.load(buffer, place), {}});
    e.close();
    e.block().push_back(std::move(loop));
    return b.read(sum);
  }

  /// A term of the last sum: a column, or a term of the operand behind the last whole block. Both
  /// exist wherever the loop stands (the operand in its last block, what lies behind the partial
  /// results is not used), so it chooses without a branch.
  ExprId last_term(NestCursor& at, NodeId id, BufferId buffer) const {
    Emitter& e = at.emitter();
    KernelBuilder& b = e.builder();
    const Node& node = body_.node(id);
    const DType dtype = dtype_of(id);
    const ExprId sum = column(at, buffer, accumulate_op(node), dtype);
    if (rest_ == 0) return sum;
    const ExprId is_column = e.in_range(at.at(kColumn), 0, columns_ - 1);
    const ExprId term = b.cast(e.value(node.operands[0], at.at(kFull)), dtype);
    return b.scalar(ScalarOp::kSelect, dtype, is_column, sum, term);
  }

  Status combine() {
    Unit::Frame frame = unit_.frame(".combine");
    Nest nest;
    nest.offsets = {0, 0, 0, 0, 0};
    nest.stages.resize(1);
    nest.sums = columns_ > 1 ? SumOrder::kLanes : SumOrder::kGroups;
    if (columns_ == 1) nest.dims.push_back({"piece", pieces_, true, {0, 0, 0, points(), 0}, 1});
    for (size_t d = 0; d < space_.dims.size(); ++d) {
      NestDim dim = space_.dims[d];
      if (!dim.reduce) {
        dim.strides = {dim.strides[kFull], dim.strides[kPoint], 0, dim.strides[kPoint] * columns_,
                       0};
        nest.dims.push_back(std::move(dim));
      } else if (columns_ > 1) {
        const int64_t stride = dim.strides[kFull];
        nest.offsets[kFull] = stride * (terms_ - 1) * columns_;
        nest.dims.push_back({"column", columns_ + rest_, true, {stride, 0, 0, 1, 1}, 1});
      }
    }
    for (const NodeId id : space_.reductions) {
      const BufferId in = add(frame, partials_, id, BufferRole::kIn);
      Reduction r;
      r.op = accumulate_op(body_.node(id));
      r.dtype = dtype_of(id);
      r.value = [=, this](NestCursor& at) {
        if (columns_ > 1) return last_term(at, id, in);
        return at.emitter().builder().load(in, at.at(kPartial).affine);
      };
      r.done = [result = body_.node(id).results[0]](NestCursor& at, LocalId acc) {
        bind_reduced(at, result, acc);
      };
      nest.stages[0].push_back(std::move(r));
    }
    nest.points = [&](NestCursor& at) {
      std::vector<NestStore> stores;
      for (size_t i = 0; i < body_.outputs().size(); ++i) {
        const ExprId value = at.emitter().value(body_.outputs()[i].value, at.at(kPoint));
        stores.push_back({frame.output(i), at.at(kPoint), value});
      }
      return stores;
    };
    return unit_.add_nest(frame, nest);
  }

  Unit& unit_;
  const Graph& body_;
  const ReductionSpace& space_;
  size_t split_ = 0;     // the dimension whose terms are split
  int64_t columns_ = 1;  // side by side, where the order is by lanes
  int64_t terms_ = 0;    // of a column
  int64_t rest_ = 0;     // behind the last whole block of columns
  int64_t piece_ = 0;    // terms of a piece
  int64_t pieces_ = 0;
  Buffers partials_;
};

}  // namespace

Result<bool> split_reduction(Unit& unit, const ReductionSpace& space) {
  return SplitReduction(unit, space).run();
}

}  // namespace gradc::kernel
