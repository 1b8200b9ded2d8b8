// scatter_add and put_rows: rows named by data, added or put in order. One kernel clears the result
// (or copies the table, where the result is not in its place), one writes: all threads take
// different columns, or one thread takes everything, so the order never depends on the threads.
// Work fused behind a sum runs on the finished rows.
#include "codegen/kernel/lower_unit.h"
#include "ir/op.h"
#include "support/check.h"

#include <algorithm>

namespace gradc::kernel {

namespace {

/// The widest block of columns, a multiple of 16, that divides the width into several; 0: none.
int64_t column_block(int64_t width) {
  for (int64_t block = 128; block >= 16; block -= 16) {
    if (width % block == 0 && width / block >= 2) return block;
  }
  return 0;
}

class ScatterLowering {
 public:
  ScatterLowering(Unit& unit, const Node& node)
      : unit_(unit),
        body_(unit.body()),
        node_(node),
        type_(body_.type(node.results[0])),
        puts_(node.op == Op::kPutRows),
        indices_(node.operands[puts_ ? 1 : 0]),
        values_(node.operands[puts_ ? 2 : 1]) {
    width_ = type_.num_elements() / type_.shape[0];
    updates_ = body_.type(indices_).num_elements();
  }

  Status run() {
    const bool direct = body_.outputs().size() == 1 && body_.outputs()[0].value == node_.results[0];
    const UnitRef target =
        direct ? UnitRef{UnitRef::Kind::kResult, 0} : unit_.temporary(type_.dtype, type_.shape);
    if (!direct || !is_in_place()) GRADC_TRY_STATUS(begin(target));
    GRADC_TRY_STATUS(write(target));
    return direct ? Status(Ok{}) : finish(target);
  }

 private:
  /// The frame without the buffers that `target` stands for, and the target in the given role.
  BufferId add_target(Unit::Frame& frame, UnitRef target, BufferRole role) const {
    if (target.kind == UnitRef::Kind::kTemporary)
      return frame.add("rows", type_.dtype, type_.shape, role, target);
    const BufferId id = frame.find(target);
    frame.kernel.buffers[id.index].role = role;
    return id;
  }

  /// Whether the rows that are not put stand in the result already.
  bool is_in_place() const {
    if (!puts_ || !body_.is_input(node_.operands[0])) return false;
    const size_t table = body_.value(node_.operands[0]).index;
    const auto& aliases = unit_.aliases();
    return std::find(aliases.begin(), aliases.end(), std::pair(size_t{0}, table)) != aliases.end();
  }

  Status begin(UnitRef target) {
    Unit::Frame frame = unit_.frame(puts_ ? ".copy" : ".clear");
    const BufferId rows = add_target(frame, target, BufferRole::kOut);
    Nest nest;
    nest.dims = {{"i", type_.num_elements(), false, {1}}};
    nest.offsets = {0};
    nest.points = [&](NestCursor& at) {
      const ExprId first = puts_ ? at.emitter().value(node_.operands[0], at.at(0))
                                 : at.emitter().builder().constant(0, type_.dtype);
      return std::vector<NestStore>{{rows, at.at(0), first}};
    };
    return unit_.add_nest(frame, nest);
  }

  /// parallel columns { for updates { vector columns of a block { rows[index] += update } } }; what
  /// is put is put where there is such a row.
  Status write(UnitRef target) {
    Unit::Frame frame = unit_.frame(puts_ ? ".put" : ".add");
    const BufferId rows = add_target(frame, target, BufferRole::kInOut);
    int64_t block = updates_ * width_ >= 16384 ? column_block(width_) : 0;
    const bool parallel = block > 0;
    if (!parallel) block = width_;
    Kernel kernel;
    kernel.name = frame.kernel.name;
    kernel.buffers = frame.kernel.buffers;
    Emitter e(kernel, body_);
    for (const auto& [value, buffer] : frame.kernel.bindings)
      e.bind_buffer(value, buffer);
    const VarId chunk = e.new_var("chunk", width_ / block);
    const VarId update = e.new_var("update", updates_);
    const VarId column = e.new_var("column", block);
    auto chunks = make_loop(chunk, width_ / block, LoopKind::kParallel);
    auto loop = make_loop(update, updates_, LoopKind::kSerial);
    if (parallel) e.open(&chunks->body, {chunk});
    e.open(&loop->body, {update});
    ExprId index = index_of(e, update);
    auto there = std::make_unique<If>();
    if (puts_) {
      index = e.let(index, "index");
      there->condition = is_row(e, index);
      e.open(&there->body, {});
    }
    const ExprId row = row_of(e, index);
    auto columns = make_loop(column, block, LoopKind::kVector);
    e.open(&columns->body, {column});
    Affine at = Affine::variable(column);
    if (parallel) at.add(Affine::variable(chunk), block);
    Affine source = at;
    source.add(Affine::variable(update), width_);
    const ExprId value = e.value(values_, {source, {}});
    e.block().push_back(Store{rows, at, row, value, !puts_});
    e.close();
    e.block().push_back(std::move(columns));
    if (puts_) {
      e.close();
      e.block().push_back(std::move(there));
    }
    e.close();
    e.block().push_back(std::move(loop));
    if (parallel) {
      e.close();
      e.block().push_back(std::move(chunks));
    }
    if (e.failed()) return make_error(DiagKind::kInternal, {}, "{}: {}", kernel.name, e.failure());
    unit_.add_call(frame, std::move(kernel));
    return Ok{};
  }

  static std::unique_ptr<For> make_loop(VarId var, int64_t end, LoopKind kind) {
    auto loop = std::make_unique<For>();
    loop->var = var;
    loop->end = end;
    loop->kind = kind;
    return loop;
  }

  ExprId index_of(Emitter& e, VarId update) const {
    return e.builder().cast(e.value(indices_, {Affine::variable(update), {}}), DType::kI64);
  }

  static ExprId number(Emitter& e, int64_t x) {
    return e.builder().constant(static_cast<double>(x), DType::kI64);
  }

  ExprId is_row(Emitter& e, ExprId index) const {
    KernelBuilder& b = e.builder();
    const ExprId low = b.scalar(ScalarOp::kLe, DType::kBool, number(e, 0), index);
    const ExprId high = b.scalar(ScalarOp::kLt, DType::kBool, index, number(e, type_.shape[0]));
    return b.scalar(ScalarOp::kAnd, DType::kBool, low, high);
  }

  /// The position of the row that an update goes to: clamped, as gather clamps.
  ExprId row_of(Emitter& e, ExprId row) const {
    KernelBuilder& b = e.builder();
    const auto limit = [&](int64_t x) { return number(e, x); };
    row = b.scalar(ScalarOp::kMax, DType::kI64, row, limit(0));
    row = b.scalar(ScalarOp::kMin, DType::kI64, row, limit(type_.shape[0] - 1));
    return e.let(b.scalar(ScalarOp::kMul, DType::kI64, row, limit(width_)), "row");
  }

  Status finish(UnitRef target) {
    Unit::Frame frame = unit_.frame(".finish");
    frame.bind(node_.results[0], add_target(frame, target, BufferRole::kIn));
    Kernel scratch;
    Emitter emitter(scratch, body_);
    std::set<int64_t> cuts;
    const int64_t total = type_.num_elements();
    for (const GraphOutput& output : body_.outputs()) {
      if (body_.type(output.value).num_elements() != total)
        return make_error(DiagKind::kInternal, {}, "{}: results of different sizes", unit_.name());
      const std::set<int64_t>& below = emitter.cuts(output.value);
      cuts.insert(below.begin(), below.end());
    }
    Nest nest;
    nest.dims = chain_dims(stride_chain(cuts, total), total);
    nest.offsets = {0};
    nest.points = [&](NestCursor& at) { return output_stores(frame, body_, at, 0); };
    return unit_.add_nest(frame, nest);
  }

  Unit& unit_;
  const Graph& body_;
  const Node& node_;
  const TensorType type_;
  const bool puts_;
  const ValueId indices_;
  const ValueId values_;
  int64_t width_ = 1;
  int64_t updates_ = 0;
};

}  // namespace

Status lower_scatter(Unit& unit, const Node& node) {
  return ScatterLowering(unit, node).run();
}

}  // namespace gradc::kernel
