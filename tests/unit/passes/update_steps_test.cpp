// apply_optimizer where the gradients of several steps make one update, where parameters have
// averages, and where some have numbers or rates of their own.
#include "ir/step_output.h"
#include "passes/pass_manager.h"
#include "tests/support/graph_values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gradc {
namespace {

constexpr double kRate = 0.05;
constexpr const char* kKernel = "dense/kernel";
constexpr const char* kBias = "dense/bias";

using Mark = std::function<void(Builder&)>;

/// loss = sum(w^2) + sum(v^4) of a matrix and a vector, trained on the interpreter.
class Training {
 public:
  explicit Training(const StepAttrs& step, const Mark& mark = {}) {
    Builder b(*graph_);
    const Val w = b.input(InputKind::kParam, f32({2, 3}), kKernel, "w");
    const Val v = b.input(InputKind::kParam, f32({4}), kBias, "v");
    const Val loss = reduce_sum(w * w, {0, 1}) + reduce_sum(v * v * v * v, {0});
    graph_->add_output("loss", loss.id());
    graph_->add_output(kLearningRateOutput, b.scalar(kRate).id());
    if (mark) mark(b);
    PassOptions options;
    options.optimizer = OptimizerSpec{.step = step};
    PassContext context(options);
    const Status status = run_passes(*graph_, "differentiate,apply_optimizer", context);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(graph_->outputs().size(), 1U);  // the loss: all others are used up
    inputs_ = test::random_inputs(*graph_, 7, 0.2, 1.0);
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const GraphInput& input = graph_->inputs()[i];
      const double start = input.init.kind == "constant" ? input.init.a : 0.0;
      if (input.kind == InputKind::kState)
        std::fill(inputs_[i].data.begin(), inputs_[i].data.end(), start);
    }
  }

  void step(int times = 1) {
    for (int i = 0; i < times; ++i) {
      const auto result = interpret(*graph_, inputs_);
      ASSERT_TRUE(result.ok()) << result.message();
      for (const auto& [name, value] : result->updates)
        inputs_[index(name)] = value;
    }
  }
  const std::vector<double>& at(const std::string& name) const { return inputs_[index(name)].data; }

 private:
  size_t index(const std::string& name) const {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (graph_->inputs()[i].name == name) return i;
    }
    ADD_FAILURE() << "no input " << name;
    return 0;
  }

  std::shared_ptr<Graph> graph_ = std::make_shared<Graph>("step");
  std::vector<Tensor> inputs_;
};

void add(Builder& b, const std::string& name, double value, DType dtype) {
  b.graph().add_output(name, b.scalar(value, dtype).id());
}

void expect_same(const std::vector<double>& a, const std::vector<double>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_NEAR(a[i], b[i], 1e-12) << i;
}

// Weights stay as they are until the last of n steps, so all n have one gradient: n steps are one
// of the optimizer's. Nadam has a slot that all parameters share.
TEST(UpdateSteps, SeveralStepsMakeOneUpdate) {
  for (const char* rule : {"sgd", "momentum", "adam", "nadam", "adafactor", "muon"}) {
    Training plain{StepAttrs(rule)};
    Training accumulated(StepAttrs(rule),
                         [](Builder& b) { add(b, kAccumulateOutput, 3, DType::kF64); });
    for (int update = 1; update <= 4; ++update) {
      accumulated.step(2);
      for (const char* name : {kKernel, kBias})
        expect_same(accumulated.at(name), plain.at(name));
      plain.step();
      accumulated.step();
      for (const char* name : {kKernel, kBias})
        expect_same(accumulated.at(name), plain.at(name));
      EXPECT_EQ(accumulated.at(kIterationInput)[0], 3 * update);
      for (const double x : accumulated.at("optimizer/dense/bias/gradient_accumulator"))
        EXPECT_EQ(x, 0.0);
    }
  }
}

TEST(UpdateSteps, AveragesFollowTheWeights) {
  for (const double every : {0.0, 1.0, 3.0}) {
    Training plain{StepAttrs("sgd")};
    Training averaged(StepAttrs("sgd"), [every](Builder& b) {
      add(b, kAverageOutput, 0.75, DType::kF32);
      if (every > 0) add(b, kOverwriteOutput, every, DType::kF64);
    });
    std::vector<double> w = plain.at(kKernel), average;
    for (int t = 1; t <= 7; ++t) {
      for (double& x : w)
        x -= kRate * 2 * x;
      if (t == 1) average = w;
      for (size_t i = 0; i < w.size(); ++i)
        average[i] = 0.75 * average[i] + 0.25 * w[i];
      if (every > 0 && t % static_cast<int>(every) == 0) w = average;
      averaged.step();
      for (size_t i = 0; i < w.size(); ++i) {
        EXPECT_NEAR(averaged.at(kKernel)[i], w[i], 1e-7);
        EXPECT_NEAR(averaged.at("optimizer/dense/kernel/average")[i], average[i], 1e-7);
      }
    }
  }
}

TEST(UpdateSteps, ParametersHaveNumbersAndRatesOfTheirOwn) {
  const StepAttrs decaying("adam", {{"weight_decay", 0.1}});
  Training mixed(decaying, [](Builder& b) {
    add(b, std::string(kStepNumberOutput) + "weight_decay/" + kBias, 0, DType::kF64);
    add(b, std::string(kRateOutput) + kBias, 1, DType::kF32);
  });
  Training all(decaying);
  Training none{StepAttrs("adam")};
  mixed.step(5);
  all.step(5);
  none.step(5);
  expect_same(mixed.at(kKernel), all.at(kKernel));
  expect_same(mixed.at(kBias), none.at(kBias));
  EXPECT_NE(all.at(kBias), none.at(kBias));

  Training frozen(StepAttrs("nadam"),
                  [](Builder& b) { add(b, std::string(kRateOutput) + kBias, 0, DType::kF32); });
  Training free{StepAttrs("nadam")};
  const std::vector<double> before = frozen.at(kBias);
  frozen.step(3);
  free.step(3);
  EXPECT_EQ(frozen.at(kBias), before);
  expect_same(frozen.at(kKernel), free.at(kKernel));
}

// The singular values of a matrix's step are between 0.68 and 1.13 (times the rate), whatever its
// gradient is: of a matrix of one row, the length.
TEST(UpdateSteps, MuonMakesStepsOfOneLength) {
  for (const double scale : {1e-3, 1.0, 1e3}) {
    Graph graph("step");
    Builder b(graph);
    const Val w = b.input(InputKind::kParam, f32({1, 4}), kKernel, "w");
    graph.add_output("loss", (reduce_sum(w * w, {0, 1}) * scale).id());
    graph.add_output(kLearningRateOutput, b.scalar(kRate).id());
    PassOptions options;
    options.optimizer = OptimizerSpec{.step = StepAttrs("muon")};
    PassContext context(options);
    ASSERT_TRUE(run_passes(graph, "differentiate,apply_optimizer", context).ok());
    std::vector<Tensor> inputs = test::random_inputs(graph, 3, 0.2, 1.0);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (graph.inputs()[i].kind == InputKind::kState)
        std::fill(inputs[i].data.begin(), inputs[i].data.end(), 0.0);
    }
    const auto result = interpret(graph, inputs);
    ASSERT_TRUE(result.ok()) << result.message();
    double squares = 0;
    for (const auto& [name, value] : result->updates) {
      if (name != kKernel) continue;
      for (size_t i = 0; i < value.data.size(); ++i)
        squares += std::pow(value.data[i] - inputs[0].data[i], 2);
    }
    EXPECT_GT(std::sqrt(squares), 0.68 * kRate);
    EXPECT_LT(std::sqrt(squares), 1.2 * kRate);
  }
}

}  // namespace
}  // namespace gradc
