// What the text form cannot write: graphs broken through the mutators, all violations collected.
// The other rules are exercised by tests/filetests/verify.
#include "ir/verifier.h"

#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

using testing::parsed;

constexpr const char* kGraph = R"(graph @g {
  input %x : f32[2x3]
  param %w : f32[2x3]
forward:
  %0 = neg %x    : f32[2x3]
  %1 = add %0, %w : f32[2x3]
  return %1
}
)";

std::string messages(const Graph& graph) {
  std::string text;
  for (const Diagnostic& diagnostic : verify(graph))
    text += diagnostic.message + "\n";
  return text;
}

TEST(Verifier, AcceptsAValidGraph) {
  const auto graph = parsed(kGraph);
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(messages(*graph), "");
}

TEST(Verifier, CollectsAllViolationsAndShowsThemUnderTheirLines) {
  const auto graph = parsed(kGraph);
  ASSERT_NE(graph, nullptr);
  const NodeId neg = graph->first_node();
  const NodeId add = graph->last_node();
  graph->move_before(add, neg);
  graph->set_attrs(neg, make_attrs(AxisAttrs{1}));
  const auto errors = find_violations(*graph);
  EXPECT_EQ(print_violations(*graph, errors), R"(graph @g {
  input %x : f32[2x3]
  param %w : f32[2x3]
forward:
  %1 = add %0, %w      : f32[2x3]
  ^~~~~ error: %0 is used before it is defined
  %0 = neg %x {axis=1} : f32[2x3]
  ^~~~~ error: neg has the attributes of another op
  return %1
}
2 errors in the graph
)");
}

TEST(Verifier, ResultTypesMustBeThoseOfInference) {
  Graph graph("wrong");
  const ValueId x = graph.add_input(InputKind::kInput, f32({2, 3}), "x", "x");
  const std::vector<TensorType> types = {f32({3, 2})};
  const NodeId node = graph.add_node(Op::kNeg, {x}, {}, types, Phase::kForward, {});
  graph.add_output("", graph.node(node).results[0]);
  EXPECT_EQ(messages(graph), "%0 has type f32[3x2], the operands of neg give f32[2x3]\n");
}

TEST(Verifier, TheNumberOfResultsIsChecked) {
  Graph graph("two");
  const ValueId x = graph.add_input(InputKind::kInput, f32({2}), "x", "x");
  const std::vector<TensorType> types = {f32({2}), f32({2})};
  graph.add_node(Op::kNeg, {x}, {}, types, Phase::kForward, {});
  EXPECT_EQ(messages(graph), "neg has 2 results, its operands give 1\n");
}

TEST(Verifier, BodyArgsMatchTheOperands) {
  auto body = std::make_shared<Graph>("body");
  const ValueId a = body->add_input(InputKind::kArg, f32({4}), "", "a");
  body->add_output("", a);
  Graph graph("outer");
  const ValueId x = graph.add_input(InputKind::kInput, f32({2}), "x", "x");
  const std::vector<TensorType> types = {f32({4})};
  graph.add_node(Op::kKernel, {x}, make_attrs(KernelAttrs{}), types, Phase::kForward, {}, {}, body);
  EXPECT_EQ(messages(graph), "%x gives the body f32[2], its %a has type f32[4]\n");
  graph.add_node(Op::kKernel, {x, x}, make_attrs(KernelAttrs{}), types, Phase::kForward, {}, {},
                 body);
  EXPECT_NE(messages(graph).find("2 operands for a body of 1 args"), std::string::npos);
}

TEST(Verifier, ErasedValuesAreNotOutputs) {
  const auto graph = parsed(kGraph);
  ASSERT_NE(graph, nullptr);
  const ValueId result = graph->outputs()[0].value;
  graph->remove_output(0);
  graph->erase(graph->last_node());
  graph->add_output("gone", result);
  EXPECT_EQ(messages(*graph), "output 0 is not defined in the graph\n");
}

TEST(Verifier, RemovedInputsAreNotOperands) {
  const auto graph = parsed(kGraph);
  ASSERT_NE(graph, nullptr);
  const ValueId w = *graph->find_input("w");
  graph->set_operand(graph->last_node(), 1, *graph->find_input("x"));
  graph->remove_input(1);
  EXPECT_EQ(messages(*graph), "");
  graph->set_operand(graph->last_node(), 1, w);
  EXPECT_EQ(messages(*graph), "%w is an input that was removed\n");
}

}  // namespace
}  // namespace gradc
