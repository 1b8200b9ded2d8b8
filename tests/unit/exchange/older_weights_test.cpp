// Kernels of Keras 1 and of Theano, element by element.
#include "tests/unit/exchange/read.h"

#include "exchange/h5_file.h"
#include "exchange/weights.h"

#include <filesystem>

namespace gradc::exchange {
namespace {

/// Element [i, j, ...] is the number with the digits i, j, ....
rt::Array digits(const Ints& dims) {
  rt::Array array;
  array.dims.append(dims.data(), dims.size());
  array.data.resize(array.count() * sizeof(float));
  for (size_t n = 0; n < array.count(); ++n) {
    size_t rest = n;
    double value = 0;
    double place = 1;
    for (size_t axis = dims.size(); axis-- > 0;) {
      const auto extent = static_cast<size_t>(dims[axis]);
      value += place * static_cast<double>(rest % extent);
      place *= 10;
      rest /= extent;
    }
    rt::store_f64(array.data.data(), array.dtype, n, value);
  }
  return array;
}

double at(const rt::Array& array, const Ints& index) {
  size_t n = 0;
  for (size_t axis = 0; axis < index.size(); ++axis)
    n = n * static_cast<size_t>(array.dims[axis]) + static_cast<size_t>(index[axis]);
  return rt::load_f64(array.data.data(), array.dtype, n);
}

struct Case {
  const char* layer;
  Ints shape;  ///< of the input
  Ints stored;
  Origin origin;
  Ints index;     ///< in gradc's kernel
  double digits;  ///< of the element that must be there
};

class Older : public ::testing::TestWithParam<Case> {};

TEST_P(Older, KernelsLieAsGradcKeepsThem) {
  const Case& test = GetParam();
  SourceSet sources;
  const auto model =
      read_model_text("native.json",
                      fmt::format(R"({{"inputs": [{{"name": "x", "shape": {}}}], "layers": [{}]}})",
                                  Json(test.shape).dump(), test.layer),
                      sources);
  ASSERT_TRUE(model.ok()) << problems_of(model, sources);
  const Layer& layer = model->layers[0];
  rt::Array array = digits(test.stored);
  modernize(layer, layer.parameters[0], test.origin, array);
  ASSERT_EQ(Ints(array.dims.begin(), array.dims.end()), layer.parameters[0].shape);
  EXPECT_EQ(at(array, test.index), test.digits);
}

constexpr Origin kFirst = {.first_keras = true, .theano = false};
constexpr Origin kTurned = {.first_keras = false, .theano = true};
constexpr Origin kBoth = {.first_keras = true, .theano = true};
constexpr const char* kConv =
    R"({"type": "conv2d", "filters": 4, "kernel_size": [2, 3], "data_format": "channels_first"})";

INSTANTIATE_TEST_SUITE_P(
    Cases, Older,
    ::testing::Values(
        // [out, in, rows, columns] there, [rows, columns, in, out] here.
        Case{kConv, {5, 7, 8}, {4, 5, 2, 3}, kFirst, {1, 2, 4, 3}, 3412},
        // The same, turned round: row 1 of 2 is row 0, column 2 of 3 is column 0.
        Case{kConv, {5, 7, 8}, {4, 5, 2, 3}, kBoth, {1, 2, 4, 3}, 3400},
        Case{kConv, {5, 7, 8}, {2, 3, 5, 4}, kTurned, {1, 0, 4, 3}, 243},
        Case{kConv, {5, 7, 8}, {2, 3, 5, 4}, Origin{}, {1, 0, 4, 3}, 1043},
        Case{R"({"type": "conv2d", "filters": 4, "kernel_size": [2, 3]})",
             {7, 8, 5},
             {2, 3, 5, 4},
             kFirst,
             {1, 2, 4, 3},
             1243},
        Case{R"({"type": "conv1d", "filters": 4, "kernel_size": 3})",
             {7, 5},
             {3, 1, 5, 4},
             kFirst,
             {2, 4, 3},
             2043},
        Case{R"({"type": "conv1d", "filters": 4, "kernel_size": 3})",
             {7, 5},
             {4, 5, 3, 1},
             kFirst,
             {2, 4, 3},
             3420},
        Case{R"({"type": "conv3d", "filters": 4, "kernel_size": [2, 3, 2],
                 "data_format": "channels_first"})",
             {5, 4, 5, 6},
             {4, 5, 2, 3, 2},
             kFirst,
             {1, 2, 1, 4, 3},
             34121},
        Case{R"({"type": "conv2d_transpose", "filters": 4, "kernel_size": [2, 3],
                 "data_format": "channels_first"})",
             {5, 7, 8},
             {4, 5, 2, 3},
             kFirst,
             {1, 2, 3, 4},
             3412},
        // Nothing but convolutions is turned.
        Case{R"({"type": "dense", "units": 4})", {5}, {5, 4}, kBoth, {2, 3}, 23}));

/// A file of Keras 1 as it is on disk: no version, names that say nothing.
TEST(OlderWeights, OfAWholeFile) {
  SourceSet sources;
  const auto model = read_model_text("keras.json", R"({"class_name": "Sequential", "config": [
        {"class_name": "Convolution2D", "config": {"name": "c", "nb_filter": 4, "nb_row": 2,
          "nb_col": 3, "dim_ordering": "th", "batch_input_shape": [null, 5, 7, 8]}},
        {"class_name": "Flatten", "config": {"name": "f"}},
        {"class_name": "Dense", "config": {"name": "d", "output_dim": 1}}]})",
                                     sources, {.dialects = &all_dialects(), .given = {}});
  ASSERT_TRUE(model.ok()) << problems_of(model, sources);
  const rt::Array kernel = digits({4, 5, 2, 3});
  const rt::Array bias = digits({4});
  const rt::Array dense = digits({144, 1});
  const rt::Array one = digits({1});
  H5Content content;
  content.groups = {"c", "f", "d"};
  content.names = {{"", "layer_names", {"c", "f", "d"}},
                   {"c", "weight_names", {"c_W", "c_b"}},
                   {"f", "weight_names", {}},
                   {"d", "weight_names", {"d_W", "d_b"}}};
  content.arrays = {{"c/c_W", &kernel}, {"c/c_b", &bias}, {"d/d_W", &dense}, {"d/d_b", &one}};
  const auto image = make_h5(content);
  ASSERT_TRUE(image.ok()) << image.message();
  const std::string path = std::string(::testing::TempDir()) + "/keras1_th.h5";
  std::FILE* file = std::fopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  std::fwrite(image->data(), 1, image->size(), file);
  std::fclose(file);
  rt::SafetensorsFile weights;
  const Status status = read_foreign_weights(*model, path, &weights);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(at(*weights.find("c/kernel"), {1, 2, 4, 3}), 3412);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace gradc::exchange
