// Losses of one's own, and models without targets, through the command and compiled programs.
#include "runtime/safetensors.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <vector>

namespace gradc::test {
namespace {

/// A file of named arrays [rows, width].
void write_arrays(const std::string& path, const std::vector<std::string>& names, int64_t rows,
                  int64_t width) {
  std::mt19937 random(7);
  std::vector<std::vector<float>> values;
  const std::array<int64_t, 2> dims = {rows, width};
  rt::Vec<rt::TensorView> views;
  for (const std::string& name : names) {
    std::vector<float>& numbers = values.emplace_back(static_cast<size_t>(rows * width));
    for (float& x : numbers)
      x = std::uniform_real_distribution<float>(-1.0F, 1.0F)(random);
    views.push({name.c_str(),
                rt::Dtype::kF32,
                {dims.data(), 2},
                numbers.data(),
                numbers.size() * sizeof(float)});
  }
  ASSERT_TRUE(rt::write_safetensors(path.c_str(), views.span(), {}).ok());
}

/// The losses of the epochs in a log.
std::vector<double> losses_of(const std::string& log) {
  std::vector<double> losses;
  for (size_t at = log.find("\"loss\":"); at != std::string::npos;
       at = log.find("\"loss\":", at + 1))
    losses.push_back(std::atof(log.c_str() + at + 7));
  return losses;
}

TEST(OwnLosses, GivenTripletsTrainWithoutATarget) {
  const Scratch scratch;
  write_arrays(scratch / "t.safetensors", {"anchor", "positive", "negative"}, 70, 16);
  const std::string model = source("examples/triplets.json");
  const std::string data = " --data " + (scratch / "t.safetensors");
  const Outcome checked = gradc("check " + model);
  EXPECT_EQ(checked.code, 0) << checked.output;
  const Outcome done = gradc("train " + model + data + " --log " + (scratch / "log") + " --out " +
                             (scratch / "w.safetensors") + " --validation-split 0.1");
  ASSERT_EQ(done.code, 0) << done.output;
  const std::vector<double> losses = losses_of(read_file(scratch / "log"));
  ASSERT_EQ(losses.size(), 10U);
  EXPECT_LT(losses.back(), 0.8 * losses.front());
  const Outcome judged =
      gradc("eval " + model + data + " --weights " + (scratch / "w.safetensors"));
  EXPECT_EQ(judged.code, 0) << judged.output;
  const Outcome told =
      gradc("predict " + model + " --in " + (scratch / "t.safetensors") + " --weights " +
            (scratch / "w.safetensors") + " --out " + (scratch / "codes.safetensors"));
  EXPECT_EQ(told.code, 0) << told.output;
  ASSERT_EQ(gradc("compile " + model + " -o " + (scratch / "native")).code, 0);
  const Outcome native = shell((scratch / "native") + " train --threads 2" + data + " --out " +
                               (scratch / "n.safetensors") + " --validation-split 0.1");
  ASSERT_EQ(native.code, 0) << native.output;
  EXPECT_EQ(read_file(scratch / "w.safetensors"), read_file(scratch / "n.safetensors"));
}

/// A network that gives back what it sees: its input is one of its outputs.
constexpr const char* kAutoencoder = R"json({"inputs": [{"name": "x", "shape": [6]}], "layers": [
  {"type": "dense", "units": 3, "activation": "tanh", "name": "code"},
  {"type": "dense", "units": 6, "name": "again"},
  {"type": "activation", "activation": "linear", "name": "seen", "inputs": "x"}],
  "outputs": ["again", "seen", "code"],
  "training": {"loss": {"type": "formula",
                        "value": "mean((again - seen)^2) + 0.001 * mean(square(code))"},
               "optimizer": {"type": "adam", "learning_rate": 0.01}, "batch_size": 16,
               "epochs": 6}})json";

TEST(OwnLosses, AnAutoencoderReadsItsInputAlone) {
  const Scratch scratch;
  write_text_file(scratch / "m.json", kAutoencoder);
  std::string table = "a,b,c,d,e,f\n";
  for (int row = 0; row < 40; ++row)
    for (int column = 0; column < 6; ++column)
      table += std::to_string(std::sin(row * 0.7 + column)) + (column < 5 ? "," : "\n");
  write_text_file(scratch / "t.csv", table);
  const Outcome done = gradc("train " + (scratch / "m.json") + " --data " + (scratch / "t.csv") +
                             " --log " + (scratch / "log"));
  ASSERT_EQ(done.code, 0) << done.output;
  const std::vector<double> losses = losses_of(read_file(scratch / "log"));
  ASSERT_EQ(losses.size(), 6U);
  EXPECT_LT(losses.back(), losses.front());
}

TEST(OwnLosses, GradientsAgreeWithFiniteDifferences) {
  const Scratch scratch;
  const auto check = [&](const std::string& training) {
    write_text_file(scratch / "m.json", R"({"inputs": [{"name": "x", "shape": [4]}],
      "layers": [{"type": "dense", "units": 5, "activation": "tanh", "name": "code"},
                 {"type": "dense", "units": 3, "name": "y"}], "outputs": ["y", "code"],
      "training": {"optimizer": "sgd", "batch_size": 3, )" +
                                            training + "}}");
    const Outcome outcome = gradc("check " + (scratch / "m.json"));
    EXPECT_EQ(outcome.code, 0) << training << "\n" << outcome.output;
  };
  for (const char* value :
       {"huber(y) + 0.01 * mean(square(code))", "log(1 + exp(-target(y) * y))",
        "sum(abs(y[1:] - y[:-1])) + max(code)", "where(y > target(y), y^3, 0.2 * y)",
        "kld(softmax(y), softmax(target(y))) + mse(code[:3], y)"}) {
    check(R"("loss": {"type": "formula", "value": ")" + std::string(value) + "\"}");
  }
  write_text_file(scratch / "f.gir", R"(graph @f {
  input %output : f32[BxN]
  input %target : f32[BxN]
  input %counts : f32[B]
forward:
  %error  = sub %output, %target
  %square = mul %error, %error
  %rows   = reduce_sum %square {axes=[1]}
  %kept   = mul %rows, %counts
  %sum    = reduce_sum %kept {axes=[0]}
  %value  = log %sum
  return %value
})");
  check(R"("losses": {"y": {"type": "gir", "file": "f.gir"}})");
}

// What Keras has not is left out, and said.
TEST(OwnLosses, AreLeftOutOfKerasFiles) {
  const Scratch scratch;
  write_text_file(scratch / "m.json", R"({"inputs": [{"name": "x", "shape": [4]}],
    "layers": [{"type": "dense", "units": 3, "name": "y"}],
    "training": {"optimizer": "sgd", "loss": {"type": "formula", "value": "(output - target)^4"}}})");
  const Outcome outcome = gradc("convert " + (scratch / "m.json") + " -o " + (scratch / "m.keras"));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("the loss \"formula\", which Keras does not have"),
            std::string::npos)
      << outcome.output;
}

}  // namespace
}  // namespace gradc::test
