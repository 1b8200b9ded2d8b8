// The state of optimizers in files: every order that programs write it in, there and back.
#include "tests/unit/exchange/read.h"

#include "exchange/optimizer_state.h"
#include "exchange/weights.h"
#include "exchange/write.h"

#include <cmath>
#include <filesystem>

namespace gradc::exchange {
namespace {

Model model_with(const std::string& optimizer) {
  SourceSet sources;
  auto model = read_model_text("native.json",
                               fmt::format(R"({{
    "inputs": [{{"name": "x", "shape": [3]}}],
    "layers": [{{"type": "dense", "name": "one", "units": 4}},
               {{"type": "dense", "name": "two", "units": 2}}],
    "training": {{"loss": "mse", "optimizer": {}}}}})",
                                           optimizer),
                               sources);
  EXPECT_TRUE(model.ok()) << problems_of(model, sources);
  return model.take();
}

/// Every element of the array says which it is.
rt::Array numbered(const Ints& dims, float first) {
  rt::Array array;
  array.dims.append(dims.data(), dims.size());
  array.data.resize(array.count() * sizeof(float));
  for (size_t i = 0; i < array.count(); ++i)
    rt::store_f64(array.data.data(), array.dtype, i,
                  static_cast<double>(first) + static_cast<double>(i) / 64);
  return array;
}

rt::Array steps(int64_t count) {
  rt::Array array;
  array.dtype = rt::Dtype::kI64;
  array.data.resize(sizeof count);
  rt::store_i64(array.data.data(), array.dtype, 0, count);
  return array;
}

const Ints kShapes[] = {{3, 4}, {4}, {4, 2}, {2}};
constexpr const char* kNames[] = {"one/kernel", "one/bias", "two/kernel", "two/bias"};

double first_of(const rt::SafetensorsFile& file, const std::string& name) {
  const rt::Array* array = file.find(name.c_str());
  if (array == nullptr) return std::nan("");
  return rt::load_f64(array->data.data(), array->dtype, 0);
}

TEST(OptimizerState, AdamOfEachLayout) {
  const Model model = model_with(R"("adam")");
  for (const StateLayout layout : {StateLayout::kKeras, StateLayout::kBySlot, StateLayout::kTfjs}) {
    StateVariables state{{}, layout};
    state.arrays.push_back(steps(7));
    if (layout == StateLayout::kKeras) state.arrays.push_back(numbered({}, 0.001F));  // the rate
    for (int i = 0; i < 8; ++i) {
      const bool pairs = layout == StateLayout::kKeras;
      const int parameter = pairs ? i / 2 : i % 4;
      const int slot = pairs ? i % 2 : i / 4;
      state.arrays.push_back(
          numbered(kShapes[parameter], static_cast<float>(10 * parameter + slot)));
    }
    rt::SafetensorsFile file;
    EXPECT_EQ(assign_state(model, std::move(state), &file), "");
    for (int parameter = 0; parameter < 4; ++parameter) {
      const std::string name = std::string("optimizer/") + kNames[parameter];
      EXPECT_EQ(first_of(file, name + "/momentum"), 10 * parameter);
      EXPECT_EQ(first_of(file, name + "/velocity"), 10 * parameter + 1);
    }
    EXPECT_EQ(first_of(file, "optimizer/iteration"), 7);
  }
}

TEST(OptimizerState, ZerosOfSlotsThatAreNotUsedAreSkipped) {
  const Model model = model_with(R"("adam")");
  StateVariables state{{}, StateLayout::kBySlot};
  state.arrays.push_back(steps(2));
  for (int slot = 0; slot < 3; ++slot) {
    for (const Ints& shape : kShapes)  // Keras 2.1.3: "vhats" of one element without amsgrad
      state.arrays.push_back(numbered(slot < 2 ? shape : Ints{1}, static_cast<float>(slot)));
  }
  rt::SafetensorsFile file;
  EXPECT_EQ(assign_state(model, std::move(state), &file), "");
  EXPECT_EQ(file.arrays.size(), 9U);
}

TEST(OptimizerState, RmspropOfKerasTwoDoesNotCount) {
  const Model model = model_with(R"({"type": "rmsprop", "momentum": 0.5, "centered": true})");
  StateVariables state{{}, StateLayout::kBySlot};
  for (int slot = 0; slot < 3; ++slot) {
    for (const Ints& shape : kShapes)
      state.arrays.push_back(numbered(shape, static_cast<float>(slot)));
  }
  rt::SafetensorsFile file;
  EXPECT_EQ(assign_state(model, std::move(state), &file), "");
  EXPECT_EQ(first_of(file, "optimizer/two/bias/velocity"), 0);
  EXPECT_EQ(first_of(file, "optimizer/two/bias/momentum"), 1);
  EXPECT_EQ(first_of(file, "optimizer/two/bias/average_gradient"), 2);
  EXPECT_EQ(first_of(file, "optimizer/iteration"), 0);
}

TEST(OptimizerState, MomentumOfTensorFlowJsIsWithoutTheRate) {
  const Model model = model_with(R"({"type": "sgd", "learning_rate": 0.25, "momentum": 0.9})");
  StateVariables state{{}, StateLayout::kTfjs};
  state.arrays.push_back(steps(3));
  for (const Ints& shape : kShapes)
    state.arrays.push_back(numbered(shape, 8.0F));
  rt::SafetensorsFile file;
  EXPECT_EQ(assign_state(model, std::move(state), &file), "");
  EXPECT_EQ(first_of(file, "optimizer/one/bias/momentum"), -2.0);
  std::vector<Diagnostic> left_out;
  const auto back = state_variables(model, file, StateLayout::kTfjs, left_out);
  EXPECT_TRUE(left_out.empty());
  ASSERT_EQ(back.size(), 5U);
  EXPECT_EQ(rt::load_f64(back[1].array.data.data(), rt::Dtype::kF32, 0), 8.0);
}

TEST(OptimizerState, NadamsProductFollowsFromTheSteps) {
  const Model model = model_with(R"("nadam")");
  StateVariables state{{}, StateLayout::kKeras};
  state.arrays.push_back(steps(2));
  for (const Ints& shape : kShapes) {
    state.arrays.push_back(numbered(shape, 0.0F));
    state.arrays.push_back(numbered(shape, 1.0F));
  }
  rt::SafetensorsFile file;
  EXPECT_EQ(assign_state(model, std::move(state), &file), "");
  const double product = 0.9 * (1 - 0.5 * 0.96) * 0.9 * (1 - 0.5 * 0.96 * 0.96);
  EXPECT_NEAR(first_of(file, "optimizer/u_product"), product, 1e-7);
}

TEST(OptimizerState, WhatDoesNotFitIsSaid) {
  const Model model = model_with(R"("adam")");
  StateVariables few{{}, StateLayout::kKeras};
  few.arrays.push_back(steps(2));
  few.arrays.push_back(numbered({3, 4}, 0.0F));
  rt::SafetensorsFile file;
  EXPECT_EQ(assign_state(model, std::move(few), &file),
            "the optimizer has 8 variables for 4 parameters, the file 1");
  StateVariables shapes{{}, StateLayout::kKeras};
  shapes.arrays.push_back(steps(2));
  for (int i = 0; i < 8; ++i)
    shapes.arrays.push_back(numbered({5}, 0.0F));
  EXPECT_NE(assign_state(model, std::move(shapes), &file), "");
  StateVariables odd{{}, StateLayout::kKeras};
  odd.arrays.push_back(steps(-1));
  EXPECT_EQ(assign_state(model, std::move(odd), &file), "its number of steps is none");
  EXPECT_TRUE(file.arrays.empty());
}

/// The weights of a model, each tensor with numbers of its own.
rt::SafetensorsFile trained(const Model& model) {
  rt::SafetensorsFile file;
  float first = 1.0F;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& spec : layer.parameters) {
      rt::Array array = numbered(spec.shape, first++);
      array.name = rt::Str((layer.name + "/" + spec.name).c_str());
      file.arrays.push(std::move(array));
    }
  }
  std::vector<Diagnostic> left_out;
  EXPECT_TRUE(state_variables(model, file, StateLayout::kKeras, left_out).empty());
  EXPECT_TRUE(left_out.empty());  // there is none yet
  return file;
}

class StateOf : public ::testing::TestWithParam<const char*> {};

TEST_P(StateOf, EveryFormatGivesItBack) {
  const Model model = model_with(GetParam());
  rt::SafetensorsFile file = trained(model);
  // As many arrays as any optimizer has, of which each takes its own.
  bool taken = false;
  for (int slots = 0; slots <= 3 && !taken; ++slots) {
    StateVariables state{{}, StateLayout::kBySlot};
    state.arrays.push_back(steps(5));
    for (int slot = 0; slot < slots; ++slot) {
      for (const Ints& shape : kShapes)
        state.arrays.push_back(numbered(shape, static_cast<float>(100 + slot)));
    }
    taken = assign_state(model, std::move(state), &file).empty();
  }
  ASSERT_TRUE(taken);
  const std::string folder = std::string(::testing::TempDir()) + "/state/";
  std::filesystem::create_directories(folder);
  for (const char* name : {"m.h5", "m.keras", "tfjs/"}) {
    SCOPED_TRACE(name);
    Written written;
    const std::string path = folder + name;
    const Status wrote = write_model(format_of_name(path), model, &file, path, &written);
    ASSERT_TRUE(wrote.ok()) << wrote.message();
    SourceSet sources;
    const auto again = read_model(path, sources);
    ASSERT_TRUE(again.ok()) << problems_of(again, sources);
    rt::SafetensorsFile back;
    std::vector<Diagnostic> left_out;
    const Status read = read_foreign_weights(*again, path, &back, &left_out);
    ASSERT_TRUE(read.ok()) << read.message();
    EXPECT_TRUE(left_out.empty()) << left_out.front().message;
    const bool web = std::string(name) == "tfjs/";
    const bool web_has_it = back.find("optimizer/iteration") != nullptr;
    if (web && !web_has_it) continue;  // TensorFlow.js does not have all of them
    ASSERT_EQ(back.arrays.size(), file.arrays.size());
    for (const rt::Array& array : file.arrays) {
      const rt::Array* other = back.find(array.name.c_str());
      ASSERT_NE(other, nullptr) << array.name.c_str();
      ASSERT_EQ(other->count(), array.count()) << array.name.c_str();
      for (size_t i = 0; i < array.count(); ++i) {
        const auto value = [&](const rt::Array& of) {
          return rt::is_float(of.dtype)
                     ? rt::load_f64(of.data.data(), of.dtype, i)
                     : static_cast<double>(rt::load_i64(of.data.data(), of.dtype, i));
        };
        // Through TensorFlow.js's momentum the rate is divided and multiplied.
        EXPECT_NEAR(value(*other), value(array), web ? std::abs(value(array)) * 2e-7 : 0.0)
            << array.name.c_str();
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Optimizers, StateOf,
    ::testing::Values(
        R"("sgd")", R"({"type": "sgd", "momentum": 0.9})", R"("adam")",
        R"({"type": "adam", "amsgrad": true})", R"("adamw")", R"("adamax")", R"("nadam")",
        R"("rmsprop")", R"({"type": "rmsprop", "momentum": 0.5})",
        R"({"type": "rmsprop", "momentum": 0.5, "centered": true})",
        R"({"type": "rmsprop", "epsilon_as": "pytorch"})", R"("adagrad")", R"("adadelta")",
        R"("lion")", R"("ftrl")", R"("lamb")",
        R"({"type": "adam", "learning_rate": {"type": "cosine_decay", "initial_learning_rate": 0.1,
            "decay_steps": 9}})"));

}  // namespace
}  // namespace gradc::exchange
