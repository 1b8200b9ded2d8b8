// The networks of the field in examples/networks/: as many parameters as published, planned at full
// size; at a reduced one (fewer and narrower layers, small images) checked and trained.
#include "driver/compiled_model.h"
#include "frontend/native_reader.h"
#include "gradc/session.h"
#include "ir/interpreter.h"
#include "passes/gradient_check.h"
#include "support/json.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <set>

namespace gradc::test {
namespace {

constexpr int kNarrower = 16;

struct Network {
  const char* name;
  int64_t parameters;  ///< published: Keras applications, AlexNet and U-Net as in their papers
  int64_t small;       ///< side of the images of the reduced one; 0: it is small as it is
};

constexpr Network kNetworks[] = {
    {"alexnet", 60965224, 67},           {"vgg16", 138357544, 32},
    {"inception_v3", 23851784, 75},      {"resnet20", 274042, 32},
    {"resnet50", 25636712, 32},          {"densenet121", 8062504, 32},
    {"mobilenet", 4253864, 32},          {"mobilenet_v2", 3538984, 32},
    {"mobilenet_v3_small", 2554968, 32}, {"mobilenet_v3_large", 5507432, 32},
    {"efficientnet_b0", 5330571, 32},    {"unet", 31030658, 188},
    {"autoencoder", 210224, 0},          {"vae", 652824, 0},
    {"deep_belief", 236186, 0},
};

std::string path_of(const Network& network) {
  return source("examples/networks/" + std::string(network.name) + ".json");
}

/// Widths become a sixteenth, blocks stand once.
void reduce(Json& value) {
  static const std::set<std::string> kWidths = {"filters", "units", "wide", "squeezed",
                                                "pool_filters"};
  if (value.is_array()) {
    for (Json& element : value)
      reduce(element);
  }
  if (!value.is_object()) return;
  for (auto& [key, member] : value.items()) {
    if (kWidths.contains(key) && member.is_number_integer())
      member = std::max<int64_t>(member.get<int64_t>() / kNarrower, 2);
    if (key == "repeat" || key == "count") member = 1;
    reduce(member);
  }
}

/// The text of the reduced network; files that it names stand beside the original.
std::string reduced(const Network& network) {
  std::ifstream file(path_of(network));
  Json json = Json::parse(file);
  if (network.small == 0) return json.dump();
  reduce(json["blocks"]);
  reduce(json["layers"]);
  json["inputs"][0]["shape"][0] = json["inputs"][0]["shape"][1] = network.small;
  json["training"]["optimizer"] = {{"type", "adam"}, {"learning_rate", 0.002}};
  return json.dump();
}

class Networks : public ::testing::TestWithParam<Network> {};

TEST_P(Networks, HaveAsManyParametersAsPublishedAndCompile) {
  SourceSet sources;
  const auto model = read_model_file(path_of(GetParam()), sources);
  ASSERT_TRUE(model.ok()) << model.message();
  EXPECT_EQ(model->num_trainable() + model->num_not_trainable(), GetParam().parameters);
  EXPECT_TRUE(model->warnings.empty()) << model->warnings[0].message;
  const auto step = build_staged(*model, EntryPoint::kTrainStep, 1, PipelineStage::kPlanned, {});
  ASSERT_TRUE(step.ok()) << step.message();
  EXPECT_GT(step->plan->arena_bytes, 0);
}

TEST_P(Networks, GradientsAgreeWithFiniteDifferences) {
  if (GetParam().small > 100)
    GTEST_SKIP() << "the interpreter would take minutes on images of this size";
  SourceSet sources;
  const auto model = read_model_text(path_of(GetParam()), reduced(GetParam()), sources);
  ASSERT_TRUE(model.ok()) << model.message();
  const auto entry = build_staged(*model, EntryPoint::kGradients, 3, PipelineStage::kGraph, {});
  ASSERT_TRUE(entry.ok()) << entry.message();
  const auto checks =
      check_gradients(*entry->graph, draw_inputs(*entry->graph, 1), {.directions = 1});
  ASSERT_TRUE(checks.ok()) << checks.message();
  double largest = 0.0;
  for (const ParameterCheck& check : *checks)
    largest = std::max(largest, std::abs(check.analytic));
  // A bias in front of a normalization has a gradient of 0: the differences see rounding only.
  for (const ParameterCheck& check : *checks) {
    const bool rounding = std::abs(check.analytic - check.numeric) < 1e-6 * largest;
    EXPECT_TRUE(check.passed || rounding)
        << check.name << " " << check.analytic << " " << check.numeric;
  }
  EXPECT_GT(largest, 1e-4);
}

TEST_P(Networks, LossFalls) {
  const Scratch scratch;
  SessionStatus status;
  const auto session =
      Session::parse(reduced(GetParam()), path_of(GetParam()),
                     {.batch_size = 4, .threads = 1, .seed = 3, .has_seed = true}, &status);
  ASSERT_NE(session, nullptr) << status.message;
  std::mt19937 random(5);
  std::vector<std::vector<std::byte>> memory;
  std::vector<const void*> inputs, targets;
  for (const TensorInfo& tensor : session->tensors()) {
    if (tensor.kind != TensorKind::kInput && tensor.kind != TensorKind::kTarget) continue;
    std::vector<std::byte>& bytes = memory.emplace_back(static_cast<size_t>(tensor.bytes));
    for (size_t i = 0; i < bytes.size() / 4; ++i) {
      const float number = std::uniform_real_distribution<float>(0.0F, 1.0F)(random);
      const auto label = static_cast<int32_t>(random() % 2);
      if (tensor.dtype == "f32") std::memcpy(&bytes[4 * i], &number, 4);
      if (tensor.dtype == "i32") std::memcpy(&bytes[4 * i], &label, 4);
    }
    (tensor.kind == TensorKind::kInput ? inputs : targets).push_back(bytes.data());
  }
  float first = 0.0F, loss = 0.0F;
  for (int step = 0; step < 400 && (step < 10 || loss >= 0.9F * first); ++step) {
    const SessionStatus done = session->step(inputs, targets, &loss);
    ASSERT_TRUE(done.ok()) << done.message;
    if (step == 0) first = loss;
  }
  EXPECT_LT(loss, 0.9F * first);
}

INSTANTIATE_TEST_SUITE_P(All, Networks, ::testing::ValuesIn(kNetworks),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Networks, AreAllListed) {
  std::set<std::string> listed, found;
  for (const Network& network : kNetworks)
    listed.insert(network.name);
  for (const auto& entry : std::filesystem::directory_iterator(source("examples/networks"))) {
    if (entry.path().extension() == ".json") found.insert(entry.path().stem().string());
  }
  EXPECT_EQ(found, listed);
}

/// With probabilities of 0 and 1 nothing is left to chance: the gradient of the restricted
/// Boltzmann machine is contrastive divergence, <dream p(h | dream)> - <v p(h | v)>.
TEST(DeepBelief, GradientIsContrastiveDivergence) {
  std::ifstream file(source("examples/networks/deep_belief.json"));
  Json json = Json::parse(file);
  json["inputs"][0]["shape"] = {1, 2};
  for (size_t machine : {1, 2})
    json["layers"][machine]["with"] = {{"hidden", 2}, {"visible", 2}};
  SourceSet sources;
  const auto model = read_model_text("rbm.json", json.dump(), sources);
  ASSERT_TRUE(model.ok()) << model.message();
  const auto entry = build_staged(*model, EntryPoint::kGradients, 1, PipelineStage::kGradient, {});
  ASSERT_TRUE(entry.ok()) << entry.message();
  const Graph& graph = *entry->graph;
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs()) {
    Tensor& tensor = inputs.emplace_back(graph.type(input.value));
    if (input.name == "input/image") tensor.data = {1, 0};
    if (input.name == "rbm1/up/kernel") tensor.data = {40, -40, -40, 40};
    if (input.name == "rbm1/down/bias") tensor.data = {-100, 100};
  }
  const auto values = interpret(graph, inputs);
  ASSERT_TRUE(values.ok()) << values.message();
  const auto gradient = [&](const std::string& name) {
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      if (graph.outputs()[i].name == "gradient/rbm1/" + name) return values->outputs[i].data;
    }
    return std::vector<double>();
  };
  const auto near = [](const std::vector<double>& got, const std::vector<double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_NEAR(got[i], want[i], 1e-9) << i;
  };
  near(gradient("up/kernel"), {-1, 0, 0, 1});  // v = h = (1, 0); dream = p = (0, 1)
  near(gradient("up/bias"), {-1, 1});
  near(gradient("down/bias"), {-1, 1});
}

}  // namespace
}  // namespace gradc::test
