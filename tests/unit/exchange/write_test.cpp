// What is written is read again to the same network and the same bits.
#include "exchange/write.h"

#include "tests/unit/exchange/read.h"
#include "tests/unit/exchange/same_model.h"

#include "exchange/keras_export.h"
#include "exchange/keras_names.h"
#include "exchange/weights.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

namespace gradc::exchange {
namespace {

const std::string kFiles = std::string(GRADC_SOURCE_DIR) + "/tests/exchange/";

struct Loaded {
  SourceSet sources;
  Model model;
  rt::SafetensorsFile weights;
};

/// Model and weights of one file.
void load(const std::string& path, Loaded& out) {
  auto model = read_model(path, out.sources);
  ASSERT_TRUE(model.ok()) << path << problems_of(model, out.sources);
  out.model = model.take();
  const Status status = read_foreign_weights(out.model, path, &out.weights);
  ASSERT_TRUE(status.ok()) << path << ": " << status.message();
}

void expect_same(const Loaded& one, const Loaded& other) {
  ASSERT_EQ(one.weights.arrays.size(), other.weights.arrays.size());
  for (const rt::Array& array : one.weights.arrays) {
    const rt::Array* again = other.weights.find(array.name.c_str());
    ASSERT_NE(again, nullptr) << array.name.c_str();
    ASSERT_EQ(again->data.size(), array.data.size());
    EXPECT_EQ(std::memcmp(again->data.data(), array.data.data(), array.data.size()), 0)
        << array.name.c_str();
  }
  ASSERT_EQ(one.model.layers.size(), other.model.layers.size());
  for (size_t i = 0; i < one.model.layers.size(); ++i) {
    EXPECT_EQ(one.model.layers[i].def, other.model.layers[i].def);
    EXPECT_EQ(one.model.layers[i].name, other.model.layers[i].name);
  }
  ASSERT_TRUE(other.model.training.has_value());
  EXPECT_EQ(one.model.training->losses[0].loss.def, other.model.training->losses[0].loss.def);
  EXPECT_EQ(one.model.training->optimizer.def, other.model.training->optimizer.def);
}

TEST(Write, EveryFormatKeepsEveryBit) {
  Loaded first;
  load(kFiles + "whole.h5", first);
  const std::string folder = std::string(::testing::TempDir()) + "/written/";
  std::filesystem::create_directories(folder);
  for (const char* name : {"again.h5", "again.keras", "tfjs/"}) {
    SCOPED_TRACE(name);
    Written written;
    const Status status = write_model(format_of_name(folder + name), first.model, &first.weights,
                                      folder + name, &written);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(written.left_out.empty());
    Loaded again;
    load(folder + name, again);
    expect_same(first, again);
    EXPECT_EQ(text_of_model(again.model), text_of_model(first.model));
  }
}

TEST(Write, WeightsOfAnotherModelAreRefused) {
  Loaded first;
  load(kFiles + "whole.h5", first);
  const std::string folder = std::string(::testing::TempDir()) + "/refused/";
  std::filesystem::create_directories(folder);
  const auto refused = [&](const char* part) {
    for (const char* name : {"one.h5", "one.keras", "tfjs/", "one.onnx"}) {
      Written written;
      const Status status = write_model(format_of_name(folder + name), first.model, &first.weights,
                                        folder + name, &written);
      ASSERT_FALSE(status.ok()) << name;
      const std::vector<Diagnostic>& said = status.diagnostics();
      EXPECT_TRUE(std::any_of(
          said.begin(), said.end(),
          [&](const Diagnostic& one) { return one.message.find(part) != std::string::npos; }))
          << name << status.message();
      EXPECT_FALSE(std::filesystem::exists(folder + name)) << name;
    }
  };
  rt::Array& array = first.weights.arrays[0];
  ASSERT_GE(array.dims.size(), 1U);
  const int64_t extent = array.dims[0];
  array.dims[0] = 1;  // as many elements, or fewer
  array.dims.push(extent);
  refused("but the model's is");
  array.dims.resize(array.dims.size() - 1);
  array.dims[0] = extent;
  array.name = "nobody/kernel";
  refused("is in no layer of the model");
}

TEST(Write, NativeJsonIsTheSameModel) {
  SourceSet sources;
  const auto foreign = read_model(kFiles + "keras3.keras", sources);
  ASSERT_TRUE(foreign.ok());
  const auto document = native_document(kFiles + "keras3.keras", {});
  ASSERT_TRUE(document.ok()) << document.message();
  const auto native = read_model_text("native.json", (**document).dump(), sources);
  ASSERT_TRUE(native.ok()) << problems_of(native, sources);
  ASSERT_EQ(native->layers.size(), foreign->layers.size());
  for (size_t i = 0; i < native->layers.size(); ++i) {
    EXPECT_EQ(native->layers[i].def, foreign->layers[i].def);
    EXPECT_EQ(native->layers[i].name, foreign->layers[i].name);
  }
  EXPECT_EQ(num_parameters(*native), num_parameters(*foreign));
}

TEST(Write, ConstraintsAndActivityRegularizersAreKept) {
  const Read read = read_text(R"({"class_name": "Sequential", "keras_version": "2.11.0", "config": {
    "name": "kept", "layers": [
      {"class_name": "Rescaling", "config": {"name": "r", "scale": 0.5, "offset": 0.0,
        "batch_input_shape": [null, 4]}},
      {"class_name": "Dense", "config": {"name": "d", "units": 3,
        "kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 3, "axis": 0}},
        "bias_constraint": {"class_name": "NonNeg", "config": {}},
        "activity_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.25}}}},
      {"class_name": "ActivityRegularization", "config": {"name": "a", "l1": 0.5, "l2": 0.0}}]}})");
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const auto check = [](const Model& model) {
    const Options& dense = model.layers[1].component.options;
    EXPECT_EQ(dense.component("kernel_constraint")->def->type, "max_norm");
    EXPECT_EQ(dense.component("kernel_constraint")->options.number("max_value"), 3.0);
    EXPECT_EQ(dense.component("bias_constraint")->def->type, "non_neg");
    EXPECT_EQ(dense.component("activity_regularizer")->options.number("l2"), 0.25);
    EXPECT_EQ(model.layers[0].component.options.numbers("scale"), std::vector<double>{0.5});
    EXPECT_EQ(model.layers[2].component.options.number("l1"), 0.5);
  };
  check(*read.model);
  for (const KerasForm form : {KerasForm::kTwo, KerasForm::kThree}) {
    const auto written = export_keras(*read.model, form);
    ASSERT_TRUE(written.ok()) << written.message();
    const Json& scale = (**written)["config"]["layers"][1]["config"]["scale"];
    EXPECT_EQ(scale, 0.5);  // no list: Keras takes a factor of one number as it is
    const Read again = read_text((**written).dump());
    ASSERT_TRUE(again.model.ok()) << again.problems;
    check(*again.model);
  }
  const Read one = read_text(R"({"class_name": "Sequential", "keras_version": "1.2.2", "config": [
    {"class_name": "Dense", "config": {"name": "d", "output_dim": 3, "batch_input_shape": [null, 4],
      "W_constraint": {"name": "MaxNorm", "m": 5, "axis": 0}}}]})");
  ASSERT_TRUE(one.model.ok()) << one.problems;
  const Component* constraint =
      one.model->layers[0].component.options.component("kernel_constraint");
  ASSERT_NE(constraint, nullptr);
  EXPECT_EQ(constraint->options.number("max_value"), 5.0);
}

TEST(Write, WhatKerasDoesNotHaveIsNamedAtOnce) {
  SourceSet sources;
  const auto model = read_model_text("native.json", R"({
    "inputs": [{"name": "x", "shape": [4, 6]}],
    "layers": [{"type": "rotary_embedding", "name": "turn"},
               {"type": "op.exp", "name": "grow"},
               {"type": "dense", "name": "y", "units": 2, "activation": "hard_sigmoid"}]})",
                                     sources);
  ASSERT_TRUE(model.ok()) << problems_of(model, sources);
  const auto written = export_keras(*model, KerasForm::kTwo);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.diagnostics().size(), 3U);
  const auto third = export_keras(*model, KerasForm::kThree);
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.diagnostics().size(), 2U);  // whose hard_sigmoid it is
}

/// What Keras says at each call, and what it has no word for, where it asks for nothing.
TEST(Write, OptionsOfCallsAndOptionsThatKerasDoesNotHave) {
  SourceSet sources;
  const auto model = read_model_text("native.json", R"({
    "inputs": [{"name": "x", "shape": [4, 6]}],
    "layers": [{"type": "multi_head_attention", "name": "a", "num_heads": 2, "key_dim": 3,
                "use_causal_mask": true, "inputs": ["x", "x"]},
               {"type": "attention", "name": "b", "return_attention_scores": true,
                "inputs": ["a", "x"]},
               {"type": "layer_normalization", "name": "c", "inputs": ["b"]},
               {"type": "dense", "name": "y", "units": 2, "activation": "linear"}],
    "outputs": ["y", "b.scores"]})",
                                     sources);
  ASSERT_TRUE(model.ok()) << problems_of(model, sources);
  for (const KerasForm form : {KerasForm::kTwo, KerasForm::kTwoArchive, KerasForm::kThree}) {
    const auto written = export_keras(*model, form);
    ASSERT_TRUE(written.ok()) << written.message();
    const std::string text = (**written).dump();
    EXPECT_EQ(text.find("\"tied_to\""), std::string::npos);
    EXPECT_EQ(text.find("\"scale_initializer\""), std::string::npos);
    for (const Json& layer : (**written)["config"]["layers"])
      EXPECT_FALSE(layer["config"].contains("use_causal_mask"));
    SourceSet again;
    const auto copy =
        read_model_text("written.json", text, again, {.dialects = &all_dialects(), .given = {}});
    ASSERT_TRUE(copy.ok()) << problems_of(copy, again);
    const std::string wanted = text_of_model(*model);
    EXPECT_EQ(text_of_model(*copy).substr(0, wanted.size()), wanted);  // and a loss that is assumed
  }
}

TEST(Write, ClassNamesAreKeras) {
  EXPECT_EQ(keras_class("max_pooling2d"), "MaxPooling2D");
  EXPECT_EQ(keras_class("global_average_pooling1d"), "GlobalAveragePooling1D");
  EXPECT_EQ(keras_class("batch_normalization"), "BatchNormalization");
  EXPECT_EQ(keras_class("lstm"), "LSTM");
  EXPECT_EQ(keras_class("dense"), "Dense");
  // Back and forth for every layer.
  for (const LayerDef* def : all_layers())
    EXPECT_EQ(find_keras_layer(keras_class(def->base.type)), def) << def->base.type;
}

}  // namespace
}  // namespace gradc::exchange
