// Texts of a table end to end: the vocabulary stays with the weights, and the metrics that are
// counts are those of the whole data set.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

namespace gradc::test {
namespace {

class TextData : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ = scratch_ / "model.json";
    write_text_file(model_, R"({
      "name": "messages", "inputs": [{"name": "message", "shape": [6], "dtype": "int32"}],
      "layers": [{"type": "embedding", "input_dim": 40, "output_dim": 4, "mask_zero": true},
                 {"type": "lstm", "units": 4},
                 {"type": "dense", "units": 1, "activation": "sigmoid", "name": "spam"}],
      "training": {"loss": "binary_crossentropy", "optimizer": {"type": "adam", "learning_rate": 0.02},
        "metrics": ["precision", "recall", "f1_score"], "batch_size": 8, "epochs": 2},
      "data": {"message": {"text": {}}}})");
    data_ = scratch_ / "messages.tsv";
    std::mt19937 random(1);
    std::string text;
    for (int row = 0; row < 101; ++row) {  // a tail batch of 5
      const bool spam = random() % 4 == 0;
      text += spam ? "spam\t" : "ham\t";
      for (size_t word = 0; word < 3 + random() % 5; ++word)
        text += "word" + std::to_string(random() % 30) + (random() % 3 == 0 ? ", " : " ");
      text += spam && random() % 3 != 0 ? "WIN!\n" : "\"later\n";
    }
    write_text_file(data_, text);
    weights_ = scratch_ / "weights.safetensors";
  }
  std::string data() const { return data_ + ":header=none:quote=none:target=1"; }
  static double number(const std::string& json, const std::string& key) {
    const size_t at = json.find("\"" + key + "\":");
    return at == std::string::npos ? std::nan("") : std::atof(json.c_str() + at + key.size() + 3);
  }

  Scratch scratch_;
  std::string model_, data_, weights_;
};

TEST_F(TextData, MetricsCountOverTheWholeSet) {
  const Outcome trained =
      gradc("train " + model_ + " --data " + data() + " --seed 2 --out " + weights_);
  ASSERT_EQ(trained.code, 0) << trained.output;
  std::string text = read_file(model_);
  for (const std::string name : {"precision", "recall", "f1_score"}) {
    const std::string quoted = "\"" + name + "\"";
    text.replace(text.find(quoted), quoted.size(),
                 R"({"type": )" + quoted + R"(, "threshold": 0.25})");
  }
  write_text_file(model_, text);
  const Outcome scores =
      gradc("eval " + model_ + " --data " + data() + " --weights " + weights_ + " --json");
  ASSERT_EQ(scores.code, 0) << scores.output;
  const std::string table = scratch_ / "predictions.csv";
  const Outcome predicted =
      gradc("predict " + model_ + " --weights " + weights_ + " --in " + data() + " --out " + table);
  ASSERT_EQ(predicted.code, 0) << predicted.output;
  std::istringstream lines(read_file(table)), rows(read_file(data_));
  std::string line, row;
  std::getline(lines, line);
  double both = 0, guesses = 0, positives = 0, count = 0;
  while (std::getline(lines, line) && std::getline(rows, row)) {
    const bool guess = std::atof(line.c_str() + line.rfind(',') + 1) > 0.25;
    const bool spam = row[0] == 's';
    both += guess && spam ? 1 : 0;
    guesses += guess ? 1 : 0;
    positives += spam ? 1 : 0;
    ++count;
  }
  ASSERT_EQ(count, 101);
  ASSERT_GT(both, 0);
  ASSERT_LT(both, guesses);
  EXPECT_NEAR(number(scores.output, "precision"), both / guesses, 1e-6);
  EXPECT_NEAR(number(scores.output, "recall"), both / positives, 1e-6);
  EXPECT_NEAR(number(scores.output, "f1_score"), 2 * both / (guesses + positives), 1e-6);
}

TEST_F(TextData, TheVocabularyStaysWithTheWeights) {
  ASSERT_EQ(gradc("train " + model_ + " --data " + data() + " --out " + weights_).code, 0);
  const auto loss = [&](const std::string& text) {
    write_text_file(scratch_ / "other.tsv", text);
    const Outcome scores = gradc("eval " + model_ + " --json --weights " + weights_ + " --data " +
                                 (scratch_ / "other.tsv:header=none:quote=none:target=1"));
    EXPECT_EQ(scores.code, 0) << scores.output;
    return number(scores.output, "loss");
  };
  const double one = loss("ham\tword1 later\nspam\tword2 win\n");
  EXPECT_EQ(loss("ham\tWord1, later\nspam\tword2 WIN!\n"), one);
  EXPECT_NE(loss("ham\tlater word2\nspam\tword1 win\n"), one);
  EXPECT_EQ(loss("ham\tnew word1\nspam\tquite win\n"), loss("ham\tother word1\nspam\tnew win\n"));
  // Weights without it have no numbers for words.
  std::string bytes = read_file(weights_);
  const std::string key = "data/message/tokens";
  ASSERT_NE(bytes.find(key), std::string::npos);
  bytes.replace(bytes.find(key), key.size(), "data/message/tokenz");
  write_text_file(weights_, bytes);
  const Outcome refused = gradc("eval " + model_ + " --data " + data() + " --weights " + weights_);
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.output.find("holds no vocabulary of \"message\""), std::string::npos)
      << refused.output;
}

TEST_F(TextData, ResumedCountsAreThoseOfOneRun) {
  const std::string whole = scratch_ / "whole.jsonl", parts = scratch_ / "parts.jsonl";
  const std::string run =
      "train " + model_ + " --data " + data() + " --validation-split 0.2 --seed 4 ";
  ASSERT_EQ(gradc(run + "--epochs 2 --log " + whole).code, 0);
  const std::string checkpoint =
      " --checkpoint " + (scratch_ / "c.safetensors") + " --resume --log " + parts;
  ASSERT_EQ(gradc(run + "--epochs 1" + checkpoint).code, 0);
  const Outcome resumed = gradc(run + "--epochs 2" + checkpoint);
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  const std::string one = read_file(whole), two = read_file(parts);
  const auto last = [](const std::string& log) { return log.substr(log.find("\"epoch\":2")); };
  for (const std::string name : {"val_f1_score", "f1_score", "val_loss"})
    EXPECT_EQ(number(last(one), name), number(last(two), name)) << name;
}

TEST_F(TextData, WordsOfALanguageModel) {
  const std::string model = scratch_ / "words.json", text = scratch_ / "text.txt";
  write_text_file(model, R"({
    "name": "words", "inputs": [{"name": "text", "shape": [8], "dtype": "int32"}],
    "layers": [{"type": "embedding", "input_dim": 9, "output_dim": 8},
               {"type": "gru", "units": 24, "return_sequences": true},
               {"type": "dense", "units": 9, "name": "next"}],
    "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
      "optimizer": {"type": "adam", "learning_rate": 0.02}, "batch_size": 8, "epochs": 60}})");
  std::string lines;
  for (int i = 0; i < 40; ++i)
    lines += "The dog saw the cat, the cat ran.\n";
  write_text_file(text, lines);
  const Outcome trained =
      gradc("train " + model + " --data " + text + ":words:stride=1 --out " + weights_);
  ASSERT_EQ(trained.code, 0) << trained.output;
  const std::string generate = "generate " + model + " --weights " + weights_ + " --prompt ";
  // Beyond its window of 8 words too.
  EXPECT_EQ(gradc(generate + "'The dog' --length 15 --temperature 0").output,
            "The dog saw the cat the cat ran the dog saw the cat the cat ran the\n");
  const Outcome refused = gradc(generate + "'the bird'");
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.output.find("the model was not trained with \"bird\""), std::string::npos)
      << refused.output;
  EXPECT_EQ(gradc("eval " + model + " --weights " + weights_ + " --data " + text + ":chars").code,
            1);
}

}  // namespace
}  // namespace gradc::test
