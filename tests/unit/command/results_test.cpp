// Results of evaluations: by stored numbers of scripts/peer_evaluation.py, which works from
// definitions; and of whole sets through the command, whatever the batch and the threads.
#include "driver/results/class_results.h"
#include "driver/results/confusion_text.h"
#include "driver/results/results_page.h"
#include "driver/results/value_results.h"
#include "tests/unit/driver/command.h"
#include "tests/unit/driver/page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

namespace gradc::test {
namespace {

using results::ClassKind;
using results::ClassResults;
using results::ValueResults;

Json read_json(const std::string& path) {
  return Json::parse(read_file(path));
}

/// Every number of `wanted` is in `given`, as near as sums in another order are.
void expect_within(const Json& given, const Json& wanted, const std::string& where) {
  if (wanted.is_object()) {
    for (const auto& [name, value] : wanted.items())
      expect_within(given.at(name), value, where + "/" + name);
  } else if (wanted.is_array()) {
    ASSERT_EQ(given.size(), wanted.size()) << where;
    for (size_t i = 0; i < wanted.size(); ++i)
      expect_within(given[i], wanted[i], where + "/" + std::to_string(i));
  } else if (wanted.is_null() || !wanted.is_number()) {
    EXPECT_EQ(given, wanted) << where;
  } else {
    ASSERT_TRUE(given.is_number()) << where << " is " << given;
    const double value = wanted.get<double>();
    EXPECT_NEAR(given.get<double>(), value, 1e-12 * std::max(1.0, std::abs(value))) << where;
  }
}

Json class_results(const Json& one) {
  const std::string kind = one["kind"].get<std::string>();
  const size_t units = one["units"][0].size();
  const ClassKind of = kind == "labels"        ? ClassKind::kLabels
                       : kind == "two classes" ? ClassKind::kTwo
                                               : ClassKind::kMany;
  ClassResults classes({.kind = of,
                        .logits = one["logits"].get<bool>(),
                        .classes = of == ClassKind::kTwo ? 2 : units,
                        .expected = static_cast<int64_t>(one["units"].size())});
  for (size_t i = 0; i < one["units"].size(); ++i) {
    const auto row = one["units"][i].get<std::vector<double>>();
    const results::DataPlace place{static_cast<int64_t>(i), 0};
    if (of == ClassKind::kLabels) {
      std::vector<bool> truth;
      for (const Json& there : one["truth"][i])
        truth.push_back(there == 1);
      classes.add(row, truth, place);
    } else {
      classes.add(row, one["truth"][i].get<size_t>(), place);
    }
  }
  std::vector<std::string> names;
  for (size_t c = 0; c < (of == ClassKind::kTwo ? 2 : units); ++c)
    names.push_back("c" + std::to_string(c));
  return classes.json(names);
}

Json value_results(const Json& one) {
  const size_t columns = one["units"][0].size();
  ValueResults values(columns, static_cast<int64_t>(one["units"].size()));
  for (size_t i = 0; i < one["units"].size(); ++i)
    values.add(one["units"][i].get<std::vector<double>>(),
               one["truth"][i].get<std::vector<double>>());
  return values.json(std::vector<std::string>(columns, "y"));
}

TEST(Results, ErrorsBeyondTheLargestNumberAreCounted) {
  for (const double far : {1e308, std::numeric_limits<double>::infinity()}) {
    ValueResults values(1, 2);
    for (const double sign : {1.0, -1.0})
      values.add(std::vector<double>{sign * far}, std::vector<double>{-sign * far});
    const Json counts = values.json({"y"}).at("columns").at(0).at("residuals").at("counts");
    int64_t all = 0;
    for (const Json& count : counts)
      all += count.get<int64_t>();
    EXPECT_EQ(all, 2) << far;
  }
}

TEST(Results, AreThoseOfTheDefinitions) {
  size_t count = 0;
  for (const auto& file : std::filesystem::directory_iterator(source("tests/results"))) {
    const Json one = read_json(file.path().string());
    const std::string name = file.path().stem().string();
    Json expected = one["expected"];
    if (one["kind"] == "values") {
      expect_within(value_results(one), expected, name);
    } else {
      Json given = class_results(one);
      given["calibration"] = given["calibration"]["error"];
      given["macro_auc"] = given["averages"]["macro"]["roc_auc"];
      expect_within(given, expected, name);
    }
    ++count;
  }
  EXPECT_GE(count, 12U);
}

TEST(Results, OfManyClassesCountPairsAndHoldNoScores) {
  const size_t classes = 1000;
  ClassResults many(
      {.kind = ClassKind::kMany, .logits = true, .classes = classes, .expected = 600});
  for (int64_t i = 0; i < 600; ++i) {
    std::vector<double> units(classes, 0.0);
    units[static_cast<size_t>(i % 3 == 0 ? 7 : i % 5)] = 5;
    many.add(units, static_cast<size_t>(i % 5), {i, 0});
  }
  const Json out = many.json(std::vector<std::string>(classes, "c"));
  EXPECT_FALSE(out.contains("confusion"));
  EXPECT_FALSE(out.contains("curves"));
  ASSERT_EQ(out["confused"].size(), 5U);
  EXPECT_EQ(out["confused"][0], (Json{{"true", 0}, {"predicted", 7}, {"count", 40}}));
  EXPECT_NEAR(out["accuracy"].get<double>(), 400.0 / 600, 1e-15);
  EXPECT_EQ(out["per_class"].size(), 6U);  // those that are met
  EXPECT_NE(out["notes"].dump().find("1000 classes apart"), std::string::npos);
}

TEST(Results, MatrixForATerminal) {
  const Json one = {{"name", "y"},
                    {"kind", "classes"},
                    {"classes", {"cat", "d\xC3\xB6g", "\x1b[2J"}},
                    {"confusion", {{5, 1, 0}, {0, 123, 2}, {1, 0, 4}}},
                    {"confused", {{{"true", 1}, {"predicted", 2}, {"count", 2}}}}};
  const Json results = {{"outputs", {one}}};
  EXPECT_EQ(results::confusion_text(results),
            "true \\ predicted      cat      d\xC3\xB6g  \\x1b[2J\n"
            "             cat        5        1        0\n"
            "             d\xC3\xB6g        0      123        2\n"
            "         \\x1b[2J        1        0        4\n");
  EXPECT_EQ(results::confusion_text(results, 30),
            "3 classes are too many for a table here; the most frequent confusions:\n"
            "       2  d\xC3\xB6g taken for \\x1b[2J\n");
}

/// What stands between two texts of a page.
std::vector<std::string> between(const std::string& page, const std::string& from,
                                 const std::string& to) {
  std::vector<std::string> found;
  for (size_t at = page.find(from); at != std::string::npos; at = page.find(from, at + 1))
    found.push_back(page.substr(at, page.find(to, at) - at));
  return found;
}

/// A page needs nothing from elsewhere, and its pictures are told in words.
void expect_good_page(const std::string& page) {
  for (const char* foreign : {"http:", "https:", "src=", "<script", "@import", "url("})
    EXPECT_EQ(page.find(foreign), std::string::npos) << foreign;
  for (const std::string& picture : between(page, "<svg", "</svg>")) {
    EXPECT_NE(picture.find("role=\"img\""), std::string::npos);
    EXPECT_NE(picture.find("<title"), std::string::npos);
    EXPECT_NE(picture.find("<desc"), std::string::npos);
    EXPECT_EQ(picture.find("nan"), std::string::npos) << picture.substr(0, 200);
  }
  for (const std::string& table : between(page, "<table", "</table>"))
    EXPECT_NE(table.find("scope=\"col\""), std::string::npos);
  for (const char* tag : {"table", "svg", "section", "figure", "div", "ul", "details"}) {
    EXPECT_EQ(between(page, std::string("<") + tag, ">").size(),
              between(page, std::string("</") + tag + ">", ">").size())
        << tag;
  }
}

class ResultsOfEval : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return scratch_ / name; }

  void train(const std::string& model, const std::string& data) {
    write_text_file(path("m.json"), model);
    data_ = data;
    const Outcome done = gradc("train " + path("m.json") + " --data " + data +
                               " --no-warn input-scale --out " + path("w.safetensors"));
    ASSERT_EQ(done.code, 0) << done.output;
  }

  Outcome eval(const std::string& options) const {
    return gradc("eval " + path("m.json") + " --data " + data_ +
                 " --no-warn input-scale --weights " + path("w.safetensors") + " " + options);
  }

  Json results(const std::string& options = "") const {
    const Outcome done = eval("--report " + path("r.json") + " " + options);
    EXPECT_EQ(done.code, 0) << done.output;
    return read_json(path("r.json"));
  }

  /// The same numbers, up to the rounding of predictions.
  static void expect_same(const Json& a, const Json& b, const std::string& where) {
    ASSERT_EQ(a.type(), b.type()) << where;
    if (a.is_number_float()) {
      EXPECT_NEAR(a.get<double>(), b.get<double>(), 1e-5) << where;
    } else if (a.is_structured()) {
      ASSERT_EQ(a.size(), b.size()) << where;
      for (auto it = a.begin(), other = b.begin(); it != a.end(); ++it, ++other)
        expect_same(*it, *other, where + "/" + (a.is_object() ? it.key() : ""));
    } else {
      EXPECT_EQ(a, b) << where;
    }
  }

  void expect_same_for_all_batches() const {
    const Json whole = results("--batch-size 64");
    for (const char* other : {"--batch-size 1", "--batch-size 7 --threads 2", "--batch-size 300"})
      expect_same(results(other), whole, other);
  }

  Scratch scratch_;
  std::string data_;
};

// Three groups of points with names that a page must not take for tags.
std::string points_table(const char* third) {
  std::string text = "a,b,kind\n";
  const std::string names[] = {"<b>red</b>", "blue", third};
  uint32_t state = 7;
  for (int i = 0; i < 150; ++i) {
    const auto draw = [&state] {
      state = state * 1664525U + 1013904223U;
      return static_cast<double>(state >> 8U) / (1U << 24U);
    };
    const int kind = static_cast<int>(draw() * 3);
    text += std::to_string(draw() * 3 + kind) + "," + std::to_string(draw() * 2 - kind) + "," +
            names[kind] + "\n";
  }
  return text;
}

constexpr char kPoints[] = R"({"name": "points", "inputs": [{"name": "x", "shape": [2]}],
  "layers": [{"type": "dense", "units": 3, "name": "kind"}],
  "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
               "optimizer": {"type": "adam", "learning_rate": 0.02}, "metrics": ["accuracy"],
               "batch_size": 16, "epochs": 5}})";

TEST_F(ResultsOfEval, ClassesByName) {
  write_text_file(path("points.csv"), points_table("green"));
  train(kPoints, path("points.csv:target=kind"));
  const Json all = results();
  const Json& out = all["outputs"][0];
  EXPECT_EQ(out["classes"], (Json{"<b>red</b>", "blue", "green"}));
  EXPECT_EQ(out["positions"], 150);
  EXPECT_NEAR(out["accuracy"].get<double>(), all["metrics"]["accuracy"].get<double>(), 1e-7);
  EXPECT_NEAR(out["log_loss"].get<double>(), all["loss"].get<double>(), 1e-6);
  // The matrix is what the predictions in a table say.
  const Outcome made = gradc("predict " + path("m.json") + " --weights " + path("w.safetensors") +
                             " --in " + data_ + " --out " + path("p.csv"));
  ASSERT_EQ(made.code, 0) << made.output;
  std::stringstream given(read_file(path("points.csv"))), guessed(read_file(path("p.csv")));
  std::string truth, guess;
  std::map<std::pair<std::string, std::string>, int64_t> counts;
  std::getline(given, truth);
  std::getline(guessed, guess);
  while (std::getline(given, truth) && std::getline(guessed, guess))
    ++counts[{truth.substr(truth.rfind(',') + 1), guess.substr(0, guess.find(','))}];
  for (size_t r = 0; r < 3; ++r) {
    for (size_t c = 0; c < 3; ++c) {
      const int64_t count = counts[std::pair(out["classes"][r].get<std::string>(),
                                             out["classes"][c].get<std::string>())];
      EXPECT_EQ(out["confusion"][r][c], count) << r << c;
    }
  }
  expect_same_for_all_batches();
  const Outcome page = eval("--report " + path("r.html") + " --confusion");
  EXPECT_EQ(page.code, 0) << page.output;
  EXPECT_NE(page.output.find("true \\ predicted"), std::string::npos) << page.output;
  EXPECT_NE(page.output.find("report: "), std::string::npos) << page.output;
  const std::string html = read_file(path("r.html"));
  expect_good_page(html);
  EXPECT_EQ(html.find("<b>red"), std::string::npos);
  EXPECT_GE(between(html, "<svg", "</svg>").size(), 3U);
  EXPECT_NE(html.find("class=\"matrix\""), std::string::npos);
}

TEST_F(ResultsOfEval, ColumnsOfARegression) {
  std::string table = "a,b,height,width\n";
  for (int i = 0; i < 90; ++i) {
    const double a = (i * 37 % 90) / 90.0, b = (i * 53 % 90) / 90.0;
    table += std::to_string(a) + "," + std::to_string(b) + "," + std::to_string(2 * a - b) + "," +
             std::to_string(a * b) + "\n";
  }
  write_text_file(path("d.csv"), table);
  train(R"({"name": "values", "inputs": [{"name": "x", "shape": [2]}],
    "layers": [{"type": "dense", "units": 2, "name": "size"}],
    "training": {"loss": "mse", "optimizer": {"type": "adam", "learning_rate": 0.02},
                 "metrics": ["mae", "r2_score", "rmse"], "batch_size": 16, "epochs": 5}})",
        path("d.csv:target=height,width"));
  const Json all = results();
  const Json& out = all["outputs"][0];
  EXPECT_EQ(out["names"], (Json{"height", "width"}));
  EXPECT_NEAR(out["mae"].get<double>(), all["metrics"]["mae"].get<double>(), 1e-6);
  EXPECT_NEAR(out["rmse"].get<double>(), all["metrics"]["rmse"].get<double>(), 1e-6);
  EXPECT_NEAR(out["r2"].get<double>(), all["metrics"]["r2_score"].get<double>(), 1e-5);
  int64_t errors = 0;
  for (const Json& count : out["columns"][0]["residuals"]["counts"])
    errors += count.get<int64_t>();
  EXPECT_EQ(errors, 90);
  EXPECT_EQ(out["columns"][1]["dots"].size(), 90U);
  expect_same_for_all_batches();
  EXPECT_EQ(eval("--report " + path("r.html")).code, 0);
  expect_good_page(read_file(path("r.html")));
}

// Padding is masked, and one class is ignored: neither counts, whatever the batch.
TEST_F(ResultsOfEval, PositionsThatCount) {
  std::vector<int32_t> x, y;
  size_t masked = 0, ignored = 0;
  for (int row = 0; row < 37; ++row) {
    for (int step = 0; step < 6; ++step) {
      const int token = step < 3 + row % 4 ? 1 + (row * 7 + step * 3) % 5 : 0;
      const int tag = (token + step) % 4 == 3 ? -1 : (token + step) % 4;
      x.push_back(token);
      y.push_back(tag);
      masked += token == 0 ? 1 : 0;
      ignored += token != 0 && tag == -1 ? 1 : 0;
    }
  }
  const auto write = [&](const std::string& name, const std::vector<int32_t>& values) {
    std::string header = "{'descr': '<i4', 'fortran_order': False, 'shape': (37, 6), }";
    header.resize(117, ' ');
    std::string bytes =
        std::string("\x93NUMPY\x01\x00", 8) + '\x76' + std::string(1, '\0') + header + "\n";
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
    write_text_file(path("d/" + name + ".npy"), bytes);
  };
  std::filesystem::create_directory(path("d"));
  write("x", x);
  write("y", y);
  train(R"({"name": "tags", "inputs": [{"name": "x", "shape": [6], "dtype": "int32"}],
    "layers": [{"type": "embedding", "input_dim": 6, "output_dim": 4, "mask_zero": true},
               {"type": "dense", "units": 3, "name": "y"}],
    "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true,
                          "ignore_class": -1},
                 "optimizer": "adam", "metrics": ["accuracy"], "batch_size": 8, "epochs": 2}})",
        path("d"));
  const Json all = results();
  const Json& out = all["outputs"][0];
  EXPECT_EQ(out["left_out"], masked + ignored);
  EXPECT_EQ(out["positions"], 37 * 6 - masked - ignored);
  EXPECT_NEAR(out["accuracy"].get<double>(), all["metrics"]["accuracy"].get<double>(), 1e-6);
  EXPECT_NEAR(out["log_loss"].get<double>(), all["loss"].get<double>(), 1e-5);
  EXPECT_TRUE(out["mistakes"][0].contains("position"));
  expect_same_for_all_batches();
}

// A unit for each label in one output, one unit for two classes in the other.
TEST_F(ResultsOfEval, SeveralOutputs) {
  std::string table = "a,b\n";
  train(R"({"name": "both", "inputs": [{"name": "x", "shape": [2]}],
    "layers": [{"type": "dense", "units": 3, "activation": "sigmoid", "name": "tags", "inputs": ["x"]},
               {"type": "dense", "units": 1, "name": "sick", "inputs": ["x"]}],
    "outputs": ["tags", "sick"],
    "training": {"losses": {"tags": "binary_crossentropy",
                            "sick": {"type": "binary_crossentropy", "from_logits": true}},
                 "optimizer": "adam", "batch_size": 8, "epochs": 1}})",
        [&] {
          std::string header =
              "{\"x\":{\"dtype\":\"F32\",\"shape\":[40,2],\"data_offsets\":[0,320]},"
              "\"tags\":{\"dtype\":\"F32\",\"shape\":[40,3],\"data_offsets\":[320,800]},"
              "\"sick\":{\"dtype\":\"F32\",\"shape\":[40,1],\"data_offsets\":[800,960]}}";
          header.resize((header.size() + 7) / 8 * 8, ' ');
          const uint64_t size = header.size();
          std::string bytes(8, '\0');
          std::memcpy(bytes.data(), &size, 8);
          bytes += header;
          for (int i = 0; i < 240; ++i) {
            const float value = i < 80 ? static_cast<float>(i * 29 % 17) / 17 - 0.5F
                                       : static_cast<float>(i * 7 % 3 == 0);
            bytes.append(reinterpret_cast<const char*>(&value), 4);
          }
          write_text_file(path("d.safetensors"), bytes);
          return path("d.safetensors");
        }());
  const Json all = results();
  ASSERT_EQ(all["outputs"].size(), 2U);
  EXPECT_EQ(all["outputs"][0]["kind"], "labels");
  EXPECT_EQ(all["outputs"][1]["kind"], "two classes");
  EXPECT_NEAR(all["outputs"][0]["log_loss"].get<double>(),
              all["metrics"]["tags_loss"].get<double>(), 1e-5);
  EXPECT_NEAR(all["outputs"][1]["log_loss"].get<double>(),
              all["metrics"]["sick_loss"].get<double>(), 1e-5);
  expect_same_for_all_batches();
  const Outcome shown = eval("--confusion --report " + path("r.html"));
  EXPECT_NE(shown.output.find("tags:\n"), std::string::npos) << shown.output;
  EXPECT_NE(shown.output.find("missed"), std::string::npos) << shown.output;
  expect_good_page(read_file(path("r.html")));
}

TEST_F(ResultsOfEval, WhatIsRefused) {
  write_text_file(path("points.csv"), points_table("green"));
  train(kPoints, path("points.csv:target=kind"));
  EXPECT_EQ(eval("--report r.txt").code, 2);
  EXPECT_EQ(eval("--confusion --json").code, 2);
  EXPECT_EQ(eval("--report " + path("none/r.html")).code, 1);
  data_ = path("points.csv:target=kind");
  const Outcome json = eval("--json --report " + path("r.json"));
  EXPECT_EQ(json.code, 0);
  EXPECT_EQ(json.output.find("report:"), std::string::npos) << json.output;
}

// The exact area beside the metric, which samples the curve as Keras does.
TEST_F(ResultsOfEval, OfRealData) {
  const std::string table = shared_data("tabular/breast_cancer.csv");
  if (table.empty()) GTEST_SKIP() << "the real data are not here";
  train(R"({"name": "cancer", "inputs": [{"name": "x", "shape": [30]}],
    "layers": [{"type": "batch_normalization"},
               {"type": "dense", "units": 1, "activation": "sigmoid", "name": "y"}],
    "training": {"loss": "binary_crossentropy", "optimizer": {"type": "adam", "learning_rate": 0.01},
                 "metrics": ["auc", "precision", "recall", "f1_score", "mcc", "cohen_kappa"],
                 "batch_size": 32, "epochs": 8}})",
        table + ":skip=1:header=none:target=31");
  const Json all = results();
  const Json& out = all["outputs"][0];
  const Json& second = out["per_class"][1];
  EXPECT_EQ(out["positions"], 569);
  // By comparing every pair of predictions.
  const Outcome made = gradc("predict " + path("m.json") + " --weights " + path("w.safetensors") +
                             " --in " + data_ + " --out " + path("p.csv"));
  ASSERT_EQ(made.code, 0) << made.output;
  std::stringstream given(read_file(table)), guessed(read_file(path("p.csv")));
  std::string truth, guess;
  std::vector<double> scores[2];
  std::getline(given, truth);
  std::getline(guessed, guess);
  while (std::getline(given, truth) && std::getline(guessed, guess))
    scores[truth[truth.rfind(',') + 1] == '1' ? 1 : 0].push_back(
        std::stod(guess.substr(guess.find(',') + 1)));
  double right = 0;
  for (const double high : scores[1]) {
    for (const double low : scores[0])
      right += high > low ? 1 : high < low ? 0 : 0.5;
  }
  const double area = right / static_cast<double>(scores[0].size() * scores[1].size());
  EXPECT_GT(area, 0.97);
  EXPECT_NEAR(second["roc_auc"].get<double>(), area, 1e-12);
  EXPECT_NEAR(area, all["metrics"]["auc"].get<double>(), 5e-3);
  EXPECT_NEAR(second["precision"].get<double>(), all["metrics"]["precision"].get<double>(), 1e-6);
  EXPECT_NEAR(second["recall"].get<double>(), all["metrics"]["recall"].get<double>(), 1e-6);
  EXPECT_NEAR(second["f1"].get<double>(), all["metrics"]["f1_score"].get<double>(), 1e-6);
  EXPECT_NEAR(out["matthews"].get<double>(), all["metrics"]["mcc"].get<double>(), 1e-5);
  EXPECT_NEAR(out["kappa"].get<double>(), all["metrics"]["cohen_kappa"].get<double>(), 1e-5);
  EXPECT_NEAR(out["log_loss"].get<double>(), all["loss"].get<double>(), 1e-5);
}

// The page's commands, as they stand.
TEST_F(ResultsOfEval, CommandsOfThePage) {
  if (shared_data("tabular/breast_cancer.csv").empty())
    GTEST_SKIP() << "the real data are not here";
  for (const char* name :
       {"breast_cancer.csv", "wine_data.csv", "diabetes_data_raw.csv", "diabetes_target.csv"})
    std::filesystem::create_symlink(shared_data(std::string("tabular/") + name), path(name));
  std::string printed;
  size_t count = 0;
  for (std::string line : page_commands("My results")) {
    if (line.starts_with("gradc ")) line = tool() + line.substr(5);
    const Outcome done = shell("cd " + path("") + " && " + line);
    EXPECT_EQ(done.code, 0) << line << "\n" << done.output;
    printed += done.output;
    ++count;
  }
  EXPECT_EQ(count, 10U);
  EXPECT_NE(printed.find("true \\ predicted"), std::string::npos) << printed;
  for (const char* page : {"cancer.html", "wine.html", "diabetes.html"}) {
    expect_good_page(read_file(path(page)));
    EXPECT_GE(between(read_file(path(page)), "<svg", "</svg>").size(), 2U) << page;
  }
}

}  // namespace
}  // namespace gradc::test
