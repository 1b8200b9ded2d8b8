// Weights of examples and classes from files: training, tails, validation, and what is refused.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <vector>

namespace gradc::test {
namespace {

double value_of(const std::string& output, const std::string& name) {
  std::smatch found;
  const std::regex line("\"" + name + "\":([-0-9.e]+)");
  return std::regex_search(output, found, line) ? std::atof(found[1].str().c_str()) : std::nan("");
}

class ExampleWeights : public ::testing::Test {
 protected:
  static constexpr int kRows = 101;  // a tail with every batch size below

  void SetUp() override {
    std::string table = "a,b,w,kind\n";
    for (int i = 0; i < kRows; ++i) {
      const double a = std::sin(i * 1.7), b = std::cos(i * 0.9);
      const bool spam = a + 0.5 * b > 0.6;
      char line[80];
      std::snprintf(line, sizeof line, "%.6f,%.6f,%.2f,%s\n", a, b, 0.25 * (i % 9),
                    spam ? "spam" : "ham");
      table += line;
      spam_ += spam ? 1 : 0;
    }
    write_text_file(scratch_ / "t.csv", table);
  }

  std::string model(const std::string& training) const {
    write_text_file(scratch_ / "m.json", R"({"inputs": [{"name": "x", "shape": [2]}],
      "layers": [{"type": "dense", "units": 2, "name": "y"}],
      "training": {"loss": {"type": "scce", "from_logits": true}, "optimizer": {"type": "sgd", "learning_rate": 0.1},
                   "metrics": ["accuracy"], "epochs": 4, "seed": 3, )" +
                                             training + "}}");
    return scratch_ / "m.json";
  }
  std::string table(const std::string& options) const {
    return " --data " + (scratch_ / "t.csv") + ":target=kind" + options;
  }

  Scratch scratch_;
  int spam_ = 0;
};

TEST_F(ExampleWeights, TheLossOfADataSetIsThatOfItsWeightedValuesWhateverTheBatches) {
  const std::string m = model(R"("sample_weight": true)");
  const Outcome trained =
      gradc("train " + m + table(":weight=w") + " --out " + (scratch_ / "w.safetensors"));
  ASSERT_EQ(trained.code, 0) << trained.output;
  const Outcome predicted =
      gradc("predict " + m + " --weights " + (scratch_ / "w.safetensors") + " --in " +
            (scratch_ / "t.csv") + " --out " + (scratch_ / "p.csv"));
  ASSERT_EQ(predicted.code, 0) << predicted.output;  // neither target nor weight is a feature
  std::istringstream rows(read_file(scratch_ / "p.csv")), data(read_file(scratch_ / "t.csv"));
  std::string row, line;
  std::getline(rows, row);
  std::getline(data, line);
  EXPECT_EQ(row, "prediction,ham,spam");
  double sum = 0, right = 0, plain = 0;
  while (std::getline(rows, row) && std::getline(data, line)) {
    char guess[8];
    double ham = 0, spam = 0, a = 0, b = 0, w = 0;
    char kind[8];
    ASSERT_EQ(std::sscanf(row.c_str(), "%7[a-z],%lf,%lf", guess, &ham, &spam), 3);
    ASSERT_EQ(std::sscanf(line.c_str(), "%lf,%lf,%lf,%7s", &a, &b, &w, kind), 4);
    const double entropy =
        std::log(std::exp(ham) + std::exp(spam)) - (std::string(kind) == "ham" ? ham : spam);
    sum += w * entropy;
    plain += entropy;
    right += std::string(kind) == guess ? 1 : 0;
  }
  for (const int batch : {1, 7, 32, 101, 128}) {
    const std::string size = " --json --batch-size " + std::to_string(batch) + " --weights " +
                             (scratch_ / "w.safetensors");
    const Outcome weighted = gradc("eval " + m + table(":weight=w") + size);
    EXPECT_NEAR(value_of(weighted.output, "loss"), sum / kRows, 2e-6) << weighted.output;
    EXPECT_NEAR(value_of(weighted.output, "accuracy"), right / kRows, 1e-6) << weighted.output;
    const Outcome without = gradc("eval " + m + table(":drop=w") + size);
    EXPECT_NEAR(value_of(without.output, "loss"), plain / kRows, 2e-6) << without.output;
  }
}

TEST_F(ExampleWeights, BalancedIsWhatItsFormulaSaysByNameAndInCompiledPrograms) {
  const auto weights = [&](const std::string& training, const std::string& file) {
    const Outcome trained = gradc("train " + model(training) + table(":drop=w:validation=0.2") +
                                  " --out " + (scratch_ / file));
    EXPECT_EQ(trained.code, 0) << trained.output;
    return trained.output;
  };
  const std::string told = weights(R"("class_weight": "balanced")", "balanced.safetensors");
  std::smatch found;
  ASSERT_TRUE(std::regex_search(told, found,
                                std::regex("class weights of y: ham ([0-9.]+), spam ([0-9.]+)")))
      << told;
  // Of the rows that are trained on: n / (2 n_c), so 1 / (2 w) are shares that sum to 1.
  const double ham = std::atof(found[1].str().c_str()), spam = std::atof(found[2].str().c_str());
  EXPECT_NEAR(0.5 / ham + 0.5 / spam, 1, 2e-3);
  EXPECT_NEAR(0.5 / spam, double(spam_) / kRows, 0.02);
  std::smatch counts;
  ASSERT_TRUE(std::regex_search(
      told, counts, std::regex("classes of y: ham \\(([0-9]+)\\), spam \\(([0-9]+)\\)\n")))
      << told;
  const double hams = std::atof(counts[1].str().c_str());
  const double spams = std::atof(counts[2].str().c_str());
  EXPECT_NEAR(hams + spams, 0.8 * kRows, 1);
  EXPECT_NEAR(spam, (hams + spams) / (2 * spams), 1e-3 * spam);
  const Outcome compiled = gradc("compile " + (scratch_ / "m.json") + " -o " + (scratch_ / "m"));
  ASSERT_EQ(compiled.code, 0) << compiled.output;
  const Outcome ran = shell((scratch_ / "m") + " train" + table(":drop=w:validation=0.2") +
                            " --out " + (scratch_ / "aot.safetensors"));
  ASSERT_EQ(ran.code, 0) << ran.output;
  EXPECT_EQ(read_file(scratch_ / "aot.safetensors"), read_file(scratch_ / "balanced.safetensors"));
  // Names and numbers are the same classes; those without a weight weigh 1.
  weights(R"("class_weight": {"spam": 3})", "name.safetensors");
  weights(R"("class_weight": {"1": 3})", "number.safetensors");
  weights(R"("batch_size": 32)", "plain.safetensors");
  EXPECT_EQ(read_file(scratch_ / "name.safetensors"), read_file(scratch_ / "number.safetensors"));
  EXPECT_NE(read_file(scratch_ / "name.safetensors"), read_file(scratch_ / "plain.safetensors"));
  const Outcome wrong =
      gradc("train " + model(R"("class_weight": {"spamm": 3})") + table(":drop=w"));
  EXPECT_EQ(wrong.code, 1);
  EXPECT_NE(
      wrong.output.find("class \"spamm\" of target \"y\" has a weight, the data have \"ham\", "
                        "\"spam\""),
      std::string::npos)
      << wrong.output;
}

TEST_F(ExampleWeights, TrainingThatIsResumedHasTheSameBits) {
  const std::string m = model(R"("class_weight": "balanced", "sample_weight": true)");
  const auto run = [&](const std::string& more) {
    const Outcome done = gradc("train " + m + table(":weight=w") + more);
    EXPECT_EQ(done.code, 0) << done.output;
  };
  run(" --out " + (scratch_ / "whole.safetensors"));
  run(" --epochs 2 --checkpoint " + (scratch_ / "c.safetensors"));
  run(" --epochs 4 --resume --checkpoint " + (scratch_ / "c.safetensors") + " --out " +
      (scratch_ / "parts.safetensors"));
  EXPECT_EQ(read_file(scratch_ / "whole.safetensors"), read_file(scratch_ / "parts.safetensors"));
}

TEST_F(ExampleWeights, WhatIsMissingOrWrongIsSaid) {
  const auto expect = [&](const std::string& training, const std::string& options,
                          const std::string& part) {
    const Outcome outcome = gradc("train " + model(training) + table(options));
    EXPECT_EQ(outcome.code, 1);
    EXPECT_NE(outcome.output.find(part), std::string::npos) << outcome.output;
  };
  expect(R"("batch_size": 32)", ":weight=w", "the model's examples have no weights");
  expect(R"("sample_weight": true)", ":drop=w", "or a column named by :weight=, was expected");
  expect(R"("sample_weight": true)", ":weight=v", "weight=v: there is no such column");
  expect(R"("sample_weight": true)", ":weight=kind", "named by target= and by weight=");
  expect(R"("sample_weight": true)", ":weight=a:drop=w", "target/sample_weight");  // below 0
}

// Of many classes the least and the most; none where an example has more than one.
TEST(Classes, HowManyThereAreIsToldBeforeTraining) {
  const Scratch scratch;
  const auto told = [&](const std::string& layers, const std::string& inputs,
                        const std::string& loss, const std::string& data) {
    write_text_file(scratch / "m.json", R"({"inputs": [)" + inputs + R"(], "layers": [)" + layers +
                                            R"(], "training": {"optimizer": "sgd", "loss": ")" +
                                            loss + "\"}}");
    const Outcome trained = gradc("train " + (scratch / "m.json") + " --epochs 1 --data " + data);
    EXPECT_EQ(trained.code, 0) << trained.output;
    const size_t at = trained.output.find("classes of ");
    return at == std::string::npos ? std::string()
                                   : trained.output.substr(at, trained.output.find('\n', at) - at);
  };
  std::string many = "a,y\n", few = "a,y\n";
  for (int i = 0; i < 400; ++i) {
    const int of = i % 30 == 11 && i > 40 ? 12 : i % 30;
    many += std::to_string(i % 7) + "," + std::to_string(of) + "\n";
    few += std::to_string(i % 7) + "," + std::to_string(i % 4 == 0 ? 2 : 0) + "\n";
  }
  write_text_file(scratch / "many.csv", many);
  write_text_file(scratch / "few.csv", few);
  const std::string x = R"({"name": "x", "shape": [1]})";
  const auto softmax = [](int units) {
    return R"({"type": "dense", "activation": "softmax", "name": "y", "units": )" +
           std::to_string(units) + "}";
  };
  EXPECT_EQ(
      told(softmax(30), x, "sparse_categorical_crossentropy", (scratch / "many.csv") + ":target=y"),
      "classes of y: 30, from 11 (1) to 12 (25)");
  for (const char* loss : {"sparse_categorical_crossentropy", "categorical_crossentropy"}) {
    EXPECT_EQ(told(softmax(3), x, loss, (scratch / "few.csv") + ":target=y"),
              "classes of y: 0 (300), 1 (0), 2 (100)");
  }
  EXPECT_EQ(told(R"({"type": "dense", "units": 1, "name": "y"})", x, "mse",
                 (scratch / "few.csv") + ":target=y"),
            "");
  write_text_file(scratch / "t.txt", "abababcabababcabababc");
  EXPECT_EQ(told(R"({"type": "embedding", "input_dim": 3, "output_dim": 2}, )" + softmax(3),
                 R"({"name": "x", "shape": [3], "dtype": "int32"})",
                 "sparse_categorical_crossentropy", (scratch / "t.txt") + ":chars"),
            "");
}

}  // namespace
}  // namespace gradc::test
