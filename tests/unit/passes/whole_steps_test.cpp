// Steps of an optimizer that stay one node until their kernel's body is made: which ones do, and
// that kernels hold what the formula says wherever the gradient comes from.
#include "passes/whole_steps.h"

#include "ir/op.h"
#include "ir/step_rule.h"
#include "ir/verifier.h"
#include "passes/fusion_form.h"
#include "passes/pass_manager.h"
#include "tests/support/graph_values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr std::string_view kKernels =
    "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse";

TensorType f32(Shape shape) {
  return {DType::kF32, std::move(shape)};
}

int count(const Graph& graph, Op op) {
  return static_cast<int>(
      std::ranges::count_if(graph.nodes(), [&](NodeId id) { return graph.node(id).op == op; }));
}

/// A step on a parameter whose gradient is the value given; all its results are outputs.
std::vector<Val> add_step(Builder& b, const StepAttrs& attrs, Val gradient, bool constant_rate) {
  const TensorType type = gradient.type();
  const auto input = [&](const TensorType& t, const std::string& name) {
    return b.input(InputKind::kInput, t, name, name);
  };
  std::vector<Val> operands = {input(type, "w"), gradient};
  for (const StepSlot& slot : step_slots(attrs, type))
    operands.push_back(input(slot.type, std::string(slot.name)));
  const size_t scalars = num_step_scalars(attrs) + size_t{attrs.decays()};
  for (size_t i = 0; i < scalars; ++i)
    operands.push_back(constant_rate ? b.scalar(0.125)
                                     : input(f32({}), "scalar" + std::to_string(i)));
  b.set_phase(Phase::kUpdate);
  std::vector<Val> results = b.add_multi(Op::kOptimizerStep, operands, make_attrs(attrs));
  for (size_t i = 0; i < results.size(); ++i)
    b.graph().add_output("result" + std::to_string(i), results[i].id());
  return results;
}

/// The graph's kernels are right and compute what it does; `kernels`: how many there are.
void check_kernels(const Graph& graph, int kernels, const std::string& what) {
  const auto fused = graph.clone();
  PassContext context;
  context.options.verify = true;
  const Status status = run_passes(*fused, kKernels, context);
  ASSERT_TRUE(status.ok()) << what << ": " << status.message();
  EXPECT_TRUE(verify(*fused).empty()) << what;
  EXPECT_EQ(count(*fused, Op::kOptimizerStep), 0) << what;
  EXPECT_EQ(count(*fused, Op::kKernel), kernels) << what << "\n" << print_graph(*fused);
  for (const NodeId id : fused->nodes()) {
    if (fused->node(id).op != Op::kKernel) continue;
    EXPECT_EQ(count(*fused->node(id).body, Op::kOptimizerStep), 0) << what;
  }
  test::expect_same_values(graph, *fused, test::random_inputs(graph, 5, 0.4, 0.6), 1e-12);
}

TEST(WholeSteps, AreThoseThatMakeEachElementOfTheElementsInItsPlace) {
  const std::vector<std::string> others = {"adafactor", "lamb", "muon"};
  for (const StepRule* rule : all_step_rules()) {
    for (const StepAttrs& attrs : rule->samples()) {
      Graph graph("step");
      Builder b(graph);
      add_step(b, attrs, b.input(InputKind::kInput, f32({3, 2}), "g", "g"), false);
      WholeSteps steps;
      const Node& node = graph.node(graph.last_node());
      const bool is_adam_of_muon = rule->name == "muon" && !attrs.flag("as_matrix");
      const bool is_whole =
          is_adam_of_muon || std::ranges::find(others, rule->name) == others.end();
      EXPECT_EQ(steps.size(node) > 0, is_whole) << rule->name;
      EXPECT_EQ(steps.size(node), WholeSteps().size(node)) << rule->name << ", asked again";
    }
  }
  Graph graph("other");
  Builder b(graph);
  const Val x = b.input(InputKind::kInput, f32({3}), "x", "x");
  graph.add_output("y", (x + x).id());
  EXPECT_EQ(WholeSteps().size(graph.node(graph.last_node())), 0U);
}

TEST(WholeSteps, AreAsManyNodesAsTheirBodiesHave) {
  for (const StepRule* rule : all_step_rules()) {
    for (const StepAttrs& attrs : rule->samples()) {
      Graph graph("step");
      Builder b(graph);
      add_step(b, attrs, b.input(InputKind::kInput, f32({3, 2}), "g", "g"), false);
      const uint32_t size = WholeSteps().size(graph.node(graph.last_node()));
      if (size == 0) continue;
      PassContext context;
      ASSERT_TRUE(run_passes(graph, kKernels, context).ok());
      uint32_t nodes = 0;
      for (const NodeId id : graph.nodes()) {
        ASSERT_EQ(graph.node(id).op, Op::kKernel);
        const Graph& body = *graph.node(id).body;
        for (const NodeId inner : body.nodes()) {
          const Op op = body.node(inner).op;
          nodes += op == Op::kConstant || op == Op::kBroadcast ? 0 : 1;
        }
      }
      EXPECT_LE(nodes, size) << rule->name;  // simplified
      EXPECT_GE(2 * nodes, size) << rule->name;
    }
  }
}

TEST(WholeSteps, AreInKernelsWhatTheirFormulaSays) {
  for (const StepRule* rule : all_step_rules()) {
    for (const StepAttrs& attrs : rule->samples()) {
      for (const bool constant_rate : {false, true}) {
        Graph graph("step");
        Builder b(graph);
        add_step(b, attrs, b.input(InputKind::kInput, f32({3, 4}), "g", "g"), constant_rate);
        if (WholeSteps().size(graph.node(graph.last_node())) == 0) continue;
        check_kernels(graph, 1, std::string(rule->name));
      }
    }
  }
}

TEST(WholeSteps, JoinTheKernelThatMakesTheGradient) {
  const std::vector<StepAttrs> all = {
      StepAttrs("sgd"), StepAttrs("momentum", {{"nesterov", 1}}),
      StepAttrs("adam", {{"amsgrad", 1}, {"corrected_epsilon", 1}, {"weight_decay", 0.01}})};
  for (const StepAttrs& attrs : all) {
    const auto with = [&](const std::string& what, auto&& gradient) {
      Graph graph("step");
      Builder b(graph);
      b.set_phase(Phase::kBackward);
      const auto input = [&](Shape shape, const std::string& name) {
        return b.input(InputKind::kInput, f32(std::move(shape)), name, name);
      };
      add_step(b, attrs, gradient(input), false);
      check_kernels(graph, 1, what + " of " + std::string(attrs.rule().name));
    };
    with("columns", [](auto& input) { return reduce_sum(input({16, 5}, "x"), {0}); });
    with("rows", [](auto& input) { return reduce_sum(input({16, 5}, "x"), {1}); });
    with("everything", [](auto& input) { return reduce_sum(input({16, 5}, "x"), {0, 1}); });
    with("a product",
         [](auto& input) { return matmul(input({6, 3}, "x"), input({6, 5}, "y"), true); });
    with("elements of another shape", [](auto& input) {
      const Val x = input({6, 5}, "x");
      return reshape(x * x, {30});
    });
    with("a scalar", [](auto& input) {
      const Val x = input({}, "x");
      return x * x;
    });
  }
}

TEST(WholeSteps, MakeTheirResultsWhereTheFormulaComesToNothing) {
  // With a gradient or a rate of zero, w - rate g is w: no kernel's result, which is made.
  for (const StepRule* rule : all_step_rules()) {
    for (const StepAttrs& attrs : rule->samples()) {
      Graph graph("step");
      Builder b(graph);
      add_step(b, attrs, b.splat(0.0, f32({3, 4})), true);
      if (WholeSteps().size(graph.node(graph.last_node())) == 0) continue;
      check_kernels(graph, 1, std::string(rule->name) + " without a gradient");
    }
  }
}

TEST(WholeSteps, AreCountedAsWhatTheyBecome) {
  // Sixteen small steps of Adam would be one kernel of eight if each of them were one node.
  Graph graph("step");
  Builder b(graph);
  const StepAttrs attrs("adam");
  const Val rate = b.input(InputKind::kInput, f32({}), "rate", "rate");
  uint32_t size = 0;
  constexpr int kSteps = 16;
  for (int i = 0; i < kSteps; ++i) {
    std::vector<Val> operands;
    for (const char* name : {"w", "g", "m", "v"}) {
      const std::string full = name + std::to_string(i);
      operands.push_back(b.input(InputKind::kInput, f32({4}), full, full));
    }
    operands.push_back(rate);
    b.set_phase(Phase::kUpdate);
    for (const Val result : b.add_multi(Op::kOptimizerStep, operands, make_attrs(attrs)))
      graph.add_output("result" + std::to_string(result.id().index), result.id());
    size = WholeSteps().size(graph.node(graph.last_node()));
  }
  PassContext context;
  context.options.verify = true;
  ASSERT_TRUE(run_passes(graph, kKernels, context).ok());
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    const size_t arguments = node.operands.size() + node.results.size();
    EXPECT_LE(arguments, 16U);
    EXPECT_LE(node.results.size() / 3 * size, 64U);
  }
}

}  // namespace
}  // namespace gradc
