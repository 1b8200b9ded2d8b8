// The forms of ops for all steps of a loop at once (OpDef::stack, OpDef::sum_steps), from the
// samples: against a loop around the op, for every choice of operands that differ from step to
// step.
#include "ir/interpreter.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "ir/verifier.h"
#include "tests/support/op_samples.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

constexpr int64_t kSteps = 3;
constexpr size_t kMaxOperands = 4;  // of samples whose choices are all tried

TensorType with_steps(const TensorType& type) {
  Shape shape = {kSteps};
  for (int64_t extent : type.shape)
    shape.push_back(extent);
  return type.with(shape);
}

/// A sample whose operands in `choice` have one value for each step.
Sample stacked_sample(const Sample& s, const std::vector<bool>& choice) {
  Sample result = s;
  for (size_t i = 0; i < choice.size(); ++i) {
    if (choice[i]) result.operands[i] = with_steps(s.operands[i]);
  }
  return result;
}

/// A loop around one call of the op.
std::vector<Val> loop_around(const OpDef& op, const Sample& s, const std::vector<bool>& choice,
                             test::SampleGraph& sample) {
  auto body = std::make_shared<Graph>("step");
  Builder builder(*body);
  std::vector<Val> args(choice.size());
  std::vector<Val> operands;
  ScanAttrs attrs{.steps = kSteps};
  for (const bool sliced : {true, false}) {
    for (size_t i = 0; i < choice.size(); ++i) {
      if (choice[i] != sliced) continue;
      args[i] = builder.input(InputKind::kArg, s.operands[i], "", "x");
      operands.push_back(sample.operands[i]);
      if (sliced) ++attrs.slices;
    }
  }
  for (const Val& v : builder.add_multi(op.op, args, test::sample_attrs(op, s)))
    body->add_output("", v.id());
  return sample.builder.add_multi(Op::kScan, operands, make_attrs(attrs), "", body);
}

std::vector<Tensor> run(const Graph& graph, std::span<const Tensor> inputs) {
  EXPECT_TRUE(verify(graph).empty());
  auto ran = interpret(graph, inputs);
  EXPECT_TRUE(ran.ok()) << ran.message();
  return ran.ok() ? ran.take().outputs : std::vector<Tensor>();
}

/// All outputs in pairs are equal.
void expect_pairs(const Graph& graph, const Sample& stacked) {
  const std::vector<Tensor> outputs = run(graph, test::draw_operands(stacked, 5));
  ASSERT_EQ(outputs.size() % 2, 0U);
  for (size_t i = 0; i < outputs.size(); i += 2) {
    ASSERT_EQ(outputs[i].type, outputs[i + 1].type);
    for (int64_t j = 0; j < outputs[i].size(); ++j)
      ASSERT_TRUE(test::near(outputs[i][j], outputs[i + 1][j], 1e-9))
          << "element " << j << ": " << outputs[i][j] << " and " << outputs[i + 1][j];
  }
}

template <class Visit>
void for_each_choice(size_t operands, Visit visit) {
  if (operands > kMaxOperands) return;
  for (size_t bits = 1; bits < size_t{1} << operands; ++bits) {
    std::vector<bool> choice;
    for (size_t i = 0; i < operands; ++i)
      choice.push_back((bits >> i & 1U) != 0);
    visit(choice);
  }
}

TEST(StackedOps, AllStepsAtOnceAreTheStepsOneByOne) {
  int checked = 0;
  for (const OpDef* op : all_ops()) {
    if (op->stack == nullptr) continue;
    const std::vector<Sample> samples = op->samples();
    for (size_t n = 0; n < samples.size(); ++n) {
      SCOPED_TRACE(test::sample_name(*op, n));
      for_each_choice(samples[n].operands.size(), [&](const std::vector<bool>& choice) {
        const Sample stacked = stacked_sample(samples[n], choice);
        test::SampleGraph sample(stacked);
        const AttrRef attrs = test::sample_attrs(*op, samples[n]);
        const std::vector<Val> at_once =
            op->stack({sample.builder, attrs, sample.operands, choice, kSteps});
        if (at_once.empty()) {
          EXPECT_EQ(sample.graph->num_nodes(), 0U) << "nothing may be left behind";
          return;
        }
        const std::vector<Val> one_by_one = loop_around(*op, samples[n], choice, sample);
        ASSERT_EQ(at_once.size(), one_by_one.size());
        for (size_t i = 0; i < at_once.size(); ++i) {
          sample.graph->add_output("", at_once[i].id());
          sample.graph->add_output("", one_by_one[i].id());
        }
        expect_pairs(*sample.graph, stacked);
        ++checked;
      });
    }
  }
  EXPECT_GT(checked, 100);
}

TEST(StackedOps, SumsOverAllStepsAreTheSumsOfTheSteps) {
  int checked = 0;
  for (const OpDef* op : all_ops()) {
    if (op->sum_steps == nullptr) continue;
    const std::vector<Sample> samples = op->samples();
    for (size_t n = 0; n < samples.size(); ++n) {
      SCOPED_TRACE(test::sample_name(*op, n));
      const std::vector<bool> all(samples[n].operands.size(), true);
      const Sample stacked = stacked_sample(samples[n], all);
      test::SampleGraph sample(stacked);
      const AttrRef attrs = test::sample_attrs(*op, samples[n]);
      const Val sum = op->sum_steps({sample.builder, attrs, sample.operands, all, kSteps})[0];
      const Val steps = loop_around(*op, samples[n], all, sample)[0];
      sample.graph->add_output("", sum.id());
      sample.graph->add_output("", reduce_sum(steps, {0}).id());
      expect_pairs(*sample.graph, stacked);
      ++checked;
    }
  }
  EXPECT_GT(checked, 15);
}

}  // namespace
}  // namespace gradc
