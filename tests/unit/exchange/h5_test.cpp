// HDF5 files that are made, and what has many names in those that are read.
#include "tests/unit/exchange/read.h"

#include "exchange/h5_file.h"
#include "exchange/weights.h"

#include <cstring>

namespace gradc::exchange {
namespace {

const std::string kFiles = std::string(GRADC_SOURCE_DIR) + "/tests/exchange/";

rt::Array array_of(rt::Dtype dtype, std::vector<int64_t> dims) {
  rt::Array array;
  array.dtype = dtype;
  array.dims.append(dims.data(), dims.size());
  array.data.resize(array.count() * rt::dtype_bytes(dtype));
  return array;
}

TEST(MadeH5, ShortFloatsBecomeF32) {
  for (const rt::Dtype dtype : {rt::Dtype::kF16, rt::Dtype::kBF16}) {
    rt::Array array = array_of(dtype, {64, 128});
    for (size_t i = 0; i < array.count(); ++i)
      rt::store_f64(array.data.data(), dtype, i, static_cast<double>(i % 256));
    H5Content content;
    content.arrays.emplace_back("a/b", &array);
    auto image = make_h5(content);
    ASSERT_TRUE(image.ok()) << image.message();
    rt::Bytes bytes;
    bytes.append(reinterpret_cast<const unsigned char*>(image->data()), image->size());
    const auto file = H5File::open_image("made", bytes);
    ASSERT_TRUE(file.ok()) << file.message();
    const auto again = (*file)->dataset("a/b");
    ASSERT_TRUE(again.ok()) << again.message();
    ASSERT_EQ(again->dtype, rt::Dtype::kF32);
    ASSERT_EQ(again->count(), array.count());
    for (size_t i = 0; i < array.count(); ++i)
      ASSERT_EQ(rt::load_f64(again->data.data(), again->dtype, i), static_cast<double>(i % 256));
  }
}

TEST(MadeH5, OtherTypesAndHalfArraysAreNamed) {
  rt::Array bytes = array_of(rt::Dtype::kU8, {512});
  rt::Array half = array_of(rt::Dtype::kF32, {512});
  half.data.resize(512);
  H5Content content;
  content.arrays.emplace_back("of/bytes", &bytes);
  content.arrays.emplace_back("of/half", &half);
  const auto image = make_h5(content);
  ASSERT_FALSE(image.ok());
  ASSERT_EQ(image.diagnostics().size(), 2U);
  EXPECT_NE(image.diagnostics()[0].message.find("\"of/bytes\""), std::string::npos);
  EXPECT_NE(image.diagnostics()[1].message.find("\"of/half\""), std::string::npos);
}

TEST(MadeH5, NothingIsPrintedByTheLibrary) {
  H5Content content;
  content.groups.emplace_back(".");
  ::testing::internal::CaptureStderr();
  const auto image = make_h5(content);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_FALSE(image.ok());
}

std::string problem_of(const char* name) {
  SourceSet sources;
  const auto model = read_model(kFiles + name, sources);
  if (!model.ok()) return problems_of(model, sources);
  rt::SafetensorsFile file;
  std::vector<Diagnostic> left_out;
  const Status status = read_foreign_weights(*model, kFiles + name, &file, &left_out);
  return status.ok() ? std::string() : render_diagnostics(status.diagnostics(), sources);
}

// 4 links to itself: 4^16 paths.
TEST(HardLinks, AGroupInItselfIsRefused) {
  const std::string problem = problem_of("cycle.keras");
  EXPECT_NE(problem.find("\"layers/lstm/cell/forward_layer\" has another name too"),
            std::string::npos)
      << problem;
}

// 20 names of 24 MB of zeros, in some KB.
TEST(HardLinks, OneDatasetOfManyNamesIsRefused) {
  const std::string problem = problem_of("again.keras");
  EXPECT_NE(problem.find("more than it can hold"), std::string::npos) << problem;
}

}  // namespace
}  // namespace gradc::exchange
