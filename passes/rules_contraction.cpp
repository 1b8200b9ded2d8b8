// Rules about contractions and reductions: transposes become flags of matmul, chains of extrema
// become one. No rule whose result is rounded otherwise may ask who else uses a value: an output
// more would then change bits. Chains of sums stay as they are for that reason: merged, they are
// added in another order.
#include "ir/contraction_types.h"
#include "ir/op_attrs.h"
#include "passes/pattern.h"

#include <algorithm>
#include <string>

namespace gradc {

namespace {

/// Whether a transpose swaps the last two axes and keeps the others.
bool swaps_last_two(const Ints& perm) {
  const size_t rank = perm.size();
  if (rank < 2) return false;
  for (size_t axis = 0; axis + 2 < rank; ++axis) {
    if (perm[axis] != static_cast<int64_t>(axis)) return false;
  }
  return perm[rank - 2] == static_cast<int64_t>(rank - 1);
}

/// The operand of a transpose that swaps the last two axes, if the value is one.
ValueId untransposed(const Graph& graph, ValueId value) {
  const NodeId node = def_with_op(graph, value, Op::kTranspose);
  if (!node.valid() || !swaps_last_two(graph.node(node).attrs.as<TransposeAttrs>().perm)) return {};
  return graph.node(node).operands[0];
}

Val matmul_of_transpose(Builder& b, NodeId id) {
  const Node& node = b.graph().node(id);
  auto attrs = node.attrs.as<MatmulAttrs>();
  const ValueId a = untransposed(b.graph(), node.operands[0]);
  const ValueId c = untransposed(b.graph(), node.operands[1]);
  if (!a.valid() && !c.valid()) return {};
  attrs.transpose_a = attrs.transpose_a != a.valid();
  attrs.transpose_b = attrs.transpose_b != c.valid();
  const Val left = b.wrap(a.valid() ? a : node.operands[0]);
  const Val right = b.wrap(c.valid() ? c : node.operands[1]);
  return b.add(Op::kMatmul, {left, right}, make_attrs(attrs));
}

/// (A B)^T = B^T A^T, when the product itself is not needed. Both have the same bits, as a product
/// is computed like its transpose (codegen/kernel/contraction_choice.h), but for thin ones.
Val transpose_of_matmul(Builder& b, NodeId id) {
  const Graph& graph = b.graph();
  const ValueId product = graph.node(id).operands[0];
  const NodeId inner = def_with_op(graph, product, Op::kMatmul);
  if (!inner.valid() || !swaps_last_two(graph.node(id).attrs.as<TransposeAttrs>().perm)) return {};
  if (graph.value(product).uses.size() != 1 || graph.is_output(product)) return {};
  constexpr int64_t kThin = 4;
  const Shape& shape = graph.type(product).shape;
  if (std::min(shape[shape.rank() - 2], shape[shape.rank() - 1]) < kThin) return {};
  const auto attrs = graph.node(inner).attrs.as<MatmulAttrs>();
  const Val left = b.wrap(graph.node(inner).operands[0]);
  const Val right = b.wrap(graph.node(inner).operands[1]);
  MatmulAttrs swapped = attrs;
  swapped.transpose_a = !attrs.transpose_b;
  swapped.transpose_b = !attrs.transpose_a;
  return b.add(Op::kMatmul, {right, left}, make_attrs(swapped));
}

/// What is rounded to a named type need not be widened before.
template <class Attrs>
Val product_of_widened(Builder& b, NodeId id) {
  const Graph& graph = b.graph();
  const Node& node = graph.node(id);
  const auto& attrs = node.attrs.as<Attrs>();
  if (!attrs.multiply) return {};
  std::vector<Val> operands;
  bool found = false;
  for (const ValueId operand : node.operands) {
    const NodeId inner = def_with_op(graph, operand, Op::kCast);
    const ValueId source = inner.valid() ? graph.node(inner).operands[0] : operand;
    const DType from = graph.type(source).dtype;
    const bool drops =
        inner.valid() && is_float(from) && holds_every_value(graph.type(operand).dtype, from);
    found = found || drops;
    operands.push_back(b.wrap(drops ? source : operand));
  }
  if (!found) return {};
  const Attrs named =
      with_types(attrs, operands[0].dtype(), operands[1].dtype(), contraction_types(graph, node));
  return b.add(node.op, operands, make_attrs(named));
}

Val reduce_of_reduce(Builder& b, NodeId id) {
  const Graph& graph = b.graph();
  const Node& node = graph.node(id);
  const NodeId inner = def_with_op(graph, node.operands[0], node.op);
  if (!inner.valid() || graph.value(node.operands[0]).uses.size() != 1 ||
      graph.is_output(node.operands[0]))
    return {};
  const ValueId source = graph.node(inner).operands[0];
  Ints axes = graph.node(inner).attrs.as<AxesAttrs>().axes;
  Ints kept;
  for (int64_t axis = 0; axis < graph.type(source).rank(); ++axis) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) kept.push_back(axis);
  }
  for (int64_t axis : node.attrs.as<AxesAttrs>().axes)
    axes.push_back(kept[static_cast<size_t>(axis)]);
  std::sort(axes.begin(), axes.end());
  return b.add(node.op, {b.wrap(source)}, make_attrs(AxesAttrs{std::move(axes)}));
}

/// Axes that a broadcast made and the sum takes away again count as a factor.
Val sum_of_broadcast(Builder& b, NodeId id) {
  const Graph& graph = b.graph();
  const Node node = graph.node(id);
  const NodeId view = def_with_op(graph, node.operands[0], Op::kBroadcast);
  if (!view.valid() || !is_float(graph.type(node.results[0]).dtype)) return {};
  const ValueId source = graph.node(view).operands[0];
  const auto attrs = graph.node(view).attrs.as<BroadcastAttrs>();
  const Ints& axes = node.attrs.as<AxesAttrs>().axes;
  const auto is_reduced = [&](int64_t axis) {
    return std::find(axes.begin(), axes.end(), axis) != axes.end();
  };
  int64_t count = 1;
  Ints inner_axes, dims;
  Shape kept;
  int64_t reduced_before = 0;
  for (size_t axis = 0; axis < attrs.shape.size(); ++axis) {
    const auto position = static_cast<int64_t>(axis);
    const auto placed = std::find(attrs.dims.begin(), attrs.dims.end(), position);
    const bool made = placed == attrs.dims.end();
    if (is_reduced(position)) {
      if (made)
        count *= attrs.shape[axis];
      else
        inner_axes.push_back(placed - attrs.dims.begin());
      ++reduced_before;
      continue;
    }
    if (!made) dims.push_back(position - reduced_before);
    kept.push_back(attrs.shape[axis]);
  }
  if (count == 1) return {};
  Val sum = b.wrap(source);
  if (!inner_axes.empty()) sum = reduce_sum(sum, inner_axes);
  sum = sum * static_cast<double>(count);
  return sum.shape() == kept ? sum : broadcast(sum, kept, dims);
}

std::function<bool(const OpDef&)> is_op(Op op) {
  return [op](const OpDef& entry) { return entry.op == op; };
}

Val input(Builder& b, std::string_view name, std::initializer_list<int64_t> dims) {
  return b.input(InputKind::kInput, f32(dims), std::string(name), name);
}

}  // namespace

std::vector<Rule> contraction_rules() {
  std::vector<Rule> rules = {
      {"matmul(transpose(x), y) -> matmul(x, y) with a flag, also for y", is_op(Op::kMatmul),
       matmul_of_transpose,
       [](Builder& b) {
         const Val x = transpose(input(b, "x", {2, 3, 4}), {0, 2, 1});
         return matmul(x, transpose(input(b, "y", {2, 5, 3}), {0, 2, 1}));
       }},
      {"transpose(matmul(x, y)) -> matmul(y, x) with flags, if the product has no other use",
       is_op(Op::kTranspose), transpose_of_matmul,
       [](Builder& b) {
         return transpose(matmul(input(b, "x", {3, 5}), input(b, "y", {3, 4}), true), {1, 0});
       }},
      {"matmul(cast(x), y) -> matmul(x, y), where a cast to more digits comes before rounding",
       is_op(Op::kMatmul), product_of_widened<MatmulAttrs>,
       [](Builder& b) {
         const Val x =
             cast(b.input(InputKind::kInput, {DType::kBF16, Shape{3, 5}}, "x", "x"), DType::kF32);
         return b.add(Op::kMatmul, {x, input(b, "y", {5, 4})},
                      make_attrs(MatmulAttrs{false, false, DType::kBF16, DType::kF32}));
       }},
      {"the same for convolutions and their gradients",
       [](const OpDef& entry) { return entry.lowering == Lowering::kConv; },
       product_of_widened<ConvAttrs>,
       [](Builder& b) {
         const Val w = cast(b.input(InputKind::kInput, {DType::kBF16, Shape{2, 3, 4}}, "w", "w"),
                            DType::kF32);
         ConvAttrs attrs;
         attrs.multiply = DType::kBF16;
         return b.add(Op::kConv, {input(b, "x", {2, 6, 3}), w}, make_attrs(attrs));
       }},
      {"reduce_sum(broadcast(x)) -> x * count, along the axes that broadcast made",
       is_op(Op::kReduceSum), sum_of_broadcast,
       [](Builder& b) {
         return reduce_sum(broadcast(input(b, "x", {2, 3}), {5, 2, 4, 3}, {1, 3}), {0, 1});
       }},
  };
  for (Op op : {Op::kReduceMax, Op::kReduceMin}) {
    const std::string name(op_name(op));
    rules.push_back({name + "(" + name + "(x)) -> " + name + "(x), if used once", is_op(op),
                     reduce_of_reduce, [op](Builder& b) {
                       const Val inner =
                           b.add(op, {input(b, "x", {2, 3, 4, 2})}, make_attrs(AxesAttrs{{1, 3}}));
                       return b.add(op, {inner}, make_attrs(AxesAttrs{{1}}));
                     }});
  }
  return rules;
}

}  // namespace gradc
