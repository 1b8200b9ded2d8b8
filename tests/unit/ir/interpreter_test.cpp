// The reference interpreter: interface and order of evaluation. Numbers of single ops are tested
// from the op table's samples, small graphs in tests/filetests/interpret.
#include "ir/interpreter.h"

#include "ir/builder.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

using testing::parsed;

TEST(Interpreter, RefusesWrongInputs) {
  const auto graph = parsed("graph @g {\n  input %x : f32[2]\n  return %x\n}\n");
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(interpret(*graph, {}).message(), "0 inputs were given, @g takes 1");
  const std::vector<Tensor> wrong = {Tensor(f32({3}))};
  EXPECT_EQ(interpret(*graph, wrong).message(),
            "input \"x\" was given f32[3] with 3 elements, expected f32[2]");
  const std::vector<Tensor> empty = {Tensor(f32({2}), {})};
  EXPECT_FALSE(interpret(*graph, empty).ok());
}

TEST(Interpreter, OutputsMayBeInputsAndRepeat) {
  const auto graph = parsed(R"(graph @g {
  input %x : f32[2]
  %0 = neg %x : f32[2]
  return a=%x, b=%0, c=%0
}
)");
  ASSERT_NE(graph, nullptr);
  const std::vector<Tensor> inputs = {Tensor(f32({2}), {1.5, -2.0})};
  const auto result = interpret(*graph, inputs);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].data, (std::vector<double>{1.5, -2.0}));
  EXPECT_EQ(result->outputs[1].data, (std::vector<double>{-1.5, 2.0}));
  EXPECT_EQ(result->outputs[2].data, result->outputs[1].data);
}

TEST(Interpreter, ReadsSeeOldValuesWhateverTheOrder) {
  const auto graph = parsed(R"(graph @g {
  param %a : f32[1]
  param %b : f32[1]
update:
  update %a <- %b
  update %b <- %a
  %c = neg %a : f32[1]
  return %c
}
)");
  ASSERT_NE(graph, nullptr);
  const std::vector<Tensor> inputs = {Tensor(f32({1}), {1.0}), Tensor(f32({1}), {2.0})};
  const auto result = interpret(*graph, inputs);
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->updates.size(), 2U);
  EXPECT_EQ(result->updates[0].first, "a");
  EXPECT_EQ(result->updates[0].second[0], 2.0);
  EXPECT_EQ(result->updates[1].second[0], 1.0);
  EXPECT_EQ(result->outputs[0][0], -1.0);
}

TEST(Interpreter, ValuesLiveUntilTheirLastUse) {
  Graph graph("late");
  Builder b(graph);
  const Val x = b.input(InputKind::kInput, f32({2}), "x", "x");
  const Val early = neg(x);
  Val chain = early;
  for (int i = 0; i < 50; ++i)
    chain = chain + early;  // reads the first result again and again
  graph.add_output("", chain.id());
  graph.add_output("", (chain - early).id());
  const std::vector<Tensor> inputs = {Tensor(f32({2}), {1.0, -3.0})};
  const auto result = interpret(graph, inputs);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].data, (std::vector<double>{-51.0, 153.0}));
  EXPECT_EQ(result->outputs[1].data, (std::vector<double>{-50.0, 150.0}));
}

}  // namespace
}  // namespace gradc
