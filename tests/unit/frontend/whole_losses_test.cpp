// Losses of examples and batches as a whole: smaller batches, labels against all ways to say them,
// what does not fit.
#include "frontend/graph_builder.h"
#include "tests/unit/frontend/run_model.h"

#include <cmath>
#include <functional>

namespace gradc {
namespace {

std::string model_text(const std::string& loss, const std::string& shape,
                       const std::string& before = "") {
  return with_training(before + R"({"type": "activation", "name": "y", "activation": "linear"})",
                       R"({"optimizer": "sgd", "loss": )" + loss + "}", shape);
}

double loss_of(const std::string& loss, const std::string& shape, int64_t batch,
               const std::vector<double>& output, const std::vector<double>& target,
               const std::vector<double>& tail = {}) {
  Named given = {{"input/x", output}, {"target/y", target}};
  if (!tail.empty()) given["tail/weight"] = tail;
  const RunResult result =
      run_model(model_text(loss, shape), {EntryKind::kEvaluate, batch, !tail.empty()}, given);
  return result.outputs.empty() ? std::nan("") : result.outputs.at("loss").front();
}

/// Numbers without a pattern in [0, 1).
std::vector<double> numbers(size_t count, double seed) {
  std::vector<double> result(count);
  for (size_t i = 0; i < count; ++i) {
    const double wave = std::sin(12.9898 * static_cast<double>(i + 1) + seed) * 43758.5453;
    result[i] = wave - std::floor(wave);
  }
  return result;
}

// Rows that only fill up the last batch change nothing: the loss is that of the smaller batch.
TEST(WholeLosses, ASmallerBatchIsItsOwn) {
  struct Case {
    std::string loss;
    int64_t target_size;
    int classes;  ///< of the targets; 0: any numbers
  };
  const Case cases[] = {
      {R"("dice")", 3, 0},
      {R"({"type": "dice", "axis": [0]})", 3, 0},
      {R"({"type": "dice", "axis": [1], "reduction": "sum"})", 3, 0},
      {R"({"type": "tversky", "alpha": 0.2, "beta": 0.7})", 3, 0},
      {R"({"type": "tversky", "axis": [-1]})", 3, 0},
      {R"({"type": "contrastive", "margin": 0.6})", 3, 2},
      {R"({"type": "triplet_semi_hard", "margin": 0.5})", 1, 2},
      {R"({"type": "triplet_hard"})", 1, 2},
      {R"({"type": "triplet_hard", "soft": true, "distance": "angular"})", 1, 2},
  };
  for (const Case& c : cases) {
    const std::vector<double> output = numbers(8 * 3, 1);
    std::vector<double> target = numbers(static_cast<size_t>(8 * c.target_size), 2);
    for (double& t : target)
      t = c.classes == 0 ? t : std::floor(t * c.classes);
    const std::vector<double> tail = {0.2, 0.2, 0.2, 0.2, 0.2, 0, 0, 0};
    const std::vector<double> few(output.begin(), output.begin() + 5 * 3);
    const std::vector<double> targets(target.begin(), target.begin() + 5 * c.target_size);
    const double whole = loss_of(c.loss, "[3]", 8, output, target, tail);
    EXPECT_NEAR(whole, loss_of(c.loss, "[3]", 5, few, targets), 1e-12) << c.loss;
    EXPECT_GT(std::abs(whole - loss_of(c.loss, "[3]", 8, output, target)), 1e-4) << c.loss;
  }
}

// Nothing to compare is no loss, as an empty mean is 0.
TEST(WholeLosses, ABatchOfOneClassHasNoTriplets) {
  for (const char* loss : {R"("triplet_semi_hard")", R"("triplet_hard")"}) {
    EXPECT_EQ(loss_of(loss, "[2]", 3, {1, 2, 3, 4, 5, 6}, {7, 7, 7}), 0.0);
    EXPECT_EQ(loss_of(loss, "[2]", 3, {1, 2, 3, 4, 5, 6}, {7, -8, 9}), 0.0);
  }
  // Class numbers are only compared. 1 - 3 + 2.5 and 1 - 2 + 2.5; the third has no positive.
  EXPECT_NEAR(loss_of(R"({"type": "triplet_hard", "margin": 2.5})", "[1]", 3, {0, 1, 3},
                      {-1000000, -1000000, 2000000000}),
              (0.5 + 1.5) / 2, 1e-12);
}

/// p(labels): the sum over all ways to say them, each of one class per step.
double probability(const std::vector<double>& logits, size_t steps, size_t classes,
                   const std::vector<int>& labels) {
  std::vector<double> p = logits;
  for (size_t t = 0; t < steps; ++t) {
    double sum = 0;
    for (size_t c = 0; c < classes; ++c)
      sum += std::exp(logits[t * classes + c]);
    for (size_t c = 0; c < classes; ++c)
      p[t * classes + c] = std::exp(logits[t * classes + c]) / sum;
  }
  std::vector<int> path;
  const std::function<double(double)> walk = [&](double so_far) {
    if (path.size() < steps) {
      double total = 0;
      for (size_t c = 0; c < classes; ++c) {
        path.push_back(static_cast<int>(c));
        total += walk(so_far * p[(path.size() - 1) * classes + c]);
        path.pop_back();
      }
      return total;
    }
    std::vector<int> said;
    for (size_t t = 0; t < steps; ++t) {
      if (path[t] != 0 && (t == 0 || path[t] != path[t - 1])) said.push_back(path[t]);
    }
    return said == labels ? so_far : 0.0;
  };
  return walk(1.0);
}

TEST(WholeLosses, CtcSumsOverAllWaysToSayTheLabels) {
  const std::vector<std::vector<int>> all = {{1, 2}, {2, 2}, {}, {1, 2, 1}, {3}, {1, 1, 1}};
  const size_t steps = 5, classes = 4, most = 3;
  std::vector<double> logits = numbers(all.size() * steps * classes, 3);
  for (double& x : logits)
    x = 6 * x - 3;
  std::vector<double> target;
  double want = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t k = 0; k < most; ++k)
      target.push_back(k < all[i].size() ? all[i][k] : 0);
    const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(i * steps * classes);
    want -= std::log(probability({begin, begin + steps * classes}, steps, classes, all[i]));
  }
  const auto count = static_cast<double>(all.size());
  EXPECT_NEAR(loss_of(R"({"type": "ctc", "max_labels": 3})", "[5, 4]", 6, logits, target),
              want / count, 1e-9);
  EXPECT_NEAR(loss_of(R"({"type": "ctc", "max_labels": 3, "reduction": "sum"})", "[5, 4]", 6,
                      logits, target),
              want, 1e-9);
}

TEST(WholeLosses, LabelsThatCannotBeSaidAreSaid) {
  const std::vector<double> logits(3 * 2, 0.0);
  // Two equal labels need a blank between them: three steps. Three need five.
  EXPECT_NEAR(loss_of(R"({"type": "ctc"})", "[3, 2]", 1, logits, {1, 1, 0}), 3 * std::log(2.0),
              1e-12);
  EXPECT_EQ(loss_of(R"({"type": "ctc"})", "[3, 2]", 1, logits, {1, 1, 1}), INFINITY);
  EXPECT_EQ(loss_of(R"({"type": "ctc", "zero_infinity": true})", "[3, 2]", 1, logits, {1, 1, 1}),
            0.0);
}

TEST(WholeLosses, WhatDoesNotFitIsSaid) {
  const auto problem = [](const std::string& loss, const std::string& shape,
                          const std::string& before = "") {
    return problems_of(model_text(loss, shape, before));
  };
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos ? std::string() : text;
  };
  EXPECT_EQ(problem(R"("dice")", "[4]"), "");
  EXPECT_EQ(
      has(problem(R"({"type": "dice", "axis": [2]})", "[4]"),
          R"("axis" of dice is [2], but an output of shape [4] with its batch has the axes 0 )"
          "to 1, each once"),
      "");
  EXPECT_EQ(has(problem(R"({"type": "tversky", "axis": [1, -1]})", "[4]"), "each once"), "");
  EXPECT_EQ(has(problem(R"({"type": "tversky", "axis": []})", "[4]"), "names no axis"), "");
  EXPECT_EQ(has(problem(R"("triplet_hard")", "[4, 2]"), "needs an embedding for each example"), "");
  EXPECT_EQ(has(problem(R"("ctc")", "[4]"), "needs logits [steps, classes]"), "");
  EXPECT_EQ(has(problem(R"("dice")", "[4, 2]", R"({"type": "masking"}, )"),
                R"(some steps of output "y" do not count, but dice is of whole examples)"),
            "");
  EXPECT_EQ(problem(R"("ctc")", "[4, 2]", R"({"type": "masking"}, )"), "");
}

}  // namespace
}  // namespace gradc
