// Rows that do not count in the loss: not computed, whatever their number, and nothing else
// changes. The graph that is compacted computes what the graph as written does; fused, it does so
// although rows that are not specified are NaN; lowered and compiled too, with the same bits by any
// number of threads and on wide and narrow vectors.
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
#include <map>
#include <random>
#include <string>

namespace gradc {
namespace {

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

std::string text_of(const Net& n) {
  return fmt::format("{} x {} of {}, {} classes, {}{}{}{}{}{}{}{} count", n.batch, n.steps, n.width,
                     n.classes, n.transform ? "transform, " : "", n.bias ? "bias, " : "",
                     n.tied ? "tied, " : "", n.metric ? "metric, " : "", n.all ? "logits, " : "",
                     n.constant ? "constant, " : "", n.scores ? "scores, " : "", n.share);
}

Val all_sum(Val x) {
  Ints axes;
  for (int64_t axis = 0; axis < x.rank(); ++axis)
    axes.push_back(axis);
  return reduce_sum(x, axes);
}

std::shared_ptr<Graph> forward(const Net& n) {
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

constexpr const char* kSimplify = "(canonicalize,constant_fold,cse,dce)*";

std::shared_ptr<Graph> passed(const Graph& graph, const std::string& passes, PassContext& context) {
  auto result = graph.clone();
  context.options.verify = true;
  const Status status = run_passes(*result, passes, context);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(verify(*result).empty());
  return result;
}

std::vector<Tensor> inputs_of(const Graph& graph, const Net& n, uint64_t seed) {
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

void expect_equal_outputs(const InterpretResult& actual, const InterpretResult& wanted,
                          double tolerance, const std::string& what) {
  ASSERT_EQ(actual.outputs.size(), wanted.outputs.size());
  for (size_t i = 0; i < wanted.outputs.size(); ++i)
    EXPECT_EQ(testing::tensor_difference(actual.outputs[i], wanted.outputs[i],
                                         testing::Tolerance{tolerance, tolerance}),
              "")
        << what << ", output " << i;
}

std::vector<Net> nets() {
  std::vector<Net> nets;
  for (const double share : {0.0, 0.02, 0.15, 0.6, 1.0}) {
    nets.push_back({.share = share});
    nets.push_back({.transform = true, .tied = true, .metric = true, .share = share});
  }
  nets.push_back({.bias = false, .all = true});
  nets.push_back({.transform = true, .metric = true, .all = true, .share = 0.3});
  nets.push_back({.batch = 1, .steps = 131, .width = 21, .classes = 203, .transform = true});
  nets.push_back({.batch = 37, .steps = 7, .width = 33, .classes = 101, .scores = true});
  nets.push_back({.transform = true, .constant = true});
  nets.push_back(
      {.batch = 64, .steps = 1, .width = 48, .classes = 130, .tied = true, .scores = true});
  // Tables whose gradient is one of the rows that occur.
  nets.push_back({.width = 112, .classes = 600, .tied = true});
  nets.push_back({.width = 112, .classes = 600, .transform = true, .share = 0.5});
  return nets;
}

const std::string kStep = std::string("differentiate,expand_composites,") + kSimplify;

TEST(CountedRows, GraphsKeepTheirNumbers) {
  for (const Net& n : nets()) {
    SCOPED_TRACE(text_of(n));
    const auto graph = forward(n);
    PassContext plain, compact, fused;
    const auto reference = passed(*graph, kStep, plain);
    const auto compacted = passed(*graph, "compact_rows," + kStep, compact);
    EXPECT_GE(compact.statistics.get("compact_rows: masks whose rows alone are computed"), 1);
    const auto skipping =
        passed(*graph, "compact_rows," + kStep + ",fuse,skip_rows,schedule", fused);
    EXPECT_GE(fused.statistics.get("skip_rows: kernels that skip rows"), 3);
    const std::vector<Tensor> inputs = inputs_of(*graph, n, 7);
    const auto wanted = interpret(*reference, inputs);
    ASSERT_TRUE(wanted.ok()) << wanted.message();
    expect_equal_outputs(*interpret(*compacted, inputs), *wanted, 1e-12, "compacted");
    expect_equal_outputs(*interpret(*skipping, inputs), *wanted, 1e-12, "skipping");
  }
}

TEST(CountedRows, KernelsAgreeWithTheInterpreter) {
  for (const Net& n : nets()) {
    SCOPED_TRACE(text_of(n));
    const auto graph = forward(n);
    PassContext plain, context;
    const auto reference = passed(*graph, kStep, plain);
    const auto planned = passed(
        *graph, "compact_rows," + kStep + ",fuse,skip_rows,schedule,in_place,plan_memory", context);
    const test::LoweredRun run =
        test::expect_same(*reference, *planned, *context.plan, inputs_of(*graph, n, 8),
                          TargetInfo::generic_avx512(), {1e-9, 1e-9});
    ASSERT_TRUE(run.ok);
    EXPECT_GE(test::count_of(run.text, " m_below="), 2) << run.text;
    EXPECT_GE(test::count_of(run.text, " k_below="), 1) << run.text;
    EXPECT_GE(test::count_of(run.text, " below="), 1) << run.text;
  }
}

test::Memory compiled(const Graph& graph, const MemoryPlan& plan, const std::vector<Tensor>& inputs,
                      const TargetInfo& target, int threads) {
  const kernel::LowerEntry entry = test::entry_of(graph, plan);
  auto program = kernel::lower("rows", std::span(&entry, 1), target);
  EXPECT_TRUE(program.ok()) << program.message();
  const auto jit = jit_compile(*program, target, JitOptions{.threads = 1, .verify = true});
  EXPECT_TRUE(jit.ok()) << jit.message();
  return test::run_compiled((*jit)->entries().front(), graph, inputs, threads);
}

TEST(CountedRows, CompiledCodeHasTheSameBitsEverywhere) {
  for (const Net& n : nets()) {
    SCOPED_TRACE(text_of(n));
    const auto graph = forward(n);
    PassContext context, plain;
    const std::string last = ",schedule,in_place,plan_memory";
    const auto planned =
        passed(*graph, "compact_rows," + kStep + ",fuse,skip_rows" + last, context);
    std::vector<Tensor> inputs = inputs_of(*graph, n, 9);
    for (Tensor& t : inputs)
      t = test::from_bytes(t.type, test::to_bytes(t));
    const TargetInfo host = TargetInfo::host();
    const test::Memory wanted = compiled(*planned, *context.plan, inputs, host, 1);
    EXPECT_TRUE(compiled(*planned, *context.plan, inputs, host, 2) == wanted) << "2 threads";
    EXPECT_TRUE(compiled(*planned, *context.plan, inputs, host, 3) == wanted) << "3 threads";
    if (host.triple.substr(0, 6) == "x86_64" && host.has_fma) {
      EXPECT_TRUE(compiled(*planned, *context.plan, inputs, TargetInfo::generic_avx2(), 2) ==
                  wanted)
          << "AVX2";
    }
    // The loss has the bits that it has where all rows are computed.
    const auto all = passed(*graph, kStep + ",fuse" + last, plain);
    const test::Memory whole = compiled(*all, *plain.plan, inputs, host, 1);
    EXPECT_TRUE(whole[inputs.size()] == wanted[inputs.size()]) << "loss";
    const auto expected = interpret(*all, inputs);
    ASSERT_TRUE(expected.ok()) << expected.message();
    for (size_t i = 0; i < expected->outputs.size(); ++i) {
      const Tensor& want = expected->outputs[i];
      EXPECT_EQ(testing::tensor_difference(test::from_bytes(want.type, wanted[inputs.size() + i]),
                                           want, {2e-5, 2e-5}),
                "")
          << graph->outputs().size() << " " << i;
    }
  }
}

TEST(CountedRows, WhatElseIsReadChangesNoBit) {
  Net n = {.transform = true, .tied = true, .share = 0.3};
  std::map<std::string, std::vector<std::byte>> first;
  for (const bool more : {false, true}) {
    n.metric = n.all = more;
    const auto graph = forward(n);
    PassContext context;
    const auto planned = passed(
        *graph, "compact_rows," + kStep + ",fuse,skip_rows,schedule,in_place,plan_memory", context);
    std::vector<Tensor> inputs = inputs_of(*graph, n, 5);
    const test::Memory memory = compiled(*planned, *context.plan, inputs, TargetInfo::host(), 2);
    for (size_t i = 0; i < planned->outputs().size(); ++i) {
      const auto [entry, fresh] =
          first.try_emplace(planned->outputs()[i].name, memory[inputs.size() + i]);
      if (fresh) continue;
      EXPECT_TRUE(entry->second == memory[inputs.size() + i]) << entry->first;
    }
  }
  EXPECT_GT(first.size(), 9U);
}

TEST(CountedRows, WhatIsSmallOrHasNoMaskStaysAsItIs) {
  PassContext context;
  const auto small = forward({.batch = 2, .steps = 4, .width = 8, .classes = 8});
  passed(*small, "compact_rows", context);
  EXPECT_EQ(context.statistics.get("compact_rows: masks whose rows alone are computed"), 0);
}

}  // namespace
}  // namespace gradc
