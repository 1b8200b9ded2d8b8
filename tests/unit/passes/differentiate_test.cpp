// The pass differentiate: what becomes an output, what is refused, and gradients of gradients.
// Formulas of single ops are checked by gradcheck_test.cpp.
#include "ir/differentiate.h"

#include "ir/verifier.h"
#include "passes/gradient_check.h"
#include "passes/pass_manager.h"
#include "tests/support/graph_values.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace gradc {
namespace {

using testing::parsed;

constexpr const char* kMlp = R"(graph @mlp {
  input %x  : f32[4x3] {name=input/x}
  input %y  : f32[4x2] {name=target/y}
  param %w1 : f32[3x5] {name=dense/kernel}     // /layers/0
  param %b1 : f32[5] {name=dense/bias}         // /layers/0
  param %w2 : f32[5x2] {name=dense_1/kernel}   // /layers/1
forward:
  %0 = matmul %x, %w1            : f32[4x5]  // /layers/0
  %1 = broadcast %b1 {shape=[4, 5], dims=[1]} : f32[4x5]  // /layers/0
  %2 = add %0, %1                : f32[4x5]  // /layers/0
  %h = tanh %2                   : f32[4x5]  // /layers/0
  %z = matmul %h, %w2            : f32[4x2]  // /layers/1
  %d = sub %z, %y                : f32[4x2]
  %s = mul %d, %d                : f32[4x2]
  %loss = reduce_sum %s {axes=[0, 1]} : f32[]  // /training/loss
  return loss=%loss
}
)";

size_t output_index(const Graph& graph, const std::string& name) {
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    if (graph.outputs()[i].name == name) return i;
  }
  ADD_FAILURE() << "no output " << name << " in\n" << print_graph(graph);
  return 0;
}

TEST(Differentiate, GivesAnOutputPerParameterWithPhaseAndLocation) {
  const auto graph = parsed(kMlp);
  ASSERT_NE(graph, nullptr);
  PassContext context;
  ASSERT_TRUE(run_passes(*graph, "differentiate", context).ok());
  ASSERT_EQ(graph->outputs().size(), 4U);
  for (const char* name : {"dense/kernel", "dense/bias", "dense_1/kernel"}) {
    const auto gradient = graph->find_output(std::string("gradient/") + name);
    ASSERT_TRUE(gradient.has_value()) << name;
    EXPECT_EQ(graph->type(*gradient), graph->type(*graph->find_input(name)));
    const Node& node = graph->node(graph->def(*gradient));
    EXPECT_EQ(node.phase, Phase::kBackward);
    EXPECT_TRUE(graph->location(node.loc).starts_with("gradient of /layers/")) << name;
  }
  EXPECT_EQ(context.statistics.get("differentiate: gradients"), 3);
}

/// Inputs are data: nothing is computed for them.
TEST(Differentiate, ComputesNothingForInputs) {
  const auto graph = parsed(kMlp);
  ASSERT_NE(graph, nullptr);
  PassContext context;
  ASSERT_TRUE(run_passes(*graph, "differentiate", context).ok());
  const size_t before = graph->num_nodes();
  ASSERT_TRUE(run_passes(*graph, "dce", context).ok());
  // The gradient rules of mul and matmul leave nothing behind but what is used.
  EXPECT_LE(before - graph->num_nodes(), 1U) << print_graph(*graph);
}

TEST(Differentiate, GradientsOfAModelAgreeWithDifferences) {
  const auto graph = parsed(kMlp);
  ASSERT_NE(graph, nullptr);
  const auto checks = check_gradients(*graph, draw_inputs(*graph, 3));
  ASSERT_TRUE(checks.ok()) << checks.message();
  ASSERT_EQ(checks->size(), 3U);
  for (const ParameterCheck& check : *checks) {
    EXPECT_TRUE(check.passed) << check.name << " " << check.relative_error;
    EXPECT_LT(check.relative_error, 1e-6) << check.name;
    EXPECT_GT(std::fabs(check.numeric), 1e-3) << check.name;
  }
}

TEST(Differentiate, ACheckFindsAWrongGradient) {
  // The loss reads %w through a cast to integers and back: its gradient is zero, its differences
  // are not.
  const auto graph = parsed(R"(graph @kinked {
  param %w : f32[4] {name=w}
forward:
  %big  = constant {value=1e6}            : f32[4]
  %0    = mul %w, %big                    : f32[4]
  %1    = cast %0 {dtype=i32}             : i32[4]
  %2    = cast %1 {dtype=f32}             : f32[4]
  %loss = reduce_sum %2 {axes=[0]}        : f32[]
  return loss=%loss
}
)");
  ASSERT_NE(graph, nullptr);
  const auto checks = check_gradients(*graph, draw_inputs(*graph, 3));
  ASSERT_TRUE(checks.ok()) << checks.message();
  ASSERT_EQ(checks->size(), 1U);
  EXPECT_FALSE(checks->front().passed);
}

TEST(Differentiate, WhatRoundingExplainsIsNoWrongGradient) {
  // The mean takes %b out again, and what rounding leaves of it is made larger, as norms of two
  // rows do.
  const auto graph = parsed(R"(graph @norm {
  input %x : f32[5] {name=input/x}
  param %w : f32[5] {name=w}
  param %b : f32[] {name=b}
forward:
  %0    = mul %x, %w                          : f32[5]
  %1    = broadcast %b {shape=[5], dims=[]}   : f32[5]
  %2    = add %0, %1                          : f32[5]
  %3    = reduce_sum %2 {axes=[0]}            : f32[]
  %part = constant {value=0.2}                : f32[]
  %4    = mul %3, %part                       : f32[]
  %5    = broadcast %4 {shape=[5], dims=[]}   : f32[5]
  %6    = sub %2, %5                          : f32[5]
  %big  = constant {value=1e4}                : f32[5]
  %7    = mul %6, %big                        : f32[5]
  %8    = mul %7, %w                          : f32[5]
  %loss = reduce_sum %8 {axes=[0]}            : f32[]
  return loss=%loss
}
)");
  ASSERT_NE(graph, nullptr);
  GradientCheckOptions options;
  options.tolerance = 1e-9;
  const auto checks = check_gradients(*graph, draw_inputs(*graph, 3), options);
  ASSERT_TRUE(checks.ok()) << checks.message();
  ASSERT_EQ(checks->size(), 2U);
  const ParameterCheck& bias = (*checks)[1];
  EXPECT_TRUE(bias.passed) << bias.analytic << " " << bias.numeric << " " << bias.rounding;
  EXPECT_GT(bias.relative_error, options.tolerance);
  EXPECT_TRUE(bias.within_rounding());
  EXPECT_LT(bias.rounding, 1e-4);
  EXPECT_GT(std::fabs((*checks)[0].analytic), 10.0);
}

TEST(Differentiate, AnUnusedParameterHasAZeroGradientAndAWarning) {
  const auto graph = parsed(R"(graph @unused {
  param %w : f32[2] {name=a/w}   // /layers/0
  param %u : f32[3] {name=b/u}   // /layers/1
forward:
  %loss = reduce_sum %w {axes=[0]} : f32[]
  return loss=%loss
}
)");
  ASSERT_NE(graph, nullptr);
  PassContext context;
  ASSERT_TRUE(run_passes(*graph, "differentiate", context).ok());
  const auto result = interpret(*graph, draw_inputs(*graph, 1));
  ASSERT_TRUE(result.ok());
  for (double x : result->outputs[output_index(*graph, "gradient/b/u")].data)
    EXPECT_EQ(x, 0.0);
  for (double x : result->outputs[output_index(*graph, "gradient/a/w")].data)
    EXPECT_EQ(x, 1.0);
  ASSERT_EQ(context.sink.all().size(), 1U);
  EXPECT_EQ(context.sink.all()[0].kind, DiagKind::kUnusedParameter);
  EXPECT_EQ(context.sink.all()[0].place.pointer, "/layers/1");
}

/// A weight that is not trained passes gradients on as any other: zeros would hide wrong ones.
TEST(Differentiate, StatesThatStartAtRandomAreDrawn) {
  const auto graph = parsed(R"(graph @frozen {
  state %w : f32[4] {name=a/w, init=variance_scaling(a=1.0, mode=fan_avg, distribution=uniform, fan_in=4, fan_out=4)}
  state %mean : f32[4] {name=n/mean, init=zeros}
  state %variance : f32[4] {name=n/variance, init=ones}
forward:
  %0 = mul %w, %variance   : f32[4]
  %1 = add %0, %mean       : f32[4]
  return y=%1
}
)");
  ASSERT_NE(graph, nullptr);
  const std::vector<Tensor> drawn = draw_inputs(*graph, 1);
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_NE(drawn[0][i], 0.0);
    EXPECT_EQ(drawn[1][i], 0.0);
    EXPECT_EQ(drawn[2][i], 1.0);
  }
}

TEST(Differentiate, RefusesAnOpWithoutGradientAndNamesItsLayer) {
  const auto graph = parsed(R"(graph @refused {
  param %w : f32[2] {name=w}
  param %v : f32[2] {name=v}
  input %r : f32[] {name=input/rate}
forward:
  %0    = optimizer_step %w, %v, %r : f32[2]  // /layers/3
  %loss = reduce_sum %0 {axes=[0]} : f32[]
  return loss=%loss
}
)");
  ASSERT_NE(graph, nullptr);
  PassOptions options;
  options.file = "model.json";
  PassContext context(options);
  const Status status = run_passes(*graph, "differentiate", context);
  ASSERT_FALSE(status.ok());
  ASSERT_EQ(status.diagnostics().size(), 1U);
  const Diagnostic& error = status.diagnostics()[0];
  EXPECT_EQ(error.kind, DiagKind::kNotDifferentiable);
  EXPECT_EQ(
      error.message,
      "the loss cannot be differentiated through \"optimizer_step\" (/layers/3): optimizer steps "
      "are outside the differentiated graph");
  EXPECT_EQ(error.place.file, "model.json");
  EXPECT_EQ(error.place.pointer, "/layers/3");
}

TEST(Differentiate, RefusesAGraphWithoutAScalarLoss) {
  PassContext context;
  const auto none = parsed("graph @g {\n  param %w : f32[2] {name=w}\n  return y=%w\n}\n");
  ASSERT_NE(none, nullptr);
  const Status no_loss = run_passes(*none, "differentiate", context);
  ASSERT_FALSE(no_loss.ok());
  EXPECT_EQ(no_loss.message(), "graph @g has no output \"loss\" to differentiate");
  const auto vector = parsed("graph @g {\n  param %w : f32[2] {name=w}\n  return loss=%w\n}\n");
  ASSERT_NE(vector, nullptr);
  const Status not_scalar = run_passes(*vector, "differentiate", context);
  ASSERT_FALSE(not_scalar.ok());
  EXPECT_EQ(not_scalar.message(),
            "the loss has type f32[2]; only a floating-point scalar can be differentiated");
}

TEST(Differentiate, RefusesAGraphThatHasGradientsAlready) {
  const auto graph = parsed(kMlp);
  ASSERT_NE(graph, nullptr);
  PassContext context;
  const Status status = run_passes(*graph, "differentiate,differentiate", context);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.message(), "graph @mlp already has an output \"gradient/dense/kernel\"");
}

TEST(Differentiate, IsClosedUnderItself) {
  // f = sum(w^3 v): d/dw = 3 w^2 v, d/dw d/dv = 3 w^2, d^2/dw^2 = 6 w v.
  const auto graph = parsed(R"(graph @cube {
  param %w : f32[3] {name=w}
  param %v : f32[3] {name=v}
forward:
  %0 = mul %w, %w : f32[3]
  %1 = mul %0, %w : f32[3]
  %2 = mul %1, %v : f32[3]
  %loss = reduce_sum %2 {axes=[0]} : f32[]
  return loss=%loss
}
)");
  ASSERT_NE(graph, nullptr);
  Builder builder(*graph);
  builder.set_phase(Phase::kBackward);
  const std::vector<ValueId> wrt = {*graph->find_input("w"), *graph->find_input("v")};
  const std::vector<ValueId> loss = {*graph->find_output("loss")};
  const std::vector<ValueId> one = {builder.scalar(1.0).id()};
  const auto first = add_gradients(*graph, loss, one, wrt, "");
  ASSERT_TRUE(first.ok());
  const std::vector<ValueId> dw = {(*first)[0]};
  const std::vector<ValueId> ones = {builder.splat(1.0, f32({3})).id()};
  const auto second = add_gradients(*graph, dw, ones, wrt, "");
  ASSERT_TRUE(second.ok());
  graph->add_output("ww", (*second)[0]);
  graph->add_output("wv", (*second)[1]);
  EXPECT_TRUE(verify(*graph).empty());
  const std::vector<Tensor> inputs = draw_inputs(*graph, 5);
  const auto result = interpret(*graph, inputs);
  ASSERT_TRUE(result.ok());
  for (size_t i = 0; i < 3; ++i) {
    const double w = inputs[0].data[i], v = inputs[1].data[i];
    EXPECT_NEAR(result->outputs[1].data[i], 6 * w * v, 1e-12);
    EXPECT_NEAR(result->outputs[2].data[i], 3 * w * w, 1e-12);
  }
}

/// Results are found again when the op that makes the loss has to be expanded first.
TEST(Differentiate, ExpandsCompositesWithoutAGradientOfTheirOwn) {
  const auto graph = parsed(R"(graph @expanded {
  param %w : f32[3] {name=w}
forward:
  %0 = gelu %w : f32[3]  // /layers/0
  %1 = softplus %0 : f32[3]  // /layers/1
  %loss = reduce_sum %1 {axes=[0]} : f32[]
  return loss=%loss, hidden=%0
}
)");
  ASSERT_NE(graph, nullptr);
  const auto checks = check_gradients(*graph, draw_inputs(*graph, 3));
  ASSERT_TRUE(checks.ok()) << checks.message();
  ASSERT_EQ(checks->size(), 1U);
  EXPECT_TRUE(checks->front().passed);
}

}  // namespace
}  // namespace gradc
