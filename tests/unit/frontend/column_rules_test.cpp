// "columns" of a data rule.
#include "tests/unit/frontend/model_text.h"

#include <gtest/gtest.h>

#include <string>

namespace gradc {
namespace {

std::string text_of(const std::string& columns, const std::string& input = R"("shape": [4])",
                    const std::string& more = "") {
  return R"({"inputs": [{"name": "x", )" + input + R"(}],
    "layers": [)" +
         (input.find("int32") == std::string::npos
              ? std::string()
              : R"({"type": "embedding", "input_dim": 9, "output_dim": 2}, {"type": "flatten"},)") +
         R"({"type": "dense", "units": 2, "name": "y"}],
    "data": {"x": {)" +
         more + R"("columns": )" + columns + R"(}},
    "training": {"loss": "mean_squared_error", "optimizer": "sgd"}})";
}

void refuses(const std::string& text, const std::string& what) {
  const std::string problems = problems_of(text);
  EXPECT_NE(problems.find(what), std::string::npos) << problems;
}

TEST(ColumnRules, SayWhatEachColumnBecomes) {
  using Missing = ColumnRule::Missing;
  const Result<Model> model = parse_model(text_of(R"({"a": {"missing": "median", "flag": true},
                              "b": {"missing": -1}, "c": {"categories": 1, "missing": "none"}})"));
  ASSERT_TRUE(model.ok()) << model.message();
  const std::vector<ColumnRule>& rules = model->data[0].columns;
  ASSERT_EQ(rules.size(), 3U);
  EXPECT_EQ(rules[0].name, "a");
  EXPECT_EQ(rules[0].missing, Missing::kMedian);
  EXPECT_TRUE(rules[0].flag);
  EXPECT_EQ(rules[1].missing, Missing::kGiven);
  EXPECT_EQ(rules[1].fill, -1.0);
  EXPECT_EQ(rules[2].categories, 1);
  EXPECT_EQ(rules[2].fill_text, "none");
}

TEST(ColumnRules, DatesBecomeParts) {
  using Part = ColumnRule::Part;
  const Result<Model> model =
      parse_model(text_of(R"({"d": {"date": ["days", "month"], "cyclic": true,
      "format": "%d.%m.%Y", "missing": "median", "flag": true}})"));
  ASSERT_TRUE(model.ok()) << model.message();
  const ColumnRule& rule = model->data[0].columns[0];
  EXPECT_EQ(rule.date, (std::vector{Part::kDays, Part::kMonth}));
  EXPECT_TRUE(rule.cyclic);
  EXPECT_EQ(rule.format, "%d.%m.%Y");
  EXPECT_EQ(rule.missing, ColumnRule::Missing::kMedian);
  EXPECT_EQ(problems_of(text_of(R"({"d": {"date": ["year", "hour", "minute", "second"]}})")), "");
  EXPECT_EQ(problems_of(text_of(R"({"d": {"date": ["hour", "minute"], "format": "%H:%M",
                                    "cyclic": true}})")),
            "");
}

TEST(ColumnRules, DatesThatAreNone) {
  refuses(text_of(R"({"d": {"date": ["month", "day"], "cyclic": true}, "a": {}})"),
          "the columns give 5 values");
  refuses(text_of(R"({"d": {"date": []}})"), "a list of parts");
  refuses(text_of(R"({"d": {"date": "month"}})"), "a list of parts");
  refuses(text_of(R"({"d": {"date": ["mont"]}})"), "must be one of: year, quarter, month");
  refuses(text_of(R"({"d": {"date": ["day", "day"]}})"), "twice");
  refuses(text_of(R"({"d": {"date": ["day"], "categories": 3}})"), "one of them was expected");
  refuses(text_of(R"({"d": {"date": ["day"], "missing": 3}})"), "must be \"mean\" or \"median\"");
  refuses(text_of(R"({"d": {"cyclic": true}})"), "has no \"date\"");
  refuses(text_of(R"({"d": {"format": "%Y"}})"), "has no \"date\"");
  refuses(text_of(R"({"d": {"date": ["year"], "format": "%Y %q"}})"), "which has %q");
  refuses(text_of(R"({"d": {"date": ["year"], "format": "%Y%"}})"), "which has %");
  refuses(text_of(R"({"d": {"date": ["year", "day_of_week"], "format": "%m/%Y"}})"),
          "do not tell the part \"day_of_week\"");
  refuses(text_of(R"({"d": {"date": ["hour"], "format": "%F"}})"), "do not tell the part \"hour\"");
}

TEST(ColumnRules, FitTheInput) {
  EXPECT_EQ(problems_of(text_of(R"({"a": {}, "k": {"categories": 3}})")), "");
  refuses(text_of(R"({"a": {}, "k": {"categories": 4}})"),
          "the columns give 5 values, but \"x\" is f32[4], which has 4");
  refuses(text_of(R"({"a": {"missing": "mode"}, "b": {}, "c": {}, "d": {}})"),
          "must be \"mean\", \"median\" or a number");
  refuses(text_of(R"({"a": {"flag": true}, "b": {}, "c": {}})"), "missing cells are refused");
  refuses(text_of(R"({"k": {"categories": 4, "missing": ""}})"), "text was expected");
  refuses(text_of(R"({"k": {"categories": 4, "kind": 1}})"), "\"kind\"");
  refuses(text_of("{}"), "an object with one rule per column");
  const std::string integers = R"("shape": [2], "dtype": "int32")";
  refuses(text_of(R"({"a": {}, "k": {"categories": 4}})", integers),
          "which column \"a\" gives if it has \"categories\"");
  refuses(text_of(R"({"k": {"categories": 4}})", integers), "the columns give 1 values");
  refuses(text_of(R"({"a": {}, "b": {}})", integers, R"("text": {}, )"), "it takes one column");
  refuses(R"({"inputs": [{"name": "x", "shape": [1]}], "layers": [{"type": "dense", "units": 1,
             "name": "y"}], "data": {"y": {"columns": {"a": {}}}},
             "training": {"loss": "mean_squared_error", "optimizer": "sgd"}})",
          "\"columns\" are of inputs");
}

}  // namespace
}  // namespace gradc
