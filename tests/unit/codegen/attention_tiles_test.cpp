// Attention in tiles and its gradient, at lengths of one block, several and a rest: lowered, they
// compute what the graph interpreter does; compiled, they have the same bits by one thread and by
// three, on wide vectors and on narrow ones.
#include "ir/builder.h"
#include "ir/differentiate.h"
#include "ir/op_attrs.h"
#include "passes/pass_manager.h"
#include "tests/support/random_graph.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace gradc {
namespace {

struct Case {
  int64_t batch = 1, heads = 1, kv_heads = 1, steps = 1, kv_steps = 1, width = 1, value_width = 1;
  bool causal = false;
  std::optional<TensorType> mask = {};
  std::optional<DType> multiply = {};
  DType dtype = DType::kF32;
  bool slopes = false;
  std::optional<double> keep = {};  ///< the share of the weights that dropout keeps
};

std::string text_of(const Case& c) {
  return fmt::format("{} x {} heads of {}, {} queries, {} keys, {} and {} wide{}{}{}{}", c.batch,
                     c.heads, c.kv_heads, c.steps, c.kv_steps, c.width, c.value_width,
                     c.causal ? ", causal" : "", c.mask ? ", mask " + to_string(*c.mask) : "",
                     c.slopes ? ", slopes" : "", c.keep ? ", dropout" : "");
}

/// Result, log_sum and the three gradients; keys and values come as [batch, steps, heads, width],
/// as projections make them.
std::shared_ptr<Graph> attention_graph(const Case& c) {
  auto graph = std::make_shared<Graph>("attention");
  Builder b(*graph);
  const auto input = [&](const char* name, const Shape& shape) {
    return b.input(InputKind::kInput, {c.dtype, shape}, name, name);
  };
  const auto heads_first = [&](Val x) { return transpose(x, {0, 2, 1, 3}); };
  const Val query = input("query", {c.batch, c.heads, c.steps, c.width});
  const Val key = heads_first(input("key", {c.batch, c.kv_steps, c.kv_heads, c.width}));
  const Val value = heads_first(input("value", {c.batch, c.kv_steps, c.kv_heads, c.value_width}));
  const Val dresult = input("dresult", {c.batch, c.heads, c.steps, c.value_width});
  const DType sums = accumulator_dtype(c.dtype);
  const Val delta =
      b.input(InputKind::kInput, {sums, {c.batch, c.heads, c.steps}}, "delta", "delta");
  const AttrRef attrs = make_attrs(AttentionAttrs{.causal = c.causal,
                                                  .scale = 0.4,
                                                  .multiply = c.multiply,
                                                  .slopes = c.slopes,
                                                  .factors = c.keep.has_value()});
  std::vector<Val> operands = {query, key, value};
  std::vector<Val> more = {dresult, Val(), delta};
  if (c.mask) {
    Val mask = input("mask", c.mask->shape);
    if (c.mask->dtype == DType::kBool) mask = less(mask, b.splat(0.0, mask.type()));
    operands.push_back(mask);
  }
  if (c.slopes) operands.push_back(input("slopes", {c.heads}) * 0.0625);  // scores of a few units
  if (c.keep) {
    const TensorType scalar = {DType::kI64, {}};
    const Shape scores = {c.batch, c.heads, c.steps, c.kv_steps};
    const Val kept = b.add(Op::kBernoulli,
                           {b.input(InputKind::kInput, scalar, "seed", "seed"),
                            b.input(InputKind::kInput, scalar, "iteration", "iteration")},
                           make_attrs(BernoulliAttrs{scores.to_vector(), 5, *c.keep}));
    operands.push_back(cast(kept, sums) * (1.0 / *c.keep));
  }
  const std::vector<Val> forward = b.add_multi(Op::kAttentionTiles, operands, attrs);
  more[1] = forward[1];
  operands.insert(operands.begin() + 3, more.begin(), more.end());
  const std::vector<Val> backward = b.add_multi(Op::kAttentionTilesGrad, operands, attrs);
  const char* names[] = {"result", "log_sum", "dquery", "dkey", "dvalue"};
  for (size_t i = 0; i < 5; ++i)
    graph->add_output(names[i], (i < 2 ? forward[i] : backward[i - 2]).id());
  return graph;
}

std::shared_ptr<Graph> planned(const Graph& graph, PassContext& context) {
  auto fused = graph.clone();
  const Status status = run_passes(
      *fused,
      "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory",
      context);
  EXPECT_TRUE(status.ok()) << status.message();
  return fused;
}

TensorType bools(std::initializer_list<int64_t> dims) {
  return {DType::kBool, Shape(dims)};
}

TEST(AttentionTiles, EveryLengthAgreesWithTheInterpreter) {
  std::vector<Case> cases;
  for (const int64_t steps : {1, 2, 17, 63, 70, 96, 97, 100}) {
    for (const bool causal : {false, true}) {
      cases.push_back({1, 2, 2, steps, steps, 3, 2, causal});
      cases.push_back({1, 1, 1, steps, 130, 2, 3, causal});
      cases.push_back({1, 1, 1, 130, steps, 2, 1, causal});
    }
  }
  for (const Case& c : cases) {
    SCOPED_TRACE(text_of(c));
    const auto graph = attention_graph(c);
    ASSERT_TRUE(test::expect_same(*graph, testing::random_inputs(*graph, 3)).ok);
  }
}

TEST(AttentionTiles, SlopesAndDroppedWeightsAgreeWithTheInterpreter) {
  std::vector<Case> cases = {
      {2, 4, 2, 97, 97, 3, 2, true, bools({2, 1, 1, 97}), {}, DType::kF32, true, 0.7},
      {2,
       3,
       1,
       20,
       130,
       3,
       2,
       false,
       TensorType{DType::kF32, {1, 3, 20, 130}},
       {},
       DType::kF32,
       true,
       0.5},
  };
  for (int64_t steps = 1; steps <= 70; steps += steps < 6 ? 1 : 7) {
    Case c{1, 3, 3, steps, 101 - steps, 3, 2, steps % 2 == 0};
    c.slopes = steps % 3 != 0;
    if (steps % 3 != 1) c.keep = 0.8;
    cases.push_back(c);
  }
  for (const Case& c : cases) {
    SCOPED_TRACE(text_of(c));
    const auto graph = attention_graph(c);
    PassContext context;
    const auto fused = planned(*graph, context);
    const std::vector<Tensor> inputs = testing::random_inputs(*graph, 6);
    ASSERT_TRUE(test::expect_same(*graph, *fused, *context.plan, inputs, TargetInfo::generic_neon(),
                                  {1e-6, 1e-6})
                    .ok);
  }
}

TEST(AttentionTiles, MasksAndGroupsAgreeWithTheInterpreter) {
  const Case cases[] = {
      {2, 4, 2, 40, 130, 3, 2, false},
      {2, 4, 1, 97, 97, 3, 2, true},
      {2, 3, 3, 66, 130, 3, 2, false, bools({2, 1, 1, 130})},
      {2, 2, 1, 99, 99, 3, 2, true, bools({2, 1, 99, 99})},
      {2, 4, 2, 20, 140, 3, 2, false, TensorType{DType::kF32, {1, 4, 20, 140}}},
      {2, 2, 2, 97, 20, 3, 2, false, TensorType{DType::kF32, {1, 1, 1, 1}}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(text_of(c));
    const auto graph = attention_graph(c);
    PassContext context;
    const auto fused = planned(*graph, context);
    const std::vector<Tensor> inputs = testing::random_inputs(*graph, 4);
    ASSERT_TRUE(test::expect_same(*graph, inputs).ok);
    ASSERT_TRUE(test::expect_same(*graph, *fused, *context.plan, inputs, TargetInfo::generic_neon(),
                                  {1e-9, 1e-9})
                    .ok);
  }
}

/// The arena of attention and its gradient: causal, or with slopes and dropped weights.
int64_t arena_of(int64_t steps, bool drops = false) {
  Graph graph("attention");
  Builder b(graph);
  const auto input = [&](InputKind kind, const char* name) {
    return b.input(kind, {DType::kF32, {2, steps, 8}}, name, name);
  };
  const Val x = input(InputKind::kParam, "x");
  const Val seed = input(InputKind::kInput, "seed");
  std::vector<Val> operands = {x, x, x};
  if (drops) {
    const TensorType scalar = {DType::kI64, {}};
    operands.push_back(b.constant({DType::kF32, {2}}, {0.5, 0.25}));
    const Val kept = b.add(Op::kBernoulli,
                           {b.input(InputKind::kInput, scalar, "random", "random"),
                            b.input(InputKind::kInput, scalar, "iteration", "iteration")},
                           make_attrs(BernoulliAttrs{{2, steps, steps}, 5, 0.75}));
    operands.push_back(kept * (1.0 / 0.75));
  }
  const Val y =
      b.add(Op::kAttention, operands,
            make_attrs(AttentionAttrs{.causal = !drops, .slopes = drops, .factors = drops}));
  const std::vector<ValueId> outputs = {y.id()}, seeds = {seed.id()}, wrt = {x.id()};
  const auto gradients = add_gradients(graph, outputs, seeds, wrt, "attention");
  EXPECT_TRUE(gradients.ok()) << gradients.message();
  graph.add_output("dx", (*gradients)[0]);
  PassContext context;
  const Status status = run_passes(graph,
                                   "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,"
                                   "schedule,in_place,plan_memory",
                                   context);
  EXPECT_TRUE(status.ok()) << status.message();
  return context.plan->arena_bytes;
}

TEST(AttentionTiles, MemoryGrowsWithTheLengthNotWithItsSquare) {
  EXPECT_LE(arena_of(512), 2 * arena_of(256));
  EXPECT_LE(arena_of(4096), 8 * arena_of(512));
  EXPECT_LE(arena_of(4096, true), 8 * arena_of(512, true)) << "slopes and dropped weights";
  EXPECT_GT(arena_of(64), 2 * 64 * 64 * 4) << "scores of short sequences are stored";
}

test::Memory compiled(const Graph& graph, const MemoryPlan& plan, const std::vector<Tensor>& inputs,
                      const TargetInfo& target, int threads) {
  const kernel::LowerEntry entry = test::entry_of(graph, plan);
  auto program = kernel::lower("attention", std::span(&entry, 1), target);
  EXPECT_TRUE(program.ok()) << program.message();
  const auto jit = jit_compile(*program, target, JitOptions{.threads = 1, .verify = true});
  EXPECT_TRUE(jit.ok()) << jit.message();
  return test::run_compiled((*jit)->entries().front(), graph, inputs, threads);
}

TEST(AttentionTiles, CompiledCodeHasTheSameBitsEverywhere) {
  const Case cases[] = {
      {2, 2, 2, 128, 128, 32, 32, true},
      {1, 2, 1, 97, 70, 5, 7, true},
      {1, 4, 2, 33, 197, 20, 16, false, bools({1, 1, 1, 197})},
      {2, 1, 1, 67, 130, 16, 8, false, {}, DType::kBF16},
      {1, 2, 2, 97, 97, 9, 9, true, TensorType{DType::kF64, {1, 1, 97, 97}}, {}, DType::kF64},
      {2, 2, 2, 128, 128, 32, 32, true, {}, {}, DType::kF32, true, 0.9},
      {1, 3, 1, 67, 131, 5, 7, false, bools({1, 1, 1, 131}), {}, DType::kF32, true, 0.5},
      {1, 2, 2, 70, 130, 16, 8, false, {}, {}, DType::kBF16, true, 0.75},
      {2, 2, 1, 97, 97, 7, 5, true, {}, {}, DType::kF16},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(text_of(c));
    const auto graph = attention_graph(c);
    PassContext context;
    const auto fused = planned(*graph, context);
    std::vector<Tensor> inputs = testing::random_inputs(*graph, 5);
    for (Tensor& t : inputs)
      t = test::from_bytes(t.type, test::to_bytes(t));
    const TargetInfo host = TargetInfo::host();
    const test::Memory wanted = compiled(*fused, *context.plan, inputs, host, 1);
    EXPECT_TRUE(compiled(*fused, *context.plan, inputs, host, 2) == wanted) << "2 threads";
    EXPECT_TRUE(compiled(*fused, *context.plan, inputs, host, 3) == wanted) << "3 threads";
    // Functions of f64 are those of the C library, lane by lane.
    if (host.triple.substr(0, 6) == "x86_64" && host.has_fma) {
      EXPECT_TRUE(compiled(*fused, *context.plan, inputs, TargetInfo::generic_avx2(), 3) == wanted)
          << "AVX2";
    }
    const auto expected = interpret(*graph, inputs);
    ASSERT_TRUE(expected.ok()) << expected.message();
    const bool is_short = c.multiply || accumulator_dtype(c.dtype) != c.dtype;
    const double relative = is_short ? 3e-2 : 2e-5;
    for (size_t i = 0; i < 5; ++i) {
      const Tensor& want = expected->outputs[i];
      const std::string difference =
          testing::tensor_difference(test::from_bytes(want.type, wanted[inputs.size() + i]), want,
                                     testing::Tolerance{relative, relative});
      EXPECT_EQ(difference, "") << graph->outputs()[i].name;
    }
  }
}

}  // namespace
}  // namespace gradc
