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
  EXPECT_NE(
      by_order.message().find("\"a.weight\" is [3, 2], and what \"one/kernel\" is made of [2, 3]"),
      std::string::npos)
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

/// Numbers of its own for every parameter of a model.
rt::SafetensorsFile numbered(const Model& model) {
  rt::SafetensorsFile file;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& spec : layer.parameters)
      add(file, (layer.name + "/" + spec.name).c_str(), spec.shape);
  }
  return file;
}

rt::SafetensorsFile copy_of(const rt::SafetensorsFile& file) {
  rt::SafetensorsFile copy;
  for (const rt::Array& array : file.arrays)
    copy.arrays.push(array.clone());
  return copy;
}

/// Under PyTorch's names and back: the same numbers, by order and by a map.
void expect_round_trip(const Model& model, const ModuleMap& map, size_t tensors) {
  const rt::SafetensorsFile own = numbered(model);
  rt::SafetensorsFile torch, back;
  std::vector<std::string> report;
  const Status written = torch_weights(model, "t", own, map, &torch, &report);
  ASSERT_TRUE(written.ok()) << written.message();
  EXPECT_EQ(torch.arrays.size(), tensors);
  EXPECT_TRUE(has_torch_names(torch));
  const Status read = assign(model, copy_of(torch), &back, map);
  ASSERT_TRUE(read.ok()) << read.message();
  ASSERT_EQ(back.arrays.size(), own.arrays.size());
  for (const rt::Array& array : own.arrays) {
    const rt::Array* other = back.find(array.name.c_str());
    ASSERT_NE(other, nullptr) << array.name.c_str();
    EXPECT_TRUE(
        std::equal(array.dims.begin(), array.dims.end(), other->dims.begin(), other->dims.end()));
    EXPECT_TRUE(
        std::equal(array.data.begin(), array.data.end(), other->data.begin(), other->data.end()))
        << array.name.c_str();
  }
}

TEST(TorchWeights, WhatIsGivenComesBack) {
  expect_round_trip(two_layers(), {}, 4);
  expect_round_trip(two_layers(), {{"one", "net.10"}, {"two", "net.2"}}, 4);
  expect_round_trip(behind_image(R"({"type": "batch_normalization", "name": "b"},
                                    {"type": "dense", "units": 3, "name": "c"})"),
                    {}, 8);
  expect_round_trip(gru("true"), {}, 4);
  expect_round_trip(gru("true"), {{"g", "rnn.l3"}}, 4);
  expect_round_trip(model_of(R"({"inputs": [{"name": "x", "shape": [9, 9, 4]}], "layers": [
    {"type": "conv2d", "filters": 6, "kernel_size": [2, 3], "groups": 2},
    {"type": "conv2d_transpose", "filters": 3, "kernel_size": [3, 2], "use_bias": false},
    {"type": "depthwise_conv2d", "kernel_size": [2, 3], "depth_multiplier": 2}, {"type": "prelu", "shared_axes": [1, 2]},
    {"type": "reshape", "target_shape": [-1, 6]},
    {"type": "bidirectional", "layer": {"type": "gru", "units": 3, "return_sequences": true}},
    {"type": "bidirectional", "layer": {"type": "lstm", "units": 2, "return_sequences": true},
     "backward_layer": {"type": "lstm", "units": 2, "return_sequences": true, "go_backwards": true}},
    {"type": "multi_head_attention", "num_heads": 2, "key_dim": 2},
    {"type": "rms_normalization"}]})"),
                    {}, 2 + 1 + 2 + 1 + 8 + 8 + 4 + 1);
}

TEST(TorchWeights, TensorsAreCalledAsModulesCallThem) {
  rt::SafetensorsFile torch;
  std::vector<std::string> report;
  const Model model = model_of(R"({"inputs": [{"name": "x", "shape": [3, 4]}], "layers": [
    {"type": "bidirectional", "name": "a", "layer": {"type": "gru", "units": 2, "return_sequences": true}},
    {"type": "multi_head_attention", "name": "b", "num_heads": 2, "key_dim": 2}]})");
  const Status status =
      torch_weights(model, "t", numbered(model), {{"a", "rnn.l1"}, {"b", "att"}}, &torch, &report);
  ASSERT_TRUE(status.ok()) << status.message();
  for (const char* name : {"rnn.weight_ih_l1", "rnn.weight_hh_l1", "rnn.bias_ih_l1",
                           "rnn.bias_hh_l1", "rnn.weight_ih_l1_reverse", "rnn.weight_hh_l1_reverse",
                           "rnn.bias_ih_l1_reverse", "rnn.bias_hh_l1_reverse", "att.in_proj_weight",
                           "att.in_proj_bias", "att.out_proj.weight", "att.out_proj.bias"})
    EXPECT_NE(torch.find(name), nullptr) << name;
  // Query, key and value lie one behind the other: [heads size, features] of each.
  EXPECT_EQ(element(torch, "att.in_proj_bias", 5), 1);
  EXPECT_EQ(element(torch, "att.in_proj_weight", 16 + 1), 4);  // of the key: feature 1, row 0
}

TEST(TorchWeights, WhatPyTorchDoesNotHaveIsSaidAtOnce) {
  rt::SafetensorsFile torch;
  std::vector<std::string> report;
  const Model model = model_of(R"({"inputs": [{"name": "x", "shape": [3, 4]}], "layers": [
    {"type": "gru", "name": "before", "units": 4, "reset_after": false, "return_sequences": true},
    {"type": "multi_head_attention", "name": "narrow", "num_heads": 2, "key_dim": 1},
    {"type": "dense", "name": "d", "units": 2}]})");
  Status status = torch_weights(model, "t", numbered(model), {}, &torch, &report);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.diagnostics().size(), 8U) << status.message();
  EXPECT_NE(status.message().find("\"before\" resets before"), std::string::npos);
  status = torch_weights(two_layers(), "t", numbered(two_layers()), {{"one", "m"}, {"two", "m"}},
                         &torch, &report);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("both to be the module \"m\""), std::string::npos);
  status = torch_weights(two_layers(), "t", numbered(two_layers()), {{"one", "m"}, {"typo", "n"}},
                         &torch, &report);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.diagnostics().size(), 2U) << status.message();
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
