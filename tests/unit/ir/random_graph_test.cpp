// Random graphs: valid, reproducible, well-conditioned; the text form and the verifier hold on
// them; shrinking finds the culprit.
#include "tests/support/random_graph.h"

#include "ir/interpreter.h"
#include "ir/op.h"
#include "ir/structural_hash.h"
#include "ir/verifier.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace gradc {
namespace {

using testing::random_graph;
using testing::random_inputs;

TEST(RandomGraph, VerifiesPrintsAndReadsBack) {
  std::set<Op> seen;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const auto graph = random_graph(seed);
    const auto errors = find_violations(*graph);
    ASSERT_TRUE(errors.empty()) << print_violations(*graph, errors);
    const std::string text = print_graph(*graph);
    const auto again = testing::parsed(text);
    ASSERT_NE(again, nullptr) << text;
    ASSERT_EQ(first_difference(*graph, *again, {.value_names = true, .locations = true}), "");
    ASSERT_EQ(structural_hash(*graph), structural_hash(*again));
    ASSERT_EQ(print_graph(*again), text);
    ASSERT_EQ(first_difference(*graph, *random_graph(seed)), "");
    for (NodeId id : graph->nodes())
      seen.insert(graph->node(id).op);
  }
  EXPECT_GE(seen.size(), 60U);  // the families are really drawn from
}

TEST(RandomGraph, ValuesAreFinite) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto graph = random_graph(seed);
    const auto result = interpret(*graph, random_inputs(*graph, seed));
    ASSERT_TRUE(result.ok()) << result.message();
    for (const Tensor& output : result->outputs) {
      for (double x : output.data)
        ASSERT_TRUE(std::isfinite(x)) << print_graph(*graph);
    }
    ASSERT_EQ(graph->outputs().back().name, "loss");
  }
}

TEST(RandomGraph, ShrinkingKeepsOnlyTheCulprit) {
  const auto has_tanh = [](const Graph& graph) {
    for (NodeId id : graph.nodes()) {
      if (graph.node(id).op == Op::kTanh) return true;
    }
    return false;
  };
  const auto graph = random_graph(3);
  ASSERT_TRUE(has_tanh(*graph));
  ASSERT_GT(graph->num_nodes(), 10U);
  const auto small = testing::shrink_graph(*graph, has_tanh);
  EXPECT_TRUE(has_tanh(*small));
  EXPECT_TRUE(verify(*small).empty());
  EXPECT_EQ(small->num_nodes(), 1U) << print_graph(*small);
}

}  // namespace
}  // namespace gradc
