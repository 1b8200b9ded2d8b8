// Parts of a data set: each is absent or whole; values within what the model and its loss take;
// statistics of columns that do not vary.
#include "runtime/dataset.h"
#include "runtime/feed.h"
#include "runtime/safetensors.h"
#include "runtime/weights.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;
using testing::make_array;
using testing::OwnedInstance;
using testing::TempDir;
using testing::write_bytes;

Array x_array(const char* name, int64_t rows) {
  return make_array(name, Dtype::kF32, {rows, 3},
                    std::vector<double>(static_cast<size_t>(rows * 3), 1));
}
Array y_array(const char* name, int64_t rows) {
  return make_array(name, Dtype::kF32, {rows}, std::vector<double>(static_cast<size_t>(rows), 1));
}

Status load(const std::string& spec, DataSet* set, TargetNeed need = TargetNeed::kRequired) {
  const FakeModel model;
  DataSource source;
  source.spec = Str(spec.c_str());
  return load_dataset(model.get(), source, need, set);
}

template <class... A>
Status load_of(DataSet* set, TargetNeed need, A&&... arrays) {
  const TempDir dir;
  Vec<TensorView> views;
  (views.push({arrays.name.c_str(), arrays.dtype, arrays.dims.span(), arrays.data.data(),
               arrays.data.size()}),
   ...);
  const std::string path = dir.file("d.safetensors");
  EXPECT_TRUE(write_safetensors(path.c_str(), {views.data(), views.size()}, {}).ok());
  return load(path, set, need);
}

template <class... A>
std::string problem_of(A&&... arrays) {
  DataSet set;
  const Status status = load_of(&set, TargetNeed::kRequired, arrays...);
  EXPECT_EQ(status.code, Code::kUserError);
  return status.text.c_str();
}

void expect_part(const std::string& text, const char* part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

// A whole part hides nothing of another.
TEST(DataParts, EachIsAbsentOrWhole) {
  expect_part(problem_of(x_array("x_train", 5), y_array("y_train", 4), x_array("x_test", 2),
                         y_array("y_test", 2)),
              "y_train: has 4 examples, ");
  expect_part(problem_of(x_array("x_train", 5), y_array("y_train", 5), x_array("x_val", 3),
                         y_array("y_val", 2)),
              "y_val: has 2 examples, ");
  expect_part(problem_of(x_array("x_train", 5), y_array("y_train", 5), x_array("x_test", 0),
                         y_array("y_test", 0)),
              "x_test: has no examples");
  expect_part(problem_of(x_array("x_train", 5), x_array("x_test", 2), y_array("y_test", 2)),
              "the training part is not whole, it has \"x_train\" only");
  expect_part(problem_of(y_array("y_train", 5), x_array("x_test", 2), y_array("y_test", 2)),
              "no array for input/x f32[4, 3]: one named \"x\" or \"x_train\" was expected");
  expect_part(problem_of(x_array("x", 5), y_array("y", 5), y_array("test/y", 2)),
              "the test part is not whole, it has \"test/y\" only");
  expect_part(problem_of(x_array("x", 5), make_array("y", Dtype::kF32, {}, {1}),
                         x_array("x_test", 2), y_array("y_test", 2)),
              "y: is a scalar");
  expect_part(problem_of(x_array("x_val", 5), y_array("y_val", 5)), "has a validation part only");
  const std::string all =
      problem_of(x_array("x_train", 5), y_array("y_train", 4), x_array("x_val", 3),
                 x_array("x_test", 0), y_array("y_test", 1));
  expect_part(all, "y_train: has 4 examples");
  expect_part(all, "the validation part is not whole");
  expect_part(all, "x_test: has no examples");
  expect_part(all, "y_test: has 1 examples");
}

TEST(DataParts, ForeignArraysArePassedOver) {
  DataSet set;
  const Status status = load_of(&set, TargetNeed::kRequired, x_array("x", 5), y_array("y", 5),
                                y_array("weights", 3), make_array("note", Dtype::kU8, {0}, {}));
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  EXPECT_EQ(set.train.rows, 5);
  expect_part(problem_of(x_array("pictures", 5), y_array("y", 5)), "found: \"y\", \"pictures\"");
  DataSet single;  // one array of any name is a single input
  ASSERT_TRUE(load_of(&single, TargetNeed::kOptional, x_array("pictures", 5)).ok());
  EXPECT_EQ(single.train.rows, 5);
}

std::string idx(char type, std::vector<int> dims, const std::string& data) {
  std::string out{'\0', '\0', type, static_cast<char>(dims.size())};
  for (int d : dims)
    out += std::string{'\0', '\0', static_cast<char>(d >> 8), static_cast<char>(d)};
  return out + data;
}

TEST(DataParts, AFolderIsCheckedWhole) {
  const auto folder = [](const std::string& images, const std::string& labels) {
    TempDir dir;
    if (!images.empty()) write_bytes(dir.file("train-images-idx3-ubyte"), images);
    if (!labels.empty()) write_bytes(dir.file("train-labels-idx1-ubyte"), labels);
    write_bytes(dir.file("t10k-images-idx3-ubyte"), idx(8, {1, 1, 3}, "abc"));
    write_bytes(dir.file("t10k-labels-idx1-ubyte"), idx(8, {1}, "a"));
    write_bytes(dir.file("readme.npy"), "no data at all");  // foreign: not opened
    DataSet set;
    const Status status = load(dir.path(), &set);
    return std::string(status.text.c_str());
  };
  EXPECT_EQ(folder(idx(8, {2, 1, 3}, "abcdef"), idx(8, {2}, "ab")), "");
  expect_part(folder(idx(8, {2, 1, 3}, "abcdef"), idx(8, {1}, "a")), "has 1 examples");
  expect_part(folder(idx(8, {2, 1, 3}, "abcdef"), ""), "no array for target/y");
  expect_part(folder("", idx(8, {2}, "ab")), "no array for input/x");
  expect_part(folder(idx(8, {3, 1, 3}, "abcdef"), idx(8, {2}, "ab")), "needs 9 bytes of data");
  const std::string both = folder(idx(8, {3, 1, 3}, "abcdef"), idx(8, {3}, "ab"));
  expect_part(both, "needs 9 bytes of data");
  expect_part(both, "needs 3 bytes of data");
}

TEST(DataParts, AFileForAnInputIsGivenOnce) {
  const FakeModel model;
  DataSource source;
  source.inputs.push({Str("x"), Str("a.npy")});
  source.inputs.push({Str("x"), Str("b.npy")});
  DataSet set;
  expect_part(load_dataset(model.get(), source, TargetNeed::kOptional, &set).text.c_str(),
              "--input x is given twice: a.npy and b.npy");
}

// ---- values -----------------------------------------------------------------------------------

std::string check(const FakeModel& model, std::vector<double> targets, Dtype dtype = Dtype::kF64) {
  DataPart part;
  part.present = true;
  part.rows = static_cast<int64_t>(targets.size());
  part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
  const int64_t rows = part.rows;
  part.arrays[1] = make_array("y", dtype, {rows}, targets);
  return check_part(model.get(), part, TargetNeed::kRequired).text.c_str();
}

TEST(DataValues, TargetsLieWhereTheLossIsDefined) {
  FakeModel model;
  gradc_rt_data& rule = model.target_data();
  rule.scale = 1;
  EXPECT_EQ(check(model, {-5, 7}), "");  // any
  rule.target_min = 0;
  rule.target_max = 1;
  EXPECT_EQ(check(model, {0, 1, 0.25}), "");
  EXPECT_EQ(check(model, {0, 1}, Dtype::kU8), "");
  expect_part(
      check(model, {1, 2, 2}),
      "example 1 is 2, the loss of target/y is defined for values from 0 to 1 (and 1 more)");
  expect_part(check(model, {1, 2, 1}, Dtype::kU8), "example 1 is 2, the loss");
  expect_part(check(model, {1, -1}), "example 1 is -1, the loss");
  rule.scale = 0.5;
  EXPECT_EQ(check(model, {2, 0}), "");
  expect_part(check(model, {2, 3}), "example 1 is 3 (1.5 scaled), the loss");
  rule.scale = 1;
  rule.target_max = std::numeric_limits<double>::infinity();
  EXPECT_EQ(check(model, {0, 1e9}), "");
  expect_part(check(model, {-0.5}), "is defined for values of at least 0");
  rule.target_min = -1;
  rule.flags = GRADC_RT_TARGET_ABOVE_MIN;
  EXPECT_EQ(check(model, {-0.99}), "");
  expect_part(check(model, {-1}), "is defined for values above -1");
  rule.target_max = 1;
  rule.flags = GRADC_RT_TARGET_WHOLE;
  EXPECT_EQ(check(model, {-1, 0, 1}), "");
  expect_part(check(model, {0.5}), "is defined for whole numbers from -1 to 1");
}

TEST(DataValues, RangesOfIndices) {
  FakeModelOptions options;
  options.classes = true;
  FakeModel model(options);
  const int64_t ranges[] = {2, 5};
  model.target_data().num_ranges = 1;
  model.target_data().ranges = ranges;
  EXPECT_EQ(check(model, {2, 5}, Dtype::kI64), "");
  expect_part(check(model, {2, 6, 1}, Dtype::kI64),
              "example 1 is 6, target/y needs values from 2 to 5 (and 1 more)");
  expect_part(check(model, {4294967298.0}, Dtype::kI64), "example 0 is 4294967298, target/y needs");
  const int64_t open[] = {INT64_MIN, 5};
  model.target_data().ranges = open;
  EXPECT_EQ(check(model, {-7}), "");
  expect_part(check(model, {6}), "target/y needs values of at most 5");
  expect_part(check(model, {-5e9}, Dtype::kI64), "-5000000000, which does not fit i32");
  expect_part(check(model, {std::nan("")}), "example 0 is nan, target/y needs whole numbers");
  expect_part(check(model, {1e300}), "example 0 is 1e+300, target/y needs whole numbers");
}

TEST(DataValues, EachColumnHasItsOwnRange) {
  FakeModel model;
  gradc_rt_tensor& x = model.tensor("input/x");
  x.dtype = GRADC_RT_I32;
  const int64_t ranges[] = {0, 9, 0, 1, INT64_MIN, INT64_MAX};
  model.input_data().num_ranges = 3;
  model.input_data().ranges = ranges;
  const int32_t good[] = {9, 1, 1000, 0, 0, -1000};
  const int32_t bad[] = {9, 1, 1000, 1, 9, 0};
  EXPECT_TRUE(check_values(model.get(), 0, Dtype::kI32, good, 2, "x").ok());
  expect_part(check_values(model.get(), 0, Dtype::kI32, bad, 2, "x").text.c_str(),
              "x: example 1, value 1 is 9, input/x needs values from 0 to 1");
}

TEST(DataValues, NumbersOutOfRangeBecomeTheNearestEnd) {
  int32_t narrow = 0;
  store_f64(&narrow, Dtype::kI32, 0, 1e300);
  EXPECT_EQ(narrow, INT32_MAX);
  store_f64(&narrow, Dtype::kI32, 0, std::nan(""));
  EXPECT_EQ(narrow, 0);
  store_i64(&narrow, Dtype::kI32, 0, INT64_MIN);
  EXPECT_EQ(narrow, INT32_MIN);
  uint8_t byte = 0;
  store_f64(&byte, Dtype::kU8, 0, 256.0);
  EXPECT_EQ(byte, 255);
  store_i64(&byte, Dtype::kU8, 0, -1);
  EXPECT_EQ(byte, 0);
  const double values[] = {1e300, -1e19, std::nan(""), -3.7};
  EXPECT_EQ(load_i64(values, Dtype::kF64, 0), INT64_MAX);
  EXPECT_EQ(load_i64(values, Dtype::kF64, 1), INT64_MIN);
  EXPECT_EQ(load_i64(values, Dtype::kF64, 2), 0);
  EXPECT_EQ(load_i64(values, Dtype::kF64, 3), -3);
}

// ---- statistics -------------------------------------------------------------------------------

// A column of `value` in each of `rows` rows, standardized; what it and `other` become.
std::pair<float, float> constant_column(double value, int64_t rows, double other,
                                        double scale = 1) {
  FakeModelOptions options;
  options.features = 1;
  options.batch = 1;
  FakeModel model(options);
  model.input_data().scale = scale;
  model.input_data().standardize = GRADC_RT_STANDARDIZE_FROM_DATA;
  model.input_data().stat_count = 1;
  OwnedInstance instance(model.get());
  const auto gather = [&](double x, int64_t count, bool fit) {
    DataPart part;
    part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
    part.arrays[0] = make_array("x", Dtype::kF64, {count, 1},
                                std::vector<double>(static_cast<size_t>(count), x));
    Feed feed;
    EXPECT_TRUE(feed.prepare(*instance, part, 0, count, fit, TargetNeed::kOptional).ok());
    const int64_t order[] = {0};
    feed.gather(*instance, {order, 1, false, 1, 0}, {0, 1, nullptr, nullptr, nullptr});
    return instance.values("input/x")[0];
  };
  const float same = gather(value, rows, true);
  return {same, gather(other, 1, false)};
}

TEST(Standardize, AConstantColumnBecomesZeroWhateverItsValue) {
  for (double value : {14.62, 0.1, 1e30, -1e-30, 1.0 / 3, 5e-324, 255.0, 123456789.123, 0.0}) {
    for (int64_t rows : {1, 3, 10, 1000, 4099}) {
      EXPECT_EQ(constant_column(value, rows, value).first, 0.0f) << value << " x " << rows;
      EXPECT_EQ(constant_column(value, rows, value).second, 0.0f) << value << " x " << rows;
    }
  }
  EXPECT_NEAR(constant_column(14.62, 1000, 14.77).second, 0.15, 1e-6);
  EXPECT_NEAR(constant_column(0.1, 1000, 1.1).second, 1.0, 1e-6);
  EXPECT_EQ(constant_column(0.1, 1000, 0.1, 1.0 / 255).first, 0.0f);
}

TEST(Standardize, ColumnsOfAnySizeKeepTheirDigits) {
  for (double unit : {1.0, 1e30, 1e-30, 5e-324}) {
    for (double base : {0.0, 1e6}) {
      FakeModelOptions options;
      options.features = 1;
      options.batch = 2;
      FakeModel model(options);
      model.input_data().standardize = GRADC_RT_STANDARDIZE_FROM_DATA;
      model.input_data().stat_count = 1;
      OwnedInstance instance(model.get());
      DataPart part;
      part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
      part.arrays[0] = make_array("x", Dtype::kF64, {2, 1}, {base * unit, (base + 2) * unit});
      Feed feed;
      ASSERT_TRUE(feed.prepare(*instance, part, 0, 2, true, TargetNeed::kOptional).ok());
      const int64_t order[] = {0, 1};
      feed.gather(*instance, {order, 2, false, 1, 0}, {0, 1, nullptr, nullptr, nullptr});
      if (unit > 1e-300) {  // the least numbers have no digits to keep
        EXPECT_NEAR(instance.values("input/x")[0], -1, 1e-5) << unit << " " << base;
      }
      EXPECT_TRUE(std::isfinite(instance.values("input/x")[0]));
      EXPECT_TRUE(std::isfinite(instance.values("input/x")[1]));
    }
  }
}

}  // namespace
}  // namespace gradc::rt
