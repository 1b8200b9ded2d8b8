// Values that convolutions read with padding are stored with it: the same values, no convolution
// and no gradient of one left that pads, and only where that serves.
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/padded_reads.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "tests/support/graph_values.h"
#include "tests/unit/ir/text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace gradc {
namespace {

using testing::parsed;

struct Setting {
  std::string name;
  int64_t height = 8, width = 8;
  int64_t out_height = 8, out_width = 8;
  int64_t window = 3;
  std::string attrs;
};

/// sum((conv(tanh(x)) * m + tanh(x))^2) or without the sum of both; m makes the gradient of the
/// convolution elementwise work of its own.
std::string network(const Setting& s, bool residual) {
  const std::string y = fmt::format("f32[4x{}x{}x8]", s.out_height, s.out_width);
  const std::string x = fmt::format("f32[4x{}x{}x8]", s.height, s.width);
  std::string text = fmt::format(R"(graph @padded {{
  param %x : {0}
  param %w : f32[{2}x{2}x8x8]
  input %m : {1}
  %v = tanh %x : {0}
  %y = conv %v, %w {{{3}}} : {1}
  %z = mul %y, %m : {1}
)",
                                 x, y, s.window, s.attrs);
  text += residual ? fmt::format("  %r = add %z, %v : {}\n", y)
                   : fmt::format("  %r = sigmoid %z : {}\n", y);
  return text + fmt::format(R"(  %q = mul %r, %r : {}
  %loss = reduce_sum %q {{axes=[0, 1, 2, 3]}} : f32[]
  return loss=%loss
}}
)",
                            y);
}

std::shared_ptr<Graph> after(const std::string& text, const std::string& pipeline) {
  auto graph = parsed(text);
  if (graph == nullptr) return nullptr;
  PassContext context;
  const Status status = run_passes(*graph, pipeline, context);
  EXPECT_TRUE(status.ok()) << status.message();
  return graph;
}

int padded_convolutions(const Graph& graph) {
  int n = 0;
  for (NodeId id : graph.nodes()) {
    const std::optional<Padding> padding = padded_read(graph, graph.node(id));
    if (!padding) continue;
    const auto any = [](const Ints& list) {
      return std::any_of(list.begin(), list.end(), [](int64_t x) { return x > 0; });
    };
    n += any(padding->low) || any(padding->high) ? 1 : 0;
  }
  return n;
}

int count(const Graph& graph, Op op) {
  int n = 0;
  for (NodeId id : graph.nodes())
    n += graph.node(id).op == op ? 1 : 0;
  return n;
}

class StorePadded : public ::testing::TestWithParam<Setting> {};

TEST_P(StorePadded, KeepsValuesAndLeavesNoPaddingToConvolutions) {
  const std::string simplified = "differentiate,canonicalize,cse,dce";
  for (const bool residual : {false, true}) {
    if (residual && GetParam().out_height != GetParam().height) continue;
    const std::string text = network(GetParam(), residual);
    const auto before = after(text, simplified);
    const auto now = after(text, simplified + ",store_padded");
    ASSERT_TRUE(before && now);
    EXPECT_GE(padded_convolutions(*before), 2);
    EXPECT_EQ(padded_convolutions(*now), 0) << print_graph(*now);
    EXPECT_LE(count(*now, Op::kPad), 2);  // the activation and the gradient of the product
    const auto inputs = test::random_inputs(*before, 3, -1.0, 1.0);
    test::expect_same_values(*before, *now, inputs, 1e-12);
    const auto fused = after(text, simplified + ",store_padded,fuse");
    test::expect_same_values(*before, *fused, inputs, 1e-12);
    EXPECT_EQ(count(*fused, Op::kPad), 0);  // inside the kernels that make the values
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, StorePadded,
    ::testing::Values(
        Setting{"same", 8, 8, 8, 8, 3, "pad_low=[1, 1], pad_high=[1, 1]"},
        Setting{"wide", 8, 9, 8, 9, 5, "pad_low=[2, 2], pad_high=[2, 2]"},
        Setting{"even_window", 8, 8, 8, 8, 4, "pad_low=[1, 1], pad_high=[2, 2]"},
        Setting{"strides", 9, 12, 5, 6, 3, "strides=[2, 2], pad_low=[1, 0], pad_high=[1, 1]"},
        Setting{"strides_of_three", 11, 10, 4, 4, 5,
                "strides=[3, 3], pad_low=[2, 3], pad_high=[1, 2]"},
        Setting{"dilation", 9, 9, 9, 9, 3, "pad_low=[2, 2], pad_high=[2, 2], dilation=[2, 2]"},
        Setting{"both", 12, 12, 5, 5, 3,
                "strides=[2, 2], pad_low=[1, 1], pad_high=[0, 0], dilation=[2, 2]"}),
    [](const auto& test) { return test.param.name; });

/// The gradient of sum(v * conv(v, w)) reads v as the image and as the gradient of the product.
TEST(StorePaddedOnly, AValueReadTwiceByOneConvolution) {
  const std::string text = R"(graph @twice {
  param %x : f32[4x8x8x8]
  param %w : f32[3x3x8x8]
  %v = tanh %x : f32[4x8x8x8]
  %y = conv %v, %w {pad_low=[1, 1], pad_high=[1, 1]} : f32[4x8x8x8]
  %z = conv_filter_grad %v, %v {pad_low=[1, 1], pad_high=[1, 1], shape=[3, 3, 8, 8]} : f32[3x3x8x8]
  return y=%y, z=%z
}
)";
  const auto before = parsed(text);
  const auto now = after(text, "store_padded,fuse");
  ASSERT_TRUE(before && now);
  EXPECT_EQ(padded_convolutions(*after(text, "store_padded")), 0);
  test::expect_same_values(*before, *now, test::random_inputs(*before, 3, -1.0, 1.0), 1e-12);
}

TEST(StorePaddedOnly, WhereItServes) {
  const auto stored = [](const std::string& rest) {
    const auto graph = after(R"(graph @g {
  input %x : f32[4x8x8x8] {name=input/x}
  param %w : f32[3x3x8x8]
  param %p : f32[1x1x8x8]
  %v = tanh %x : f32[4x8x8x8]
  %y = conv %v, %w {pad_low=[1, 1], pad_high=[1, 1]} : f32[4x8x8x8]
)" + rest,
                             "store_padded");
    return graph == nullptr ? -1 : count(*graph, Op::kPad);
  };
  EXPECT_EQ(stored("  return y=%y\n}\n"), 1);
  // A result, an operand of sums, rows of a 1x1 convolution: dense is better.
  EXPECT_EQ(stored("  return y=%y, v=%v\n}\n"), 0);
  EXPECT_EQ(stored("  %s = reduce_sum %v {axes=[1, 2]} : f32[4x8]\n  return y=%y, s=%s\n}\n"), 0);
  const std::string pointwise = "  %z = conv %v, %p {strides=[1, 1]} : f32[4x8x8x8]\n";
  EXPECT_EQ(stored(pointwise + "  return y=%y, z=%z\n}\n"), 0);
  const std::string shortcut = "  %z = conv %v, %p {strides=[2, 2]} : f32[4x4x4x8]\n";
  EXPECT_EQ(stored(shortcut + "  return y=%y, z=%z\n}\n"), 1);
}

}  // namespace
}  // namespace gradc
