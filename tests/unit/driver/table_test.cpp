// Tables through the command: `gradc new table`, columns and parts; and the real tables of
// docs/data.md, by the commands that stand there.
#include "tests/unit/driver/command.h"
#include "tests/unit/driver/page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <vector>

namespace gradc::test {
namespace {

/// Numbers, names, cells that are missing, a column that counts and one of texts; y follows from
/// size and kind.
std::string houses(int first, int count, bool with_target = true) {
  std::string text = with_target ? "id,size,kind,address,price\n" : "kind,size,id,address\n";
  for (int i = first; i < first + count; ++i) {
    const int size = 20 + i * 37 % 180;
    const char* kind = i % 3 == 0 ? "flat" : i % 3 == 1 ? "house" : "hut";
    const std::string cell = i % 25 == 7 ? "" : std::to_string(size);
    const std::string id = std::to_string(i), where = "street " + std::to_string(i * 7919);
    const int price = size * 1000 + (i % 3 == 1 ? 100000 : 0);
    text += with_target ? id + "," + cell + "," + kind + "," + where + "," + std::to_string(price)
                        : std::string(kind) + "," + cell + "," + id + "," + where;
    text += '\n';
  }
  return text;
}

double score(const std::string& output, const std::string& name) {
  std::smatch found;
  const std::regex line("test[^\n]*" + name + " ([-0-9.e]+)");
  return std::regex_search(output, found, line) ? std::atof(found[1].str().c_str()) : -100;
}

TEST(NewTable, LooksAtTheFileAndItsModelTrains) {
  const Scratch scratch;
  write_text_file(scratch / "houses.csv", houses(0, 400));
  const std::string in = "cd " + (scratch / ".") + " && " + tool() + " ";
  const Outcome made = shell(in + "new table houses.csv:target=price -o m.json");
  ASSERT_EQ(made.code, 0) << made.output;
  for (const char* part :
       {"column \"id\" is left out: it counts the rows",
        "column \"address\" is left out: it holds 400 different texts",
        "column \"kind\" is 3 categories", "column \"size\": 16 of 400 cells are missing",
        "target \"price\" is a quantity",
        "train it: gradc train m.json --data houses.csv:target=price:validation=0.15:test=0.15 "
        "--out weights.safetensors"})
    EXPECT_NE(made.output.find(part), std::string::npos) << part << "\n" << made.output;

  const Outcome trained = shell(in +
                                "train m.json --data houses.csv:target=price:validation=0.15:"
                                "test=0.15 --out w.safetensors");
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_GT(score(trained.output, "r2_score"), 0.8) << trained.output;

  // The test part is the same for another command, and what columns mean goes with the weights: a
  // file without target, with its columns in another order, by JIT and ahead of time.
  const Outcome again =
      shell(in + "eval m.json --data houses.csv:target=price:test=0.15 --weights w.safetensors");
  EXPECT_NE(again.output.find("60 examples (test)"), std::string::npos) << again.output;
  write_text_file(scratch / "new.csv", houses(25, 50, false));
  const Outcome predicted =
      shell(in + "predict m.json --weights w.safetensors --in new.csv --out p.csv");
  EXPECT_EQ(predicted.code, 0) << predicted.output;
  const Outcome compiled = shell(in + "compile m.json -o m && " + (scratch / "m") +
                                 " predict --weights " + (scratch / "w.safetensors") + " --in " +
                                 (scratch / "new.csv") + " --out " + (scratch / "q.csv"));
  EXPECT_EQ(compiled.code, 0) << compiled.output;
  const std::string table = read_file(scratch / "p.csv");
  EXPECT_EQ(table.substr(0, 6), "price\n");
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 51);
  EXPECT_EQ(table, read_file(scratch / "q.csv"));
  write_text_file(scratch / "tent.csv", "kind,size\ntent,\n");
  const Outcome unknown =
      shell(in + "predict m.json --weights w.safetensors --in tent.csv --out t.csv");
  EXPECT_EQ(unknown.code, 0);
  EXPECT_NE(unknown.output.find("1 row has \"tent\", which is not among the rows that were trained "
                                "on: all of its values are 0 [unknown-category]"),
            std::string::npos)
      << unknown.output;
  const Outcome bare = shell(in +
                             "predict m.json --weights w.safetensors --in tent.csv --out t.csv "
                             "--no-warn unknown-category");
  EXPECT_EQ(bare.output.find("tent\""), std::string::npos) << bare.output;
}

TEST(Table, CategoriesOfAnEmbedding) {
  const Scratch scratch;
  write_text_file(scratch / "houses.csv", houses(0, 300));
  write_text_file(scratch / "m.json", R"({
    "inputs": [{"name": "numbers", "shape": [1]}, {"name": "kinds", "shape": [1], "dtype": "int32"}],
    "layers": [
      {"type": "embedding", "input_dim": 4, "output_dim": 2, "inputs": ["kinds"]},
      {"type": "flatten", "name": "vector"},
      {"type": "concatenate", "inputs": ["numbers", "vector"]},
      {"type": "dense", "units": 16, "activation": "relu"},
      {"type": "dense", "units": 1},
      {"type": "rescaling", "scale": 70000, "offset": 140000, "name": "price"}],
    "data": {"numbers": {"standardize": true, "columns": {"size": {"missing": "mean"}}},
             "kinds": {"columns": {"kind": {"categories": 3}}}},
    "training": {"loss": "mse", "metrics": ["r2_score"], "batch_size": 16, "epochs": 60,
                 "optimizer": {"type": "adam", "learning_rate": 0.02}}})");
  const std::string data = " --data " + (scratch / "houses.csv") + ":target=price:test=0.2";
  const Outcome trained = gradc("train " + (scratch / "m.json") + data);
  EXPECT_EQ(trained.code, 0) << trained.output;
  EXPECT_GT(score(trained.output, "r2_score"), 0.8) << trained.output;
  // One number more than the embedding has is refused before training.
  const std::string text = read_file(scratch / "m.json");
  const std::string rows = "\"input_dim\": 4";
  std::string fewer = text;
  fewer.replace(fewer.find(rows), rows.size(), "\"input_dim\": 3");
  write_text_file(scratch / "few.json", fewer);
  const Outcome small = gradc("train " + (scratch / "few.json") + data);
  EXPECT_EQ(small.code, 1);
  EXPECT_NE(small.output.find("is 3, input/kinds needs values from 0 to 2"), std::string::npos)
      << small.output;
}

TEST(NewTable, SaysWhatItCannotTell) {
  const Scratch scratch;
  write_text_file(scratch / "t.csv", "a,b,y\n1,2,\n3,4,5\n");
  const auto expect = [&](const std::string& how, const char* part) {
    const Outcome outcome = gradc("new table " + (scratch / how));
    EXPECT_EQ(outcome.code, 1) << outcome.output;
    EXPECT_NE(outcome.output.find(part), std::string::npos) << outcome.output;
  };
  expect("t.csv", "0 target columns, one was expected");
  expect("t.csv:target=z", "there is no such column");
  expect("t.csv:target=y", "target \"y\" has 1 empty cells");
  expect("t.json", "is no table");
  expect("none.csv:target=y", "none.csv");
}

// ---- real data --------------------------------------------------------------------------------

/// The folder of the tables that docs/data.md is about; empty where they are not.
std::string tables() {
  const std::string file = shared_data("tabular/california_housing.csv");
  return file.empty() ? "" : std::filesystem::path(file).parent_path().string();
}

class RealTables : public ::testing::Test {
 protected:
  void SetUp() override {
    if (tables().empty()) GTEST_SKIP() << "no data: GRADC_DATA names the folder";
    for (const auto& file : std::filesystem::directory_iterator(tables()))
      std::filesystem::create_symlink(file.path(), scratch_ / file.path().filename().string());
  }
  /// A line of the page, in a folder that has the tables.
  std::string run(const std::string& line) const {
    const Outcome outcome = shell("cd " + (scratch_ / ".") + " && " +
                                  std::regex_replace(line, std::regex("^gradc "), tool() + " "));
    EXPECT_EQ(outcome.code, 0) << line << "\n" << outcome.output;
    return outcome.output;
  }

  Scratch scratch_;
};

TEST_F(RealTables, EveryCommandOfThePageReachesItsScore) {
  struct Goal {
    const char* model;
    const char* score;
    double least;  // of the mean over the folds
  };
  constexpr Goal kGoals[] = {{"housing.json", "r2_score", 0.75},
                             {"cancer.json", "auc", 0.99},
                             {"wine.json", "accuracy", 0.95},
                             {"iris.json", "accuracy", 0.95},
                             {"diabetes.json", "r2_score", 0.4}};
  size_t reached = 0;
  for (const std::string& line : page_commands("My table")) {
    std::vector<std::string> runs = {line};
    const size_t fold = line.find("fold=1/5");
    for (char k = '2'; k <= '5' && fold != std::string::npos; ++k) {
      runs.push_back(line);
      runs.back()[fold + 5] = k;
    }
    const Goal* goal = nullptr;
    for (const Goal& one : kGoals)
      if (line.find(std::string("train ") + one.model) != std::string::npos) goal = &one;
    double sum = 0;
    for (const std::string& one : runs) {
      const std::string output = run(one);
      if (goal != nullptr) sum += score(output, goal->score);
    }
    if (goal == nullptr) continue;
    const double mean = sum / static_cast<double>(runs.size());
    EXPECT_GE(mean, goal->least) << line;
    RecordProperty(goal->model, std::to_string(mean));
    std::printf("%s: %s %.4f\n", goal->model, goal->score, mean);
    ++reached;
  }
  EXPECT_EQ(reached, std::size(kGoals));
  const std::string prices = read_file(scratch_ / "prices.csv");
  EXPECT_EQ(std::count(prices.begin(), prices.end(), '\n'), 20641);
}

}  // namespace
}  // namespace gradc::test
