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
