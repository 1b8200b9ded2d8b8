// Layers over spatial axes: their shapes, the forms of their options, and what they refuse. Their
// numbers are compared in tests/peer (scripts/peer_spatial.py, peer_norm.py).
#include "tests/unit/frontend/model_text.h"

#include <gtest/gtest.h>

#include <string>

namespace gradc {
namespace {

Ints output(const std::string& layer, const std::string& shape) {
  const std::string text = with_layers(layer, shape);
  const Result<Model> model = parse_model(text);
  EXPECT_TRUE(model.ok()) << problems_of(text);
  return model.ok() ? model->calls[0].output().shape : Ints();
}

std::string type(const std::string& name, const std::string& more = "") {
  return R"({"type": ")" + name + '"' + (more.empty() ? "" : ", " + more) + "}";
}

void refuses(const std::string& layer, const std::string& shape, const std::string& what) {
  const std::string problems = problems_of(with_layers(layer, shape));
  EXPECT_NE(problems.find(what), std::string::npos) << problems;
}

TEST(Spatial, TransposedConvolutionsCountAsKerasDoes) {
  const auto length = [](const std::string& more) {
    return output(type("conv1d_transpose", R"("filters": 2, )" + more), "[5, 3]")[0];
  };
  EXPECT_EQ(length(R"("kernel_size": 3)"), 7);
  EXPECT_EQ(length(R"("kernel_size": 3, "strides": 2)"), 11);
  EXPECT_EQ(length(R"("kernel_size": 1, "strides": 3)"), 15);  // not 13: Keras fills up
  EXPECT_EQ(length(R"("kernel_size": 3, "strides": 2, "padding": "same")"), 10);
  EXPECT_EQ(length(R"("kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 0)"), 9);
  EXPECT_EQ(length(R"("kernel_size": 4, "strides": 2, "padding": "same", "output_padding": 1)"), 9);
  EXPECT_EQ(length(R"("kernel_size": 3, "dilation_rate": 2)"), 9);
  refuses(type("conv1d_transpose",
               R"("filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 2)"),
          "[5, 3]", "must be below the strides [2]");
}

TEST(Spatial, SizesAndSidesTakeAllForms) {
  EXPECT_EQ(output(type("max_pooling1d", R"("pool_size": [3])"), "[9, 2]"), (Ints{3, 2}));
  EXPECT_EQ(output(type("max_pooling3d", R"("pool_size": [1, 2, 3])"), "[3, 4, 6, 2]"),
            (Ints{3, 2, 2, 2}));
  EXPECT_EQ(output(type("zero_padding1d", R"("padding": [1, 2])"), "[3, 2]"), (Ints{6, 2}));
  EXPECT_EQ(
      output(type("zero_padding3d", R"("padding": [[0, 1], [2, 3], [4, 5]])"), "[1, 1, 1, 2]"),
      (Ints{2, 6, 10, 2}));
  EXPECT_EQ(output(type("cropping2d", R"("cropping": [[1, 2], [0, 1]])"), "[5, 4, 2]"),
            (Ints{2, 3, 2}));
  refuses(type("cropping1d", R"("cropping": 2)"), "[4, 2]", "leaves nothing");
  refuses(type("max_pooling3d", R"("pool_size": [1, 2])"), "[4, 4, 4, 2]",
          "an integer or a list of three integers");
}

TEST(Spatial, ChannelsMayComeFirst) {
  const std::string first = R"("data_format": "channels_first")";
  EXPECT_EQ(output(type("conv2d", R"("filters": 4, "kernel_size": 3, )" + first), "[2, 7, 8]"),
            (Ints{4, 5, 6}));
  EXPECT_EQ(output(type("global_max_pooling3d", first), "[2, 3, 4, 5]"), (Ints{2}));
  EXPECT_EQ(output(type("up_sampling2d", first), "[2, 3, 4]"), (Ints{2, 6, 8}));
  EXPECT_EQ(output(type("flatten", first), "[2, 3, 4]"), (Ints{24}));
  EXPECT_EQ(output(type("flatten", R"("data_format": null)"), "[2, 3, 4]"), (Ints{24}));
}

TEST(Spatial, EquationsAreChecked) {
  const auto einsum = [](const std::string& equation, const std::string& shape,
                         const std::string& bias = "null") {
    return type("einsum_dense", R"("equation": ")" + equation + R"(", "output_shape": )" + shape +
                                    R"(, "bias_axes": )" + bias);
  };
  EXPECT_EQ(output(einsum("...x,xy->...y", "4"), "[2, 3]"), (Ints{2, 4}));
  EXPECT_EQ(output(einsum("abc,cd->abd", "[-1, 4]"), "[2, 3]"), (Ints{2, 4}));
  refuses(einsum("abc,cd->abd", "[5, 4]"), "[2, 3]", "does not fit equation");
  refuses(einsum("abc,cd->abd", "[-1, -1]"), "[2, 3]", "does not fit equation");
  refuses(einsum("abc,cd->abd", "[2, 4]", R"("x")"), "[2, 3]", "of which the result has no \"x\"");
  for (const char* wrong :
       {"abc,cd", "abcd,cd->ab", "abc,cd->ad", "abc,cd->abe", "abb,cd->abd", "a.c,cd->abd",
        "abc,c->bac", "abc,acd->abd", "...,cd->abd", "->", "a1c,cd->a1d"})
    refuses(einsum(wrong, "[2, 4]"), "[2, 3]", "does not fit");
}

TEST(Spatial, UnevenWindowsAndGroupsAreBounded) {
  EXPECT_EQ(output(type("adaptive_max_pooling2d", R"("output_size": [3, 2])"), "[7, 7, 2]"),
            (Ints{3, 2, 2}));
  refuses(type("adaptive_max_pooling1d", R"("output_size": 1025)"), "[4000, 2]",
          "uneven windows along an axis");
  refuses(type("group_normalization", R"("groups": 3)"), "[4, 8]", "do not divide the 8 channels");
  refuses(type("resizing", R"("height": 100000, "width": 4)"), "[1000, 4, 1]",
          "the product may be at most");
  refuses(type("resizing", R"("height": 4, "width": 4, "crop_to_aspect_ratio": true,
                              "pad_to_aspect_ratio": true)"),
          "[8, 4, 1]", "one is possible");
}

}  // namespace
}  // namespace gradc
