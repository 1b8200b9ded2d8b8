// Entry graphs on the reference interpreter: layers, losses, metrics, schedules and tails against
// numbers worked out by hand.
#include "frontend/graph_builder.h"

#include "frontend/families.h"
#include "ir/op_attrs.h"
#include "tests/unit/frontend/run_model.h"

#include <cmath>
#include <filesystem>

namespace gradc {
namespace {

std::vector<double> predict(const std::string& layers, const std::string& shape, int64_t batch,
                            const Named& given) {
  const RunResult result = run_model(with_layers(layers, shape), {.batch_size = batch}, given);
  return result.outputs.empty() ? std::vector<double>() : result.outputs.begin()->second;
}

TEST(GraphBuilder, ExamplesBuildAndVerifyForEveryEntry) {
  for (const auto& file : std::filesystem::directory_iterator(GRADC_SOURCE_DIR "/examples")) {
    if (file.path().extension() != ".json") continue;
    SCOPED_TRACE(file.path().filename().string());
    SourceSet sources;
    const auto model = read_model_file(file.path().string(), sources);
    ASSERT_TRUE(model.ok());
    for (const EntryKind kind : {EntryKind::kPredict, EntryKind::kEvaluate, EntryKind::kTrain}) {
      for (const bool tail : {false, true}) {
        const auto entry = build_entry_graph(model.value(), {kind, 5, tail});
        ASSERT_TRUE(entry.ok()) << entry.message();
        const auto violations = find_violations(*entry.value().graph);
        EXPECT_TRUE(violations.empty()) << print_violations(*entry.value().graph, violations);
      }
    }
  }
}

TEST(GraphBuilder, ParametersAreTheSameInEveryEntry) {
  SourceSet sources;
  const auto model = read_model_file(GRADC_SOURCE_DIR "/examples/branching.json", sources);
  ASSERT_TRUE(model.ok());
  const auto parameters = [&](EntryKind kind) {
    std::vector<std::pair<std::string, InitSpec>> list;
    const auto entry = build_entry_graph(model.value(), {kind, 4, false});
    for (const GraphInput& input : entry.value().graph->inputs()) {
      if (input.kind == InputKind::kParam) list.emplace_back(input.name, input.init);
    }
    return list;
  };
  EXPECT_EQ(parameters(EntryKind::kPredict), parameters(EntryKind::kTrain));
  EXPECT_EQ(parameters(EntryKind::kPredict)[0].first, "encoder/kernel");
  EXPECT_EQ(parameters(EntryKind::kPredict)[0].second.fan_in, 16);
  EXPECT_EQ(parameters(EntryKind::kPredict)[0].second.mode, "fan_avg");
}

TEST(GraphBuilder, Dense) {
  expect_near(predict(R"({"type": "dense", "units": 2, "name": "d"})", "[3]", 2,
                      {{"input/x", {1, 2, 3, 4, 5, 6}},
                       {"d/kernel", {1, 0, 0, 1, 1, 1}},
                       {"d/bias", {0.5, -0.5}}}),
              {4.5, 4.5, 10.5, 10.5});
  expect_near(predict(R"({"type": "dense", "units": 1, "name": "d", "use_bias": false})", "[2, 2]",
                      1, {{"input/x", {1, 2, 3, 4}}, {"d/kernel", {10, 1}}}),
              {12, 34});
}

TEST(GraphBuilder, ConvolutionAgainstLoops) {
  // 5x4 image, 2 channels, 2 groups, kernel 3x2, stride (2, 1), dilation (1, 2), same padding.
  const int64_t h = 5;
  const int64_t w = 4;
  std::vector<double> x(static_cast<size_t>(h * w * 2));
  std::vector<double> kernel(3 * 2 * 1 * 2);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = std::sin(static_cast<double>(i) * 1.7);
  for (size_t i = 0; i < kernel.size(); ++i)
    kernel[i] = std::cos(static_cast<double>(i) * 0.9);
  std::vector<double> want;
  for (int64_t oy = 0; oy < 3; ++oy) {
    for (int64_t ox = 0; ox < 4; ++ox) {
      for (int64_t c = 0; c < 2; ++c) {
        double sum = 0.25;
        for (int64_t ky = 0; ky < 3; ++ky) {
          for (int64_t kx = 0; kx < 2; ++kx) {
            const int64_t iy = oy * 2 + ky - 1;  // total padding (3 - 1) * 2 + 3 - 5 = 2
            const int64_t ix = ox + kx * 2 - 1;  // total padding 3 + 3 - 4 = 2
            if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
            sum += x[static_cast<size_t>((iy * w + ix) * 2 + c)] *
                   kernel[static_cast<size_t>((ky * 2 + kx) * 2 + c)];
          }
        }
        want.push_back(sum);
      }
    }
  }
  expect_near(
      predict(
          R"({"type": "conv2d", "name": "c", "filters": 2, "kernel_size": [3, 2], "strides": [2, 1],
                          "dilation_rate": [1, 2], "groups": 2, "padding": "same"})",
          "[5, 4, 2]", 1, {{"input/x", x}, {"c/kernel", kernel}, {"c/bias", {0.25, 0.25}}}),
      want, 1e-9);
}

TEST(GraphBuilder, Pooling) {
  const std::vector<double> x = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  expect_near(
      predict(R"({"type": "max_pooling2d", "strides": 1})", "[3, 3, 1]", 1, {{"input/x", x}}),
      {5, 6, 8, 9});
  expect_near(predict(R"({"type": "average_pooling2d", "padding": "same"})", "[3, 3, 1]", 1,
                      {{"input/x", x}}),
              {3, 4.5, 7.5, 9});
  expect_near(predict(R"({"type": "global_average_pooling2d"})", "[3, 3, 1]", 1, {{"input/x", x}}),
              {5});
  expect_near(predict(R"({"type": "global_max_pooling2d", "keepdims": true})", "[3, 3, 1]", 1,
                      {{"input/x", x}}),
              {9});
  expect_near(predict(R"({"type": "zero_padding2d", "padding": [[1, 0], [0, 1]]})", "[1, 2, 1]", 1,
                      {{"input/x", {7, 8}}}),
              {0, 0, 0, 7, 8, 0});
}

TEST(GraphBuilder, Merges) {
  const std::string two = R"("inputs": ["x", "x2"])";
  const auto merge = [&](const std::string& type, const std::string& options = "") {
    const std::string text =
        R"({"inputs": [{"name": "x", "shape": [2, 2]}, {"name": "x2", "shape": [2, 2]}], "layers": [{"type": ")" +
        type + "\", " + two + options + "}]}";
    return run_model(text, {.batch_size = 1},
                     {{"input/x", {1, 2, 3, 4}}, {"input/x2", {5, 1, 0, -2}}})
        .outputs.begin()
        ->second;
  };
  expect_near(merge("add"), {6, 3, 3, 2});
  expect_near(merge("subtract"), {-4, 1, 3, 6});
  expect_near(merge("multiply"), {5, 2, 0, -8});
  expect_near(merge("average"), {3, 1.5, 1.5, 1});
  expect_near(merge("maximum"), {5, 2, 3, 4});
  expect_near(merge("minimum"), {1, 1, 0, -2});
  expect_near(merge("concatenate"), {1, 2, 5, 1, 3, 4, 0, -2});
  expect_near(merge("concatenate", R"(, "axis": 1)"), {1, 2, 3, 4, 5, 1, 0, -2});
  expect_near(merge("dot", R"(, "axes": 2)"), {7, -4, 19, -8});       // x[i] . x2[j]
  expect_near(merge("dot", R"(, "axes": [2, 1])"), {5, -3, 15, -5});  // the matrix product
  expect_near(merge("dot", R"(, "axes": [1, 2])"), {8, -6, 14, -8});
}

TEST(GraphBuilder, BatchNormalization) {
  const std::string bn =
      R"({"type": "batch_norm", "name": "bn", "momentum": 0.9, "epsilon": 0.01})";
  const Named given = {{"input/x", {1, 10, 3, 30}},    {"bn/gamma", {2, 1}},
                       {"bn/beta", {0.5, 0}},          {"bn/moving_mean", {1, 2}},
                       {"bn/moving_variance", {4, 9}}, {"target/bn", {0, 0, 0, 0}}};
  expect_near(predict(bn, "[2]", 2, given),
              {0.5, 8 / std::sqrt(9.01), 0.5 + 2 * 2 / std::sqrt(4.01), 28 / std::sqrt(9.01)},
              1e-9);
  const std::string text = with_training(bn, R"({"loss": "mae", "optimizer": "sgd"})", "[2]");
  RunResult train = run_model(text, {EntryKind::kTrain, 2, false}, given);
  // batch mean (2, 20), biased variance (1, 100)
  expect_near(train.updates.at("bn/moving_mean"), {0.9 * 1 + 0.1 * 2, 0.9 * 2 + 0.1 * 20});
  expect_near(train.updates.at("bn/moving_variance"), {0.9 * 4 + 0.1 * 1, 0.9 * 9 + 0.1 * 100});
  const double a = 2 / std::sqrt(1.01);
  const double b = 10 / std::sqrt(100.01);
  expect_near(train.outputs.at("loss"), {(std::abs(0.5 - a) + (0.5 + a) + 2 * b) / 4}, 1e-6);
  // A tail of two valid rows among three gives the same numbers.
  Named padded = given;
  padded["input/x"] = {1, 10, 3, 30, 3, 30};
  padded["target/bn"] = {0, 0, 0, 0, 0, 0};
  padded["tail/weight"] = {0.5, 0.5, 0};
  const RunResult tail = run_model(text, {EntryKind::kTrain, 3, true}, padded);
  expect_near(tail.updates.at("bn/moving_variance"), train.updates.at("bn/moving_variance"));
  expect_near(tail.outputs.at("loss"), train.outputs.at("loss"));
}

TEST(GraphBuilder, LayerNormalizationAndEmbedding) {
  expect_near(predict(R"({"type": "layer_norm", "name": "n", "epsilon": 0.5, "center": false})",
                      "[2]", 1, {{"input/x", {1, 5}}, {"n/gamma", {1, 3}}}),
              {-2 / std::sqrt(4.5), 6 / std::sqrt(4.5)}, 1e-9);
  const RunResult rows =
      run_model(R"({"inputs": [{"name": "t", "shape": [2], "dtype": "int32"}],
       "layers": [{"type": "embedding", "name": "e", "input_dim": 3, "output_dim": 2}]})",
                {.batch_size = 1}, {{"input/t", {2, 0}}, {"e/embeddings", {1, 2, 3, 4, 5, 6}}});
  expect_near(rows.outputs.at("output/e"), {5, 6, 1, 2});
}

TEST(GraphBuilder, DropoutOnlyInTraining) {
  const std::string text = with_training(R"({"type": "dropout", "rate": 0.25, "name": "d"})",
                                         R"({"loss": "mae", "optimizer": "sgd"})", "[400]");
  Named given = {{"input/x", {}}, {"seed", {7}}};
  for (int i = 0; i < 400; ++i)
    given["input/x"].push_back(2.0 + i / 200.0);
  const double inference =
      run_model(text, {EntryKind::kEvaluate, 1, false}, given).outputs.at("loss")[0];
  EXPECT_NEAR(inference, 2.9975, 1e-9);
  const double first = run_model(text, {EntryKind::kTrain, 1, false}, given).outputs.at("loss")[0];
  EXPECT_NEAR(first, 3.0, 0.4);  // a share of 0.75 is kept and divided by 0.75
  EXPECT_NE(first, inference);
  given["optimizer/iteration"] = {1};
  EXPECT_NE(run_model(text, {EntryKind::kTrain, 1, false}, given).outputs.at("loss")[0], first);
}

TEST(GraphBuilder, TailWeightsIgnorePadding) {
  const std::string text =
      with_training(R"({"type": "dense", "units": 1, "name": "y"})",
                    R"({"loss": "mse", "optimizer": "sgd", "metrics": ["mae"]})", "[1]");
  const Named given = {{"input/x", {1, 2, 9, 9}},
                       {"target/y", {0, 0, 0, 0}},
                       {"y/kernel", {1}},
                       {"tail/weight", {0.5, 0.5, 0, 0}}};
  const RunResult result = run_model(text, {EntryKind::kEvaluate, 4, true}, given);
  expect_near(result.outputs.at("loss"), {2.5});
  expect_near(result.outputs.at("metric/mae"), {1.5});
}

TEST(GraphBuilder, BatchSizeThatIsTooLarge) {
  const auto model =
      parse_model(with_layers(R"({"type": "dense", "units": 1000000})", "[1000000]"));
  ASSERT_TRUE(model.ok());
  const auto entry =
      build_entry_graph(model.value(), {EntryKind::kPredict, int64_t{1} << 40, false});
  ASSERT_FALSE(entry.ok());
  EXPECT_EQ(entry.diagnostics()[0].kind, DiagKind::kTooLarge);
  EXPECT_EQ(build_entry_graph(model.value(), {EntryKind::kTrain, 4, false}).diagnostics()[0].kind,
            DiagKind::kMissingOption);
}

// ---- schedules
// -----------------------------------------------------------------------------------------------------

double rate_at(const std::string& schedule, double step) {
  const std::string text = with_training(
      R"({"type": "dense", "units": 1, "name": "y"})",
      R"({"loss": "mse", "optimizer": {"type": "sgd", "learning_rate": )" + schedule + "}}", "[1]");
  return run_model(text, {EntryKind::kTrain, 1, false}, {{"optimizer/iteration", {step}}})
      .outputs.at(kLearningRateOutput)[0];
}

TEST(Schedules, KerasFormulas) {
  EXPECT_NEAR(rate_at("0.25", 100), 0.25, 1e-9);
  const std::string exponential =
      R"({"type": "exponential_decay", "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5)";
  EXPECT_NEAR(rate_at(exponential + "}", 15), 0.1 * std::pow(0.5, 1.5), 1e-9);
  EXPECT_NEAR(rate_at(exponential + R"(, "staircase": true})", 19), 0.05, 1e-9);
  EXPECT_NEAR(
      rate_at(
          R"({"type": "inverse_time", "initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 2})",
          6),
      0.1 / 4, 1e-9);
  EXPECT_NEAR(
      rate_at(R"({"type": "step", "initial_learning_rate": 1, "step_size": 30, "factor": 0.1})",
              60),
      0.01, 1e-9);
  const std::string polynomial =
      R"({"type": "polynomial", "initial_learning_rate": 1, "decay_steps": 10, "end_learning_rate": 0.2, "power": 2)";
  EXPECT_NEAR(rate_at(polynomial + "}", 5), 0.8 * 0.25 + 0.2, 1e-9);
  EXPECT_NEAR(rate_at(polynomial + "}", 50), 0.2, 1e-9);
  EXPECT_NEAR(rate_at(polynomial + R"(, "cycle": true})", 15), 0.8 * 0.0625 + 0.2, 1e-9);
  const std::string pieces =
      R"({"type": "piecewise_constant", "boundaries": [2, 5], "values": [3, 2, 1]})";
  EXPECT_NEAR(rate_at(pieces, 2), 3, 1e-9);
  EXPECT_NEAR(rate_at(pieces, 3), 2, 1e-9);
  EXPECT_NEAR(rate_at(pieces, 6), 1, 1e-9);
}

TEST(Schedules, CosineAndWarmup) {
  const std::string cosine =
      R"({"type": "cosine", "initial_learning_rate": 0.5, "decay_steps": 8, "alpha": 0.1)";
  const double half = 0.5 * (1 + std::cos(M_PI * 0.25));
  EXPECT_NEAR(rate_at(cosine + "}", 2), 0.5 * (0.9 * half + 0.1), 1e-9);
  EXPECT_NEAR(rate_at(cosine + "}", 100), 0.05, 1e-9);
  const std::string warm = cosine + R"(, "warmup_target": 2, "warmup_steps": 4})";
  EXPECT_NEAR(rate_at(warm, 1), 0.5 + 0.25 * 1.5, 1e-9);
  EXPECT_NEAR(rate_at(warm, 6), 2 * (0.9 * half + 0.1), 1e-9);
  const std::string restarts =
      R"({"type": "cosine_restarts", "initial_learning_rate": 1, "first_decay_steps": 4, "m_mul": 0.5})";
  EXPECT_NEAR(rate_at(restarts, 1), half, 1e-6);
  EXPECT_NEAR(rate_at(restarts, 6), 0.5 * half, 1e-6);    // the second cosine has 8 steps
  EXPECT_NEAR(rate_at(restarts, 16), 0.25 * half, 1e-6);  // the third has 16, from 12 on
  const std::string generic =
      R"({"type": "warmup", "warmup_steps": 5, "learning_rate": )" + cosine + "}}";
  EXPECT_NEAR(rate_at(generic, 0), 0, 1e-9);
  EXPECT_NEAR(rate_at(generic, 2), 0.2, 1e-9);
  EXPECT_NEAR(rate_at(generic, 7), 0.5 * (0.9 * half + 0.1), 1e-9);
}

TEST(Optimizers, SpecsFollowKeras) {
  const auto spec = [](const std::string& optimizer) {
    const auto model = parse_model(with_training(
        R"({"type": "dense", "units": 1})", R"({"loss": "mse", "optimizer": )" + optimizer + "}"));
    return build_entry_graph(model.value(), {EntryKind::kTrain, 1, false}).value().optimizer;
  };
  const auto slots = [&](const std::string& optimizer) {
    return step_slots(spec(optimizer).step, {DType::kF32, Shape{3, 4}});
  };
  EXPECT_TRUE(slots(R"("sgd")").empty());
  EXPECT_EQ(slots(R"({"type": "sgd", "momentum": 0.5})")[0].name, "momentum");
  EXPECT_EQ(slots(R"("adagrad")")[0].initial_value, 0.1);
  EXPECT_EQ(slots(R"({"type": "rmsprop", "centered": true, "momentum": 0.5})").size(), 3U);
  EXPECT_EQ(slots(R"({"type": "adam", "amsgrad": true})")[2].name, "velocity_hat");
  EXPECT_EQ(spec(R"({"type": "adamw", "global_clipnorm": 2})").global_clip_norm, 2.0);
  EXPECT_EQ(slots(R"("adamax")")[1].name, "norm");
  EXPECT_EQ(slots(R"("adafactor")")[1].type.shape, Shape{4});
  EXPECT_EQ(spec(R"("nadam")").step.rule().shared[0].name, "u_product");
  EXPECT_EQ(spec(R"({"type": "lion", "beta_2": 0.9})").step.number("beta_2"), 0.9);
}

TEST(Optimizers, EpsilonAsOthersPlaceIt) {
  const auto attrs = [](const std::string& type, const std::string& as) {
    const auto model = parse_model(with_training(
        R"({"type": "dense", "units": 1})", R"({"loss": "mse", "optimizer": {"type": ")" + type +
                                                R"(", "epsilon_as": ")" + as + R"("}})"));
    return build_entry_graph(model.value(), {EntryKind::kTrain, 1, false}).value().optimizer.step;
  };
  for (const char* type : {"adam", "adamw"}) {
    EXPECT_FALSE(attrs(type, "keras").flag("corrected_epsilon"));
    EXPECT_TRUE(attrs(type, "pytorch").flag("corrected_epsilon"));
    EXPECT_TRUE(attrs(type, "tensorflow_js").flag("corrected_epsilon"));
  }
  for (const char* as : {"keras", "pytorch", "tensorflow_js"}) {
    const bool torch = std::string(as) == "pytorch";
    EXPECT_EQ(attrs("rmsprop", as).flag("epsilon_outside"), torch);
    EXPECT_EQ(attrs("adagrad", as).flag("epsilon_outside"), torch);
    EXPECT_EQ(attrs("adamax", as).flag("epsilon_inside"), torch);
  }
}

// ---- ties ---------------------------------------------------------------------------------------

TEST(Ties, TheMatrixIsOneParameterWithBothGradients) {
  const std::string text =
      R"({"inputs": [{"name": "x", "shape": [2], "dtype": "int32"}], "layers": [
      {"type": "embedding", "name": "e", "input_dim": 3, "output_dim": 2},
      {"type": "dense", "name": "y", "units": 3, "tied_to": "e", "use_bias": false}]})";
  const RunResult result = run_model(text, {EntryKind::kPredict, 1, false},
                                     {{"input/x", {2, 0}}, {"e/embeddings", {1, 2, 3, 4, 5, 6}}});
  expect_near(result.outputs.at("output/y"), {17, 39, 61, 5, 11, 17});
  const Result<Model> model = parse_model(text);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->num_trainable(), 6);
}

TEST(Ties, AMatrixStaysWhereItsLayerReachesNoOutput) {
  const std::string text = R"({"inputs": [{"name": "x", "shape": [2]}], "outputs": "y", "layers": [
      {"type": "dense", "name": "h", "units": 2, "inputs": "x", "use_bias": false},
      {"type": "dense", "name": "y", "units": 2, "tied_to": "h", "use_bias": false, "inputs": "x"},
      {"type": "dense", "name": "z", "units": 2, "inputs": "x"}]})";
  EXPECT_EQ(problems_of(text).find("layer \"h\""), std::string::npos) << problems_of(text);
  EXPECT_NE(problems_of(text).find("layer \"z\" reaches no output"), std::string::npos);
  const RunResult result = run_model(text, {EntryKind::kPredict, 1, false},
                                     {{"input/x", {1, 10}}, {"h/kernel", {1, 2, 3, 4}}});
  expect_near(result.outputs.at("output/y"), {21, 43});
}

TEST(Ties, BlocksAndSharedCalls) {
  const std::string text = R"({"inputs": [{"name": "x", "shape": [2]}],
      "blocks": {"pair": {"layers": [{"type": "dense", "name": "a", "units": 3},
                                     {"type": "dense", "name": "b", "units": 2, "tied_to": "a"}]}},
      "layers": [{"type": "block", "block": "pair", "repeat": 2, "name": "p"},
                 {"type": "dense", "name": "c", "units": 3, "use_bias": false},
                 {"type": "shared", "layer": "p_0/b", "name": "again"}]})";
  const Result<Model> model = parse_model(text);
  ASSERT_TRUE(model.ok()) << problems_of(text);
  EXPECT_EQ(model->num_trainable(), 2 * (6 + 3 + 2) + 6);
}

}  // namespace
}  // namespace gradc
