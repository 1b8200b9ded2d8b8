// Loops through the passes: bodies, what the gradient keeps and where it sums, what moves out.
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "tests/support/graph_values.h"
#include "tests/unit/ir/text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace gradc {
namespace {

using testing::parsed;

int count(const Graph& graph, Op op) {
  int n = 0;
  for (NodeId id : graph.nodes())
    n += graph.node(id).op == op ? 1 : 0;
  return n;
}

std::vector<NodeId> loops(const Graph& graph) {
  std::vector<NodeId> found;
  for (NodeId id : graph.nodes()) {
    if (graph.node(id).op == Op::kScan) found.push_back(id);
  }
  return found;
}

size_t num_nodes(const Graph& graph) {
  size_t n = 0;
  for (NodeId id : graph.nodes())
    n += 1 + (graph.node(id).body ? num_nodes(*graph.node(id).body) : 0);
  return n;
}

std::shared_ptr<Graph> after(const std::string& text, const std::string& pipeline) {
  auto graph = parsed(text);
  if (graph == nullptr) return nullptr;
  PassContext context;
  const Status status = run_passes(*graph, pipeline, context);
  EXPECT_TRUE(status.ok()) << status.message();
  return graph;
}

/// A recurrence with all its work in the body: the product with the input too, and an output layer.
std::string recurrence(int steps) {
  return fmt::format(R"(graph @recurrence {{
  input %x : f32[{0}x2x3] {{name=input/x}}
  param %h0 : f32[2x4]
  param %w : f32[3x4]
  param %u : f32[4x4]
  param %b : f32[4]
  param %v : f32[4x5]
  %last, %ys = scan(%h=%h0, %x, %w, %u, %b, %v) {{steps={0}, carries=1, slices=1}} : f32[2x4], f32[{0}x2x5] {{
    %0 = matmul %x, %w : f32[2x4]
    %1 = matmul %h, %u : f32[2x4]
    %2 = add %0, %1 : f32[2x4]
    %3 = broadcast %b {{dims=[1]}} : f32[2x4]
    %4 = add %2, %3 : f32[2x4]
    %next = tanh %4 : f32[2x4]
    %5 = matmul %next, %v : f32[2x5]
    %y = sigmoid %5 : f32[2x5]
    yield %next, %y
  }}
  %6 = mul %ys, %ys : f32[{0}x2x5]
  %loss = reduce_sum %6 {{axes=[0, 1, 2]}} : f32[]
  return loss=%loss
}}
)",
                     steps);
}

TEST(Loops, PassesRunOnBodiesButNotOnSealedOnes) {
  const auto graph = after(R"(graph @bodies {
  input %x : f32[3x2]
  %a = scan(%x) {steps=3, slices=1} : f32[3x2] {
    %0 = exp %x : f32[2]
    %1 = exp %x : f32[2]
    %2 = neg %x : f32[2]
    %3 = add %0, %1 : f32[2]
    yield %3
  }
  %b = kernel @k(%x) : f32[3x2] {
    %0 = exp %x : f32[3x2]
    %1 = exp %x : f32[3x2]
    %2 = add %0, %1 : f32[3x2]
    yield %2
  }
  return %a, %b
}
)",
                           "cse,dce");
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(graph->node(graph->first_node()).body->num_nodes(), 2U);
  EXPECT_EQ(graph->node(graph->last_node()).body->num_nodes(), 3U);
}

TEST(Loops, EqualLoopsAreComputedOnce) {
  const std::string loop = R"( = scan(%x) {steps=3, slices=1} : f32[3x2] {
    %0 = exp %x : f32[2]
    yield %0
  }
)";
  std::string other = loop;
  other.replace(other.find("exp"), 3, "sin");
  const std::string head = "graph @loops {\n  input %x : f32[3x2]\n";
  const auto same = after(head + "  %a" + loop + "  %b" + loop + "  return %a, %b\n}\n", "cse");
  const auto differ = after(head + "  %a" + loop + "  %b" + other + "  return %a, %b\n}\n", "cse");
  ASSERT_TRUE(same && differ);
  EXPECT_EQ(same->num_nodes(), 1U);
  EXPECT_EQ(differ->num_nodes(), 2U);
}

TEST(Loops, ARecurrenceHasOneProductAStepInEachDirection) {
  const auto graph =
      after(recurrence(6), pipeline_text(PipelineKind::kGradients, PipelineStage::kOptimized));
  ASSERT_NE(graph, nullptr);
  const std::vector<NodeId> found = loops(*graph);
  ASSERT_EQ(found.size(), 2U) << print_graph(*graph);
  for (NodeId id : found)
    EXPECT_EQ(count(*graph->node(id).body, Op::kMatmul), 1) << print_graph(*graph);
  // x w, y = h v; dv, dh of all steps, du, dw: all steps at once.
  EXPECT_EQ(count(*graph, Op::kMatmul), 6) << print_graph(*graph);
  // Forward: the states. Backward: the cotangents of the sums.
  EXPECT_EQ(graph->node(found[0]).results.size(), 2U);
  EXPECT_EQ(graph->node(found[1]).results.size(), 2U);
}

TEST(Loops, ValuesAreTheSameAfterThePipeline) {
  for (int steps : {1, 2, 5}) {
    const auto before = after(recurrence(steps), "differentiate");
    const auto whole = after(recurrence(steps),
                             pipeline_text(PipelineKind::kGradients, PipelineStage::kScheduled));
    ASSERT_TRUE(before && whole);
    test::expect_same_values(*before, *whole, test::random_inputs(*before, 11, -1.0, 1.0), 1e-9);
  }
}

TEST(Loops, NothingGrowsWithTheSteps) {
  for (PipelineKind kind : {PipelineKind::kForward, PipelineKind::kGradients}) {
    const auto few = after(recurrence(8), pipeline_text(kind, PipelineStage::kOptimized));
    const auto many = after(recurrence(65536), pipeline_text(kind, PipelineStage::kOptimized));
    ASSERT_TRUE(few && many);
    EXPECT_EQ(num_nodes(*few), num_nodes(*many));
  }
}

TEST(Loops, CheapValuesAreComputedAgainAndDearOnesKept) {
  const auto graph = after(R"(graph @kept {
  param %h0 : f32[2]
  param %w : f32[2]
  %last = scan(%h=%h0, %w) {steps=4, carries=1} : f32[2] {
    %0 = mul %h, %w : f32[2]
    %1 = exp %0 : f32[2]
    %2 = add %1, %w : f32[2]
    %3 = mul %2, %2 : f32[2]
    %next = mul %3, %0 : f32[2]
    yield %next
  }
  %loss = reduce_sum %last {axes=[0]} : f32[]
  return loss=%loss
}
)",
                           "differentiate,dce");
  ASSERT_NE(graph, nullptr);
  // Of all that the gradient reads, %h and exp are kept; products and sums are made again.
  const Node& loop = graph->node(loops(*graph)[0]);
  EXPECT_EQ(loop.results.size(), 3U) << print_graph(*graph);
}

TEST(Loops, AnOpWithoutAGradientInABodyIsNamed) {
  auto graph = parsed(R"(graph @refused {
  param %h0 : f32[2]
  %last = scan(%h=%h0) {steps=4, carries=1} : f32[2] {  // /layers/3
    %next = kernel @inner(%h) : f32[2] {  // /layers/3/cell
      %0 = exp %h : f32[2]
      yield %0
    }
    yield %next
  }
  %loss = reduce_sum %last {axes=[0]} : f32[]
  return loss=%loss
}
)");
  ASSERT_NE(graph, nullptr);
  PassContext context;
  const Status status = run_passes(*graph, "differentiate", context);
  ASSERT_FALSE(status.ok());
  ASSERT_EQ(status.diagnostics().size(), 1U);
  EXPECT_EQ(status.diagnostics()[0].message,
            "the loss cannot be differentiated through \"kernel\" (/layers/3/cell): fusion comes "
            "after differentiation");
}

}  // namespace
}  // namespace gradc
