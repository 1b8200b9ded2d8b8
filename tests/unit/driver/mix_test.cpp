// Training on mixed and cut examples: the same bits by threads, by native binary and after resume;
// evaluation meets examples as they are.
#include "tests/support/png_file.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <regex>
#include <vector>

namespace gradc::test {
namespace {

std::string model(const std::string& loss, const std::string& augment,
                  const std::string& training = "") {
  return R"({"inputs": [{"name": "image", "shape": [8, 8]}],
  "layers": [{"type": "flatten"}, {"type": "dense", "units": 16, "activation": "relu"},
             {"type": "dense", "units": 4, "activation": "softmax", "name": "y"}],
  "training": {"loss": ")" +
         loss +
         R"(", "optimizer": "adam", "metrics": ["accuracy"], "batch_size": 32, "epochs": 3, "seed": 4)" +
         training + R"(},
  "data": {"image": {"scale": 0.00392156862745098, "augment": {)" +
         augment + "}}}}";
}

constexpr const char* kAll =
    R"("flip_horizontal": true, "flip_vertical": true, "shift": 1, "noise": 0.05, "cutout": 3,
       "mixup": 0.4, "cutmix": 1)";

class Mixing : public ::testing::Test {
 protected:
  /// 300 images of four classes: each has another quarter bright.
  void SetUp() override {
    std::filesystem::create_directories(scratch_ / "idx");
    std::string images =
        std::string("\0\0\10\3", 4) + big_endian(300) + big_endian(8) + big_endian(8);
    std::string labels = std::string("\0\0\10\1", 4) + big_endian(300);
    uint32_t state = 1;
    for (uint32_t i = 0; i < 300; ++i) {
      const uint32_t one = i % 4;
      labels += static_cast<char>(one);
      for (uint32_t p = 0; p < 64; ++p) {
        state = state * 1664525U + 1013904223U;
        const bool bright = (p / 32) == one / 2 && (p % 8) / 4 == one % 2;
        images += static_cast<char>((state >> 25) + (bright ? 128 : 0));
      }
    }
    write_text_file(scratch_ / "idx/train-images-idx3-ubyte", images);
    write_text_file(scratch_ / "idx/train-labels-idx1-ubyte", labels);
  }
  std::string train(const std::string& program, const std::string& options) {
    const std::string out = scratch_ / "out.safetensors";
    const Outcome outcome =
        shell(program + " --data " + (scratch_ / "idx") + " --out " + out + " " + options);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    output_ = outcome.output;
    return read_file(out);
  }
  double told(const std::string& name) const {
    std::smatch found;
    const std::regex number("[^_]" + name + " ([0-9.e+-]+)");
    return std::regex_search(output_, found, number) ? std::stod(found[1].str()) : -1;
  }

  Scratch scratch_;
  std::string output_;
};

TEST_F(Mixing, BitsAreThoseOfAnyThreadsOfTheBinaryAndOfResuming) {
  write_text_file(scratch_ / "m.json", model("categorical_crossentropy", kAll));
  const std::string jit = tool() + " train " + (scratch_ / "m.json");
  const std::string one = train(jit, "--threads 1");
  EXPECT_GT(one.size(), 4000U);
  for (const char* threads : {"2", "7"})
    EXPECT_TRUE(one == train(jit, std::string("--threads ") + threads)) << threads;
  EXPECT_FALSE(one == train(jit, "--seed 5")) << "the comparison must be able to fail";

  const std::string checkpoint = "--threads 2 --checkpoint " + (scratch_ / "ck");
  train(jit, checkpoint + " --epochs 1");
  EXPECT_TRUE(one == train(jit, checkpoint + " --resume"));

  const Outcome compiled =
      gradc("compile " + (scratch_ / "m.json") + " -o " + (scratch_ / "native"));
  ASSERT_EQ(compiled.code, 0) << compiled.output;
  EXPECT_TRUE(one == train((scratch_ / "native") + " train", "--threads 2"));
}

TEST_F(Mixing, ARunThatMixesOtherwiseIsNoContinuation) {
  write_text_file(scratch_ / "m.json", model("categorical_crossentropy", R"("mixup": 0.4)"));
  write_text_file(scratch_ / "o.json",
                  model("categorical_crossentropy", R"("mixup": 0.3, "cutout": 2)"));
  const std::string options =
      " --data " + (scratch_ / "idx") + " --checkpoint " + (scratch_ / "ck");
  ASSERT_EQ(gradc("train " + (scratch_ / "m.json") + options + " --epochs 1").code, 0);
  const Outcome other = gradc("train " + (scratch_ / "o.json") + options + " --resume");
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.output.find("mixup=0.3"), std::string::npos) << other.output;
}

// With a rate that moves nothing, the training loss is that of what is trained on: mixtures for the
// one, the examples themselves for the other, and what is validated is the same for both.
TEST_F(Mixing, TrainingMeetsMixturesAndValidationDoesNot) {
  const std::string still = R"(, "validation_split": 0.25)";
  double loss[2], validation[2];
  for (const bool mixed : {false, true}) {
    std::string text = model("mse", mixed ? R"("mixup": 1)" : "", still);
    text.replace(text.rfind("}}}"), 3, R"(}, "y": {"one_hot": 4}}})");
    text.replace(text.find("\"adam\""), 6, R"({"type": "sgd", "learning_rate": 1e-12})");
    write_text_file(scratch_ / "m.json", text);
    train(tool() + " train " + (scratch_ / "m.json"), "--epochs 1 --no-warn learning-rate");
    loss[mixed ? 1 : 0] = told("loss");
    validation[mixed ? 1 : 0] = told("val_loss");
  }
  EXPECT_GT(validation[0], 0);
  EXPECT_EQ(validation[0], validation[1]);
  EXPECT_LT(loss[1], 0.9 * loss[0]) << "mixed rows are nearer to the guess of all classes alike";
}

TEST_F(Mixing, TheModelOfThePageTrains) {
  const std::string page = read_file(source("docs/data.md"));
  const size_t begin = page.find("```json\n", page.find("### More of few images")) + 8;
  write_text_file(scratch_ / "m.json", page.substr(begin, page.find("```", begin) - begin));
  for (uint32_t i = 0; i < 40; ++i) {
    std::vector<uint8_t> pixels(size_t{32} * 32 * 3);
    for (size_t p = 0; p < pixels.size(); ++p)
      pixels[p] = static_cast<uint8_t>(p * 31 % 97 + (p % 3 == i % 2 ? 120 : i));
    const std::string folder = scratch_ / ("images/" + std::string(i % 2 == 0 ? "red" : "green"));
    std::filesystem::create_directories(folder);
    write_text_file(folder + "/" + std::to_string(100 + i) + ".png",
                    png_bytes(pixels.data(), 32, 32, 3));
  }
  const Outcome outcome = gradc("train " + (scratch_ / "m.json") + " --data " +
                                (scratch_ / "images") + ":validation=0.2 --epochs 12");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("val_accuracy 1"), std::string::npos) << outcome.output;
}

TEST_F(Mixing, MixedTrainingStillLearns) {
  for (const char* augment : {R"("mixup": 0.2)", R"("cutmix": 1)", R"("cutout": 3)"}) {
    write_text_file(scratch_ / "m.json", model("categorical_crossentropy", augment));
    train(tool() + " train " + (scratch_ / "m.json"), "--epochs 15 --validation-split 0.2");
    std::smatch last;
    ASSERT_TRUE(
        std::regex_search(output_, last, std::regex("epoch 15/15[^\n]*val_accuracy ([0-9.]+)")))
        << output_;
    EXPECT_GE(std::stod(last[1].str()), 0.95) << augment << output_;
  }
}

}  // namespace
}  // namespace gradc::test
