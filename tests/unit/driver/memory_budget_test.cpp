// --memory-budget: less memory never changes a bit, never asks for more, and what is impossible is
// refused with what would do.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gradc::test {
namespace {

struct Net {
  const char* name;
  bool tokens;
  int64_t classes;
  const char* json;
};

constexpr Net kNets[] = {
    {"convolutions", false, 10, R"({"inputs": [{"name": "x", "shape": [12, 12, 3]}], "layers": [
      {"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same", "activation": "gelu"},
      {"type": "batch_normalization"}, {"type": "activation", "activation": "relu"},
      {"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same", "activation": "tanh"},
      {"type": "dropout", "rate": 0.3},
      {"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same", "activation": "gelu"},
      {"type": "batch_normalization"},
      {"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same", "activation": "swish"},
      {"type": "max_pooling2d", "pool_size": 2}, {"type": "flatten"}, {"type": "dense", "units": 10, "name": "y"}],
      "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
                   "optimizer": "adam", "batch_size": 16}})"},
    {"attention", true, 50,
     R"({"inputs": [{"name": "x", "shape": [24], "dtype": "int32"}], "layers": [
      {"type": "token_and_position_embedding", "vocabulary_size": 50, "sequence_length": 24, "embedding_dim": 32},
      {"type": "layer_normalization"},
      {"type": "multi_head_attention", "num_heads": 4, "key_dim": 8, "use_causal_mask": true},
      {"type": "layer_normalization"}, {"type": "dense", "units": 128, "activation": "gelu"},
      {"type": "dropout", "rate": 0.2}, {"type": "dense", "units": 32, "activation": "tanh"},
      {"type": "layer_normalization"}, {"type": "dense", "units": 128, "activation": "gelu"},
      {"type": "dense", "units": 50, "name": "y"}],
      "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
                   "optimizer": "adam", "batch_size": 16}})"},
};

int64_t arena_of(const std::string& model, const std::string& options) {
  const Outcome outcome = gradc("plan " + model + " --json " + options);
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  return nlohmann::json::parse(outcome.output).at("arena_bytes").get<int64_t>();
}

/// The least arena, from the error of a budget that is too small.
int64_t least_arena(const std::string& model) {
  const Outcome outcome = gradc("plan " + model + " --memory-budget 1");
  EXPECT_EQ(outcome.code, 1) << outcome.output;
  const std::string before = "needs an arena of ";
  const size_t at = outcome.output.find(before);
  EXPECT_NE(at, std::string::npos) << outcome.output;
  return at == std::string::npos ? 0 : std::stoll(outcome.output.substr(at + before.size()));
}

/// A batch of 16 in safetensors: numbers that look random, classes below the given number.
std::string batch(const Net& net) {
  nlohmann::json head;
  std::string data;
  const auto add = [&](const char* name, const char* dtype, std::vector<int64_t> shape,
                       auto value) {
    const size_t begin = data.size();
    int64_t count = 1;
    for (int64_t n : shape)
      count *= n;
    for (int64_t i = 0; i < count; ++i) {
      const auto x = value(i);
      data.append(reinterpret_cast<const char*>(&x), sizeof x);
    }
    head[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {begin, data.size()}}};
  };
  const auto number = [](int64_t i) {
    return static_cast<float>((i * 2654435761 >> 7) % 1000) * 0.002F - 1.0F;
  };
  const auto classes = [&net](int64_t i) {
    return static_cast<int32_t>((i * 2654435761 >> 9) % net.classes);
  };
  if (net.tokens) {
    add("input/x", "I32", {16, 24}, classes);
    add("target/y", "I32", {16, 24}, classes);
  } else {
    add("input/x", "F32", {16, 12, 12, 3}, number);
    add("target/y", "I32", {16}, classes);
  }
  std::string text = head.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const auto length = static_cast<uint64_t>(text.size());
  return std::string(reinterpret_cast<const char*>(&length), 8) + text + data;
}

TEST(MemoryBudget, LessMemoryNeverChangesABit) {
  for (const Net& net : kNets) {
    SCOPED_TRACE(net.name);
    const Scratch scratch;
    const std::string model = scratch / "m.json";
    write_text_file(model, net.json);
    write_text_file(scratch / "batch.safetensors", batch(net));
    const auto trained = [&](const std::string& options) {
      const std::string out = scratch / "out.safetensors";
      const Outcome outcome =
          gradc("run " + model + " --entry train_step --steps 3 --seed 3 --in " +
                (scratch / "batch.safetensors") + " --out " + out + options);
      EXPECT_EQ(outcome.code, 0) << outcome.output;
      return read_file(out);
    };
    const int64_t free = arena_of(model, "");
    const int64_t least = least_arena(model);
    EXPECT_LT(least, free * 8 / 10);
    const std::string expected = trained("");
    EXPECT_GT(expected.size(), 10000U);
    int64_t before = free;
    for (int i = 0; i <= 6; ++i) {
      const int64_t budget = free - (free - least) * i / 6;
      const std::string option = " --memory-budget " + std::to_string(budget);
      const int64_t arena = arena_of(model, option);
      EXPECT_LE(arena, budget);
      EXPECT_LE(arena, before) << "a smaller budget must not ask for more";
      before = arena;
      EXPECT_TRUE(trained(option) == expected) << budget;
    }
    EXPECT_EQ(before, least);
    EXPECT_TRUE(trained(" --threads 2 --memory-budget " + std::to_string(least)) == expected);
  }
}

TEST(MemoryBudget, WhatIsDoneIsSaid) {
  const Scratch scratch;
  const std::string model = scratch / "m.json";
  write_text_file(model, kNets[1].json);
  const std::string least = std::to_string(least_arena(model));
  const Outcome outcome = gradc("plan " + model + " --memory-budget " + least);
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("made again"), std::string::npos) << outcome.output;
  EXPECT_EQ(gradc("plan " + model).output.find("made again"), std::string::npos);
}

/// Every command that plans memory takes it; what the kernels of a file need is what they need.
TEST(MemoryBudget, EveryCommandThatCompilesTakesIt) {
  const Scratch scratch;
  const std::string model = scratch / "m.json";
  write_text_file(model, kNets[0].json);
  const std::string kernels = scratch / "step.gir";
  const std::string graph = scratch / "graph.gir";
  ASSERT_EQ(gradc("inspect " + model + " --stage kernels -o " + kernels).code, 0);
  ASSERT_EQ(gradc("inspect " + model + " --stage gradient -o " + graph).code, 0);
  const std::string given =
      " --in " + (scratch / "batch.safetensors") + " --out " + (scratch / "o.safetensors");
  write_text_file(scratch / "batch.safetensors", batch(kNets[0]));
  for (const std::string& command :
       {"plan " + model, "plan " + graph, "bench " + model, "bench " + graph, "bench " + kernels,
        "inspect " + model + " --stage planned", "inspect " + model + " --stage asm",
        "inspect " + graph + " --stage planned", "compile " + model + " -o " + (scratch / "exe"),
        "run " + model + " --entry train_step" + given,
        "train " + model + " --input x=a.npy --target y=b.npy"}) {
    const Outcome outcome = gradc(command + " --memory-budget 1K");
    EXPECT_EQ(outcome.code, 1) << command << "\n" << outcome.output;
    EXPECT_NE(outcome.output.find("[memory-budget]"), std::string::npos) << command << "\n"
                                                                         << outcome.output;
    EXPECT_EQ(gradc(command + " --memory-budget 1,5M").code, 2) << command;
  }
}

}  // namespace
}  // namespace gradc::test
