// The weights of the best epochs: which are kept, under which names, after kills and resumes, and
// by compiled programs.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <regex>
#include <set>

namespace gradc::test {
namespace {

constexpr const char* kModel = R"({"name": "small", "inputs": [{"name": "x", "shape": [3]}],
  "layers": [{"type": "dense", "units": 6, "activation": "tanh", "name": "hidden"},
             {"type": "dense", "units": 1, "name": "y"}],
  "training": {"loss": "mse", "metrics": ["mae"], "batch_size": 8, "seed": 5, "epochs": 8,
               "optimizer": {"type": "adam", "learning_rate": 0.2}}})";

class KeptEpochs : public ::testing::Test {
 protected:
  KeptEpochs() {
    std::mt19937 random(3);
    std::string text = "a,b,c,y\n";
    for (int row = 0; row < 60; ++row) {
      for (int column = 0; column < 4; ++column)
        text += "0." + std::to_string(100 + random() % 900) + (column < 3 ? "," : "\n");
    }
    write_text_file(scratch_ / "data.csv", text);
    write_text_file(scratch_ / "m.json", kModel);
  }
  std::string options() const {
    return " --validation-split 0.3 --data " + (scratch_ / "data.csv") + ":target=y ";
  }
  Outcome train(const std::string& more) {
    return gradc("train " + (scratch_ / "m.json") + options() + more);
  }
  /// Files of the folder that begin so.
  std::set<std::string> files(const std::string& beginning) const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(scratch_ / ""))
      if (entry.path().filename().string().starts_with(beginning))
        names.insert(entry.path().filename().string());
    return names;
  }
  /// The best epochs by a column of the log, as the names of their files.
  std::set<std::string> best(const std::string& log, const std::string& name, size_t count,
                             const std::string& stem, bool large = false) const {
    const std::string text = read_file(scratch_ / log);
    const std::regex line("\"epoch\":([0-9]+).*\"" + name + "\":([-0-9.e]+)");
    std::vector<std::pair<double, int>> epochs;
    std::istringstream lines(text);
    for (std::string one; std::getline(lines, one);) {
      std::smatch found;
      if (std::regex_search(one, found, line))
        epochs.emplace_back((large ? -1 : 1) * std::stod(found[2]), std::stoi(found[1]));
    }
    std::sort(epochs.begin(), epochs.end());
    std::set<std::string> names;
    for (size_t i = 0; i < std::min(count, epochs.size()); ++i) {
      char prefix[64];
      std::snprintf(prefix, sizeof prefix, "%s.epoch%03d.%s", stem.c_str(), epochs[i].second,
                    name.c_str());
      names.insert(prefix);
    }
    return names;
  }
  /// Each name begins with one of these, and each of these begins one.
  static void expect_are(const std::set<std::string>& names, const std::set<std::string>& wanted) {
    ASSERT_EQ(names.size(), wanted.size());
    for (auto a = names.begin(), b = wanted.begin(); a != names.end(); ++a, ++b) {
      EXPECT_TRUE(a->starts_with(*b)) << *a << " " << *b;
      EXPECT_TRUE(a->ends_with(".safetensors")) << *a;
    }
  }

  Scratch scratch_;
};

TEST_F(KeptEpochs, AreTheBest) {
  const Outcome done = train("--keep-best 3 --out " + (scratch_ / "run.safetensors") + " --log " +
                             (scratch_ / "log"));
  ASSERT_EQ(done.code, 0) << done.output;
  const auto names = files("run.epoch");
  expect_are(names, best("log", "val_loss", 3, "run"));
  for (const std::string& name : names) {
    EXPECT_NE(done.output.find("kept: " + (scratch_ / name)), std::string::npos) << done.output;
    // The value in the name is that of the weights in the file, to four digits.
    std::smatch found;
    ASSERT_TRUE(std::regex_search(name, found, std::regex("val_loss([0-9.e-]+)\\.safetensors")));
    EXPECT_LE(std::string(found[1]).size(), 8U);
  }
  // The same numbers as weights that are written at the end of that epoch.
  const std::string first = *names.begin();
  const int epoch = std::stoi(first.substr(std::string("run.epoch").size(), 3));
  ASSERT_EQ(train("--epochs " + std::to_string(epoch) + " --out " + (scratch_ / "short")).code, 0);
  EXPECT_EQ(read_file(scratch_ / first), read_file(scratch_ / "short"));
}

TEST_F(KeptEpochs, ByAMetricThatIsBetterWhenLarge) {
  const std::string out = "--keep-best 2 --out " + (scratch_ / "run.safetensors");
  const Outcome unclear = train(out + " --keep-by val_mae");
  EXPECT_EQ(unclear.code, 2) << unclear.output;
  EXPECT_NE(unclear.output.find("max:val_mae or min:val_mae"), std::string::npos) << unclear.output;
  const Outcome done = train(out + " --keep-by max:val_mae --log " + (scratch_ / "log"));
  ASSERT_EQ(done.code, 0) << done.output;
  expect_are(files("run.epoch"), best("log", "val_mae", 2, "run", true));
}

TEST_F(KeptEpochs, AResumedTrainingGoesOnWithThem) {
  ASSERT_EQ(train("--keep-best 3 --out " + (scratch_ / "whole.safetensors")).code, 0);
  const std::string resumed = "--keep-best 3 --checkpoint " + (scratch_ / "run.ck") + " --out " +
                              (scratch_ / "run.safetensors");
  ASSERT_EQ(train(resumed + " --epochs 3").code, 0);
  EXPECT_EQ(files("run.epoch").size(), 3U);
  // Not one of ours, whatever its name says.
  write_text_file(scratch_ / "run.epoch001.val_loss9.safetensors", "mine");
  const Outcome other = train(resumed + " --resume --keep-by loss");
  EXPECT_EQ(other.code, 1) << other.output;
  EXPECT_NE(other.output.find("made with the best epochs by val_loss"), std::string::npos)
      << other.output;
  ASSERT_EQ(train(resumed + " --resume --epochs 6").code, 0);
  ASSERT_EQ(train(resumed + " --resume").code, 0);
  EXPECT_EQ(read_file(scratch_ / "run.epoch001.val_loss9.safetensors"), "mine");
  std::filesystem::remove(scratch_ / "run.epoch001.val_loss9.safetensors");
  const auto names = files("run.epoch"), whole = files("whole.epoch");
  ASSERT_EQ(names.size(), whole.size());
  for (auto a = names.begin(), b = whole.begin(); a != names.end(); ++a, ++b) {
    EXPECT_EQ(a->substr(3), b->substr(5));
    EXPECT_EQ(read_file(scratch_ / *a), read_file(scratch_ / *b));
  }
}

TEST_F(KeptEpochs, CompiledProgramsKeepTheSame) {
  ASSERT_EQ(train("--keep-best 2 --out " + (scratch_ / "run.safetensors")).code, 0);
  ASSERT_EQ(gradc("compile " + (scratch_ / "m.json") + " -o " + (scratch_ / "native")).code, 0);
  const Outcome native =
      shell((scratch_ / "native") + " train" + options() + "--threads 2 --keep-best 2 --out " +
            (scratch_ / "native.safetensors"));
  ASSERT_EQ(native.code, 0) << native.output;
  const auto names = files("run.epoch"), others = files("native.epoch");
  ASSERT_EQ(names.size(), 2U);
  ASSERT_EQ(others.size(), 2U);
  for (auto a = names.begin(), b = others.begin(); a != names.end(); ++a, ++b) {
    EXPECT_EQ(a->substr(3), b->substr(6));
    EXPECT_EQ(read_file(scratch_ / *a), read_file(scratch_ / *b));
  }
}

TEST_F(KeptEpochs, WhatCannotBeIsRefused) {
  EXPECT_EQ(train("--keep-best 2").code, 2);
  EXPECT_EQ(train("--keep-by loss --out " + (scratch_ / "w")).code, 2);
  EXPECT_EQ(train("--keep-best 2 --out -").code, 1);
  const Outcome unknown = train("--keep-best 2 --keep-by max:val_auc --out " + (scratch_ / "w"));
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.output.find("monitors \"val_auc\""), std::string::npos) << unknown.output;
  EXPECT_TRUE(files("w").empty());
}

}  // namespace
}  // namespace gradc::test
