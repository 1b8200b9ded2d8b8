// Averages of weights, several steps for one update, and rates of layers, through whole trainings:
// what is validated and written, and what a checkpoint goes on with.
#include "runtime/dtype.h"
#include "runtime/safetensors.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <random>

namespace gradc::test {
namespace {

/// 40 rows in batches of 8, of which 8 are for validation.
std::string model_text(const std::string& optimizer, const std::string& more = "") {
  return R"({"name": "small", "inputs": [{"name": "x", "shape": [3]}],
  "layers": [{"type": "dense", "units": 6, "activation": "tanh", "name": "hidden"},
             {"type": "batch_norm", "name": "norm"},
             {"type": "dense", "units": 1, "name": "y", "learning_rate_multiplier": 0.5}],
  "training": {"loss": "mse", "batch_size": 8, "seed": 5, "validation_split": 0.2)" +
         more + R"(, "optimizer": )" + optimizer + "}}";
}

std::string table(int first, int rows) {
  std::mt19937 random(3);
  std::string text = "a,b,c,y\n";
  for (int row = 0; row < first + rows; ++row) {
    std::string line;
    for (int column = 0; column < 4; ++column)
      line += "0." + std::to_string(100 + random() % 900) + (column < 3 ? "," : "\n");
    if (row >= first) text += line;
  }
  return text;
}

class Averages : public ::testing::Test {
 protected:
  Averages() {
    write_text_file(scratch_ / "data.csv", table(0, 40));
    write_text_file(scratch_ / "validation.csv", table(32, 8));
  }
  Outcome train(const std::string& options) {
    return gradc("train " + (scratch_ / "m.json") + " --data " + data() + " " + options);
  }
  std::string data() const { return (scratch_ / "data.csv") + ":target=y"; }
  rt::SafetensorsFile read(const std::string& name) const {
    rt::SafetensorsFile file;
    EXPECT_TRUE(rt::read_safetensors((scratch_ / name).c_str(), &file).ok());
    return file;
  }
  /// The number behind a name in one line of JSON.
  static std::string number_of(const std::string& text, const std::string& name) {
    const std::string key = "\"" + name + "\":";
    const size_t at = text.rfind(key);
    EXPECT_NE(at, std::string::npos) << text;
    if (at == std::string::npos) return {};
    const size_t begin = at + key.size();
    return text.substr(begin, text.find_first_of(",}", begin) - begin);
  }

  Scratch scratch_;
};

constexpr const char* kAveraged =
    R"({"type": "adam", "learning_rate": 0.05, "use_ema": true, "ema_momentum": 0.9})";

TEST_F(Averages, AreValidatedAndWritten) {
  write_text_file(scratch_ / "m.json", model_text(kAveraged));
  const Outcome done = train("--epochs 4 --log " + (scratch_ / "log") + " --checkpoint " +
                             (scratch_ / "ck") + " --out " + (scratch_ / "w"));
  ASSERT_EQ(done.code, 0) << done.output;
  const rt::SafetensorsFile written = read("w"), checkpoint = read("ck");
  for (const char* name : {"hidden/kernel", "hidden/bias", "norm/gamma", "y/kernel"}) {
    const std::string average = std::string("optimizer/") + name + "/average";
    ASSERT_NE(checkpoint.find(average.c_str()), nullptr) << name;
    const rt::Array& own = *checkpoint.find(average.c_str());
    ASSERT_NE(written.find(name), nullptr) << name;
    EXPECT_TRUE(std::equal(own.data.begin(), own.data.end(), written.find(name)->data.begin()))
        << name;
    const rt::Array& raw = *checkpoint.find(name);
    EXPECT_FALSE(std::equal(own.data.begin(), own.data.end(), raw.data.begin())) << name;
  }
  // What was logged of the last epoch is what the written weights give.
  const Outcome judged =
      gradc("eval " + (scratch_ / "m.json") + " --data " + (scratch_ / "validation.csv") +
            ":target=y --json --weights " + (scratch_ / "w"));
  ASSERT_EQ(judged.code, 0) << judged.output;
  EXPECT_EQ(number_of(read_file(scratch_ / "log"), "val_loss"), number_of(judged.output, "loss"));
}

// Interrupted in the middle of an update, resumed, and by a native binary: the same bits.
TEST_F(Averages, GoOnWhereACheckpointEnds) {
  const char* optimizers[] = {
      kAveraged,
      R"({"type": "momentum", "gradient_accumulation_steps": 3, "use_ema": true,
          "ema_overwrite_frequency": 2})",
      R"({"type": "muon", "learning_rate": 0.01, "gradient_accumulation_steps": 3,
          "exclude_layers": "y/"})",
  };
  for (const char* optimizer : optimizers) {
    const std::string best = R"(, "early_stopping": {"patience": 9, "restore_best_weights": true})";
    write_text_file(scratch_ / "m.json", model_text(optimizer, best));
    for (const char* name : {"ck", "whole", "resumed", "native", "native.w"})
      std::filesystem::remove(scratch_ / name);
    ASSERT_EQ(train("--epochs 5 --out " + (scratch_ / "whole")).code, 0);
    ASSERT_EQ(train("--epochs 2 --checkpoint " + (scratch_ / "ck")).code, 0);
    ASSERT_EQ(train("--epochs 5 --resume --checkpoint " + (scratch_ / "ck") + " --out " +
                    (scratch_ / "resumed"))
                  .code,
              0);
    EXPECT_EQ(read_file(scratch_ / "whole"), read_file(scratch_ / "resumed")) << optimizer;
    ASSERT_EQ(gradc("compile " + (scratch_ / "m.json") + " -o " + (scratch_ / "native")).code, 0);
    ASSERT_EQ(shell((scratch_ / "native") + " train --threads 3 --data " + data() +
                    " --epochs 5 --out " + (scratch_ / "native.w"))
                  .code,
              0);
    EXPECT_EQ(read_file(scratch_ / "whole"), read_file(scratch_ / "native.w")) << optimizer;
  }
}

}  // namespace
}  // namespace gradc::test
