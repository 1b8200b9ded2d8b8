// store_padded - what convolutions read with padding is stored with it: the kernel that makes a
// value writes the zeros around it too, and all who read the value look inside.
//
//   v = relu(..)                      ->  p = pad(relu(..))
//   conv(v) padded                    ->  conv(p) without padding
//   conv_filter_grad(v, dy) padded    ->  conv_filter_grad(p, dy) without padding
//   add(v, ..)                        ->  add(slice(p), ..)
//
// Otherwise each convolution and both its gradients copy their operand first. Nothing is rounded
// differently: products with padding are summed either way.
#include "ir/graph.h"
#include "ir/op.h"
#include "ir/replacement.h"
#include "passes/padded_reads.h"
#include "passes/passes.h"

#include <algorithm>
#include <optional>
#include <string>

namespace gradc::passes {

namespace {

/// A convolution with one tap, without strides: its rows run on through a dense image.
bool is_pointwise(const Graph& graph, const Node& node) {
  if (def(node.op).lowering != Lowering::kConv) return false;
  const ValueId weights = node.op == Op::kConvFilterGrad ? node.results[0] : node.operands[1];
  const Shape& shape = graph.type(weights).shape;
  const Ints& strides = node.attrs.as<ConvAttrs>().strides;
  for (int axis = 0; axis + 2 < shape.rank(); ++axis) {
    if (shape[axis] != 1 || (!strides.empty() && strides[static_cast<size_t>(axis)] != 1))
      return false;
  }
  return true;
}

/// The least padding with which all padded readers of a value are served; nothing where one of its
/// readers would be worse off.
std::optional<Padding> wanted_padding(const Graph& graph, ValueId value) {
  std::optional<Padding> wanted;
  for (const Use& use : graph.value(value).uses) {
    const Node& user = graph.node(use.node);
    const Lowering lowering = def(user.op).lowering;
    if (def(user.op).has_open_body() || lowering == Lowering::kStructure) return std::nullopt;
    // Sums divide every position of what is not dense.
    if (lowering == Lowering::kReduce || lowering == Lowering::kMatmul) return std::nullopt;
    if (use.operand != 0) continue;
    if (is_pointwise(graph, user)) return std::nullopt;
    const std::optional<Padding> padding = padded_read(graph, user);
    if (!padding) continue;
    if (!wanted) wanted = padding;
    wanted->include(*padding);
  }
  if (!wanted) return wanted;
  const bool any =
      std::any_of(wanted->low.begin(), wanted->low.end(), [](int64_t n) { return n > 0; }) ||
      std::any_of(wanted->high.begin(), wanted->high.end(), [](int64_t n) { return n > 0; });
  return any ? wanted : std::nullopt;
}

class Padder {
 public:
  Padder(Graph& graph, ValueId value, Padding padding)
      : graph_(graph), builder_(graph), value_(value), padding_(std::move(padding)) {}

  void run() {
    const Node producer = graph_.node(graph_.def(value_));
    const UseList uses = graph_.value(value_).uses;
    carry(producer, producer.next);
    padded_ = builder_.add(Op::kPad, {builder_.wrap(value_)},
                           make_attrs(PadAttrs{padding_.low, padding_.high, {}, 0.0}),
                           graph_.value(value_).name + ".padded");
    for (const Use& use : uses) {
      if (graph_.node(use.node).erased) continue;  // it read the value twice
      const std::optional<Padding> padding =
          use.operand == 0 ? padded_read(graph_, graph_.node(use.node)) : std::nullopt;
      if (padding) {
        read_padded(use.node, *padding);
        continue;
      }
      graph_.set_operand(use.node, use.operand, inside().id());
    }
  }

 private:
  /// The value without the zeros around it.
  Val inside() {
    if (inside_.valid()) return inside_;
    const Node pad = graph_.node(graph_.def(padded_.id()));
    carry(pad, pad.next);
    inside_ = view({Ints(padding_.low.size(), 0), Ints(padding_.low.size(), 0)});
    return inside_;
  }

  void carry(const Node& from, NodeId before) {
    builder_.set_insertion_point(before);
    builder_.set_phase(from.phase);
    builder_.set_location(from.loc);
  }

  /// The value with this padding: a part of the padded one.
  Val view(const Padding& padding) {
    if (padding == padding_) return padded_;
    SliceAttrs attrs;
    const Shape& shape = graph_.type(value_).shape;
    for (size_t axis = 0; axis < padding.low.size(); ++axis) {
      attrs.start.push_back(padding_.low[axis] - padding.low[axis]);
      attrs.limit.push_back(padding_.low[axis] + shape[static_cast<int>(axis)] +
                            padding.high[axis]);
    }
    return builder_.add(Op::kSlice, {padded_}, make_attrs(std::move(attrs)));
  }

  /// Reads the padded value instead of padding.
  void read_padded(NodeId id, const Padding& padding) {
    const Node node = graph_.node(id);
    auto attrs = node.attrs.as<ConvAttrs>();
    const size_t spatial = padding.low.size() - 2;
    if (node.op != Op::kConvInputGrad) {
      attrs.pad_low.assign(spatial, 0);
      attrs.pad_high.assign(spatial, 0);
    }
    // More output positions on either side, as if the input had been padded more.
    for (size_t axis = 0; axis < spatial && node.op == Op::kConvInputGrad; ++axis) {
      const int64_t stride = attrs.strides.empty() ? 1 : attrs.strides[axis];
      attrs.pad_low.resize(spatial);
      attrs.pad_high.resize(spatial);
      attrs.pad_low[axis] += stride * padding.low[axis + 1];
      attrs.pad_high[axis] += stride * padding.high[axis + 1];
    }
    const Val second = node.operands[1] == value_ ? inside() : builder_.wrap(node.operands[1]);
    carry(node, id);
    Replacement replacement(graph_, id);
    const Val result = builder_.add(node.op, {view(padding), second}, make_attrs(std::move(attrs)));
    replacement.put(node.results[0], result.id());
    replacement.finish();
  }

  Graph& graph_;
  Builder builder_;
  ValueId value_;
  Padding padding_;
  Val padded_, inside_;
};

}  // namespace

Result<bool> store_padded(Graph& graph, PassContext& context) {
  bool changed = false;
  for (NodeId id : graph.nodes()) {
    if (graph.node(id).erased || def(graph.node(id).op).lowering != Lowering::kScalar) continue;
    const ValueId value = graph.node(id).results[0];
    std::optional<Padding> padding = wanted_padding(graph, value);
    if (!padding || graph.is_output(value) || !context.may_rewrite()) continue;
    Padder(graph, value, std::move(*padding)).run();
    context.count("values stored with padding");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
