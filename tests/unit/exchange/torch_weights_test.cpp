// Tensors under PyTorch's names. That the numbers then are PyTorch's is for
// scripts/compare_torch_weights.py.
#include "exchange/torch_weights.h"

#include "tests/unit/exchange/read.h"

#include <filesystem>
#include <fstream>

namespace gradc::exchange {
namespace {

void add(rt::SafetensorsFile& file, const char* name, const Ints& dims) {
  rt::Array array;
  array.name = name;
  array.dims.append(dims.data(), dims.size());
  array.data.resize(array.count() * sizeof(float));
  for (size_t i = 0; i < array.count(); ++i)
    rt::store_f64(array.data.data(), array.dtype, i, static_cast<double>(i));
  file.arrays.push(std::move(array));
}

Model two_layers() {
  SourceSet sources;
  auto model = read_model_text("native.json", R"({
    "inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "dense", "name": "one", "units": 2},
               {"type": "dense", "name": "two", "units": 3}]})",
                               sources);
  EXPECT_TRUE(model.ok()) << problems_of(model, sources);
  return model.take();
}

rt::SafetensorsFile two_modules(const char* first, const char* second) {
  rt::SafetensorsFile file;
  for (const auto& [name, out, in] : {std::tuple{second, 3, 2}, {first, 2, 3}}) {
    add(file, (std::string(name) + ".bias").c_str(), {out});
    add(file, (std::string(name) + ".weight").c_str(), {out, in});
  }
  return file;
}

double element(const rt::SafetensorsFile& file, const char* name, size_t index) {
  const rt::Array* array = file.find(name);
  return array == nullptr ? -1 : rt::load_f64(array->data.data(), array->dtype, index);
}

TEST(TorchWeights, ModulesAreCountedAsPeopleCount) {
  const Model model = two_layers();
  rt::SafetensorsFile out;
  std::vector<std::string> report;
  const Status status =
      assign_torch_weights(model, "t", two_modules("net.2", "net.10"), {}, &out, &report);
  ASSERT_TRUE(status.ok()) << status.message();
  // [out, in] there is [in, out] here: element [1, 0] of [3, 2] is [0, 1] of [2, 3].
  EXPECT_EQ(element(out, "one/kernel", 2), 1);
  EXPECT_EQ(element(out, "two/kernel", 1), 2);
  ASSERT_EQ(report.size(), 4U);
  EXPECT_EQ(report[0], "one/kernel <- net.2.weight");
}

TEST(TorchWeights, AMapSaysWhichIsWhich) {
  const Model model = two_layers();
  rt::SafetensorsFile out;
  std::vector<std::string> report;
  const Status by_order =
      assign_torch_weights(model, "t", two_modules("z", "a"), {}, &out, &report);
  ASSERT_FALSE(by_order.ok());
  EXPECT_NE(by_order.message().find("\"a.weight\" is [2, 3]"), std::string::npos)
      << by_order.message();
  const Status by_map = assign_torch_weights(model, "t", two_modules("z", "a"),
                                             {{"one", "z"}, {"two", "a"}}, &out, &report);
  EXPECT_TRUE(by_map.ok()) << by_map.message();
  const Status lost =
      assign_torch_weights(model, "t", two_modules("z", "a"), {{"one", "nowhere"}}, &out, &report);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.diagnostics().size(), 2U);
}

TEST(TorchWeights, AnotherNumberOfModulesIsSaidWithTheirNames) {
  rt::SafetensorsFile file = two_modules("a", "b");
  add(file, "c.weight", {3, 3});
  rt::SafetensorsFile out;
  std::vector<std::string> report;
  const Status status = assign_torch_weights(two_layers(), "t", std::move(file), {}, &out, &report);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("3 modules (a, b, c)"), std::string::npos) << status.message();
}

TEST(TorchWeights, NamesTellWhoseTheyAre) {
  EXPECT_TRUE(has_torch_names(two_modules("a", "b")));
  rt::SafetensorsFile own;
  add(own, "one/kernel", {2, 3});
  EXPECT_FALSE(has_torch_names(own));
  EXPECT_FALSE(has_torch_names(rt::SafetensorsFile()));
}

Model model_of(const std::string& text) {
  SourceSet sources;
  auto model = read_model_text("native.json", text, sources);
  EXPECT_TRUE(model.ok()) << problems_of(model, sources);
  return model.take();
}

Status assign(const Model& model, rt::SafetensorsFile file, rt::SafetensorsFile* out,
              const ModuleMap& map = {}) {
  std::vector<std::string> report;
  return assign_torch_weights(model, "t", std::move(file), map, out, &report);
}

Model behind_image(const std::string& layers) {
  return model_of(R"({"inputs": [{"name": "x", "shape": [2, 2, 1]}], "layers": [
    {"type": "conv2d", "filters": 2, "kernel_size": 1, "name": "a"}, {"type": "flatten"},)" +
                  layers + "]}");
}

rt::SafetensorsFile image_module() {
  rt::SafetensorsFile file;
  add(file, "a.weight", {2, 1, 1, 1});
  add(file, "a.bias", {2});
  return file;
}

TEST(TorchWeights, OnlyWhatSeesTheImageIsReordered) {
  rt::SafetensorsFile file = image_module();
  add(file, "b.weight", {8, 8});
  add(file, "b.bias", {8});
  add(file, "c.weight", {8, 8});
  add(file, "c.bias", {8});
  rt::SafetensorsFile out;
  const Status status = assign(behind_image(R"({"type": "dense", "units": 8, "name": "b"},
                             {"type": "activation", "activation": "relu"},
                             {"type": "dense", "units": 8, "name": "c"})"),
                               std::move(file), &out);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(element(out, "b/kernel", 8), 4);  // row 1 is channel 1 of the first pixel
  EXPECT_EQ(element(out, "c/kernel", 8), 1);
}

TEST(TorchWeights, NormalizationsBehindAnImageAreReorderedToo) {
  rt::SafetensorsFile file = image_module();
  for (const char* name : {"b.weight", "b.bias", "b.running_mean", "b.running_var"})
    add(file, name, {8});
  add(file, "c.weight", {3, 8});
  add(file, "c.bias", {3});
  rt::SafetensorsFile out;
  const Status status = assign(behind_image(R"({"type": "batch_normalization", "name": "b"},
                                               {"type": "dense", "units": 3, "name": "c"})"),
                               std::move(file), &out);
  ASSERT_TRUE(status.ok()) << status.message();
  for (const char* name : {"b/gamma", "b/beta", "b/moving_mean", "b/moving_variance"})
    EXPECT_EQ(element(out, name, 1), 4) << name;
  EXPECT_EQ(element(out, "c/kernel", 3), 4);
}

rt::SafetensorsFile gru_module(int64_t bias) {
  rt::SafetensorsFile file;
  add(file, "weight_ih_l0", {6, 4});
  add(file, "weight_hh_l0", {6, 2});
  add(file, "bias_ih_l0", {bias});
  add(file, "bias_hh_l0", {bias});
  return file;
}

Model gru(const char* reset_after) {
  return model_of(R"({"inputs": [{"name": "x", "shape": [3, 4]}], "layers": [
    {"type": "gru", "units": 2, "name": "g", "reset_after": )" +
                  std::string(reset_after) + "}]}");
}

TEST(TorchWeights, AGruResetsBehindTheProduct) {
  EXPECT_TRUE(has_torch_names(gru_module(6)));
  rt::SafetensorsFile out;
  const Status status = assign(gru("true"), gru_module(6), &out);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_FALSE(assign(gru("false"), gru_module(6), &out).ok());
  EXPECT_FALSE(assign(gru("true"), gru_module(0), &out).ok());  // and ends
}

TEST(TorchWeights, WhatNothingTakesIsSaid) {
  rt::SafetensorsFile out;
  rt::SafetensorsFile file = two_modules("a", "b");
  add(file, "a.more", {2});
  const Status more = assign(two_layers(), std::move(file), &out);
  ASSERT_FALSE(more.ok());
  EXPECT_NE(more.message().find("\"a.more\" is in no layer"), std::string::npos);
  file = two_modules("a", "b");
  add(file, "c.weight", {2});
  const ModuleMap map = {{"one", "a"}, {"two", "b"}};
  EXPECT_FALSE(assign(two_layers(), std::move(file), &out, map).ok());
  EXPECT_FALSE(
      assign(two_layers(), two_modules("a", "b"), &out, {{"one", "a"}, {"two", "b"}, {"typo", "b"}})
          .ok());
}

TEST(TorchWeights, AMapIsAnObjectOfNames) {
  const std::string path = std::string(::testing::TempDir()) + "/map.json";
  for (const char* text : {"[]", "{}", R"({"one": 1})", "{"}) {
    std::ofstream(path) << text;
    EXPECT_FALSE(read_module_map(path).ok()) << text;
  }
  std::ofstream(path) << R"({"one": "features.0"})";
  const auto map = read_module_map(path);
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->at("one"), "features.0");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace gradc::exchange
