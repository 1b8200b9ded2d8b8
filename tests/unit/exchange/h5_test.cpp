// HDF5 files that are made, and what has many names in those that are read.
#include "tests/unit/exchange/read.h"

#include "exchange/h5_file.h"
#include "exchange/weights.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

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

rt::Bytes bytes_of(const char* name) {
  rt::Bytes bytes;
  EXPECT_TRUE(rt::read_file((kFiles + name).c_str(), &bytes).ok());
  return bytes;
}

uint64_t little(const rt::Bytes& bytes, size_t at, size_t count) {
  uint64_t value = 0;
  while (count-- > 0)
    value = value << 8U | bytes[at + count];
  return value;
}

/// Where references {length, heap, number} into the file's only kind of heap stand.
std::vector<size_t> references_of(const rt::Bytes& bytes) {
  constexpr uint64_t kHeap = 0x4C4F4347;  // "GCOL"
  std::vector<size_t> found;
  for (size_t at = 0; at + 16 <= bytes.size(); ++at) {
    const uint64_t heap = little(bytes, at + 4, 8);
    const uint64_t length = little(bytes, at, 4);
    if (heap == 0 || heap >= bytes.size() - 8 || little(bytes, heap, 4) != kHeap) continue;
    if (length > 0 && length < 65536 && little(bytes, at + 12, 4) < 64) found.push_back(at);
  }
  return found;
}

// The library would write as many bytes as the heap's object has into a buffer of the length that
// the reference states.
TEST(TextsOfAnyLength, AReferenceThatLiesIsRefused) {
  const rt::Bytes seed = bytes_of("whole.h5");
  const auto texts = [](rt::Bytes& bytes) {
    const auto file = H5File::open_image("image", bytes);
    EXPECT_TRUE(file.ok()) << file.message();
    return (*file)->strings("", "model_config");
  };
  rt::Bytes sound;
  sound.append(seed.data(), seed.size());
  const auto config = texts(sound);
  ASSERT_TRUE(config.ok()) << config.message();
  ASSERT_EQ(config->size(), 1U);
  const std::vector<size_t> references = references_of(seed);
  const auto own = std::find_if(references.begin(), references.end(), [&](size_t at) {
    return little(seed, at, 4) == config->front().size();
  });
  ASSERT_NE(own, references.end());
  struct Lie {
    size_t at, count;
    uint64_t value;
  };
  const uint64_t length = config->front().size();
  const uint64_t number = little(seed, *own + 12, 4);
  for (const Lie& lie : std::initializer_list<Lie>{{0, 4, 1},
                                                   {0, 4, length - 1},
                                                   {0, 4, length + 1},
                                                   {0, 4, 0xFFFFFFFF},
                                                   {4, 8, 0},
                                                   {4, 8, 8},
                                                   {4, 8, seed.size()},
                                                   {4, 8, ~uint64_t{0}},
                                                   {12, 4, 0},
                                                   {12, 4, number + 1},
                                                   {12, 4, 65535},
                                                   {12, 4, number + 65536}}) {
    rt::Bytes bytes;
    bytes.append(seed.data(), seed.size());
    for (size_t i = 0; i < lie.count; ++i)
      bytes[*own + lie.at + i] = static_cast<uint8_t>(lie.value >> (8 * i));
    EXPECT_FALSE(texts(bytes).ok()) << lie.at << " " << lie.value;
  }
}

TEST(TextsOfAnyLength, AFileBehindAForeignBeginIsRefused) {
  const rt::Bytes seed = bytes_of("whole.h5");
  rt::Bytes bytes;
  bytes.resize(512);
  std::memset(bytes.data(), 8, bytes.size());
  bytes.append(seed.data(), seed.size());
  EXPECT_FALSE(H5File::open_image("image", bytes).ok());
}

}  // namespace
}  // namespace gradc::exchange
