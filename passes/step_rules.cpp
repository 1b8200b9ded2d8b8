// The rules of ops that treat every step alike. Each finds the axis of the result that is the
// steps, and refuses what would look along it.
#include "passes/step_values.h"

#include <algorithm>
#include <array>

namespace gradc::steps {

namespace {

constexpr const char* kJoins = "it joins steps";
constexpr const char* kDiffers = "it joins values whose steps differ";

bool has(const Ints& axes, int axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

/// The axis that is left of one where others disappear.
int without(const Ints& axes, int axis) {
  return axis - static_cast<int>(std::count_if(axes.begin(), axes.end(),
                                               [&](int64_t gone) { return gone < axis; }));
}

}  // namespace

StepValues::Rule StepValues::rule_of(Op op) {
  struct Entry {
    Op op;
    Rule rule;
  };
  static constexpr std::array kRules = {
      Entry{Op::kBroadcast, &StepValues::broadcast},
      Entry{Op::kReshape, &StepValues::reshape},
      Entry{Op::kTranspose, &StepValues::transpose},
      Entry{Op::kSlice, &StepValues::slice},
      Entry{Op::kPad, &StepValues::pad},
      Entry{Op::kConcat, &StepValues::concat},
      Entry{Op::kReverse, &StepValues::reverse},
      Entry{Op::kReduceSum, &StepValues::reduce},
      Entry{Op::kReduceMax, &StepValues::reduce},
      Entry{Op::kReduceMin, &StepValues::reduce},
      Entry{Op::kReduceProd, &StepValues::reduce},
      Entry{Op::kArgmax, &StepValues::argmax},
      Entry{Op::kSoftmax, &StepValues::along_axis},
      Entry{Op::kLogSoftmax, &StepValues::along_axis},
      Entry{Op::kLayerNorm, &StepValues::layer_norm},
      Entry{Op::kMatmul, &StepValues::matmul},
      Entry{Op::kGather, &StepValues::gather},
      Entry{Op::kOneHot, &StepValues::one_hot},
      Entry{Op::kConv, &StepValues::conv},
      Entry{Op::kMaxPool, &StepValues::pool},
      Entry{Op::kAvgPool, &StepValues::pool},
      Entry{Op::kAttention, &StepValues::attention},
      Entry{Op::kScan, &StepValues::scan},
  };
  for (const Entry& entry : kRules) {
    if (entry.op == op) return entry.rule;
  }
  return nullptr;
}

const char* StepValues::elementwise(const Node& node) {
  const int axis = common_axis(node);
  if (axis < 0) return kDiffers;
  std::vector<Val> operands;
  for (const ValueId operand : node.operands) {
    operands.push_back(operand_at(operand, axis));
    if (!operands.back().valid()) return kDiffers;
  }
  set(node, axis, add(node, std::move(operands), node.attrs));
  return nullptr;
}

// ---- views --------------------------------------------------------------------------------------

const char* StepValues::broadcast(const Node& node) {
  const Val1& x = of(node.operands[0]);
  const auto& dims = node.attrs.as<BroadcastAttrs>().dims;
  const int axis = static_cast<int>(dims[static_cast<size_t>(x.axis)]);
  set(node, axis, gradc::broadcast(x.val, with_extent(shape(node.results[0]), axis, 1), dims));
  return nullptr;
}

const char* StepValues::reshape(const Node& node) {
  const Val1& x = of(node.operands[0]);
  const int axis = reshaped_axis(shape(node.operands[0]), x.axis, shape(node.results[0]));
  if (axis < 0) return kJoins;
  set(node, axis, gradc::reshape(x.val, with_extent(shape(node.results[0]), axis, 1)));
  return nullptr;
}

const char* StepValues::transpose(const Node& node) {
  const Val1& x = of(node.operands[0]);
  const auto& perm = node.attrs.as<TransposeAttrs>().perm;
  const auto axis = std::find(perm.begin(), perm.end(), x.axis) - perm.begin();
  set(node, static_cast<int>(axis), gradc::transpose(x.val, perm));
  return nullptr;
}

/// All steps, or the last one: what the window comes to.
const char* StepValues::slice(const Node& node) {
  const Val1& x = of(node.operands[0]);
  SliceAttrs attrs = node.attrs.as<SliceAttrs>();
  const auto a = static_cast<size_t>(x.axis);
  const bool dense = attrs.stride.empty() || attrs.stride[a] == 1;
  const bool last = attrs.start[a] == steps_ - 1 && attrs.limit[a] == steps_;
  if (!last && (attrs.start[a] != 0 || attrs.limit[a] != steps_ || !dense)) return kJoins;
  attrs.start[a] = 0;
  attrs.limit[a] = 1;
  const Val y = add(node, {x.val}, make_attrs(attrs));
  if (last)
    set_now(node.results[0], y);
  else
    set(node, x.axis, y);
  return nullptr;
}

const char* StepValues::pad(const Node& node) {
  const Val1& x = of(node.operands[0]);
  const auto& attrs = node.attrs.as<PadAttrs>();
  const auto a = static_cast<size_t>(x.axis);
  const bool inside = !attrs.interior.empty() && attrs.interior[a] != 0;
  if (attrs.low[a] != 0 || attrs.high[a] != 0 || inside) return kJoins;
  set(node, x.axis, add(node, {x.val}, node.attrs));
  return nullptr;
}

const char* StepValues::concat(const Node& node) {
  const int axis = common_axis(node);
  if (axis < 0) return kDiffers;
  if (node.attrs.as<AxisAttrs>().axis == axis) return kJoins;
  return elementwise(node);
}

const char* StepValues::reverse(const Node& node) {
  const Val1& x = of(node.operands[0]);
  if (has(node.attrs.as<AxesAttrs>().axes, x.axis))
    return "it goes from the last step to the first";
  set(node, x.axis, add(node, {x.val}, node.attrs));
  return nullptr;
}

// ---- along other axes ---------------------------------------------------------------------------

const char* StepValues::reduce(const Node& node) {
  const Val1& x = of(node.operands[0]);
  const Ints& axes = node.attrs.as<AxesAttrs>().axes;
  if (has(axes, x.axis)) return kJoins;
  set(node, without(axes, x.axis), add(node, {x.val}, node.attrs));
  return nullptr;
}

const char* StepValues::argmax(const Node& node) {
  const Val1& x = of(node.operands[0]);
  const int64_t along = node.attrs.as<AxisAttrs>().axis;
  if (along == x.axis) return kJoins;
  set(node, without({along}, x.axis), add(node, {x.val}, node.attrs));
  return nullptr;
}

const char* StepValues::along_axis(const Node& node) {
  const Val1& x = of(node.operands[0]);
  if (node.attrs.as<AxisAttrs>().axis == x.axis) return kJoins;
  set(node, x.axis, add(node, {x.val}, node.attrs));
  return nullptr;
}

const char* StepValues::layer_norm(const Node& node) {
  const Val1& x = of(node.operands[0]);
  const int64_t first = x.val.rank() - node.attrs.as<LayerNormAttrs>().num_axes;
  if (!x.stepwise() || !all_fixed_but(node, 0)) return kDiffers;
  if (x.axis >= first) return kJoins;
  std::vector<Val> operands = {x.val};
  for (size_t i = 1; i < node.operands.size(); ++i)
    operands.push_back(fixed(node.operands[i]));
  set(node, x.axis, add(node, std::move(operands), node.attrs));
  return nullptr;
}

// ---- contractions -------------------------------------------------------------------------------

/// Steps are a batch axis of both operands, or the rows or columns of one.
const char* StepValues::matmul(const Node& node) {
  const auto& attrs = node.attrs.as<MatmulAttrs>();
  const int rank = shape(node.results[0]).rank();
  const int rows = rank - 2, columns = rank - 1;
  const int axis = common_axis(node);
  if (axis < 0) return kDiffers;
  if (axis < rows) {
    const Val a = operand_at(node.operands[0], axis), b = operand_at(node.operands[1], axis);
    if (!a.valid() || !b.valid()) return kDiffers;
    set(node, axis, add(node, {a, b}, node.attrs));
    return nullptr;
  }
  const bool left = of(node.operands[0]).stepwise(), right = of(node.operands[1]).stepwise();
  const int own =
      left ? (attrs.transpose_a ? columns : rows) : (attrs.transpose_b ? rows : columns);
  if (left == right || axis != own) return kJoins;
  const Val a = left ? of(node.operands[0]).val : fixed(node.operands[0]);
  const Val b = right ? of(node.operands[1]).val : fixed(node.operands[1]);
  set(node, left ? rows : columns, add(node, {a, b}, node.attrs));
  return nullptr;
}

const char* StepValues::gather(const Node& node) {
  if (!of(node.operands[0]).fixed()) return kJoins;
  const Val1& indices = of(node.operands[1]);
  set(node, indices.axis, add(node, {fixed(node.operands[0]), indices.val}, node.attrs));
  return nullptr;
}

const char* StepValues::one_hot(const Node& node) {
  const Val1& indices = of(node.operands[0]);
  set(node, indices.axis, add(node, {indices.val}, node.attrs));
  return nullptr;
}

const char* StepValues::pool(const Node& node) {
  const Val1& x = of(node.operands[0]);
  if (x.axis != 0) return kJoins;
  set(node, 0, add(node, {x.val}, node.attrs));
  return nullptr;
}

}  // namespace gradc::steps
