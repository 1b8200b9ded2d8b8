// Training that stops in a file and goes on from it is training in one place, to the bit.
#include "driver/compiled_model.h"
#include "driver/foreign_weights.h"
#include "runtime/weights.h"
#include "tests/unit/exchange/read.h"

#include <cstring>
#include <filesystem>

namespace gradc::exchange {
namespace {

/// A model with an instance of it.
struct Running {
  std::unique_ptr<CompiledModel> model;
  std::unique_ptr<ForeignWeights> foreign;
  rt::Instance* instance = nullptr;
  ~Running() {
    if (instance != nullptr) rt::Instance::destroy(instance);
  }
};

void start(Model network, Running& out) {
  CompileOptions options;
  options.batch_size = 4;
  auto compiled = CompiledModel::create(std::move(network), options);
  ASSERT_TRUE(compiled.ok()) << compiled.message();
  out.model = compiled.take();
  const std::array kinds = {EntryPoint::kTrainStep};
  ASSERT_TRUE(out.model->compile(kinds).ok());
  ASSERT_TRUE(
      rt::Instance::create(out.model->runtime_model(), {1}, nullptr, 0, &out.instance).ok());
  out.foreign = std::make_unique<ForeignWeights>(ForeignWeights{*out.model});
  out.instance->set_weights_reader(weights_reader(*out.foreign));
  out.instance->set_weights_writer(weights_writer(*out.foreign));
  ASSERT_TRUE(out.instance->initialize(1).ok());
  ASSERT_TRUE(out.instance->prepare(GRADC_RT_TRAIN_STEP).ok());
  for (size_t i = 0; i < out.instance->num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = out.instance->tensor(i);
    if (tensor.kind != GRADC_RT_INPUT && tensor.kind != GRADC_RT_TARGET) continue;
    for (size_t k = 0; k < static_cast<size_t>(tensor.bytes) / sizeof(float); ++k)
      rt::store_f64(out.instance->data(i), rt::Dtype::kF32, k,
                    static_cast<double>(k * 7 % 11) / 11.0);
  }
}

void train(Running& running, int steps) {
  for (int i = 0; i < steps; ++i)
    running.instance->run(GRADC_RT_TRAIN_STEP);
}

struct Case {
  const char* optimizer;
  const char* file;
};

class GoesOn : public ::testing::TestWithParam<Case> {};

TEST_P(GoesOn, ToTheSameBits) {
  const std::string text = fmt::format(R"({{
    "inputs": [{{"name": "x", "shape": [3, 2]}}],
    "layers": [{{"type": "lstm", "name": "memory", "units": 3}},
               {{"type": "batch_normalization", "name": "norm"}},
               {{"type": "dense", "name": "y", "units": 2}}],
    "training": {{"loss": "mse", "optimizer": {}}}}})",
                                       GetParam().optimizer);
  SourceSet sources;
  auto network = read_model_text("native.json", text, sources);
  ASSERT_TRUE(network.ok()) << problems_of(network, sources);
  Running whole;
  auto same = read_model_text("native.json", text, sources);
  start(same.take(), whole);
  train(whole, 7);
  Running first;
  start(network.take(), first);
  train(first, 3);
  const std::string folder = std::string(::testing::TempDir()) + "/goes_on/";
  std::filesystem::create_directories(folder);
  const std::string path = folder + GetParam().file;
  const rt::Status saved = rt::save_weights(*first.instance, path.c_str());
  ASSERT_TRUE(saved.ok()) << saved.text.c_str();
  SourceSet again;
  auto read = read_model(path, again);
  ASSERT_TRUE(read.ok()) << problems_of(read, again);
  Running second;
  start(read.take(), second);
  const rt::Status loaded = rt::load_tensors(*second.instance, path.c_str(), true);
  ASSERT_TRUE(loaded.ok()) << loaded.text.c_str();
  EXPECT_EQ(second.instance->iteration(), 3);
  train(second, 4);
  int compared = 0;
  for (size_t i = 0; i < whole.instance->num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = whole.instance->tensor(i);
    if (tensor.kind != GRADC_RT_PARAMETER && tensor.kind != GRADC_RT_OPTIMIZER_STATE) continue;
    const int64_t other = second.instance->find(tensor.name);
    ASSERT_GE(other, 0) << tensor.name;
    EXPECT_EQ(
        std::memcmp(whole.instance->data(i), second.instance->data(static_cast<size_t>(other)),
                    static_cast<size_t>(tensor.bytes)),
        0)
        << tensor.name;
    ++compared;
  }
  EXPECT_GE(compared, 8);
  std::filesystem::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(
    Files, GoesOn,
    ::testing::Values(
        Case{R"("adam")", "m.keras"}, Case{R"("adam")", "m.h5"}, Case{R"("adam")", "tfjs/"},
        Case{R"({"type": "sgd", "learning_rate": 0.125, "momentum": 0.5, "nesterov": true})",
             "tfjs/"},
        Case{R"({"type": "rmsprop", "momentum": 0.5, "centered": true})", "m.keras"},
        Case{R"({"type": "rmsprop", "epsilon_as": "pytorch"})", "m.h5"},
        Case{R"({"type": "adam", "amsgrad": true, "learning_rate": {"type": "exponential_decay",
                 "initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}})",
             "m.keras"},
        Case{R"("adagrad")", "m.h5"}, Case{R"("adadelta")", "m.keras"},
        Case{R"({"type": "ftrl", "learning_rate": 0.1})", "m.keras"}));

}  // namespace
}  // namespace gradc::exchange
