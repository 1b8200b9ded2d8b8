// What examples and classes weigh in the loss: Keras 3's sum of weighted values over the number of
// positions that count, by formulas in plain C++, and what is refused.
#include "tests/unit/frontend/run_model.h"

#include <cmath>

namespace gradc {
namespace {

/// An identity network.
std::string identity(const std::string& training, const std::string& shape) {
  return with_training(R"({"type": "activation", "activation": "linear", "name": "y"})",
                       R"({"optimizer": "sgd", )" + training + "}", shape);
}

constexpr const char* kSparse =
    R"("loss": {"type": "scce", "from_logits": true, "ignore_class": -1})";
const std::vector<double> kLogits = {1, 2, -1, 0, 3, 1, -2, 0.5, 0, 1, 1, 2};
const std::vector<double> kLabels = {0, 2, -1, 1};

/// -log softmax of the label, by row.
double entropy(size_t row) {
  double sum = 0;
  for (size_t k = 0; k < 3; ++k)
    sum += std::exp(kLogits[3 * row + k]);
  return std::log(sum) - kLogits[3 * row + static_cast<size_t>(kLabels[row])];
}

double loss_of(const std::string& text, EntryKind kind, const Named& given, bool tail = false) {
  return run_model(text, {kind, 4, tail}, given).outputs.at("loss")[0];
}

TEST(ExampleWeights, MultiplyTheValuesAndNotWhatTheyAreDividedBy) {
  const std::string text = identity(R"("sample_weight": true, )" + std::string(kSparse), "[3]");
  Named given = {
      {"input/x", kLogits}, {"target/y", kLabels}, {"target/sample_weight", {2, 0.5, 9, 1}}};
  const double sum = 2 * entropy(0) + 0.5 * entropy(1) + entropy(3);
  for (const EntryKind kind : {EntryKind::kEvaluate, EntryKind::kTrain})
    EXPECT_NEAR(loss_of(text, kind, given), sum / 3, 1e-12);
  // Two examples of the last batch.
  given["tail/weight"] = {0.5, 0.5, 0, 0};
  EXPECT_NEAR(loss_of(text, EntryKind::kTrain, given, true),
              (2 * entropy(0) + 0.5 * entropy(1)) / 2, 1e-12);
  const std::string mse = identity(R"("sample_weight": true, "loss": "mse")", "[3]");
  given = {{"input/x", kLogits},
           {"target/y", std::vector<double>(12, 0.0)},
           {"target/sample_weight", {1, 2, 3, 4}},
           {"tail/weight", {1 / 3.0, 1 / 3.0, 1 / 3.0, 0}}};
  const auto squares = [](size_t row) {
    double total = 0;
    for (size_t k = 0; k < 3; ++k)
      total += kLogits[3 * row + k] * kLogits[3 * row + k] / 3;
    return total;
  };
  EXPECT_NEAR(loss_of(mse, EntryKind::kEvaluate, given),
              (squares(0) + 2 * squares(1) + 3 * squares(2) + 4 * squares(3)) / 4, 1e-12);
  EXPECT_NEAR(loss_of(mse, EntryKind::kEvaluate, given, true),
              (squares(0) + 2 * squares(1) + 3 * squares(2)) / 3, 1e-12);
}

TEST(ExampleWeights, ClassesWeighInTrainingAlone) {
  const std::string text =
      identity(R"("class_weight": {"0": 3, "2": 0.25}, )" + std::string(kSparse), "[3]");
  const Named given = {{"input/x", kLogits}, {"target/y", kLabels}};
  EXPECT_NEAR(loss_of(text, EntryKind::kTrain, given),
              (3 * entropy(0) + 0.25 * entropy(1) + entropy(3)) / 3, 1e-12);
  EXPECT_NEAR(loss_of(text, EntryKind::kEvaluate, given),
              (entropy(0) + entropy(1) + entropy(3)) / 3, 1e-12);
  // Those that follow from the data are a state.
  const std::string balanced =
      identity(R"("class_weight": "balanced", )" + std::string(kSparse), "[3]");
  Named with_state = given;
  with_state["optimizer/class_weight/y"] = {3, 1, 0.25};
  EXPECT_NEAR(loss_of(balanced, EntryKind::kTrain, with_state),
              loss_of(text, EntryKind::kTrain, given), 1e-12);
  // Rows: the class of the largest target. Two classes in one value: above a half or not.
  const std::string rows =
      identity(R"("class_weight": {"1": 5}, "loss": {"type": "cce", "from_logits": true})", "[3]");
  EXPECT_NEAR(loss_of(rows, EntryKind::kTrain,
                      {{"input/x", kLogits}, {"target/y", {1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0}}}),
              (entropy(0) + entropy(1) + 5 * entropy(3) +
               std::log(std::exp(-2) + std::exp(0.5) + std::exp(0)) + 2) /
                  4,
              1e-12);
  const std::string two = identity(
      R"("class_weight": {"0": 0.5, "1": 4}, "loss": {"type": "bce", "from_logits": true})", "[1]");
  const auto log1pe = [](double x) { return std::log1p(std::exp(x)); };
  EXPECT_NEAR(
      loss_of(two, EntryKind::kTrain, {{"input/x", {1, -2, 3, 0}}, {"target/y", {1, 0, 0, 1}}}),
      (4 * log1pe(-1) + 0.5 * log1pe(-2) + 0.5 * log1pe(3) + 4 * log1pe(0)) / 4, 1e-12);
}

void expect_problem(const std::string& text, const std::string& part) {
  const std::string problems = problems_of(text);
  EXPECT_NE(problems.find(part), std::string::npos) << problems;
}

TEST(ExampleWeights, WhatHasNoClassesHasNoWeights) {
  expect_problem(identity(R"("class_weight": {"0": 2}, "loss": "mse")", "[3]"),
                 "has no class for each position");
  expect_problem(identity(R"("class_weight": "balanced", "loss": "bce")", "[3]"),
                 "has no class for each position");
  const std::string sparse(kSparse);
  expect_problem(identity(R"("class_weight": {"3": 2}, )" + sparse, "[3]"),
                 "class 3 has a weight, but classes are numbered 0 to 2");
  expect_problem(identity(R"("class_weight": {"0": -1}, )" + sparse, "[3]"), "class_weight/0");
  expect_problem(identity(R"("class_weight": {}, )" + sparse, "[3]"), "\"balanced\", or an object");
  expect_problem(identity(R"("class_weight": 3, )" + sparse, "[3]"), "\"balanced\", or an object");
  expect_problem(identity(R"("class_weight": {"z": "balanced"}, )" + sparse, "[3]"),
                 "no output with a loss is named \"z\"");
  EXPECT_EQ(
      problems_of(identity(R"("class_weight": {"y": {"spam": 2, "ham": 1}}, )" + sparse, "[3]")),
      "");
  expect_problem(with_training(R"({"type": "dense", "units": 2, "name": "sample_weight"})",
                               R"({"loss": "mse", "optimizer": "sgd", "sample_weight": true})"),
                 "the weights of examples");
}

}  // namespace
}  // namespace gradc
