// Losses, their reductions, metrics and penalties against formulas in plain C++.
#include "frontend/graph_builder.h"
#include "tests/unit/frontend/run_model.h"

#include <cmath>

namespace gradc {
namespace {

/// The loss of an identity network on one batch.
double loss_of(const std::string& loss, const std::vector<double>& output,
               const std::vector<double>& target, int64_t batch,
               const std::string& activation = "linear", const std::string& metrics = "[]",
               std::vector<double>* metric = nullptr) {
  const int64_t width = static_cast<int64_t>(output.size()) / batch;
  const std::string text =
      with_training(R"({"type": "activation", "name": "y", "activation": ")" + activation + "\"}",
                    R"({"optimizer": "sgd", "loss": )" + loss + R"(, "metrics": )" + metrics + "}",
                    fmt::format("[{}]", width));
  const RunResult result = run_model(text, {EntryKind::kEvaluate, batch, false},
                                     {{"input/x", output}, {"target/y", target}});
  if (result.outputs.empty()) return std::nan("");
  if (metric != nullptr) {
    metric->clear();
    for (const auto& [name, value] : result.outputs) {
      if (name != "loss") metric->push_back(value[0]);
    }
  }
  return result.outputs.at("loss")[0];
}

TEST(Losses, RegressionLosses) {
  EXPECT_NEAR(loss_of(R"("mse")", {1, 2, 3, 4}, {0, 2, 5, 1}, 2), (1 + 0 + 4 + 9) / 4.0, 1e-9);
  EXPECT_NEAR(loss_of(R"("mae")", {1, 2, 3, 4}, {0, 2, 5, 1}, 2), (1 + 0 + 2 + 3) / 4.0, 1e-9);
  EXPECT_NEAR(loss_of(R"({"type": "huber", "delta": 1.5})", {1, 2, 3, 4}, {0, 2, 5, 1}, 2),
              (0.5 + 0 + (1.5 * 2 - 1.125) + (1.5 * 3 - 1.125)) / 4, 1e-9);
  EXPECT_NEAR(loss_of(R"({"type": "mse", "reduction": "sum"})", {1, 2, 3, 4}, {0, 2, 5, 1}, 2),
              (1 + 0 + 4 + 9) / 2.0, 1e-9);
}

TEST(Losses, BinaryCrossentropy) {
  const auto bce = [](double p, double z) {
    return -(z * std::log(p) + (1 - z) * std::log(1 - p));
  };
  const auto s = [](double x) { return 1 / (1 + std::exp(-x)); };
  EXPECT_NEAR(loss_of(R"("bce")", {0.2, 0.9, 0.5, 0.7}, {0, 1, 1, 0}, 4),
              (bce(0.2, 0) + bce(0.9, 1) + bce(0.5, 1) + bce(0.7, 0)) / 4, 1e-9);
  const double logits = loss_of(R"({"type": "bce", "from_logits": true, "label_smoothing": 0.2})",
                                {-2, 3}, {0, 1}, 1);
  EXPECT_NEAR(logits, (bce(s(-2), 0.1) + bce(s(3), 0.9)) / 2, 1e-9);
  EXPECT_NEAR(loss_of(R"("bce")", {-2, 3}, {0, 1}, 1, "sigmoid"),
              (bce(s(-2), 0) + bce(s(3), 1)) / 2, 1e-9);
  // Far from zero nothing overflows, and a saturated probability is clipped at 1e-7.
  EXPECT_NEAR(loss_of(R"({"type": "bce", "from_logits": true})", {-500, 500}, {1, 1}, 1), 250,
              1e-6);
  EXPECT_NEAR(loss_of(R"("bce")", {0, 1}, {1, 1}, 1), (-std::log(1e-7) - std::log(1 - 1e-7)) / 2,
              1e-6);
}

TEST(Losses, CategoricalCrossentropies) {
  const std::vector<double> logits = {1, 2, 3, -1, 0, 200};
  const double row0 = std::log(std::exp(1) + std::exp(2) + std::exp(3));
  const double want = ((row0 - 2) + (200 - -1)) / 2;
  EXPECT_NEAR(loss_of(R"({"type": "scce", "from_logits": true})", logits, {1, 0}, 2), want, 1e-6);
  EXPECT_NEAR(loss_of(R"("scce")", logits, {1, 0}, 2, "softmax"), want,
              1e-6);  // the softmax is looked through
  EXPECT_NEAR(loss_of(R"({"type": "cce", "from_logits": true})", logits, {0, 1, 0, 1, 0, 0}, 2),
              want, 1e-6);
  EXPECT_NEAR(loss_of(R"({"type": "cce", "from_logits": true, "label_smoothing": 0.3})", {1, 2, 3},
                      {0, 1, 0}, 1),
              0.8 * (row0 - 2) + 0.1 * (row0 - 1) + 0.1 * (row0 - 3), 1e-6);
  // Probabilities that do not sum to one are normalised first.
  EXPECT_NEAR(loss_of(R"("scce")", {1, 3, 4, 0.1, 0.2, 0.7}, {1, 2}, 2),
              -(std::log(3.0 / 8) + std::log(0.7)) / 2, 1e-9);
  EXPECT_NEAR(loss_of(R"("cce")", {1, 3, 4}, {0, 0.5, 0.5}, 1),
              -0.5 * (std::log(3.0 / 8) + std::log(0.5)), 1e-9);
}

TEST(Losses, Metrics) {
  std::vector<double> got;
  loss_of(R"({"type": "scce", "from_logits": true})", {1, 2, 3, 9, 8, 7, 0, 5, 1}, {2, 1, 1}, 3,
          "linear",
          R"(["accuracy", {"type": "top_k", "k": 2}, {"type": "top_k", "k": 1, "name": "a_top1"}])",
          &got);
  expect_near(got, {2.0 / 3, 2.0 / 3, 1.0});  // a_top1, accuracy, top_k
  loss_of(R"("bce")", {0.2, 0.9, 0.5, 0.7}, {0, 1, 1, 0}, 4, "linear",
          R"(["accuracy", "mae", "mse"])", &got);
  expect_near(got, {0.5, (0.2 + 0.1 + 0.5 + 0.7) / 4, (0.04 + 0.01 + 0.25 + 0.49) / 4});
  loss_of(R"("cce")", {0.2, 0.5, 0.3, 0.6, 0.2, 0.2}, {0, 1, 0, 0, 0, 1}, 2, "linear",
          R"(["acc", "categorical_crossentropy"])", &got);
  expect_near(got, {0.5, -(std::log(0.5) + std::log(0.2)) / 2});
}

TEST(Losses, WeightedLossesAndRegularizers) {
  const std::string text =
      R"({"inputs": [{"name": "x", "shape": [1]}], "outputs": ["a", "b"], "layers": [
      {"type": "dense", "units": 1, "name": "a", "kernel_regularizer": {"type": "l2", "l2": 0.5}},
      {"type": "dense", "units": 1, "name": "b", "inputs": "x", "bias_regularizer": {"type": "l1_l2", "l1": 0.1, "l2": 0.2}}],
      "training": {"losses": {"a": "mse", "b": "mae"}, "loss_weights": {"b": 3}, "optimizer": "sgd"}})";
  const RunResult result = run_model(text, {EntryKind::kEvaluate, 1, false},
                                     {{"input/x", {2}},
                                      {"a/kernel", {3}},
                                      {"b/kernel", {1}},
                                      {"b/bias", {-4}},
                                      {"target/a", {5}},
                                      {"target/b", {1}}});
  expect_near(result.outputs.at("metric/a_loss"), {1});
  expect_near(result.outputs.at("metric/b_loss"), {3});
  expect_near(result.outputs.at("loss"), {1 + 3 * 3 + 0.5 * 9 + 0.1 * 4 + 0.2 * 16});
}

// Keras 3 (keras/src/losses/loss.py): a loss gives one value per position, the mean over the last
// axis where it is elementwise; "sum" adds all of them, "sum_over_batch_size" divides by their
// count.
TEST(Losses, ReductionsCountEveryPosition) {
  std::vector<double> y(12);
  for (size_t i = 0; i < y.size(); ++i)
    y[i] = static_cast<double>(i) / 4 - 1;
  const std::vector<double> zeros(12), ones(12, 1.0);
  const auto each = [&](auto f) {
    double sum = 0;
    for (const double v : y)
      sum += f(v);
    return sum;
  };
  const auto square = [](double v) { return v * v; };
  const auto log_row = [&](size_t row) {
    return std::log(std::exp(y[3 * row]) + std::exp(y[3 * row + 1]) + std::exp(y[3 * row + 2]));
  };
  double scce = 0;
  for (size_t row = 0; row < 4; ++row)
    scce += log_row(row) - y[3 * row + row % 3];
  const std::vector<double> classes = {0, 1, 2, 0};
  std::vector<double> one_hot(12);
  for (size_t row = 0; row < 4; ++row)
    one_hot[3 * row + row % 3] = 1;
  const double huber =
      each([](double v) { return std::abs(v) <= 1 ? v * v / 2 : std::abs(v) - 0.5; });
  const double bce = each([](double v) { return std::log1p(std::exp(-v)); });
  struct Case {
    std::string loss;
    std::vector<double> target;
    double sum;  ///< over the positions of all examples
  };
  const Case cases[] = {
      {R"("type": "mse")", zeros, each(square) / 3},
      {R"("type": "mae")", zeros, each([](double v) { return std::abs(v); }) / 3},
      {R"("type": "huber")", zeros, huber / 3},
      {R"("type": "bce", "from_logits": true)", ones, bce / 3},
      {R"("type": "cce", "from_logits": true)", one_hot, scce},
      {R"("type": "scce", "from_logits": true)", classes, scce},
  };
  const auto loss = [&](const Case& c, const std::string& reduction, int64_t batch,
                        const std::string& shape, const Named& more = {}) {
    const std::string text = with_training(
        R"({"type": "activation", "activation": "linear", "name": "y"})",
        "{\"loss\": {" + c.loss + R"(, "reduction": ")" + reduction + R"("}, "optimizer": "sgd"})",
        shape);
    Named given = {{"input/x", y}, {"target/y", c.target}};
    given.insert(more.begin(), more.end());
    return run_model(text, {EntryKind::kEvaluate, batch, !more.empty()}, given)
        .outputs.at("loss")[0];
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.loss);
    for (const auto& [batch, shape] : std::vector<std::pair<int64_t, std::string>>{
             {1, "[4, 3]"}, {2, "[2, 3]"}, {4, "[3]"}, {1, "[2, 2, 3]"}}) {
      EXPECT_NEAR(loss(c, "sum", batch, shape), c.sum, 1e-6) << shape;
      EXPECT_NEAR(loss(c, "sum_over_batch_size", batch, shape), c.sum / 4, 1e-6) << shape;
      EXPECT_NEAR(loss(c, "mean", batch, shape), c.sum / 4, 1e-6) << shape;
    }
    // The last batch, one of its two examples real: as that example alone.
    const Named tail = {{"tail/weight", {1, 0}}};
    const Named second = {{"tail/weight", {0, 1}}};
    const double first_sum = loss(c, "sum", 2, "[2, 3]", tail);
    EXPECT_NEAR(first_sum + loss(c, "sum", 2, "[2, 3]", second), c.sum, 1e-6);
    EXPECT_NEAR(loss(c, "mean", 2, "[2, 3]", tail), first_sum / 2, 1e-6);
  }
}

// Keras adds the penalties of trainable weights alone.
TEST(Losses, FrozenLayersHaveNoPenalty) {
  const auto loss = [](const std::string& layer, const std::string& shape, bool trainable) {
    const std::string text =
        with_training(layer + (trainable ? "}" : R"(, "trainable": false})") +
                          R"(, {"type": "flatten"}, {"type": "dense", "units": 1, "name": "y"})",
                      R"({"loss": "mse", "optimizer": "sgd"})", shape);
    const Named given = {{"a/kernel", {3}}, {"a/bias", {-2}},  {"a/embeddings", {1, 1}},
                         {"a/gamma", {5}},  {"y/kernel", {0}}, {"y/bias", {0}}};
    return run_model(text, {EntryKind::kEvaluate, 1, false}, given).outputs.at("loss")[0];
  };
  const std::string l1 = R"({"type": "l1", "l1": 0.5})", l2 = R"({"type": "l2", "l2": 0.5})";
  const std::string dense = R"({"type": "dense", "units": 1, "name": "a", "kernel_regularizer": )" +
                            l2 + R"(, "bias_regularizer": )" + l1;
  EXPECT_NEAR(loss(dense, "[1]", true), 4.5 + 1, 1e-9);
  EXPECT_NEAR(loss(dense, "[1]", false), 0, 1e-9);
  const std::string conv =
      R"({"type": "conv2d", "filters": 1, "kernel_size": 1, "name": "a", "kernel_regularizer": )" +
      l1;
  EXPECT_NEAR(loss(conv, "[1, 1, 1]", true), 1.5, 1e-9);
  EXPECT_NEAR(loss(conv, "[1, 1, 1]", false), 0, 1e-9);
  const std::string norm =
      R"({"type": "batch_normalization", "name": "a", "gamma_regularizer": )" + l2;
  EXPECT_NEAR(loss(norm, "[1]", true), 12.5, 1e-9);
  EXPECT_NEAR(loss(norm, "[1]", false), 0, 1e-9);
}

// ---- what does not count ------------------------------------------------------------------------

/// A model that passes tokens' rows on, of which those of token 0 do not count: [examples, 3] to
/// [examples, 3, 2].
std::string masked_text(const std::string& training) {
  return R"({"inputs": [{"name": "x", "shape": [3], "dtype": "int32"}], "layers": [
      {"type": "embedding", "name": "y", "input_dim": 3, "output_dim": 2, "mask_zero": true}],
      "training": )" +
         training + "}";
}

const std::vector<double> kRows = {9, 9, 1, -1, 0.5, 2};  // of tokens 0, 1, 2

RunResult run_masked(const std::string& training, const std::vector<double>& tokens,
                     const std::vector<double>& target, const std::vector<double>& tail = {}) {
  Named given = {{"input/x", tokens}, {"y/embeddings", kRows}, {"target/y", target}};
  if (!tail.empty()) given["tail/weight"] = tail;
  const auto batch = static_cast<int64_t>(tokens.size() / 3);
  return run_model(masked_text(training), {EntryKind::kEvaluate, batch, !tail.empty()}, given);
}

TEST(Losses, StepsThatDoNotCountWeighNothing) {
  const std::string training =
      R"({"loss": "mse", "optimizer": "sgd", "metrics": ["mae", "binary_accuracy"]})";
  const std::vector<double> tokens = {1, 0, 0, 2, 1, 0};
  const std::vector<double> target = {0, 0, 7, 7, 7, 7, 0, 1, 1, 1, 7, 7};
  const RunResult all = run_masked(training, tokens, target);
  expect_near(all.outputs.at("loss"), {(1 + 1 + 0.25 + 1 + 0 + 4) / 6});
  expect_near(all.outputs.at("metric/mae"), {(1 + 1 + 0.5 + 1 + 0 + 2) / 6});
  expect_near(all.outputs.at("metric/binary_accuracy"), {4.0 / 6});
  expect_near(all.outputs.at("count/y"), {3});
  // One of the two examples only fills up the last batch.
  const RunResult first = run_masked(training, tokens, target, {1, 0});
  expect_near(first.outputs.at("loss"), {1});
  expect_near(first.outputs.at("metric/mae"), {1});
  expect_near(first.outputs.at("count/y"), {1});
  const RunResult none = run_masked(training, {0, 0, 0}, {1, 2, 3, 4, 5, 6});
  expect_near(none.outputs.at("loss"), {0});
  expect_near(none.outputs.at("metric/mae"), {0});
  expect_near(none.outputs.at("count/y"), {0});
  const std::string sum = R"({"loss": {"type": "mse", "reduction": "sum"}, "optimizer": "sgd"})";
  expect_near(run_masked(sum, tokens, target).outputs.at("loss"), {(1 + 1 + 0.25 + 1 + 0 + 4) / 2});
  expect_near(run_masked(sum, tokens, target, {1, 0}).outputs.at("loss"), {1});
}

TEST(Losses, IgnoredClassesWeighNothing) {
  const auto training = [](const std::string& options) {
    return R"({"loss": {"type": "scce", )" + options +
           R"(}, "optimizer": "sgd", "metrics": ["accuracy", {"type": "top_k", "k": 1}]})";
  };
  const double one = std::log(1 + std::exp(-2)), two = std::log(1 + std::exp(1.5));
  const std::vector<double> tokens = {1, 2, 0, 2, 1, 1};
  const std::vector<double> target = {0, 0, 1, -100, -100, 1};
  // Token 0 and the labels -100 do not count; of the others the first is right.
  const RunResult both =
      run_masked(training(R"("from_logits": true, "ignore_class": -100)"), tokens, target);
  expect_near(both.outputs.at("loss"), {(one + two + (2 + one)) / 3});
  expect_near(both.outputs.at("metric/accuracy"), {1.0 / 3});
  expect_near(both.outputs.at("metric/top_k"), {1.0 / 3});
  expect_near(both.outputs.at("count/y"), {3});
  const RunResult first =
      run_masked(training(R"("from_logits": true, "ignore_class": -100)"), tokens, target, {1, 0});
  expect_near(first.outputs.at("loss"), {(one + two) / 2});
  // A class of the output, from probabilities that need not be a softmax.
  const std::string text =
      with_training(R"({"type": "activation", "activation": "linear", "name": "y"})",
                    training(R"("ignore_class": 1)"), "[3]");
  const RunResult plain =
      run_model(text, {EntryKind::kEvaluate, 3, false},
                {{"input/x", {1, 2, 5, 1, 1, 1, 4, 2, 2}}, {"target/y", {2, 1, 0}}});
  expect_near(plain.outputs.at("loss"), {-(std::log(5.0 / 8) + std::log(0.5)) / 2});
  expect_near(plain.outputs.at("metric/accuracy"), {1});
}

}  // namespace
}  // namespace gradc
