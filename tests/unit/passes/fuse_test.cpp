// Fusion: fused graphs follow the rules of fusion_form, verify, compute the same numbers, and have
// the kernels that the networks call for.
#include "ir/printer.h"
#include "ir/structural_hash.h"
#include "ir/verifier.h"
#include "passes/fusion_form.h"
#include "passes/fusion_remarks.h"
#include "passes/group_order.h"
#include "passes/passes.h"

#include "training_graphs.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <set>

namespace gradc {
namespace {

using test::Step;

std::shared_ptr<Graph> fused(const Graph& graph, bool name_bodies = false) {
  auto result = graph.clone();
  PassContext context;
  context.options.name_bodies = name_bodies;
  const auto changed = passes::fuse(*result, context);
  EXPECT_TRUE(changed.ok()) << changed.message();
  return result;
}

std::map<std::string, int> labels(const Graph& graph) {
  std::map<std::string, int> result;
  for (NodeId id : graph.nodes()) {
    if (graph.node(id).op == Op::kKernel) ++result[graph.node(id).attrs.as<KernelAttrs>().label];
  }
  return result;
}

void check(const Graph& graph, uint64_t seed) {
  const auto result = fused(graph);
  const std::vector<Diagnostic> errors = verify(*result);
  ASSERT_TRUE(errors.empty()) << errors.front().message << "\n" << print_graph(*result);
  for (const std::string& wrong : verify_fused(*result))
    ADD_FAILURE() << wrong << "\n" << print_graph(*result);
  EXPECT_EQ(test::difference(graph, *result, seed), "") << print_graph(graph);
  PassContext context;
  const auto again = passes::fuse(*result, context);
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(*again);
}

TEST(Fuse, TrainingStepsComputeTheSame) {
  for (const auto& graph : test::all_training_graphs())
    check(*graph, 7);
}

TEST(Fuse, RandomGraphsComputeTheSame) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    check(*test::random_graph(seed, 6 + static_cast<int>(seed % 40)), seed);
    if (HasFailure()) {
      std::cerr << "seed " << seed << "\n";
      return;
    }
  }
}

TEST(Fuse, TheMlpStepHasTheseKernels) {
  const auto graph = fused(*test::mlp_step({784, 128, 10}, 32, Step::kAdam));
  if (std::getenv("GRADC_SHOW") != nullptr) std::cout << print_graph(*graph);
  const std::map<std::string, int> expected = {{"argmax", 1},
                                               {"bias_grad_step", 2},
                                               {"dense", 1},
                                               {"dense_dinput_masked", 1},
                                               {"dense_relu", 1},
                                               {"dense_wgrad_step", 2},
                                               {"reduce_sum_all", 2},
                                               {"scalars_div", 1},
                                               {"softmax_cross_entropy_grad", 1}};
  EXPECT_EQ(labels(*graph), expected);
}

/// Every pair of kernels where one reads the other is explained, by what fuse did.
std::vector<Node> kernels(const Graph& graph) {
  std::vector<Node> result;
  for (NodeId id : graph.nodes()) {
    if (graph.node(id).op == Op::kKernel) result.push_back(graph.node(id));
  }
  return result;
}

TEST(Fuse, KernelsThatAreEqualHaveOneBody) {
  std::vector<std::shared_ptr<Graph>> graphs = test::all_training_graphs();
  graphs.push_back(test::mlp_step({32, 32, 32, 32, 32, 32}, 16, Step::kAdam));
  size_t shared = 0;
  for (const auto& graph : graphs) {
    const auto result = fused(*graph);
    const auto copy = result->clone();
    const std::vector<Node> nodes = kernels(*result);
    const std::vector<Node> copies = kernels(*copy);
    for (size_t i = 0; i < nodes.size(); ++i) {
      EXPECT_NE(copies[i].body, nodes[i].body);
      for (size_t j = 0; j < i; ++j) {
        const bool same = nodes[i].body == nodes[j].body;
        EXPECT_EQ(same,
                  nodes[i].attrs == nodes[j].attrs && bodies_equal(*nodes[i].body, *nodes[j].body));
        EXPECT_EQ(same, copies[i].body == copies[j].body);
        shared += same ? 1 : 0;
      }
    }
  }
  EXPECT_GE(shared, 5U * 4U / 2);  // the updates of five equal matrices
}

TEST(Fuse, BodiesForPeopleAreTheirKernelsOwn) {
  const auto graph = test::mlp_step({32, 32, 32, 32, 32, 32}, 16, Step::kAdam);
  const auto named = fused(*graph, /*name_bodies=*/true);
  EXPECT_EQ(first_difference(*named, *fused(*graph)), "");
  std::set<const Graph*> bodies;
  for (const Node& node : kernels(*named)) {
    bodies.insert(node.body.get());
    for (size_t i = 0; i < node.operands.size(); ++i)
      EXPECT_EQ(node.body->value(node.body->inputs()[i].value).name,
                named->value(node.operands[i]).name);
  }
  EXPECT_EQ(bodies.size(), kernels(*named).size());
}

TEST(FusionRemarks, ExplainEveryPair) {
  for (const auto& graph : test::all_training_graphs()) {
    const auto remarks = fusion_remarks(*graph);
    ASSERT_TRUE(remarks.ok()) << remarks.message();
    const auto kernels = fused(*graph);
    std::set<std::pair<std::string, std::string>> explained;
    for (const FusionRemark& remark : *remarks) {
      EXPECT_NE(remark.refusal, Refusal::kNone) << remark.text();
      if (remark.linked) explained.emplace(remark.first, remark.second);
    }
    for (NodeId id : kernels->nodes()) {
      const Node& reader = kernels->node(id);
      if (reader.op != Op::kKernel) continue;
      for (ValueId operand : reader.operands) {
        const NodeId maker = kernels->def(operand);
        if (!maker.valid() || kernels->node(maker).op != Op::kKernel) continue;
        const auto pair = std::pair(kernels->node(maker).attrs.as<KernelAttrs>().label,
                                    reader.attrs.as<KernelAttrs>().label);
        EXPECT_TRUE(explained.contains(pair)) << pair.first << " | " << pair.second;
      }
    }
    EXPECT_FALSE(fusion_remarks(*kernels).ok());
  }
}

TEST(FusionRemarks, SayWhichRuleAndWhichNumbers) {
  const auto remarks = fusion_remarks(*test::mlp_step({784, 128, 10}, 64, Step::kAdam));
  ASSERT_TRUE(remarks.ok());
  const auto find = [&](std::string_view first, std::string_view second) {
    for (const FusionRemark& remark : *remarks) {
      if (remark.first == first && remark.second == second) return remark;
    }
    ADD_FAILURE() << first << " | " << second << "\n" << fusion_remarks_text(*remarks);
    return FusionRemark();
  };
  const FusionRemark two = find("dense_relu", "dense");
  EXPECT_EQ(two.refusal, Refusal::kForm);
  EXPECT_EQ(two.rule, "two contractions or the like");
  EXPECT_TRUE(two.linked);
  EXPECT_EQ(find("dense", "softmax_cross_entropy_grad").rule, "a contraction and a reduction");
  EXPECT_EQ(find("scalars_div", "dense_wgrad_step").rule, "outputs of different shapes");
  // With a common norm the way from a gradient to its step leads through all of them.
  const auto clipped = fusion_remarks(*test::mlp_step({784, 128, 10}, 64, Step::kClippedAdam));
  ASSERT_TRUE(clipped.ok());
  EXPECT_TRUE(std::any_of(clipped->begin(), clipped->end(), [](const FusionRemark& remark) {
    return remark.first == "dense_wgrad" && remark.second == "step" &&
           remark.refusal == Refusal::kCycle;
  })) << fusion_remarks_text(*clipped);
}

/// What the search looks at: pairs of groups and edges between groups.
double work_of_fusing(const Graph& graph) {
  const auto copy = graph.clone();
  PassContext context;
  context.begin_pass("fuse");
  EXPECT_TRUE(passes::fuse(*copy, context).ok());
  return static_cast<double>(context.statistics.get("fuse: pairs tried") +
                             context.statistics.get("fuse: edges seen"));
}

TEST(Fuse, WorkGrowsAsTheGraphDoes) {
  for (const Step step : {Step::kSgd, Step::kAdam, Step::kClippedAdam}) {
    const double small =
        work_of_fusing(*test::mlp_step(std::vector<int64_t>(33, 16), 8, step)) / 32;
    const double large =
        work_of_fusing(*test::mlp_step(std::vector<int64_t>(513, 16), 8, step)) / 512;
    // Clipping by the common norm has a way through all layers: it is followed for so many edges.
    const double way = step == Step::kClippedAdam ? 4.0 * 2 * GroupOrder::kMaxEdges : 0;
    EXPECT_LT(large, 1.3 * small + way);
  }
}

/// Views that are read twice, again and again: each would be looked at twice as often as the last.
TEST(Fuse, ADiamondOfViewsIsWalkedOnce) {
  Graph graph("diamonds");
  Builder builder(graph);
  const Val x = builder.input(InputKind::kInput, {DType::kF32, {8, 8}}, "input/x", "x");
  Val y = exp(x);
  for (int i = 0; i < 60; ++i)
    y = slice(concat({transpose(y, {1, 0}), reverse(y, {0})}, 0), {3, 0}, {11, 8}, {1, 1});
  graph.add_output("output/y", (y + x).id());
  check(graph, 3);
  EXPECT_LT(work_of_fusing(graph), 5000);
}

TEST(Fuse, ShowsOthers) {
  if (std::getenv("GRADC_SHOW") == nullptr) GTEST_SKIP() << "only with GRADC_SHOW";
  std::cout << print_graph(*fused(*test::conv_step(2, Step::kMomentum)));
  std::cout << print_graph(*fused(*test::mixed_step(4, Step::kAdam)));
  std::cout << print_graph(*fused(*test::embedding_step(3, Step::kClippedAdam)));
}

}  // namespace
}  // namespace gradc
