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

/// What follows a stage of the standard pipeline, without differentiation.
std::shared_ptr<Graph> planned(const Graph& graph, MemoryPlan& plan) {
  auto fused = graph.clone();
  PassContext context;
  const Status status = run_passes(
      *fused,
      pipeline_text(PipelineKind::kForward, PipelineStage::kPlanned, PipelineStage::kGradient),
      context);
  EXPECT_TRUE(status.ok()) << status.message() << "\n" << print_graph(graph);
  if (status.ok()) plan = *context.plan;
  return fused;
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

/// h' = tanh(x w + h u), h' yielded too, over so many steps.
std::shared_ptr<Graph> recurrence(int64_t steps) {
  auto body = std::make_shared<Graph>("body");
  Builder inner(*body);
  const Val h = inner.input(InputKind::kArg, f32({4, 16}), "", "h");
  const Val x = inner.input(InputKind::kArg, f32({4, 16}), "", "x");
  const Val u = inner.input(InputKind::kArg, f32({16, 16}), "", "u");
  const Val next = tanh(x + matmul(h, u));
  body->add_output("", next.id());
  body->add_output("", next.id());
  auto graph = std::make_shared<Graph>("recurrence");
  Builder b(*graph);
  const Val start = b.input(InputKind::kInput, f32({4, 16}), "start", "start");
  const Val xs = b.input(InputKind::kInput, f32({steps, 4, 16}), "xs", "xs");
  const Val w = b.input(InputKind::kInput, f32({16, 16}), "u", "u");
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

TEST(LowerLoops, StepsCostNothingButTime) {
  int64_t code_bytes = 0;
  size_t steps = 0;
  for (const int64_t trips : {8, 512, 65536}) {
    const auto graph = recurrence(trips);
    MemoryPlan plan;
    const auto fused = planned(*graph, plan);
    const kernel::LowerEntry entry = test::entry_of(*fused, plan);
    const auto program =
        kernel::lower("recurrence", std::span(&entry, 1), TargetInfo::generic_avx2());
    ASSERT_TRUE(program.ok()) << program.message();
    EXPECT_EQ(kernel::verify(*program).size(), 0U);
    // The arena does not grow with the steps either: what is stacked is the caller's.
    EXPECT_LE(program->entries[0].arena_bytes, 4096);
    JitOptions options;
    options.threads = 1;
    const auto jit = jit_compile(*program, TargetInfo::generic_avx2(), options);
    ASSERT_TRUE(jit.ok()) << jit.message();
    if (code_bytes == 0) {
      code_bytes = (*jit)->timings().code_bytes;
      steps = static_cast<size_t>((*jit)->entries()[0].table.num_steps);
    }
    EXPECT_EQ((*jit)->timings().code_bytes, code_bytes) << trips;
    EXPECT_EQ(static_cast<size_t>((*jit)->entries()[0].table.num_steps), steps) << trips;
  }
}

}  // namespace
}  // namespace gradc
