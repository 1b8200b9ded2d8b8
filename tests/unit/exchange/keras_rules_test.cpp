// What Keras 3 takes, by the source of its constructors and calls.
#include "tests/unit/exchange/read.h"
#include "tests/unit/exchange/same_model.h"

#include "exchange/h5_file.h"
#include "exchange/keras_export.h"
#include "exchange/keras_export_training.h"
#include "exchange/keras_paths.h"
#include "exchange/weights.h"
#include "exchange/write.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace gradc::exchange {
namespace {

std::string native(const std::string& shape, const std::string& layers,
                   const std::string& more = "") {
  return R"({"inputs": [{"name": "x", "shape": )" + shape + R"(}], "layers": [)" + layers + "]" +
         more + "}";
}

/// The layers of what is written for Keras 3, by their names.
Json written_layers(const Model& model, KerasForm form = KerasForm::kThree) {
  const auto written = export_keras(model, form);
  EXPECT_TRUE(written.ok()) << written.message();
  Json layers;
  if (!written.ok()) return layers;
  for (const Json& layer : (**written)["config"]["layers"])
    layers[layer["name"].get<std::string>()] = layer;
  return layers;
}

TEST(KerasRules, OneAxisIsANumber) {
  const Read read = read_text(native("[4, 6]", R"(
    {"type": "batch_normalization", "name": "a"},
    {"type": "group_normalization", "name": "b", "groups": 2},
    {"type": "layer_normalization", "name": "c"})"));
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const Json layers = written_layers(*read.model);
  for (const char* name : {"a", "b", "c"})
    EXPECT_EQ(layers[name]["config"]["axis"], -1) << name;
}

TEST(KerasRules, AttentionToItselfNamesItsValue) {
  const Read read = read_text(native("[4, 6]", R"(
    {"type": "multi_head_attention", "name": "a", "num_heads": 2, "key_dim": 3},
    {"type": "group_query_attention", "name": "b", "num_query_heads": 2,
     "num_key_value_heads": 1, "head_dim": 3},
    {"type": "attention", "name": "c"}, {"type": "additive_attention", "name": "d"})"));
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const Json layers = written_layers(*read.model);
  for (const char* name : {"a", "b"}) {
    EXPECT_EQ(layers[name]["inbound_nodes"][0]["args"].size(), 2U) << name;
    EXPECT_FALSE(layers[name]["config"].contains("rope_max_wavelength")) << name;
    EXPECT_FALSE(layers[name]["config"].contains("rope_scaling_factor")) << name;
  }
  EXPECT_TRUE(layers["a"]["config"].contains("attention_axes"));
  EXPECT_FALSE(layers["b"]["config"].contains("attention_axes"));
  for (const char* name : {"c", "d"})
    EXPECT_EQ(layers[name]["inbound_nodes"][0]["args"][0].size(), 2U) << name;
  for (const char* name : {"a", "b", "c", "d"})
    EXPECT_FALSE(layers[name].contains("build_config")) << name;
  EXPECT_EQ(layers["b"]["class_name"], "GroupQueryAttention");
  EXPECT_EQ(object_name("GroupQueryAttention"), "grouped_query_attention");
  const Read two = read_text(native("[4, 6]", R"(
    {"type": "multi_head_attention", "name": "a", "num_heads": 2, "key_dim": 3})"));
  const Json older = written_layers(*two.model, KerasForm::kTwo);
  EXPECT_EQ(older["a"]["inbound_nodes"][0][0][3]["value"], Json::array({"x", 0, 0}));
  const Read rope = read_text(native("[4, 6]", R"({"type": "multi_head_attention", "name": "a",
    "num_heads": 1, "key_dim": 4, "rope_max_wavelength": 1000})"));
  ASSERT_TRUE(rope.model.ok()) << rope.problems;
  EXPECT_FALSE(export_keras(*rope.model, KerasForm::kThree).ok());
}

TEST(KerasRules, FunctionsAreNoClasses) {
  const Read read = read_text(native("[4, 6]", R"(
    {"type": "gelu", "name": "a"}, {"type": "celu", "name": "b"},
    {"type": "log_softmax", "name": "c"}, {"type": "soft_shrink", "name": "d"},
    {"type": "leaky_relu", "name": "e"}, {"type": "softmax", "name": "f"})"));
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const Json layers = written_layers(*read.model);
  for (const char* name : {"a", "b", "c", "d"})
    EXPECT_EQ(layers[name]["class_name"], "Activation") << name;
  EXPECT_EQ(layers["c"]["config"]["activation"], "log_softmax");
  EXPECT_EQ(layers["e"]["class_name"], "LeakyReLU");
  EXPECT_EQ(layers["f"]["class_name"], "Softmax");
  const Read odd = read_text(native("[4]", R"({"type": "celu", "name": "a", "alpha": 2})"));
  ASSERT_TRUE(odd.model.ok()) << odd.problems;
  EXPECT_FALSE(export_keras(*odd.model, KerasForm::kThree).ok());
}

TEST(KerasRules, OptionsThatKerasDoesNotHaveAreLeftOut) {
  const Read read = read_text(native("[6, 2]", R"({"type": "cropping1d", "name": "a"},
    {"type": "rms_normalization", "name": "b"})"));
  ASSERT_TRUE(read.model.ok()) << read.problems;
  EXPECT_FALSE(written_layers(*read.model)["a"]["config"].contains("data_format"));
  EXPECT_EQ(oldest_keras(*read.model, KerasForm::kThree), "3.9.0");
  const Read image = read_text(native("[6, 6, 2]", R"({"type": "resizing", "name": "a",
    "height": 3, "width": 3})"));
  ASSERT_TRUE(image.model.ok()) << image.problems;
  EXPECT_FALSE(written_layers(*image.model)["a"]["config"].contains("antialias"));
  EXPECT_EQ(oldest_keras(*image.model, KerasForm::kThree), "3.8.0");
}

TEST(KerasRules, ThresholdsOfPrecisionGoBothWays) {
  const Read read =
      read_text(native("[4]", R"({"type": "dense", "name": "y", "units": 1})",
                       R"(, "training": {"loss": "binary_crossentropy", "optimizer": "adam",
        "metrics": [{"type": "precision", "threshold": 0.7}]})"));
  ASSERT_TRUE(read.model.ok()) << read.problems;
  std::vector<Diagnostic> left_out;
  auto written = export_keras(*read.model, KerasForm::kThree);
  ASSERT_TRUE(written.ok());
  Json& compiled = (**written)["compile_config"];
  compiled = export_compile_config(*read.model, KerasForm::kThree, left_out);
  Json& config = compiled["metrics"][0]["config"];
  EXPECT_EQ(config["thresholds"], 0.7);
  EXPECT_FALSE(config.contains("threshold"));
  config["thresholds"] = Json::array({0.7});  // as Keras writes it
  const Read again = read_text((**written).dump());
  ASSERT_TRUE(again.model.ok()) << again.problems;
  ASSERT_EQ(again.model->training->metrics.size(), 1U);
  EXPECT_EQ(again.model->training->metrics[0].metric.options.number("threshold"), 0.7);
}

TEST(KerasRules, WeightedMetricsGoBothWays) {
  const Read read =
      read_text(native("[4]", R"({"type": "dense", "name": "y", "units": 3})",
                       R"(, "training": {"loss": "categorical_crossentropy", "optimizer": "adam",
        "metrics": ["accuracy", {"type": "f1_score", "class_id": 1}],
        "weighted_metrics": ["accuracy", {"type": "recall", "class_id": 2}]})"));
  ASSERT_TRUE(read.model.ok()) << read.problems;
  std::vector<Diagnostic> left_out;
  auto written = export_keras(*read.model, KerasForm::kThree);
  ASSERT_TRUE(written.ok());
  Json& compiled = (**written)["compile_config"];
  compiled = export_compile_config(*read.model, KerasForm::kThree, left_out);
  ASSERT_EQ(left_out.size(), 1U);  // Keras has no F1 of one class
  EXPECT_NE(left_out[0].message.find("f1_score"), std::string::npos);
  EXPECT_EQ(compiled["metrics"].size(), 1U);
  ASSERT_EQ(compiled["weighted_metrics"].size(), 2U);
  EXPECT_EQ(compiled["weighted_metrics"][1]["config"]["class_id"], 2);
  const Read again = read_text((**written).dump());
  ASSERT_TRUE(again.model.ok()) << again.problems;
  const auto& metrics = again.model->training->metrics;
  ASSERT_EQ(metrics.size(), 3U);
  EXPECT_FALSE(metrics[0].metric.options.has("weighted"));
  EXPECT_EQ(metrics[1].name, "weighted_accuracy");
  EXPECT_TRUE(metrics[1].metric.options.flag("weighted"));
  EXPECT_EQ(metrics[2].metric.options.integer("class_id"), 2);
}

TEST(KerasRules, ZeroOutputForMaskIsRefused) {
  const auto keras = [](const char* value) {
    return std::string(R"({"class_name": "Sequential", "keras_version": "3.8.0", "config": {
      "name": "m", "layers": [{"class_name": "LSTM", "config": {"name": "l", "units": 2,
      "batch_input_shape": [null, 4, 3], "zero_output_for_mask": )") +
           value + "}}]}}";
  };
  EXPECT_TRUE(read_text(keras("false")).model.ok());
  EXPECT_FALSE(read_text(keras("true")).model.ok());
}

/// Parameters of values of their own.
rt::SafetensorsFile ramps_of(const Model& model) {
  rt::SafetensorsFile file;
  double next = 1;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& spec : layer.parameters) {
      if (spec.carried) continue;
      rt::Array array;
      const std::string name = layer.name + "/" + spec.name;
      array.name = rt::Str(name.c_str(), name.size());
      array.dims.append(spec.shape.data(), spec.shape.size());
      array.data.resize(array.count() * sizeof(float));
      for (size_t i = 0; i < array.count(); ++i)
        rt::store_f64(array.data.data(), array.dtype, i, next++);
      file.arrays.push(std::move(array));
    }
  }
  return file;
}

struct Variables {
  const char* layers;
  const char* shape;
  std::vector<const char*> paths;
};

TEST(KerasRules, VariablesLieWhereKerasLooks) {
  const Variables all[] = {
      {R"({"type": "conv_lstm1d", "name": "a", "filters": 2, "kernel_size": 2})",
       "[3, 4, 1]",
       {"layers/conv_lstm1d/cell/vars/0", "layers/conv_lstm1d/cell/vars/2"}},
      {R"({"type": "spectral_normalization", "name": "a", "layer": {"type": "dense", "units": 3}})",
       "[4]",
       {"layers/spectral_normalization/vars/0", "layers/spectral_normalization/vars/1",
        "layers/spectral_normalization/layer/vars/0",
        "layers/spectral_normalization/layer/vars/1"}},
      {R"({"type": "group_query_attention", "name": "a", "num_query_heads": 2,
           "num_key_value_heads": 1, "head_dim": 3})",
       "[4, 6]",
       {"layers/grouped_query_attention/_query_dense/vars/0"}}};
  const std::string path = std::string(::testing::TempDir()) + "/rules.keras";
  for (const Variables& one : all) {
    SCOPED_TRACE(one.layers);
    const Read read = read_text(native(one.shape, one.layers));
    ASSERT_TRUE(read.model.ok()) << read.problems;
    const rt::SafetensorsFile weights = ramps_of(*read.model);
    Written written;
    const Status status = write_model(FileFormat::kKeras, *read.model, &weights, path, &written);
    ASSERT_TRUE(status.ok()) << status.message();
    // The image stands in the archive as it is.
    std::ifstream stream(path, std::ios::binary);
    std::stringstream text;
    text << stream.rdbuf();
    const std::string bytes = text.str();
    const size_t begin = bytes.find("\x89HDF\r\n");
    ASSERT_NE(begin, std::string::npos);
    rt::Bytes image;
    image.append(reinterpret_cast<const unsigned char*>(bytes.data()) + begin,
                 bytes.size() - begin);
    const auto file = H5File::open_image("image", image);
    ASSERT_TRUE(file.ok()) << file.message();
    for (const char* variable : one.paths)
      EXPECT_TRUE((*file)->has(variable)) << variable;
    SourceSet sources;
    const auto model = read_model(path, sources);
    ASSERT_TRUE(model.ok()) << problems_of(model, sources);
    rt::SafetensorsFile again;
    const Status back = read_foreign_weights(*model, path, &again);
    ASSERT_TRUE(back.ok()) << back.message();
    ASSERT_EQ(again.arrays.size(), weights.arrays.size());
    for (const rt::Array& array : weights.arrays) {
      const rt::Array* same = again.find(array.name.c_str());
      ASSERT_NE(same, nullptr) << array.name.c_str();
      ASSERT_EQ(same->data.size(), array.data.size());
      EXPECT_EQ(std::memcmp(same->data.data(), array.data.data(), array.data.size()), 0)
          << array.name.c_str();
    }
  }
}

TEST(KerasRules, StateThatAFormatCannotHaveIsLeftOutWithAWarning) {
  struct Case {
    const char *optimizer, *loss, *file;
  };
  for (const auto& [optimizer, loss, name] :
       {Case{"adafactor", "mean_squared_error", "state.keras"},
        Case{"muon", "mean_squared_error", "state.keras"},
        Case{"adafactor", "mean_squared_error", "state.h5"},
        Case{"adam", "mean_squared_error", "state.keras"},  // a slot is missing
        Case{"adamw", "mean_squared_error", "state_tfjs/"}, Case{"adam", "huber", "state_tfjs/"}}) {
    SCOPED_TRACE(fmt::format("{} {} {}", optimizer, loss, name));
    const Read read = read_text(native(
        "[4]", R"({"type": "dense", "name": "y", "units": 1})",
        fmt::format(R"(, "training": {{"loss": "{}", "optimizer": "{}"}})", loss, optimizer)));
    ASSERT_TRUE(read.model.ok()) << read.problems;
    rt::SafetensorsFile weights = ramps_of(*read.model);
    for (const char* state : {"optimizer/iteration", "optimizer/y/kernel/some"}) {
      rt::Array array;
      array.name = rt::Str(state, std::strlen(state));
      array.data.resize(sizeof(float));
      weights.arrays.push(std::move(array));
    }
    const std::string path = std::string(::testing::TempDir()) + "/" + name;
    if (path.ends_with('/')) std::filesystem::create_directories(path);
    Written written;
    const Status status = write_model(format_of_name(path), *read.model, &weights, path, &written);
    ASSERT_TRUE(status.ok()) << status.message();
    bool said = false;
    for (const Diagnostic& one : written.left_out)
      said = said || one.message.find("the optimizer's state") != std::string::npos;
    EXPECT_TRUE(said);
  }
}

TEST(KerasRules, LossesAndOptimizersComeBackWithTheirOptions) {
  struct Case {
    const char *shape, *loss, *optimizer;
  };
  const std::string path = std::string(::testing::TempDir()) + "/training.keras";
  for (const auto& [shape, loss, optimizer] :
       {Case{"[5, 4]", R"("ctc")",
             R"({"type": "adam", "use_ema": true, "ema_momentum": 0.9,
                 "ema_overwrite_frequency": 7, "gradient_accumulation_steps": 3})"},
        Case{"[4]", R"({"type": "dice", "axis": [1]})",
             R"({"type": "muon", "exclude_layers": "y/kernel y/bias", "ns_steps": 3})"},
        Case{"[4]", R"({"type": "tversky", "alpha": 0.25, "beta": 0.75})",
             R"({"type": "muon", "exclude_embeddings": false, "nesterov": false})"}}) {
    SCOPED_TRACE(loss);
    const Read read = read_text(
        native(shape, R"({"type": "dense", "name": "y", "units": 3, "activation": "sigmoid"})",
               fmt::format(R"(, "training": {{"loss": {}, "optimizer": {}}})", loss, optimizer)));
    ASSERT_TRUE(read.model.ok()) << read.problems;
    const rt::SafetensorsFile weights = ramps_of(*read.model);
    Written written;
    const Status status = write_model(FileFormat::kKeras, *read.model, &weights, path, &written);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(written.left_out.empty());
    SourceSet sources;
    const auto model = read_model(path, sources);
    ASSERT_TRUE(model.ok()) << problems_of(model, sources);
    EXPECT_EQ(text_of_model(*model), text_of_model(*read.model));
  }
}

TEST(KerasRules, WhatKerasDoesNotHaveOfATrainingIsSaid) {
  const Read read = read_text(native("[4]", R"({"type": "dense", "name": "y", "units": 3})",
                                     R"(, "training": {"loss": "triplet_hard", "optimizer":
      {"type": "adamw", "exclude_from_weight_decay": "bias"}})"));
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const rt::SafetensorsFile weights = ramps_of(*read.model);
  Written written;
  const std::string path = std::string(::testing::TempDir()) + "/said.keras";
  const Status status = write_model(FileFormat::kKeras, *read.model, &weights, path, &written);
  ASSERT_TRUE(status.ok()) << status.message();
  std::string said;
  for (const Diagnostic& one : written.left_out)
    said += one.message + "\n";
  EXPECT_NE(said.find("the loss \"triplet_hard\""), std::string::npos) << said;
  EXPECT_NE(said.find("exclude_from_weight_decay"), std::string::npos) << said;
}

}  // namespace
}  // namespace gradc::exchange
