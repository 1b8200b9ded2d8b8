// constant_fold, cse, dce and expand_composites on small texts.
#include "ir/op_attrs.h"
#include "ir/verifier.h"
#include "passes/pass_manager.h"
#include "passes/pattern.h"
#include "passes/whole_steps.h"
#include "tests/support/graph_values.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

using testing::parsed;

/// The graph after the passes, which also must compute the same.
std::shared_ptr<Graph> after(const std::string& text, std::string_view pipeline) {
  const auto graph = parsed(text);
  if (graph == nullptr) return nullptr;
  const auto before = graph->clone();
  PassContext context;
  const Status status = run_passes(*graph, pipeline, context);
  EXPECT_TRUE(status.ok()) << status.message();
  test::expect_same_values(*before, *graph, test::random_inputs(*before, 1), 1e-12);
  return graph;
}

TEST(ConstantFold, SplatsStaySplats) {
  const auto graph = after(R"(graph @g {
forward:
  %0 = constant {value=2.0}                       : f32[1000x1000]
  %1 = constant {value=3.0}                       : f32[1000x1000]
  %2 = mul %0, %1                                 : f32[1000x1000]
  %3 = transpose %2 {perm=[1, 0]}                 : f32[1000x1000]
  %4 = slice %3 {start=[0, 0], limit=[2, 3]}      : f32[2x3]
  return y=%4
}
)",
                           "constant_fold,dce");
  ASSERT_NE(graph, nullptr);
  ASSERT_EQ(graph->num_nodes(), 1U) << print_graph(*graph);
  const Node& node = graph->node(graph->first_node());
  EXPECT_EQ(node.attrs.as<ConstantAttrs>().value->size(), 1U);
  EXPECT_EQ(splat_value(*graph, node.results[0]), 6.0);
}

TEST(ConstantFold, EvaluatesSmallTensors) {
  const auto graph = after(R"(graph @g {
forward:
  %0 = constant {value=dense<1, 2, 3, 4>}       : f32[2x2]
  %1 = matmul %0, %0                              : f32[2x2]
  %2 = reduce_sum %1 {axes=[0, 1]}                : f32[]
  return y=%1, z=%2
}
)",
                           "constant_fold,dce");
  ASSERT_NE(graph, nullptr);
  for (NodeId id : graph->nodes())
    EXPECT_EQ(graph->node(id).op, Op::kConstant);
}

TEST(ConstantFold, LeavesLargeTensorsAndPaddingWithAnotherValue) {
  const auto graph = after(R"(graph @g {
forward:
  %0 = constant {value=2.0}                             : f32[100x100]
  %1 = pad %0 {low=[1, 0], high=[0, 0]}                 : f32[101x100]
  %2 = pad %0 {low=[1, 0], high=[0, 0], value=2.0}      : f32[101x100]
  return y=%1, z=%2
}
)",
                           "constant_fold");
  ASSERT_NE(graph, nullptr);
  EXPECT_FALSE(splat_value(*graph, graph->outputs()[0].value).has_value());
  EXPECT_EQ(splat_value(*graph, graph->outputs()[1].value), 2.0);
}

TEST(Cse, MergesCommutedOperandsAndEqualRandomStreams) {
  const auto graph = after(R"(graph @g {
  input %x : f32[4] {name=input/x}
  input %y : f32[4] {name=input/y}
forward:
  %0 = add %x, %y : f32[4]
  %1 = add %y, %x : f32[4]
  %2 = sub %x, %y : f32[4]
  %3 = sub %y, %x : f32[4]
  return a=%0, b=%1, c=%2, d=%3
}
)",
                           "cse");
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(graph->num_nodes(), 3U);
  EXPECT_EQ(graph->outputs()[0].value, graph->outputs()[1].value);
}

TEST(Cse, KeepsDifferentAttributesAndStreamsApart) {
  const auto graph = after(R"(graph @g {
  input %seed      : i64[] {name=seed}
  input %iteration : i64[] {name=optimizer/iteration}
forward:
  %0 = random_uniform %seed, %iteration {shape=[4], stream=1} : f32[4]
  %1 = random_uniform %seed, %iteration {shape=[4], stream=2} : f32[4]
  %2 = random_uniform %seed, %iteration {shape=[4], stream=1} : f32[4]
  return a=%0, b=%1, c=%2
}
)",
                           "cse");
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(graph->num_nodes(), 2U);
}

TEST(Cse, DoesNotMakeAnEarlierPhaseReadALaterOne) {
  const auto graph = after(R"(graph @g {
  input %x : f32[4] {name=input/x}
backward:
  %0 = exp %x : f32[4]
forward:
  %1 = exp %x : f32[4]
  %2 = neg %1 : f32[4]
  return a=%0, b=%2
}
)",
                           "cse");
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(graph->num_nodes(), 3U);
}

TEST(Dce, KeepsUpdatesAndWhatTheyRead) {
  const auto graph = after(R"(graph @g {
  param %w : f32[4] {name=w}
forward:
  %0 = exp %w : f32[4]
  %1 = neg %0 : f32[4]
  %2 = abs %0 : f32[4]
update:
  update %w <- %1
  return y=%w
}
)",
                           "dce");
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(graph->num_nodes(), 3U);
}

TEST(ExpandComposites, LeavesPrimitivesAndWholeStepsWithTheSamePhaseAndLocation) {
  WholeSteps steps;
  for (const OpDef* op : all_ops()) {
    if (op->lowering != Lowering::kComposite) continue;
    ASSERT_NE(op->expand, nullptr) << op->name;
    for (const Sample& s : op->samples()) {
      test::SampleGraph sample(s);
      sample.builder.set_phase(Phase::kBackward);
      sample.builder.set_location("/layers/7");
      for (const Val& v :
           sample.builder.add_multi(op->op, sample.operands, test::sample_attrs(*op, s), "named"))
        sample.graph->add_output("", v.id());
      const auto before = sample.graph->clone();
      PassContext context;
      ASSERT_TRUE(run_passes(*sample.graph, "expand_composites", context).ok());
      for (NodeId id : sample.graph->nodes()) {
        const Node& node = sample.graph->node(id);
        EXPECT_TRUE(def(node.op).lowering != Lowering::kComposite || steps.size(node) > 0)
            << op_name(node.op);
        EXPECT_EQ(node.phase, Phase::kBackward);
        EXPECT_EQ(sample.graph->location(node.loc), "/layers/7");
      }
      test::expect_same_values(*before, *sample.graph, test::draw_operands(s, 3), 1e-9);
    }
  }
}

}  // namespace
}  // namespace gradc
