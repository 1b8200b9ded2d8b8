// The third-party files of ../shared/models, which nobody of this project wrote: all are read with
// the number of parameters that their table says, trained three steps, their gradients checked, and
// the predictions of those with weights compared with TensorFlow.js. Networks whose arithmetic
// would take the normal tests too long are read only, unless GRADC_ALL_MODELS is set.
#include "driver/compiled_model.h"
#include "driver/entry_builder.h"
#include "driver/foreign_weights.h"
#include "passes/gradient_check.h"
#include "runtime/weights.h"
#include "tests/unit/exchange/read.h"
#include "tests/unit/exchange/same_model.h"

#include "exchange/weights.h"
#include "exchange/write.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

namespace gradc::exchange {
namespace {

std::string shared_models() {
  for (const char* above : {"/../shared/models", "/../../shared/models"}) {
    const std::string path = std::string(GRADC_SOURCE_DIR) + above;
    if (std::filesystem::exists(path + "/README.md")) return path;
  }
  return {};
}

/// File -> number of parameters, of the table in README.md.
std::map<std::string, int64_t> parameter_table(const std::string& folder) {
  std::map<std::string, int64_t> table;
  std::ifstream file(folder + "/README.md");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| ")) continue;
    std::vector<std::string> cells;
    std::stringstream stream(line.substr(2));
    for (std::string cell; std::getline(stream, cell, '|');) {
      cell.erase(0, cell.find_first_not_of(" ~"));
      cell.erase(cell.find_last_not_of(' ') + 1);
      cells.push_back(cell);
    }
    const size_t column = cells.front().ends_with(".json") ? 5 : 2;
    if (cells.size() <= column || cells[column].empty()) continue;
    const bool number = std::all_of(cells[column].begin(), cells[column].end(),
                                    [](char c) { return c >= '0' && c <= '9'; });
    if (number) table[cells.front()] = std::stoll(cells[column]);
  }
  return table;
}

/// Lengths that the files leave open; short ones where the length is free.
InputShapes shapes_for(const std::string& name) {
  if (name == "k1_imdb_lstm.json" || name == "k2_imdb_lstm.json")
    return {{"embedding_1_input", {8}}};
  if (name == "k2_concat_embedding_sequences.json") return {{"dict_feature", {10, 6}}};
  return {};
}

struct SharedModel {
  std::string name;
  std::string path;
  int64_t parameters = 0;
};

std::vector<SharedModel> shared_list() {
  std::vector<SharedModel> list;
  const std::string folder = shared_models();
  if (folder.empty()) return list;
  for (const auto& [name, parameters] : parameter_table(folder)) {
    const bool json = name.ends_with(".json");
    list.push_back({name, folder + (json ? "/keras/" : "/tfjs/") + name, parameters});
  }
  return list;
}

class Models43 : public ::testing::TestWithParam<SharedModel> {
 protected:
  Result<Model> read() {
    SourceSet sources;
    auto model = read_model(GetParam().path, sources, {.shapes = shapes_for(GetParam().name)});
    problems_ = problems_of(model, sources);
    return model;
  }

  /// Whether the interpreter and training are done in the normal tests.
  bool is_small(int64_t limit) const {
    return GetParam().parameters <= limit || std::getenv("GRADC_ALL_MODELS") != nullptr;
  }

  std::string problems_;
};

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Models43);
INSTANTIATE_TEST_SUITE_P(Shared, Models43, ::testing::ValuesIn(shared_list()), [](const auto& one) {
  std::string name = one.param.name;
  std::replace_if(
      name.begin(), name.end(),
      [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

TEST(Models, AreThere) {
  if (shared_models().empty())
    GTEST_SKIP() << "../shared/models is not here: the third-party files are not read";
  EXPECT_EQ(shared_list().size(), 43U);
}

TEST_P(Models43, IsReadWithItsParameters) {
  const auto model = read();
  ASSERT_TRUE(model.ok()) << problems_;
  EXPECT_EQ(num_parameters(*model), GetParam().parameters);
  EXPECT_TRUE(model->training.has_value());
}

TEST_P(Models43, ItsGradientsAreRight) {
  constexpr int64_t kLimit = 700'000;
  constexpr int64_t kBatch = 4;  // of two, batch normalisation leaves hardly a gradient
  if (!is_small(kLimit)) GTEST_SKIP() << "too large for the interpreter; GRADC_ALL_MODELS runs it";
  const auto model = read();
  ASSERT_TRUE(model.ok()) << problems_;
  const auto entry =
      build_staged(*model, EntryPoint::kGradients, kBatch, PipelineStage::kGraph, {});
  ASSERT_TRUE(entry.ok()) << entry.message();
  GradientCheckOptions options;
  options.directions = 1;
  const auto checks = check_gradients(*entry->graph, draw_inputs(*entry->graph, 1), options);
  ASSERT_TRUE(checks.ok()) << checks.message();
  EXPECT_FALSE(checks->empty());
  for (const ParameterCheck& check : *checks)
    EXPECT_TRUE(check.passed) << check.name << ": " << check.analytic << " " << check.numeric;
}

using InstancePtr = std::unique_ptr<rt::Instance, void (*)(rt::Instance*)>;

InstancePtr make_instance(const CompiledModel& model) {
  rt::Instance* raw = nullptr;
  const rt::Status made = rt::Instance::create(model.runtime_model(), {1}, nullptr, 0, &raw);
  EXPECT_TRUE(made.ok()) << made.text.c_str();
  return {raw, [](rt::Instance* instance) { rt::Instance::destroy(instance); }};
}

/// Inputs and targets that every model takes: numbers between 0 and 1, the class 0 or 1.
void fill(rt::Instance& instance) {
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (tensor.kind != GRADC_RT_INPUT && tensor.kind != GRADC_RT_TARGET) continue;
    const auto dtype = static_cast<rt::Dtype>(tensor.dtype);
    const size_t count = static_cast<size_t>(tensor.bytes) / rt::dtype_bytes(dtype);
    for (size_t k = 0; k < count; ++k) {
      const size_t noise = (k * 2654435761U >> 7U) % 1000;
      if (rt::is_float(dtype)) {
        rt::store_f64(instance.data(i), dtype, k, static_cast<double>(noise) / 1000.0);
      } else {
        rt::store_i64(instance.data(i), dtype, k, static_cast<int64_t>(noise % 2));
      }
    }
  }
}

TEST_P(Models43, TrainsThreeSteps) {
  constexpr int64_t kLimit = 3'000'000;
  if (!is_small(kLimit)) GTEST_SKIP() << "takes long; GRADC_ALL_MODELS runs it";
  auto model = read();
  ASSERT_TRUE(model.ok()) << problems_;
  CompileOptions options;
  options.batch_size = 2;
  const auto compiled = CompiledModel::create(model.take(), options);
  ASSERT_TRUE(compiled.ok()) << compiled.message();
  const std::array kinds = {EntryPoint::kTrainStep};
  const Status status = (*compiled)->compile(kinds);
  ASSERT_TRUE(status.ok()) << status.message();
  const InstancePtr instance = make_instance(**compiled);
  ASSERT_TRUE(instance->initialize(1).ok());
  ASSERT_TRUE(instance->prepare(GRADC_RT_TRAIN_STEP).ok());
  fill(*instance);
  const int64_t loss = instance->nth(GRADC_RT_LOSS, 0);
  ASSERT_GE(loss, 0);
  for (int step = 0; step < 3; ++step) {
    instance->run(GRADC_RT_TRAIN_STEP);
    EXPECT_TRUE(std::isfinite(instance->scalar(static_cast<size_t>(loss)))) << "step " << step;
  }
  EXPECT_EQ(instance->iteration(), 3);
}

/// Reads a .npy of f32.
rt::Array read_npy(const std::string& path) {
  rt::Array array;
  rt::Bytes bytes;
  EXPECT_TRUE(rt::read_file(path.c_str(), &bytes).ok()) << path;
  EXPECT_TRUE(rt::parse_npy(bytes.data(), bytes.size(), path.c_str(), &array).ok()) << path;
  return array;
}

TEST_P(Models43, PredictsAsTensorFlowJs) {
  const std::string& folder = GetParam().path;
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "the file has no weights";
  auto model = read();
  ASSERT_TRUE(model.ok()) << problems_;
  const rt::Array input = read_npy(folder + "/ref_input_0.npy");
  CompileOptions options;
  options.batch_size = input.rows();
  const auto compiled = CompiledModel::create(model.take(), options);
  ASSERT_TRUE(compiled.ok()) << compiled.message();
  const std::array kinds = {EntryPoint::kPredict};
  ASSERT_TRUE((*compiled)->compile(kinds).ok());
  const InstancePtr instance = make_instance(**compiled);
  const ForeignWeights foreign{**compiled};
  instance->set_weights_reader(weights_reader(foreign));
  const rt::Status loaded = rt::load_weights(*instance, folder.c_str(), rt::LoadMode::kComplete);
  ASSERT_TRUE(loaded.ok()) << loaded.text.c_str();
  ASSERT_TRUE(instance->prepare(GRADC_RT_PREDICT).ok());
  const int64_t to = instance->nth(GRADC_RT_INPUT, 0);
  ASSERT_EQ(static_cast<size_t>(instance->tensor(static_cast<size_t>(to)).bytes),
            input.data.size());
  std::memcpy(instance->data(static_cast<size_t>(to)), input.data.data(), input.data.size());
  instance->run(GRADC_RT_PREDICT);
  double largest = 0;
  for (int64_t k = 0; k < instance->count_of(GRADC_RT_OUTPUT); ++k) {
    const rt::Array wanted = read_npy(fmt::format("{}/ref_output_{}.npy", folder, k));
    const auto index = static_cast<size_t>(instance->nth(GRADC_RT_OUTPUT, k));
    ASSERT_EQ(static_cast<size_t>(instance->tensor(index).bytes), wanted.data.size());
    for (size_t i = 0; i < wanted.count(); ++i) {
      const double difference = std::abs(rt::load_f64(instance->data(index), rt::Dtype::kF32, i) -
                                         rt::load_f64(wanted.data.data(), rt::Dtype::kF32, i));
      largest = std::max(largest, difference);
      ASSERT_LE(difference, 1e-5) << "output " << k << " element " << i;
    }
  }
  std::cout << "largest difference " << largest << "\n";
}

/// The tensors of a file, or as a new training would begin.
void find_weights(const Model& model, const std::string& path, rt::SafetensorsFile* out) {
  if (has_foreign_weights(path)) {
    const Status read = read_foreign_weights(model, path, out);
    ASSERT_TRUE(read.ok()) << read.message();
    return;
  }
  uint64_t noise = 1;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& spec : layer.parameters) {
      if (spec.carried) continue;
      rt::Array array;
      array.name = rt::Str((layer.name + "/" + spec.name).c_str());
      array.dims.append(spec.shape.data(), spec.shape.size());
      array.data.resize(array.count() * sizeof(float));
      for (size_t i = 0; i < array.count(); ++i) {
        noise = noise * 6364136223846793005U + 1442695040888963407U;
        rt::store_f64(array.data.data(), array.dtype, i, static_cast<double>(noise >> 40U) * 1e-7);
      }
      out->arrays.push(std::move(array));
    }
  }
}

/// Written and read again: the same network, trained in the same way, with the same bits.
TEST_P(Models43, ComesBackFromEveryFormat) {
  constexpr int64_t kLimit = 3'000'000;
  if (!is_small(kLimit)) GTEST_SKIP() << "takes much room; GRADC_ALL_MODELS runs it";
  const auto model = read();
  ASSERT_TRUE(model.ok()) << problems_;
  rt::SafetensorsFile weights;
  find_weights(*model, GetParam().path, &weights);
  const std::string wanted = text_of_model(*model);
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / ("formats_" + GetParam().name);
  std::filesystem::create_directories(folder);
  const auto native = native_document(GetParam().path, {.shapes = shapes_for(GetParam().name)});
  ASSERT_TRUE(native.ok()) << native.message();
  SourceSet sources;
  const auto own = read_model_text("own.json", (**native).dump(), sources);
  ASSERT_TRUE(own.ok()) << problems_of(own, sources);
  EXPECT_EQ(text_of_model(*own), wanted);
  for (const char* name : {"m.h5", "m.keras", "tfjs/"}) {
    SCOPED_TRACE(name);
    const std::string path = (folder / name).string();
    Written written;
    const Status wrote = write_model(format_of_name(path), *model, &weights, path, &written);
    ASSERT_TRUE(wrote.ok()) << wrote.message();
    SourceSet again_sources;
    const auto again = read_model(path, again_sources);
    ASSERT_TRUE(again.ok()) << problems_of(again, again_sources);
    EXPECT_EQ(text_of_model(*again), wanted);
    rt::SafetensorsFile read_again;
    const Status read = read_foreign_weights(*again, path, &read_again);
    ASSERT_TRUE(read.ok()) << read.message();
    ASSERT_EQ(read_again.arrays.size(), weights.arrays.size());
    for (const rt::Array& array : weights.arrays) {
      const rt::Array* other = read_again.find(array.name.c_str());
      ASSERT_NE(other, nullptr) << array.name.c_str();
      ASSERT_EQ(other->data.size(), array.data.size()) << array.name.c_str();
      EXPECT_EQ(std::memcmp(other->data.data(), array.data.data(), array.data.size()), 0)
          << array.name.c_str();
    }
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace gradc::exchange
