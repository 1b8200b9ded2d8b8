#include "codegen/kernel/nest.h"

#include "codegen/kernel/nest_access.h"
#include "codegen/kernel/sum_order.h"
#include "ir/element.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

namespace gradc::kernel {

namespace {

constexpr int64_t kParallelWork = 2048;     // element steps below which one thread does it all
constexpr int64_t kGrainWork = 512;         // element steps worth a thread
constexpr int64_t kKeptBytes = 256 * 1024;  // row temporaries per thread
constexpr int64_t kUnrollExtent = 4;
constexpr int64_t kUnrollTaps = 7;
constexpr int64_t kManySums = 6;        // side by side: steps of a row read the same elements
constexpr int64_t kUnrolledSums = 128;  // of all steps

/// Computed by a polynomial, not by one instruction.
bool is_function(ScalarOp op) {
  return (op >= ScalarOp::kExp && op <= ScalarOp::kSigmoid && op != ScalarOp::kSqrt) ||
         op == ScalarOp::kPow;
}

class DryRun {
 public:
  DryRun(const KernelFrame& frame, const Graph& body, const Nest& nest)
      : nest_(nest), emitter_(scratch_, body) {
    scratch_.buffers = frame.buffers;
    for (const auto& [value, buffer] : frame.bindings)
      emitter_.bind_buffer(value, buffer);
    for (const NestDim& dim : nest.dims)
      vars_.push_back(emitter_.new_var(dim.name, dim.extent));
    emitter_.open(&block_, vars_);
    run();
  }

  const std::string& failure() const { return emitter_.failure(); }
  std::vector<Access> accesses() const { return accesses_; }
  /// Element steps that one step of this nest is worth.
  int64_t step_cost() const {
    constexpr int64_t kFunctionCost = 8;
    int64_t cost = 1;
    for (const Expr& e : scratch_.exprs) {
      const bool function =
          e.kind == ExprKind::kRandom || (e.kind == ExprKind::kScalar && is_function(e.op));
      if (function) cost += kFunctionCost;
    }
    return cost;
  }

 private:
  void run() {
    std::vector<Index> spaces;
    for (size_t s = 0; s < nest_.offsets.size(); ++s) {
      Index at = Emitter::constant_index(nest_.offsets[s]);
      for (size_t d = 0; d < nest_.dims.size(); ++d) {
        if (nest_.dims[d].strides[s] != 0)
          at.affine.add(Affine::variable(vars_[d]), nest_.dims[d].strides[s]);
      }
      spaces.push_back(std::move(at));
    }
    NestCursor cursor(emitter_, spaces);
    for (const std::vector<Reduction>& stage : nest_.stages) {
      for (const Reduction& reduction : stage) {
        reduction.value(cursor);
        if (reduction.factor) reduction.factor(cursor);
        reduction.done(cursor, emitter_.new_local("acc", reduction.dtype, true));
      }
    }
    std::vector<NestStore> stores;
    if (nest_.points) stores = nest_.points(cursor);
    if (nest_.map) {
      const std::vector<NestStore> more = nest_.map(cursor);
      stores.insert(stores.end(), more.begin(), more.end());
    }
    for (const NestStore& store : stores)
      accesses_.push_back(access_of(scratch_, block_, vars_, store.at, 2.0));
    add_accesses(scratch_, block_, vars_, accesses_);
  }

  const Nest& nest_;
  Kernel scratch_;
  Emitter emitter_;
  Block block_;
  std::vector<VarId> vars_;
  std::vector<Access> accesses_;
};

// ---- planning
// ------------------------------------------------------------------------------------

/// Whether some reduction of a stage is a sum or product of floats.
bool has_ordered(const std::vector<Reduction>& stage) {
  return std::any_of(stage.begin(), stage.end(),
                     [](const Reduction& r) { return is_ordered(r.op, r.dtype); });
}
bool has_ordered(const Nest& nest) {
  return std::any_of(nest.stages.begin(), nest.stages.end(),
                     [](const auto& stage) { return has_ordered(stage); });
}

double vector_score(const NestDim& dim, size_t d, const std::vector<Access>& accesses) {
  double gain = 0.0;
  for (const Access& a : accesses) {
    if (a.dynamic[d]) {
      gain -= 2.0 * a.weight;
    } else if (a.coefficients[d] == 1) {
      gain += a.weight;
    } else if (a.coefficients[d] != 0) {
      gain -= 1.5 * a.weight;
    }
  }
  const int64_t rounded = (dim.extent + kSumLanes - 1) / kSumLanes * kSumLanes;
  const double efficiency = static_cast<double>(dim.extent) / static_cast<double>(rounded);
  return gain > 0.0 ? gain * efficiency : gain - (1.0 - efficiency);
}

/// Accesses inside the reductions happen once per reduced element, the others once per point.
void weigh_by_executions(const std::vector<NestDim>& dims, std::vector<Access>& accesses) {
  double reduced = 1.0;
  for (const NestDim& dim : dims)
    reduced *= dim.reduce ? static_cast<double>(dim.extent) : 1.0;
  for (Access& a : accesses) {
    bool inside = false;
    for (size_t d = 0; d < dims.size(); ++d)
      inside = inside || (dims[d].reduce && (a.coefficients[d] != 0 || a.dynamic[d]));
    if (inside) a.weight *= reduced;
  }
}

/// Loop order: indices into dims; the vector dimension is last of its class.
struct Order {
  std::vector<size_t> points, reduces;
  std::optional<size_t> vector;
  size_t parallel = 0;  ///< so many of the outermost are shared by threads, as one
  int64_t grain = 1;
};

/// The vector dimension. Where floats are summed it may be a reduced one only if their order is by
/// lanes, and then it is the last of these.
std::optional<size_t> choose_vector(const Nest& nest, const std::vector<NestDim>& dims,
                                    const std::vector<Access>& accesses) {
  const bool ordered = has_ordered(nest);
  std::optional<size_t> chosen;
  if (ordered && nest.sums == SumOrder::kLanes) {
    for (size_t d = 0; d < dims.size(); ++d) {
      if (dims[d].reduce) chosen = d;
    }
    if (chosen) return chosen;
  }
  double best = -std::numeric_limits<double>::infinity();
  for (size_t d = 0; d < dims.size(); ++d) {
    if (ordered && dims[d].reduce) continue;
    const double score = vector_score(dims[d], d, accesses);
    if (score < best) continue;
    best = score;
    chosen = d;
  }
  return chosen;
}

Order choose_order(const Nest& nest, const std::vector<NestDim>& dims,
                   const std::vector<Access>& accesses, int64_t step_cost) {
  Order order;
  order.vector = choose_vector(nest, dims, accesses);
  int64_t work = step_cost;
  for (size_t d = 0; d < dims.size(); ++d) {
    work *= dims[d].extent;
    if (order.vector == d) continue;
    (dims[d].reduce ? order.reduces : order.points).push_back(d);
  }
  // The parallel loop stands outermost: the first dimension with enough iterations, or the longest.
  constexpr int64_t kEnough = 16;
  auto chosen = std::find_if(order.points.begin(), order.points.end(),
                             [&](size_t d) { return dims[d].extent >= kEnough; });
  if (chosen == order.points.end()) {
    chosen = std::max_element(order.points.begin(), order.points.end(),
                              [&](size_t a, size_t b) { return dims[a].extent < dims[b].extent; });
  }
  const bool rows = nest.rows_share && order.points.size() > 1;
  if (chosen != order.points.end() && !rows) std::rotate(order.points.begin(), chosen, chosen + 1);
  if (order.vector) {
    std::vector<size_t>& list = dims[*order.vector].reduce ? order.reduces : order.points;
    const bool outside = dims[*order.vector].reduce && nest.lanes_outside;
    list.insert(outside ? list.begin() : list.end(), *order.vector);
    // A long vector loop with few iterations around it is split itself.
    const int64_t vector_blocks = dims[*order.vector].extent / 64;
    if (!dims[*order.vector].reduce && order.points.size() > 1 && !rows &&
        dims[order.points.front()].extent < kEnough &&
        vector_blocks > 4 * dims[order.points.front()].extent)
      std::rotate(order.points.begin(), order.points.end() - 1, order.points.end());
  }
  if (order.points.empty() || work < kParallelWork) return order;
  const auto adds = std::find_if(order.points.begin(), order.points.end(),
                                 [&](size_t d) { return dims[d].adds; });
  const auto outside = static_cast<size_t>(adds - order.points.begin());
  order.parallel = std::min<size_t>(outside, rows && order.points.size() > 2 ? 2 : 1);
  if (nest.first) {
    order.parallel = static_cast<size_t>(std::count_if(order.points.begin(), order.points.end(),
                                                       [&](size_t d) { return dims[d].shared; }));
  }
  const int64_t inner = std::max<int64_t>(1, work / dims[order.points.front()].extent);
  order.grain = std::max<int64_t>(1, kGrainWork / inner);
  return order;
}

// ---- emission
// ------------------------------------------------------------------------------------

class Emission {
 public:
  Emission(const KernelFrame& frame, const Graph& body, const Nest& nest, std::vector<NestDim> dims,
           Order order)
      : nest_(nest), dims_(std::move(dims)), order_(std::move(order)), emitter_(kernel_, body) {
    kernel_.name = frame.name;
    kernel_.buffers = frame.buffers;
    for (const auto& [value, buffer] : frame.bindings)
      emitter_.bind_buffer(value, buffer);
    for (const NestDim& dim : dims_)
      vars_.push_back(emitter_.new_var(dim.name, dim.extent));
    plan_kept();
  }

  Result<Kernel> run() {
    points(0, [&] { point(); });
    if (emitter_.failed())
      return make_error(DiagKind::kInternal, {}, "{}: {}", kernel_.name, emitter_.failure());
    return std::move(kernel_);
  }

 private:
  void plan_kept() {
    const bool vector_row = order_.reduces.size() == 1 && order_.vector == order_.reduces[0];
    if (!vector_row) return;
    const int64_t cols = dims_[order_.reduces[0]].extent;
    int64_t bytes = 0;
    for (const KeptValue& kept : nest_.kept) {
      const DType dtype = emitter_.body().type(kept.value).dtype;
      bytes += cols * dtype_bytes(dtype);
      if (bytes > kKeptBytes) return;
      const std::string name = fmt::format("row{}", kernel_.buffers.size());
      rows_.push_back(
          {kept, emitter_.builder().buffer(name, dtype, Shape{cols}, BufferRole::kLocal)});
    }
  }

  NestCursor cursor() {
    std::vector<Index> spaces;
    for (size_t s = 0; s < nest_.offsets.size(); ++s) {
      Index at = Emitter::constant_index(nest_.offsets[s]);
      for (size_t d = 0; d < dims_.size(); ++d) {
        if (dims_[d].strides[s] != 0)
          at.affine.add(Affine::variable(vars_[d]), dims_[d].strides[s]);
      }
      spaces.push_back(std::move(at));
    }
    return {emitter_, std::move(spaces)};
  }

  template <class Emit>
  void loop(size_t d, LoopKind kind, int64_t grain, const Emit& emit,
            SumOrder sums = SumOrder::kSequence, bool ahead = false) {
    auto statement = std::make_unique<For>();
    statement->var = vars_[d];
    statement->end = dims_[d].extent;
    statement->kind = kind;
    statement->grain = grain;
    statement->sums = sums;
    statement->ahead = ahead;
    emitter_.open(&statement->body, {vars_[d]});
    emit();
    emitter_.close();
    emitter_.block().push_back(std::move(statement));
  }

  /// The loops over points from the i-th on.
  /// (A template here would be instantiated without end: each level makes a lambda.)
  void points(size_t i, const std::function<void()>& emit) {
    if (i == order_.parallel && nest_.first) {
      NestCursor at = cursor();
      nest_.first(at);
    }
    if (i == order_.points.size()) return emit();
    const size_t d = order_.points[i];
    const bool vector = order_.vector == d;
    const bool parallel = i < order_.parallel;
    const LoopKind kind = parallel ? (vector ? LoopKind::kParallelVector : LoopKind::kParallel)
                                   : (vector ? LoopKind::kVector : LoopKind::kSerial);
    const bool adds = dims_[d].adds;
    if (adds) {
      points(i + 1, [&] {
        NestCursor at = cursor();
        this->emit(nest_.zeros(at));
      });
    }
    const auto inner = [&] { points(i + 1, emit); };
    loop(d, kind, parallel ? order_.grain : 1, inner, SumOrder::kSequence, adds);
  }

  LoopKind reduce_kind(size_t d) const {
    if (order_.vector == d) return LoopKind::kVector;
    const bool taps = nest_.rows_share && d == order_.reduces.back();  // of a row of a window
    const auto sums = static_cast<int64_t>(nest_.stages.size() == 1 ? nest_.stages[0].size() : 0);
    if (sums >= kManySums && d != order_.reduces.back()) return LoopKind::kSerial;
    const int64_t most = sums >= kManySums ? std::min(kSumGroup, kUnrolledSums / sums)
                         : taps            ? kUnrollTaps
                                           : kUnrollExtent;
    return dims_[d].extent <= most ? LoopKind::kUnroll : LoopKind::kSerial;
  }

  template <class Emit>
  void reduce(size_t i, const Emit& emit) {
    if (i == order_.reduces.size()) return emit();
    const size_t d = order_.reduces[i];
    loop(d, reduce_kind(d), 1, [&] { reduce(i + 1, emit); });
  }

  /// The loops of a stage from the i-th on, adding to these accumulators.
  void sum(size_t s, size_t i, const std::vector<LocalId>& into) {
    if (i == order_.reduces.size()) return add_terms(s, into);
    const size_t d = order_.reduces[i];
    const bool ordered = has_ordered(nest_.stages[s]);
    SumOrder order = SumOrder::kSequence;
    if (ordered && order_.vector == d) order = SumOrder::kLanes;
    if (ordered && order_.vector != d && is_tree()) order = groups_of(dims_[d].extent);
    // What stands inside this loop is a sum of its own.
    const bool own =
        ordered && i + 1 < order_.reduces.size() && (is_tree() || (i == 0 && nest_.lanes_outside));
    loop(
        d, reduce_kind(d), 1,
        [&] {
          if (!own) return sum(s, i + 1, into);
          std::vector<LocalId> inner = into;
          for (size_t r = 0; r < into.size(); ++r) {
            const Reduction& reduction = nest_.stages[s][r];
            if (is_ordered(reduction.op, reduction.dtype)) inner[r] = start(reduction);
          }
          sum(s, i + 1, inner);
          for (size_t r = 0; r < into.size(); ++r) {
            if (inner[r] == into[r]) continue;
            const ExprId part = emitter_.builder().read(inner[r]);
            emitter_.block().push_back(Accumulate{into[r], nest_.stages[s][r].op, part, {}});
          }
        },
        order);
  }

  bool is_tree() const { return nest_.sums != SumOrder::kSequence && !nest_.lanes_outside; }

  LocalId start(const Reduction& r) {
    const LocalId local = emitter_.new_local("acc", r.dtype, true);
    const double first = r.start.value_or(neutral_element(r.op, r.dtype));
    emitter_.block().push_back(Let{local, emitter_.builder().constant(first, r.dtype)});
    return local;
  }

  void add_terms(size_t s, const std::vector<LocalId>& into) {
    NestCursor at = cursor();
    for (const auto& [kept, buffer] : rows_) {
      if (kept.stage != s) continue;
      const ExprId value = emitter_.value(kept.value, at.at(kept.space));
      const Index column{Affine::variable(vars_[order_.reduces[0]]), {}};
      emitter_.block().push_back(Store{buffer, column.affine, {}, value, false});
    }
    for (size_t r = 0; r < into.size(); ++r) {
      const Reduction& reduction = nest_.stages[s][r];
      const ExprId value = emitter_.builder().cast(reduction.value(at), reduction.dtype);
      ExprId factor;
      if (reduction.factor) factor = emitter_.builder().cast(reduction.factor(at), reduction.dtype);
      emitter_.block().push_back(Accumulate{into[r], reduction.op, value, factor});
    }
  }

  void stage(size_t s) {
    std::vector<LocalId> accumulators;
    for (const Reduction& r : nest_.stages[s])
      accumulators.push_back(start(r));
    sum(s, 0, accumulators);
    NestCursor at = cursor();
    for (size_t r = 0; r < accumulators.size(); ++r)
      nest_.stages[s][r].done(at, accumulators[r]);
    for (const auto& [kept, buffer] : rows_) {
      if (kept.stage == s) emitter_.bind_row(kept.value, buffer, dims_[order_.reduces[0]].extent);
    }
  }

  /// All values are computed before the first is stored, for outputs planned onto arguments.
  std::vector<NestStore> computed(std::vector<NestStore> stores, bool early) {
    if (!early && stores.size() < 2) return stores;
    for (NestStore& store : stores) {
      if (emitter_.kernel().expr(store.expr).kind != ExprKind::kLocal)
        store.expr = emitter_.let(store.expr, "out");
    }
    return stores;
  }

  void emit(const std::vector<NestStore>& stores) {
    for (const NestStore& s : stores)
      emitter_.block().push_back(Store{s.buffer, s.at.affine, s.at.dynamic, s.expr, s.add});
  }

  void point() {
    for (size_t s = 0; s < nest_.stages.size(); ++s)
      stage(s);
    std::vector<NestStore> at_point;
    if (nest_.points) {
      NestCursor at = cursor();
      at_point = computed(nest_.points(at), static_cast<bool>(nest_.map));
    }
    if (nest_.map) {
      reduce(0, [&] {
        NestCursor at = cursor();
        emit(computed(nest_.map(at), false));
      });
    }
    emit(at_point);
  }

  struct Row {
    KeptValue kept;
    BufferId buffer;
  };

  const Nest& nest_;
  std::vector<NestDim> dims_;
  Order order_;
  Kernel kernel_;
  Emitter emitter_;
  std::vector<VarId> vars_;
  std::vector<Row> rows_;
};

}  // namespace

Result<Kernel> build_nest(const KernelFrame& frame, const Graph& body, const Nest& nest) {
  Nest trimmed = nest;
  std::erase_if(trimmed.dims, [](const NestDim& dim) { return dim.extent == 1; });
  for (const NestDim& dim : trimmed.dims)
    GRADC_CHECK(dim.strides.size() == nest.offsets.size(), "{}: a stride per space", frame.name);
  const DryRun dry(frame, body, trimmed);
  if (!dry.failure().empty())
    return make_error(DiagKind::kInternal, {}, "{}: {}", frame.name, dry.failure());
  std::vector<NestDim> dims = trimmed.dims;
  std::vector<Access> accesses = dry.accesses();
  merge_dims(dims, accesses);
  weigh_by_executions(dims, accesses);
  Order order = choose_order(trimmed, dims, accesses, dry.step_cost());
  return Emission(frame, body, trimmed, std::move(dims), std::move(order)).run();
}

std::vector<NestDim> chain_dims(const std::vector<int64_t>& chain, int64_t total) {
  std::vector<NestDim> dims;
  for (size_t i = chain.size(); i-- > 0;) {
    const int64_t end = i + 1 < chain.size() ? chain[i + 1] : total;
    dims.push_back({fmt::format("i{}", chain.size() - 1 - i), end / chain[i], false, {chain[i]}});
  }
  return dims;
}

double neutral_element(AccumulateOp op, DType dtype) {
  if (op == AccumulateOp::kSum) return 0.0;
  if (op == AccumulateOp::kProd) return 1.0;
  if (dtype == DType::kBool) return op == AccumulateOp::kMin ? 1.0 : 0.0;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return as_element(op == AccumulateOp::kMin ? kInfinity : -kInfinity, dtype);  // the range's end
}

}  // namespace gradc::kernel
