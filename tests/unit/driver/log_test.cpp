// What --log says of a run: its head in the first line, the test part's scores in the last.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace gradc::test {
namespace {

using nlohmann::json;

class Log : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string rows = "a,b,y\n";
    for (int i = 0; i < 40; ++i)
      rows +=
          std::to_string(i % 7) + "," + std::to_string(i % 5) + "," + std::to_string(i % 3) + "\n";
    write_text_file(folder_ / "rows.csv", rows);
    write_text_file(folder_ / "m.json",
                    R"({"name": "small", "inputs": [{"name": "x", "shape": [2]}],
      "layers": [{"type": "dense", "units": 1}],
      "training": {"loss": "mse", "optimizer": {"type": "sgd", "learning_rate": 0.01}, "metrics": ["mae"],
                   "batch_size": 8, "seed": 5}})");
  }

  Outcome train(const std::string& options, const std::string& parts) {
    return gradc("train " + (folder_ / "m.json") + " --data " + (folder_ / "rows.csv") +
                 ":target=y" + parts + " " + options);
  }
  std::vector<json> lines(const std::string& file) {
    std::stringstream text(read_file(folder_ / file));
    std::vector<json> result;
    for (std::string line; std::getline(text, line);)
      result.push_back(json::parse(line));
    return result;
  }

  Scratch folder_;
};

TEST_F(Log, SaysWhatWasTrainedAndHowItWasTested) {
  const Outcome done =
      train("--epochs 3 --threads 2 --log " + (folder_ / "log"), ":test=0.25:validation=0.25");
  ASSERT_EQ(done.code, 0) << done.output;
  const std::vector<json> log = lines("log");
  ASSERT_EQ(log.size(), 3U);
  for (size_t i = 0; i < log.size(); ++i) {
    EXPECT_EQ(log[i]["epoch"], i + 1);
    EXPECT_TRUE(log[i].contains("val_mae"));
    EXPECT_EQ(log[i].contains("run"), i == 0);
    EXPECT_EQ(log[i].contains("test_loss"), i == 2);
  }
  const json& run = log[0]["run"];
  EXPECT_EQ(run["model"], "small");
  EXPECT_EQ(run["gradc"], "0.1.0");
  EXPECT_EQ(run["data"], folder_ / "rows.csv" + std::string(":target=y:test=0.25:validation=0.25"));
  EXPECT_EQ(run["examples"], 20);
  EXPECT_EQ(run["validation_examples"], 10);
  EXPECT_EQ(run["seed"], 5);
  EXPECT_EQ(run["batch_size"], 8);
  EXPECT_EQ(run["threads"], 2);
  EXPECT_NE(run["optimizer"].get<std::string>().find("learning_rate=0.01"), std::string::npos);
  EXPECT_FALSE(run["target"].get<std::string>().empty());
  EXPECT_EQ(run["started"].get<std::string>().size(), 20U);
  // The scores that are printed.
  std::smatch printed;
  ASSERT_TRUE(
      std::regex_search(done.output, printed, std::regex("test +loss ([0-9.]+) +mae ([0-9.]+)")))
      << done.output;
  EXPECT_NEAR(log[2]["test_loss"].get<double>(), std::stod(printed[1]), 1e-3);
  EXPECT_NEAR(log[2]["test_mae"].get<double>(), std::stod(printed[2]), 1e-3);
}

// Each process says what it did; what ended before has its line as it was.
TEST_F(Log, OfAResumedRunHasTwoHeads) {
  const std::string files =
      " --checkpoint " + (folder_ / "c") + " --log " + (folder_ / "log") + " --seed 9";
  ASSERT_EQ(train("--epochs 2" + files, ":test=0.25").code, 0);
  EXPECT_TRUE(lines("log")[1].contains("test_loss"));
  ASSERT_EQ(train("--epochs 4 --resume" + files, ":test=0.25").code, 0);
  const std::vector<json> log = lines("log");
  ASSERT_EQ(log.size(), 4U);
  for (size_t i = 0; i < log.size(); ++i) {
    EXPECT_EQ(log[i]["epoch"], i + 1);
    EXPECT_EQ(log[i].contains("run"), i % 2 == 0);
    EXPECT_EQ(log[i].contains("test_loss"), i % 2 == 1);
  }
  EXPECT_EQ(log[2]["run"]["seed"], 9);
  // A run without an epoch has nothing to add.
  const std::string before = read_file(folder_ / "log");
  ASSERT_EQ(train("--epochs 4 --resume" + files, ":test=0.25").code, 0);
  EXPECT_EQ(read_file(folder_ / "log"), before);
}

TEST_F(Log, OfAPipeAndWithoutTestDataIsWhatItWas) {
  const Outcome piped = train("--epochs 2 --log - 2>/dev/null | cat", ":test=0.25");
  ASSERT_EQ(piped.code, 0) << piped.output;
  std::stringstream text(piped.output);
  int count = 0;
  for (std::string line; std::getline(text, line); ++count) {
    const json parsed = json::parse(line);
    EXPECT_EQ(parsed.contains("run"), count == 0);
    EXPECT_FALSE(parsed.contains("test_loss"));
  }
  EXPECT_EQ(count, 2);
  ASSERT_EQ(train("--epochs 2 --log " + (folder_ / "log"), "").code, 0);
  EXPECT_FALSE(lines("log")[1].contains("test_loss"));
}

}  // namespace
}  // namespace gradc::test
