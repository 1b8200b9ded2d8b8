// The same model, seed and data give the same bits in the weights: by JIT and by native binary,
// with one and two threads, after checkpoint and resume, and between two runs. On real data, tail
// batch included (60000 = 937 * 64 + 32); loops on made-up text.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

namespace gradc::test {
namespace {

const std::string kModel = source("examples/fashion_mnist_mlp.json");

/// Trains by JIT and gives the weights file's bytes.
std::string train_by_jit(const Scratch& scratch, const std::string& options, int seed = 7) {
  const std::string out = scratch / "jit.safetensors";
  const Outcome outcome = gradc("train " + kModel + " --data " + fashion_mnist() + " --seed " +
                                std::to_string(seed) + " --out " + out + " " + options);
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  return read_file(out);
}

TEST(SameBits, TwoRuns) {
  const Scratch scratch;
  const std::string first = train_by_jit(scratch, "--epochs 1");
  EXPECT_GT(first.size(), 400000U);
  EXPECT_TRUE(first == train_by_jit(scratch, "--epochs 1"));
  EXPECT_FALSE(first == train_by_jit(scratch, "--epochs 1", 8))
      << "the comparison must be able to fail";
}

TEST(SameBits, OneAndTwoThreads) {
  const Scratch scratch;
  EXPECT_TRUE(train_by_jit(scratch, "--epochs 1 --threads 1") ==
              train_by_jit(scratch, "--epochs 1 --threads 2"));
}

TEST(SameBits, JitAndNativeBinary) {
  const Scratch scratch;
  const Outcome compiled = gradc("compile " + kModel + " -o " + (scratch / "native"));
  ASSERT_EQ(compiled.code, 0) << compiled.output;
  const std::string out = scratch / "native.safetensors";
  const Outcome trained = shell((scratch / "native") + " train --data " + fashion_mnist() +
                                " --seed 7 --epochs 1 --threads 2 --out " + out);
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_TRUE(read_file(out) == train_by_jit(scratch, "--epochs 1"));
}

TEST(SameBits, CheckpointAndResume) {
  const Scratch scratch;
  const std::string whole = train_by_jit(scratch, "--epochs 2");
  const std::string checkpoint = " --checkpoint " + (scratch / "checkpoint.safetensors");
  train_by_jit(scratch, "--epochs 1" + checkpoint);
  EXPECT_TRUE(whole == train_by_jit(scratch, "--epochs 2 --resume" + checkpoint));
}

/// A small network of everything whose sums are of different kinds.
constexpr const char* kResidual =
    R"({"name": "residual", "inputs": [{"name": "image", "shape": [28, 28, 1]}], "layers": [
    {"type": "conv2d", "filters": 6, "kernel_size": 3, "strides": 3, "activation": "relu", "name": "a"},
    {"type": "batch_normalization"},
    {"type": "conv2d", "filters": 6, "kernel_size": 3, "padding": "same", "name": "b"},
    {"type": "add", "inputs": ["a", "b"]}, {"type": "average_pooling2d", "pool_size": 2}, {"type": "flatten"},
    {"type": "layer_normalization"}, {"type": "dropout", "rate": 0.2}, {"type": "dense", "units": 10, "name": "logits"}],
    "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true}, "optimizer": {"type": "adam"},
                 "metrics": [METRICS], "batch_size": 128, "epochs": 1}, "data": {"image": {"scale": 0.00392156862745098}}})";

std::string residual(const std::string& metrics) {
  std::string text = kResidual;
  return text.replace(text.find("METRICS"), 7, metrics);
}

std::string trained(const std::string& command, const std::string& out) {
  const Outcome outcome = shell(command + " --data " + fashion_mnist() +
                                " --seed 5 --epochs 1 --threads 2 --out " + out);
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  return read_file(out);
}

TEST(SameBits, AMetricMoreChangesNothing) {
  const Scratch scratch;
  std::string bits[2];
  for (const bool more : {false, true}) {
    const std::string model = scratch / "model.json";
    write_text_file(model,
                    residual(more ? R"("accuracy", "sparse_categorical_crossentropy")" : ""));
    bits[more ? 1 : 0] = trained(tool() + " train " + model, scratch / "out.safetensors");
  }
  EXPECT_TRUE(bits[0] == bits[1]);
}

TEST(SameBits, Avx2AndWhatThisMachineHas) {
  if (shell("uname -m").output != "x86_64\n") GTEST_SKIP() << "AVX2 is of x86-64";
  const Scratch scratch;
  const std::string model = scratch / "model.json";
  write_text_file(model, residual(R"("accuracy")"));
  const Outcome compiled = gradc("compile " + model + " --cpu x86-64-v3 -o " + (scratch / "avx2"));
  ASSERT_EQ(compiled.code, 0) << compiled.output;
  EXPECT_TRUE(trained((scratch / "avx2") + " train", scratch / "avx2.safetensors") ==
              trained(tool() + " train " + model, scratch / "jit.safetensors"));
}

TEST(SameBits, DropoutAndConvolutionsWithThreads) {
  const Scratch scratch;
  write_text_file(
      scratch / "model.json",
      R"({"name": "small_conv", "inputs": [{"name": "image", "shape": [28, 28, 1]}], "layers": [
    {"type": "conv2d", "filters": 4, "kernel_size": 3, "strides": 2, "activation": "relu"},
    {"type": "batch_normalization"}, {"type": "max_pooling2d", "pool_size": 2}, {"type": "flatten"}, {"type": "dropout", "rate": 0.3},
    {"type": "dense", "units": 10, "name": "logits"}],
    "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true}, "optimizer": {"type": "rmsprop"},
                 "metrics": ["accuracy"], "batch_size": 128, "epochs": 1}, "data": {"image": {"scale": 0.00392156862745098}}})");
  std::string bits[2];
  for (int threads = 1; threads <= 2; ++threads) {
    const std::string out = scratch / "out.safetensors";
    const Outcome outcome =
        gradc("train " + (scratch / "model.json") + " --data " + fashion_mnist() + " --threads " +
              std::to_string(threads) + " --out " + out);
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    bits[threads - 1] = read_file(out);
  }
  EXPECT_TRUE(bits[0] == bits[1]);
}

/// Loops with masks, in both directions, and products large enough to be laid out in panels.
constexpr const char* kRecurrent =
    R"({"name": "recurrent", "inputs": [{"name": "text", "shape": [12], "dtype": "int32"}], "layers": [
    {"type": "embedding", "input_dim": 7, "output_dim": 9},
    {"type": "bidirectional", "layer": {"type": "gru", "units": 11, "return_sequences": true, "dropout": 0.2}},
    {"type": "lstm", "units": 64, "return_sequences": true, "recurrent_dropout": 0.1},
    {"type": "dense", "units": 7, "name": "next"}],
    "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true}, "optimizer": {"type": "adam"},
                 "batch_size": 8, "epochs": 1}})";

TEST(SameBits, RecurrenceByThreadsBinaryAndAvx2) {
  const Scratch scratch;
  const std::string model = scratch / "model.json", text = scratch / "text.txt";
  write_text_file(model, kRecurrent);
  std::string letters;
  for (uint32_t i = 0, state = 1; i < 1300; ++i) {
    state = state * 1664525U + 1013904223U;
    letters += static_cast<char>('a' + (i % 3 + (state >> 30U)) % 7);
  }
  write_text_file(text, letters);
  const std::string out = scratch / "out.safetensors";
  const auto weights = [&](const std::string& command) {
    const Outcome outcome = shell(command + " --data " + text + ":chars --seed 5 --out " + out);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return read_file(out);
  };
  const std::string one = weights(tool() + " train " + model + " --threads 1");
  EXPECT_GT(one.size(), 80000U);
  for (const char* threads : {"2", "3"})
    EXPECT_TRUE(weights(tool() + " train " + model + " --threads " + threads) == one) << threads;
  for (const char* cpu : {"", " --cpu x86-64-v3"}) {
    if (*cpu != 0 && shell("uname -m").output != "x86_64\n") continue;
    const Outcome compiled = gradc("compile " + model + cpu + " -o " + (scratch / "native"));
    ASSERT_EQ(compiled.code, 0) << compiled.output;
    EXPECT_TRUE(weights((scratch / "native") + " train --threads 2") == one) << cpu;
  }
}

}  // namespace
}  // namespace gradc::test
