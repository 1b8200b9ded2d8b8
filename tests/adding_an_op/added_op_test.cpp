// The op that docs/adding_an_op.md adds is there: in the table, in the text form, in the
// interpreter, with a gradient; beside it, the generic tests of the op table run (see
// CMakeLists.txt).
#include "ir/interpreter.h"
#include "ir/op.h"
#include "ir/parser.h"
#include "passes/pass_manager.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

TEST(AddedOp, IsTheLastOfTheTable) {
  ASSERT_NE(find_op("softsign"), nullptr);
  EXPECT_EQ(all_ops().back(), find_op("softsign"));
}

TEST(AddedOp, ReadsRunsAndHasAGradient) {
  const auto graph = parse_graph(R"(graph @g {
  param %x : f32[2]
  %0 = softsign %x : f32[2]
  %1 = reduce_sum %0 {axes=[0]} : f32[]
  return loss=%1
})",
                                 "added.gir");
  ASSERT_TRUE(graph.ok()) << graph.message();
  PassContext context;
  const Status status = run_passes(**graph, "differentiate,expand_composites", context);
  ASSERT_TRUE(status.ok()) << status.message();
  const Tensor x({DType::kF32, Shape({2})}, {1.0, -3.0});
  const auto result = interpret(**graph, std::span(&x, 1));
  ASSERT_TRUE(result.ok()) << result.message();
  ASSERT_EQ(result->outputs.size(), 2U);
  EXPECT_DOUBLE_EQ(result->outputs[0][0], 0.5 - 0.75);
  EXPECT_DOUBLE_EQ(result->outputs[1][0], 0.25);  // 1 / (1 + |x|)^2
  EXPECT_DOUBLE_EQ(result->outputs[1][1], 1.0 / 16.0);
}

}  // namespace
}  // namespace gradc
