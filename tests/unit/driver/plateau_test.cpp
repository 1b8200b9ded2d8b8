// The rate that falls on a plateau, through whole trainings.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <random>

namespace gradc::test {
namespace {

std::string model_text(const std::string& rate, const std::string& more) {
  return R"({"name": "small", "inputs": [{"name": "x", "shape": [3]}],
  "layers": [{"type": "dense", "units": 6, "activation": "tanh", "name": "hidden"},
             {"type": "dense", "units": 1, "name": "y"}],
  "training": {"loss": "mse", "batch_size": 8, "seed": 5, "epochs": 6)" +
         more + R"(, "optimizer": {"type": "adam", "learning_rate": )" + rate + "}}}";
}

class Plateau : public ::testing::Test {
 protected:
  Plateau() {
    std::mt19937 random(3);
    std::string text = "a,b,c,y\n";
    for (int row = 0; row < 40; ++row) {
      for (int column = 0; column < 4; ++column)
        text += "0." + std::to_string(100 + random() % 900) + (column < 3 ? "," : "\n");
    }
    write_text_file(scratch_ / "data.csv", text);
  }
  Outcome train(const std::string& options) {
    return gradc("train " + (scratch_ / "m.json") + " --data " + data() + " " + options);
  }
  std::string data() const { return (scratch_ / "data.csv") + ":target=y"; }

  Scratch scratch_;
};

/// No epoch is better by 100: the rate is halved after the second and every second one behind it.
constexpr const char* kNeverBetter =
    R"(, "reduce_on_plateau": {"monitor": "loss", "factor": 0.5, "patience": 2, "min_delta": 100})";

// The first epoch is the best; 3, 5 are the second without improvement. 40 rows are 5 steps.
TEST_F(Plateau, IsTheScheduleOfThatRate) {
  write_text_file(scratch_ / "m.json", model_text("0.05", kNeverBetter));
  const Outcome done = train("--log " + (scratch_ / "log") + " --out " + (scratch_ / "falling"));
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_NE(done.output.find("learning rate times 0.5 from now on"), std::string::npos)
      << done.output;
  const std::string log = read_file(scratch_ / "log");
  EXPECT_NE(log.find("\"rate_factor\":0.5}"), std::string::npos) << log;
  EXPECT_NE(log.find("\"rate_factor\":0.25}"), std::string::npos) << log;
  write_text_file(scratch_ / "m.json", model_text(R"({"type": "piecewise_constant_decay",
      "boundaries": [14, 24], "values": [0.05, 0.025, 0.0125]})",
                                                  ""));
  ASSERT_EQ(train("--out " + (scratch_ / "scheduled")).code, 0);
  EXPECT_EQ(read_file(scratch_ / "falling"), read_file(scratch_ / "scheduled"));
}

TEST_F(Plateau, GoesOnWhereACheckpointEnds) {
  write_text_file(scratch_ / "m.json", model_text("0.05", kNeverBetter));
  ASSERT_EQ(train("--out " + (scratch_ / "whole")).code, 0);
  // Between the two epochs that are waited for: what was waited is in the checkpoint.
  ASSERT_EQ(train("--epochs 4 --checkpoint " + (scratch_ / "ck")).code, 0);
  ASSERT_EQ(
      train("--resume --checkpoint " + (scratch_ / "ck") + " --out " + (scratch_ / "resumed")).code,
      0);
  EXPECT_EQ(read_file(scratch_ / "whole"), read_file(scratch_ / "resumed"));
  ASSERT_EQ(gradc("compile " + (scratch_ / "m.json") + " -o " + (scratch_ / "native")).code, 0);
  const Outcome native = shell((scratch_ / "native") + " train --threads 2 --data " + data() +
                               " --out " + (scratch_ / "native.w"));
  ASSERT_EQ(native.code, 0) << native.output;
  EXPECT_NE(native.output.find("learning rate times 0.25"), std::string::npos) << native.output;
  EXPECT_EQ(read_file(scratch_ / "whole"), read_file(scratch_ / "native.w"));
}

TEST_F(Plateau, EndsAtTheLeastRate) {
  write_text_file(
      scratch_ / "m.json",
      model_text(
          "0.05",
          R"(, "reduce_on_plateau": {"monitor": "loss", "factor": 0.1, "patience": 1, "min_delta": 100,
          "min_learning_rate": 0.025})"));
  const Outcome done = train("--log " + (scratch_ / "log"));
  ASSERT_EQ(done.code, 0) << done.output;
  const std::string log = read_file(scratch_ / "log");
  const size_t first = log.find("\"rate_factor\":0.5}");
  ASSERT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find("rate_factor", first + 2), std::string::npos) << log;
}

TEST_F(Plateau, WithoutValidationDataIsOff) {
  write_text_file(scratch_ / "m.json", model_text("0.05", R"(, "reduce_on_plateau": {})"));
  const Outcome done = train("");
  EXPECT_EQ(done.code, 0) << done.output;
  EXPECT_NE(done.output.find("\"reduce_on_plateau\" is off: it monitors val_loss"),
            std::string::npos)
      << done.output;
}

}  // namespace
}  // namespace gradc::test
