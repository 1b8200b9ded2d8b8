// gradc predict --out FILE.csv: predictions with names, by the command and by compiled programs.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <vector>

namespace gradc::test {
namespace {

using Table = std::vector<std::vector<std::string>>;

/// RFC 4180, strictly: a reader of the tests' own.
Table parse_csv(const std::string& text) {
  Table table(1);
  std::string field;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
        field += text[++i];
      } else if (c == '"') {
        quoted = false;
      } else {
        field += c;
      }
    } else if (c == '"' && field.empty()) {
      quoted = true;
    } else if (c == ',' || c == '\n') {
      table.back().push_back(field);
      field.clear();
      if (c == '\n') table.emplace_back();
    } else {
      field += c;
    }
  }
  EXPECT_TRUE(table.back().empty() && field.empty()) << "the last line has no end";
  table.pop_back();
  return table;
}

float number(const std::string& text) {
  return std::strtof(text.c_str(), nullptr);
}

/// The float32 values of a .npy file.
std::vector<float> npy_values(const std::string& path) {
  const std::string bytes = read_file(path);
  const size_t header = 10 + (static_cast<uint8_t>(bytes[8]) | static_cast<size_t>(bytes[9]) << 8);
  std::vector<float> values((bytes.size() - header) / sizeof(float));
  memcpy(values.data(), bytes.data() + header, values.size() * sizeof(float));
  return values;
}

class PredictCsv : public ::testing::Test {
 protected:
  void train(const std::string& json, const std::string& file, const std::string& data,
             const std::string& options = ":target=y") {
    write_text_file(scratch_ / "m.json", json);
    write_text_file(scratch_ / file, data);
    const Outcome trained = gradc("train " + (scratch_ / "m.json") + " --data " +
                                  (scratch_ / file) + options + " --out " + weights());
    ASSERT_EQ(trained.code, 0) << trained.output;
  }
  std::string weights() const { return scratch_ / "w.safetensors"; }
  Outcome predict(const std::string& in, const std::string& out) {
    return gradc("predict " + (scratch_ / "m.json") + " --weights " + weights() + " --in " +
                 (scratch_ / in) + " --out " + (scratch_ / out));
  }
  /// Predictions of a file as a table, the same by command and compiled program.
  Table table_of(const std::string& in) {
    const Outcome ran = predict(in, "p.csv");
    EXPECT_EQ(ran.code, 0) << ran.output;
    const std::string text = read_file(scratch_ / "p.csv");
    const Outcome compiled =
        gradc("compile " + (scratch_ / "m.json") + " -o " + (scratch_ / "exe"));
    EXPECT_EQ(compiled.code, 0) << compiled.output;
    const Outcome program = shell((scratch_ / "exe") + " predict --weights " + weights() +
                                  " --in " + (scratch_ / in) + " --out " + (scratch_ / "q.csv"));
    EXPECT_EQ(program.code, 0) << program.output;
    EXPECT_EQ(read_file(scratch_ / "q.csv"), text);
    return parse_csv(text);
  }

  Scratch scratch_;
};

std::string model(const std::string& layers, const std::string& loss, int features = 2,
                  const std::string& more = "") {
  return R"({"name": "m", "inputs": [{"name": "x", "shape": [)" + std::to_string(features) +
         R"(]}], "layers": [)" + layers + R"(], "training": {"loss": )" + loss +
         R"(, "optimizer": {"type": "adam", "learning_rate": 0.1}, "batch_size": 8, "epochs": 60})" +
         more + "}";
}

TEST_F(PredictCsv, NamesClassesWhateverTheyHold) {
  const std::vector<std::string> names = {"a,b", "line\nbreak", "prediction", "say \"hi\""};
  const std::vector<std::string> cells = {"\"a,b\"", "\"line\nbreak\"", "prediction",
                                          "\"say \"\"hi\"\"\""};
  std::string data = "u,v,y\n";
  for (int i = 0; i < 24; ++i) {
    const int c = i % 4;
    data += std::to_string(c % 2) + "," + std::to_string(c / 2) + "," +
            cells[static_cast<size_t>(c)] + "\n";
  }
  for (const bool softmax : {true, false}) {
    const std::string dense = R"({"type": "dense", "units": 4, "name": "y")";
    train(
        softmax
            ? model(dense + R"(, "activation": "softmax"})", R"("sparse_categorical_crossentropy")")
            : model(dense + "}", R"({"type": "categorical_crossentropy", "from_logits": true})"),
        "d.csv", data);
    const Table table = table_of("d.csv");
    ASSERT_EQ(table.size(), 25U);
    // The class called "prediction" makes room for the column of that name.
    EXPECT_EQ(table[0], (std::vector<std::string>{"prediction", names[0], names[1], "_prediction",
                                                  names[3]}));
    ASSERT_EQ(predict("d.csv", "p.npy").code, 0);
    const std::vector<float> values = npy_values(scratch_ / "p.npy");
    ASSERT_EQ(values.size(), 96U);
    for (size_t row = 0; row < 24; ++row) {
      ASSERT_EQ(table[row + 1].size(), 5U);
      EXPECT_EQ(table[row + 1][0], names[row % 4]);
      for (size_t c = 0; c < 4; ++c)  // read back to the same bits
        EXPECT_EQ(number(table[row + 1][c + 1]), values[row * 4 + c]);
    }
  }
}

TEST_F(PredictCsv, OneUnitSaysHowMuchItIsTheSecondClass) {
  std::string data = "u,v,y\n";
  for (int i = 0; i < 24; ++i)
    data += std::to_string(i % 3 - 1) + ",0.5," + (i % 3 == 2 ? "yes" : "no") + "\n";
  for (const bool sigmoid : {true, false}) {
    train(model(std::string(R"({"type": "dense", "units": 1, "name": "y")") +
                    (sigmoid ? R"(, "activation": "sigmoid"})" : "}"),
                sigmoid ? R"("binary_crossentropy")"
                        : R"({"type": "binary_crossentropy", "from_logits": true})"),
          "d.csv", data);
    const Table table = table_of("d.csv");
    ASSERT_EQ(table.size(), 25U);
    EXPECT_EQ(table[0], (std::vector<std::string>{"prediction", "yes"}));
    int sure = 0;
    for (size_t row = 1; row < table.size(); ++row) {
      const float value = number(table[row][1]);
      EXPECT_EQ(table[row][0], value > (sigmoid ? 0.5f : 0.0f) ? "yes" : "no");
      sure += table[row][0] == (row % 3 == 0 ? "yes" : "no") ? 1 : 0;
    }
    EXPECT_EQ(sure, 24);
  }
}

TEST_F(PredictCsv, ClassesWithoutNamesAreNumbers) {
  std::string data = "u,v,y\n";
  for (int i = 0; i < 24; ++i)
    data += std::to_string(i % 3 == 0) + "," + std::to_string(i % 3 == 1) + "," +
            std::to_string(i % 3) + "\n";
  train(model(R"({"type": "dense", "units": 3, "activation": "softmax", "name": "y"})",
              R"("sparse_categorical_crossentropy")"),
        "d.csv", data);
  const Table table = table_of("d.csv");
  EXPECT_EQ(table[0], (std::vector<std::string>{"prediction", "0", "1", "2"}));
  for (size_t row = 1; row < table.size(); ++row)
    EXPECT_EQ(table[row][0], std::to_string((row - 1) % 3));
}

TEST_F(PredictCsv, AValueIsCalledAsItsTarget) {
  train(model(R"({"type": "dense", "units": 1, "name": "out"})", R"("mse")"), "d.csv",
        "u,v,\"the \"\"net\"\" price\"\n1,2,3\n2,1,4\n0,1,2\n1,1,3\n",
        ":target='the \"net\" price'");
  const Table table = table_of("d.csv");
  EXPECT_EQ(table[0], (std::vector<std::string>{"the \"net\" price"}));
  ASSERT_EQ(predict("d.csv", "p.npy").code, 0);
  const std::vector<float> values = npy_values(scratch_ / "p.npy");
  ASSERT_EQ(values.size(), 4U);
  for (size_t row = 0; row < 4; ++row)
    EXPECT_EQ(number(table[row + 1][0]), values[row]);
}

TEST_F(PredictCsv, SeveralUnitsAndSeveralOutputs) {
  const std::string data = "u,v,cost,weight\n1,2,3,4\n2,1,4,3\n0,1,2,5\n1,1,3,3\n";
  train(model(R"({"type": "dense", "units": 2, "name": "y"})", R"("mse")"), "d.csv", data,
        ":target=weight,cost");
  EXPECT_EQ(table_of("d.csv")[0], (std::vector<std::string>{"weight", "cost"}));

  const std::string two = R"({"name": "m", "inputs": [{"name": "x", "shape": [2]}], "layers": [
    {"type": "dense", "units": 4, "name": "h", "activation": "tanh"},
    {"type": "dense", "units": 2, "activation": "softmax", "name": "kind", "inputs": ["h"]},
    {"type": "dense", "units": 1, "name": "size", "inputs": ["h"]}],
    "outputs": ["kind", "size"],
    "training": {"losses": {"kind": "sparse_categorical_crossentropy", "size": "mse"},
                 "optimizer": "adam", "batch_size": 4, "epochs": 1}})";
  train(two, "e.csv", "u,v,k,s\n1,2,dog,4\n2,1,cat,3\n0,1,dog,5\n1,1,cat,3\n", ":target=k,s");
  const Table table = table_of("e.csv");
  EXPECT_EQ(table[0], (std::vector<std::string>{"kind/prediction", "kind/cat", "kind/dog", "s"}));
  ASSERT_EQ(table.size(), 5U);
  for (size_t row = 1; row < 5; ++row) {
    ASSERT_EQ(table[row].size(), 4U);
    EXPECT_EQ(table[row][0], number(table[row][2]) > number(table[row][1]) ? "dog" : "cat");
    EXPECT_NEAR(number(table[row][1]) + number(table[row][2]), 1.0f, 1e-5f);
  }
}

TEST_F(PredictCsv, AModelWithoutTrainingHasNumbersOnly) {
  write_text_file(scratch_ / "m.json",
                  model(R"({"type": "dense", "units": 3, "name": "y"})", R"("mse")"));
  write_text_file(scratch_ / "d.csv", "u,v,a,b,c\n1,2,1,2,3\n2,3,3,2,1\n");
  ASSERT_EQ(gradc("train " + (scratch_ / "m.json") + " --epochs 0 --out " + weights() + " --data " +
                  (scratch_ / "d.csv") + ":target=a,b,c")
                .code,
            0);
  write_text_file(scratch_ / "m.json",
                  R"({"name": "m", "inputs": [{"name": "x", "shape": [2]}], "layers": [
                     {"type": "dense", "units": 3, "name": "y"}]})");
  write_text_file(scratch_ / "e.csv", "u,v\n1,2\n2,3\n");
  const Outcome ran = predict("e.csv", "p.csv");
  ASSERT_EQ(ran.code, 0) << ran.output;
  const Table table = parse_csv(read_file(scratch_ / "p.csv"));
  EXPECT_EQ(table[0], (std::vector<std::string>{"y_0", "y_1", "y_2"}));
  EXPECT_EQ(table.size(), 3U);
}

TEST_F(PredictCsv, TextsAreLinesForEachPosition) {
  const std::string text = R"({"name": "m", "inputs": [{"name": "t", "shape": [3],
    "dtype": "int32"}], "layers": [{"type": "embedding", "input_dim": 4, "output_dim": 6},
    {"type": "dense", "units": 4, "activation": "softmax", "name": "p"}],
    "training": {"loss": "sparse_categorical_crossentropy", "batch_size": 8, "epochs": 40,
                 "optimizer": {"type": "adam", "learning_rate": 0.1}}})";
  train(text, "d.txt", "a,\nba,\nba,\nba,\nba,\nba,\nba,\nb", ":chars");
  const Outcome ran =
      gradc("predict " + (scratch_ / "m.json") + " --weights " + weights() + " --in " +
            (scratch_ / "d.txt") + ":chars --out " + (scratch_ / "p.csv"));
  ASSERT_EQ(ran.code, 0) << ran.output;
  const Table table = parse_csv(read_file(scratch_ / "p.csv"));
  EXPECT_EQ(table[0],
            (std::vector<std::string>{"example", "position", "prediction", "\n", ",", "a", "b"}));
  ASSERT_EQ(table.size(), 1U + 9U * 3U);
  const std::string spelled = "a,\nb";
  for (size_t line = 1; line < table.size(); ++line) {
    EXPECT_EQ(table[line][0], std::to_string((line - 1) / 3));
    EXPECT_EQ(table[line][1], std::to_string((line - 1) % 3));
    EXPECT_EQ(table[line][2], std::string(1, spelled[line % 4]));
  }
}

TEST_F(PredictCsv, OutputsOfDifferentPlacesHaveNoTable) {
  write_text_file(scratch_ / "m.json", R"({"name": "m", "inputs": [{"name": "x", "shape": [2, 2]}],
    "layers": [{"type": "dense", "units": 2, "name": "a"}, {"type": "flatten"},
               {"type": "dense", "units": 1, "name": "b"}], "outputs": ["a", "b"],
    "training": {"losses": {"a": "mse", "b": "mse"}, "optimizer": "sgd", "batch_size": 2}})");
  const Outcome ran = gradc("predict " + (scratch_ / "m.json") +
                            " --weights none --in none --out " + (scratch_ / "p.csv"));
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.output.find("no common lines in a table, use .safetensors"), std::string::npos)
      << ran.output;
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "p.csv"));
}

}  // namespace
}  // namespace gradc::test
