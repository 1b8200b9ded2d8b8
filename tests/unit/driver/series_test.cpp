// Windows over the rows of a table through the command: which rows make an example, which part it
// is of, and a forecast of real data that is better than last week's value.
#include "runtime/array.h"
#include "tests/unit/driver/command.h"
#include "tests/unit/driver/page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <vector>

namespace gradc::test {
namespace {

double number_after(const std::string& text, const std::string& words) {
  std::smatch found;
  return std::regex_search(text, found, std::regex(words + " ([-0-9.e]+)"))
             ? std::atof(found[1].str().c_str())
             : std::nan("");
}

/// Row r has a = r and b = 1000 + r. Nothing is trained: the output is the input's.
class Series : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string table = "a,b\n";
    for (int r = 0; r < 40; ++r)
      table += std::to_string(r) + "," + std::to_string(1000 + r) + "\n";
    write_text_file(scratch_ / "t.csv", table);
  }

  /// Of windows of 4 rows of a.
  std::string model(const std::string& rule, const std::string& layers) const {
    write_text_file(scratch_ / "m.json",
                    R"({"inputs": [{"name": "x", "shape": [4, 1]}], "layers": [)" + layers + R"(],
      "training": {"loss": "mae", "optimizer": {"type": "sgd", "learning_rate": 0}, "batch_size": 8},
      "data": {"x": {"series": )" +
                        rule + R"(, "columns": {"a": {}}}}})");
    return scratch_ / "m.json";
  }
  Outcome eval(const std::string& rule, const std::string& layers,
               const std::string& options) const {
    return gradc("train " + model(rule, layers) + " --epochs 1 --data " + (scratch_ / "t.csv") +
                 options);
  }

  Scratch scratch_;
};

/// What the window's last row has.
constexpr const char* kLast = R"({"type": "cropping_1d", "cropping": [3, 0]}, {"type": "flatten"},
  {"type": "dense", "units": 1, "kernel_initializer": "ones", "use_bias": false, "name": "y"})";

TEST_F(Series, TargetsAreSoManyRowsBehindTheWindow) {
  // |a(t + h) - a(t)| = h for every window, whatever the parts.
  for (const int horizon : {1, 3, 7}) {
    const std::string rule = "{\"horizon\": " + std::to_string(horizon) + "}";
    const Outcome all = eval(rule, kLast, ":target=a");
    ASSERT_EQ(all.code, 0) << all.output;
    EXPECT_NEAR(number_after(all.output, "loss"), horizon, 1e-6) << all.output;
    const Outcome parts = eval(rule, kLast, ":target=a:validation=0.2:test=0.25");
    ASSERT_EQ(parts.code, 0) << parts.output;
    EXPECT_NEAR(number_after(parts.output, "test +loss"), horizon, 1e-6) << parts.output;
    EXPECT_NEAR(number_after(parts.output, "val_loss"), horizon, 1e-6) << parts.output;
  }
}

TEST_F(Series, PredictionsReachToTheLastRow) {
  const std::string m = model("{\"stride\": 3}", kLast);
  const Outcome trained =
      eval("{\"stride\": 3}", kLast, ":target=a --out " + (scratch_ / "w.safetensors"));
  ASSERT_EQ(trained.code, 0) << trained.output;
  const Outcome predicted =
      gradc("predict " + m + " --weights " + (scratch_ / "w.safetensors") + " --in " +
            (scratch_ / "t.csv") + " --out " + (scratch_ / "p.csv"));
  ASSERT_EQ(predicted.code, 0) << predicted.output;
  std::string wanted = "a\n";
  for (int last = 3; last < 40; last += 3)
    wanted += std::to_string(last) + "\n";
  EXPECT_EQ(read_file(scratch_ / "p.csv"), wanted) << "0 to 3, 3 to 6, ..., 36 to 39";
}

TEST_F(Series, WhatDoesNotFitIsSaid) {
  const auto expect = [&](const std::string& rule, const std::string& options,
                          const std::string& part) {
    const Outcome outcome = eval(rule, kLast, options);
    EXPECT_EQ(outcome.code, 1);
    EXPECT_NE(outcome.output.find(part), std::string::npos) << outcome.output;
  };
  expect("{\"horizon\": 37}", ":target=a", "has 40 rows, one example of the series needs 41");
  expect("{}", ":target=a:fold=1/5", "a series is split in the order of its rows");
  expect("{}", ":target=a:test=0.95", "the training part has 2 of 40 rows");
  expect("{}", ":target=b:drop=a", "named by target=, weight= or drop=");
  expect("{\"stride\": 0}", ":target=a", "stride");
  expect("{}", ":target=c", "there is no such column");
}

TEST(SeriesOfRiders, AForecastOfTomorrowIsBetterThanLastWeeksValue) {
  const std::string file = shared_data("timeseries/cta_daily_ridership.csv");
  if (file.empty()) GTEST_SKIP() << "no data: GRADC_DATA names the folder";
  // Up to February 2020, as on the page.
  const Scratch scratch;
  ASSERT_EQ(shell("head -7001 " + file + " > " + (scratch / "riders.csv")).code, 0);
  std::istringstream rows(read_file(scratch / "riders.csv"));
  std::vector<double> riders;
  std::string line;
  std::getline(rows, line);
  while (std::getline(rows, line)) {
    double bus = 0, rail = 0;
    ASSERT_EQ(std::sscanf(line.c_str(), "%*[^,],%*c,%lf,%lf", &bus, &rail), 2) << line;
    riders.push_back(rail);
  }
  ASSERT_EQ(riders.size(), 7000U);
  double last_week = 0;
  for (size_t r = 6300; r < 7000; ++r)
    last_week += std::abs(riders[r] - riders[r - 7]) / 700;
  // Errors are in deviations of the rows that are trained on.
  double mean = 0, square = 0;
  for (size_t r = 0; r < 5600; ++r) {
    mean += riders[r] / 5600;
    square += riders[r] * riders[r] / 5600;
  }
  const double deviation = std::sqrt(square - mean * mean);
  const Outcome done =
      gradc("train " + source("examples/ridership.json") + " --threads 2 --data " +
            (scratch / "riders.csv") + ":target=rail_boardings:validation=0.1:test=0.1");
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_LT(number_after(done.output, "test [^\n]*mae") * deviation, 0.97 * last_week)
      << done.output;
}

}  // namespace
}  // namespace gradc::test
