// Rules about views: chains become one view, views that do nothing disappear, and elementwise work
// moves to the small side of a broadcast. All are exact, and none computes more than before.
#include "ir/op_attrs.h"
#include "passes/pattern.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace gradc {

namespace {

using ApplyFn = Val (*)(Builder&, const Node&);
using SampleFn = Val (*)(Builder&);

/// A rule about one op whose right side is computed from the node.
Rule on_op(std::string text, Op root, ApplyFn apply, SampleFn sample) {
  return {std::move(text), [root](const OpDef& entry) { return entry.op == root; },
          [apply](Builder& builder, NodeId id) {
            const Node node = builder.graph().node(id);
            return apply(builder, node);
          },
          sample};
}

size_t at(int64_t i) {
  return static_cast<size_t>(i);
}

Val sample_input(Builder& b, std::initializer_list<int64_t> dims) {
  return b.input(InputKind::kInput, f32(dims), "x", "x");
}

const TensorType& result_type(Builder& b, const Node& node) {
  return b.graph().type(node.results[0]);
}

/// The node of this op that defines operand `i`, or nullptr.
const Node* operand_def(Builder& b, const Node& node, size_t i, Op op) {
  const NodeId id = def_with_op(b.graph(), node.operands[i], op);
  return id.valid() ? &b.graph().node(id) : nullptr;
}

// ---- views that do nothing
// ------------------------------------------------------------------------

/// The operand when the result has its type; callers know that then no element moves.
Val operand_if_same_type(Builder& b, const Node& node) {
  const bool same = b.graph().type(node.operands[0]) == result_type(b, node);
  return same ? b.wrap(node.operands[0]) : Val();
}

Val identity_transpose(Builder& b, const Node& node) {
  const Ints& perm = node.attrs.as<TransposeAttrs>().perm;
  return std::is_sorted(perm.begin(), perm.end()) ? b.wrap(node.operands[0]) : Val();
}

Val identity_reverse(Builder& b, const Node& node) {
  const Shape& shape = result_type(b, node).shape;
  const Ints& axes = node.attrs.as<AxesAttrs>().axes;
  const bool idle = std::all_of(axes.begin(), axes.end(),
                                [&](int64_t axis) { return shape[static_cast<int>(axis)] == 1; });
  return idle ? b.wrap(node.operands[0]) : Val();
}

Val identity_slice(Builder& b, const Node& node) {
  const Shape& from = b.graph().type(node.operands[0]).shape;
  return from == result_type(b, node).shape ? b.wrap(node.operands[0]) : Val();
}

Val single_concat(Builder& b, const Node& node) {
  return node.operands.size() == 1 ? b.wrap(node.operands[0]) : Val();
}

// ---- chains of one op
// -----------------------------------------------------------------------------

Val reshape_of_reshape(Builder& b, const Node& node) {
  const Node* inner = operand_def(b, node, 0, Op::kReshape);
  return inner == nullptr ? Val() : reshape(b.wrap(inner->operands[0]), result_type(b, node).shape);
}

Val transpose_of_transpose(Builder& b, const Node& node) {
  const Node* inner = operand_def(b, node, 0, Op::kTranspose);
  if (inner == nullptr) return {};
  const Ints& first = inner->attrs.as<TransposeAttrs>().perm;
  Ints perm;
  for (int64_t axis : node.attrs.as<TransposeAttrs>().perm)
    perm.push_back(first[at(axis)]);
  return transpose(b.wrap(inner->operands[0]), std::move(perm));
}

Val broadcast_of_broadcast(Builder& b, const Node& node) {
  const Node* inner = operand_def(b, node, 0, Op::kBroadcast);
  if (inner == nullptr) return {};
  const Ints& outer_dims = node.attrs.as<BroadcastAttrs>().dims;
  Ints dims;
  for (int64_t axis : inner->attrs.as<BroadcastAttrs>().dims)
    dims.push_back(outer_dims[at(axis)]);
  return broadcast(b.wrap(inner->operands[0]), result_type(b, node).shape, std::move(dims));
}

Ints strides_of(const SliceAttrs& attrs) {
  return attrs.stride.empty() ? Ints(attrs.start.size(), 1) : attrs.stride;
}

Val slice_of_slice(Builder& b, const Node& node) {
  const Node* inner = operand_def(b, node, 0, Op::kSlice);
  if (inner == nullptr) return {};
  const auto& first = inner->attrs.as<SliceAttrs>();
  const auto& second = node.attrs.as<SliceAttrs>();
  const Ints stride1 = strides_of(first), stride2 = strides_of(second);
  const Shape& shape = result_type(b, node).shape;
  Ints start, limit, stride;
  for (size_t axis = 0; axis < stride1.size(); ++axis) {
    start.push_back(first.start[axis] + second.start[axis] * stride1[axis]);
    stride.push_back(stride1[axis] * stride2[axis]);
    limit.push_back(start.back() + (shape[static_cast<int>(axis)] - 1) * stride.back() + 1);
  }
  return slice(b.wrap(inner->operands[0]), start, limit, stride);
}

Val reverse_of_reverse(Builder& b, const Node& node) {
  const Node* inner = operand_def(b, node, 0, Op::kReverse);
  const bool same =
      inner != nullptr && inner->attrs.as<AxesAttrs>().axes == node.attrs.as<AxesAttrs>().axes;
  return same ? b.wrap(inner->operands[0]) : Val();
}

/// A cast through a dtype that holds every value of the first.
Val cast_of_cast(Builder& b, const Node& node) {
  const Node* inner = operand_def(b, node, 0, Op::kCast);
  if (inner == nullptr) return {};
  const ValueId source = inner->operands[0];
  const bool exact =
      holds_every_value(inner->attrs.as<CastAttrs>().dtype, b.graph().type(source).dtype);
  return exact ? cast(b.wrap(source), node.attrs.as<CastAttrs>().dtype) : Val();
}

// ---- other views that are reshapes
// ----------------------------------------------------------------

/// The axes of more than one element keep their order.
Val transpose_as_reshape(Builder& b, const Node& node) {
  const Shape& from = b.graph().type(node.operands[0]).shape;
  Ints moved;
  for (int64_t axis : node.attrs.as<TransposeAttrs>().perm) {
    if (from[static_cast<int>(axis)] != 1) moved.push_back(axis);
  }
  if (!std::is_sorted(moved.begin(), moved.end())) return {};
  return reshape(b.wrap(node.operands[0]), result_type(b, node).shape);
}

Val broadcast_as_reshape(Builder& b, const Node& node) {
  const TensorType& from = b.graph().type(node.operands[0]);
  if (from.num_elements() != result_type(b, node).num_elements()) return {};
  return reshape(b.wrap(node.operands[0]), result_type(b, node).shape);
}

/// reshape only added axes of one element: the broadcast can place the operand's axes itself.
Val broadcast_of_added_axes(Builder& b, const Node& node) {
  const Node* inner = operand_def(b, node, 0, Op::kReshape);
  if (inner == nullptr) return {};
  const Shape& from = b.graph().type(inner->operands[0]).shape;
  const Shape& middle = b.graph().type(node.operands[0]).shape;
  const Ints& outer_dims = node.attrs.as<BroadcastAttrs>().dims;
  Ints dims;
  int next = 0;
  for (int axis = 0; axis < middle.rank(); ++axis) {
    if (next < from.rank() && middle[axis] == from[next]) {
      dims.push_back(outer_dims[at(axis)]);
      ++next;
    } else if (middle[axis] != 1) {
      return {};
    }
  }
  if (next != from.rank()) return {};
  return broadcast(b.wrap(inner->operands[0]), result_type(b, node).shape, std::move(dims));
}

Val reduce_of_unit_axes(Builder& b, const Node& node) {
  const Shape& from = b.graph().type(node.operands[0]).shape;
  const Ints& axes = node.attrs.as<AxesAttrs>().axes;
  const bool idle = std::all_of(axes.begin(), axes.end(),
                                [&](int64_t axis) { return from[static_cast<int>(axis)] == 1; });
  return idle ? reshape(b.wrap(node.operands[0]), result_type(b, node).shape) : Val();
}

// ---- slices of concatenations
// ---------------------------------------------------------------------

/// A slice that lies within one part is a slice of that part.
Val slice_of_concat(Builder& b, const Node& node) {
  const Node* inner = operand_def(b, node, 0, Op::kConcat);
  if (inner == nullptr) return {};
  const int64_t axis = inner->attrs.as<AxisAttrs>().axis;
  const auto& attrs = node.attrs.as<SliceAttrs>();
  int64_t offset = 0;
  for (ValueId part : inner->operands) {
    const int64_t extent = b.graph().type(part).shape[static_cast<int>(axis)];
    const bool inside = attrs.start[at(axis)] >= offset && attrs.limit[at(axis)] <= offset + extent;
    if (inside) {
      Ints start = attrs.start, limit = attrs.limit;
      start[at(axis)] -= offset;
      limit[at(axis)] -= offset;
      return slice(b.wrap(part), start, limit, attrs.stride);
    }
    offset += extent;
  }
  return {};
}

// ---- concatenations
// ---------------------------------------------------------------------------------------------

/// A part of a concatenation that is one along the same axis.
Val concat_of_concat(Builder& b, const Node& node) {
  std::vector<Val> parts;
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const Node* inner = operand_def(b, node, i, Op::kConcat);
    if (inner == nullptr || !(inner->attrs == node.attrs)) {
      parts.push_back(b.wrap(node.operands[i]));
      continue;
    }
    for (ValueId part : inner->operands)
      parts.push_back(b.wrap(part));
  }
  return parts.size() == node.operands.size() ? Val()
                                              : concat(parts, node.attrs.as<AxisAttrs>().axis);
}

/// A value with zeros around it.
struct Padded {
  ValueId value;
  Ints low, high;
};

/// The padded values of which this is the sum of at most `most`; false where it is anything else,
/// which is soon known of a long sum of other things.
bool collect_padded(const Graph& graph, ValueId value, size_t most, std::vector<Padded>& parts) {
  const NodeId def = graph.def(value);
  if (!def.valid() || most == 0) return false;
  const Node& node = graph.node(def);
  if (node.op == Op::kAdd) {
    const size_t before = parts.size();
    if (!collect_padded(graph, node.operands[1], most - 1, parts)) return false;
    return collect_padded(graph, node.operands[0], most - (parts.size() - before), parts);
  }
  if (node.op != Op::kPad) return false;
  const auto& attrs = node.attrs.as<PadAttrs>();
  const bool spread = std::any_of(attrs.interior.begin(), attrs.interior.end(),
                                  [](int64_t between) { return between != 0; });
  if (spread || attrs.value != 0.0) return false;
  parts.push_back({node.operands[0], attrs.low, attrs.high});
  return true;
}

/// The axis along which parts of equal padding elsewhere follow each other without a gap, the
/// parts sorted; -1 where they do not.
int64_t axis_of_parts(const Graph& graph, std::vector<Padded>& parts) {
  int64_t axis = -1;
  for (size_t i = 0; i < parts[0].low.size(); ++i) {
    const bool equal = std::all_of(parts.begin(), parts.end(), [&](const Padded& part) {
      return part.low[i] == parts[0].low[i] && part.high[i] == parts[0].high[i];
    });
    if (equal) continue;
    if (axis >= 0) return -1;
    axis = static_cast<int64_t>(i);
  }
  if (axis < 0) return -1;
  std::sort(parts.begin(), parts.end(),
            [&](const Padded& x, const Padded& y) { return x.low[at(axis)] < y.low[at(axis)]; });
  for (size_t i = 1; i < parts.size(); ++i) {
    const Shape& before = graph.type(parts[i - 1].value).shape;
    if (parts[i - 1].low[at(axis)] + before[static_cast<int>(axis)] != parts[i].low[at(axis)])
      return -1;
  }
  return axis;
}

/// The gradient of a value that is read in slices.
Val add_of_pads(Builder& b, const Node& node) {
  constexpr size_t kMostParts = 64;
  std::vector<Padded> parts;
  if (!collect_padded(b.graph(), node.results[0], kMostParts, parts)) return {};
  const int64_t axis = axis_of_parts(b.graph(), parts);
  if (axis < 0) return {};
  std::vector<Val> values;
  for (const Padded& part : parts)
    values.push_back(b.wrap(part.value));
  Ints low = parts.front().low, high = parts.front().high;
  high[at(axis)] = parts.back().high[at(axis)];
  return pad(concat(std::move(values), axis), std::move(low), std::move(high));
}

// ---- elementwise work on the small side of a broadcast
// --------------------------------------------

/// Operands that are all broadcasts alike, or splats: computes first, broadcasts afterwards.
Val elementwise_of_broadcasts(Builder& b, NodeId id) {
  const Graph& graph = b.graph();
  const Node& found = graph.node(id);
  if (found.operands.empty() || found.results.size() != 1) return {};
  AttrRef attrs;
  Shape small;
  for (ValueId operand : found.operands) {
    if (const NodeId view = def_with_op(graph, operand, Op::kBroadcast); view.valid()) {
      const Shape& from = graph.type(graph.node(view).operands[0]).shape;
      if (!attrs.empty() && (!(attrs == graph.node(view).attrs) || !(small == from))) return {};
      attrs = graph.node(view).attrs;
      small = from;
    } else if (!splat_value(graph, operand)) {
      return {};
    }
  }
  if (attrs.empty()) return {};
  const Node node = found;  // the graph changes
  std::vector<Val> operands;
  for (ValueId operand : node.operands) {
    const NodeId view = def_with_op(graph, operand, Op::kBroadcast);
    operands.push_back(
        view.valid() ? b.wrap(graph.node(view).operands[0])
                     : b.splat(*splat_value(graph, operand), graph.type(operand).with(small)));
  }
  const Val result = b.add(node.op, std::move(operands), node.attrs);
  const auto& view = attrs.as<BroadcastAttrs>();
  return broadcast(result, Shape(view.shape), view.dims);
}

Rule elementwise_rule() {
  return {"f(broadcast(x), ...) -> broadcast(f(x, ...)), if all operands are broadcast alike",
          [](const OpDef& entry) { return entry.has(kTraitElementwise); },
          elementwise_of_broadcasts,
          [](Builder& b) {
            const Val x = sample_input(b, {3});
            return tanh(broadcast(x, {2, 3}, {1}));
          }};
}

std::vector<Rule> identity_rules() {
  std::vector<Rule> rules = {
      on_op("reshape(x) -> x, if no extent changes", Op::kReshape, operand_if_same_type,
            [](Builder& b) {
              return b.add(Op::kReshape, {sample_input(b, {2, 3})},
                           make_attrs(ReshapeAttrs{{2, 3}}));
            }),
      on_op("broadcast(x) -> x, if no extent changes", Op::kBroadcast, operand_if_same_type,
            [](Builder& b) { return broadcast(sample_input(b, {2, 3}), {2, 3}, {0, 1}); }),
      on_op("cast(x) -> x, if the dtype stays", Op::kCast, operand_if_same_type,
            [](Builder& b) {
              return b.add(Op::kCast, {sample_input(b, {2, 3})}, make_attrs(CastAttrs{}));
            }),
      on_op("pad(x) -> x, if nothing is added", Op::kPad, operand_if_same_type,
            [](Builder& b) { return pad(sample_input(b, {2, 3}), {0, 0}, {0, 0}); }),
      on_op("transpose(x) -> x, if no axis moves", Op::kTranspose, identity_transpose,
            [](Builder& b) { return transpose(sample_input(b, {2, 3}), {0, 1}); }),
      on_op("reverse(x) -> x, along axes of one element", Op::kReverse, identity_reverse,
            [](Builder& b) { return reverse(sample_input(b, {1, 3}), {0}); }),
      on_op("slice(x) -> x, if all is taken", Op::kSlice, identity_slice,
            [](Builder& b) { return slice(sample_input(b, {2, 3}), {0, 0}, {2, 3}); }),
      on_op("concat(x) -> x", Op::kConcat, single_concat,
            [](Builder& b) { return concat({sample_input(b, {2, 3})}, 0); }),
  };
  return rules;
}

std::vector<Rule> chain_rules() {
  return {
      on_op("reshape(reshape(x)) -> reshape(x)", Op::kReshape, reshape_of_reshape,
            [](Builder& b) { return reshape(reshape(sample_input(b, {2, 6}), {3, 4}), {12}); }),
      on_op("transpose(transpose(x)) -> transpose(x)", Op::kTranspose, transpose_of_transpose,
            [](Builder& b) {
              return transpose(transpose(sample_input(b, {2, 3, 4}), {2, 0, 1}), {0, 2, 1});
            }),
      on_op("broadcast(broadcast(x)) -> broadcast(x)", Op::kBroadcast, broadcast_of_broadcast,
            [](Builder& b) {
              return broadcast(broadcast(sample_input(b, {3}), {3, 2}, {0}), {4, 3, 2}, {1, 2});
            }),
      on_op("slice(slice(x)) -> slice(x)", Op::kSlice, slice_of_slice,
            [](Builder& b) {
              return slice(slice(sample_input(b, {9, 4}), {1, 0}, {9, 4}, {2, 1}), {1, 1}, {4, 3},
                           {2, 1});
            }),
      on_op("reverse(reverse(x)) -> x, if the axes are the same", Op::kReverse, reverse_of_reverse,
            [](Builder& b) { return reverse(reverse(sample_input(b, {2, 3}), {1}), {1}); }),
      on_op(
          "cast(cast(x)) -> cast(x), if the first cast is exact", Op::kCast, cast_of_cast,
          [](Builder& b) { return cast(cast(sample_input(b, {2, 3}), DType::kF64), DType::kI32); }),
      on_op("slice(concat(x, y)) -> slice(x), if it lies within x", Op::kSlice, slice_of_concat,
            [](Builder& b) {
              const Val x = sample_input(b, {2, 3});
              const Val y = b.input(InputKind::kInput, f32({2, 4}), "y", "y");
              return slice(concat({x, y}, 1), {0, 4}, {2, 6});
            }),
  };
}

}  // namespace

std::vector<Rule> view_rules() {
  std::vector<Rule> rules = identity_rules();
  for (Rule& chain : chain_rules())
    rules.push_back(std::move(chain));
  rules.push_back(on_op("transpose(x) -> reshape(x), if only axes of one element move",
                        Op::kTranspose, transpose_as_reshape, [](Builder& b) {
                          return transpose(sample_input(b, {2, 1, 3}), {1, 0, 2});
                        }));
  rules.push_back(on_op(
      "broadcast(x) -> reshape(x), if nothing is repeated", Op::kBroadcast, broadcast_as_reshape,
      [](Builder& b) { return broadcast(sample_input(b, {2, 3}), {2, 1, 3}, {0, 2}); }));
  rules.push_back(on_op("broadcast(reshape(x)) -> broadcast(x), if reshape only adds axes",
                        Op::kBroadcast, broadcast_of_added_axes, [](Builder& b) {
                          return broadcast(reshape(sample_input(b, {3}), {1, 3}), {1, 4, 3},
                                           {0, 2});
                        }));
  for (Op op : {Op::kReduceSum, Op::kReduceMax, Op::kReduceMin, Op::kReduceProd}) {
    Rule rule = on_op(std::string(op_name(op)) + "(x) -> reshape(x), along axes of one element", op,
                      reduce_of_unit_axes, nullptr);
    rule.sample = [op](Builder& b) {
      return b.add(op, {sample_input(b, {2, 1, 3})}, make_attrs(AxesAttrs{{1}}));
    };
    rules.push_back(std::move(rule));
  }
  rules.push_back(on_op("concat(concat(x, y), z) -> concat(x, y, z), along one axis", Op::kConcat,
                        concat_of_concat, [](Builder& b) {
                          const Val x = sample_input(b, {2, 3});
                          const Val y = b.input(InputKind::kInput, f32({2, 4}), "y", "y");
                          return concat({x, concat({y, x}, 1)}, 1);
                        }));
  rules.push_back(on_op("pad(x) + pad(y) -> pad(concat(x, y)), if x and y then lie side by side",
                        Op::kAdd, add_of_pads, [](Builder& b) {
                          const Val x = sample_input(b, {2, 3});
                          const Val y = b.input(InputKind::kInput, f32({2, 4}), "y", "y");
                          const Val z = b.input(InputKind::kInput, f32({2, 1}), "z", "z");
                          return pad(x, {1, 5}, {0, 0}) + pad(y, {1, 0}, {0, 4}) +
                                 pad(z, {1, 4}, {0, 3});
                        }));
  rules.push_back(elementwise_rule());
  return rules;
}

}  // namespace gradc
