// Scans as loop steps: every sample, and random loops with their gradients, lowered and run by the
// kernel interpreter and as compiled code, with one thread and three; and that the number of steps
// costs a number in a table.
#include "ir/builder.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "tests/support/op_samples.h"
#include "tests/support/random_graph.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

/// What a pipeline makes of a graph.
std::shared_ptr<Graph> planned(const Graph& graph, const std::string& pipeline, MemoryPlan& plan) {
  auto fused = graph.clone();
  PassContext context;
  const Status status = run_passes(*fused, pipeline, context);
  EXPECT_TRUE(status.ok()) << status.message() << "\n" << print_graph(graph);
  if (status.ok()) plan = *context.plan;
  return fused;
}

/// What follows differentiation in the standard pipeline.
std::shared_ptr<Graph> planned(const Graph& graph, MemoryPlan& plan) {
  return planned(
      graph,
      pipeline_text(PipelineKind::kForward, PipelineStage::kPlanned, PipelineStage::kGradient),
      plan);
}

size_t num_loops(const kernel::Program& program) {
  size_t count = 0;
  for (const kernel::Entry& entry : program.entries) {
    for (const kernel::Step& step : entry.steps)
      count += step.loop() != nullptr ? 1 : 0;
  }
  return count;
}

/// Lowers by a real plan, compares the kernel interpreter and compiled code with the graph's.
size_t expect_loops(const Graph& graph, const std::vector<Tensor>& inputs,
                    const testing::Tolerance& compiled_tolerance) {
  MemoryPlan plan;
  const auto fused = planned(graph, plan);
  const TargetInfo target = TargetInfo::host();
  const test::LoweredRun run = test::expect_same(graph, *fused, plan, inputs, target, {1e-7, 1e-7});
  if (!run.ok) return 0;
  const auto expected = interpret(graph, inputs);
  auto jit = jit_compile(run.program, target, {});
  EXPECT_TRUE(jit.ok()) << jit.message();
  if (!jit.ok()) return 0;
  const JitEntry& entry = (*jit)->entries().front();
  const test::Memory memory = test::run_compiled(entry, *fused, inputs, 1);
  EXPECT_EQ(test::run_compiled(entry, *fused, inputs, 3), memory) << "three threads\n" << run.text;
  for (size_t i = 0; i < fused->outputs().size(); ++i) {
    const Tensor actual =
        test::from_bytes(fused->type(fused->outputs()[i].value), memory[inputs.size() + i]);
    EXPECT_EQ(testing::tensor_difference(actual, expected->outputs[i], compiled_tolerance), "")
        << fused->outputs()[i].name << "\n"
        << run.text;
  }
  return num_loops(run.program);
}

TEST(LowerLoops, EverySampleAgreesWithTheInterpreter) {
  const OpDef& op = def(Op::kScan);
  const std::vector<Sample> samples = op.samples();
  for (size_t i = 0; i < samples.size(); ++i) {
    SCOPED_TRACE(test::sample_name(op, i));
    test::SampleGraph sample(samples[i]);
    for (const Val& v : sample.builder.add_multi(op.op, sample.operands, samples[i].attrs, "",
                                                 test::sample_body(samples[i])))
      sample.graph->add_output("out" + std::to_string(v.id().index), v.id());
    EXPECT_GT(expect_loops(*sample.graph, test::draw_operands(samples[i], 3), {1e-4, 1e-5}), 0U);
  }
}

TEST(LowerLoops, RandomLoopsAndTheirGradientsAgree) {
  size_t loops = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    testing::RandomGraphOptions options;
    options.families = testing::kRandomLoop | testing::kRandomElementwise | testing::kRandomView |
                       testing::kRandomMatmul;
    options.num_nodes = 6;
    options.max_extent = 6;
    const auto graph = testing::random_graph(seed, options);
    if (seed % 2 == 1) {
      PassContext context;
      const Status status = run_passes(*graph, "differentiate", context);
      if (!status.ok()) continue;  // a loss that cannot be differentiated
    }
    loops += expect_loops(*graph, testing::random_inputs(*graph, seed), {2e-3, 1e-3});
    if (HasFailure()) FAIL() << print_graph(*graph);
  }
  EXPECT_GT(loops, 20U);
}

/// h' = tanh(x + h u), h' yielded too, over so many steps.
std::shared_ptr<Graph> recurrence(int64_t steps, int64_t width = 16) {
  auto body = std::make_shared<Graph>("body");
  Builder inner(*body);
  const Val h = inner.input(InputKind::kArg, f32({4, width}), "", "h");
  const Val x = inner.input(InputKind::kArg, f32({4, width}), "", "x");
  const Val u = inner.input(InputKind::kArg, f32({width, width}), "", "u");
  const Val next = tanh(x + matmul(h, u));
  body->add_output("", next.id());
  body->add_output("", next.id());
  auto graph = std::make_shared<Graph>("recurrence");
  Builder b(*graph);
  const Val start = b.input(InputKind::kInput, f32({4, width}), "start", "start");
  const Val xs = b.input(InputKind::kInput, f32({steps, 4, width}), "xs", "xs");
  const Val w = b.input(InputKind::kParam, f32({width, width}), "u", "u");
  ScanAttrs attrs;
  attrs.steps = steps;
  attrs.carries = 1;
  attrs.slices = 1;
  const std::vector<Val> results =
      b.add_multi(Op::kScan, {start, xs, w}, make_attrs(attrs), "", body);
  graph->add_output("last", results[0].id());
  graph->add_output("all", results[1].id());
  return graph;
}

/// What the compiled code of a graph takes.
struct Size {
  int64_t code = 0;
  int64_t steps = 0;
  size_t kernels = 0;
  int64_t arena = 0;
};

Size size_of(const Graph& graph, const std::string& pipeline) {
  MemoryPlan plan;
  const auto fused = planned(graph, pipeline, plan);
  const kernel::LowerEntry entry = test::entry_of(*fused, plan);
  const auto program =
      kernel::lower("recurrence", std::span(&entry, 1), TargetInfo::generic_avx2());
  EXPECT_TRUE(program.ok()) << program.message();
  if (!program.ok()) return {};
  EXPECT_EQ(kernel::verify(*program).size(), 0U);
  JitOptions options;
  options.threads = 1;
  const auto jit = jit_compile(*program, TargetInfo::generic_avx2(), options);
  EXPECT_TRUE(jit.ok()) << jit.message();
  if (!jit.ok()) return {};
  return {(*jit)->timings().code_bytes, (*jit)->entries()[0].table.num_steps,
          program->kernels.size(), program->entries[0].arena_bytes};
}

TEST(LowerLoops, StepsCostNothingButTime) {
  const std::string pipeline = pipeline_text(PipelineKind::kForward);
  const Size first = size_of(*recurrence(8), pipeline);
  EXPECT_GT(first.code, 0);
  // The arena does not grow with the steps either: what is stacked is the caller's.
  EXPECT_LE(first.arena, 4096);
  for (const int64_t trips : {512, 65536}) {
    const Size size = size_of(*recurrence(trips), pipeline);
    EXPECT_EQ(size.code, first.code) << trips;
    EXPECT_EQ(size.steps, first.steps) << trips;
    EXPECT_EQ(size.arena, first.arena) << trips;
  }
}

/// With its gradient, whose sums over the steps stand behind the loops, and packed matrices. Sums
/// over more rows have other loop bounds, but there are as many kernels, and as many calls of them.
TEST(LowerLoops, StepsOfAGradientCostNothingButTime) {
  const auto size = [](int64_t trips) {
    const auto graph = recurrence(trips, 64);
    Builder b(*graph);
    const Val all = b.wrap(*graph->find_output("all"));
    graph->add_output("loss", reduce_sum(all * all, {0, 1, 2}).id());
    return size_of(*graph, pipeline_text(PipelineKind::kGradients));
  };
  const Size first = size(512);
  for (const int64_t trips : {2048, 65536}) {
    const Size more = size(trips);
    EXPECT_EQ(more.steps, first.steps) << trips;
    EXPECT_EQ(more.kernels, first.kernels) << trips;
    EXPECT_NEAR(static_cast<double>(more.code), static_cast<double>(first.code),
                0.1 * static_cast<double>(first.code))
        << trips;
  }
}

/// The state that is stacked, and the one before each step that its gradient reads, are stored by
/// the kernels that make and read them: no step copies.
TEST(LowerLoops, StepsDoNotCopy) {
  const auto graph = recurrence(16, 64);
  Builder b(*graph);
  const Val all = b.wrap(*graph->find_output("all"));
  graph->add_output("loss", reduce_sum(all * all, {0, 1, 2}).id());
  MemoryPlan plan;
  const auto fused = planned(*graph, pipeline_text(PipelineKind::kGradients), plan);
  const kernel::LowerEntry entry = test::entry_of(*fused, plan);
  const auto program =
      kernel::lower("recurrence", std::span(&entry, 1), TargetInfo::generic_avx512());
  ASSERT_TRUE(program.ok()) << program.message();
  size_t loops = 0;
  for (const kernel::Step& step : program->entries[0].steps) {
    if (step.loop() == nullptr) continue;
    ++loops;
    EXPECT_LE(step.loop()->body.size(), 2U);
    for (const kernel::Step& inner : step.loop()->body) {
      const kernel::Kernel& kernel = program->kernels[inner.call()->kernel];
      EXPECT_TRUE(kernel.name.find("copy") == std::string::npos) << kernel.name;
    }
  }
  EXPECT_EQ(loops, 2U);
}

}  // namespace
}  // namespace gradc
