// Nets whose loss counts some rows only, for tests of what is done about the others.
#pragma once

#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "ir/verifier.h"
#include "passes/pass_manager.h"
#include "tests/support/random_graph.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace gradc::counted {

struct Net {
  int64_t batch = 8, steps = 16, width = 32, classes = 96;
  bool transform = false;  ///< dense, gelu and layer norm between
  bool bias = true;
  bool tied = false;  ///< the head multiplies by the table of the embedding
  bool metric = false;
  bool all = false;       ///< the logits of all rows are an output
  bool constant = false;  ///< numbers for every row are added before the head
  bool scores = false;    ///< a second head, whose loss masks wide rows by another mask
  double share = 0.15;    ///< of the rows that count
};

inline std::string text_of(const Net& n) {
  return fmt::format("{} x {} of {}, {} classes, {}{}{}{}{}{}{}{} count", n.batch, n.steps, n.width,
                     n.classes, n.transform ? "transform, " : "", n.bias ? "bias, " : "",
                     n.tied ? "tied, " : "", n.metric ? "metric, " : "", n.all ? "logits, " : "",
                     n.constant ? "constant, " : "", n.scores ? "scores, " : "", n.share);
}

inline Val all_sum(Val x) {
  Ints axes;
  for (int64_t axis = 0; axis < x.rank(); ++axis)
    axes.push_back(axis);
  return reduce_sum(x, axes);
}

inline std::shared_ptr<Graph> forward(const Net& n) {
  auto graph = std::make_shared<Graph>("net");
  Builder b(*graph);
  const auto param = [&](const char* name, const Shape& shape) {
    return b.input(InputKind::kParam, {DType::kF32, shape}, name, name);
  };
  const Shape rows = {n.batch, n.steps};
  const int64_t count = n.batch * n.steps;
  const Val target = b.input(InputKind::kInput, {DType::kI32, rows}, "target", "target");
  const Val tokens = b.input(InputKind::kInput, {DType::kI32, rows}, "tokens", "tokens");
  const Val table = param("table", {n.classes, n.width});
  Val x = b.add(Op::kGather, {table, tokens}) + param("x", {n.batch, n.steps, n.width});
  x = tanh(x);
  if (n.transform) {
    Val h = matmul(reshape(x, {count, n.width}), param("w1", {n.width, n.width}));
    h = h + broadcast(param("b1", {n.width}), h.shape(), {1});
    h = b.add(Op::kGelu, {reshape(h, x.shape())});
    x = b.add(Op::kLayerNorm, {h, param("gamma", {n.width}), param("beta", {n.width})},
              make_attrs(LayerNormAttrs{.num_axes = 1, .epsilon = 1e-3}));
  }
  if (n.constant) {
    std::vector<double> numbers;
    for (int64_t i = 0; i < x.type().num_elements(); ++i)
      numbers.push_back(static_cast<double>(i % 17) / 32.0);
    x = x + b.constant(x.type(), std::move(numbers));
  }
  const Val weights = n.tied ? transpose(table, {1, 0}) : param("w", {n.width, n.classes});
  Val logits = matmul(reshape(x, {count, n.width}), weights);
  if (n.bias) logits = logits + broadcast(param("bias", {n.classes}), logits.shape(), {1});
  logits = reshape(logits, {n.batch, n.steps, n.classes});
  const Val mask = greater_equal(target, b.splat(0.0, target.type()));
  const Val labels = select(mask, target, b.splat(0.0, target.type()));
  const Val losses = b.add(Op::kSparseSoftmaxCrossEntropy, {logits, labels});
  const Val divisor = maximum(all_sum(cast(mask, DType::kF32)), 1.0);
  Val loss = all_sum(select(mask, losses, 0.0)) / divisor;
  if (n.scores) {
    const Val other =
        less(target, b.splat(std::floor(static_cast<double>(n.classes) / 2), target.type()));
    Val more = matmul(reshape(x, {count, n.width}), param("w2", {n.width, n.classes}));
    more = reshape(more, logits.shape());
    const Val wide = broadcast(other, more.shape(), {0, 1});
    loss = loss + all_sum(select(wide, more * more, 0.0)) * 1e-3;
  }
  graph->add_output("loss", loss.id());
  if (n.metric) {
    const Val right = cast(equal(argmax(logits, 2), labels), DType::kF32);
    graph->add_output("metric", (all_sum(select(mask, right, 0.0)) / divisor).id());
  }
  if (n.all) graph->add_output("logits", logits.id());
  return graph;
}

inline constexpr const char* kSimplify = "(canonicalize,constant_fold,cse,dce)*";

inline std::shared_ptr<Graph> passed(const Graph& graph, const std::string& passes,
                                     PassContext& context) {
  auto result = graph.clone();
  context.options.verify = true;
  const Status status = run_passes(*result, passes, context);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(verify(*result).empty());
  return result;
}

inline std::vector<Tensor> inputs_of(const Graph& graph, const Net& n, uint64_t seed) {
  std::vector<Tensor> inputs = testing::random_inputs(graph, seed);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool target = graph.inputs()[i].name == "target";
    if (!target && graph.inputs()[i].name != "tokens") continue;
    for (double& value : inputs[i].data) {
      value = std::floor(uniform(random) * static_cast<double>(n.classes));
      if (target && uniform(random) >= n.share) value = -1.0;
    }
  }
  return inputs;
}

inline void expect_equal_outputs(const InterpretResult& actual, const InterpretResult& wanted,
                                 double tolerance, const std::string& what) {
  ASSERT_EQ(actual.outputs.size(), wanted.outputs.size());
  for (size_t i = 0; i < wanted.outputs.size(); ++i)
    EXPECT_EQ(testing::tensor_difference(actual.outputs[i], wanted.outputs[i],
                                         testing::Tolerance{tolerance, tolerance}),
              "")
        << what << ", output " << i;
}

inline test::Memory compiled(const Graph& graph, const MemoryPlan& plan,
                             const std::vector<Tensor>& inputs, const TargetInfo& target,
                             int threads) {
  const kernel::LowerEntry entry = test::entry_of(graph, plan);
  auto program = kernel::lower("rows", std::span(&entry, 1), target);
  EXPECT_TRUE(program.ok()) << program.message();
  const auto jit = jit_compile(*program, target, JitOptions{.threads = 1, .verify = true});
  EXPECT_TRUE(jit.ok()) << jit.message();
  return test::run_compiled((*jit)->entries().front(), graph, inputs, threads);
}

inline const std::string kStep = std::string("differentiate,expand_composites,") + kSimplify;

}  // namespace gradc::counted
