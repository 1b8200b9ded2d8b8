// Parameters that are trained by rows: each optimizer whose formula goes row by row, beside the
// same optimizer on a table of these rows alone, and nothing that is as large as the table.
#include "ir/op_attrs.h"
#include "ir/step_output.h"
#include "passes/memory_plan.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "tests/support/graph_values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr int64_t kRows = 23;
constexpr const char* kTable = "e/embeddings";

/// loss = sum(a * w[x]) + sum(b * w[y] * w[y]): two look-ups, one of another integer type.
std::shared_ptr<Graph> lookups(int64_t rows, int64_t width, bool by_rows, bool all_too = false) {
  auto graph = std::make_shared<Graph>("step");
  Builder b(*graph);
  b.set_location("/layers/0");
  const Val w = b.input(InputKind::kParam, {DType::kF32, Shape{rows, width}}, kTable, "w");
  const Val x = b.input(InputKind::kInput, {DType::kI32, Shape{2, 4}}, "input/x", "x");
  const Val y = b.input(InputKind::kInput, {DType::kI64, Shape{3}}, "input/y", "y");
  const Val a = b.input(InputKind::kInput, {DType::kF32, Shape{2, 4, width}}, "input/a", "a");
  const Val c = b.input(InputKind::kInput, {DType::kF32, Shape{3, width}}, "input/b", "b");
  const Val wx = b.add(Op::kGather, {w, x});
  const Val wy = b.add(Op::kGather, {w, y});
  Val loss = reduce_sum(a * wx, {0, 1, 2}) + reduce_sum(c * wy * wy, {0, 1});
  if (all_too) loss = loss + reduce_sum(w * w, {0, 1});
  graph->add_output("loss", loss.id());
  graph->add_output(kLearningRateOutput, b.scalar(0.05).id());
  if (by_rows) graph->add_output(std::string(kByRowsOutput) + kTable, w.id());
  return graph;
}

using Values = std::map<std::string, Tensor>;

PassOptions options_of(const StepAttrs& step, double clip_norm = 0.0, double global = 0.0) {
  PassOptions options;
  options.optimizer = OptimizerSpec{.step = step};
  options.optimizer->clip_norm = clip_norm;
  options.optimizer->global_clip_norm = global;
  return options;
}

std::shared_ptr<Graph> step_of(std::shared_ptr<Graph> graph, const PassOptions& options) {
  PassContext context(options);
  const Status status = run_passes(*graph, "differentiate,apply_optimizer", context);
  EXPECT_TRUE(status.ok()) << status.message();
  return graph;
}

void step(const Graph& graph, Values& values) {
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs())
    inputs.push_back(values.at(input.name));
  const auto result = interpret(graph, inputs);
  ASSERT_TRUE(result.ok()) << result.message();
  for (const auto& [name, value] : result->updates)
    values[name] = value;
}

bool is_table(const Tensor& tensor) {
  return tensor.type.rank() == 2 && tensor.type.shape[0] == kRows;
}

/// The rows of a table, in order.
Tensor rows_of(const Tensor& table, const std::vector<int64_t>& rows) {
  const int64_t width = table.type.shape[1];
  Tensor result(table.type.with(Shape{static_cast<int64_t>(rows.size()), width}));
  for (size_t i = 0; i < rows.size(); ++i) {
    for (int64_t j = 0; j < width; ++j)
      result[static_cast<int64_t>(i) * width + j] = table[rows[i] * width + j];
  }
  return result;
}

/// A step on all rows that are used, alone; the others and their slots stay as they are.
void expect_moves_used_rows(const PassOptions& options, const std::string& who) {
  const auto sparse = step_of(lookups(kRows, 3, true), options);
  const std::vector<Tensor> first = test::random_inputs(*sparse, 5, 0.2, 1.0);
  Values values;
  for (size_t i = 0; i < first.size(); ++i)
    values[sparse->inputs()[i].name] = first[i];
  values.at(kIterationInput)[0] = 0.0;
  test::Draw draw(11);
  for (int t = 0; t < 3; ++t) {
    std::set<int64_t> used;
    for (const char* name : {"input/x", "input/y"}) {
      for (double& index : values.at(name).data) {
        index = static_cast<double>(draw.below(kRows / 2) * 2);
        used.insert(static_cast<int64_t>(index));
      }
    }
    const std::vector<int64_t> rows(used.begin(), used.end());
    Values alone = values;
    for (auto& [name, tensor] : alone) {
      if (is_table(tensor)) tensor = rows_of(tensor, rows);
      if (name != "input/x" && name != "input/y") continue;
      for (double& index : tensor.data) {
        const auto at = std::lower_bound(rows.begin(), rows.end(), static_cast<int64_t>(index));
        index = static_cast<double>(at - rows.begin());
      }
    }
    const auto dense = step_of(lookups(static_cast<int64_t>(rows.size()), 3, false), options);
    Values expected = values;
    step(*dense, alone);
    step(*sparse, values);
    for (auto& [name, tensor] : expected) {
      if (name.starts_with("input/")) continue;
      if (!is_table(tensor)) {
        test::expect_near(values.at(name), alone.at(name), 1e-12, who + ": " + name);
        continue;
      }
      test::expect_near(rows_of(values.at(name), rows), alone.at(name), 1e-12, who + ": " + name);
      for (size_t i = 0; i < rows.size(); ++i) {
        for (int64_t j = 0; j < 3; ++j)
          tensor[rows[i] * 3 + j] = values.at(name)[rows[i] * 3 + j];
      }
      EXPECT_EQ(values.at(name).data, tensor.data) << who << ": other rows of " << name;
    }
  }
}

TEST(UsedRows, AreMovedByTheFormulaOfEveryOptimizerThatGoesRowByRow) {
  std::set<std::string_view> whole;
  for (const StepRule* rule : all_step_rules()) {
    for (const StepAttrs& attrs : rule->samples()) {
      if (attrs.decays()) {
        EXPECT_EQ(why_not_by_rows(attrs), "decays all weights");
      } else if (why_not_by_rows(attrs).empty()) {
        expect_moves_used_rows(options_of(attrs), std::string(rule->name));
      } else {
        whole.insert(rule->name);
      }
    }
  }
  EXPECT_EQ(whole, (std::set<std::string_view>{"adafactor", "lamb", "muon"}));
}

// The norm of what is zero in all other rows is that of the rows.
TEST(UsedRows, AreClippedByTheirNorm) {
  expect_moves_used_rows(options_of(StepAttrs("adam"), 0.3), "clipnorm");
  expect_moves_used_rows(options_of(StepAttrs("momentum"), 0.0, 0.2), "global_clipnorm");
}

TEST(UsedRows, NothingAsLargeAsTheTableIsMade) {
  constexpr int64_t kMany = 4000, kWidth = 32;
  for (const char* rule : {"sgd", "adam", "ftrl"}) {
    const auto graph = lookups(kMany, kWidth, true);
    PassContext context(options_of(StepAttrs(rule)));
    const std::string passes =
        pipeline_text(PipelineKind::kTrainStep, PipelineStage::kPlanned, PipelineStage::kGraph);
    const Status status = run_passes(*graph, passes, context);
    ASSERT_TRUE(status.ok()) << status.message();
    ASSERT_TRUE(context.plan.has_value());
    EXPECT_LT(context.plan->arena_bytes, 40 * kWidth * 4 * 4) << rule;
    int tables = 0;
    for (const NodeId id : graph->nodes()) {
      for (const ValueId result : graph->node(id).results) {
        if (graph->type(result).num_elements() != kMany * kWidth) continue;
        EXPECT_EQ(context.plan->storage[result.index].kind, StorageKind::kInput);
        ++tables;
      }
    }
    EXPECT_EQ(tables, 1 + static_cast<int>(step_slots(StepAttrs(rule), f32({1})).size())) << rule;
  }
}

TEST(UsedRows, WhatUsesTheWholeTableIsRefused) {
  const auto fails = [](std::shared_ptr<Graph> graph, const StepAttrs& attrs, const char* text) {
    PassContext context(options_of(attrs));
    const Status status = run_passes(*graph, "differentiate,apply_optimizer", context);
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.message().find(text), std::string::npos) << status.message();
    EXPECT_EQ(status.diagnostics().front().place.pointer, "/layers/0");
  };
  fails(lookups(kRows, 3, true, true), StepAttrs("sgd"), "more is done with it than to look up");
  fails(lookups(kRows, 3, true), StepAttrs("adam", {{"weight_decay", 0.1}}), "decays all weights");
  fails(lookups(kRows, 3, true), StepAttrs("lamb"), "looks at the whole parameter");
  fails(lookups(kRows, 3, true), StepAttrs("adafactor"), "remembers something of the whole");
  auto kept = lookups(kRows, 3, true);
  Builder b(*kept);
  const Val w = b.wrap(*kept->find_input(kTable));
  kept->add_output(std::string(kConstraintOutput) + kTable, maximum(w, 0.0).id());
  fails(kept, StepAttrs("sgd"), "more is done with it than to look up");
}

}  // namespace
}  // namespace gradc
