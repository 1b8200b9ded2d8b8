// Layers over [steps, channels]: their shapes, and what they refuse. Their numbers are compared
// with PyTorch's in tests/peer (scripts/peer_steps.py).
#include "tests/unit/frontend/model_text.h"

#include <gtest/gtest.h>

#include <string>

namespace gradc {
namespace {

std::string text_of(const std::string& layer, const std::string& shape = "[10, 4]") {
  return with_training(layer + R"(, {"type": "flatten"}, {"type": "dense", "units": 2})",
                       R"({"loss": "mean_squared_error", "optimizer": "sgd", "batch_size": 2})",
                       shape);
}

Ints output(const std::string& layer) {
  const Result<Model> model = parse_model(text_of(layer));
  EXPECT_TRUE(model.ok()) << model.message();
  return model.ok() ? model->calls[0].output().shape : Ints();
}

void refuses(const std::string& layer, const std::string& what,
             const std::string& shape = "[10, 4]") {
  const std::string problems = problems_of(text_of(layer, shape));
  EXPECT_NE(problems.find(what), std::string::npos) << problems;
}

TEST(Steps, ConvolutionsCountAsKerasDoes) {
  const std::string conv = R"({"type": "conv1d", "filters": 6, "kernel_size": 3)";
  EXPECT_EQ(output(conv + "}"), (Ints{8, 6}));
  EXPECT_EQ(output(conv + R"(, "padding": "same"})"), (Ints{10, 6}));
  EXPECT_EQ(output(conv + R"(, "padding": "causal", "dilation_rate": 4})"), (Ints{10, 6}));
  EXPECT_EQ(output(conv + R"(, "padding": "causal", "strides": 4})"), (Ints{3, 6}));
  EXPECT_EQ(output(conv + R"(, "strides": 2, "dilation_rate": 1})"), (Ints{4, 6}));
  const Result<Model> model = parse_model(text_of(conv + R"(, "groups": 2})"));
  ASSERT_TRUE(model.ok()) << model.message();
  EXPECT_EQ(model->layers[0].parameters[0].shape, (Ints{3, 2, 6}));
}

TEST(Steps, PoolsCountAsKerasDoes) {
  EXPECT_EQ(output(R"({"type": "max_pooling1d"})"), (Ints{5, 4}));
  EXPECT_EQ(output(R"({"type": "average_pooling1d", "pool_size": 4, "strides": 3})"), (Ints{3, 4}));
  EXPECT_EQ(output(R"({"type": "max_pool1d", "pool_size": 3, "padding": "same"})"), (Ints{4, 4}));
  EXPECT_EQ(output(R"({"type": "global_max_pooling1d"})"), (Ints{4}));
  EXPECT_EQ(output(R"({"type": "global_average_pooling1d", "keepdims": true})"), (Ints{1, 4}));
}

TEST(Steps, WhatDoesNotFitIsRefused) {
  refuses(R"({"type": "conv1d", "filters": 6, "kernel_size": 3})",
          "needs an input [steps, channels]", "[10, 4, 1]");
  refuses(R"({"type": "max_pooling1d"})", R"("target_shape": [10, 1])", "[10]");
  refuses(R"({"type": "conv1d", "filters": 6, "kernel_size": 6, "dilation_rate": 2})",
          "has a window [11] that does not fit into its input");
  refuses(R"({"type": "conv1d", "filters": 6, "kernel_size": 3, "groups": 3})",
          "has 3 groups, which do not divide the 4 channels");
  refuses(R"({"type": "conv1d", "filters": 6, "kernel_size": 3, "groups": 4})",
          "has 4 groups, which do not divide its 6 filters");
  refuses(
      R"({"type": "conv1d", "filters": 6, "kernel_size": 1000000000, "dilation_rate": 1000000000})",
      "a dilated window of");
  refuses(R"({"type": "max_pooling1d", "padding": "causal"})", "causal");
}

TEST(TextRules, NeedNumbersOfOneAxis) {
  const auto problems = [](const std::string& input, const std::string& rule) {
    return problems_of(R"({"inputs": [{"name": "x", )" + input + R"(}],
      "layers": [{"type": "embedding", "input_dim": 9, "output_dim": 2}, {"type": "flatten"},
                 {"type": "dense", "units": 2}],
      "data": {"x": {"text": )" +
                       rule + R"(}},
      "training": {"loss": "mean_squared_error", "optimizer": "sgd", "batch_size": 2}})");
  };
  EXPECT_EQ(problems(R"("shape": [8], "dtype": "int32")", R"({"standardize": null})"), "");
  const std::string matrix = problems(R"("shape": [8, 2], "dtype": "int32")", "{}");
  EXPECT_NE(matrix.find("texts become integers of shape [length]"), std::string::npos) << matrix;
  const std::string rule = problems(R"("shape": [8], "dtype": "int32")",
                                    R"({"split": "lines", "pad": 1, "max_tokens": 2})");
  for (const char* part : {"whitespace", "\"pad\"", "max_tokens"})
    EXPECT_NE(rule.find(part), std::string::npos) << rule;
}

}  // namespace
}  // namespace gradc
