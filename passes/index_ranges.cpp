#include "passes/index_ranges.h"

#include "ir/op.h"
#include "ir/op_attrs.h"

#include <algorithm>
#include <optional>

namespace gradc {
namespace {

/// What is asked of a value's elements in row-major order: one range for all, or one for each.
using Demand = std::vector<IndexRange>;

/// Demands on single elements are kept up to this many; beyond it only what is asked of all.
constexpr int64_t kMostElements = int64_t{1} << 20;

IndexRange both(const IndexRange& a, const IndexRange& b) {
  return {std::max(a.low, b.low), std::min(a.high, b.high)};
}

const IndexRange& at(const Demand& demand, int64_t element) {
  return demand.size() == 1 ? demand[0] : demand[static_cast<size_t>(element)];
}

/// The operand that is an index into `rows` rows.
struct IndexUse {
  size_t operand = 0;
  int64_t rows = 0;
};

/// Where the compiled code takes an integer for a row or a class.
struct IndexOp {
  Op op{};
  IndexUse (*use)(const Graph& graph, const Node& node);
};

constexpr IndexOp kIndexOps[] = {
    {Op::kGather,
     [](const Graph& graph, const Node& node) {
       return IndexUse{1, graph.type(node.operands[0]).shape[0]};
     }},
    {Op::kScatterAdd,
     [](const Graph&, const Node& node) {
       return IndexUse{0, node.attrs.as<ScatterAttrs>().rows};
     }},
    {Op::kDistinct,
     [](const Graph&, const Node& node) {
       return IndexUse{0, node.attrs.as<ScatterAttrs>().rows};
     }},
    {Op::kOneHot, [](const Graph&,
                     const Node& node) { return IndexUse{0, node.attrs.as<OneHotAttrs>().depth}; }},
    {Op::kSparseSoftmaxCrossEntropy,
     [](const Graph& graph, const Node& node) {
       return IndexUse{1, graph.type(node.operands[0]).shape.back()};
     }},
};

int64_t moved(int64_t end, int64_t by) {
  const bool open = end == IndexRange{}.low || end == IndexRange{}.high;
  return open ? end : end + by;
}

int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

IndexRange negated(const IndexRange& range) {
  const IndexRange all;
  return {range.high == all.high ? all.low : -range.high,
          range.low == all.low ? all.high : -range.low};
}

/// What x may be, so that x (op) c lies in the range.
struct ConstantOp {
  Op op{};
  IndexRange (*before)(const IndexRange& range, int64_t c);
  bool swaps = true;  ///< c (op) x is the same
};

constexpr ConstantOp kConstantOps[] = {
    {Op::kAdd, [](const IndexRange& r,
                  int64_t c) { return IndexRange{moved(r.low, -c), moved(r.high, -c)}; }},
    {Op::kSub,
     [](const IndexRange& r, int64_t c) { return IndexRange{moved(r.low, c), moved(r.high, c)}; },
     false},
    {Op::kMul,
     [](const IndexRange& r, int64_t c) {
       IndexRange x;
       if (c <= 0) return x;
       if (r.low != x.low) x.low = -floor_div(-r.low, c);
       if (r.high != x.high) x.high = floor_div(r.high, c);
       return x;
     }},
    {Op::kMax, [](const IndexRange& r,
                  int64_t c) { return IndexRange{c >= r.low ? IndexRange{}.low : r.low, r.high}; }},
    {Op::kMin,
     [](const IndexRange& r, int64_t c) {
       return IndexRange{r.low, c <= r.high ? IndexRange{}.high : r.high};
     }},
};

template <class Row, size_t N>
const Row* find_op(const Row (&table)[N], Op op) {
  const Row* row = std::find_if(table, table + N, [&](const Row& r) { return r.op == op; });
  return row == table + N ? nullptr : row;
}

/// Row-major position of each element of `shape` in another shape: a walk with given steps.
template <class Visit>
void walk(const Shape& shape, std::span<const int64_t> steps, int64_t first, Visit visit) {
  const int64_t count = shape.num_elements();
  std::vector<int64_t> index(static_cast<size_t>(shape.rank()));
  int64_t other = first;
  for (int64_t i = 0; i < count; ++i) {
    visit(i, other);
    for (int axis = shape.rank(); axis-- > 0;) {
      const auto a = static_cast<size_t>(axis);
      other += steps[a];
      if (++index[a] < shape[axis]) break;
      other -= steps[a] * shape[axis];
      index[a] = 0;
    }
  }
}

class Analysis {
 public:
  explicit Analysis(const Graph& graph) : graph_(graph), demands_(graph.value_capacity()) {}

  IndexRanges run() {
    const std::vector<NodeId> nodes = graph_.nodes();
    for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
      const Node& node = graph_.node(*it);
      if (const IndexOp* index = find_op(kIndexOps, node.op)) {
        const IndexUse use = index->use(graph_, node);
        ask(node.operands[use.operand], {{0, use.rows - 1}});
      }
      if (node.results.size() == 1 && !demands_[node.results[0].index].empty())
        pass_on(node, demands_[node.results[0].index]);
    }
    IndexRanges result;
    for (const GraphInput& input : graph_.inputs()) {
      const Demand& demand = demands_[input.value.index];
      if (input.kind != InputKind::kInput || demand.empty()) continue;
      Demand example = of_example(demand, graph_.type(input.value).shape);
      const bool any = std::any_of(example.begin(), example.end(),
                                   [](const IndexRange& r) { return !r.everything(); });
      if (any) result.emplace(input.name, std::move(example));
    }
    return result;
  }

 private:
  void ask(ValueId value, const Demand& demand) {
    Demand& old = demands_[value.index];
    if (old.empty()) {
      old = demand;
      return;
    }
    if (old.size() < demand.size()) old.resize(demand.size(), old[0]);
    for (size_t i = 0; i < old.size(); ++i)
      old[i] = both(old[i], at(demand, static_cast<int64_t>(i)));
  }

  /// A demand on elements of `value`, everything allowed at first; empty when it has too many.
  Demand open(ValueId value) const {
    const int64_t count = graph_.type(value).shape.num_elements();
    return count <= kMostElements ? Demand(static_cast<size_t>(count)) : Demand();
  }

  /// Element i of the result is element `other` of the operand.
  void ask_walk(const Node& node, ValueId operand, const Demand& demand,
                std::span<const int64_t> steps, int64_t first) {
    Demand wanted = open(operand);
    if (wanted.empty()) return;
    walk(graph_.type(node.results[0]).shape, steps, first, [&](int64_t i, int64_t other) {
      IndexRange& range = wanted[static_cast<size_t>(other)];
      range = both(range, at(demand, i));
    });
    ask(operand, wanted);
  }

  struct Step {
    Op op{};
    void (Analysis::*pass)(const Node& node, const Demand& demand);
  };

  void pass_on(const Node& node, const Demand& demand) {
    static constexpr Step kSteps[] = {
        {Op::kReshape, &Analysis::pass_same},   {Op::kCast, &Analysis::pass_same},
        {Op::kTranspose, &Analysis::pass_view}, {Op::kBroadcast, &Analysis::pass_view},
        {Op::kReverse, &Analysis::pass_view},   {Op::kSlice, &Analysis::pass_view},
        {Op::kPad, &Analysis::pass_pad},        {Op::kConcat, &Analysis::pass_concat},
        {Op::kNeg, &Analysis::pass_negative},   {Op::kAdd, &Analysis::pass_arithmetic},
        {Op::kSub, &Analysis::pass_arithmetic}, {Op::kMul, &Analysis::pass_arithmetic},
        {Op::kMax, &Analysis::pass_arithmetic}, {Op::kMin, &Analysis::pass_arithmetic},
    };
    if (const Step* step = find_op(kSteps, node.op)) (this->*step->pass)(node, demand);
  }

  void pass_same(const Node& node, const Demand& demand) { ask(node.operands[0], demand); }

  void pass_view(const Node& node, const Demand& demand) {
    const ValueId operand = node.operands[0];
    const Shape& shape = graph_.type(operand).shape;
    if (demand.size() == 1 && node.op != Op::kSlice) return ask(operand, demand);
    const auto strides = shape.strides();
    std::vector<int64_t> steps(static_cast<size_t>(graph_.type(node.results[0]).shape.rank()));
    int64_t first = 0;
    if (node.op == Op::kTranspose) {
      const Ints& perm = node.attrs.as<TransposeAttrs>().perm;
      for (size_t i = 0; i < steps.size(); ++i)
        steps[i] = strides[static_cast<size_t>(perm[i])];
    } else if (node.op == Op::kBroadcast) {
      const Ints& dims = node.attrs.as<BroadcastAttrs>().dims;
      for (size_t i = 0; i < dims.size(); ++i) {
        const bool spreads = shape[static_cast<int>(i)] == 1;
        steps[static_cast<size_t>(dims[i])] = spreads ? 0 : strides[i];
      }
    } else if (node.op == Op::kReverse) {
      std::copy_n(strides.begin(), steps.size(), steps.begin());
      for (const int64_t axis : node.attrs.as<AxesAttrs>().axes) {
        const auto a = static_cast<size_t>(axis);
        first += steps[a] * (shape[static_cast<int>(axis)] - 1);
        steps[a] = -steps[a];
      }
    } else {
      const auto& slice = node.attrs.as<SliceAttrs>();
      for (size_t i = 0; i < steps.size(); ++i) {
        first += slice.start[i] * strides[i];
        steps[i] = strides[i] * (slice.stride.empty() ? 1 : slice.stride[i]);
      }
    }
    ask_walk(node, operand, demand, steps, first);
  }

  /// The operand's elements lie in the result at low + i * (1 + interior); the rest is the
  /// constant.
  void pass_pad(const Node& node, const Demand& demand) {
    const ValueId operand = node.operands[0];
    if (demand.size() == 1) return ask(operand, demand);
    Demand wanted = open(operand);
    if (wanted.empty()) return;
    const auto& pad = node.attrs.as<PadAttrs>();
    const Shape& shape = graph_.type(operand).shape;
    const auto strides = graph_.type(node.results[0]).shape.strides();
    std::vector<int64_t> steps(static_cast<size_t>(shape.rank()));
    int64_t first = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (pad.low[i] < 0 || pad.high[i] < 0) return;
      first += pad.low[i] * strides[i];
      steps[i] = strides[i] * (1 + (pad.interior.empty() ? 0 : pad.interior[i]));
    }
    walk(shape, steps, first, [&](int64_t i, int64_t other) {
      wanted[static_cast<size_t>(i)] = demand[static_cast<size_t>(other)];
    });
    ask(operand, wanted);
  }

  void pass_concat(const Node& node, const Demand& demand) {
    const auto axis = static_cast<size_t>(node.attrs.as<AxisAttrs>().axis);
    const auto strides = graph_.type(node.results[0]).shape.strides();
    int64_t begin = 0;
    for (const ValueId operand : node.operands) {
      const Shape& shape = graph_.type(operand).shape;
      Demand wanted = demand.size() == 1 ? demand : open(operand);
      if (demand.size() > 1 && !wanted.empty()) {
        walk(shape, std::span(strides.data(), static_cast<size_t>(shape.rank())),
             begin * strides[axis], [&](int64_t i, int64_t other) {
               wanted[static_cast<size_t>(i)] = demand[static_cast<size_t>(other)];
             });
      }
      if (!wanted.empty()) ask(operand, wanted);
      begin += shape[static_cast<int>(axis)];
    }
  }

  void pass_negative(const Node& node, const Demand& demand) {
    Demand wanted = demand;
    for (IndexRange& range : wanted)
      range = negated(range);
    ask(node.operands[0], wanted);
  }

  /// The one value of a constant, through views of it.
  std::optional<int64_t> constant(ValueId value) const {
    const NodeId id = graph_.def(value);
    if (!id.valid()) return std::nullopt;
    const Node& node = graph_.node(id);
    if (node.op == Op::kBroadcast || node.op == Op::kReshape || node.op == Op::kCast)
      return constant(node.operands[0]);
    if (node.op != Op::kConstant) return std::nullopt;
    const Dense& dense = node.attrs.as<ConstantAttrs>().value;
    const double first = dense->front();
    const bool same =
        std::all_of(dense->begin(), dense->end(), [&](double x) { return x == first; });
    if (!same || !(std::abs(first) < 1e15)) return std::nullopt;
    return static_cast<int64_t>(first);
  }

  void pass_arithmetic(const Node& node, const Demand& demand) {
    if (!is_integer(graph_.type(node.results[0]).dtype)) return;
    const ConstantOp* row = find_op(kConstantOps, node.op);
    for (size_t side = 0; side < 2; ++side) {
      const auto c = constant(node.operands[1 - side]);
      if (!c) continue;
      const bool turned = side == 1 && !row->swaps;  // c - x = -(x - c)
      Demand wanted = demand;
      for (IndexRange& range : wanted)
        range = row->before(turned ? negated(range) : range, *c);
      return ask(node.operands[side], wanted);
    }
  }

  /// One example: the first axis is the batch, and what one row is asked all are.
  static Demand of_example(const Demand& demand, const Shape& shape) {
    if (demand.size() <= 1 || shape.rank() == 0) return demand;
    const auto elements = demand.size() / static_cast<size_t>(shape[0]);
    Demand example(elements);
    for (size_t i = 0; i < demand.size(); ++i)
      example[i % elements] = both(example[i % elements], demand[i]);
    const bool same = std::all_of(example.begin(), example.end(),
                                  [&](const IndexRange& r) { return r == example.front(); });
    if (same) example.resize(1);
    return example;
  }

  const Graph& graph_;
  std::vector<Demand> demands_;
};

}  // namespace

IndexRanges index_ranges(const Graph& graph) {
  return Analysis(graph).run();
}

}  // namespace gradc
