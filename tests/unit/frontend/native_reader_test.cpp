// The native reader: names, wiring, shapes, sharing, blocks, training and data sections.
#include "frontend/layer_def.h"
#include "tests/unit/frontend/model_text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace gradc {
namespace {

std::vector<std::string> call_names(const Model& model) {
  std::vector<std::string> names;
  for (const Call& call : model.calls)
    names.push_back(call.name);
  return names;
}

Ints shape_after(const std::string& layers, const std::string& shape) {
  const auto model = parse_model(with_layers(layers, shape));
  if (!model) return {-1};
  return model.value().calls.back().output().shape;
}

TEST(NativeReader, ExamplesAreGoodModels) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(GRADC_SOURCE_DIR "/examples")) {
    if (file.path().extension() != ".json") continue;
    SourceSet sources;
    const auto model = read_model_file(file.path().string(), sources);
    EXPECT_TRUE(model.ok()) << render_diagnostics(model.diagnostics(), sources);
    if (model.ok()) {
      EXPECT_TRUE(model.value().warnings.empty())
          << render_diagnostics(model.value().warnings, sources);
    }
    ++count;
  }
  EXPECT_GE(count, 8);
}

TEST(NativeReader, LenetHasTheTextbookParameterCount) {
  SourceSet sources;
  const auto model = read_model_file(GRADC_SOURCE_DIR "/examples/lenet.json", sources);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model.value().num_trainable(), 225034);
  EXPECT_EQ(model.value().num_not_trainable(), 0);
}

TEST(NativeReader, AutomaticNamesAreKeras) {
  const auto model = parse_model(with_layers(
      R"({"type": "dense", "units": 4}, {"type": "dense", "units": 4}, {"type": "dense", "units": 3, "name": "dense_2"},
         {"type": "dense", "units": 2}, {"type": "batch_norm"}, {"type": "relu"})"));
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(call_names(model.value()), (std::vector<std::string>{"dense", "dense_1", "dense_2",
                                                                 "dense_3", "batch_norm", "relu"}));
  EXPECT_EQ(model.value().layers[4].parameters.size(), 4U);
  EXPECT_FALSE(model.value().layers[4].parameters[2].trainable);
}

TEST(NativeReader, LayersMayStandInAnyOrder) {
  const auto model =
      parse_model(R"({"inputs": [{"name": "x", "shape": [8]}], "outputs": "last", "layers": [
      {"type": "dense", "units": 2, "name": "last", "inputs": "middle"},
      {"type": "dense", "units": 3, "name": "first", "inputs": "x"},
      {"type": "relu", "name": "middle", "inputs": ["first"]}]})");
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(call_names(model.value()), (std::vector<std::string>{"first", "middle", "last"}));
  EXPECT_EQ(model.value().layers[0].name, "last");  // parameters keep the file's order
}

TEST(NativeReader, SharedLayerHasOneSetOfParameters) {
  SourceSet sources;
  const auto model = read_model_file(GRADC_SOURCE_DIR "/examples/branching.json", sources);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model.value().calls[0].layer, model.value().calls[1].layer);
  EXPECT_EQ(model.value().calls.size(), model.value().layers.size() + 1);
  EXPECT_EQ(model.value().training->losses[1].weight, 0.5);
  EXPECT_EQ(model.value().training->metrics[0].name, "kind_accuracy");
  EXPECT_EQ(model.value().target_spec(model.value().training->losses[0]),
            (TensorSpec{DType::kI32, {}}));
}

TEST(NativeReader, SharedLayerWithAnotherShape) {
  const std::string text =
      problems_of(R"({"inputs": [{"name": "a", "shape": [4]}, {"name": "b", "shape": [5]}],
    "outputs": ["d", "e"], "layers": [
      {"type": "dense", "units": 2, "name": "d", "inputs": "a"},
      {"type": "shared", "layer": "d", "name": "e", "inputs": "b"}]})");
  EXPECT_NE(text.find("shared dense layer \"d\" has a kernel of shape [4, 2], but this input "
                      "f32[5] needs [5, 2]"),
            std::string::npos)
      << text;
}

TEST(NativeReader, BlocksRepeatWithParameters) {
  SourceSet sources;
  const auto model = read_model_file(GRADC_SOURCE_DIR "/examples/residual_blocks.json", sources);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model.value().calls.size(), 13U);
  EXPECT_EQ(model.value().calls[0].name, "body_0/layer_norm");
  EXPECT_EQ(model.value().calls[5].name, "body_1/dense");
  EXPECT_EQ(model.value().calls[5].place.pointer, "/blocks/residual/layers/1");
  const Component* activation = model.value().layers[5].component.options.component("activation");
  ASSERT_NE(activation, nullptr);
  EXPECT_EQ(activation->def->type, "silu");
  // The first input of a repetition is the result of the one before.
  EXPECT_EQ(model.value().value_name(model.value().calls[4].inputs[0]), "body_0/add");
}

TEST(NativeReader, BlockErrorsAreReportedOnce) {
  const std::string text = problems_of(R"({"inputs": [{"name": "x", "shape": [8]}],
    "blocks": {"b": {"layers": [{"type": "dence"}]}}, "layers": [{"type": "block", "block": "b", "repeat": 50}]})");
  EXPECT_EQ(text.find("unknown layer type"), text.rfind("unknown layer type")) << text;
  EXPECT_NE(text.find("/blocks/b/layers/0/type"), std::string::npos) << text;
}

TEST(NativeReader, CyclesAreNamed) {
  const std::string text = problems_of(with_layers(
      R"({"type": "dense", "units": 8, "name": "a", "inputs": "c"}, {"type": "relu", "name": "b"}, {"type": "relu", "name": "c"})"));
  EXPECT_NE(text.find("layers form a cycle: a -> b -> c -> a"), std::string::npos) << text;
  const std::string blocks = problems_of(R"({"inputs": [{"name": "x", "shape": [8]}],
    "blocks": {"p": {"layers": [{"type": "block", "block": "q"}]}, "q": {"layers": [{"type": "block", "block": "p"}]}},
    "layers": [{"type": "block", "block": "p"}]})");
  EXPECT_NE(blocks.find("block \"p\" contains itself: p -> q -> p"), std::string::npos) << blocks;
}

TEST(NativeReader, AllErrorsAtOnce) {
  const std::string text =
      problems_of(R"({"inputs": [{"name": "x", "shape": [8]}], "optimiser": 1, "layers": [
    {"type": "dense", "unit": 3}, {"type": "dence"}, {"type": "dropout", "rate": 1.5},
    {"type": "dense", "units": 2, "activation": "rely", "inputs": "y"}]})");
  for (const char* part :
       {"no option \"unit\"", "did you mean \"units\"?", "unknown layer type \"dence\"",
        "\"rate\" is 1.5, but must be at least 0 and below 1", "unknown activation \"rely\"",
        "did you mean \"relu\"?", "no layer or input is named \"y\"", "no option \"optimiser\""}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find("has no \"units\""), std::string::npos) << text;  // it is called "unit"
}

TEST(NativeReader, ConvolutionAndPoolingShapes) {
  EXPECT_EQ(shape_after(R"({"type": "conv2d", "filters": 6, "kernel_size": [3, 5]})", "[9, 10, 2]"),
            (Ints{7, 6, 6}));
  EXPECT_EQ(
      shape_after(
          R"({"type": "conv2d", "filters": 6, "kernel_size": 3, "strides": 2, "padding": "same"})",
          "[9, 10, 2]"),
      (Ints{5, 5, 6}));
  EXPECT_EQ(
      shape_after(
          R"({"type": "conv2d", "filters": 4, "kernel_size": 3, "dilation_rate": 2, "groups": 2})",
          "[9, 10, 2]"),
      (Ints{5, 6, 4}));
  EXPECT_EQ(shape_after(R"({"type": "max_pooling2d", "strides": 1})", "[9, 10, 2]"),
            (Ints{8, 9, 2}));
  EXPECT_EQ(shape_after(R"({"type": "average_pooling2d", "pool_size": [2, 3], "padding": "same"})",
                        "[9, 10, 2]"),
            (Ints{5, 4, 2}));
  EXPECT_EQ(shape_after(R"({"type": "global_max_pooling2d"})", "[9, 10, 2]"), (Ints{2}));
  EXPECT_EQ(shape_after(R"({"type": "zero_padding2d", "padding": [[1, 2], [3, 4]]})", "[9, 10, 2]"),
            (Ints{12, 17, 2}));
}

TEST(NativeReader, OtherShapes) {
  EXPECT_EQ(shape_after(R"({"type": "reshape", "target_shape": [3, -1]})", "[6, 4]"), (Ints{3, 8}));
  EXPECT_EQ(shape_after(R"({"type": "permute", "dims": [2, 1]})", "[6, 4]"), (Ints{4, 6}));
  EXPECT_EQ(shape_after(R"({"type": "dense", "units": 6, "activation": "glu"})", "[5, 4]"),
            (Ints{5, 3}));
  EXPECT_EQ(shape_after(R"({"type": "concatenate", "axis": 1, "inputs": ["x", "x"]})", "[6, 4]"),
            (Ints{12, 4}));
  EXPECT_EQ(shape_after(R"({"type": "dot", "axes": 2, "inputs": ["x", "x"]})", "[6, 4]"),
            (Ints{6, 6}));
  EXPECT_EQ(shape_after(R"({"type": "prelu", "shared_axes": [1]})", "[6, 4]"), (Ints{6, 4}));
  EXPECT_EQ(shape_after(R"({"type": "op.transpose", "attributes": {"perm": [0, 2, 1]}})", "[6, 4]"),
            (Ints{4, 6}));
}

TEST(NativeReader, EmbeddingTakesIntegers) {
  const auto model = parse_model(R"({"inputs": [{"name": "t", "shape": [7], "dtype": "int32"}],
     "layers": [{"type": "embedding", "input_dim": 10, "output_dim": 3}]})");
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model.value().calls[0].output().shape, (Ints{7, 3}));
  EXPECT_NE(problems_of(with_layers(R"({"type": "embedding", "input_dim": 10, "output_dim": 3})"))
                .find("type-mismatch"),
            std::string::npos);
}

TEST(NativeReader, TrainingSection) {
  const auto model = parse_model(with_training(R"({"type": "dense", "units": 3})", R"({
      "loss": "categorical_crossentropy", "optimizer": {"type": "sgd", "learning_rate": {"type": "step", "initial_learning_rate": 0.1, "step_size": 5}},
      "metrics": ["accuracy", {"type": "top_k", "k": 2, "name": "top2"}, "loss"], "batch_size": 7, "epochs": 3, "shuffle": false,
      "validation_split": 0.25, "seed": 9, "early_stopping": {"patience": 2, "monitor": "loss"}})"));
  ASSERT_TRUE(model.ok());
  const Training& training = *model.value().training;
  EXPECT_EQ(training.metrics[0].resolved->type, "categorical_accuracy");
  EXPECT_EQ(training.metrics[1].name, "top2");
  EXPECT_EQ(training.batch_size, 7);
  EXPECT_EQ(training.seed, 9);
  EXPECT_EQ(training.early_stopping->patience, 2);
}

TEST(NativeReader, EarlyStoppingKnowsWhichDirectionIsBetter) {
  const auto larger = [](const std::string& metric, const std::string& stopping) {
    const auto model = parse_model(with_training(
        R"({"type": "dense", "units": 3})",
        R"({"loss": {"type": "categorical_crossentropy", "from_logits": true}, "optimizer": "sgd", "metrics": [)" +
            metric + R"(], "early_stopping": {)" + stopping + "}}"));
    EXPECT_TRUE(model.ok()) << metric << stopping;
    return model.ok() && model.value().training->early_stopping->larger_is_better;
  };
  EXPECT_TRUE(larger(R"("accuracy")", R"("monitor": "val_accuracy")"));
  EXPECT_TRUE(
      larger(R"({"type": "accuracy", "name": "hit_rate"})", R"("monitor": "val_hit_rate")"));
  EXPECT_TRUE(larger(R"("top_k")", R"("monitor": "top_k")"));
  EXPECT_TRUE(larger(R"({"type": "top_k", "k": 2, "name": "loss2"})", R"("monitor": "val_loss2")"));
  EXPECT_FALSE(larger(R"({"type": "mae", "name": "accuracy"})", R"("monitor": "val_accuracy")"));
  EXPECT_FALSE(larger(R"({"type": "mse", "name": "auc"})", R"("monitor": "auc")"));
  EXPECT_FALSE(larger(R"("accuracy")", R"("monitor": "val_loss")"));
  EXPECT_FALSE(larger(R"("accuracy")", R"("patience": 2)"));
  EXPECT_TRUE(larger(R"("mse")", R"("monitor": "mse", "mode": "max")"));
  EXPECT_FALSE(larger(R"("accuracy")", R"("monitor": "accuracy", "mode": "min")"));
  EXPECT_NE(problems_of(with_training(R"({"type": "dense", "units": 3})",
                                      R"({"loss": "mse", "optimizer": "sgd", "metrics": ["mae"],
                                "early_stopping": {"monitor": "val_mse"}})"))
                .find(R"(did you mean "val_mae"?)"),
            std::string::npos);
}

TEST(NativeReader, ReduceOnPlateau) {
  const auto read = [](const std::string& plateau) {
    return parse_model(with_training(R"({"type": "dense", "units": 3})",
                                     R"({"loss": {"type": "categorical_crossentropy",
        "from_logits": true}, "optimizer": "sgd", "metrics": ["accuracy"], "reduce_on_plateau": {)" +
                                         plateau + "}}"));
  };
  const auto model = read(
      R"("monitor": "val_accuracy", "factor": 0.2, "patience": 4, "min_learning_rate": 0.001)");
  ASSERT_TRUE(model.ok());
  const ReduceOnPlateau& plateau = *model.value().training->reduce_on_plateau;
  EXPECT_TRUE(plateau.larger_is_better);
  EXPECT_EQ(plateau.factor, 0.2);
  EXPECT_EQ(plateau.patience, 4);
  EXPECT_EQ(plateau.min_delta, 1e-4);  // Keras's
  EXPECT_EQ(plateau.min_learning_rate, 0.001);
  for (const char* wrong : {R"("factor": 1)", R"("factor": 0)", R"("patience": 0)",
                            R"("monitor": "val_acuracy")", R"("cooldown": -1)", R"("min_lr": 0)"})
    EXPECT_FALSE(read(wrong).ok()) << wrong;
}

TEST(NativeReader, DataSection) {
  const auto model = parse_model(
      R"({"inputs": [{"name": "x", "shape": [4, 4, 2]}], "layers": [{"type": "flatten"}, {"type": "dense", "units": 3, "name": "y"}],
    "training": {"loss": {"type": "categorical_crossentropy", "from_logits": true}, "optimizer": "sgd"},
    "data": {"x": {"scale": 0.5, "standardize": {"mean": [1, 2], "std": [3, 4]}, "augment": {"flip_horizontal": true, "shift": 1, "noise": 0.1}},
             "y": {"one_hot": 3}}})");
  ASSERT_TRUE(model.ok()) << model.message();
  const DataRule* x = model.value().data_rule("x", false);
  ASSERT_NE(x, nullptr);
  EXPECT_EQ(x->mean, (std::vector<double>{1, 2}));
  EXPECT_TRUE(x->flip_horizontal);
  EXPECT_EQ(x->shift_width, 1);
  EXPECT_EQ(model.value().data_rule("y", true)->one_hot, 3);
}

TEST(NativeReader, HugeSizesAreRefused) {
  for (const char* layers : {R"({"type": "dense", "units": 9223372036854775807})",
                             R"({"type": "dense", "units": 4000000000000000000})",
                             R"({"type": "reshape", "target_shape": [9223372036854775807, 2]})",
                             R"({"type": "dense", "units": 1125899906842624})"}) {
    EXPECT_NE(problems_of(with_layers(layers)), "") << layers;
  }
  EXPECT_NE(problems_of(with_layers(R"({"type": "flatten"})", "[4294967296, 4294967296]"))
                .find("too-large"),
            std::string::npos);
  EXPECT_NE(problems_of(with_layers(R"({"type": "zero_padding2d", "padding": 9223372036854775807})",
                                    "[2, 2, 2]"))
                .find("too-large"),
            std::string::npos);
  EXPECT_NE(
      problems_of(with_layers(
          R"({"type": "conv2d", "filters": 1, "kernel_size": 9223372036854775807, "dilation_rate": 3})",
          "[2, 2, 2]")),
      "");
}

TEST(NativeReader, UnusedLayersAreReportedAndLeftOut) {
  const std::string text = R"({"inputs": [{"name": "x", "shape": [8]}], "outputs": "b", "layers": [
    {"type": "dense", "units": 3, "name": "a"}, {"type": "dense", "units": 2, "name": "b", "inputs": "x"}]})";
  const auto model = parse_model(text);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model.value().layers.size(), 1U);
  EXPECT_NE(problems_of(text).find("layer \"a\" reaches no output and is left out [unused-layer]"),
            std::string::npos);
}

TEST(NativeReader, ModelOfAnotherFile) {
  const auto folder = std::filesystem::temp_directory_path() / "gradc_native_reader_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "net.json")
      << with_layers(R"({"type": "dense", "units": 3, "name": "y"})");
  std::ofstream(folder / "train.json")
      << R"({"model": "net.json", "training": {"loss": "mse", "optimizer": "adam"}})";
  std::ofstream(folder / "loop.json") << R"({"model": "loop.json"})";
  std::ofstream(folder / "lost.json") << R"({"model": "gone.json"})";
  SourceSet sources;
  const auto model = read_model_file((folder / "train.json").string(), sources);
  ASSERT_TRUE(model.ok()) << model.message();
  EXPECT_TRUE(model.value().training.has_value());
  EXPECT_EQ(model.value().layers[0].name, "y");
  EXPECT_EQ(read_model_file((folder / "loop.json").string(), sources).diagnostics()[0].kind,
            DiagKind::kCycle);
  const auto lost = read_model_file((folder / "lost.json").string(), sources);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.diagnostics()[0].kind, DiagKind::kFileNotFound);
  EXPECT_EQ(lost.diagnostics()[0].place.pointer, "/model");
  std::filesystem::remove_all(folder);
}

TEST(NativeReader, AFileAroundAnotherHasItsDataToo) {
  const auto folder = std::filesystem::temp_directory_path() / "gradc_overlay_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "net.json")
      << R"({"$schema": "model.schema.json", "inputs": [{"name": "x", "shape": [8]}],
             "layers": [{"type": "dense", "units": 3, "name": "y"}],
             "training": {"loss": "mse", "optimizer": "sgd"},
             "data": {"x": {"scale": 0.5}, "y": {"standardize": true}}})";
  const auto rules = [&](const std::string& rest) {
    std::ofstream(folder / "over.json") << R"({"model": "net.json")" << rest << "}";
    SourceSet sources;
    const auto model = read_model_file((folder / "over.json").string(), sources);
    EXPECT_TRUE(model.ok()) << rest << model.message();
    std::string text;
    for (size_t i = 0; model.ok() && i < model->data.size(); ++i) {
      const DataRule& rule = model->data[i];
      text += fmt::format("{}{}{}:{} ", rule.name, rule.is_target ? "'" : "",
                          rule.standardize != DataRule::Standardize::kNone ? "s" : "", rule.scale);
    }
    return text;
  };
  EXPECT_EQ(rules(""), "x:0.5 y's:1 ");
  EXPECT_EQ(rules(R"(, "training": {"loss": "mae", "optimizer": "adam"})"), "x:0.5 y's:1 ");
  EXPECT_EQ(rules(R"(, "data": {"x": {"scale": 2}})"), "y's:1 x:2 ");
  EXPECT_EQ(rules(R"(, "$schema": "s", "data": {"y": {}})"), "x:0.5 y':1 ");
  // A rule of its own that fits nothing is told, in its own file; so is one that fits no more.
  const auto problem = [&](const std::string& rest) {
    std::ofstream(folder / "over.json") << R"({"model": "net.json")" << rest << "}";
    SourceSet sources;
    const auto model = read_model_file((folder / "over.json").string(), sources);
    return model.ok() ? std::string() : model.diagnostics()[0].place.file + model.message();
  };
  EXPECT_NE(problem(R"(, "data": {"z": {}})").find("over.json"), std::string::npos);
  EXPECT_NE(problem(R"(, "$schema": 3)").find("over.json"), std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST(NativeReader, ManyLayersAreQuick) {
  std::string layers;
  for (int i = 0; i < 3000; ++i)
    layers += (i > 0 ? "," : "") + std::string(R"({"type": "relu"})");
  const auto model = parse_model(with_layers(layers));
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model.value().calls.back().name, "relu_2999");
}

TEST(LayerTable, EveryEntryIsComplete) {
  for (const auto& list : {all_layers(), activation_layers()}) {
    for (const LayerDef* def : list) {
      EXPECT_NE(def->infer, nullptr) << def->base.type;
      EXPECT_NE(def->build, nullptr) << def->base.type;
      EXPECT_FALSE(def->base.summary.empty()) << def->base.type;
      for (const OptionDef& option : def->base.options)
        EXPECT_FALSE(option.doc.empty()) << def->base.type << "." << option.name;
      EXPECT_EQ(find_layer(def->base.type), def);
    }
  }
  for (int f = 0; f < kNumFamilies; ++f) {
    for (const ComponentDef* def : family_members(static_cast<Family>(f))) {
      EXPECT_FALSE(def->summary.empty()) << def->type;
      for (const OptionDef& option : def->options)
        EXPECT_FALSE(option.doc.empty()) << def->type << "." << option.name;
      EXPECT_EQ(default_component(static_cast<Family>(f), def->type).def, def);
    }
  }
}

}  // namespace
}  // namespace gradc
