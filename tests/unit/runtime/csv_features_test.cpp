// Columns that a model's rule names, and parts of a table.
#include "runtime/csv_features.h"

#include "runtime/dataset.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;
using testing::TempDir;
using testing::write_bytes;

using Values = std::vector<double>;
using Names = std::vector<std::string>;

Values values_of(const Array& array) {
  Values values;
  for (size_t i = 0; i < array.count(); ++i)
    values.push_back(load_f64(array.data.data(), array.dtype, i));
  return values;
}

Names names_of(const Vec<Str>& list) {
  Names names;
  for (const Str& name : list)
    names.emplace_back(name.c_str(), name.size());
  return names;
}

/// A model whose input takes the columns "size" (the median where it is missing, and a flag),
/// "kind" (at most three names) and "age" (never missing): six values.
class Features : public ::testing::Test {
 protected:
  Features() : model_(options(6)) { use(columns_.data(), columns_.size()); }
  static FakeModelOptions options(int64_t features) {
    FakeModelOptions options;
    options.features = features;
    return options;
  }
  void use(const gradc_rt_column* columns, size_t count) {
    model_.input_data().num_columns = static_cast<int64_t>(count);
    model_.input_data().columns = columns;
  }
  Status load(const std::string& text, const std::string& how = ":target=y", double held_out = 0,
              TargetNeed need = TargetNeed::kRequired) {
    write_bytes(dir_.file("d.csv"), text);
    DataSource source;
    source.spec = Str((dir_.file("d.csv") + how).c_str());
    Vec<TensorMeaning> known = static_cast<Vec<TensorMeaning>&&>(known_);
    set_ = DataSet();
    return load_dataset(model_.get(), source, need, &set_, known.empty() ? nullptr : &known,
                        held_out);
  }
  std::string problem(const std::string& text, double held_out = 0) {
    return load(text, ":target=y", held_out).text.c_str();
  }
  Values x(const DataPart& part) const { return values_of(part.arrays[0]); }

  std::vector<gradc_rt_column> columns_ = {
      {"size", 0, GRADC_RT_MISSING_MEDIAN, 0, nullptr, 1, 0, 0, nullptr},
      {"kind", 3, GRADC_RT_MISSING_REFUSED, 0, nullptr, 0, 0, 0, nullptr},
      {"age", 0, GRADC_RT_MISSING_REFUSED, 0, nullptr, 0, 0, 0, nullptr},
  };
  TempDir dir_;
  FakeModel model_;
  DataSet set_;
  Vec<TensorMeaning> known_;
};

void expect_part(const std::string& text, const char* part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

constexpr const char* kTable =
    "age,name,kind,size,y\n"
    "1,ann,red,10,1\n"
    "2,bob, blue ,NA,2\n"
    "3,cid,red,40,3\n"
    "4,dee,green,20,4\n";

TEST_F(Features, NumbersFlagsAndCategories) {
  const Status status = load(kTable);
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  EXPECT_EQ(x(set_.train), (Values{10, 0, 0, 0, 1, 1,  //
                                   20, 1, 1, 0, 0, 2,  //
                                   40, 0, 0, 0, 1, 3,  //
                                   20, 0, 0, 1, 0, 4}));
  const TensorMeaning& meaning = set_.meanings[0];
  EXPECT_EQ(names_of(meaning.columns), (Names{"size", "kind", "age"}));
  EXPECT_EQ(names_of(meaning.categories), (Names{"blue", "green", "red"}));
  EXPECT_EQ(names_of(meaning.fill), (Names{"20", "", ""}));
  EXPECT_TRUE(set_.unknown.empty());
}

// The last row is held out: its size counts for no median, its kind has no number.
TEST_F(Features, WhatStandsForThemIsOfTheTrainingRows) {
  ASSERT_TRUE(load(kTable, ":target=y", 0.25).ok());
  EXPECT_EQ(x(set_.train), (Values{10, 0, 0, 1, 0, 1,  //
                                   25, 1, 1, 0, 0, 2,  //
                                   40, 0, 0, 1, 0, 3,  //
                                   20, 0, 0, 0, 0, 4}));
  EXPECT_EQ(names_of(set_.meanings[0].categories), (Names{"blue", "red", ""}));
  ASSERT_EQ(set_.unknown.size(), 1u);
  expect_part(set_.unknown[0].c_str(),
              "column \"kind\": 1 row has \"green\", which is not among the rows that were trained "
              "on: all of its values are 0");

  // What was learned holds for other files, whatever they have and in whatever order.
  known_ = static_cast<Vec<TensorMeaning>&&>(set_.meanings);
  ASSERT_TRUE(load("kind,size,age\nred,,7\npink,1,8\n", "", 0, TargetNeed::kOptional).ok());
  EXPECT_EQ(x(set_.train), (Values{25, 1, 0, 1, 0, 7, 1, 0, 0, 0, 0, 8}));
  EXPECT_EQ(set_.unknown.size(), 1u);
}

// Weights may come from anywhere.
TEST_F(Features, WhatWeightsSayOfMissingCellsIsAFiniteNumber) {
  for (const bool date : {false, true}) {
    if (date) columns_[0].date_parts = GRADC_RT_DATE_DAYS;
    const std::string cell = date ? "2020-01-02" : "4";
    for (const char* fill : {"nan", "inf", "-inf", "1e999", "x", ""}) {
      ASSERT_TRUE(load("age,kind,size,y\n1,red," + cell + ",1\n2,red,,2\n").ok());
      set_.meanings[0].fill[0] = Str(fill);
      known_ = static_cast<Vec<TensorMeaning>&&>(set_.meanings);
      expect_part(problem("age,kind,size,y\n1,red,,1\n"),
                  "the weights say no finite number for missing cells of column \"size\"");
    }
  }
}

TEST_F(Features, MeansConstantsAndNamesOfTheirOwn) {
  columns_[0] = {"size", 0, GRADC_RT_MISSING_MEAN, 0, nullptr, 0, 0, 0, nullptr};
  columns_[1] = {"kind", 3, GRADC_RT_MISSING_GIVEN, 0, "none", 1, 0, 0, nullptr};
  columns_[2] = {"age", 0, GRADC_RT_MISSING_GIVEN, -1.5, nullptr, 0, 0, 0, nullptr};
  ASSERT_TRUE(load("age,kind,size,y\n,red,10,1\n2,,?,2\nnull,red,25,3\n").ok());
  EXPECT_EQ(x(set_.train), (Values{10, 0, 1, 0, 0, -1.5,  //
                                   17.5, 1, 0, 0, 1, 2,   //
                                   25, 0, 1, 0, 0, -1.5}));
  EXPECT_EQ(names_of(set_.meanings[0].categories), (Names{"none", "red", ""}));
  EXPECT_EQ(names_of(set_.meanings[0].fill), (Names{"17.5", "", "-1.5"}));
}

TEST_F(Features, IntegersAreNumbersOfCategories) {
  gradc_rt_tensor& x_tensor = model_.tensor("input/x");
  x_tensor.dtype = GRADC_RT_I32;
  x_tensor.dims[1] = 1;
  use(&columns_[1], 1);
  ASSERT_TRUE(load(kTable, ":target=y", 0.25).ok());
  EXPECT_EQ(x(set_.train), (Values{2, 1, 2, 0}));
}

TEST_F(Features, ProblemsSayWhatHelps) {
  expect_part(problem("age,kind,size,y\n1,,1,1\n,red,1,2\n"),
              "column \"kind\" is empty, a name was expected (\"missing\": \"TEXT\"");
  expect_part(problem("age,kind,size,y\n1,a,1,1\n,red,1,2\n"),
              "d.csv:3: column \"age\" holds \"\", a number was expected (\"missing\": \"median\"");
  expect_part(problem("age,kind,size,y\n1,a,big,1\n"), "column \"size\" holds \"big\"");
  expect_part(problem("age,kind,size,y\n1,a,1,1\n1,b,1,1\n1,c,1,1\n1,d,1,1\n"),
              "column \"kind\" has 4 categories (\"a\", \"b\", \"c\", \"d\"), the model's rule has "
              "\"categories\": 3");
  expect_part(problem("age,kind,size,y\n1,a,,1\n1,b,,1\n1,c,3,1\n", 0.5),
              "column \"size\" is empty in all rows that are trained on: it has no median");
  expect_part(problem("age,size,y\n1,1,1\n"), "has no \"kind\", which input/x takes");
  expect_part(load("age,kind,size,y\n1,a,1,1\n", ":target=y:drop=age").text.c_str(),
              "column \"age\" is one of input/x, and named by target=, weight= or drop=");
}

// ---- dates ------------------------------------------------------------------------------------

/// "when" by year, month and day, then "size".
class DateFeatures : public Features {
 protected:
  DateFeatures() {
    model_.tensor("input/x").dims[1] = 4;
    columns_[0] = {"when",
                   0,
                   GRADC_RT_MISSING_REFUSED,
                   0,
                   nullptr,
                   0,
                   GRADC_RT_DATE_YEAR + 16 * GRADC_RT_DATE_MONTH + 256 * GRADC_RT_DATE_DAY,
                   0,
                   nullptr};
    columns_[1] = {"size", 0, GRADC_RT_MISSING_REFUSED, 0, nullptr, 0, 0, 0, nullptr};
    use(columns_.data(), 2);
  }
};

TEST_F(DateFeatures, BecomeTheirParts) {
  ASSERT_TRUE(load("size,when,y\n5,2020-03-04,1\n6, 1999-12-31T23:59 ,2\n").ok());
  EXPECT_EQ(x(set_.train), (Values{2020, 3, 4, 5, 1999, 12, 31, 6}));
  EXPECT_EQ(names_of(set_.meanings[0].columns), (Names{"when", "size"}));
  EXPECT_EQ(names_of(set_.meanings[0].fill), (Names{"", ""}));
  EXPECT_TRUE(set_.meanings[0].categories.empty());
  columns_[0].date_format = "%d.%m.%Y";
  ASSERT_TRUE(load("size,when,y\n5,4.3.2020,1\n").ok());
  EXPECT_EQ(x(set_.train), (Values{2020, 3, 4, 5}));
}

// The median of moments of the rows that are trained on, the same for other files.
TEST_F(DateFeatures, MissingOnesAreAMoment) {
  columns_[0].missing = GRADC_RT_MISSING_MEDIAN;
  columns_[0].flag = 1;
  model_.tensor("input/x").dims[1] = 5;
  ASSERT_TRUE(load("size,when,y\n1,2020-01-01,1\n2,NA,2\n3,2020-01-05,3\n4,2030-01-01,4\n",
                   ":target=y", 0.25)
                  .ok());
  EXPECT_EQ(x(set_.train), (Values{2020, 1, 1, 0, 1,  //
                                   2020, 1, 3, 1, 2,  //
                                   2020, 1, 5, 0, 3,  //
                                   2030, 1, 1, 0, 4}));
  known_ = static_cast<Vec<TensorMeaning>&&>(set_.meanings);
  ASSERT_TRUE(load("when,size\n,7\n", "", 0, TargetNeed::kOptional).ok());
  EXPECT_EQ(x(set_.train), (Values{2020, 1, 3, 1, 7}));
}

TEST_F(DateFeatures, ProblemsSayWhatHelps) {
  expect_part(problem("size,when,y\n1,2020-01-01,1\n1,2020-02-30,1\n1,soon,1\n"),
              "d.csv:3: column \"when\" holds \"2020-02-30\", a date as 2020-12-31 or "
              "2020-12-31T23:59 was expected (\"format\"");
  expect_part(problem("size,when,y\n1,,1\n"), "(\"missing\": \"median\"");
  columns_[0].date_format = "%d.%m.%Y";
  expect_part(problem("size,when,y\n1,2020-01-01,1\n"), "a date as %d.%m.%Y was expected");
}

// ---- parts ------------------------------------------------------------------------------------

/// Tables of rows whose three features and target say which they are.
class Parts : public Features {
 protected:
  Parts() {
    use(nullptr, 0);
    model_.tensor("input/x").dims[1] = 3;
  }
  static std::string table(int rows) {
    std::string text = "a,b,c,y\n";
    for (int i = 0; i < rows; ++i) {
      const std::string n = std::to_string(i);
      text += n + "," + n + "," + n + "," + n + "\n";
    }
    return text;
  }
  /// The rows of a part by its targets; its features agree.
  Values rows(const DataPart& part) const {
    if (!part.present) return {};
    const Values y = values_of(part.arrays[1]);
    const Values features = x(part);
    EXPECT_EQ(features.size(), 3 * y.size());
    for (size_t i = 0; i < features.size(); ++i)
      EXPECT_EQ(features[i], y[i / 3]);
    EXPECT_TRUE(std::is_sorted(y.begin(), y.end()));
    return y;
  }
};

TEST_F(Parts, AreDrawnBySeed) {
  ASSERT_TRUE(load(table(200), ":target=y:validation=0.15:test=0.25").ok());
  const Values train = rows(set_.train), validation = rows(set_.validation), test = rows(set_.test);
  EXPECT_EQ(train.size(), 120u);
  EXPECT_EQ(validation.size(), 30u);
  EXPECT_EQ(test.size(), 50u);
  Values all = train;
  all.insert(all.end(), validation.begin(), validation.end());
  all.insert(all.end(), test.begin(), test.end());
  std::sort(all.begin(), all.end());
  for (size_t i = 0; i < 200; ++i)
    EXPECT_EQ(all[i], static_cast<double>(i));
  EXPECT_LT(test.front(), 50);
  EXPECT_GT(test.back(), 150);
  ASSERT_TRUE(load(table(200), ":test=0.25:target=y").ok());
  EXPECT_EQ(rows(set_.test), test) << "the other part changes nothing";
  EXPECT_FALSE(set_.validation.present);
  ASSERT_TRUE(load(table(200), ":test=0.25:target=y:seed=1").ok());
  EXPECT_NE(rows(set_.test), test);
  ASSERT_TRUE(load(table(200), ":test=0.25:target=y", 0, TargetNeed::kOptional).ok());
  EXPECT_EQ(rows(set_.train).size(), 200u) << "predictions are of all rows";
}

TEST_F(Parts, FoldsAreEachRowOnce) {
  Values all;
  for (int k = 1; k <= 5; ++k) {
    ASSERT_TRUE(load(table(23), ":target=y:fold=" + std::to_string(k) + "/5").ok());
    const Values test = rows(set_.test);
    EXPECT_GE(test.size(), 4u);
    EXPECT_LE(test.size(), 5u);
    EXPECT_EQ(rows(set_.train).size(), 23 - test.size());
    all.insert(all.end(), test.begin(), test.end());
  }
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), 23u);
  for (size_t i = 0; i < 23; ++i)
    EXPECT_EQ(all[i], static_cast<double>(i));
}

TEST(ClassParts, HaveTheirShareOfEveryClass) {
  FakeModelOptions options;
  options.classes = true;
  FakeModel model(options);
  model.target_data().classes = 2;
  const TempDir dir;
  std::string text = "a,b,c,y\n";
  for (int i = 0; i < 100; ++i)
    text += "1,2,3," + std::string(i < 90 ? "often" : "rare") + "\n";
  write_bytes(dir.file("d.csv"), text);
  for (const char* how :
       {":target=y:fold=2/5", ":target=y:test=0.2", ":target=y:fold=5/5:seed=9"}) {
    DataSource source;
    source.spec = Str((dir.file("d.csv") + how).c_str());
    DataSet set;
    const Status status = load_dataset(model.get(), source, TargetNeed::kRequired, &set);
    ASSERT_TRUE(status.ok()) << status.text.c_str();
    const Values y = values_of(set.test.arrays[1]);
    EXPECT_EQ(y.size(), 20u);
    EXPECT_EQ(std::count(y.begin(), y.end(), 1.0), 2) << how;
  }
}

// By a column, and by tables of their own, whose columns stand in another order.
TEST(NamedParts, MeanWhatTheTableMeans) {
  FakeModelOptions options;
  options.classes = true;
  FakeModel model(options);
  model.target_data().classes = 2;
  const TempDir dir;
  write_bytes(dir.file("d.csv"),
              "a,b,c,part,y\n1,2,3,train,no\n4,5,6,val,yes\n7,8,9,training,yes\n1,1,1,test,no\n");
  write_bytes(dir.file("t.csv"), "y,part,c,b,a\nyes,train,3,2,1\nno,train,6,5,4\n");
  const auto load = [&](const std::string& how, DataSet* set) {
    DataSource source;
    source.spec = Str((dir.file("d.csv") + ":target=y" + how).c_str());
    return load_dataset(model.get(), source, TargetNeed::kRequired, set);
  };
  DataSet by_column;
  Status status = load(":part=part", &by_column);
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  EXPECT_EQ(values_of(by_column.train.arrays[0]), (Values{1, 2, 3, 7, 8, 9}));
  EXPECT_EQ(values_of(by_column.validation.arrays[0]), (Values{4, 5, 6}));
  EXPECT_EQ(values_of(by_column.test.arrays[1]), (Values{0}));
  DataSet by_table;
  status = load(":drop=part:test=" + dir.file("t.csv"), &by_table);
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  EXPECT_EQ(by_table.train.rows, 4);
  EXPECT_FALSE(by_table.validation.present);
  EXPECT_EQ(values_of(by_table.test.arrays[0]), (Values{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(values_of(by_table.test.arrays[1]), (Values{1, 0}));
  DataSet none;
  EXPECT_NE(std::string(load(":part=y", &none).text.c_str()).find("part="), std::string::npos);
  EXPECT_NE(std::string(load(":part=part:test=0.5", &none).text.c_str()).find("and so do"),
            std::string::npos);
}

TEST_F(Parts, WrongOptionsAreRefused) {
  const auto refused = [&](const char* how) {
    return std::string(load(table(10), std::string(":target=y") + how).text.c_str());
  };
  expect_part(refused(":test=1"),
              "a fraction between 0 and 1, or a table (.csv, .tsv), was expected");
  expect_part(refused(":fold=0/5"), "K/N was expected");
  expect_part(refused(":fold=6/5"), "K/N was expected");
  expect_part(refused(":fold=1/5:test=0.1"), "both say which rows are the test part");
  expect_part(refused(":validation=0.6:test=0.4"), "leave no rows to train on");
  expect_part(refused(":test=0.01"), "leaves the test part empty");
  expect_part(refused(":skip=-1"), "a number of rows was expected");
  expect_part(refused(":skip=11"), "no row is left behind the 11 that are skipped");
  expect_part(refused(":seed=x"), "a whole number was expected");
}

TEST_F(Parts, RowsBeforeTheHeaderAreSkipped) {
  ASSERT_TRUE(
      load("2,3,some words\n\n0 0 0 0\n1 1 1 1\n", ":skip=1:header=none:sep=space:target=4").ok());
  EXPECT_EQ(rows(set_.train), (Values{0, 1}));
}

}  // namespace
}  // namespace gradc::rt
