// Row and column kernels: reductions over the same axes of one full shape, in sequence, with
// elementwise work before, between and after. Stage by stage, values of the full shape are computed
// again in each pass or, where that is expensive, kept in a row array. A single stage over a long
// reduced space is split among threads (lower_reduction_split.cpp).
#include "codegen/kernel/lower_reduction.h"

#include "codegen/kernel/lower_unit.h"
#include "codegen/kernel/sum_order.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <algorithm>
#include <map>
#include <optional>

namespace gradc::kernel {

namespace {

/// Alternating runs of kept and reduced axes, outermost first.
struct AxisRun {
  bool reduced = false;
  int64_t size = 1;
  bool operator==(const AxisRun&) const = default;
};

std::vector<int64_t> reduced_axes(const Node& node) {
  if (node.op == Op::kArgmax) return {node.attrs.as<AxisAttrs>().axis};
  return node.attrs.as<AxesAttrs>().axes;
}

std::vector<AxisRun> axis_runs(const Graph& body, const Node& node) {
  const Shape& shape = body.type(node.operands[0]).shape;
  const std::vector<int64_t> axes = reduced_axes(node);
  std::vector<AxisRun> runs;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    const bool reduced = std::find(axes.begin(), axes.end(), axis) != axes.end();
    if (runs.empty() || runs.back().reduced != reduced) runs.push_back({reduced, 1});
    runs.back().size *= shape[axis];
  }
  return runs;
}

bool is_expensive(const Node& node) {
  return node.op == Op::kRandomUniform || gradc::is_expensive(def(node.op).scalar);
}

class ReductionLowering {
 public:
  explicit ReductionLowering(Unit& unit) : unit_(unit), body_(unit.body()) {}

  Status run() {
    GRADC_TRY_STATUS(analyse());
    make_dims();
    if (num_stages_ == 1 && !has_full_output_ && !has_argmax_) {
      GRADC_TRY(const bool done, split_reduction(unit_, space()));
      if (done) return Ok{};
    }
    const Unit::Frame frame = unit_.frame();
    Nest nest;
    nest.dims = dims_;
    nest.sums = sums();
    nest.offsets = {0, 0, 0};
    nest.stages.resize(static_cast<size_t>(num_stages_));
    for (const auto& [id, stage] : stage_of_)
      add_reduction(nest, id, stage);
    nest.points = [&](NestCursor& at) { return stores(frame, at, false); };
    if (has_full_output_) nest.map = [&](NestCursor& at) { return stores(frame, at, true); };
    find_kept(nest);
    return unit_.add_nest(frame, nest);
  }

 private:
  Diagnostic unsupported(const char* why) const {
    return make_error(DiagKind::kInternal, {}, "{}: {}", unit_.name(), why);
  }

  Status analyse() {
    std::map<ValueId, int> depth;  // of values: how many stages come before them
    for (const NodeId id : body_.nodes()) {
      const Node& node = body_.node(id);
      int before = 0;
      for (const ValueId operand : node.operands)
        before = std::max(before, depth[operand]);
      const bool reduction = def(node.op).lowering == Lowering::kReduce;
      if (reduction) {
        const std::vector<AxisRun> runs = axis_runs(body_, node);
        if (!stage_of_.empty() && runs != runs_)
          return unsupported("reductions over different axes in one kernel");
        runs_ = runs;
        stage_of_[id] = before;
        num_stages_ = std::max(num_stages_, before + (node.op == Op::kArgmax ? 2 : 1));
        has_argmax_ = has_argmax_ || node.op == Op::kArgmax;
        const DType dtype = accumulator_dtype(body_.type(node.operands[0]).dtype);
        ordered_ = ordered_ || (node.op != Op::kArgmax && is_ordered(accumulate_op(node), dtype));
      }
      const int after = before + (reduction ? (node.op == Op::kArgmax ? 2 : 1) : 0);
      for (const ValueId result : node.results)
        depth[result] = after;
    }
    for (const AxisRun& run : runs_) {
      full_size_ *= run.size;
      if (!run.reduced) point_size_ *= run.size;
    }
    for (const GraphOutput& output : body_.outputs()) {
      const int64_t size = body_.type(output.value).num_elements();
      if (size != full_size_ && size != point_size_)
        return unsupported("a result of neither the full nor the reduced size");
      full_output_.push_back(size == full_size_ && full_size_ != point_size_);
      has_full_output_ = has_full_output_ || full_output_.back();
    }
    return Ok{};
  }

  void make_dims() {
    Kernel scratch;
    Emitter emitter(scratch, body_);
    std::set<int64_t> cuts;
    const auto add_full = [&](ValueId value) {
      const std::set<int64_t>& below = emitter.cuts(value);
      cuts.insert(below.begin(), below.end());
    };
    for (const auto& entry : stage_of_)
      add_full(body_.node(entry.first).operands[0]);
    for (size_t i = 0; i < full_output_.size(); ++i) {
      const ValueId value = body_.outputs()[i].value;
      if (full_output_[i]) {
        add_full(value);
      } else {
        for (const int64_t cut : emitter.cuts(value))
          add_point_cut(cut, cuts);
      }
    }
    // A dimension is either kept or reduced, whatever the views below would cut. The order of a sum
    // is that of its run, so no view cuts a run that floats are summed over: what such a view reads
    // is found by dividing positions.
    std::set<int64_t> required;
    int64_t stride = 1;
    for (size_t r = runs_.size(); r-- > 0;) {
      required.insert(stride);
      const int64_t end = stride * runs_[r].size;
      if (ordered_ && runs_[r].reduced)
        std::erase_if(cuts, [&](int64_t cut) { return cut > stride && cut < end; });
      stride = end;
    }
    dims_ = chain_dims(stride_chain(cuts, full_size_, required), full_size_);
    for (NestDim& dim : dims_)
      place(dim);
  }

  /// A cut of the kept space as a cut of the full space.
  void add_point_cut(int64_t cut, std::set<int64_t>& cuts) const {
    int64_t full = 1;
    int64_t point = 1;
    for (size_t r = runs_.size(); r-- > 0;) {
      if (!runs_[r].reduced) {
        if (cut > point && cut < point * runs_[r].size && cut % point == 0)
          cuts.insert(full * (cut / point));
        point *= runs_[r].size;
      }
      full *= runs_[r].size;
    }
  }

  /// Fills in whether a dimension of the full space is reduced, and its strides elsewhere.
  void place(NestDim& dim) const {
    int64_t full = 1;
    int64_t point = 1;
    int64_t reduced = 1;
    for (size_t r = runs_.size(); r-- > 0;) {
      const AxisRun& run = runs_[r];
      if (dim.strides[0] < full * run.size) {
        const int64_t relative = dim.strides[0] / full;
        dim.reduce = run.reduced;
        dim.strides.push_back(run.reduced ? 0 : point * relative);
        dim.strides.push_back(run.reduced ? reduced * relative : 0);
        dim.name = run.reduced ? "r" + dim.name.substr(1) : dim.name;
        if (ordered_ && run.reduced) dim.group = static_cast<int>(r) + 1;
        return;
      }
      full *= run.size;
      (run.reduced ? reduced : point) *= run.size;
    }
    dim.strides.resize(3, 0);
  }

  /// Whether the innermost run is reduced: terms lie side by side.
  SumOrder sums() const {
    return !runs_.empty() && runs_.back().reduced ? SumOrder::kLanes : SumOrder::kGroups;
  }

  ReductionSpace space() const {
    ReductionSpace space;
    space.dims = dims_;
    space.sums = ordered_ ? sums() : SumOrder::kSequence;
    space.full_size = full_size_;
    space.point_size = point_size_;
    for (const auto& entry : stage_of_)
      space.reductions.push_back(entry.first);
    return space;
  }

  void add_reduction(Nest& nest, NodeId id, int stage) const {
    const Node& node = body_.node(id);
    const ValueId operand = node.operands[0];
    const ValueId result = node.results[0];
    const auto at_stage = static_cast<size_t>(stage);
    Reduction r;
    r.op = accumulate_op(node);
    r.dtype = accumulator_dtype(body_.type(operand).dtype);
    r.value = [operand](NestCursor& at) { return at.emitter().value(operand, at.at(kFull)); };
    if (node.op != Op::kArgmax) {
      r.done = [result](NestCursor& at, LocalId acc) { bind_reduced(at, result, acc); };
      nest.stages[at_stage].push_back(std::move(r));
      return;
    }
    // The first place that equals the maximum.
    const auto best = std::make_shared<LocalId>();
    r.done = [best](NestCursor&, LocalId acc) { *best = acc; };
    const DType dtype = r.dtype;
    nest.stages[at_stage].push_back(std::move(r));
    Reduction place;
    place.op = AccumulateOp::kMin;
    place.dtype = DType::kI32;
    const double last = static_cast<double>(full_size_ / point_size_ - 1);
    place.start = last;
    place.value = [=](NestCursor& at) {
      Emitter& e = at.emitter();
      KernelBuilder& b = e.builder();
      const ExprId x = b.cast(e.value(operand, at.at(kFull)), dtype);
      const ExprId is_best = b.scalar(ScalarOp::kEq, DType::kBool, x, b.read(*best));
      const ExprId here = b.cast(e.index_expr(at.at(kReduced)), DType::kI32);
      return b.scalar(ScalarOp::kSelect, DType::kI32, is_best, here, b.constant(last, DType::kI32));
    };
    place.done = [result](NestCursor& at, LocalId acc) { bind_reduced(at, result, acc); };
    nest.stages[at_stage + 1].push_back(std::move(place));
  }

  std::vector<NestStore> stores(const Unit::Frame& frame, NestCursor& at, bool full) const {
    std::vector<NestStore> result;
    const size_t space = full ? kFull : kPoint;
    for (size_t i = 0; i < full_output_.size(); ++i) {
      if (full_output_[i] != full) continue;
      const ExprId value = at.emitter().value(body_.outputs()[i].value, at.at(space));
      result.push_back({frame.output(i), at.at(space), value});
    }
    return result;
  }

  // ---- values kept between passes
  // --------------------------------------------------------------

  /// For every value of the full position: the passes (stages; the last is the map) that read it.
  void find_kept(Nest& nest) const {
    std::map<ValueId, std::set<size_t>> passes;
    for (const auto& [id, stage] : stage_of_) {
      passes[body_.node(id).operands[0]].insert(static_cast<size_t>(stage));
      if (body_.node(id).op == Op::kArgmax)
        passes[body_.node(id).operands[0]].insert(static_cast<size_t>(stage) + 1);
    }
    for (size_t i = 0; i < full_output_.size(); ++i) {
      if (full_output_[i]) passes[body_.outputs()[i].value].insert(nest.stages.size());
    }
    const std::vector<NodeId> nodes = body_.nodes();
    for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
      const Node& node = body_.node(*it);
      const bool scalar = def(node.op).lowering == Lowering::kScalar || node.op == Op::kReshape;
      if (!scalar && node.op != Op::kRandomUniform) continue;
      std::set<size_t> mine = passes[node.results[0]];
      if (mine.size() > 1 && is_expensive(node)) {
        nest.kept.push_back({node.results[0], *mine.begin(), kFull});
        mine = {*mine.begin()};
      }
      if (!scalar) continue;
      for (const ValueId operand : node.operands)
        passes[operand].insert(mine.begin(), mine.end());
    }
  }

  Unit& unit_;
  const Graph& body_;
  std::map<NodeId, int> stage_of_;  // reductions, in the order of the body
  int num_stages_ = 0;
  bool has_argmax_ = false;
  bool ordered_ = false;  // floats are summed: their order is part of the result
  bool has_full_output_ = false;
  std::vector<AxisRun> runs_;
  int64_t full_size_ = 1;
  int64_t point_size_ = 1;
  std::vector<bool> full_output_;
  std::vector<NestDim> dims_;
};

}  // namespace

Status lower_reduction(Unit& unit) {
  return ReductionLowering(unit).run();
}

}  // namespace gradc::kernel
