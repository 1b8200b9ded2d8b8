// Every rewrite rule on its own sample: it applies there, the values stay, and it comes to rest.
#include "ir/structural_hash.h"
#include "ir/verifier.h"
#include "passes/passes.h"
#include "passes/pattern.h"
#include "tests/support/graph_values.h"

#include <gtest/gtest.h>

#include <cctype>
#include <memory>
#include <set>
#include <string>

namespace gradc {
namespace {

class RewriteRule : public testing::TestWithParam<size_t> {
 protected:
  const Rule& rule() const { return canonical_rules()[GetParam()]; }
  std::shared_ptr<Graph> sample_graph() const {
    auto graph = std::make_shared<Graph>("sample");
    Builder builder(*graph);
    graph->add_output("y", rule().sample(builder).id());
    return graph;
  }
};

TEST_P(RewriteRule, KeepsTheValuesOfItsSample) {
  const auto before = sample_graph();
  const auto after = before->clone();
  PassContext context;
  context.begin_pass("canonicalize");
  const auto changed = passes::canonicalize(*after, context);
  ASSERT_TRUE(changed.ok());
  EXPECT_TRUE(*changed);
  EXPECT_GT(context.statistics.get("canonicalize: " + rule().text), 0)
      << rule().text << " did not apply to\n"
      << print_graph(*before);
  EXPECT_TRUE(verify(*after).empty()) << print_violations(*after, find_violations(*after));
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const auto inputs = test::random_inputs(*before, seed);
    test::expect_same_values(*before, *after, inputs, 1e-12);
  }
}

TEST_P(RewriteRule, ComesToRest) {
  const auto graph = sample_graph();
  PassContext context;
  ASSERT_TRUE(passes::canonicalize(*graph, context).ok());
  const uint64_t hash = structural_hash(*graph);
  const auto again = passes::canonicalize(*graph, context);
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(*again);
  EXPECT_EQ(structural_hash(*graph), hash);
}

/// A debug counter that lets nothing through leaves the graph alone.
TEST_P(RewriteRule, ObeysTheDebugCounter) {
  const auto graph = sample_graph();
  const auto before = graph->clone();
  PassContext context;
  context.debug_counters["canonicalize"] = {1000, 1000};
  context.begin_pass("canonicalize");
  const auto changed = passes::canonicalize(*graph, context);
  ASSERT_TRUE(changed.ok());
  EXPECT_FALSE(*changed);
  EXPECT_EQ(first_difference(*before, *graph), "");
}

std::string test_name(const testing::TestParamInfo<size_t>& info) {
  std::string name = fmt::format("{:02}_", info.index);
  for (char c : canonical_rules()[info.param].text)
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Rules, RewriteRule, testing::Range(size_t{0}, canonical_rules().size()),
                         test_name);

TEST(RewriteRules, HaveDistinctTexts) {
  std::set<std::string> texts;
  for (const Rule& rule : canonical_rules())
    EXPECT_TRUE(texts.insert(rule.text).second) << rule.text;
}

std::shared_ptr<Graph> graph_of(Val (*make)(Builder&)) {
  auto graph = std::make_shared<Graph>("case");
  Builder builder(*graph);
  graph->add_output("y", make(builder).id());
  return graph;
}

Val input(Builder& b) {
  return b.input(InputKind::kInput, f32({2, 3}), "x", "x");
}

/// Cases where the algebra would be wrong: nothing may change.
TEST(RewriteRules, LeaveWhatIsNotAnIdentity) {
  const auto unchanged = [](Val (*make)(Builder&)) {
    const auto graph = graph_of(make);
    PassContext context;
    const auto changed = passes::canonicalize(*graph, context);
    EXPECT_TRUE(changed.ok() && !*changed) << print_graph(*graph);
  };
  unchanged([](Builder& b) { return input(b) * 0.0; });  // inf * 0 is NaN
  unchanged([](Builder& b) {
    const Val x = input(b);
    return x - x;  // inf - inf is NaN
  });
  unchanged([](Builder& b) { return input(b) / 3.0; });                    // 1 / 3 is not exact
  unchanged([](Builder& b) { return logical_not(less(input(b), 1.0)); });  // NaN
  unchanged([](Builder& b) { return cast(cast(input(b), DType::kI32), DType::kF32); });
  unchanged([](Builder& b) { return transpose(input(b), {1, 0}); });
  unchanged([](Builder& b) { return slice(input(b), {0, 1}, {2, 3}); });
}

/// The common norm of all gradients is such a sum: walked to its end for each of its parts, it took
/// a second of a thousand layers, and the stack.
TEST(RewriteRules, DoNotWalkALongSumForEachOfItsParts) {
  Graph graph;
  Builder builder(graph);
  const Val x = builder.input(InputKind::kInput, f32({4}), "x", "x");
  const Val y = builder.input(InputKind::kInput, f32({4}), "y", "y");
  Val sum = x;
  for (int i = 0; i < 200'000; ++i)
    sum = sum + y;
  graph.add_output("sum", sum.id());
  PassContext context;
  const Result<bool> changed = passes::canonicalize(graph, context);
  ASSERT_TRUE(changed.ok());
  EXPECT_FALSE(*changed);
  EXPECT_EQ(graph.num_nodes(), 200'000U);
}

TEST(RewriteRules, KeepAProductThatIsAlsoNeededUntransposed) {
  auto graph = std::make_shared<Graph>("case");
  Builder b(*graph);
  const Val x = b.input(InputKind::kInput, f32({3, 2}), "x", "x");
  const Val y = b.input(InputKind::kInput, f32({2, 4}), "y", "y");
  const Val product = matmul(x, y);
  graph->add_output("p", product.id());
  graph->add_output("t", transpose(product, {1, 0}).id());
  PassContext context;
  const auto changed = passes::canonicalize(*graph, context);
  ASSERT_TRUE(changed.ok());
  EXPECT_FALSE(*changed);
}

}  // namespace
}  // namespace gradc
