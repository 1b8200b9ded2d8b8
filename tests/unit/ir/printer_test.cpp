// The text form: exact text of a small training graph, and parse(print(g)) == g.
#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "ir/structural_hash.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

#include <limits>

namespace gradc {
namespace {

using testing::parsed;

constexpr const char* kTraining = R"(graph @train_step {
  input %x         : f32[32x784]                                      // /inputs/0
  param %w1        : f32[784x128] {name=dense/kernel, init=variance_scaling(a=1.0, mode=fan_avg, distribution=uniform, fan_in=784, fan_out=128)}  // /layers/0
  param %b1        : f32[128] {name=dense/bias, init=zeros}           // /layers/0
  state %iteration : i64[] {name=optimizer/iteration, init=zeros}
forward:
  %0    = matmul %x, %w1                : f32[32x128]  // /layers/0
  %1    = broadcast %b1 {dims=[1]}      : f32[32x128]
  %2    = add %0, %1                    : f32[32x128]
  %h    = relu %2                       : f32[32x128]  // /layers/0/activation
  %loss = reduce_sum %h {axes=[0, 1]}   : f32[]        // /loss
backward:
  %3    = constant {value=1.0}          : f32[32x128]
  %zero = constant {value=0.0}          : f32[32x128]
  %4    = greater %h, %zero             : bool[32x128]  // from the result, so %2 is not kept
  %d2   = select %4, %3, %zero          : f32[32x128]   // gradient of /layers/0/activation
  %dw1  = matmul %x, %d2 {transpose_a=true} : f32[784x128]  // gradient of /layers/0
update:
  update %w1 <- %dw1
  return loss=%loss, gradient/dense/kernel=%dw1, "odd name"=%h
}
)";

TEST(Printer, PrintsTheTrainingGraphAsWritten) {
  const auto graph = parsed(kTraining);
  ASSERT_NE(graph, nullptr);
  const std::string text = print_graph(*graph);
  EXPECT_EQ(text, R"(graph @train_step {
  input %x         : f32[32x784]  // /inputs/0
  param %w1        : f32[784x128] {name=dense/kernel, init=variance_scaling(a=1.0, mode=fan_avg, distribution=uniform, fan_in=784, fan_out=128)}  // /layers/0
  param %b1        : f32[128] {name=dense/bias, init=zeros}  // /layers/0
  state %iteration : i64[] {name=optimizer/iteration, init=zeros}
forward:
  %0    = matmul %x, %w1              : f32[32x128]  // /layers/0
  %1    = broadcast %b1 {dims=[1]}    : f32[32x128]
  %2    = add %0, %1                  : f32[32x128]
  %h    = relu %2                     : f32[32x128]  // /layers/0/activation
  %loss = reduce_sum %h {axes=[0, 1]} : f32[]        // /loss
backward:
  %3    = constant {value=1.0}              : f32[32x128]
  %zero = constant {value=0.0}              : f32[32x128]
  %4    = greater %h, %zero                 : bool[32x128]  // from the result, so %2 is not kept
  %d2   = select %4, %3, %zero              : f32[32x128]   // gradient of /layers/0/activation
  %dw1  = matmul %x, %d2 {transpose_a=true} : f32[784x128]  // gradient of /layers/0
update:
  update %w1 <- %dw1
  return loss=%loss, gradient/dense/kernel=%dw1, "odd name"=%h
}
)");
  const auto again = parsed(text);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(first_difference(*graph, *again, {.value_names = true, .locations = true}), "");
}

TEST(Printer, KernelsShowTheirBodiesWithTheArgsRenamedWhereTheyDiffer) {
  const std::string text = R"(graph @fused {
  input %x : f32[2x3]
  param %w : f32[3x4]
backward:
  %h = kernel @dense_relu(%a=%x, %w) {kind=contraction} : f32[2x4] {  // /layers/0
    %0 = matmul %a, %w : f32[2x4]  // /layers/0
    %1 = relu %0       : f32[2x4]
    yield %1
  }
  return %h
}
)";
  const auto graph = parsed(text);
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(print_graph(*graph), text);
  PrintOptions one_line;
  one_line.bodies = false;
  one_line.locations = false;
  one_line.header = "arena 32 bytes";
  one_line.annotate = [](const Graph&, NodeId) { return "arena+0"; };
  EXPECT_EQ(print_graph(*graph, one_line), R"(graph @fused {  /* arena 32 bytes */
  input %x : f32[2x3]
  param %w : f32[3x4]
backward:
  %h = kernel @dense_relu(%a=%x, %w) {kind=contraction} : f32[2x4]  /* arena+0 */
  return %h
}
)");
}

TEST(Printer, AnnotatedTextReadsBack) {
  const auto graph = parsed(kTraining);
  ASSERT_NE(graph, nullptr);
  PrintOptions options;
  options.header = "arena 34048 bytes, lower bound 34048";
  options.annotate = [](const Graph& g, NodeId id) {
    return "arena+16384, 1280 bytes, live #" + std::to_string(g.num_nodes() + id.index);
  };
  const auto again = parsed(print_graph(*graph, options));
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(first_difference(*graph, *again, {.value_names = true, .locations = true}), "");
}

TEST(Printer, ConstantsReadBackBitForBit) {
  Graph graph("constants");
  Builder b(graph);
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  graph.add_output("a", b.constant(f32({5}), {0.1, -0.0, inf, -inf, -nan}).id());
  graph.add_output("b", b.constant(f32({3}), {1e-300, 1.0 / 3.0, 12345678901234567.0}).id());
  graph.add_output("c", b.splat(-nan, f32({2, 2})).id());
  graph.add_output("d", b.constant({DType::kI64, {}}, {-7.0}).id());
  const auto again = parsed(print_graph(graph));
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(first_difference(graph, *again), "");
  EXPECT_EQ(structural_hash(graph), structural_hash(*again));
}

TEST(Printer, LongConstantsAreCutShortOnRequestAndThenRefused) {
  Graph graph("long");
  Builder b(graph);
  graph.add_output("", b.constant(f32({4}), {1, 2, 3, 4}).id());
  PrintOptions options;
  options.max_dense = 2;
  const std::string text = print_graph(graph, options);
  EXPECT_NE(text.find("{value=dense<1.0, 2.0, ... of 4>}"), std::string::npos) << text;
  EXPECT_NE(testing::errors_of(text).find("cut short"), std::string::npos);
}

TEST(Printer, StrangeNamesAreQuoted) {
  Graph graph("two words \"quoted\"\n");
  Builder b(graph);
  const Val x = b.input(InputKind::kInput, f32({2}), "a b\\c", "x");
  b.set_location("/layers/strange\nname");
  graph.add_output("", neg(x).id());
  graph.add_output("f32", neg(x).id());
  const auto again = parsed(print_graph(graph));
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(first_difference(graph, *again), "");
}

TEST(Printer, PhasesMayAlternate) {
  const std::string text = R"(graph @alternating {
  input %x : f32[2]
  state %s : f32[2]
forward:
  %0 = neg %x : f32[2]
update:
  update %s <- %0
forward:
  %1 = neg %0 : f32[2]
  return %1
}
)";
  const auto graph = parsed(text);
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(print_graph(*graph), text);
}

TEST(Printer, OneNodeForMessages) {
  const auto graph = parsed(kTraining);
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(print_node(*graph, graph->first_node()), "%0 = matmul %x, %w1 : f32[32x128]");
  EXPECT_EQ(print_node(*graph, graph->last_node()), "update %w1 <- %dw1");
}

}  // namespace
}  // namespace gradc
