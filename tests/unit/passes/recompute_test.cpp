// Forward values that are made again in the backward phase: the same numbers, less memory, whatever
// the graph and whatever is asked for.
#include "passes/recompute.h"

#include "ir/op.h"
#include "ir/printer.h"
#include "ir/verifier.h"
#include "passes/pass_manager.h"
#include "passes/plan_memory.h"

#include "training_graphs.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace gradc {
namespace {

using test::Step;

struct Tried {
  std::shared_ptr<Graph> graph;
  bool changed = false;
  int64_t arena_bytes = 0;
};

/// A training step of primitives, after recompute and all that plans memory.
Tried tried(const Graph& source, const Recomputation& what) {
  Tried result{source.clone()};
  PassContext context;
  context.options.recompute = what;
  context.options.recompute.small_bytes = 64;  // the graphs are small
  context.options.verify = true;
  PassManagerOptions options;
  options.observe = [&](std::string_view pass, const Graph&, const Graph&) {
    result.changed = result.changed || pass == "recompute";
  };
  const Status status =
      run_passes(*result.graph, "recompute,store_padded,fuse,schedule,in_place,plan_memory",
                 context, std::move(options));
  EXPECT_TRUE(status.ok()) << status.message();
  if (context.plan) result.arena_bytes = context.plan->arena_bytes;
  return result;
}

TEST(Recompute, EveryStepOfTheLadderKeepsTheNumbers) {
  int changed = 0;
  for (const auto& graph : test::all_training_graphs()) {
    for (const Recomputation& what : recomputation_ladder()) {
      const Tried t = tried(*graph, what);
      ASSERT_TRUE(verify(*t.graph).empty()) << verify(*t.graph).front().message;
      EXPECT_EQ(test::difference(*graph, *t.graph, 7), "") << graph->name() << ": " << what.text();
      changed += t.changed ? 1 : 0;
    }
  }
  EXPECT_GT(changed, 20);
}

TEST(Recompute, NothingIsDoneWhereNothingIsAskedFor) {
  for (const auto& graph : test::all_training_graphs())
    EXPECT_FALSE(tried(*graph, {}).changed);
}

TEST(Recompute, WhatHasNoBackwardPhaseStaysAsItIs) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto graph = test::random_graph(seed, 30);
    for (NodeId id : graph->nodes()) {
      if (graph->node(id).op != Op::kUpdate) graph->set_phase(id, Phase::kForward);
    }
    EXPECT_FALSE(tried(*graph, recomputation_ladder().back()).changed) << seed;
  }
}

/// tanh(u) u between two products of `width`, for the gradient of the second.
std::shared_ptr<Graph> between_products(int64_t rows, int64_t width) {
  auto graph = std::make_shared<Graph>("net");
  Builder b(*graph);
  const Val x = b.input(InputKind::kInput, f32({rows, width}), "x", "x");
  const Val u = matmul(x, b.input(InputKind::kParam, f32({width, width}), "w1", "w1"));
  const Val y = matmul(tanh(u) * u, b.input(InputKind::kParam, f32({width, width}), "w2", "w2"));
  graph->add_output("loss", reduce_sum(y * y, {0, 1}).id());
  return graph;
}

TEST(Recompute, WhatCostsNextToNothingIsDoneUnasked) {
  const auto remade = [](int64_t rows, int64_t width) {
    const auto graph = between_products(rows, width);
    PassContext context;
    EXPECT_TRUE(run_passes(*graph, "differentiate,expand_composites,recompute", context).ok());
    EXPECT_EQ(context.statistics.get("recompute: nodes made again") > 0,
              !context.recomputed.empty());
    return context.recomputed;
  };
  EXPECT_EQ(remade(4096, 2048), "elementwise values");
  EXPECT_EQ(remade(256, 2048), "") << "2 MB";
  EXPECT_EQ(remade(65536, 128), "") << "elements beside few products";
}

/// Graphs in which any node may belong to the backward phase from some place on.
TEST(Recompute, RandomGraphsKeepTheirNumbers) {
  int changed = 0;
  for (uint64_t seed = 0; seed < 300 && !testing::Test::HasFailure(); ++seed) {
    const auto graph = test::random_graph(seed, 20 + static_cast<int>(seed % 40));
    const std::vector<NodeId> nodes = graph->nodes();
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (graph->node(nodes[i]).op != Op::kUpdate)
        graph->set_phase(nodes[i], 2 * i < nodes.size() ? Phase::kForward : Phase::kBackward);
    }
    const auto ladder = recomputation_ladder();
    const Tried t = tried(*graph, ladder[seed % ladder.size()]);
    EXPECT_EQ(test::difference(*graph, *t.graph, seed), "") << seed << "\n" << print_graph(*graph);
    changed += t.changed ? 1 : 0;
  }
  std::printf("%d of 300 graphs changed\n", changed);
  EXPECT_GT(changed, 50);
}

/// 48 layers of 256: each forward value is 64 KB.
TEST(Recompute, ADeepNetNeedsTheRootOfItsDepth) {
  const auto graph = test::mlp_step(std::vector<int64_t>(49, 256), 64, Step::kSgd);
  const int64_t layer = int64_t{64} * 256 * 4;
  const int64_t all = tried(*graph, {}).arena_bytes;
  EXPECT_GE(all, 47 * layer);
  const int64_t half = tried(*graph, {.parts = 4, .remade = 2}).arena_bytes;
  EXPECT_LE(half, 0.67 * static_cast<double>(all));
  const int64_t least = tried(*graph, {.parts = 8, .remade = 7}).arena_bytes;
  EXPECT_LE(least, 17 * layer);  // 7 between the parts, 6 of one part, what its gradient needs
}

}  // namespace
}  // namespace gradc
