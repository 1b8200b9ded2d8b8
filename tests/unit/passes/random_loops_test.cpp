// Random loops against the same graphs with the loops written out: values, gradients, second
// derivatives, and after every pass.
#include "ir/differentiate.h"
#include "ir/op.h"
#include "passes/fusion_form.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "passes/plan_memory.h"
#include "tests/support/graph_values.h"
#include "tests/support/random_graph.h"
#include "tests/support/unroll.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

constexpr uint64_t kSeeds = 300;
constexpr uint64_t kSeedsOfPasses = 100;
constexpr double kTolerance = 1e-8;

std::shared_ptr<Graph> random_loops(uint64_t seed) {
  testing::RandomGraphOptions options;
  options.families = testing::kRandomLoop | testing::kRandomElementwise | testing::kRandomView |
                     testing::kRandomMatmul;
  options.num_nodes = 6;
  options.max_extent = 6;
  return testing::random_graph(seed, options);
}

int num_loops(const Graph& graph) {
  int n = 0;
  for (NodeId id : graph.nodes())
    n += graph.node(id).op == Op::kScan ? 1 : 0;
  return n;
}

std::vector<ValueId> float_inputs(const Graph& graph) {
  std::vector<ValueId> values;
  for (const GraphInput& input : graph.inputs()) {
    if (input.kind != InputKind::kState && is_float(graph.type(input.value).dtype))
      values.push_back(input.value);
  }
  return values;
}

/// The gradients of the loss, or of their sum of squares where asked twice, become the outputs.
void take_gradients(Graph& graph, int times) {
  Builder builder(graph);
  builder.set_phase(Phase::kBackward);
  const std::vector<ValueId> wrt = float_inputs(graph);
  Val loss = builder.wrap(*graph.find_output("loss"));
  for (NodeId id : graph.nodes()) {
    if (def(graph.node(id).op).has(kTraitEffect)) graph.erase(id);
  }
  std::vector<ValueId> gradients;
  for (int n = 0; n < times; ++n) {
    const std::vector<ValueId> outputs = {loss.id()};
    const std::vector<ValueId> seeds = {builder.scalar(1.0).id()};
    auto found = add_gradients(graph, outputs, seeds, wrt, "");
    ASSERT_TRUE(found.ok()) << found.message();
    gradients = found.take();
    loss = builder.scalar(0.0);
    for (ValueId id : gradients) {
      if (!id.valid()) continue;
      const Val g = builder.wrap(id);
      std::vector<int64_t> axes(static_cast<size_t>(g.rank()));
      std::iota(axes.begin(), axes.end(), 0);
      loss = loss + reduce_sum(g * sin(g), axes);
    }
  }
  while (!graph.outputs().empty())
    graph.remove_output(0);
  for (size_t i = 0; i < wrt.size(); ++i) {
    const Val zero = builder.splat(0.0, graph.type(wrt[i]));
    graph.add_output("", gradients[i].valid() ? gradients[i] : zero.id());
  }
}

TEST(RandomLoops, AreWhatTheyAreWrittenOut) {
  int loops = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    const auto graph = random_loops(seed);
    loops += num_loops(*graph);
    const auto flat = graph->clone();
    testing::unroll_loops(*flat);
    test::expect_same_values(*graph, *flat, testing::random_inputs(*graph, seed), kTolerance);
    if (HasFatalFailure()) FAIL() << print_graph(*graph);
  }
  EXPECT_GT(loops, 200);
}

TEST(RandomLoops, GradientsAreThoseOfTheLoopsWrittenOut) {
  for (int times : {1, 2}) {
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      SCOPED_TRACE(seed);
      const auto graph = random_loops(seed);
      if (num_loops(*graph) == 0) continue;
      const auto flat = graph->clone();
      testing::unroll_loops(*flat);
      take_gradients(*graph, times);
      take_gradients(*flat, times);
      if (HasFatalFailure()) return;
      test::expect_same_values(*graph, *flat, testing::random_inputs(*graph, seed), kTolerance);
      if (HasFatalFailure()) FAIL() << print_graph(*random_loops(seed)) << print_graph(*graph);
    }
  }
}

TEST(RandomLoops, EveryPassKeepsTheValues) {
  for (uint64_t seed = 0; seed < kSeedsOfPasses; ++seed) {
    SCOPED_TRACE(seed);
    auto graph = random_loops(seed);
    take_gradients(*graph, seed % 4 == 0 ? 2 : 1);
    const std::vector<Tensor> inputs = testing::random_inputs(*graph, seed);
    PassManagerOptions options;
    options.observe = [&](std::string_view pass, const Graph& before, const Graph& after) {
      SCOPED_TRACE(pass);
      test::expect_same_values(before, after, inputs, kTolerance);
    };
    PassContext context;
    Status status = Ok{};
    try {
      status =
          run_passes(*graph, pipeline_text(PipelineKind::kForward), context, std::move(options));
    } catch (const std::exception& e) {
      FAIL() << e.what() << print_graph(*graph);
    }
    ASSERT_TRUE(status.ok()) << status.message();
    if (HasFatalFailure()) FAIL() << print_graph(*random_loops(seed));
    for (const std::string& error : verify_fused(*graph))
      ADD_FAILURE() << error;
    for (const std::string& error : verify_plan(*graph, *context.plan))
      ADD_FAILURE() << error;
  }
}

}  // namespace
}  // namespace gradc
