// Whole training steps through the real pipeline (fused, scheduled, in place, planned): the kernel
// program computes what the graph interpreter says of the unfused step.
#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "passes/plan_memory.h"
#include "tests/unit/codegen/lower_support.h"
#include "tests/unit/passes/training_graphs.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gradc {
namespace {

constexpr const char* kPipeline =
    "(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory";

struct Planned {
  std::shared_ptr<Graph> graph;
  MemoryPlan plan;
};

Planned planned(const Graph& graph) {
  Planned result{graph.clone(), {}};
  PassContext context;
  const Status status = run_passes(*result.graph, kPipeline, context);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(context.plan.has_value());
  if (context.plan) result.plan = *context.plan;
  return result;
}

TEST(LowerModels, TrainingStepsAgreeWithTheInterpreter) {
  for (const auto& graph : test::all_training_graphs()) {
    SCOPED_TRACE(graph->name());
    const Planned p = planned(*graph);
    const test::LoweredRun run =
        test::expect_same(*graph, *p.graph, p.plan, test::random_inputs(*graph, 11),
                          TargetInfo::generic_avx512(), {1e-6, 1e-6});
    if (!run.ok) ADD_FAILURE() << print_graph(*p.graph);
  }
}

TEST(LowerModels, WorkspacesArePlannedWithTheValues) {
  const auto graph = test::conv_step(16, test::Step::kAdam);
  const TargetInfo target = TargetInfo::generic_avx512();
  const Planned p = planned(*graph);
  const auto sharing = assign_storage(*p.graph);
  ASSERT_TRUE(sharing.ok()) << sharing.message();
  kernel::ProgramLowering lowering("conv", target);
  const auto lowered = lowering.lower(*p.graph, *sharing);
  ASSERT_TRUE(lowered.ok()) << lowered.message();
  ASSERT_FALSE(lowered->workspaces.empty());
  const auto plan = make_memory_plan(*p.graph, {}, lowered->workspaces);
  ASSERT_TRUE(plan.ok()) << plan.message();
  for (const std::string& wrong : verify_plan(*p.graph, *plan))
    ADD_FAILURE() << wrong;
  EXPECT_GE(plan->arena_bytes, p.plan.arena_bytes);
  const test::LoweredRun run = test::expect_same(
      *graph, *p.graph, *plan, test::random_inputs(*graph, 5), target, {1e-6, 1e-6});
  ASSERT_TRUE(run.ok);
  EXPECT_EQ(run.program.entries[0].arena_bytes, plan->arena_bytes);
  // The plan moves nothing that the kernels know: lowering once, before it, makes the same program.
  const kernel::LowerEntry entry = test::entry_of(*p.graph, *plan);
  ASSERT_TRUE(lowering.add(entry, *lowered).ok());
  EXPECT_EQ(kernel::to_string(lowering.take()).substr(13), run.text.substr(13));

  // A workspace on top of what its node reads is noticed.
  MemoryPlan wrong = *plan;
  const Node& node = p.graph->node(wrong.workspaces[0].node);
  for (const ValueId operand : node.operands) {
    const Storage& storage = wrong.storage[operand.index];
    if (storage.kind == StorageKind::kArena) wrong.workspaces[0].offset = storage.offset;
  }
  EXPECT_FALSE(verify_plan(*p.graph, wrong).empty());
}

TEST(LowerModels, MlpBecomesFewKernels) {
  const auto graph = test::mlp_step({784, 128, 10}, 64, test::Step::kAdam);
  const Planned p = planned(*graph);
  const kernel::LowerEntry entry = test::entry_of(*p.graph, p.plan);
  const auto program = kernel::lower("mlp", std::span(&entry, 1), TargetInfo::generic_avx512());
  ASSERT_TRUE(program.ok()) << program.message();
  EXPECT_LE(program->entries[0].steps.size(), 14U) << kernel::to_string(*program);
}

TEST(LowerModels, EqualLayersShareTheirKernels) {
  const auto kernels = [](std::vector<int64_t> sizes) {
    const Planned p = planned(*test::mlp_step(std::move(sizes), 32, test::Step::kSgd));
    const kernel::LowerEntry entry = test::entry_of(*p.graph, p.plan);
    const auto program = kernel::lower("mlp", std::span(&entry, 1), TargetInfo::generic_avx512());
    EXPECT_TRUE(program.ok()) << program.message();
    return program.ok() ? program->kernels.size() : size_t{0};
  };
  // Deeper models may differ in which results are planned onto which operands, not in more.
  const size_t shallow = kernels({64, 64, 64, 64, 10});
  const size_t deep = kernels({64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 10});
  EXPECT_GE(shallow, 8U);
  EXPECT_LE(deep, shallow + 2);
}

/// One head-split self-attention with its gradient: views around every contraction.
std::shared_ptr<Graph> attention_gradient(int64_t batch, int64_t length, int64_t heads,
                                          int64_t width) {
  auto graph = std::make_shared<Graph>("attention");
  Builder b(*graph);
  const int64_t channels = heads * width;
  const Val x = b.input(InputKind::kInput, f32({batch, length, channels}), "input/x", "x");
  const auto project = [&](Val from, const std::string& name) {
    const Val w = b.input(InputKind::kParam, f32({channels, channels}), name + "/kernel", name);
    return matmul(reshape(from, {batch * length, channels}), w);
  };
  const auto split = [&](Val v) {
    return transpose(reshape(v, {batch, length, heads, width}), {0, 2, 1, 3});
  };
  const Val q = split(project(x, "q"));
  const Val k = split(project(x, "k"));
  const Val v = split(project(x, "v"));
  const Val scores = matmul(q, k, false, true) * (1.0 / std::sqrt(static_cast<double>(width)));
  const Val weights = b.add(Op::kSoftmax, {scores}, make_attrs(AxisAttrs{3}));
  const Val mixed = transpose(matmul(weights, v), {0, 2, 1, 3});
  const Val y = project(reshape(mixed, {batch, length, channels}), "o");
  graph->add_output("loss", reduce_mean(y * y, {0, 1}).id());
  PassContext context;
  const Status status = run_passes(*graph, "differentiate,expand_composites", context);
  EXPECT_TRUE(status.ok()) << status.message();
  return graph;
}

TEST(LowerModels, AttentionNeedsNoDivisionOfIndices) {
  const auto graph = attention_gradient(2, 9, 3, 8);
  const Planned p = planned(*graph);
  const test::LoweredRun run =
      test::expect_same(*graph, *p.graph, p.plan, test::random_inputs(*graph, 3),
                        TargetInfo::generic_avx512(), {1e-6, 1e-6});
  EXPECT_TRUE(run.ok);
  EXPECT_EQ(test::count_of(run.text, "floor_"), 0U) << print_graph(*p.graph) << run.text;
}

TEST(LowerModels, CompositesAreRefused) {
  Graph graph("softmax");
  Builder b(graph);
  const Val x = b.input(InputKind::kInput, f32({4, 4}), "x", "x");
  graph.add_output("y", b.add(Op::kGelu, {x}).id());
  const MemoryPlan plan = test::plain_plan(graph);
  const kernel::LowerEntry entry = test::entry_of(graph, plan);
  const auto program = kernel::lower("m", std::span(&entry, 1), TargetInfo::generic_avx512());
  ASSERT_FALSE(program.ok());
  EXPECT_EQ(program.diagnostics()[0].kind, DiagKind::kInternal);
}

}  // namespace
}  // namespace gradc
