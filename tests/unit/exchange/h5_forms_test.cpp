// Every form of HDF5 that is read: old.h5 and new.h5 of make_files.py, which h5py wrote.
#include "tests/unit/exchange/read.h"

#include "exchange/h5_file.h"

#include <algorithm>
#include <cmath>

namespace gradc::exchange {
namespace {

class Forms : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto opened =
        H5File::open(std::string(GRADC_SOURCE_DIR) + "/tests/exchange/" + GetParam() + ".h5");
    ASSERT_TRUE(opened.ok()) << opened.message();
    file_ = std::move(*opened);
  }
  bool is_new() const { return std::string_view(GetParam()) == "new"; }

  /// Element i is (i + first) * step.
  void expect_numbers(const std::string& path, rt::Dtype dtype, std::vector<int64_t> dims,
                      double first, double step) const {
    const auto array = file_->dataset(path);
    ASSERT_TRUE(array.ok()) << array.message();
    EXPECT_EQ(array->dtype, dtype) << path;
    EXPECT_EQ(std::vector<int64_t>(array->dims.begin(), array->dims.end()), dims) << path;
    for (size_t i = 0; i < array->count(); ++i) {
      const double value = (static_cast<double>(i) + first) * step;
      ASSERT_EQ(rt::load_f64(array->data.data(), dtype, i), value) << path << " " << i;
    }
  }
  void expect_ramp(const std::string& path, std::vector<int64_t> dims) const {
    expect_numbers(path, rt::Dtype::kF32, std::move(dims), -3, 0.125);
  }
  void expect_constant(const std::string& path, rt::Dtype dtype, size_t count, double value) const {
    const auto array = file_->dataset(path);
    ASSERT_TRUE(array.ok()) << array.message();
    ASSERT_EQ(array->dtype, dtype) << path;
    ASSERT_EQ(array->count(), count) << path;
    for (size_t i = 0; i < count; ++i)
      ASSERT_EQ(rt::load_f64(array->data.data(), dtype, i), value) << path << " " << i;
  }
  std::string refusal(const std::string& path) const {
    const auto array = file_->dataset(path);
    return array.ok() ? "read" : array.message();
  }
  std::vector<std::string> texts(const std::string& object, const std::string& name) const {
    auto read = file_->strings(object, name);
    EXPECT_TRUE(read.ok()) << read.message();
    return read.ok() ? std::move(*read) : std::vector<std::string>{};
  }

  std::unique_ptr<H5File> file_;
};

TEST_P(Forms, IntegersOfEveryWidthAndOrder) {
  for (const int bits : {8, 16, 32, 64}) {
    for (const char* order : {"little", "big"}) {
      expect_numbers(fmt::format("types/i{}_{}", bits, order),
                     bits == 64 ? rt::Dtype::kI64 : rt::Dtype::kI32, {3, 5}, -3, 1);
      expect_numbers(fmt::format("types/u{}_{}", bits, order), rt::Dtype::kI64, {3, 5}, 0, 1);
    }
  }
  EXPECT_NE(refusal("types/large_u64").find("has integers above 9223372036854775807"),
            std::string::npos);
}

TEST_P(Forms, FloatsOfEveryWidthAndOrder) {
  for (const int bits : {16, 32, 64}) {
    for (const char* order : {"little", "big"})
      expect_numbers(fmt::format("types/f{}_{}", bits, order),
                     bits == 64 ? rt::Dtype::kF64 : rt::Dtype::kF32, {3, 5}, -3, 0.125);
  }
  expect_ramp("types/bf16", {3, 5});
  expect_ramp("types/of_named_type", {4});
}

TEST_P(Forms, WhatIsNoNumberIsNamed) {
  EXPECT_NE(refusal("types/compound").find("is of a type that is no number (a compound)"),
            std::string::npos);
  EXPECT_NE(refusal("types/truth").find("no number (an enumeration)"), std::string::npos);
  EXPECT_NE(refusal("types/text").find("no number (of any length)"), std::string::npos);
  EXPECT_NE(refusal("types").find("cannot be read"), std::string::npos);
  EXPECT_NE(refusal("shapes/null").find("has no shape"), std::string::npos);
}

TEST_P(Forms, ShapesAndWhatIsNotStored) {
  expect_constant("shapes/scalar", rt::Dtype::kF32, 1, 2.5);
  expect_ramp("shapes/empty", {0, 3});
  expect_ramp("shapes/compact", {2, 3});
  expect_constant("shapes/nothing_stored", rt::Dtype::kF32, 12, 1.5);
  expect_constant("shapes/nothing_stored_big", rt::Dtype::kI32, 12, -7);
  expect_constant("deep/er/and/deeper/scalar", rt::Dtype::kF32, 1, 2.5);
}

TEST_P(Forms, BlocksOfEveryIndexAndFilter) {
  for (const char* packing : {"plain", "gzip", "shuffle", "all", "sum"}) {
    for (const char* limit : {"fixed", "open", "open_second", "open_both", "single"}) {
      const std::string path = fmt::format("blocks/{}_{}", packing, limit);
      if (std::string_view(limit) == "fixed" || file_->has(path)) expect_ramp(path, {5, 7});
    }
  }
  EXPECT_EQ(file_->has("blocks/all_open_both"), is_new());
  expect_numbers("blocks/odd_sum", rt::Dtype::kI32, {7}, -3, 1);
  expect_ramp("blocks/cube", {3, 4, 5});
  expect_ramp("blocks/in_turn", {5, 7});
  expect_ramp("blocks/skips", {4});
}

TEST_P(Forms, ManyBlocksAndHoles) {
  const auto at = [](const rt::Array& array, size_t i) {
    return rt::load_i64(array.data.data(), array.dtype, i);
  };
  for (const char* name : {"blocks/many", "blocks/many_open"}) {
    const auto array = file_->dataset(name);
    ASSERT_TRUE(array.ok()) << array.message();
    EXPECT_GE(array->count(), 150U);
    for (size_t i = 0; i < array->count(); ++i)
      ASSERT_EQ(at(*array, i), static_cast<int8_t>(i - 3)) << name << " " << i;
  }
  for (const char* name : {"blocks/holes", "blocks/holes_fixed"}) {
    const auto array = file_->dataset(name);
    ASSERT_TRUE(array.ok()) << array.message();
    const size_t begin = array->count() - 10;
    for (size_t i = 0; i < array->count(); ++i) {
      const bool is_written = i >= begin && i < begin + 3;
      ASSERT_EQ(at(*array, i), is_written ? static_cast<int64_t>(i - begin) + 1 : 9) << name << i;
    }
  }
}

TEST_P(Forms, AttributesInHeadersAndHeaps) {
  using Texts = std::vector<std::string>;
  for (const int count : {1, 12}) {
    const std::string object = fmt::format("attributes{}", count);
    for (int i = 0; i < count; ++i)
      EXPECT_EQ(texts(object, fmt::format("text{}", i)), Texts{fmt::format("value {}", i)});
    EXPECT_EQ(texts(object, "list"), (Texts{"one", "two", "", "four"}));
    EXPECT_EQ(texts(object, "fixed"), (Texts{"a", "bcd"}));
    EXPECT_EQ(texts(object, "none"), Texts{});
    EXPECT_EQ(texts(object, "empty"), Texts{});
    EXPECT_EQ(texts(object, "term"), Texts{"ab"});
    EXPECT_EQ(texts(object, "pad"), Texts{"ab"});
    EXPECT_EQ(texts(object, "space").front().substr(0, 2), "ab");
    EXPECT_FALSE(file_->strings(object, "number").ok());
    EXPECT_FALSE(file_->has_attribute(object, "absent"));
    EXPECT_EQ(file_->split_strings(object, "text")->size(), static_cast<size_t>(count));
  }
  EXPECT_EQ(texts("", "of_named_type"), Texts{"shared"});
  EXPECT_EQ(file_->is_group("huge"), is_new());
  if (is_new()) {
    EXPECT_EQ(texts("huge", "text"), Texts{std::string(70000, 'x')});
  }
}

TEST_P(Forms, GroupsOfFewAndManyLinks) {
  for (const auto& [name, count] : {std::pair{"links3", 3},
                                    {"links40", 40},
                                    {"links3_ordered", 3},
                                    {"links12_ordered", 12},
                                    {"links300_ordered", 300}}) {
    std::vector<std::string> expected;
    for (int i = 0; i < count; ++i)
      expected.push_back(fmt::format("g{}", i));
    std::ranges::sort(expected);
    const auto members = file_->members(name);
    ASSERT_TRUE(members.ok()) << members.message();
    EXPECT_EQ(*members, expected) << name;
    for (int i = 0; i < count; ++i) {
      const std::string path = fmt::format("{}/g{}", name, i);
      EXPECT_EQ(file_->is_group(path), i % 100 == 1) << path;
      if (i % 100 == 1) continue;
      EXPECT_EQ(file_->address(path), file_->address("shapes/scalar")) << path;
    }
    EXPECT_FALSE(file_->has(std::string(name) + "/g"));
  }
}

TEST_P(Forms, LinksToNamesAreNotFollowed) {
  const auto members = file_->members("");
  ASSERT_TRUE(members.ok()) << members.message();
  for (const char* link : {"soft", "outside"}) {
    EXPECT_NE(std::ranges::find(*members, link), members->end());
    EXPECT_FALSE(file_->has(link));
    EXPECT_NE(refusal(link).find("behind a link that leads elsewhere"), std::string::npos);
  }
  EXPECT_FALSE(file_->has("shapes/scalar/inside"));
}

INSTANTIATE_TEST_SUITE_P(Files, Forms, ::testing::Values("old", "new"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace gradc::exchange
