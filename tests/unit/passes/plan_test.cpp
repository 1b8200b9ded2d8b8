// Scheduling, in_place and planning together: property tests over training steps and random graphs,
// and the numbers that the design asks for.
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/verifier.h"
#include "passes/graph_stats.h"
#include "passes/in_place.h"
#include "passes/liveness.h"
#include "passes/memory_report.h"
#include "passes/passes.h"
#include "passes/plan_memory.h"

#include "training_graphs.h"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace gradc {
namespace {

using test::Step;

bool run(Graph& graph, PassFn pass) {
  PassContext context;
  const auto changed = pass(graph, context);
  EXPECT_TRUE(changed.ok()) << changed.message();
  return changed.ok() && *changed;
}

struct Planned {
  std::shared_ptr<Graph> graph;
  MemoryPlan plan;
};

Planned planned(const Graph& source, bool with_fusion = true) {
  Planned result{source.clone(), {}};
  if (with_fusion) run(*result.graph, passes::fuse);
  run(*result.graph, passes::schedule);
  run(*result.graph, passes::in_place);
  auto plan = make_memory_plan(*result.graph);
  EXPECT_TRUE(plan.ok()) << plan.message();
  if (plan.ok()) result.plan = plan.take();
  return result;
}

void check(const Graph& source, bool with_fusion, uint64_t seed) {
  const Planned p = planned(source, with_fusion);
  ASSERT_TRUE(verify(*p.graph).empty()) << verify(*p.graph).front().message;
  for (const std::string& wrong : verify_plan(*p.graph, p.plan))
    FAIL() << wrong << "\nseed " << seed << "\n" << print_graph(*p.graph);
  EXPECT_EQ(test::difference(source, *p.graph, seed), "");
  EXPECT_GE(p.plan.arena_bytes, p.plan.lower_bound_bytes);
  EXPECT_LE(p.plan.lower_bound_bytes, p.plan.naive_bytes);
  EXPECT_FALSE(run(*p.graph, passes::in_place)) << "in_place twice";
}

TEST(Plan, TrainingStepsVerify) {
  for (const auto& graph : test::all_training_graphs())
    check(*graph, true, 1);
}

TEST(Plan, UnfusedTrainingStepsVerify) {
  for (const auto& graph : test::all_training_graphs())
    check(*graph, false, 2);
}

TEST(Plan, RandomGraphsVerify) {
  for (uint64_t seed = 0; seed < 300 && !testing::Test::HasFailure(); ++seed) {
    const auto graph = test::random_graph(seed, 8 + static_cast<int>(seed % 40));
    check(*graph, seed % 3 != 0, seed);
  }
}

TEST(Plan, MlpArenaIsTheLowerBound) {
  for (const int64_t batch : {32, 64}) {
    const Planned p = planned(*test::mlp_step({784, 128, 10}, batch, Step::kAdam));
    EXPECT_EQ(p.plan.arena_bytes, p.plan.lower_bound_bytes);
    // At the peak: the hidden layer, its gradient, the gradient of the logits, the rate.
    const int64_t hidden = batch * 128 * 4;
    EXPECT_LE(p.plan.arena_bytes, 2 * hidden + batch * 10 * 4 + 4 * kArenaAlignment);
  }
}

TEST(Plan, TrainingStepsReachTheLowerBound) {
  for (const auto& graph : test::all_training_graphs()) {
    const Planned p = planned(*graph);
    EXPECT_EQ(p.plan.arena_bytes, p.plan.lower_bound_bytes) << graph->name();
  }
}

TEST(Plan, OptimizerUpdatesAreAllInPlace) {
  const auto graph = test::mlp_step({20, 12, 8, 5}, 4, Step::kAdam);
  const Planned p = planned(*graph);
  for (NodeId id : p.graph->nodes()) {
    if (p.graph->node(id).op != Op::kKernel) continue;
    EXPECT_NE(p.graph->node(id).attrs.as<KernelAttrs>().label, "copy");
  }
}

TEST(Plan, TheVerifierSeesWrongPlans) {
  const Planned p = planned(*test::mlp_step({20, 12, 8, 5}, 4, Step::kMomentum));
  int seen = 0;
  for (size_t i = 0; i < p.plan.storage.size(); ++i) {
    if (p.plan.storage[i].kind != StorageKind::kArena) continue;
    MemoryPlan wrong = p.plan;
    wrong.storage[i].offset += kArenaAlignment;
    seen += verify_plan(*p.graph, wrong).empty() ? 0 : 1;
    wrong.storage[i] = {};
    EXPECT_FALSE(verify_plan(*p.graph, wrong).empty());
  }
  EXPECT_GT(seen, 3);
  MemoryPlan small = p.plan;
  small.arena_bytes -= kArenaAlignment;
  EXPECT_FALSE(verify_plan(*p.graph, small).empty());
}

TEST(Plan, ABudgetThatIsTooSmallNamesThePeak) {
  const Planned p = planned(*test::mlp_step({784, 128, 10}, 32, Step::kAdam));
  PassContext context;
  context.options.memory_budget_bytes = p.plan.arena_bytes - 1;
  const auto refused = passes::plan_memory(*p.graph, context);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.diagnostics().front().kind, DiagKind::kMemoryBudget);
  EXPECT_NE(refused.diagnostics().front().notes.front().message.find("dense"), std::string::npos);
  context.options.memory_budget_bytes = p.plan.arena_bytes;
  EXPECT_TRUE(passes::plan_memory(*p.graph, context).ok());
  EXPECT_TRUE(context.plan.has_value());
}

TEST(Plan, ReportsAgreeWithThePlan) {
  const Planned p = planned(*test::conv_step(2, Step::kAdam));
  const nlohmann::json report = memory_report_json(*p.graph, p.plan);
  EXPECT_EQ(report["arena_bytes"], p.plan.arena_bytes);
  EXPECT_EQ(report["peak"]["bytes"], p.plan.lower_bound_bytes);
  EXPECT_EQ(report["buffers"].size(), p.plan.buffers.size());
  EXPECT_EQ(report["steps"].size(), p.graph->num_nodes());
  EXPECT_EQ(report["parameter_bytes"], 4 * (9 * 4 + 4 + 16 * 6 + 6 + 24 * 8 + 8 + 40 + 5));
  const std::string text = memory_report_text(*p.graph, p.plan);
  EXPECT_NE(text.find("peak at step"), std::string::npos);
}

TEST(Plan, FlopsOfTheMlp) {
  const Planned p = planned(*test::mlp_step({784, 128, 10}, 32, Step::kSgd));
  const WorkStats stats = graph_stats(*p.graph);
  // Forward and weight gradient of both layers, input gradient of the second.
  const int64_t expected = 2 * 32 * (2 * 784 * 128 + 3 * 128 * 10);
  EXPECT_EQ(stats.contraction_flops, expected);
  EXPECT_GT(stats.flops, expected);
}

std::shared_ptr<Graph> parsed(const std::string& text) {
  auto graph = parse_graph(text, "test.gir");
  EXPECT_TRUE(graph.ok()) << graph.message();
  return graph.take();
}

TEST(InPlace, SwappedParametersAreCopied) {
  const auto graph = parsed(R"(graph @swap {
  param %a : f32[4] {name=a}
  param %b : f32[4] {name=b}
update:
  update %a <- %b
  update %b <- %a
  return old=%a
})");
  check(*graph, true, 3);
}

TEST(InPlace, AReaderBehindTheWriterForcesACopy) {
  // The kernel that makes the new %w feeds one that reads the old %w at other points.
  const auto graph = parsed(R"(graph @behind {
  input %x : f32[4x4] {name=x}
  param %w : f32[4x4] {name=w}
forward:
  %1 = matmul %x, %w : f32[4x4]
  %2 = add %1, %w : f32[4x4]
  %3 = matmul %2, %w : f32[4x4]
  return y=%3
update:
  update %w <- %2
})");
  const Planned p = planned(*graph);
  check(*graph, true, 4);
  const auto nodes = p.graph->nodes();
  EXPECT_EQ(std::count_if(nodes.begin(), nodes.end(),
                          [&](NodeId id) {
                            const Node& n = p.graph->node(id);
                            return n.op == Op::kKernel && n.attrs.as<KernelAttrs>().label == "copy";
                          }),
            1);
}

TEST(InPlace, TransposedReadsDoNotOverwrite) {
  const auto graph = parsed(R"(graph @t {
  input %x : f32[4x4] {name=x}
forward:
  %1 = exp %x : f32[4x4]
  %2 = transpose %1 {perm=[1, 0]} : f32[4x4]
  %3 = add %1, %2 : f32[4x4]
  return y=%3
})");
  const NodeId add = graph->last_node();
  EXPECT_EQ(PointReads(*graph).overwritable(add)[0].size(), 2U);
  run(*graph, passes::fuse);
  for (NodeId id : graph->nodes())
    EXPECT_TRUE(PointReads(*graph).overwritable(id)[0].empty()) << print_graph(*graph);
}

TEST(InPlace, RowKernelsWriteOverWhatTheyRead) {
  const Planned p = planned(*test::mlp_step({16, 500}, 64, Step::kAdam));
  const int64_t logits = 64 * 500 * 4;
  EXPECT_GE(p.plan.arena_bytes, logits);
  EXPECT_LE(p.plan.arena_bytes, logits + 64 * 4 + 4 * kArenaAlignment);
}

TEST(InPlace, ARowKernelKeepsWhatItReadsElsewhere) {
  const auto plain = parsed(R"(graph @softmax {
  input %x : f32[512x512] {name=x}
forward:
  %y = matmul %x, %x : f32[512x512]
  %m = reduce_max %y {axes=[1]} : f32[512]
  %b = broadcast %m {dims=[0]} : f32[512x512]
  %d = sub %y, %b : f32[512x512]
  return d=%d
})");
  run(*plain, passes::fuse);
  EXPECT_EQ(PointReads(*plain).overwritable(plain->last_node())[0].size(), 1U)
      << print_graph(*plain);
  // Short rows would wait for each other, and save little.
  const auto narrow = parsed(R"(graph @narrow {
  input %x : f32[8x16] {name=x}
  input %w : f32[16x255] {name=w}
forward:
  %y = matmul %x, %w : f32[8x255]
  %m = reduce_max %y {axes=[1]} : f32[8]
  %b = broadcast %m {dims=[0]} : f32[8x255]
  %d = sub %y, %b : f32[8x255]
  return d=%d
})");
  run(*narrow, passes::fuse);
  EXPECT_TRUE(PointReads(*narrow).overwritable(narrow->last_node())[0].empty())
      << print_graph(*narrow);
  // The same, but the elements of other rows are read too.
  const auto crossed = parsed(R"(graph @crossed {
  input %x : f32[512x512] {name=x}
forward:
  %y = matmul %x, %x : f32[512x512]
  %t = transpose %y {perm=[1, 0]} : f32[512x512]
  %m = reduce_max %y {axes=[1]} : f32[512]
  %b = broadcast %m {dims=[0]} : f32[512x512]
  %d = sub %t, %b : f32[512x512]
  return d=%d
})");
  run(*crossed, passes::fuse);
  EXPECT_TRUE(PointReads(*crossed).overwritable(crossed->last_node())[0].empty())
      << print_graph(*crossed);
  const auto reduced = parsed(R"(graph @reduced {
  input %x : f32[512x512] {name=x}
forward:
  %y = matmul %x, %x : f32[512x512]
  %t = transpose %y {perm=[1, 0]} : f32[512x512]
  %m = reduce_max %t {axes=[1]} : f32[512]
  %b = broadcast %m {dims=[0]} : f32[512x512]
  %d = sub %y, %b : f32[512x512]
  return d=%d
})");
  run(*reduced, passes::fuse);
  EXPECT_TRUE(PointReads(*reduced).overwritable(reduced->last_node())[0].empty())
      << print_graph(*reduced);
}

TEST(Schedule, ParametersAreUpdatedBeforeTheStepEnds) {
  const auto graph = test::mlp_step({40, 64, 64, 64, 64, 5}, 64, Step::kAdam);
  const Planned p = planned(*graph);
  // Four hidden layers are kept; during the backward walk two gradients live, not five.
  const int64_t layer = 64 * 64 * 4;
  EXPECT_LE(p.plan.lower_bound_bytes, 5 * layer + 64 * 64);
}

TEST(Schedule, WorkGrowsAsTheGraphDoes) {
  const auto weighed_per_layer = [](size_t layers) {
    const auto graph = test::mlp_step(std::vector<int64_t>(layers + 1, 16), 8, Step::kAdam);
    run(*graph, passes::fuse);
    PassContext context;
    context.begin_pass("schedule");
    EXPECT_TRUE(passes::schedule(*graph, context).ok());
    return static_cast<double>(context.statistics.get("schedule: nodes weighed")) /
           static_cast<double>(layers);
  };
  const double small = weighed_per_layer(32);
  EXPECT_GT(small, 4);
  EXPECT_LT(weighed_per_layer(512), 1.2 * small);
}

TEST(Schedule, IsDeterministicAndTopological) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const auto graph = test::random_graph(seed, 30);
    auto once = graph->clone();
    auto again = graph->clone();
    run(*once, passes::schedule);
    run(*again, passes::schedule);
    EXPECT_EQ(once->nodes(), again->nodes());
    EXPECT_TRUE(verify(*once).empty());
    const std::vector<ValueId> targets = in_place_targets(*graph, nullptr);
    const LivenessModel model(*graph, targets);
    EXPECT_LE(model.profile(once->nodes()).peak, model.profile(graph->nodes()).peak) << seed;
  }
}

TEST(Liveness, InPlaceChainsAreOneBuffer) {
  const auto graph = parsed(R"(graph @chain {
  input %x : f32[64] {name=x}
forward:
  %1 = exp %x : f32[64]
  %2 = neg %1 : f32[64]
  %3 = tanh %2 : f32[64]
  %4 = reduce_sum %3 {axes=[0]} : f32[]
  return y=%4
})");
  const Planned p = planned(*graph, false);
  ASSERT_EQ(p.plan.buffers.size(), 1U);
  EXPECT_EQ(p.plan.arena_bytes, 256);
  EXPECT_EQ(p.plan.naive_bytes, 3 * 256);
  EXPECT_EQ(p.plan.buffers[0].name, "1+2+3");
}

}  // namespace
}  // namespace gradc
