// Lowered graphs compiled and run on this machine: whole training steps, convolutions, and graphs
// that random ones led to, agree with the graph interpreter, and any number of threads gives the
// same bits.
#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "tests/support/random_graph.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"
#include "tests/unit/passes/training_graphs.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

/// Empty when compiled code agrees with the interpreter on `reference`.
std::string compiled_difference(const Graph& reference, const Graph& graph, const MemoryPlan& plan,
                                const std::vector<Tensor>& inputs) {
  const auto expected = interpret(reference, inputs);
  if (!expected.ok()) return expected.message();
  const kernel::LowerEntry entry = test::entry_of(graph, plan);
  const TargetInfo target = TargetInfo::host();
  const auto program = kernel::lower("test", std::span(&entry, 1), target);
  if (!program.ok()) return program.message();
  if (const std::string problem = testing::reading_back_problem(program->kernels); !problem.empty())
    return problem;
  JitOptions options;
  options.verify = true;
  const auto jit = jit_compile(*program, target, options);
  if (!jit.ok()) return jit.message();
  const JitEntry& code = (*jit)->entries().front();
  const test::Memory memory = test::run_compiled(code, graph, inputs, 1);
  if (test::run_compiled(code, graph, inputs, 3) != memory) return "three threads give other bits";
  const testing::Tolerance tolerance{2e-4, 2e-4};
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const Tensor actual =
        test::from_bytes(graph.type(graph.outputs()[i].value), memory[inputs.size() + i]);
    const std::string d = testing::tensor_difference(actual, expected->outputs[i], tolerance);
    if (!d.empty()) return graph.outputs()[i].name + ": " + d;
  }
  for (const auto& [name, value] : expected->updates) {
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      if (graph.inputs()[i].name != name) continue;
      const std::string d =
          testing::tensor_difference(test::from_bytes(value.type, memory[i]), value, tolerance);
      if (!d.empty()) return "update of " + name + ": " + d;
    }
  }
  return {};
}

constexpr const char* kPlanned =
    "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory";

std::string planned_difference(const Graph& graph, const std::vector<Tensor>& inputs) {
  const std::shared_ptr<Graph> fused = graph.clone();
  PassContext context;
  const Status status = run_passes(*fused, kPlanned, context);
  if (!status.ok() || !context.plan) return "the pipeline failed: " + status.message();
  std::string difference = compiled_difference(graph, *fused, *context.plan, inputs);
  if (!difference.empty()) difference += "\n" + print_graph(*fused);
  return difference;
}

TEST(LowerJit, TrainingStepsAgree) {
  for (const auto& graph : test::all_training_graphs())
    EXPECT_EQ(planned_difference(*graph, test::random_inputs(*graph, 11)), "") << graph->name();
}

/// The gradient of the logits in their place, whatever the rows are like.
TEST(LowerJit, RowKernelsWriteOverWhatTheyRead) {
  for (const auto& [rows, cols] :
       {std::pair{64, 301}, {33, 1000}, {9, 5000}, {700, 257}, {16, 256}}) {
    const auto graph = test::mlp_step({12, cols}, rows, test::Step::kSgd);
    const std::shared_ptr<Graph> fused = graph->clone();
    PassContext context;
    ASSERT_TRUE(run_passes(*fused, kPlanned, context).ok());
    bool overwrites = false;
    for (const NodeId id : fused->nodes()) {
      const Node& node = fused->node(id);
      if (node.op != Op::kKernel || node.attrs.as<KernelAttrs>().kind != KernelKind::kRow) continue;
      for (const ValueId result : node.results) {
        const Storage& storage = context.plan->storage[result.index];
        overwrites |= storage.kind == StorageKind::kArena && storage.in_place_of.valid();
      }
    }
    EXPECT_TRUE(overwrites) << print_graph(*fused);
    EXPECT_EQ(planned_difference(*graph, test::random_inputs(*graph, 11)), "");
  }
}

TEST(LowerJit, ConvolutionsOfEveryKindAgree) {
  struct Case {
    TensorType x, w;
    ConvAttrs attrs;
  };
  const Case cases[] = {
      {f32({4, 12, 12, 16}), f32({3, 3, 16, 32}), {{1, 1}, {1, 1}, {1, 1}, {}, 1, {}}},
      {f32({4, 13, 12, 16}), f32({3, 3, 16, 32}), {{2, 2}, {1, 1}, {1, 1}, {}, 1, {}}},
      {f32({3, 9, 9, 8}), f32({5, 5, 8, 24}), {}},
      {f32({4, 10, 10, 16}), f32({3, 3, 8, 32}), {{1, 1}, {1, 1}, {1, 1}, {}, 2, {}}},
      {f32({4, 10, 10, 32}), f32({3, 3, 1, 32}), {{1, 1}, {1, 1}, {1, 1}, {}, 32, {}}},
      {f32({4, 40, 40, 1}), f32({3, 3, 1, 16}), {}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(to_string(c.x) + " * " + to_string(c.w));
    Graph graph("conv");
    Builder b(graph);
    const Val x = b.input(InputKind::kInput, c.x, "x", "x");
    const Val w = b.input(InputKind::kInput, c.w, "w", "w");
    const Val y = b.add(Op::kConv, {x, w}, make_attrs(c.attrs));
    ConvAttrs attrs = c.attrs;
    attrs.shape = c.x.shape.to_vector();
    const Val dx = b.add(Op::kConvInputGrad, {y * 0.01, w}, make_attrs(attrs));
    attrs.shape = c.w.shape.to_vector();
    const Val dw = b.add(Op::kConvFilterGrad, {x, y * 0.01}, make_attrs(attrs));
    graph.add_output("y", y.id());
    graph.add_output("dx", dx.id());
    graph.add_output("dw", dw.id());
    EXPECT_EQ(planned_difference(graph, test::random_inputs(graph, 2)), "");
  }
}

/// Graphs on which the random graphs of tests/differential found errors, made small.
constexpr const char* kFound[] = {
    // Of a concat, a slice shows one operand only: the other must not be read.
    R"(graph @sliced_concat {
  input %a : f32[4x2]
  input %b : f32[4x2]
forward:
  %0 = concat %a, %b                              : f32[8x2]
  %1 = tanh %0                                    : f32[8x2]
  %2 = slice %1 {start=[4, 0], limit=[8, 2]}      : f32[4x2]
  %3 = reduce_sum %2 {axes=[0, 1]}                : f32[]
  return %3
})",
    // Nothing but padding.
    R"(graph @sliced_padding {
  input %a : f32[4x7x5x4]
forward:
  %0 = pad %a {low=[2, 2, 0, 2], high=[1, 1, 2, 0], value=0.5}                   : f32[7x10x7x6]
  %1 = slice %0 {start=[2, 1, 0, 0], limit=[7, 6, 2, 1], stride=[2, 1, 2, 2]}    : f32[3x5x1x1]
  %2 = reduce_sum %1 {axes=[0, 1, 2, 3]}                                         : f32[]
  return %2
})",
    // Every window sees padding along the second axis.
    R"(graph @window_of_padding {
  input %w : f32[2x1x5x4]
  input %y : f32[2x3x1x4]
forward:
  %0 = conv_input_grad %y, %w {strides=[1, 2], pad_low=[0, 1], pad_high=[2, 0], dilation=[1, 2], groups=2, shape=[2, 2, 1, 10]} : f32[2x2x1x10]
  return %0
})",
    // A seed that is read where a guard in lanes holds.
    R"(graph @padded_random {
  input %seed : i64[]
  input %iteration : i64[]
forward:
  %0 = random_uniform %seed, %iteration {stream=405} : f32[4]
  %1 = pad %0 {low=[2], high=[0]}                    : f32[6]
  %2 = tanh %1                                       : f32[6]
  return %2
})",
    // Reductions whose rows do not fit the cuts of the views they read through: a reshape across a
    // concatenation, paddings in a row, both, and slices of them.
    R"(graph @reshaped_concat {
  input %a : f32[2x5x6x3]
  input %b : f32[2x5x6x3]
forward:
  %0 = concat %a, %b {axis=3}      : f32[2x5x6x6]
  %1 = reshape %0                  : f32[2x3x6x10]
  %2 = reduce_sum %1 {axes=[1, 2]} : f32[2x10]
  return %2
})",
    R"(graph @three_paddings {
  input %a : f32[2x6x5x4]
forward:
  %0 = pad %a {low=[0, 1, 0, 0], high=[0, 2, 1, 0]} : f32[2x9x6x4]
  %1 = pad %0 {low=[0, 2, 1, 0], high=[0, 0, 1, 0]} : f32[2x11x8x4]
  %2 = pad %1 {low=[0, 1, 1, 0], high=[0, 1, 1, 0]} : f32[2x13x10x4]
  %3 = reduce_sum %2 {axes=[1, 2]}                  : f32[2x4]
  return %3
})",
    R"(graph @padded_permuted_padded {
  input %a : f32[2x7x2x3]
forward:
  %0 = pad %a {low=[0, 2, 0, 0], high=[0, 1, 1, 0]} : f32[2x10x3x3]
  %1 = transpose %0 {perm=[0, 1, 3, 2]}             : f32[2x10x3x3]
  %2 = pad %1 {low=[0, 1, 0, 0], high=[0, 1, 2, 0]} : f32[2x12x5x3]
  %3 = reshape %2                                   : f32[2x9x1x20]
  %4 = reduce_max %3 {axes=[1, 2]}                  : f32[2x20]
  return %4
})",
    R"(graph @cropped_concat_of_concats {
  input %a : f32[4x6]
  input %b : f32[4x3]
forward:
  %0 = concat %a, %b {axis=1}                      : f32[4x9]
  %1 = concat %0, %a {axis=1}                      : f32[4x15]
  %2 = slice %1 {start=[0, 1], limit=[4, 15]}      : f32[4x14]
  %3 = pad %2 {low=[1, 0], high=[1, 1]}            : f32[6x15]
  %4 = reshape %3                                  : f32[9x10]
  %5 = reduce_sum %4 {axes=[0]}                    : f32[10]
  %6 = reduce_max %4 {axes=[1]}                    : f32[9]
  return columns=%5, rows=%6
})"};

TEST(LowerJit, WhatRandomGraphsFound) {
  for (const char* text : kFound) {
    const auto graph = parse_graph(text, "found.gir");
    ASSERT_TRUE(graph.ok()) << graph.message();
    EXPECT_EQ(planned_difference(**graph, testing::random_inputs(**graph, 3)), "") << text;
  }
}

}  // namespace
}  // namespace gradc
