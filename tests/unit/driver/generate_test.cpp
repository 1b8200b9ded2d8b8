// gradc generate: the text of a trained model, the same by the command and a compiled program, and
// what is refused.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

namespace gradc::test {
namespace {

class Generate : public ::testing::Test {
 protected:
  /// A recurrent model of windows of 8, `extra` in its layer; every letter follows from the two
  /// before it.
  void train(const std::string& layer, const std::string& output, const std::string& unit) {
    model_ = scratch_ / "model.json";
    write_text_file(model_, R"({
      "name": "letters", "inputs": [{"name": "text", "shape": [8], "dtype": "int32"}],
      "layers": [{"type": "embedding", "input_dim": 256, "output_dim": 8}, )" +
                                layer + ", " + output + R"(],
      "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
        "optimizer": {"type": "adam", "learning_rate": 0.02}, "batch_size": 16, "epochs": 60}})");
    text_ = scratch_ / "text.txt";
    std::string text;
    while (text.size() < 1500)
      text += "abacadeb\xC3\xBC ";
    write_text_file(text_, text);
    weights_ = scratch_ / "weights.safetensors";
    const Outcome trained =
        gradc("train " + model_ + " --data " + text_ + unit + " --seed 1 --out " + weights_);
    ASSERT_EQ(trained.code, 0) << trained.output;
  }
  void train_steps(const std::string& unit = ":chars") {
    train(R"({"type": "gru", "units": 24, "return_sequences": true})",
          R"({"type": "dense", "units": 256, "name": "next"})", unit);
  }
  Outcome generate(const std::string& options) {
    return gradc("generate " + model_ + " --weights " + weights_ + " " + options);
  }

  Scratch scratch_;
  std::string model_, text_, weights_;
};

TEST_F(Generate, GoesOnBeyondTheWindow) {
  train_steps();
  const Outcome text = generate("--prompt ab --temperature 0 --length 40");
  EXPECT_EQ(text.code, 0);
  std::string expected;
  while (expected.size() < 42)
    expected += "abacadeb\xC3\xBC ";
  EXPECT_EQ(text.output, expected.substr(0, 42) + "\n");
  EXPECT_EQ(generate("--prompt abacadebab --length 3 --temperature 0").output.substr(0, 10),
            "abacadebab");
}

TEST_F(Generate, DrawsBySeed) {
  train_steps();
  const std::string warm = "--prompt ab --length 60 --temperature 4 ";
  const std::string one = generate(warm + "--seed 1").output;
  EXPECT_EQ(one.size(), 63U);
  EXPECT_EQ(generate(warm + "--seed 1 --threads 2").output, one);
  EXPECT_NE(generate(warm + "--seed 2").output, one);
  EXPECT_EQ(generate(warm + "--seed 1 --top-k 1").output,
            generate("--prompt ab --length 60 --temperature 0").output);
  // Two of the nine letters at each place: what the model thinks likely.
  EXPECT_NE(generate(warm + "--seed 1 --top-k 2").output, one);
}

TEST_F(Generate, CompiledProgramsGiveTheSameText) {
  train_steps();
  const std::string program = scratch_ / "letters";
  ASSERT_EQ(gradc("compile " + model_ + " -o " + program).code, 0);
  const std::string options = " --prompt ab --length 50 --temperature 2 --seed 9";
  const Outcome text = shell(program + " generate --weights " + weights_ + options);
  EXPECT_EQ(text.code, 0);
  EXPECT_EQ(text.output, generate(options).output);
  const Outcome help = shell(program + " generate --help");
  EXPECT_NE(help.output.find("--top-k K"), std::string::npos) << help.output;
}

TEST_F(Generate, BytesAreATextToo) {
  train_steps(":bytes");
  const Outcome text = generate("--prompt abac --temperature 0 --length 5");
  EXPECT_EQ(text.output, "abacadeb\xC3\n");
}

TEST_F(Generate, ModelsOfWholeWindows) {
  train(R"({"type": "gru", "units": 24})", R"({"type": "dense", "units": 256, "name": "next"})",
        ":chars");
  EXPECT_EQ(generate("--prompt abacadeb --temperature 0 --length 3").output, "abacadeb\xC3\xBC \n");
  const Outcome brief = generate("--prompt aba");
  EXPECT_EQ(brief.code, 1);
  EXPECT_EQ(brief.output,
            "gradc: error: the prompt has 3 characters, this model needs 8: it predicts from whole "
            "windows\n");
}

TEST_F(Generate, WhatSeesTheTokensBehindNeedsAWholeWindow) {
  train(
      R"({"type": "bidirectional", "layer": {"type": "gru", "units": 8, "return_sequences": true}})",
      R"({"type": "dense", "units": 256, "name": "next"})", ":chars");
  const Outcome brief = generate("--prompt aba");
  EXPECT_EQ(brief.code, 1);
  EXPECT_NE(brief.output.find("what it says after a token depends on those behind it"),
            std::string::npos)
      << brief.output;
  const Outcome whole = generate("--prompt abacadeb --length 2");
  EXPECT_EQ(whole.code, 0);
  EXPECT_NE(whole.output.find("remark: a whole window is computed for each token: layer "
                              "\"bidirectional\" (bidirectional)"),
            std::string::npos)
      << whole.output;
}

// Attention has room for a window's positions; behind them the window slides.
TEST_F(Generate, AttentionKeepsKeysAndValuesUpToTheWindow) {
  train(R"({"type": "position_embedding", "name": "p", "sequence_length": 8},
           {"type": "add", "name": "s", "inputs": ["embedding", "p"]},
           {"type": "multi_head_attention", "name": "a", "num_heads": 2, "key_dim": 8,
            "use_causal_mask": true},
           {"type": "add", "inputs": ["s", "a"]})",
        R"({"type": "dense", "units": 64, "activation": "relu"},
           {"type": "dense", "units": 256, "name": "next"})",
        ":chars");
  const Outcome text = generate("--prompt ab --temperature 0 --length 20");
  std::string expected;
  while (expected.size() < 24)
    expected += "abacadeb\xC3\xBC ";
  EXPECT_EQ(text.output, expected.substr(0, 22) + "\n");
  // A prompt of a window or more goes the same way as one that grows to it.
  EXPECT_EQ(generate("--prompt 'abacadeb\xC3\xBC ab' --temperature 0 --length 10").output,
            expected.substr(0, 23) + "\n");
  const std::string program = scratch_ / "letters";
  ASSERT_EQ(gradc("compile " + model_ + " -o " + program).code, 0);
  const std::string options = " --prompt ab --length 30 --temperature 2 --seed 9";
  EXPECT_EQ(shell(program + " generate --weights " + weights_ + options).output,
            generate(options).output);
  EXPECT_EQ(generate(options + " --threads 2").output, generate(options).output);
}

TEST_F(Generate, RefusesWhatItCannotRead) {
  train_steps();
  const auto refused = [&](const Outcome& outcome, int code, const std::string& what) {
    EXPECT_EQ(outcome.code, code);
    EXPECT_NE(outcome.output.find(what), std::string::npos) << outcome.output;
  };
  refused(generate("--prompt abx"), 1,
          "--prompt:1:3: characters: the text has \"x\", which the model was not trained with");
  refused(generate("--prompt ''"), 2, "the text is empty");
  refused(generate(""), 2, "--prompt TEXT is required");
  refused(generate("--prompt ab --temperature -1"), 2, "expected a number of at least 0");
  refused(gradc("generate " + source("examples/mnist_mlp.json") + " --weights " + weights_ +
                " --prompt ab"),
          1, "model \"mnist_mlp\" generates no text: it reads input/image");
  // Weights that a table has trained.
  std::string table = "a,b,c,d,e,f,g,h,p,q,r,s,t,u,v,w\n";
  for (int row = 0; row < 16; ++row)
    table += "1,2,3,1,2,3,1,2,2,3,1,2,3,1,2,3\n";
  write_text_file(scratch_ / "table.csv", table);
  const Outcome trained = gradc("train " + model_ + " --epochs 1 --data " +
                                (scratch_ / "table.csv:target=p,q,r,s,t,u,v,w") + " --out " +
                                (scratch_ / "b.safetensors"));
  ASSERT_EQ(trained.code, 0) << trained.output;
  refused(
      gradc("generate " + model_ + " --weights " + (scratch_ / "b.safetensors") + " --prompt ab"),
      1, "its weights hold no vocabulary");
}

}  // namespace
}  // namespace gradc::test
