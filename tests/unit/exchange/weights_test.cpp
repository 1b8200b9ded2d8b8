// Weights of every container, and what hostile ones are answered with.
#include "exchange/weights.h"

#include "tests/unit/exchange/read.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

namespace gradc::exchange {
namespace {

const std::string kFiles = std::string(GRADC_SOURCE_DIR) + "/tests/exchange/";

/// The values that make_files.py writes: element i of a weight is (i - 3) / 8, plus something.
void expect_ramp(const rt::SafetensorsFile& file, const char* name, std::vector<int64_t> dims,
                 float plus) {
  const rt::Array* array = file.find(name);
  ASSERT_NE(array, nullptr) << name;
  EXPECT_EQ(std::vector<int64_t>(array->dims.begin(), array->dims.end()), dims) << name;
  ASSERT_EQ(array->dtype, rt::Dtype::kF32);
  for (size_t i = 0; i < array->count(); ++i) {
    float value = 0;
    std::memcpy(&value, array->data.data() + 4 * i, 4);
    EXPECT_EQ(value, (static_cast<float>(i) - 3) / 8 + plus) << name << " " << i;
  }
}

void expect_all(const rt::SafetensorsFile& file) {
  EXPECT_EQ(file.arrays.size(), 9U);
  expect_ramp(file, "memory/kernel", {3, 8}, 0);
  expect_ramp(file, "memory/recurrent_kernel", {2, 8}, 0);
  expect_ramp(file, "memory/bias", {8}, 0);
  expect_ramp(file, "norm/gamma", {2}, 0);
  expect_ramp(file, "norm/beta", {2}, 1);
  expect_ramp(file, "norm/moving_mean", {2}, 2);
  expect_ramp(file, "norm/moving_variance", {2}, 3);
  expect_ramp(file, "score/kernel", {2, 1}, 0);
  expect_ramp(file, "score/bias", {1}, 0);
}

std::string said_by(const Status& status) {
  SourceSet none;
  return status.ok() ? std::string() : render_diagnostics(status.diagnostics(), none);
}

TEST(Weights, OfFilesThatHoldTheModelToo) {
  for (const char* name : {"whole.h5", "keras2.keras", "keras3.keras", "windows.keras"}) {
    const std::string path = kFiles + name;
    EXPECT_TRUE(has_foreign_weights(path)) << name;
    SourceSet sources;
    const auto model = read_model(path, sources);
    ASSERT_TRUE(model.ok()) << name << problems_of(model, sources);
    EXPECT_EQ(num_parameters(*model), 59) << name;
    ASSERT_TRUE(model->training.has_value()) << name;
    EXPECT_EQ(model->training->losses[0].loss.def->type, "binary_crossentropy") << name;
    rt::SafetensorsFile file;
    const Status status = read_foreign_weights(*model, path, &file);
    ASSERT_TRUE(status.ok()) << name << said_by(status);
    expect_all(file);
  }
}

/// What make_files.py writes as the state of the k-th trained parameter: 10 k + slot.
TEST(Weights, ComeWithTheStateOfTheOptimizer) {
  constexpr const char* kTrained[] = {"memory/kernel", "memory/recurrent_kernel",
                                      "memory/bias",   "norm/gamma",
                                      "norm/beta",     "score/kernel",
                                      "score/bias"};
  for (const char* name : {"state.h5", "state.keras"}) {
    SCOPED_TRACE(name);
    SourceSet sources;
    const auto model = read_model(kFiles + name, sources);
    ASSERT_TRUE(model.ok()) << problems_of(model, sources);
    rt::SafetensorsFile file;
    std::vector<Diagnostic> left_out;
    const Status status = read_foreign_weights(*model, kFiles + name, &file, &left_out);
    ASSERT_TRUE(status.ok()) << said_by(status);
    EXPECT_TRUE(left_out.empty());
    EXPECT_EQ(file.arrays.size(), 9U + 14U + 1U);
    const rt::Array* iteration = file.find("optimizer/iteration");
    ASSERT_NE(iteration, nullptr);
    EXPECT_EQ(rt::load_i64(iteration->data.data(), iteration->dtype, 0), 5);
    for (size_t k = 0; k < std::size(kTrained); ++k) {
      for (const auto& [slot, plus] : {std::pair{"momentum", 0.0}, {"velocity", 1.0}}) {
        const std::string state = fmt::format("optimizer/{}/{}", kTrained[k], slot);
        const rt::Array* array = file.find(state.c_str());
        ASSERT_NE(array, nullptr) << state;
        EXPECT_EQ(rt::load_f64(array->data.data(), array->dtype, 0),
                  10.0 * static_cast<double>(k) + plus)
            << state;
      }
    }
  }
}

TEST(Weights, AloneGoWithAModel) {
  SourceSet sources;
  const auto model = read_model(kFiles + "whole.h5", sources);
  ASSERT_TRUE(model.ok());
  rt::SafetensorsFile file;
  const Status status = read_foreign_weights(*model, kFiles + "weights.h5", &file);
  ASSERT_TRUE(status.ok()) << said_by(status);
  expect_all(file);
  rt::SafetensorsFile packed;  // in blocks, compressed or not, and inside the objects' headers
  const Status same = read_foreign_weights(*model, kFiles + "packed.h5", &packed);
  ASSERT_TRUE(same.ok()) << said_by(same);
  expect_all(packed);
  const auto alone = read_model(kFiles + "weights.h5", sources);
  ASSERT_FALSE(alone.ok());
  EXPECT_NE(alone.message().find("no description of a network"), std::string::npos);
}

TEST(Weights, OfKerasOneHaveTheirGatesApart) {
  SourceSet sources;
  const auto model = read_model(kFiles + "whole.h5", sources);
  ASSERT_TRUE(model.ok());
  rt::SafetensorsFile file;
  const Status status = read_foreign_weights(*model, kFiles + "keras1.h5", &file);
  ASSERT_TRUE(status.ok()) << said_by(status);
  expect_all(file);
}

TEST(Weights, LinksToElsewhereAndStatedSizesAreRefused) {
  SourceSet sources;
  const auto model = read_model(kFiles + "whole.h5", sources);
  ASSERT_TRUE(model.ok());
  rt::SafetensorsFile file;
  const std::string links = said_by(read_foreign_weights(*model, kFiles + "links.h5", &file));
  EXPECT_NE(links.find("behind a link that leads elsewhere"), std::string::npos) << links;
  const std::string bomb = said_by(read_foreign_weights(*model, kFiles + "bomb.h5", &file));
  EXPECT_NE(bomb.find("states 4398046511104 bytes, but"), std::string::npos) << bomb;
}

// ---- TensorFlow.js ------------------------------------------------------------------------------

class Tfjs : public ::testing::Test {
 protected:
  Tfjs() : folder_(std::string(::testing::TempDir()) + "/tfjs_folder") {
    std::filesystem::create_directories(folder_);
  }

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
  }

  void write_model(const std::string& manifest) const {
    write("model.json",
          R"({"modelTopology": {"class_name": "Sequential", "keras_version": "tfjs-layers 4.0.0",
      "config": {"name": "s", "layers": [{"class_name": "Dense", "config": {"name": "d", "units": 2,
      "batch_input_shape": [null, 2]}}]}}, "format": "layers-model", "weightsManifest": )" +
              manifest + "}");
  }

  /// Reads model and weights; the problems, if any.
  std::string read() {
    SourceSet sources;
    const auto model = read_model(folder_, sources);
    if (!model.ok()) return problems_of(model, sources);
    file_ = {};
    return said_by(read_foreign_weights(*model, folder_, &file_));
  }

  std::vector<float> values(const char* name) const {
    const rt::Array* array = file_.find(name);
    if (array == nullptr) return {};
    std::vector<float> out(array->count());
    std::memcpy(out.data(), array->data.data(), array->data.size());
    return out;
  }

  std::string folder_;
  rt::SafetensorsFile file_;
};

std::string bytes_of(const std::vector<float>& values) {
  std::string bytes(values.size() * 4, '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

TEST_F(Tfjs, AWeightMayStraddleShards) {
  const std::string bytes = bytes_of({1, -2, 3.5F, 0.25F, 7, 8});
  write("a.bin", bytes.substr(0, 6));
  write("b.bin", bytes.substr(6, 1));
  write("c.bin", bytes.substr(7));
  write_model(R"([{"paths": ["a.bin", "b.bin", "c.bin"], "weights": [
      {"name": "d/kernel", "shape": [2, 2], "dtype": "float32"},
      {"name": "d/bias", "shape": [2], "dtype": "float32"}]}])");
  ASSERT_EQ(read(), "");
  EXPECT_EQ(values("d/kernel"), (std::vector<float>{1, -2, 3.5F, 0.25F}));
  EXPECT_EQ(values("d/bias"), (std::vector<float>{7, 8}));
}

TEST_F(Tfjs, QuantisedValuesAreScaledBack) {
  write("a.bin", std::string("\x00\x01\x02\xFF", 4) + std::string("\x00\x3C\x00\xC4", 4));
  write("b.bin", std::string("\x01\x00\xFF\xFF", 4));
  write_model(R"([{"paths": ["a.bin"], "weights": [
      {"name": "d/kernel", "shape": [2, 2], "dtype": "float32",
       "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
      {"name": "d/bias", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}}]}])");
  ASSERT_EQ(read(), "");
  EXPECT_EQ(values("d/kernel"), (std::vector<float>{-1, -0.5F, 0, 126.5F}));
  EXPECT_EQ(values("d/bias"), (std::vector<float>{1, -4}));
  write("a.bin", bytes_of({1, 2, 3, 4}));
  write_model(R"([{"paths": ["a.bin"], "weights": [
      {"name": "d/kernel", "shape": [2, 2], "dtype": "float32"}]}, {"paths": ["b.bin"], "weights": [
      {"name": "d/bias", "shape": [2], "dtype": "float32",
       "quantization": {"dtype": "uint16", "scale": 2, "min": 1}}]}])");
  ASSERT_EQ(read(), "");
  EXPECT_EQ(values("d/bias"), (std::vector<float>{3, 131071}));
}

TEST_F(Tfjs, WhatDoesNotFitIsSaid) {
  const char* kWeights = R"("weights": [{"name": "d/kernel", "shape": [2, 2], "dtype": "float32"},
      {"name": "d/bias", "shape": [2], "dtype": "float32"}]}])";
  write("a.bin", bytes_of({1, 2, 3}));
  write_model(R"([{"paths": ["a.bin"], )" + std::string(kWeights));
  EXPECT_NE(read().find("have 12 bytes, but its weights take 24"), std::string::npos);
  write("a.bin", std::string(100, 'x'));
  EXPECT_NE(read().find("more than the weights of its group take"), std::string::npos);
  write_model(R"([{"paths": ["../a.bin"], )" + std::string(kWeights));
  EXPECT_NE(read().find("is not in the folder of model.json"), std::string::npos);
  write_model(R"([{"paths": ["/etc/passwd"], )" + std::string(kWeights));
  EXPECT_NE(read().find("is not in the folder of model.json"), std::string::npos);
  write_model(R"([{"paths": ["a.bin"], "weights": [
      {"name": "d/kernel", "shape": [1000000000000, 1000000000000], "dtype": "float32"}]}])");
  EXPECT_NE(read().find("is too large"), std::string::npos);
  write("a.bin", bytes_of({1, 2, 3, 4}));
  write_model(R"([{"paths": ["a.bin"], "weights": [
      {"name": "d/kernel", "shape": [4], "dtype": "float32"}]}])");
  const std::string missing = read();
  EXPECT_NE(missing.find("no weights for \"d/bias\""), std::string::npos) << missing;
  write("a.bin", bytes_of({1, 2, 3, 4, 5, 6}));
  write_model(R"([{"paths": ["a.bin"], "weights": [
      {"name": "d/kernel", "shape": [4], "dtype": "float32"},
      {"name": "d/bias", "shape": [2], "dtype": "float32"}]}])");
  const std::string shape = read();
  EXPECT_NE(shape.find("\"d/kernel\" is f32[4], but the model's \"d/kernel\" is [2, 2]"),
            std::string::npos)
      << shape;
}

rt::Array array_of(const char* name, const Ints& dims, rt::Dtype dtype = rt::Dtype::kF32) {
  rt::Array array;
  array.name = name;
  array.dtype = dtype;
  array.dims.append(dims.data(), dims.size());
  array.data.resize(array.count() * rt::dtype_bytes(dtype));
  return array;
}

TEST(Weights, OwnNamesAreCheckedToo) {
  SourceSet sources;
  const auto model = read_model_text("native.json", R"({
    "inputs": [{"name": "x", "shape": [4]}],
    "layers": [{"type": "dense", "name": "d", "units": 2}]})",
                                     sources);
  ASSERT_TRUE(model.ok()) << problems_of(model, sources);
  const auto problems = [&](const char* bias, const Ints& kernel, rt::Dtype dtype) {
    rt::SafetensorsFile file;
    file.arrays.push(array_of("d/kernel", kernel, dtype));
    file.arrays.push(array_of(bias, {2}));
    file.arrays.push(array_of("optimizer/iteration", {}));
    const Status status = check_weights(*model, "w", file);
    return status.ok() ? 0 : status.diagnostics().size();
  };
  EXPECT_EQ(problems("d/bias", {4, 2}, rt::Dtype::kF32), 0U);
  EXPECT_EQ(problems("d/bias", {2, 4}, rt::Dtype::kF32), 1U);
  EXPECT_EQ(problems("d/bias", {4, 2}, rt::Dtype::kI32), 1U);
  EXPECT_EQ(problems("d/other", {4, 2}, rt::Dtype::kF32), 2U);  // one lacks, one is too much
}

}  // namespace
}  // namespace gradc::exchange
