// Recordings through the command: a folder for each class, a list of files, and what is refused;
// and the spoken digits of docs/data.md, by the commands that stand there.
#include "tests/support/wav_file.h"
#include "tests/unit/driver/command.h"
#include "tests/unit/driver/page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>
#include <regex>

namespace gradc::test {
namespace {

namespace fs = std::filesystem;

constexpr int kRate = 8000;
constexpr const char* kTones[] = {"high", "low", "middle"};
constexpr double kHertz[] = {1800, 350, 800};

constexpr const char* kModel = R"({"inputs": [{"name": "sound", "shape": [30, 16]}],
  "layers": [{"type": "global_average_pooling1d"}, {"type": "dense", "units": 3, "name": "y"}],
  "training": {"loss": {"type": "scce", "from_logits": true}, "optimizer": {"type": "adam", "learning_rate": 0.05},
               "metrics": ["accuracy"], "batch_size": 10, "epochs": 15, "seed": 4},
  "data": {"sound": {"sound": {"rate": 8000, "log_mel": {}}, "standardize": true}}})";

/// A tone about that high, of about a third of a second, with noise.
std::string tone(double hertz, unsigned seed) {
  std::mt19937 random(seed);
  const auto uniform = [&random] { return static_cast<double>(random()) / 4294967296.0; };
  const double step = 2 * std::numbers::pi * hertz * (0.9 + 0.2 * uniform()) / kRate;
  std::vector<int16_t> samples(2000 + random() % 1500);
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i] = static_cast<int16_t>(9000 * std::sin(step * static_cast<double>(i)) +
                                      2000 * (uniform() - 0.5));
  }
  return wav_bytes(samples, kRate);
}

class Tones : public ::testing::Test {
 protected:
  void SetUp() override {
    write_text_file(scratch_ / "m.json", kModel);
    std::string list = "file,pitch,part\n";
    for (unsigned i = 0; i < 90; ++i) {
      const std::string kind = kTones[i % 3];
      const std::string name = "tones/" + kind + "/" + std::to_string(100 + i) + ".wav";
      fs::create_directories(scratch_ / ("tones/" + kind));
      write_text_file(scratch_ / name, tone(kHertz[i % 3], i));
      list += name + "," + kind + "," + (i % 5 == 4 ? "test" : "train") + "\n";
    }
    write_text_file(scratch_ / "list.csv", list);
  }
  Outcome here(const std::string& arguments) const {
    return shell("cd " + (scratch_ / ".") + " && " + tool() + " " + arguments);
  }
  static double last(const std::string& text, const std::string& what) {
    std::smatch found;
    const std::regex pattern("[^]*" + what + " ([0-9.]+)");
    return std::regex_search(text, found, pattern) ? std::stod(found[1].str()) : -1;
  }
  void expect_refused(const std::string& arguments, const std::string& message) const {
    const Outcome outcome = here(arguments);
    EXPECT_EQ(outcome.code, 1) << arguments;
    EXPECT_NE(outcome.output.find(message), std::string::npos) << outcome.output;
  }

  Scratch scratch_;
};

TEST_F(Tones, NewLooksAtAFolderAndItsModelLearns) {
  const Outcome made = here("new sound tones -o new.json");
  ASSERT_EQ(made.code, 0) << made.output;
  EXPECT_NE(made.output.find("90 files of 3 classes: \"high\" (30), \"low\" (30), \"middle\" (30)"),
            std::string::npos)
      << made.output;
  EXPECT_NE(made.output.find("train it: gradc train new.json --data tones:validation=0.15 --out"),
            std::string::npos)
      << made.output;
  const Outcome trained =
      here("train new.json --data tones:validation=0.15:test=0.2 --epochs 8 --out w.safetensors");
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_GT(last(trained.output, "test [^\n]*accuracy"), 0.9) << trained.output;
  // One file, with the names of the folders as classes.
  const Outcome predicted =
      here("predict new.json --weights w.safetensors --in tones/low/101.wav --out p.csv");
  ASSERT_EQ(predicted.code, 0) << predicted.output;
  EXPECT_EQ(read_file(scratch_ / "p.csv").substr(0, 31), "prediction,high,low,middle\nlow,");
}

TEST_F(Tones, AListOfFilesSaysClassesAndParts) {
  const Outcome listed =
      here("train m.json --data list.csv:files=file:target=pitch:part=part --out l.safetensors");
  ASSERT_EQ(listed.code, 0) << listed.output;
  EXPECT_EQ(last(listed.output, "test [^\n]*accuracy"), 1.0) << listed.output;
  const Outcome tested =
      here("eval m.json --weights l.safetensors --data list.csv:files=file:target=pitch:part=part");
  EXPECT_NE(tested.output.find("18 examples (test)"), std::string::npos) << tested.output;
  const Outcome folder = here("eval m.json --weights l.safetensors --data tones");
  EXPECT_EQ(last(folder.output, "accuracy"), 1.0) << folder.output;
  const Outcome predicted =
      here("predict m.json --weights l.safetensors --in list.csv:files=file --out p.csv");
  ASSERT_EQ(predicted.code, 0) << predicted.output;
  const std::string table = read_file(scratch_ / "p.csv");
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 91);
  // The same files, drawn: every run draws the same.
  const std::string drawn = "train m.json --data tones:test=0.2:seed=3 --threads ";
  const Outcome one = here(drawn + "1"), two = here(drawn + "2");
  EXPECT_EQ(last(one.output, "test [^\n]*loss"), last(two.output, "test [^\n]*loss"));
}

TEST_F(Tones, WhatIsWrongIsTold) {
  expect_refused("train m.json --data list.csv:files=file:target=pitch:part=pitch", "is named by");
  expect_refused("train m.json --data list.csv:files=file:target=file", "is named by");
  expect_refused("train m.json --data list.csv:files=pitch:target=part", "cannot be read");
  expect_refused("train m.json --data list.csv:files=file:target=pitch:part=part:test=0.1",
                 "part= says which rows are of which part");
  expect_refused("train m.json --data tones:test=0.1:target=a", "behind a folder stand");
  write_text_file(scratch_ / "tones/low/101.wav", "no sound");
  write_text_file(scratch_ / "tones/low/104.wav", wav_bytes(std::vector<int16_t>(99, 1), 16000));
  expect_refused("train m.json --data tones", "101.wav: cannot be read");
  expect_refused("train m.json --data tones",
                 "104.wav: has 16000 samples a second, the model takes 8000");
  expect_refused("new sound tones", "01.wav: cannot be read");
  std::string image(kModel);
  image.replace(image.find("{\"sound\": {\"sound\""), std::string::npos, "{}}");
  write_text_file(scratch_ / "image.json", image);
  expect_refused("train image.json --data tones", "takes recordings");
  std::string many(kModel);
  many.replace(many.find("30, 16"), 6, "30, 90");
  write_text_file(scratch_ / "many.json", many);
  expect_refused("train many.json --data tones", "has no frequency of a transform of 256 samples");
}

TEST(SpokenDigits, TheCommandsOfThePageTellThemApart) {
  const std::string digits = shared_data("fsdd/pcm_s16le_8khz.npy.gz");
  if (digits.empty()) GTEST_SKIP() << "no data: GRADC_DATA names the folder";
  const Scratch scratch;
  ASSERT_EQ(shell("/usr/bin/python3 " + source("scripts/prepare_data") + " fsdd " +
                  fs::path(digits).parent_path().string() + " " + (scratch / "recordings"))
                .code,
            0);
  fs::create_directories(scratch / "digits");
  for (const auto& file : fs::directory_iterator(scratch / "recordings")) {
    const std::string name = file.path().filename().string();
    if (!name.ends_with(".wav")) continue;
    fs::create_directories(scratch / ("digits/" + name.substr(0, 1)));
    fs::create_symlink(file.path(), scratch / ("digits/" + name.substr(0, 1) + "/" + name));
  }
  fs::copy(source("examples/spoken_digits.json"), scratch / "spoken_digits.json");
  std::vector<double> scores;
  for (const std::string& line : page_commands("My sound")) {
    const Outcome outcome = shell("cd " + (scratch / ".") + " && " +
                                  std::regex_replace(line, std::regex("^gradc "), tool() + " "));
    ASSERT_EQ(outcome.code, 0) << line << "\n" << outcome.output;
    std::smatch found;
    if (std::regex_search(outcome.output, found, std::regex("test [^\n]*accuracy ([0-9.]+)")))
      scores.push_back(std::stod(found[1].str()));
  }
  ASSERT_EQ(scores.size(), 2U);
  std::printf("spoken digits: new sound %.4f, spoken_digits.json %.4f\n", scores[0], scores[1]);
  EXPECT_GE(scores[0], 0.9);
  EXPECT_GE(scores[1], 0.9);
}

}  // namespace
}  // namespace gradc::test
