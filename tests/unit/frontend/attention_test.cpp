// Attention layers, positions and rms_normalization: what they hold, build and refuse. Their
// numbers are compared with PyTorch's in tests/peer (scripts/peer_attention.py).
#include "frontend/graph_builder.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "tests/unit/frontend/model_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

namespace gradc {
namespace {

using Shapes = std::map<std::string, Ints>;

/// A layer "a" on query [5, 6], value [7, 4] and key [7, 3].
std::string text_of(const std::string& layer, const std::string& more = "") {
  return R"({"inputs": [{"name": "q", "shape": [5, 6]}, {"name": "v", "shape": [7, 4]},
                        {"name": "k", "shape": [7, 3]}],
    "layers": [)" +
         layer + more + R"(, {"type": "flatten"}, {"type": "dense", "units": 2}],
    "training": {"loss": "mean_squared_error", "optimizer": "sgd", "batch_size": 2}})";
}

Shapes parameters(const std::string& layer) {
  Shapes shapes;
  const Result<Model> model = parse_model(text_of(layer));
  EXPECT_TRUE(model.ok()) << model.message();
  if (!model.ok()) return shapes;
  for (const ParameterSpec& spec : model->layers[0].parameters)
    shapes[spec.name] = spec.shape;
  return shapes;
}

TEST(AttentionLayers, HoldWhatKerasHolds) {
  EXPECT_EQ(parameters(R"({"type": "multi_head_attention", "num_heads": 2, "key_dim": 3,
                           "value_dim": 5, "inputs": ["q", "v", "k"]})"),
            (Shapes{{"query/kernel", {6, 2, 3}},
                    {"query/bias", {2, 3}},
                    {"key/kernel", {3, 2, 3}},
                    {"key/bias", {2, 3}},
                    {"value/kernel", {4, 2, 5}},
                    {"value/bias", {2, 5}},
                    {"attention_output/kernel", {2, 5, 6}},
                    {"attention_output/bias", {6}}}));
  EXPECT_EQ(parameters(R"({"type": "multi_head_attention", "num_heads": 2, "key_dim": 3,
                           "use_bias": false, "output_shape": [4, 3], "inputs": ["q", "v"]})"),
            (Shapes{{"query/kernel", {6, 2, 3}},
                    {"key/kernel", {4, 2, 3}},
                    {"value/kernel", {4, 2, 3}},
                    {"attention_output/kernel", {2, 3, 4, 3}}}));
  EXPECT_EQ(parameters(R"({"type": "grouped_query_attention", "num_query_heads": 4, "head_dim": 3,
                           "num_key_value_heads": 2, "use_bias": false, "inputs": "q"})"),
            (Shapes{{"query/kernel", {6, 4, 3}},
                    {"key/kernel", {6, 2, 3}},
                    {"value/kernel", {6, 2, 3}},
                    {"attention_output/kernel", {4, 3, 6}}}));
  EXPECT_EQ(parameters(R"({"type": "attention", "use_scale": true, "score_mode": "concat",
                           "inputs": "q"})"),
            (Shapes{{"scale", {}}, {"concat_score_weight", {}}}));
  EXPECT_EQ(parameters(R"({"type": "additive_attention", "inputs": "q"})"),
            (Shapes{{"scale", {6}}}));
  EXPECT_EQ(parameters(R"({"type": "rms_normalization", "inputs": "q"})"),
            (Shapes{{"scale", {6}}}));
  EXPECT_EQ(parameters(R"({"type": "position_embedding", "sequence_length": 8, "inputs": "q"})"),
            (Shapes{{"embeddings", {8, 6}}}));
}

/// The ops of a training entry.
std::map<Op, int> ops(const std::string& text, EntryKind kind = EntryKind::kTrain) {
  std::map<Op, int> counts;
  const Result<Model> model = parse_model(text);
  EXPECT_TRUE(model.ok()) << model.message();
  if (!model.ok()) return counts;
  const auto entry = build_entry_graph(*model, {kind, 2});
  EXPECT_TRUE(entry.ok()) << entry.message();
  for (const NodeId id : entry->graph->nodes())
    ++counts[entry->graph->node(id).op];
  return counts;
}

TEST(AttentionLayers, DropWeightsInTrainingOnly) {
  const std::string text = text_of(R"({"type": "multi_head_attention", "num_heads": 2, "key_dim": 3,
                                       "dropout": 0.2, "inputs": ["q", "v"]})");
  auto counts = ops(text);
  EXPECT_EQ(counts[Op::kBernoulli], 1);
  EXPECT_EQ(counts[Op::kAttentionWeights], 0) << "the op drops them";
  EXPECT_EQ(counts[Op::kAttention], 1);
  counts = ops(text, EntryKind::kPredict);
  EXPECT_EQ(counts[Op::kBernoulli], 0);
  EXPECT_EQ(counts[Op::kAttention], 1);
}

TEST(AttentionLayers, TakeTheMaskOfTheValueAndPassOnThatOfTheQuery) {
  const auto masked = [](const std::string& inputs) {
    const Result<Model> model = parse_model(
        text_of(R"({"type": "masking", "inputs": "q", "name": "mq"},
                   {"type": "masking", "inputs": "v", "name": "mv"},
                   {"type": "multi_head_attention", "num_heads": 2, "key_dim": 3, "inputs": )" +
                    inputs + "}",
                R"(, {"type": "gru", "units": 2}, {"type": "gru", "units": 1, "inputs": "mq",
                      "name": "r"}, {"type": "gru", "units": 1, "inputs": "mv", "name": "s"},
                   {"type": "concatenate", "inputs": ["gru", "r", "s"]})"));
    EXPECT_TRUE(model.ok()) << model.message();
    const auto call = std::find_if(model->calls.begin(), model->calls.end(),
                                   [](const Call& c) { return c.name == "multi_head_attention"; });
    return call->results.front().masked;
  };
  EXPECT_TRUE(masked(R"(["mq", "v"])"));
  EXPECT_FALSE(masked(R"(["q", "mv"])"));
  EXPECT_TRUE(masked(R"(["mq", "mv"])"));
}

TEST(AttentionLayers, RefuseByName) {
  const auto expect = [](const std::string& layer, const std::string& part) {
    const std::string message = problems_of(text_of(layer));
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(R"({"type": "multi_head_attention", "num_heads": 2, "key_dim": 3,
             "inputs": ["q", "v", "q"]})",
         "needs as many steps in key and value, got key f32[5x6] and value f32[7x4]");
  expect(R"({"type": "multi_head_attention", "num_heads": 2, "key_dim": 3, "inputs": "q",
             "rope_max_wavelength": 10000})",
         "rotates pairs of features, but a head has 3 of them");
  expect(R"({"type": "group_query_attention", "num_query_heads": 4, "num_key_value_heads": 3,
             "head_dim": 2, "inputs": "q"})",
         "has 4 heads of the query for 3 of key and value");
  expect(R"({"type": "attention", "inputs": ["q", "v"]})",
         "compares queries and keys of one number of features, got [5, 6] and [7, 4]");
  expect(R"({"type": "flatten", "inputs": "q"}, {"type": "attention"})",
         "needs inputs [steps, features]");
  expect(R"({"type": "multi_head_attention", "num_heads": 1099511627776, "key_dim": 1099511627776,
             "inputs": "q"})",
         "which are too many");
  expect(R"({"type": "multi_head_attention", "num_heads": 2, "key_dim": 3, "inputs": "q",
             "attention_axes": 2})",
         "attends over axes [2], but an input f32[5x6] has axes 1 to 1 before its features");
  expect(R"({"type": "reshape", "target_shape": [1, 5, 6], "inputs": "q", "name": "a"},
            {"type": "reshape", "target_shape": [7, 1, 4], "inputs": "v", "name": "b"},
            {"type": "multi_head_attention", "num_heads": 2, "key_dim": 3, "inputs": ["a", "b"],
             "attention_axes": 2})",
         "does not attend over axes of [1], which must be the query's, got [7]");
  expect(R"({"type": "position_embedding", "sequence_length": 4, "inputs": "q"})",
         "has 4 positions, but its input has 5 steps");
  expect(R"({"type": "rotary_embedding", "inputs": "k"})", "rotates pairs of features");
  expect(R"({"type": "rotary_embedding", "inputs": "q", "feature_axis": 1})",
         "needs an axis of steps and one of features");
}

TEST(Masks, AreMergedWhereAllInputsHaveOne) {
  const std::string start = R"({"type": "masking", "inputs": "v", "name": "m"},
                               {"type": "dense", "units": 4, "name": "d"},
                               {"type": "add", "inputs": ["m", )";
  EXPECT_EQ(ops(text_of(start + R"("d"]}, {"type": "gru", "units": 2})"))[Op::kOr], 1);
  const std::string problem = problems_of(text_of(start + R"("v"]}, {"type": "gru", "units": 2})"));
  EXPECT_NE(problem.find("merges an input of which some steps do not count with one, number 2"),
            std::string::npos)
      << problem;
}

}  // namespace
}  // namespace gradc
