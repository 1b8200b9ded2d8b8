// Logits that are made, turned into their gradient and used up in blocks of rows: the numbers are
// those of the graph that holds them as a whole, by the interpreter and compiled; nothing of their
// size is left; the same bits by any number of threads and on wide and narrow vectors, and whatever
// else is read.
#include "passes/block_rows.h"

#include "ir/op_attrs.h"
#include "passes/loops.h"
#include "tests/unit/codegen/counted_nets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace gradc {
namespace {

using namespace counted;

std::vector<Net> nets() {
  std::vector<Net> nets;
  for (const double share : {0.0, 0.15, 0.6, 1.0}) {
    nets.push_back({.share = share});
    nets.push_back({.width = 24, .transform = true, .tied = true, .metric = true, .share = share});
  }
  nets.push_back({.width = 24, .bias = false, .share = 0.4});
  nets.push_back({.batch = 37, .steps = 7, .width = 33, .classes = 101, .share = 0.3});
  nets.push_back({.batch = 32, .steps = 10, .width = 48, .classes = 130, .tied = true});
  return nets;
}

/// A training step, its head in blocks; of the rows that count, or of all with the others masked.
struct Blocked {
  std::shared_ptr<Graph> graph;
  PassContext context;
  int64_t largest = 0;  ///< elements of a value outside of the loop
};

BlockSizes sizes_of(const Net& n) {
  const int64_t classes = std::max<int64_t>(n.classes, 64);
  return {.large_bytes = n.batch * n.steps * classes * 4, .most_rows = 40, .fewest_rows = 7};
}

Blocked blocked(const Graph& graph, const Net& n, bool counted, const std::string& passes) {
  Blocked result;
  result.graph = passed(graph, (counted ? "compact_rows," : "") + kStep, result.context);
  const auto done = make_in_blocks(*result.graph, result.context, sizes_of(n));
  EXPECT_TRUE(done.ok() && *done) << text_of(n);
  EXPECT_TRUE(verify(*result.graph).empty());
  EXPECT_EQ(loops_of(*result.graph).size(), 1U);
  for (const NodeId id : result.graph->nodes()) {
    for (const ValueId value : result.graph->node(id).results)
      result.largest = std::max(result.largest, result.graph->type(value).num_elements());
  }
  if (!passes.empty()) result.graph = passed(*result.graph, passes, result.context);
  return result;
}

const std::string kPlan = "fuse,store_outputs,skip_rows,schedule,in_place,plan_memory";

TEST(BlockRows, GraphsKeepTheirNumbersAndHoldNoLogits) {
  for (const Net& n : nets()) {
    for (const bool counted : {false, true}) {
      SCOPED_TRACE(text_of(n) + (counted ? "" : ", all computed"));
      const auto graph = forward(n);
      PassContext plain;
      const auto reference = passed(*graph, kStep, plain);
      const std::vector<Tensor> inputs = inputs_of(*graph, n, 7);
      const auto wanted = interpret(*reference, inputs);
      ASSERT_TRUE(wanted.ok()) << wanted.message();
      const Blocked loop = blocked(*graph, n, counted, "");
      EXPECT_LT(loop.largest, n.batch * n.steps * n.classes);
      expect_equal_outputs(*interpret(*loop.graph, inputs), *wanted, 1e-12, "in blocks");
      const Blocked fused = blocked(*graph, n, counted, "fuse,store_outputs,skip_rows,schedule");
      expect_equal_outputs(*interpret(*fused.graph, inputs), *wanted, 1e-12, "skipping");
    }
  }
}

/// Central differences of the loss that the loop gives, beside the gradient that it gives; the
/// elements of each parameter whose gradient is largest and some others.
void expect_differences(const Graph& graph, std::vector<Tensor> inputs) {
  constexpr double kStepOfInput = 1e-4;
  const auto at = interpret(graph, inputs);
  ASSERT_TRUE(at.ok()) << at.message();
  const auto output = [&](const InterpretResult& result, const std::string& name) {
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      if (graph.outputs()[i].name == name) return result.outputs[i];
    }
    ADD_FAILURE() << "no output " << name;
    return Tensor();
  };
  for (size_t p = 0; p < inputs.size(); ++p) {
    if (graph.inputs()[p].kind != InputKind::kParam) continue;
    const std::string& name = graph.inputs()[p].name;
    const Tensor gradient = output(*at, "gradient/" + name);
    const auto largest =
        std::max_element(gradient.data.begin(), gradient.data.end(),
                         [](double a, double b) { return std::abs(a) < std::abs(b); });
    EXPECT_GT(std::abs(*largest), 1e-4) << name;
    for (const int64_t element : {largest - gradient.data.begin(), gradient.size() / 3}) {
      double sides[2];
      for (const int side : {0, 1}) {
        Tensor& x = inputs[p];
        const double held = x[element];
        x[element] += side == 0 ? -kStepOfInput : kStepOfInput;
        sides[side] = output(*interpret(graph, inputs), "loss")[0];
        x[element] = held;
      }
      EXPECT_NEAR((sides[1] - sides[0]) / (2 * kStepOfInput), gradient[element],
                  1e-7 + 1e-6 * std::abs(*largest))
          << name << " at " << element;
    }
  }
}

TEST(BlockRows, GradientsAreDifferencesOfTheLoss) {
  for (const Net& n :
       {Net{.share = 0.6}, Net{.width = 24, .transform = true, .tied = true, .share = 0.3}}) {
    for (const bool counted : {false, true}) {
      SCOPED_TRACE(text_of(n) + (counted ? "" : ", all computed"));
      const auto graph = forward(n);
      const Blocked loop = blocked(*graph, n, counted, "");
      expect_differences(*loop.graph, inputs_of(*graph, n, 11));
    }
  }
}

TEST(BlockRows, KernelsAgreeWithTheInterpreter) {
  for (const Net& n : nets()) {
    SCOPED_TRACE(text_of(n));
    const auto graph = forward(n);
    PassContext plain;
    const auto reference = passed(*graph, kStep, plain);
    const Blocked loop = blocked(*graph, n, true, kPlan);
    const test::LoweredRun run =
        test::expect_same(*reference, *loop.graph, *loop.context.plan, inputs_of(*graph, n, 8),
                          TargetInfo::generic_avx512(), {1e-9, 1e-9});
    ASSERT_TRUE(run.ok);
    // The logits and the gradient of their rows end early, so do the sums over rows, of which the
    // product does nothing where no row of the block counts.
    EXPECT_GE(test::count_of(run.text, " m_below="), 3) << run.text;
    EXPECT_GE(test::count_of(run.text, " k_below="), 1) << run.text;
    EXPECT_GE(test::count_of(run.text, " below="), 1) << run.text;
  }
}

TEST(BlockRows, CompiledCodeHasTheSameBitsEverywhere) {
  for (const Net& n : nets()) {
    SCOPED_TRACE(text_of(n));
    const auto graph = forward(n);
    const Blocked loop = blocked(*graph, n, true, kPlan);
    std::vector<Tensor> inputs = inputs_of(*graph, n, 9);
    for (Tensor& t : inputs)
      t = test::from_bytes(t.type, test::to_bytes(t));
    const TargetInfo host = TargetInfo::host();
    const auto run = [&](const TargetInfo& target, int threads) {
      return compiled(*loop.graph, *loop.context.plan, inputs, target, threads);
    };
    const test::Memory wanted = run(host, 1);
    EXPECT_TRUE(run(host, 2) == wanted) << "2 threads";
    EXPECT_TRUE(run(host, 3) == wanted) << "3 threads";
    if (host.triple.substr(0, 6) == "x86_64" && host.has_fma) {
      EXPECT_TRUE(run(TargetInfo::generic_avx2(), 2) == wanted) << "AVX2";
    }
    PassContext plain;
    const auto expected = interpret(*passed(*graph, kStep, plain), inputs);
    ASSERT_TRUE(expected.ok()) << expected.message();
    for (size_t i = 0; i < expected->outputs.size(); ++i) {
      const Tensor& want = expected->outputs[i];
      EXPECT_EQ(testing::tensor_difference(test::from_bytes(want.type, wanted[inputs.size() + i]),
                                           want, {2e-5, 2e-5}),
                "")
          << i;
    }
  }
}

TEST(BlockRows, WhatElseIsReadChangesNoBit) {
  Net n = {.width = 24, .tied = true, .share = 0.3};
  std::map<std::string, std::vector<std::byte>> first;
  for (const bool more : {false, true}) {
    n.metric = n.all = more;
    const auto graph = forward(n);
    const Blocked loop = blocked(*graph, n, false, kPlan);
    const std::vector<Tensor> inputs = inputs_of(*graph, n, 5);
    const test::Memory memory =
        compiled(*loop.graph, *loop.context.plan, inputs, TargetInfo::host(), 2);
    for (size_t i = 0; i < loop.graph->outputs().size(); ++i) {
      const auto [entry, fresh] =
          first.try_emplace(loop.graph->outputs()[i].name, memory[inputs.size() + i]);
      if (fresh) continue;
      EXPECT_TRUE(entry->second == memory[inputs.size() + i]) << entry->first;
    }
  }
  EXPECT_GT(first.size(), 4U);
}

/// A sum that a loop carries has one place, from its first value to what the gradient of the table
/// reads: the loop needs no memory for it.
TEST(BlockRows, SumsHaveOnePlace) {
  const Net n = {.width = 24, .bias = false, .tied = true, .share = 0.5};
  const Blocked loop = blocked(*forward(n), n, true, kPlan);
  kernel::ProgramLowering lowering("rows", TargetInfo::generic_avx512());
  const auto lowered = lowering.lower(*loop.graph, *loop.context.plan);
  ASSERT_TRUE(lowered.ok()) << lowered.message();
  const LoopView view(*loop.graph, loops_of(*loop.graph).front());
  ASSERT_EQ(view.num_carries(), 1U);
  const std::vector<Storage>& storage = loop.context.plan->storage;
  EXPECT_EQ(storage[view.last(0).index].in_place_of, view.operand(0));
  EXPECT_EQ(storage[view.last(0).index].offset, storage[view.operand(0).index].offset);
  const auto node = std::find_if(lowered->nodes.begin(), lowered->nodes.end(),
                                 [](const kernel::LoweredNode& l) { return l.loop != nullptr; });
  ASSERT_NE(node, lowered->nodes.end());
  EXPECT_TRUE(node->loop->in_place[0]);
  EXPECT_EQ(node->loop->arena, 0) << "what lies before the body's values";
}

std::shared_ptr<Graph> of_logits(bool sees_all_rows, int64_t width) {
  auto graph = std::make_shared<Graph>("net");
  Builder b(*graph);
  const Val x = b.input(InputKind::kInput, f32({128, width}), "x", "x");
  const Val w = b.input(InputKind::kParam, f32({width, 96}), "w", "w");
  Val y = exp(matmul(x, w));
  if (sees_all_rows) y = y / broadcast(reduce_sum(y, {0}), y.shape(), {1});
  graph->add_output("loss", reduce_sum(y * y * y, {0, 1}).id());
  return graph;
}

TEST(BlockRows, NotWhereARowSeesOthersOrLittleIsSaved) {
  const BlockSizes sizes = {.large_bytes = 4096, .most_rows = 32, .fewest_rows = 8};
  for (const auto& [graph, wanted] :
       {std::pair(of_logits(false, 8), true), std::pair(of_logits(true, 8), false),
        std::pair(of_logits(false, 90), false)}) {
    PassContext context;
    const auto step = passed(*graph, kStep, context);
    const auto done = make_in_blocks(*step, context, sizes);
    ASSERT_TRUE(done.ok());
    EXPECT_EQ(*done, wanted);
  }
}

/// As many classes as rows: what is made of a sum over rows has the shape of a number of each row.
TEST(BlockRows, SumsOverRowsAreNoNumbersOfRows) {
  Graph graph("net");
  Builder b(graph);
  const Val x = b.input(InputKind::kInput, f32({128, 8}), "x", "x");
  const Val w = b.input(InputKind::kParam, f32({8, 128}), "w", "w");
  const Val bias = b.input(InputKind::kParam, f32({128}), "b", "b");
  const Val y = exp(matmul(x, w) + broadcast(bias, Shape{128, 128}, {1}));
  graph.add_output("w.next", (w - matmul(x, y, true, false) * 0.5).id());
  graph.add_output("b.next", (bias - reduce_sum(y, {0}) * 0.5).id());
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs()) {
    Tensor& t = inputs.emplace_back(graph.type(input.value));
    for (size_t i = 0; i < t.data.size(); ++i)
      t.data[i] = 0.01 * static_cast<double>(i * 37 % 101) - 0.5;
  }
  const auto wanted = interpret(graph, inputs);
  ASSERT_TRUE(wanted.ok()) << wanted.message();
  PassContext context;
  const auto done =
      make_in_blocks(graph, context, {.large_bytes = 4096, .most_rows = 32, .fewest_rows = 8});
  ASSERT_TRUE(done.ok()) << done.message();
  EXPECT_TRUE(*done);
  expect_equal_outputs(*interpret(graph, inputs), *wanted, 1e-12, "in blocks");
}

}  // namespace
}  // namespace gradc
