// Dtype policies: which types parameters, products and values between layers have, and that
// gradients go through the casts.
#include "frontend/graph_builder.h"
#include "ir/op_attrs.h"
#include "ir/verifier.h"
#include "tests/unit/frontend/run_model.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

constexpr const char* kLayers = R"(
  {"type": "conv2d", "filters": 4, "kernel_size": 3, "activation": "relu", "name": "conv"},
  {"type": "batch_normalization", "name": "norm"}, {"type": "flatten"}, {"type": "dropout", "rate": 0.1},
  {"type": "dense", "units": 5, "name": "hidden" MORE}, {"type": "dense", "units": 3, "name": "logits"})";

std::string model_text(const std::string& dtype, const std::string& more = "") {
  std::string layers = kLayers;
  layers.replace(layers.find("MORE"), 4, more);
  return R"({"dtype": ")" + dtype +
         R"(", "inputs": [{"name": "x", "shape": [6, 6, 1]}], "layers": [)" + layers +
         R"(], "training": {"loss": {"type": "sparse_categorical_crossentropy",
    "from_logits": true}, "optimizer": "adam", "metrics": ["accuracy"]}})";
}

std::shared_ptr<Graph> train_graph(const std::string& text, bool tail = false) {
  const Result<Model> model = parse_model(text);
  EXPECT_TRUE(model.ok()) << problems_of(text);
  auto entry = build_entry_graph(model.value(), {EntryKind::kTrain, 4, tail});
  EXPECT_TRUE(entry.ok()) << entry.message();
  const auto violations = find_violations(*entry->graph);
  EXPECT_TRUE(violations.empty()) << print_violations(*entry->graph, violations);
  return entry->graph;
}

DType type_of(const Graph& graph, const std::string& name) {
  for (const NodeId id : graph.nodes()) {
    for (const ValueId result : graph.node(id).results) {
      if (graph.value(result).name == name) return graph.type(result).dtype;
    }
  }
  ADD_FAILURE() << "no value %" << name;
  return DType::kBool;
}

std::vector<std::optional<DType>> multiplied_in(const Graph& graph) {
  std::vector<std::optional<DType>> types;
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.op == Op::kMatmul) types.push_back(node.attrs.as<MatmulAttrs>().multiply);
    if (node.op == Op::kConv) types.push_back(node.attrs.as<ConvAttrs>().multiply);
  }
  return types;
}

TEST(DTypePolicy, MixedKeepsParametersInF32AndMultipliesInBf16) {
  for (const bool tail : {false, true}) {
    const auto graph = train_graph(model_text("mixed_bfloat16"), tail);
    for (const GraphInput& input : graph->inputs()) {
      if (input.kind != InputKind::kParam) continue;
      EXPECT_EQ(graph->type(input.value).dtype, DType::kF32) << input.name;
    }
    EXPECT_EQ(multiplied_in(*graph), std::vector<std::optional<DType>>(3, DType::kBF16));
    int64_t rounded = 0;
    for (const NodeId id : graph->nodes()) {
      for (const ValueId result : graph->node(id).results)
        rounded += graph->type(result).dtype == DType::kBF16;
    }
    EXPECT_EQ(rounded, 5);  // every layer's result but the model's
    EXPECT_EQ(type_of(*graph, "logits"), DType::kF32);
    EXPECT_EQ(type_of(*graph, "loss"), DType::kF32);
  }
}

TEST(DTypePolicy, ALayerMayNameItsOwn) {
  const auto one = train_graph(model_text("mixed_bfloat16", R"(, "dtype": "float32")"));
  const std::vector<std::optional<DType>> wanted = {DType::kBF16, std::nullopt, DType::kBF16};
  EXPECT_EQ(multiplied_in(*one), wanted);
  const auto other = train_graph(model_text("float32", R"(, "dtype": "float64")"));
  EXPECT_EQ(other->type(*other->find_input("hidden/kernel")).dtype, DType::kF64);
  EXPECT_EQ(other->type(*other->find_input("logits/kernel")).dtype, DType::kF32);
  EXPECT_EQ(type_of(*other, "hidden"), DType::kF64);
  EXPECT_EQ(type_of(*other, "logits"), DType::kF32);
}

TEST(DTypePolicy, Float64IsF64FromTheInputToTheLoss) {
  for (const bool tail : {false, true}) {
    const auto graph = train_graph(model_text("float64"), tail);
    for (const GraphInput& input : graph->inputs()) {
      const DType dtype = graph->type(input.value).dtype;
      if (input.name == "tail/weight" || !is_float(dtype)) continue;
      EXPECT_EQ(dtype, DType::kF64) << input.name;
    }
    EXPECT_EQ(type_of(*graph, "logits"), DType::kF64);
    EXPECT_EQ(type_of(*graph, "loss"), DType::kF32);  // as hosts read it
    EXPECT_EQ(multiplied_in(*graph), std::vector<std::optional<DType>>(3));
  }
}

/// The interpreter rounds nothing, so that a policy changes no number of it.
TEST(DTypePolicy, PoliciesMeanTheSameNumbers) {
  std::vector<double> x(36);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = 0.1 * static_cast<double>(i % 7) - 0.2;
  const Named given = {{"input/x", x},
                       {"logits/bias", {0.5, -0.25, 0.125}},
                       {"hidden/bias", {1, 2, 3, 4, 5}},
                       {"logits/kernel", {1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3}}};
  const RunResult plain = run_model(model_text("float32"), {.batch_size = 1}, given);
  for (const char* policy : {"mixed_bfloat16", "float64"}) {
    const RunResult other = run_model(model_text(policy), {.batch_size = 1}, given);
    EXPECT_EQ(other.outputs, plain.outputs) << policy;
  }
}

}  // namespace
}  // namespace gradc
