// Columns of dates through the command: what the model gets, by JIT and ahead of time, and real
// dates that tell something.
#include "tests/unit/driver/command.h"
#include "tests/unit/driver/page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <sstream>
#include <vector>

namespace gradc::test {
namespace {

/// The output is the input's four values: year, day of the week, month and a flag.
constexpr const char* kModel = R"({"inputs": [{"name": "x", "shape": [4]}], "layers": [
  {"type": "dense", "units": 4, "kernel_initializer": "identity", "use_bias": false, "name": "y"}],
  "training": {"loss": "mse", "optimizer": {"type": "sgd", "learning_rate": 1e-30}, "batch_size": 4},
  "data": {"x": {"columns": {"bought": {"date": ["year", "day_of_week", "month"],
                                         "missing": "median", "flag": true}}}}})";

class DateColumns : public ::testing::Test {
 protected:
  Outcome here(const std::string& arguments) const {
    return shell("cd " + (scratch_ / ".") + " && " + tool() + " " + arguments);
  }
  std::vector<std::vector<double>> rows(const std::string& file) const {
    std::stringstream table(read_file(scratch_ / file));
    std::vector<std::vector<double>> found;
    std::string line, cell;
    std::getline(table, line);
    while (std::getline(table, line)) {
      std::stringstream cells(line);
      found.emplace_back();
      while (std::getline(cells, cell, ','))
        found.back().push_back(std::round(std::stod(cell) * 1e6) / 1e6);
    }
    return found;
  }

  Scratch scratch_;
};

TEST_F(DateColumns, WhatIsMissingGoesWithTheWeights) {
  write_text_file(scratch_ / "m.json", kModel);
  write_text_file(scratch_ / "t.csv",
                  "a,bought,b,c,d\n1,2020-05-04,1,1,1\n1,2020-05-08,1,1,1\n1,,1,1,1\n");
  const Outcome trained = here(
      "train m.json --data t.csv:target=a,b,c,d --epochs 1 --out w.safetensors "
      "--no-warn learning-rate --no-warn input-scale");
  ASSERT_EQ(trained.code, 0) << trained.output;
  write_text_file(scratch_ / "n.csv", "bought\n1999-12-31T10:00\n?\n");
  ASSERT_EQ(here("predict m.json --weights w.safetensors --in n.csv --out p.csv").code, 0);
  // 31 December 1999 was a Friday; the median is Wednesday, 6 May 2020.
  EXPECT_EQ(rows("p.csv"), (std::vector<std::vector<double>>{{1999, 4, 12, 0}, {2020, 2, 5, 1}}));
  const Outcome compiled =
      here("compile m.json -o m && ./m predict --weights w.safetensors --in n.csv --out q.csv");
  ASSERT_EQ(compiled.code, 0) << compiled.output;
  EXPECT_EQ(read_file(scratch_ / "p.csv"), read_file(scratch_ / "q.csv"));
  write_text_file(scratch_ / "n.csv", "bought\n1999-12-31\n31.12.1999\n");
  const Outcome refused = here("predict m.json --weights w.safetensors --in n.csv --out p.csv");
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.output.find("n.csv:3: column \"bought\" holds \"31.12.1999\", a date as"),
            std::string::npos)
      << refused.output;
}

TEST_F(DateColumns, NewTableFindsHowDatesAreWritten) {
  std::string table = "when,at,n,y\n";
  for (int i = 0; i < 400; ++i) {
    char line[80];
    std::snprintf(line, sizeof line, "%02d.%02d.2020 %02d:30,%02d/%02d/21,%d,%d\n", i % 28 + 1,
                  i % 12 + 1, i % 24, i % 12 + 1, i % 11 + 1, i * i % 17, i % 24 + i % 5);
    table += line;
  }
  write_text_file(scratch_ / "t.csv", table);
  const Outcome made = here("new table t.csv:target=y -o m.json");
  ASSERT_EQ(made.code, 0) << made.output;
  for (const char* part : {"column \"when\" is dates as %d.%m.%Y %H:%M: it becomes "
                           "[\"days\",\"day_of_year\",\"day_of_week\",\"hour\"]\n",
                           "column \"at\" is dates as %m/%d/%y: it becomes "
                           "[\"days\",\"day_of_year\",\"day_of_week\"]; "
                           "they fit %d/%m/%y as well, \"format\" says which it is"})
    EXPECT_NE(made.output.find(part), std::string::npos) << part << "\n" << made.output;
  const Outcome trained = here("train m.json --data t.csv:target=y:test=0.2 --epochs 30");
  ASSERT_EQ(trained.code, 0) << trained.output;
}

// Chicago's buses: the season, the day of the week and the year say most of how many ride.
TEST_F(DateColumns, RealDatesTellHowManyRide) {
  const std::string riders = shared_data("timeseries/cta_daily_ridership.csv");
  if (riders.empty()) GTEST_SKIP() << "no data: GRADC_DATA names the folder";
  const std::string data = riders + ":target=bus:drop=rail_boardings,total_rides,day_type";
  const Outcome made = here("new table " + data + " -o m.json");
  ASSERT_EQ(made.code, 0) << made.output;
  EXPECT_NE(made.output.find("column \"service_date\" is dates as %m/%d/%Y"), std::string::npos)
      << made.output;
  const Outcome trained =
      here("train m.json --data " + data + ":validation=0.15:test=0.15 --epochs 20");
  ASSERT_EQ(trained.code, 0) << trained.output;
  std::smatch found;
  ASSERT_TRUE(
      std::regex_search(trained.output, found, std::regex("test[^\n]*r2_score ([-0-9.e]+)")));
  EXPECT_GT(std::stod(found[1].str()), 0.75) << trained.output;
}

}  // namespace
}  // namespace gradc::test
