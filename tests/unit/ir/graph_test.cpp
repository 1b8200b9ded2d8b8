// The mutators of Graph: use-lists, order, names.
#include "ir/graph.h"

#include "ir/builder.h"
#include "ir/structural_hash.h"
#include "ir/verifier.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

#include <random>

namespace gradc {
namespace {

using testing::parsed;

TEST(Graph, NamesAreUniqueAndCleaned) {
  Graph graph;
  Builder b(graph);
  const Val x = b.input(InputKind::kInput, f32({2}), "x", "x y/z");
  const Val y = b.input(InputKind::kInput, f32({2}), "y", "x y/z");
  EXPECT_EQ(graph.value(x.id()).name, "x_y_z");
  EXPECT_EQ(graph.value(y.id()).name, "x_y_z.1");
  EXPECT_EQ(graph.value(neg(x).id()).name, "0");
  EXPECT_EQ(graph.value(neg(x).id()).name, "1");
}

TEST(Graph, RenamingExchangesNames) {
  Graph graph;
  Builder b(graph);
  const Val x = b.input(InputKind::kInput, f32({2}), "x", "a");
  const Val y = b.input(InputKind::kInput, f32({2}), "y", "b");
  const std::vector<std::pair<ValueId, std::string>> names = {{x.id(), "b"}, {y.id(), "a"}};
  graph.rename_values(names);
  EXPECT_EQ(graph.value(x.id()).name, "b");
  EXPECT_EQ(graph.value(y.id()).name, "a");
}

TEST(Graph, ReplaceAllUsesReachesOperandsAndOutputs) {
  const auto graph = parsed(R"(graph @g {
  input %x : f32[2]
  %0 = neg %x : f32[2]
  %1 = mul %0, %0 : f32[2]
  return %0, %1
}
)");
  ASSERT_NE(graph, nullptr);
  const ValueId x = graph->inputs()[0].value;
  const ValueId negated = graph->node(graph->first_node()).results[0];
  graph->replace_all_uses(negated, x);
  EXPECT_FALSE(graph->has_uses(negated));
  EXPECT_EQ(graph->value(x).uses.size(), 3U);
  EXPECT_EQ(graph->outputs()[0].value, x);
  graph->erase(graph->first_node());
  EXPECT_EQ(graph->num_nodes(), 1U);
  EXPECT_TRUE(verify(*graph).empty());
}

TEST(Graph, CloneIsIndependentAndKeepsIds) {
  const auto graph = parsed(R"(graph @g {
  input %x : f32[2]
  %0 = kernel @k(%x) : f32[2] {
    %1 = neg %x : f32[2]
    yield %1
  }
  return %0
}
)");
  ASSERT_NE(graph, nullptr);
  const auto copy = graph->clone();
  EXPECT_NE(copy->node(copy->first_node()).body, graph->node(graph->first_node()).body);
  EXPECT_TRUE(structurally_equal(*graph, *copy, {.value_names = true}));
  EXPECT_EQ(copy->outputs()[0].value, graph->outputs()[0].value);
  copy->remove_output(0);
  copy->erase(copy->first_node());
  EXPECT_TRUE(verify(*copy).empty());
  EXPECT_EQ(graph->num_nodes(), 1U);
  EXPECT_TRUE(verify(*graph).empty());
}

// Any sequence of mutations leaves what the verifier recomputes: order links and use-lists.
TEST(Graph, RandomMutationsKeepTheInvariants) {
  std::mt19937 random(11);
  const auto pick = [&](size_t count) { return static_cast<size_t>(random() % count); };
  for (int round = 0; round < 30; ++round) {
    Graph graph;
    Builder b(graph);
    std::vector<ValueId> values = {b.input(InputKind::kInput, f32({2}), "x", "x").id(),
                                   b.input(InputKind::kInput, f32({2}), "y", "y").id()};
    for (int step = 0; step < 60; ++step) {
      const std::vector<NodeId> nodes = graph.nodes();
      switch (random() % 5) {
        case 0:
        case 1: {
          const Val sum = b.wrap(values[pick(values.size())]) + b.wrap(values[pick(values.size())]);
          values.push_back(sum.id());
          break;
        }
        case 2:  // an operand becomes an input: always before every node
          if (!nodes.empty()) graph.set_operand(nodes[pick(nodes.size())], random() % 2, values[0]);
          break;
        case 3:
          graph.replace_all_uses(values[pick(values.size())], values[1]);
          break;
        default:
          if (nodes.empty()) break;
          const NodeId node = nodes[pick(nodes.size())];
          const ValueId result = graph.node(node).results[0];
          if (graph.has_uses(result)) break;
          graph.erase(node);
          std::erase(values, result);
          break;
      }
      ASSERT_TRUE(verify(graph).empty()) << print_violations(graph, find_violations(graph));
    }
  }
}

}  // namespace
}  // namespace gradc
