// Metrics of "weighted_metrics" are what Keras's definition says of a whole set, in batches of any
// size: sums of weighted values over the sum of the weights.
#include "tests/unit/driver/metrics_fixture.h"

#include <algorithm>

namespace gradc::test {
namespace {

class WeightedMetrics : public Metrics {};

// Keras's weighted_metrics: each mean is of values times weights over the sum of the weights.
TEST_F(WeightedMetrics, OfClasses) {
  make(R"("units": 3, "activation": "softmax")", R"("sparse_categorical_crossentropy")",
       R"("accuracy"], "weighted_metrics": ["accuracy", "scce", {"type": "f1", "average": "macro"},
          "mcc", {"type": "recall", "class_id": 1})",
       R"(, "sample_weight": true)");
  std::mt19937 random(13);
  Numbers y, w;
  for (size_t i = 0; i < kRows; ++i) {
    y.push_back(static_cast<double>(random() % 3));
    w.push_back(static_cast<double>(random() % 5) / 4);  // some weigh nothing
  }
  write("y.npy", rt::Dtype::kI32, 1, y);
  write("w.npy", rt::Dtype::kF32, 1, w);
  const Numbers p = predictions();
  double found[3] = {}, guessed[3] = {}, present[3] = {}, all = 0, right = 0, plain = 0, logs = 0;
  for (size_t i = 0; i < kRows; ++i) {
    const auto row = p.begin() + static_cast<std::ptrdiff_t>(i * 3);
    const auto guess = static_cast<size_t>(std::max_element(row, row + 3) - row);
    const auto truth = static_cast<size_t>(y[i]);
    all += w[i];
    guessed[guess] += w[i];
    present[truth] += w[i];
    plain += guess == truth ? 1 : 0;
    right += guess == truth ? w[i] : 0;
    found[truth] += guess == truth ? w[i] : 0;
    logs -= w[i] * std::log(p[i * 3 + truth]);
  }
  double macro = 0, chance = 0, guesses = 0, truths = 0;
  for (size_t c = 0; c < 3; ++c) {
    macro += over(2 * found[c], guessed[c] + present[c]) / 3;
    chance += guessed[c] * present[c] / all / all;
    guesses += guessed[c] * guessed[c] / all / all;
    truths += present[c] * present[c] / all / all;
  }
  expect("accuracy", plain / kRows);
  expect("weighted_accuracy", right / all);
  expect("scce", logs / all);
  expect("loss", logs / kRows);
  expect("f1", macro);
  expect("mcc", (right / all - chance) / std::sqrt((1 - guesses) * (1 - truths)));
  expect("recall", over(found[1], present[1]));
}

// Of two columns, where a weight is of a row.
TEST_F(WeightedMetrics, OfRegression) {
  make(R"("units": 2)", R"("mse")", R"("mae"], "weighted_metrics": ["mae", "r2_score", "rmse")",
       R"(, "sample_weight": true)");
  std::mt19937 random(14);
  std::normal_distribution<double> normal;
  Numbers y, w;
  for (size_t i = 0; i < kRows * 2; ++i)
    y.push_back(static_cast<double>(static_cast<float>(normal(random))));
  for (size_t i = 0; i < kRows; ++i)
    w.push_back(static_cast<double>(1 + random() % 7) / 8);
  write("y.npy", rt::Dtype::kF32, 2, y);
  write("w.npy", rt::Dtype::kF32, 1, w);
  const Numbers p = predictions();
  double all = 0, absolute = 0, squares = 0, r2 = 0;
  for (size_t i = 0; i < kRows; ++i)
    all += w[i];
  for (size_t u = 0; u < 2; ++u) {
    double mean = 0, error = 0, spread = 0;
    for (size_t i = 0; i < kRows; ++i)
      mean += w[i] * y[i * 2 + u] / all;
    for (size_t i = 0; i < kRows; ++i) {
      const double off = p[i * 2 + u] - y[i * 2 + u];
      absolute += w[i] * std::abs(off) / all / 2;
      error += w[i] * off * off;
      spread += w[i] * (y[i * 2 + u] - mean) * (y[i * 2 + u] - mean);
    }
    squares += error / all / 2;
    r2 += (1 - error / spread) / 2;
  }
  expect("weighted_mae", absolute);
  expect("rmse", std::sqrt(squares));
  for (const int batch : {1, 32, 203, 256})
    EXPECT_NEAR(metric("r2_score", batch), r2, 2e-5) << batch;
}

// Positions of sequences, some of which do not count: each weighs what its example does.
TEST_F(WeightedMetrics, OfPositions) {
  make("", "", "");
  write_text_file(path("m.json"), R"({"name": "m", "inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "dense", "units": 12},
               {"type": "reshape", "target_shape": [4, 3], "name": "y"}],
    "training": {"loss": {"type": "scce", "from_logits": true, "ignore_class": -1},
                 "optimizer": "sgd", "metrics": ["accuracy"],
                 "weighted_metrics": ["accuracy", {"type": "f1", "average": "macro"}],
                 "sample_weight": true}})");
  std::mt19937 random(16);
  Numbers y, w;
  for (size_t i = 0; i < kRows * 4; ++i)
    y.push_back(static_cast<double>(random() % 4) - 1);
  for (size_t i = 0; i < kRows; ++i)
    w.push_back(static_cast<double>(random() % 3));
  write("y.npy", rt::Dtype::kI32, 4, y);
  write("w.npy", rt::Dtype::kF32, 1, w);
  const Numbers p = predictions();
  ASSERT_EQ(p.size(), kRows * 12);
  double all = 0, right = 0, counted = 0, plain = 0, found[3] = {}, met[3] = {};
  for (size_t i = 0; i < kRows * 4; ++i) {
    if (y[i] < 0) continue;
    const auto row = p.begin() + static_cast<std::ptrdiff_t>(i * 3);
    const auto guess = static_cast<size_t>(std::max_element(row, row + 3) - row);
    const auto truth = static_cast<size_t>(y[i]);
    const double weight = w[i / 4];
    all += weight;
    counted += 1;
    met[guess] += weight;
    met[truth] += weight;
    plain += guess == truth ? 1 : 0;
    right += guess == truth ? weight : 0;
    found[truth] += guess == truth ? weight : 0;
  }
  expect("accuracy", plain / counted);
  expect("weighted_accuracy", right / all);
  expect("f1", (found[0] / met[0] + found[1] / met[1] + found[2] / met[2]) * 2 / 3);
}

// Classes weigh in training alone; what counts not at all is 0, not 0/0.
TEST_F(WeightedMetrics, OfClassesThatWeigh) {
  make(R"("units": 1, "activation": "sigmoid", "trainable": false)", R"("binary_crossentropy")",
       R"("accuracy"], "weighted_metrics": ["accuracy", "recall")",
       R"(, "class_weight": {"0": 0.5, "1": 3}, "batch_size": 32)");
  std::mt19937 random(15);
  Numbers y;
  for (size_t i = 0; i < kRows; ++i)
    y.push_back(random() % 3 == 0 ? 1 : 0);
  write("y.npy", rt::Dtype::kF32, 1, y);
  const Numbers p = predictions();
  double all = 0, right = 0, plain = 0;
  for (size_t i = 0; i < kRows; ++i) {
    const bool hit = (p[i] > 0.5) == (y[i] > 0);
    const double weight = y[i] > 0 ? 3 : 0.5;
    all += weight;
    right += hit ? weight : 0;
    plain += hit ? 1 : 0;
  }
  expect("accuracy", plain / kRows);
  expect("weighted_accuracy", plain / kRows);
  // (Nothing is trained, so the epoch's metrics are of these predictions.)
  for (const char* batch : {"1", "32", "203", "256"}) {
    const Outcome done =
        gradc("train " + path("m.json") + files() + " --seed 5 --batch-size " + batch + " --log -");
    EXPECT_EQ(done.code, 0) << done.output;
    const auto value = [&](const std::string& name) {
      const size_t at = done.output.find("\"" + name + "\":");
      return at == std::string::npos ? std::nan("")
                                     : std::atof(done.output.c_str() + at + name.size() + 3);
    };
    EXPECT_NEAR(value("accuracy"), plain / kRows, 2e-6) << batch;
    EXPECT_NEAR(value("weighted_accuracy"), right / all, 2e-6) << batch;
  }
}

}  // namespace
}  // namespace gradc::test
