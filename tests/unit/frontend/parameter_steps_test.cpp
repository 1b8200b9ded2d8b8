// What an optimizer does otherwise for some parameters: which they are, what schedules count, what
// does not fit.
#include "frontend/graph_builder.h"
#include "ir/step_output.h"
#include "tests/unit/frontend/run_model.h"

#include <set>

namespace gradc {
namespace {

constexpr const char* kLayers =
    R"({"type": "embedding", "input_dim": 5, "output_dim": 3, "name": "e"}, {"type": "flatten"},
       {"type": "dense", "units": 2, "name": "a"},
       {"type": "dense", "units": 1, "name": "b", "learning_rate_multiplier": 0.25})";

std::string model_text(const std::string& optimizer, const std::string& layers = kLayers) {
  return R"({"inputs": [{"name": "x", "shape": [4], "dtype": "int32"}], "layers": [)" + layers +
         R"(], "training": {"loss": "mse", "optimizer": )" + optimizer + "}}";
}

/// What the outputs that begin so say, behind the prefix.
std::map<std::string, double> marked(const std::string& optimizer, const std::string& prefix) {
  std::map<std::string, double> result;
  for (const auto& [name, value] :
       run_model(model_text(optimizer), {EntryKind::kTrain, 2, false}, {}).outputs) {
    if (name.starts_with(prefix)) result[name.substr(prefix.size())] = value[0];
  }
  return result;
}

using Marks = std::map<std::string, double>;

TEST(ParameterSteps, WordsLeaveParametersOut) {
  EXPECT_EQ(marked(R"({"type": "adamw", "exclude_from_weight_decay": "bias e/"})",
                   std::string(kStepNumberOutput) + "weight_decay/"),
            (Marks{{"e/embeddings", 0}, {"a/bias", 0}, {"b/bias", 0}}));
  // A host may set a decay where the model has none.
  EXPECT_EQ(marked(R"({"type": "adam", "exclude_from_weight_decay": "a/bias"})", kStepNumberOutput),
            (Marks{{"weight_decay/a/bias", 0}}));
  const std::string matrix = std::string(kStepNumberOutput) + "as_matrix/";
  EXPECT_EQ(marked(R"("muon")", matrix), (Marks{{"e/embeddings", 0}}));
  EXPECT_EQ(
      marked(R"({"type": "muon", "exclude_embeddings": false, "exclude_layers": "b/"})", matrix),
      (Marks{{"b/bias", 0}, {"b/kernel", 0}}));
  EXPECT_EQ(marked(R"("sgd")", kRateOutput), (Marks{{"b/bias", 0.25}, {"b/kernel", 0.25}}));
}

TEST(ParameterSteps, SchedulesCountUpdates) {
  const std::string optimizer =
      R"({"type": "sgd", "gradient_accumulation_steps": 4, "use_ema": true, "ema_momentum": 0.5,
          "learning_rate": {"type": "piecewise_constant_decay", "boundaries": [0, 1],
                            "values": [1, 2, 3]}})";
  const auto rate = [&](double iteration) {
    return run_model(model_text(optimizer), {EntryKind::kTrain, 2, false},
                     {{kIterationInput, {iteration}}})
        .outputs.at(kLearningRateOutput)[0];
  };
  EXPECT_EQ(rate(0), 1);
  EXPECT_EQ(rate(3), 1);
  EXPECT_EQ(rate(4), 2);
  EXPECT_EQ(rate(7), 2);
  EXPECT_EQ(rate(8), 3);
  EXPECT_EQ(marked(optimizer, kAccumulateOutput), (Marks{{"", 4}}));
  EXPECT_EQ(marked(optimizer, kAverageOutput), (Marks{{"", 0.5}}));
  EXPECT_EQ(marked(optimizer, kOverwriteOutput), Marks{});
}

TEST(ParameterSteps, WhatDoesNotFitIsSaid) {
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos ? std::string() : text;
  };
  EXPECT_EQ(has(problems_of(
                    model_text(R"({"type": "adamw", "exclude_from_weight_decay": "bias gamma"})")),
                R"("gamma" of "exclude_from_weight_decay" is in the name of no parameter that is )"
                "trained"),
            "");
  EXPECT_EQ(has(problems_of(model_text(R"({"type": "muon", "exclude_layers": "logits"})")),
                R"("logits" of "exclude_layers")"),
            "");
  const std::string sparse =
      R"({"type": "embedding", "input_dim": 5, "output_dim": 3, "name": "e", "sparse": true},
         {"type": "flatten"}, {"type": "dense", "units": 1})";
  EXPECT_EQ(
      has(problems_of(model_text(R"({"type": "sgd", "gradient_accumulation_steps": 2})", sparse)),
          "has the gradients of several steps in one update"),
      "");
  EXPECT_EQ(problems_of(model_text(R"({"type": "sgd", "gradient_accumulation_steps": 1})", sparse)),
            "");
  // A table that does not decay is moved row by row; Muon's tables follow Adam, which decays.
  EXPECT_EQ(
      problems_of(model_text(
          R"({"type": "sgd", "weight_decay": 0.1, "exclude_from_weight_decay": "e/"})", sparse)),
      "");
  EXPECT_EQ(has(problems_of(model_text(R"("muon")", sparse)), "decays all weights"), "");
  EXPECT_EQ(has(problems_of(model_text(R"("sgd")",
                                       R"({"type": "flatten"}, {"type": "activation",
                                           "activation": "relu", "learning_rate_multiplier": -1})")),
                "learning_rate_multiplier"),
            "");
}

}  // namespace
}  // namespace gradc
