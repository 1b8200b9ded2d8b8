// Attention against numbers by hand: which keys a query sees, and what a query gets that sees none.
#include "ir/interpreter.h"
#include "ir/op_attrs.h"
#include "tests/support/op_samples.h"

#include <gtest/gtest.h>

#include <limits>

namespace gradc {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Tensor evaluated(Op op, const std::vector<Tensor>& operands, AttentionAttrs attrs) {
  Sample s;
  for (const Tensor& t : operands)
    s.operands.push_back(t.type);
  test::SampleGraph sample(s);
  sample.graph->add_output("", sample.builder.add(op, sample.operands, make_attrs(attrs)).id());
  return interpret(*sample.graph, operands).take().outputs[0];
}

/// Scores of ln 1, ln 2, ln 3 for both queries: their weights are as 1 : 2 : 3.
const Tensor kQuery = {f32({1, 2, 1}), {1.0, 1.0}};
const Tensor kKey = {f32({1, 3, 1}), {0.0, std::log(2.0), std::log(3.0)}};
const Tensor kValue = {f32({1, 3, 1}), {6.0, 12.0, 24.0}};

void expect(const Tensor& actual, const std::vector<double>& wanted) {
  ASSERT_EQ(actual.data.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i)
    EXPECT_NEAR(actual.data[i], wanted[i], 1e-14) << "element " << i;
}

TEST(Attention, WeighsTheKeysThatAQuerySees) {
  expect(evaluated(Op::kAttention, {kQuery, kKey, kValue}, {}), {17.0, 17.0});
  expect(evaluated(Op::kAttention, {kQuery, kKey, kValue}, {.scale = 2.0}),
         {(6.0 + 48.0 + 216.0) / 14.0, (6.0 + 48.0 + 216.0) / 14.0});
  expect(evaluated(Op::kAttention, {kQuery, kKey, kValue}, {.causal = true}), {6.0, 10.0});
  expect(evaluated(Op::kAttentionWeights, {kQuery, kKey}, {.causal = true}),
         {1.0, 0.0, 0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0});
}

TEST(Attention, AQueryThatSeesNoKeyGetsZeros) {
  const Tensor seen = {{DType::kBool, {1, 2, 3}}, {0, 1, 1, 0, 0, 0}};
  expect(evaluated(Op::kAttention, {kQuery, kKey, kValue, seen}, {}), {19.2, 0.0});
  expect(evaluated(Op::kAttention, {kQuery, kKey, kValue, seen}, {.causal = true}), {0.0, 0.0});
  const Tensor added = {f32({1, 2, 3}), {-kInf, 0.0, std::log(2.0), -kInf, -kInf, -kInf}};
  expect(evaluated(Op::kAttention, {kQuery, kKey, kValue, added}, {}), {21.0, 0.0});
  const Tensor lowest = {f32({1, 1, 3}), std::vector<double>(3, -3.4028234663852886e38)};
  expect(evaluated(Op::kAttentionWeights, {kQuery, kKey, lowest}, {}), std::vector<double>(6, 0.0));
}

TEST(Attention, TilesKeepTheLogarithmOfTheSum) {
  const Tensor seen = {{DType::kBool, {1, 2, 3}}, {0, 1, 1, 0, 0, 0}};
  const std::vector<Tensor> operands = {kQuery, kKey, kValue, seen};
  Sample s;
  for (const Tensor& t : operands)
    s.operands.push_back(t.type);
  test::SampleGraph sample(s);
  for (const Val& result :
       sample.builder.add_multi(Op::kAttentionTiles, sample.operands, make_attrs(AttentionAttrs{})))
    sample.graph->add_output("", result.id());
  const std::vector<Tensor> results = interpret(*sample.graph, operands).take().outputs;
  expect(results[0], {19.2, 0.0});
  EXPECT_NEAR(results[1].data[0], std::log(5.0), 1e-14);
  EXPECT_EQ(results[1].data[1], 0.0);
}

TEST(Attention, HeadsOfTheQueryShareAHeadOfTheKey) {
  const Tensor query = {f32({4, 1, 1}), {1.0, 0.0, 1.0, 0.0}};
  const Tensor key = {f32({2, 2, 1}), {0.0, std::log(3.0), 0.0, std::log(7.0)}};
  const Tensor value = {f32({2, 2, 1}), {0.0, 4.0, 0.0, 8.0}};
  expect(evaluated(Op::kAttention, {query, key, value}, {}), {3.0, 2.0, 7.0, 4.0});
}

}  // namespace
}  // namespace gradc
