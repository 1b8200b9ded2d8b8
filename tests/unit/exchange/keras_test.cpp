// A small model in each of Keras's dialects, and what is said where one cannot be read.
#include "frontend/layer_def.h"
#include "tests/unit/exchange/read.h"

namespace gradc::exchange {
namespace {

const Layer* layer_named(const Model& model, const std::string& name) {
  for (const Layer& layer : model.layers) {
    if (layer.name == name) return &layer;
  }
  return nullptr;
}

TEST(Keras, OneReadsItsOwnNames) {
  const Read read = read_text(R"({"class_name": "Sequential", "keras_version": "1.2.2", "config": [
    {"class_name": "Convolution2D", "config": {"name": "c", "nb_filter": 4, "nb_row": 3, "nb_col": 2,
      "border_mode": "same", "subsample": [2, 1], "dim_ordering": "tf", "init": "glorot_uniform",
      "bias": true, "activation": "relu", "batch_input_shape": [null, 8, 8, 3],
      "W_regularizer": {"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.5}, "b_constraint": null}},
    {"class_name": "MaxPooling2D", "config": {"name": "m", "pool_size": [2, 2], "strides": [2, 2],
      "border_mode": "valid", "dim_ordering": "tf"}},
    {"class_name": "Flatten", "config": {"name": "f"}},
    {"class_name": "Dropout", "config": {"name": "d", "p": 0.25}},
    {"class_name": "Dense", "config": {"name": "y", "output_dim": 5, "activation": "softmax",
      "bias": false, "init": "uniform"}}]})");
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const Model& model = *read.model;
  EXPECT_EQ(num_parameters(model), 3 * 2 * 3 * 4 + 4 + 2 * 4 * 4 * 5);
  const Layer* conv = layer_named(model, "c");
  ASSERT_NE(conv, nullptr);
  EXPECT_EQ(conv->component.options.ints("kernel_size"), (Ints{3, 2}));
  EXPECT_EQ(conv->component.options.ints("strides"), (Ints{2, 1}));
  EXPECT_EQ(conv->component.options.text("padding"), "same");
  EXPECT_DOUBLE_EQ(conv->component.options.component("kernel_regularizer")->options.number("l2"),
                   0.5);
  EXPECT_DOUBLE_EQ(layer_named(model, "d")->component.options.number("rate"), 0.25);
  ASSERT_TRUE(model.training.has_value());
  EXPECT_EQ(model.training->losses[0].loss.def->type, "categorical_crossentropy");
  ASSERT_EQ(model.warnings.size(), 1U);
  EXPECT_EQ(model.warnings[0].kind, DiagKind::kAssumed);
}

TEST(Keras, OneMergesByMode) {
  const Read read = read_text(R"({"class_name": "Model", "keras_version": "1.1.2", "config": {
    "name": "two", "layers": [
      {"class_name": "InputLayer", "name": "a", "inbound_nodes": [],
       "config": {"name": "a", "batch_input_shape": [null, 4], "input_dtype": "float32"}},
      {"class_name": "InputLayer", "name": "b", "inbound_nodes": [],
       "config": {"name": "b", "batch_input_shape": [null, 2], "input_dtype": "float32"}},
      {"class_name": "Merge", "name": "ab", "inbound_nodes": [[["a", 0, 0], ["b", 0, 0]]],
       "config": {"name": "ab", "mode": "concat", "concat_axis": -1, "dot_axes": -1,
                  "arguments": {}, "mode_type": "raw", "output_shape": null}},
      {"class_name": "Dense", "name": "y", "inbound_nodes": [[["ab", 0, 0]]],
       "config": {"name": "y", "output_dim": 1, "activation": "sigmoid"}}],
    "input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["y", 0, 0]]}})");
  ASSERT_TRUE(read.model.ok()) << read.problems;
  EXPECT_EQ(num_parameters(*read.model), 7);
  EXPECT_EQ(read.model->training->losses[0].loss.def->type, "binary_crossentropy");
}

TEST(Keras, TwoSharesLayersAndNestsModels) {
  const Read read = read_text(R"({"class_name": "Model", "keras_version": "2.2.4", "config": {
    "name": "twins", "layers": [
      {"class_name": "InputLayer", "name": "a", "inbound_nodes": [],
       "config": {"name": "a", "batch_input_shape": [null, 4], "dtype": "float32"}},
      {"class_name": "InputLayer", "name": "b", "inbound_nodes": [],
       "config": {"name": "b", "batch_input_shape": [null, 4], "dtype": "float32"}},
      {"class_name": "Model", "name": "tower",
       "inbound_nodes": [[["a", 0, 0, {}]], [["b", 0, 0, {}]]],
       "config": {"name": "tower", "layers": [
          {"class_name": "InputLayer", "name": "x", "inbound_nodes": [],
           "config": {"name": "x", "batch_input_shape": [null, 4]}},
          {"class_name": "Dense", "name": "h", "inbound_nodes": [[["x", 0, 0, {}]]],
           "config": {"name": "h", "units": 3, "activation": "tanh"}}],
         "input_layers": [["x", 0, 0]], "output_layers": [["h", 0, 0]]}},
      {"class_name": "Dense", "name": "same",
       "inbound_nodes": [[["tower", 1, 0, {}]], [["tower", 2, 0, {}]]],
       "config": {"name": "same", "units": 2}},
      {"class_name": "Subtract", "name": "y",
       "inbound_nodes": [[["same", 0, 0, {}], ["same", 1, 0, {}]]], "config": {"name": "y"}}],
    "input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["y", 0, 0]]}})");
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const Model& model = *read.model;
  EXPECT_EQ(num_parameters(model), 4 * 3 + 3 + 3 * 2 + 2);
  EXPECT_NE(layer_named(model, "tower/h"), nullptr);
  EXPECT_EQ(model.calls.size(), 5U);  // h twice, same twice, y
  const Call& last = *model.call_of(model.outputs[0].value);
  ASSERT_EQ(last.inputs.size(), 2U);
  EXPECT_NE(last.inputs[0], last.inputs[1]);
}

TEST(Keras, ThreeReadsItsTensorsPoliciesAndCompileConfig) {
  const Read read = read_text(R"({"module": "keras", "class_name": "Functional", "config": {
    "name": "three", "layers": [
      {"module": "keras.layers", "class_name": "InputLayer", "name": "x", "inbound_nodes": [],
       "config": {"batch_shape": [null, 6], "dtype": "float32", "sparse": false, "name": "x"}},
      {"module": "keras.layers", "class_name": "Dense", "name": "h", "registered_name": null,
       "build_config": {"input_shape": [null, 6]},
       "config": {"name": "h", "trainable": false, "units": 4, "use_bias": true,
         "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"},
                   "registered_name": null},
         "activation": {"module": "builtins", "class_name": "function", "config": "hard_sigmoid",
                        "registered_name": "function"},
         "kernel_initializer": {"module": "keras.initializers", "class_name": "GlorotUniform",
                                "config": {"seed": null}, "registered_name": null},
         "bias_constraint": null},
       "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": {
          "shape": [null, 6], "dtype": "float32", "keras_history": ["x", 0, 0]}}], "kwargs": {}}]},
      {"module": "keras.layers", "class_name": "Add", "name": "y", "config": {"name": "y"},
       "inbound_nodes": [{"args": [[
          {"class_name": "__keras_tensor__", "config": {"keras_history": ["h", 0, 0]}},
          {"class_name": "__keras_tensor__", "config": {"keras_history": ["h", 0, 0]}}]],
          "kwargs": {}}]}],
    "input_layers": ["x", 0, 0], "output_layers": [["y", 0, 0]]},
    "compile_config": {
      "optimizer": {"module": "keras.optimizers", "class_name": "SGD", "config": {
         "name": "SGD", "learning_rate": 0.25, "weight_decay": null, "momentum": 0.5,
         "nesterov": false, "use_ema": false, "ema_momentum": 0.99, "jit_compile": true}},
      "loss": "mse", "loss_weights": null, "metrics": ["mae", "no_such_metric"]}})");
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const Model& model = *read.model;
  EXPECT_EQ(model.num_trainable(), 0);
  EXPECT_EQ(model.num_not_trainable(), 28);
  const Layer* hidden = layer_named(model, "h");
  ASSERT_NE(hidden, nullptr);
  EXPECT_FALSE(hidden->component.options.component("activation")->options.has("slope"));
  ASSERT_TRUE(model.training.has_value());
  EXPECT_EQ(model.training->optimizer.def->type, "sgd");
  EXPECT_DOUBLE_EQ(model.training->optimizer.options.number("momentum"), 0.5);
  ASSERT_EQ(model.training->metrics.size(), 1U);
  bool told = false;
  for (const Diagnostic& warning : model.warnings)
    told = told || warning.kind == DiagKind::kLeftOut;
  EXPECT_TRUE(told);
}

TEST(Keras, HardSigmoidAndGruAreTheOlderOnesBeforeThree) {
  const Read read = read_text(R"({"class_name": "Sequential", "keras_version": "2.0.8", "config": [
    {"class_name": "GRU", "config": {"name": "g", "units": 3, "batch_input_shape": [null, 5, 2],
      "recurrent_activation": "hard_sigmoid", "implementation": 0}}]})");
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const Options& options = read.model->layers[0].component.options;
  EXPECT_DOUBLE_EQ(options.component("recurrent_activation")->options.number("slope"), 0.2);
  EXPECT_FALSE(options.flag("reset_after"));
}

TEST(Keras, DecayIsASchedule) {
  const Read read = read_text(R"({"model_config": {"class_name": "Sequential", "config": [
    {"class_name": "Dense", "config": {"name": "y", "units": 1, "input_dim": 3}}]},
    "keras_version": "2.3.1", "training_config": {"loss": "mean_squared_error", "metrics": ["mae"],
    "optimizer_config": {"class_name": "RMSprop",
      "config": {"lr": 0.5, "rho": 0.75, "decay": 0.125, "epsilon": 1e-8}}}})");
  ASSERT_TRUE(read.model.ok()) << read.problems;
  const Component& optimizer = read.model->training->optimizer;
  EXPECT_EQ(optimizer.options.text("epsilon_as"), "pytorch");
  const Component* schedule = optimizer.options.component("learning_rate");
  ASSERT_EQ(schedule->def->type, "inverse_time_decay");
  EXPECT_DOUBLE_EQ(schedule->options.number("decay_rate"), 0.125);
  EXPECT_DOUBLE_EQ(schedule->options.number("initial_learning_rate"), 0.5);
}

constexpr const char* kOpen = R"({"class_name": "Sequential", "keras_version": "2.0.6", "config": [
    {"class_name": "Embedding", "config": {"name": "e", "input_dim": 50, "output_dim": 4,
      "batch_input_shape": [null, null], "input_length": null}},
    {"class_name": "LSTM", "config": {"name": "l", "units": 3}}]})";

TEST(Keras, AnOpenLengthIsAskedFor) {
  const Read open = read_text(kOpen);
  ASSERT_FALSE(open.model.ok());
  EXPECT_NE(open.problems.find("--shape e_input=80"), std::string::npos) << open.problems;
  const Read closed = read_text(kOpen, {{"e_input", {7}}});
  ASSERT_TRUE(closed.model.ok()) << closed.problems;
  EXPECT_EQ(closed.model->inputs[0].spec, (TensorSpec{DType::kI32, {7}}));
  const Read wrong = read_text(kOpen, {{"f", {7}}});
  EXPECT_NE(wrong.problems.find("no input of the model has this name"), std::string::npos);
}

TEST(Keras, EverythingThatCannotBeReadIsNamedAtOnceWithItsPlace) {
  const Read read = read_text(R"({"class_name": "Sequential", "config": [
    {"class_name": "Dense", "config": {"name": "d", "units": 3, "input_dim": 4,
                                       "kernel_frobnication": 2}},
    {"class_name": "Lambda", "config": {"name": "magic", "function": ["4wEAAAA=", null, null]}},
    {"class_name": "Attentive>Mystery", "config": {"name": "m"}},
    {"class_name": "Dense", "config": {"name": "e", "units": 3, "activation": "wiggle"}}]})");
  ASSERT_FALSE(read.model.ok());
  const std::string& text = read.problems;
  EXPECT_EQ(read.model.diagnostics().size(), 4U) << text;
  EXPECT_NE(text.find("keras.json:3:40: error: layer \"d\" (Dense) has \"kernel_frobnication\": 2"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("at /config/1/class_name"), std::string::npos) << text;
  EXPECT_NE(text.find("layer \"magic\" is a Lambda"), std::string::npos) << text;
  EXPECT_NE(text.find("layer \"m\" is of class Attentive>Mystery"), std::string::npos) << text;
  EXPECT_NE(text.find("unknown activation \"wiggle\""), std::string::npos) << text;
}

TEST(Keras, ProblemsOfTheNativeReaderStandWhereTheFileSaysIt) {
  const Read read = read_text(R"({"class_name": "Sequential", "config": [
    {"class_name": "Dense", "config": {"name": "d", "units": -3, "input_dim": 4}}]})");
  ASSERT_FALSE(read.model.ok());
  EXPECT_NE(read.problems.find("at /config/0/config/units"), std::string::npos) << read.problems;
}

TEST(Keras, ChannelsFirstIsTransposedAtTheEdges) {
  const Read read = read_text(R"({"class_name": "Sequential", "keras_version": "2.1.0", "config": [
    {"class_name": "Conv2D", "config": {"name": "c", "filters": 4, "kernel_size": [3, 3],
      "data_format": "channels_first", "batch_input_shape": [null, 2, 8, 9]}},
    {"class_name": "GlobalAveragePooling2D", "config": {"name": "g",
      "data_format": "channels_first"}},
    {"class_name": "Dense", "config": {"name": "y", "units": 1}}]})");
  ASSERT_TRUE(read.model.ok()) << read.problems;
  EXPECT_EQ(num_parameters(*read.model), 3 * 3 * 2 * 4 + 4 + 5);
}

TEST(Keras, AFileAroundIt) {
  const std::string folder = ::testing::TempDir() + "/";
  for (const auto& [name, text] :
       {std::pair<const char*, const char*>{"inner.json", kOpen},
        {"outer.json", R"({"model": "inner.json", "shapes": {"e_input": [9]},
          "training": {"loss": "mse", "optimizer": "sgd"}})"}}) {
    std::FILE* file = std::fopen((folder + name).c_str(), "wb");
    ASSERT_NE(file, nullptr);
    std::fputs(text, file);
    std::fclose(file);
  }
  SourceSet sources;
  const auto model = read_model(folder + "outer.json", sources);
  ASSERT_TRUE(model.ok()) << problems_of(model, sources);
  EXPECT_TRUE(model->warnings.empty());
  EXPECT_EQ(model->inputs[0].spec.shape, (Ints{9}));
}

TEST(Keras, NamesNoFileOutsideOfItsFolder) {
  const auto with_file = [](const std::string& file) {
    return read_text(R"({"class_name": "Sequential", "keras_version": "2.11.0", "config": {
      "name": "s", "layers": [
        {"class_name": "InputLayer", "config": {"name": "i", "batch_input_shape": [null, 4]}},
        {"class_name": "Gir", "config": {"name": "g", "file": ")" +
                     file + R"(", "sizes": {"WIDTH": 3}}}]}})")
        .problems;
  };
  const std::string outside = std::string(GRADC_SOURCE_DIR) + "/tests/functions/swiglu.gir";
  EXPECT_NE(with_file(outside).find("may name none outside of its folder"), std::string::npos)
      << with_file(outside);
  EXPECT_NE(with_file("../swiglu.gir").find("in the model's folder or below it"),
            std::string::npos);
  EXPECT_NE(with_file("swiglu.gir").find("no such file"), std::string::npos)
      << with_file("swiglu.gir");
}

}  // namespace
}  // namespace gradc::exchange
