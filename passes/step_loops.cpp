// The rules of ops that look at the steps before: convolutions, attention, loops.
#include "ir/attention_operands.h"
#include "ir/graph_copy.h"
#include "passes/step_values.h"

#include <algorithm>
#include <limits>

namespace gradc::steps {

namespace {

constexpr const char* kDiffers = "it joins values whose steps differ";
constexpr const char* kLater = "it sees later steps";
constexpr size_t kAttended = 3;  ///< operands of attention: query key value

bool is_zero(const Graph& graph, ValueId id) {
  const NodeId def = graph.def(id);
  if (!def.valid()) return false;
  const Node& node = graph.node(def);
  if (node.op == Op::kBroadcast) return is_zero(graph, node.operands[0]);
  if (node.op != Op::kConstant) return false;
  const Dense& value = node.attrs.as<ConstantAttrs>().value;
  return value->size() == 1 && value->front() == 0.0;
}

/// The sum, extents of 1 repeated.
Val added(Val a, Val b) {
  Shape shape = a.shape();
  for (int axis = 0; axis < shape.rank(); ++axis)
    shape[axis] = std::max(shape[axis], b.shape()[axis]);
  return broadcast_to(a, shape) + broadcast_to(cast(b, a.dtype()), shape);
}

}  // namespace

/// With steps along a spatial axis: over the inputs that the window of this step reaches.
const char* StepValues::conv(const Node& node) {
  const Val1& x = of(node.operands[0]);
  if (!x.stepwise() || !all_fixed_but(node, 0)) return kDiffers;
  ConvAttrs attrs = node.attrs.as<ConvAttrs>();
  if (x.axis == 0) {
    set(node, 0, add(node, {x.val, fixed(node.operands[1])}, node.attrs));
    return nullptr;
  }
  const auto s = static_cast<size_t>(x.axis - 1);
  if (s >= attrs.strides.size()) return "it joins steps";
  const int64_t span = (shape(node.operands[1])[x.axis - 1] - 1) * attrs.dilation[s] + 1;
  if (attrs.strides[s] != 1) return "it leaves steps out";
  if (attrs.pad_low[s] != span - 1 || attrs.pad_high[s] != 0) return kLater;
  Val seen = x.val;
  if (span > 1) {
    const Val before = state(x.val.type().with(with_extent(x.val.shape(), x.axis, span - 1)));
    seen = gradc::concat({before, x.val}, x.axis);
    std::vector<int64_t> start(static_cast<size_t>(seen.rank()));
    start[static_cast<size_t>(x.axis)] = 1;
    keep(before, gradc::slice(seen, start, seen.shape().to_vector()));
  }
  attrs.pad_low[s] = 0;
  set(node, x.axis, add(node, {seen, fixed(node.operands[1])}, make_attrs(attrs)));
  return nullptr;
}

const char* StepValues::attention_of_batches(const Node& node, int axis) {
  const AttentionOperands at(node.attrs.as<AttentionAttrs>(), kAttended, node.operands.size());
  std::vector<Val> operands;
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const ValueId id = node.operands[i];
    const bool repeated = i > 2 && of(id).fixed() && (at.slopes == i || shape(id)[axis] == 1);
    operands.push_back(repeated ? fixed(id) : operand_at(id, axis));
    if (!operands.back().valid()) return kDiffers;
  }
  set(node, axis, add(node, std::move(operands), node.attrs));
  return nullptr;
}

/// The slopes' part of the scores of this step, [1.., heads, 1, keys].
Val StepValues::slopes_so_far(Val slopes, int rank) {
  Shape row(std::vector<int64_t>(static_cast<size_t>(rank), 1));
  row[rank - 1] = steps_;
  const TensorType index = {DType::kI32, row};
  const Val behind = gradc::broadcast(position(), row, {}) - iota(builder_, index, rank - 1);
  row[rank - 3] = slopes.shape()[0];
  const Val distances = broadcast_to(cast(abs(behind), slopes.dtype()), row);
  return -(gradc::broadcast(slopes, row, {rank - 3}) * distances);
}

const char* StepValues::seen_so_far(const Node& node, Val& mask) {
  const AttentionOperands operands(node.attrs.as<AttentionAttrs>(), kAttended,
                                   node.operands.size());
  const int keys = shape(node.operands[1]).rank() - 1, queries = keys - 1;
  Shape row(std::vector<int64_t>(static_cast<size_t>(keys) + 1, 1));
  row[keys] = steps_;
  mask =
      less_equal(iota(builder_, {DType::kI32, row}, keys), gradc::broadcast(position(), row, {}));
  const auto see = [&](Val own) {
    Shape both = own.shape();
    for (int axis = 0; axis <= keys; ++axis)
      both[axis] = std::max({both[axis], mask.shape()[axis], row[axis]});
    own = broadcast_to(own, both);
    const Val seen = broadcast_to(mask, both);
    mask = own.dtype() == DType::kBool
               ? logical_and(own, seen)
               : select(seen, own, -std::numeric_limits<double>::infinity());
  };
  Val own;
  if (operands.mask) {
    const ValueId id = node.operands[*operands.mask];
    const Val1& given = of(id);
    const bool every_query = shape(id)[queries] != 1;
    if (given.fixed()) {
      own = every_query ? at(id, queries) : fixed(id);
    } else if (given.stepwise() && given.axis == queries) {
      own = given.val;
    } else if (given.stepwise() && given.axis == keys && !every_query) {
      own = cached(given.val, keys);
    }
    if (!own.valid()) return kDiffers;
  }
  if (operands.slopes) {
    const ValueId id = node.operands[*operands.slopes];
    if (!of(id).fixed()) return kDiffers;
    const Val slopes = slopes_so_far(fixed(id), keys + 1);
    if (own.valid() && own.dtype() == DType::kBool) see(own);
    const bool adds = own.valid() && own.dtype() != DType::kBool;
    own = adds ? added(own, slopes) : slopes;
  }
  if (own.valid()) see(own);
  return nullptr;
}

/// Keys and values of the steps before are kept; those to come are not seen.
const char* StepValues::attention(const Node& node) {
  const Val1& query = of(node.operands[0]);
  const Val1 key = of(node.operands[1]), value = of(node.operands[2]);
  const int axis = shape(node.operands[0]).rank() - 2;
  if (query.stepwise() && query.axis < axis - 1) return attention_of_batches(node, query.axis);
  if (!query.stepwise() || query.axis != axis) return kDiffers;
  AttentionAttrs attrs = node.attrs.as<AttentionAttrs>();
  if (attrs.factors) return "it multiplies its weights";
  if (key.fixed() && value.fixed() && !attrs.causal && node.operands.size() == kAttended) {
    set(node, axis,
        add(node, {query.val, fixed(node.operands[1]), fixed(node.operands[2])}, node.attrs));
    return nullptr;
  }
  const bool together =
      key.stepwise() && value.stepwise() && key.axis == axis && value.axis == axis;
  if (!together) return kDiffers;
  if (!attrs.causal) return kLater;
  Val mask;
  if (const char* problem = seen_so_far(node, mask); problem != nullptr) return problem;
  attrs.causal = attrs.slopes = false;
  const Val keys = cached(key.val, axis), values = cached(value.val, axis);
  set(node, axis, add(node, {query.val, keys, values, mask}, make_attrs(attrs)));
  return nullptr;
}

/// A loop over the steps: its body once, on the carries that the step before has left.
const char* StepValues::scan(const Node& node) {
  const ScanAttrs& attrs = node.attrs.as<ScanAttrs>();
  if (attrs.reverse) return "it goes from the last step to the first";
  if (attrs.steps != steps_) return kDiffers;
  NodeCopier body(*node.body, builder_);
  std::vector<Val> states;
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const ValueId id = node.operands[i];
    const auto number = static_cast<int64_t>(i);
    Val arg;
    if (number < attrs.carries) {
      if (!is_zero(window_, id)) return "its first state is not zeros";
      states.push_back(state(window_.type(id)));
      arg = states.back();
    } else if (number < attrs.carries + attrs.slices) {
      const Val slice = operand_at(id, 0);
      if (!slice.valid()) return kDiffers;
      arg = gradc::reshape(slice, Shape(slice.shape().dims().subspan(1)));
    } else {
      if (!of(id).fixed()) return kDiffers;
      arg = fixed(id);
    }
    body.map(node.body->inputs()[i].value, arg);
  }
  for (const NodeId inner : node.body->nodes())
    body.copy(inner);
  for (size_t i = 0; i < node.results.size(); ++i) {
    const Val result = body[node.body->outputs()[i].value];
    if (i < states.size()) {
      keep(states[i], result);
      set_now(node.results[i], result);
    } else {
      const Shape stack = with_extent(shape(node.results[i]), 0, 1);
      known_[node.results[i].index] = {Val1::Kind::kStepwise, 0, gradc::reshape(result, stack)};
    }
  }
  return nullptr;
}

}  // namespace gradc::steps
