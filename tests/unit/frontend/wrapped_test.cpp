// Layers that are around others or beside the loss: spectral_normalization, time_distributed
// normalizations, add_loss, bernoulli, constraints, repeat_vector. Numbers of the same against
// PyTorch: tests/peer (scripts/peer_wrappers.py, peer_penalties.py).
#include "ir/step_output.h"
#include "tests/unit/frontend/run_model.h"

#include <cmath>
#include <numeric>

namespace gradc {
namespace {

const std::string kTraining =
    R"({"loss": "mean_squared_error", "optimizer": "sgd", "batch_size": 2})";

std::vector<double> waves(size_t count, double shift = 0.0) {
  std::vector<double> numbers(count);
  for (size_t i = 0; i < count; ++i)
    numbers[i] = std::sin(static_cast<double>(i) * 1.7 + shift);
  return numbers;
}

TEST(Spectral, TheKernelIsDividedByItsLargestSingularValue) {
  const std::string text = with_training(
      R"({"type": "spectral_normalization", "name": "s", "power_iterations": 100,
          "layer": {"type": "dense", "units": 2, "use_bias": false}})",
      kTraining, "[2]");
  // Singular values 3 and 1 between rotations; u0 is not orthogonal to what it converges to.
  const std::vector<double> kernel = {3 * 0.6, 3 * 0.8, -0.8, 0.6};
  const Named given = {{"input/x", {1, 0, 0, 1}},
                       {"s/kernel", kernel},
                       {"s/vector_u", {1, 0.3}},
                       {"target/s", {0, 0, 0, 0}}};
  const RunResult trained = run_model(text, {.kind = EntryKind::kTrain, .batch_size = 2}, given);
  std::vector<double> divided = kernel;
  for (double& one : divided)
    one /= 3;
  expect_near(trained.outputs.at(std::string(kRestatedOutput) + "s/kernel"), divided, 1e-9);
  expect_near(trained.updates.at("s/vector_u"), {0.6, 0.8}, 1e-9);
  EXPECT_FALSE(trained.updates.contains("s/kernel"));  // the optimizer goes on from what is stated
  EXPECT_NEAR(trained.outputs.at("loss")[0], (1 + 1.0 / 9) / 4, 1e-9);
  const RunResult evaluated =
      run_model(text, {.kind = EntryKind::kEvaluate, .batch_size = 2}, given);
  EXPECT_NEAR(evaluated.outputs.at("loss")[0], (9 + 1.0) / 4, 1e-9);  // as it is held
}

TEST(Spectral, ZerosStayAndLayersWithoutAMatrixAreRefused) {
  const std::string text = with_training(
      R"({"type": "spectral_normalization", "name": "s", "layer": {"type": "dense", "units": 2}})",
      kTraining, "[2]");
  const RunResult zero = run_model(text, {.kind = EntryKind::kTrain, .batch_size = 1},
                                   {{"input/x", {1, 2}}, {"s/vector_u", {0.5, 0.5}}});
  expect_near(zero.outputs.at(std::string(kRestatedOutput) + "s/kernel"), {0, 0, 0, 0}, 0.0);
  expect_near(zero.updates.at("s/vector_u"), {0.5, 0.5}, 0.0);
  EXPECT_NE(problems_of(with_layers(R"({"type": "spectral_normalization",
                "layer": {"type": "layer_normalization"}})"))
                .find("divides a kernel or embeddings"),
            std::string::npos);
}

/// Loss and moving statistics of a normalization of [3 steps, 2 features], alone or of every step.
RunResult normalized(const std::string& layer, const std::string& before) {
  const std::string text = with_training(before + layer, kTraining, "[3, 2]");
  std::vector<double> x = waves(12);
  x[4] = x[5] = x[10] = x[11] = 0.0;  // where there is a mask, these steps do not count
  return run_model(text, {.kind = EntryKind::kTrain, .batch_size = 2},
                   {{"input/x", x}, {"target/n", waves(12, 0.4)}});
}

TEST(TimeDistributed, NormalizesOverAllStepsThatCount) {
  for (const char* before : {"", R"({"type": "masking"}, )"}) {
    const RunResult alone = normalized(R"({"type": "batch_normalization", "name": "n"})", before);
    const RunResult of_steps = normalized(
        R"({"type": "time_distributed", "name": "n", "layer": {"type": "batch_normalization"}})",
        before);
    EXPECT_NEAR(alone.outputs.at("loss")[0], of_steps.outputs.at("loss")[0], 1e-6) << before;
    for (const char* name : {"n/moving_mean", "n/moving_variance"})
      expect_near(of_steps.updates.at(name), alone.updates.at(name), 1e-6);
  }
}

TEST(AddLoss, AddsTheMeanOverTheExamples) {
  const std::string text =
      with_training(R"({"type": "add_loss", "weight": 0.5, "inputs": ["x", "x"], "name": "l"})",
                    kTraining, "[2]");
  const Named given = {{"input/x", {1, 2, 3, 4}}, {"target/l", {1, 2, 3, 4}}};
  for (const EntryKind kind : {EntryKind::kTrain, EntryKind::kEvaluate}) {
    const RunResult result = run_model(text, {.kind = kind, .batch_size = 2}, given);
    EXPECT_NEAR(result.outputs.at("loss")[0], 0.5 * 10 / 2, 1e-9);
  }
  Named padded = given;
  padded["tail/weight"] = {1, 0};  // a batch of one example
  const RunResult tail =
      run_model(text, {.kind = EntryKind::kEvaluate, .batch_size = 2, .tail = true}, padded);
  EXPECT_NEAR(tail.outputs.at("loss")[0], 0.5 * 3, 1e-9);
}

TEST(Bernoulli, DrawsByTheProbabilityInTrainingOnly) {
  const std::string text = with_training(R"({"type": "bernoulli", "name": "b"},
                       {"type": "add_loss", "inputs": ["b", "b"], "name": "l"})",
                                         kTraining, "[4000]");
  std::vector<double> x(4000, 0.25);
  std::fill(x.begin(), x.begin() + 1000, 0.0);
  std::fill(x.begin() + 1000, x.begin() + 2000, 1.0);
  const Named given = {{"input/x", x}, {"target/l", x}, {"seed", {7}}};
  const RunResult trained = run_model(text, {.kind = EntryKind::kTrain, .batch_size = 1}, given);
  // 1000 ones and 2000 draws: errors 0.75^2 where 1, 0.25^2 where 0, beside the sum of all.
  const double loss = trained.outputs.at("loss")[0];
  const double ones = (loss - 1000 - 2000 * 0.0625 / 4000) / (1 + 0.5 / 4000);
  EXPECT_NEAR(ones, std::round(ones), 1e-6);
  EXPECT_NEAR(ones, 500, 60);
  const RunResult held = run_model(text, {.kind = EntryKind::kEvaluate, .batch_size = 1}, given);
  EXPECT_NEAR(held.outputs.at("loss")[0], std::accumulate(x.begin(), x.end(), 0.0), 1e-6);
}

TEST(Constraints, AreOutputsOfTheTrainingGraph) {
  const auto kept = [](const std::string& constraint, const std::vector<double>& kernel) {
    const std::string text = with_training(
        R"({"type": "dense", "units": 2, "name": "d", "kernel_constraint": )" + constraint + "}",
        kTraining, "[2]");
    const RunResult result =
        run_model(text, {.kind = EntryKind::kTrain, .batch_size = 1}, {{"d/kernel", kernel}});
    return result.outputs.at(std::string(kConstraintOutput) + "d/kernel");
  };
  const std::vector<double> kernel = {3, 0.3, 4, -0.4};  // columns of length 5 and 0.5
  expect_near(kept(R"({"type": "max_norm", "max_value": 1})", kernel), {0.6, 0.3, 0.8, -0.4});
  expect_near(kept("\"unit_norm\"", kernel), {0.6, 0.6, 0.8, -0.8});
  expect_near(
      kept(R"({"type": "min_max_norm", "min_value": 1, "max_value": 2, "rate": 0.5})", kernel),
      {3 * 0.7, 0.3 * 1.5, 4 * 0.7, -0.4 * 1.5});
  expect_near(kept("\"non_neg\"", kernel), {3, 0.3, 4, 0});
  expect_near(kept(R"({"type": "unit_norm", "axis": [0, 1]})", {2, 0, 0, 0}), {1, 0, 0, 0});
}

TEST(Constraints, WhatDoesNotFitIsRefused) {
  const std::string axis = problems_of(with_layers(
      R"({"type": "dense", "units": 2, "bias_constraint": {"type": "max_norm", "axis": 1}})"));
  EXPECT_NE(axis.find("\"max_norm\" does not fit bias of shape [2]"), std::string::npos) << axis;
  const std::string matrix = problems_of(with_layers(
      R"({"type": "dense", "units": 2, "bias_regularizer": "orthogonal_regularizer"})"));
  EXPECT_NE(matrix.find("takes matrices"), std::string::npos) << matrix;
  const std::string rows = problems_of(with_layers(R"({"type": "dense", "units": 2,
                      "activity_regularizer": "orthogonal_regularizer"})",
                                                   "[3, 8]"));
  EXPECT_NE(rows.find("has an activity_regularizer that takes matrices"), std::string::npos)
      << rows;
}

TEST(RepeatVector, RepeatsEachExample) {
  const RunResult result =
      run_model(with_layers(R"({"type": "repeat_vector", "n": 3, "name": "r"})", "[2]"),
                {.batch_size = 2}, {{"input/x", {1, 2, 3, 4}}});
  expect_near(result.outputs.at("output/r"), {1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4}, 0.0);
}

}  // namespace
}  // namespace gradc
