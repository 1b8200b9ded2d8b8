// A checkpoint is continued by the model, the data and the options that it was made of; and layers
// that are called as parts of gradc's own files lose nothing in them.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace gradc::test {
namespace {

constexpr const char* kModel =
    R"({"name": "small", "inputs": [{"name": "x", "shape": [4]}],
  "layers": [{"type": "dense", "units": 8, "activation": "relu", "name": "hidden"},
             {"type": "batch_norm", "name": "norm"}, {"type": "dropout", "rate": 0.25},
             {"type": "dense", "units": 2, "name": "y"}],
  "data": {"x": {"standardize": true}},
  "training": {"loss": "mse", "metrics": ["mae"], "batch_size": 8, "seed": 5,
               "optimizer": {"type": "sgd", "learning_rate": 0.01, "momentum": 0.9},
               "early_stopping": {"monitor": "loss", "patience": 50}}})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  for (size_t i = text.find(from); i != std::string::npos; i = text.find(from, i + to.size()))
    text.replace(i, from.size(), to);
  return text;
}

/// A table of 30 rows; another seed gives other numbers.
std::string table(unsigned seed, int rows = 30) {
  std::mt19937 random(seed);
  std::string text = "a,b,c,d,p,q\n";
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < 6; ++column)
      text += "0." + std::to_string(100 + random() % 900) + (column < 5 ? "," : "\n");
  }
  return text;
}

class Resume : public ::testing::Test {
 protected:
  Resume() {
    write_text_file(scratch_ / "model.json", kModel);
    write_text_file(scratch_ / "data.csv", table(1));
    write_text_file(scratch_ / "other.csv", table(2));
    write_text_file(scratch_ / "fewer.csv", table(1, 29));
  }
  std::string train(const std::string& model, const std::string& options,
                    const std::string& data = "data.csv") {
    return "train " + (scratch_ / model) + " --data " + (scratch_ / data) +
           ":target=p,q --checkpoint " + (scratch_ / "ck") + " " + options;
  }
  /// Resumes with another model; the outcome's text names what differs.
  void refuses(const std::string& what, const Outcome& outcome,
               std::initializer_list<std::string> named) {
    EXPECT_EQ(outcome.code, 1) << what << ": " << outcome.output;
    for (const std::string& name : named)
      EXPECT_NE(outcome.output.find(name), std::string::npos) << what << ": " << outcome.output;
    EXPECT_EQ(read_file(scratch_ / "ck"), checkpoint_) << what << ": the checkpoint was written";
  }

  Scratch scratch_;
  std::string checkpoint_;
};

TEST_F(Resume, RefusesWhatDiffersByName) {
  ASSERT_EQ(gradc(train("model.json", "--epochs 1")).code, 0);
  checkpoint_ = read_file(scratch_ / "ck");
  struct Change {
    const char *from, *to, *was, *is;
  };
  const std::array<Change, 12> changes = {{
      {"\"relu\"", "\"tanh\"", "activation=relu", "activation=tanh"},
      {"\"rate\": 0.25", "\"rate\": 0.5", "rate=0.25", "rate=0.5"},
      {"\"learning_rate\": 0.01", "\"learning_rate\": 0.1", "=0.01", "=0.1"},
      {"\"momentum\": 0.9", "\"momentum\": 0.8", "momentum=0.9", "momentum=0.8"},
      {"\"loss\": \"mse\"", "\"loss\": \"mae\"", "mean_squared_error", "mean_absolute_error"},
      {"[\"mae\"]", "[\"mse\"]", "metric", "mse"},
      {"\"batch_size\": 8", "\"batch_size\": 4", "batch size 8", "4"},
      {"\"seed\": 5", "\"seed\": 6", "seed 5", "6"},
      {"\"seed\": 5", "\"shuffle\": false, \"seed\": 5", "shuffling on", "off"},
      {"\"standardize\": true", "\"standardize\": true, \"augment\": {\"noise\": 0.1}", "noise=0",
       "noise=0.1"},
      {"\"monitor\": \"loss\"", "\"monitor\": \"mae\"", "loss", "mae"},
      {"\"type\": \"batch_norm\"", "\"type\": \"batch_norm\", \"momentum\": 0.5", "layer norm",
       "momentum=0.5"},
  }};
  for (const Change& change : changes) {
    write_text_file(scratch_ / "other.json", replaced(kModel, change.from, change.to));
    refuses(change.to, gradc(train("other.json", "--epochs 2 --resume")), {change.was, change.is});
  }
  const std::string resume = "--epochs 2 --resume";
  refuses("other data", gradc(train("model.json", resume, "other.csv")), {"other training data"});
  refuses("fewer rows", gradc(train("model.json", resume, "fewer.csv")), {"examples: 30", "29"});
  refuses("split", gradc(train("model.json", resume + " --validation-split 0.2")), {"30", "24"});
  refuses("seed", gradc(train("model.json", resume + " --seed 9")), {"seed 5", "9"});
  // Everything at once is told at once.
  std::string all =
      replaced(replaced(kModel, "\"relu\"", "\"elu\""), "\"rate\": 0.25", "\"rate\": 0");
  write_text_file(scratch_ / "other.json",
                  replaced(all, "\"learning_rate\": 0.01", "\"learning_rate\": 1"));
  refuses("all", gradc(train("other.json", resume, "other.csv")),
          {"activation=elu", "rate=0.25", "learning_rate", "other training data"});
  // The same by a native binary, of a checkpoint that the command made.
  ASSERT_EQ(gradc("compile " + (scratch_ / "other.json") + " -o " + (scratch_ / "other")).code, 0);
  const std::string line = train("", resume);
  refuses("native", shell((scratch_ / "other") + " train" + line.substr(line.find(" --data"))),
          {"activation=elu", "rate=0.25", "learning_rate"});
}

TEST_F(Resume, TakesWhatMayChange) {
  const std::string whole = scratch_ / "whole", resumed = scratch_ / "resumed";
  ASSERT_EQ(gradc("train " + (scratch_ / "model.json") + " --data " + (scratch_ / "data.csv") +
                  ":target=p,q --epochs 3 --out " + whole)
                .code,
            0);
  ASSERT_EQ(gradc(train("model.json", "--epochs 1")).code, 0);
  const std::string checkpoint = read_file(scratch_ / "ck");
  write_text_file(scratch_ / "patient.json",
                  replaced(kModel, "\"patience\": 50", "\"patience\": 70"));
  write_text_file(scratch_ / "renamed.json",
                  replaced(kModel, "\"name\": \"small\"", "\"name\": \"tiny\""));
  const std::string options = "--epochs 3 --resume --out " + resumed;
  ASSERT_EQ(gradc("compile " + (scratch_ / "model.json") + " -o " + (scratch_ / "native")).code, 0);
  const std::string line = train("", options);
  for (const std::string& command :
       {tool() + " " + train("model.json", options), tool() + " " + train("patient.json", options),
        tool() + " " + train("model.json", options + " --threads 2 --log " + (scratch_ / "log")),
        (scratch_ / "native") + " train" + line.substr(line.find(" --data"))}) {
    write_text_file(scratch_ / "ck", checkpoint);
    const Outcome outcome = shell(command);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_TRUE(read_file(whole) == read_file(resumed)) << command;
    std::filesystem::remove(resumed);
  }
}

/// Loss of the model on its data by eval of the weights file that train wrote.
std::string trained_loss(const Scratch& scratch, const std::string& json) {
  write_text_file(scratch / "named.json", json);
  write_text_file(scratch / "data.csv", table(1));
  const std::string data = " --data " + (scratch / "data.csv") + ":target=p,q ";
  const std::string model = scratch / "named.json", weights = scratch / "w.safetensors";
  std::filesystem::remove(scratch / "ck");
  Outcome outcome = gradc("train " + model + data + "--epochs 2 --checkpoint " + (scratch / "ck"));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  outcome = gradc("train " + model + data + "--epochs 3 --resume --checkpoint " + (scratch / "ck") +
                  " --out " + weights);
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  outcome = gradc("eval " + model + data + "--json --weights " + weights);
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  return outcome.output;
}

TEST(Names, OfLayersMayBeThoseOfFiles) {
  const Scratch scratch;
  const std::string best =
      replaced(kModel, "\"patience\": 50", "\"patience\": 1, \"restore_best_weights\": true");
  const std::string right = trained_loss(scratch, best);
  for (const char* name : {"optimizer", "data", "best", "input", "target", "output", "metric",
                           "gradient", "loss", "seed", "tail", "tensor", "model"}) {
    EXPECT_EQ(trained_loss(scratch, replaced(best, "\"name\": \"norm\"",
                                             std::string("\"name\": \"") + name + "\"")),
              right)
        << name;
  }
}

}  // namespace
}  // namespace gradc::test
