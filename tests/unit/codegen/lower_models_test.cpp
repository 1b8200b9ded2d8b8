// Whole training steps through the real pipeline (fused, scheduled, in place, planned): the kernel
// program computes what the graph interpreter says of the unfused step.
#include "ir/builder.h"
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "tests/unit/codegen/lower_support.h"
#include "tests/unit/passes/training_graphs.h"

#include <gtest/gtest.h>

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

TEST(LowerModels, MlpBecomesFewKernels) {
  const auto graph = test::mlp_step({784, 128, 10}, 64, test::Step::kAdam);
  const Planned p = planned(*graph);
  const kernel::LowerEntry entry = test::entry_of(*p.graph, p.plan);
  const auto program = kernel::lower("mlp", std::span(&entry, 1), TargetInfo::generic_avx512());
  ASSERT_TRUE(program.ok()) << program.message();
  EXPECT_LE(program->entries[0].calls.size(), 14U) << kernel::to_string(*program);
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

TEST(LowerModels, CompositesAreRefused) {
  Graph graph("softmax");
  Builder b(graph);
  const Val x = b.input(InputKind::kInput, f32({4, 4}), "x", "x");
  graph.add_output("y", b.add(Op::kGelu, {x}).id());
  const MemoryPlan plan = test::plain_plan(graph);
  const kernel::LowerEntry entry = test::entry_of(graph, plan);
  const auto program = kernel::lower("m", std::span(&entry, 1), TargetInfo::generic_avx512());
  ASSERT_FALSE(program.ok());
  EXPECT_EQ(program.diagnostics()[0].kind, DiagKind::kUnsupported);
}

}  // namespace
}  // namespace gradc
