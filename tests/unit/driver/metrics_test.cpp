// Metrics that are no means: over a data set in batches of any size they are what their definition
// says of all predictions at once.
#include "tests/unit/driver/metrics_fixture.h"

#include <algorithm>

namespace gradc::test {
namespace {

struct Point {
  double found, wrong;
};

TEST_F(Metrics, AreasUnderCurves) {
  make(R"("units": 1, "activation": "sigmoid")", R"("binary_crossentropy")",
       R"({"type": "auc", "name": "roc"}, {"type": "auc", "curve": "PR", "name": "pr"},
          {"type": "auc", "num_thresholds": 11, "name": "coarse"}, "mcc", "cohen_kappa", "mean_iou")");
  std::mt19937 random(4);
  Numbers y;
  for (size_t i = 0; i < kRows; ++i)
    y.push_back(random() % 3 == 0 ? 1 : 0);
  write("y.npy", rt::Dtype::kF32, 1, y);
  const Numbers p = predictions();
  ASSERT_EQ(p.size(), kRows);
  const auto positives = static_cast<double>(std::count(y.begin(), y.end(), 1.0));
  const double negatives = static_cast<double>(kRows) - positives;
  const auto curve = [&](int thresholds) {
    std::vector<Point> points;
    for (int k = 0; k < thresholds; ++k) {
      const double limit = k == 0 ? -1.0 : k + 1 == thresholds ? 2.0 : double(k) / (thresholds - 1);
      Point& point = points.emplace_back(Point{0, 0});
      for (size_t i = 0; i < kRows; ++i) {
        if (p[i] > static_cast<double>(static_cast<float>(limit)))
          (y[i] > 0 ? point.found : point.wrong) += 1;
      }
    }
    return points;
  };
  const auto roc = [&](const std::vector<Point>& points) {
    double area = 0;
    for (size_t k = 0; k + 1 < points.size(); ++k) {
      const Point &a = points[k], &b = points[k + 1];
      area += (a.wrong - b.wrong) / negatives * (a.found + b.found) / positives / 2;
    }
    return area;
  };
  expect("roc", roc(curve(200)));
  expect("coarse", roc(curve(11)));
  // Close to what ranks say, of which thresholds are a sample.
  double pairs = 0;
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t j = 0; j < kRows; ++j)
      pairs += y[i] > y[j] ? (p[i] > p[j] ? 1 : p[i] == p[j] ? 0.5 : 0) : 0;
  }
  EXPECT_NEAR(metric("roc", 32), pairs / positives / negatives, 0.01);
  double area = 0;
  const std::vector<Point> points = curve(200);
  for (size_t k = 0; k + 1 < points.size(); ++k) {
    const Point &a = points[k], &b = points[k + 1];
    const double before = a.found + a.wrong, after = b.found + b.wrong;
    const double slope = over(a.found - b.found, before - after), start = b.found - slope * after;
    area += slope * (a.found - b.found + start * (after > 0 ? std::log(before / after) : 0));
  }
  expect("pr", area / positives);

  double tp = 0, guesses = 0;
  for (size_t i = 0; i < kRows; ++i) {
    guesses += p[i] > 0.5 ? 1 : 0;
    tp += p[i] > 0.5 && y[i] > 0 ? 1 : 0;
  }
  const double fp = guesses - tp, fn = positives - tp, tn = kRows - tp - fp - fn;
  ASSERT_GT(std::min({tp, fp, fn, tn}), 0.0);
  expect("mcc", (tp * tn - fp * fn) / std::sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)));
  const double chance = ((tp + fp) * (tp + fn) + (tn + fp) * (tn + fn)) / kRows / kRows;
  expect("cohen_kappa", ((tp + tn) / kRows - chance) / (1 - chance));
  expect("mean_iou", (tp / (tp + fp + fn) + tn / (tn + fp + fn)) / 2);
}

TEST_F(Metrics, OfClasses) {
  make(
      R"("units": 5, "activation": "softmax")", R"("sparse_categorical_crossentropy")",
      R"("mcc", "cohen_kappa", "mean_iou", "f1_score", {"type": "f1", "average": "macro", "name": "macro"},
          {"type": "fbeta_score", "beta": 2, "average": "weighted", "name": "weighted"}, "perplexity")");
  std::mt19937 random(6);
  Numbers y;
  for (size_t i = 0; i < kRows; ++i)
    y.push_back(static_cast<double>(random() % 4));  // the last class is never there
  write("y.npy", rt::Dtype::kI32, 1, y);
  const Numbers p = predictions();
  ASSERT_EQ(p.size(), kRows * 5);
  double found[5] = {}, guessed[5] = {}, present[5] = {}, right = 0, logs = 0;
  for (size_t i = 0; i < kRows; ++i) {
    const auto row = p.begin() + static_cast<std::ptrdiff_t>(i * 5);
    const size_t guess = static_cast<size_t>(std::max_element(row, row + 5) - row);
    const auto truth = static_cast<size_t>(y[i]);
    guessed[guess] += 1;
    present[truth] += 1;
    if (guess == truth) found[guess] += 1;
    right += guess == truth ? 1 : 0;
    logs -= std::log(p[i * 5 + truth]);
  }
  double chance = 0, guesses = 0, truths = 0, unions = 0, classes = 0, macro = 0, weighted = 0;
  for (size_t c = 0; c < 5; ++c) {
    chance += guessed[c] * present[c] / kRows / kRows;
    guesses += guessed[c] * guessed[c] / kRows / kRows;
    truths += present[c] * present[c] / kRows / kRows;
    const double all = guessed[c] + present[c] - found[c];
    unions += over(found[c], all);
    classes += all > 0 ? 1 : 0;
    macro += over(2 * found[c], guessed[c] + present[c]) / 5;
    weighted += over(5 * found[c], guessed[c] + 4 * present[c]) * present[c] / kRows;
  }
  expect("mcc", (right / kRows - chance) / std::sqrt((1 - guesses) * (1 - truths)));
  expect("cohen_kappa", (right / kRows - chance) / (1 - chance));
  expect("mean_iou", unions / classes);
  expect("f1_score", right / kRows);
  expect("macro", macro);
  expect("weighted", weighted);
  for (const int batch : {1, 32, 256})
    EXPECT_NEAR(metric("perplexity", batch) / std::exp(logs / kRows), 1, 2e-6);
}

// Keras's class_id and top_k: of one class, and of what is among the largest outputs.
TEST_F(Metrics, OfOneClassAndOfTheLargest) {
  const std::string metrics = R"({"type": "precision", "class_id": 2, "name": "precision_2"},
    {"type": "recall", "class_id": 2, "name": "recall_2"}, {"type": "f1", "class_id": 1, "name": "f1_1"},
    {"type": "precision", "top_k": 2, "name": "precision_top"},
    {"type": "recall", "top_k": 2, "class_id": 0, "name": "recall_top_0"},
    {"type": "iou", "target_class_ids": [0, 2], "name": "iou_0_2"})";
  std::mt19937 random(12);
  Numbers numbers, rows;
  for (size_t i = 0; i < kRows; ++i) {
    numbers.push_back(static_cast<double>(random() % 4));
    for (int c = 0; c < 4; ++c)
      rows.push_back(c == numbers.back() ? 1 : 0);
  }
  for (const bool sparse : {false, true}) {
    make(R"("units": 4, "activation": "softmax")",
         sparse ? R"("sparse_categorical_crossentropy")" : R"("categorical_crossentropy")",
         metrics);
    if (sparse)
      write("y.npy", rt::Dtype::kI32, 1, numbers);
    else
      write("y.npy", rt::Dtype::kF32, 4, rows);
    const Numbers p = predictions();
    double found[4] = {}, guessed[4] = {}, present[4] = {}, first[4] = {}, largest[4] = {};
    double unions[4] = {}, both[4] = {}, top = 0;
    for (size_t i = 0; i < kRows; ++i) {
      const auto row = p.begin() + static_cast<std::ptrdiff_t>(i * 4);
      const auto truth = static_cast<size_t>(numbers[i]);
      present[truth] += 1;
      const auto best = static_cast<size_t>(std::max_element(row, row + 4) - row);
      for (size_t c = 0; c < 4; ++c) {
        const bool guess = sparse ? c == best : row[static_cast<std::ptrdiff_t>(c)] > 0.5;
        const auto ahead = std::count_if(row, row + 4, [&](double x) { return x > p[i * 4 + c]; });
        guessed[c] += guess ? 1 : 0;
        found[c] += guess && c == truth ? 1 : 0;
        largest[c] += ahead < 2 ? 1 : 0;
        first[c] += ahead < 2 && c == truth ? 1 : 0;
        both[c] += c == best && c == truth ? 1 : 0;
        unions[c] += c == best || c == truth ? 1 : 0;
      }
    }
    for (const double count : first)
      top += count;
    expect("precision_2", over(found[2], guessed[2]));
    expect("recall_2", over(found[2], present[2]));
    expect("f1_1", over(2 * found[1], guessed[1] + present[1]));
    expect("precision_top", top / (2 * kRows));
    expect("recall_top_0", over(first[0], present[0]));
    expect("iou_0_2", (both[0] / unions[0] + both[2] / unions[2]) / 2);
  }
}

// With equal outputs everywhere the first two are the largest.
TEST_F(Metrics, OfEqualOutputsTheFirstAreTheLargest) {
  make(R"("units": 3, "kernel_initializer": "zeros", "trainable": false)",
       R"({"type": "categorical_crossentropy", "from_logits": true})",
       R"({"type": "recall", "top_k": 2, "class_id": 1, "name": "second"},
          {"type": "recall", "top_k": 2, "class_id": 2, "name": "third"})");
  Numbers y;
  for (size_t i = 0; i < kRows * 3; ++i)
    y.push_back(i % 3 == i / 3 % 3 ? 1 : 0);
  write("y.npy", rt::Dtype::kF32, 3, y);
  predictions();
  expect("second", 1);
  expect("third", 0);
}

TEST_F(Metrics, OfRegression) {
  make(R"("units": 2)", R"("mse")", R"("r2_score", "rmse")");
  std::mt19937 random(8);
  std::normal_distribution<double> normal;
  Numbers y;
  for (size_t i = 0; i < kRows * 2; ++i)
    y.push_back(static_cast<double>(static_cast<float>((i % 2 == 0 ? 3.0 : 0.5) + normal(random))));
  write("y.npy", rt::Dtype::kF32, 2, y);
  const Numbers p = predictions();
  double square = 0, r2 = 0;
  for (size_t u = 0; u < 2; ++u) {
    double sum = 0, error = 0, spread = 0;
    for (size_t i = u; i < y.size(); i += 2) {
      sum += y[i];
      error += (y[i] - p[i]) * (y[i] - p[i]);
    }
    for (size_t i = u; i < y.size(); i += 2)
      spread += (y[i] - sum / kRows) * (y[i] - sum / kRows);
    r2 += (1 - error / spread) / 2;
    square += error;
  }
  for (const int batch : {1, 32, 203, 256})
    EXPECT_NEAR(metric("r2_score", batch) / r2, 1, 1e-5) << batch;
  expect("rmse", std::sqrt(square / (2 * kRows)));
}

// Far from the classes e^loss is infinite in f32, and that is no reason to end training.
TEST_F(Metrics, ThatAreInfiniteLeaveTheLossAlone) {
  make(R"("units": 3, "kernel_initializer": {"type": "random_normal", "stddev": 400})",
       R"({"type": "sparse_categorical_crossentropy", "from_logits": true})",
       R"({"type": "perplexity", "from_logits": true})");
  write("y.npy", rt::Dtype::kI32, 1, Numbers(kRows, 2.0));
  const Outcome done =
      gradc("train " + path("m.json") + files() + " --seed 5 --out " + path("w.safetensors"));
  EXPECT_EQ(done.code, 0) << done.output;
  EXPECT_NE(done.output.find("perplexity inf"), std::string::npos) << done.output;
  EXPECT_EQ(done.output.find("nan"), std::string::npos) << done.output;
}

TEST_F(Metrics, StoppedAndGoneOnWith) {
  make(R"("units": 1, "activation": "sigmoid")", R"("binary_crossentropy")", R"("auc")");
  Numbers y;
  for (size_t i = 0; i < kRows; ++i)
    y.push_back(static_cast<double>(i % 2));
  write("y.npy", rt::Dtype::kF32, 1, y);
  const std::string run = "train " + path("m.json") + files() + " --seed 2 --batch-size 16";
  ASSERT_EQ(gradc(run + " --epochs 2 --log " + path("whole.jsonl")).code, 0);
  const std::string checkpoint =
      " --checkpoint " + path("c.safetensors") + " --resume --log " + path("parts.jsonl");
  ASSERT_EQ(gradc(run + " --epochs 1" + checkpoint).code, 0);
  ASSERT_EQ(gradc(run + " --epochs 2" + checkpoint).code, 0);
  const auto last = [&](const std::string& name) {
    const std::string log = read_file(path(name));
    const size_t at = log.find("\"auc\":", log.find("\"epoch\":2"));
    return log.substr(at, log.find_first_of(",}", at) - at);
  };
  EXPECT_EQ(last("whole.jsonl"), last("parts.jsonl"));
  EXPECT_NE(last("whole.jsonl").find("0."), std::string::npos);
}

}  // namespace
}  // namespace gradc::test
