#include "passes/padded_reads.h"

#include "ir/conv_geometry.h"
#include "ir/op.h"

#include <algorithm>

namespace gradc {

namespace {

bool is_conv(const Node& node) {
  return def(node.op).lowering == Lowering::kConv;
}

int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

/// Which output positions the taps of a convolution meet, seen from the input's positions.
void reach_of_output(const SpatialDim& d, int64_t& low, int64_t& high) {
  low = high = 0;
  if (d.is_one_window()) return;
  const int64_t first = -floor_div((d.window - 1) * d.dilation - d.pad_low, d.stride);
  const int64_t last = floor_div(d.in - 1 + d.pad_low, d.stride);
  low = std::max<int64_t>(0, -first);
  high = std::max<int64_t>(0, last - (d.out - 1));
}

}  // namespace

void Padding::include(const Padding& other) {
  for (size_t axis = 0; axis < low.size(); ++axis) {
    low[axis] = std::max(low[axis], other.low[axis]);
    high[axis] = std::max(high[axis], other.high[axis]);
  }
}

std::optional<Padding> padded_read(const Graph& graph, const Node& node) {
  constexpr int64_t kThin = 4;
  if (!is_conv(node)) return std::nullopt;
  const TensorType& first = graph.type(node.operands[0]);
  const TensorType& second = graph.type(node.operands[1]);
  const TensorType& y = graph.type(node.results[0]);
  const TensorType& x = node.op == Op::kConvInputGrad ? y : first;
  const TensorType& w = node.op == Op::kConvFilterGrad ? y : second;
  auto geometry = conv_geometry(op_name(node.op), x, w, node.attrs.as<ConvAttrs>());
  if (!geometry.ok() || first.dtype != DType::kF32) return std::nullopt;
  const ConvGeometry g = geometry.take();
  Padding padding{Ints(static_cast<size_t>(first.rank()), 0),
                  Ints(static_cast<size_t>(first.rank()), 0)};
  int64_t products = g.batch * g.in_channels * g.out_channels / g.groups;
  for (int axis = 0; axis < g.spatial; ++axis) {
    const SpatialDim& d = g.dim(axis);
    const size_t at = static_cast<size_t>(axis) + 1;
    products *= d.out * d.window;
    if (node.op == Op::kConvInputGrad) {
      reach_of_output(d, padding.low[at], padding.high[at]);
    } else {
      padding.low[at] = d.pad_low;
      padding.high[at] = d.pad_high;
    }
  }
  const bool thin = g.in_channels < kThin || g.out_channels / g.groups < kThin || g.groups > 1;
  if (thin || products < kPaddedProducts) return std::nullopt;
  return padding;
}

bool is_padding_for_convolutions(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.op != Op::kPad) return false;
  const auto& attrs = node.attrs.as<PadAttrs>();
  if (attrs.value != 0.0 || !attrs.interior.empty()) return false;
  const auto reads = [&](const Use& use) {
    return use.operand == 0 && padded_read(graph, graph.node(use.node)).has_value();
  };
  for (const Use& use : graph.value(node.results[0]).uses) {
    if (reads(use)) return true;
    const Node& user = graph.node(use.node);
    if (user.op != Op::kSlice) continue;
    const UseList& uses = graph.value(user.results[0]).uses;
    if (std::any_of(uses.begin(), uses.end(), reads)) return true;
  }
  return false;
}

}  // namespace gradc
