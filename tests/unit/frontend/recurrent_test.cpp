// Recurrent layers and the layers around layers: what they hold and build, and what they refuse.
// Their numbers are compared with PyTorch's in tests/peer (scripts/peer_recurrent.py).
#include "frontend/graph_builder.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "tests/unit/frontend/run_model.h"

#include <map>
#include <string>

namespace gradc {
namespace {

/// A model of one layer on [5, 4], with a loss.
std::string text_of(const std::string& layer, const std::string& shape = "[5, 4]") {
  return R"({"inputs": [{"name": "x", "shape": )" + shape + R"(}], "layers": [)" + layer +
         R"(, {"type": "flatten"}, {"type": "dense", "units": 2}],
    "training": {"loss": "mean_squared_error", "optimizer": "sgd", "batch_size": 3}})";
}

std::map<std::string, Ints> parameters(const std::string& layer,
                                       const std::string& shape = "[5, 4]") {
  std::map<std::string, Ints> shapes;
  const Result<Model> model = parse_model(text_of(layer, shape));
  EXPECT_TRUE(model.ok()) << model.message();
  if (!model.ok()) return shapes;
  for (const ParameterSpec& spec : model->layers[0].parameters)
    shapes[spec.name] = spec.shape;
  return shapes;
}

TEST(Recurrent, HoldsWhatKerasHolds) {
  using Shapes = std::map<std::string, Ints>;
  EXPECT_EQ(parameters(R"({"type": "simple_rnn", "units": 6})"),
            (Shapes{{"kernel", {4, 6}}, {"recurrent_kernel", {6, 6}}, {"bias", {6}}}));
  EXPECT_EQ(parameters(R"({"type": "lstm", "units": 6})"),
            (Shapes{{"kernel", {4, 24}}, {"recurrent_kernel", {6, 24}}, {"bias", {24}}}));
  EXPECT_EQ(parameters(R"({"type": "gru", "units": 6})"),
            (Shapes{{"kernel", {4, 18}}, {"recurrent_kernel", {6, 18}}, {"bias", {2, 18}}}));
  EXPECT_EQ(parameters(R"({"type": "gru", "units": 6, "reset_after": false})"),
            (Shapes{{"kernel", {4, 18}}, {"recurrent_kernel", {6, 18}}, {"bias", {18}}}));
  EXPECT_EQ(parameters(R"({"type": "lstm", "units": 6, "use_bias": false})"),
            (Shapes{{"kernel", {4, 24}}, {"recurrent_kernel", {6, 24}}}));
  EXPECT_EQ(
      parameters(R"({"type": "conv_lstm2d", "filters": 3, "kernel_size": [2, 3]})", "[5, 7, 8, 4]"),
      (Shapes{{"kernel", {2, 3, 4, 12}}, {"recurrent_kernel", {2, 3, 3, 12}}, {"bias", {12}}}));
  EXPECT_EQ(
      parameters(
          R"({"type": "bidirectional", "layer": {"type": "simple_rnn", "units": 2, "name": "r"}})"),
      (Shapes{{"forward_r/kernel", {4, 2}},
              {"forward_r/recurrent_kernel", {2, 2}},
              {"forward_r/bias", {2}},
              {"backward_r/kernel", {4, 2}},
              {"backward_r/recurrent_kernel", {2, 2}},
              {"backward_r/bias", {2}}}));
  EXPECT_EQ(parameters(R"({"type": "time_distributed", "layer": {"type": "dense", "units": 3}})"),
            (Shapes{{"kernel", {4, 3}}, {"bias", {3}}}));
}

TEST(Recurrent, TheForgetGatesBiasStartsAtOne) {
  for (const bool forget : {true, false}) {
    const Result<Model> model =
        parse_model(text_of(std::string(R"({"type": "lstm", "units": 6, "unit_forget_bias": )") +
                            (forget ? "true}" : "false}")));
    ASSERT_TRUE(model.ok()) << model.message();
    const auto entry = build_entry_graph(*model, {EntryKind::kPredict, 3});
    ASSERT_TRUE(entry.ok()) << entry.message();
    for (const GraphInput& input : entry->graph->inputs()) {
      if (input.name != "lstm/bias") continue;
      EXPECT_EQ(input.init.kind, "zeros");
      EXPECT_EQ(input.init.ones_begin, forget ? 6 : 0);
      EXPECT_EQ(input.init.ones_end, forget ? 12 : 0);
    }
  }
}

/// The shapes of all masks that a graph draws, outside of loops.
std::vector<Ints> masks(const std::string& layer, EntryKind kind) {
  std::vector<Ints> shapes;
  const Result<Model> model = parse_model(text_of(layer));
  EXPECT_TRUE(model.ok()) << model.message();
  if (!model.ok()) return shapes;
  const auto entry = build_entry_graph(*model, {kind, 3});
  EXPECT_TRUE(entry.ok()) << entry.message();
  for (const NodeId id : entry->graph->nodes()) {
    const Node& node = entry->graph->node(id);
    if (node.op == Op::kBernoulli) shapes.push_back(node.attrs.as<BernoulliAttrs>().shape);
    if (node.body == nullptr) continue;
    for (const NodeId inner : node.body->nodes())
      EXPECT_FALSE(def(node.body->node(inner).op).has(kTraitRandom));
  }
  return shapes;
}

TEST(Recurrent, OneMaskServesAllSteps) {
  const std::string layer =
      R"({"type": "gru", "units": 6, "dropout": 0.5, "recurrent_dropout": 0.25})";
  EXPECT_EQ(masks(layer, EntryKind::kTrain), (std::vector<Ints>{{3, 4}, {3, 6}}));
  EXPECT_TRUE(masks(layer, EntryKind::kPredict).empty());
  EXPECT_TRUE(masks(R"({"type": "gru", "units": 6})", EntryKind::kTrain).empty());
}

TEST(Recurrent, RefusesByName) {
  const auto problem = [](const std::string& layer, const std::string& shape = "[5, 4]") {
    return problems_of(text_of(layer, shape));
  };
  const auto expect = [](const std::string& message, const std::string& part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(problem(R"({"type": "lstm", "units": 6})", "[4]"), "needs an input [steps, features]");
  expect(problem(R"({"type": "lstm", "units": 6, "stateful": true})"),
         "is stateful, but training shuffles its examples");
  expect(
      problem(
          R"({"type": "rnn", "cell": [{"type": "gru_cell", "units": 3}, {"type": "lstm", "units": 3}]})"),
      "repeats cells, but \"lstm\" is none");
  expect(problem(R"({"type": "rnn", "cell": []})"), "names no layer");
  const std::string conv = R"({"type": "conv_lstm2d", "filters": 3, "kernel_size": 3)";
  expect(problem(conv + "}", "[5, 4, 4]"), "needs an input [steps, 2 spatial axes, channels]");
  expect(problem(conv + R"(, "padding": "valid"})", "[5, 2, 4, 1]"),
         "has a window [3, 3] that does not fit into its input f32[2x4x1]");
  expect(problem(conv + R"(, "padding": "same", "inputs": ["x", "x", "x"]})", "[5, 4, 4, 1]"),
         "starts from 2 states of shape [4, 4, 3] behind its input, or from zeros");
  expect(problem(R"({"type": "dense", "units": 5, "name": "d"},
                    {"type": "lstm", "units": 6, "inputs": ["x", "d"]})"),
         "starts from 2 states of shape [6] behind its input, or from zeros; got f32[5x5]");
  expect(problem(R"({"type": "gru", "units": 6, "activation": "glu"})"),
         "makes [3] of a state of [6]");
  expect(problem(R"({"type": "bidirectional", "layer": {"type": "dense", "units": 6}})"),
         "\"dense\" is no recurrent layer");
  expect(problem(R"({"type": "bidirectional", "layer": {"type": "lstm", "units": 6},
                     "backward_layer": {"type": "lstm", "units": 6}})"),
         "two layers that go forwards");
  expect(problem(R"({"type": "bidirectional", "layer": {"type": "lstm", "units": 6},
      "backward_layer": {"type": "lstm", "units": 6, "go_backwards": true, "return_sequences": true}})"),
         "one without");
  expect(
      problem(
          R"({"type": "bidirectional", "merge_mode": "sum", "layer": {"type": "lstm", "units": 6},
                     "backward_layer": {"type": "lstm", "units": 5, "go_backwards": true}})"),
      "needs equal shapes");
  expect(problem(R"({"type": "time_distributed", "layer": {"type": "lstn", "units": 3}})"),
         "unknown layer type \"lstn\"");
  expect(
      problem(
          R"({"type": "time_distributed", "layer": {"type": "dense", "units": 3, "inputs": "x"}})"),
      "inputs");
}

TEST(Masks, AreCarriedToTheLayerThatEndsTheSteps) {
  const Result<Model> model = parse_model(text_of(
      R"({"type": "masking"}, {"type": "dense", "units": 3}, {"type": "dropout", "rate": 0.1},
         {"type": "lstm", "units": 4, "return_sequences": true},
         {"type": "bidirectional", "layer": {"type": "gru", "units": 2}})"));
  ASSERT_TRUE(model.ok()) << model.message();
  std::vector<bool> masked;
  for (const Call& call : model->calls)
    masked.push_back(call.results.front().masked);
  EXPECT_EQ(masked, (std::vector<bool>{true, true, true, true, false, false, false}));
  const auto entry = build_entry_graph(*model, {EntryKind::kTrain, 3});
  ASSERT_TRUE(entry.ok()) << entry.message();
  int loops = 0, selects = 0;
  for (const NodeId id : entry->graph->nodes()) {
    const Node& node = entry->graph->node(id);
    if (node.op != Op::kScan) continue;
    ++loops;
    for (const NodeId inner : node.body->nodes())
      selects += node.body->node(inner).op == Op::kSelect ? 1 : 0;
  }
  EXPECT_EQ(loops, 3);
  EXPECT_EQ(selects, 4);  // each state of each loop
}

TEST(Masks, AreRefusedWhereAllStepsCount) {
  const auto expect = [](const std::string& layers, const std::string& part) {
    const std::string problem = problems_of(text_of(layers));
    EXPECT_NE(problem.find(part), std::string::npos) << problem;
  };
  expect(R"({"type": "masking"}, {"type": "batch_normalization"})",
         "treats all steps alike, but some of its input's do not count");
  expect(R"({"type": "masking"})", "flatten layer \"flatten\" treats all steps alike");
  expect(R"({"type": "masking"}, {"type": "global_max_pooling1d"})", "treats all steps alike");
  expect(
      R"({"type": "masking"}, {"type": "global_average_pooling1d", "data_format": "channels_first"})",
      "they must come before the channels");
}

// ---- several results, states from batch to batch ------------------------------------------------

TEST(Results, HaveNamesBehindADot) {
  const std::string text = R"({"inputs": [{"name": "x", "shape": [5, 4]}],
    "blocks": {"ends": {"output": "r.state_c", "layers": [
        {"type": "lstm", "name": "r", "units": 4, "return_state": true}]}},
    "layers": [{"type": "bidirectional", "name": "b", "merge_mode": null,
                "layer": {"type": "lstm", "units": 3, "return_sequences": true, "return_state": true}},
               {"type": "concatenate", "name": "c", "inputs": ["b.backward_state_c", "b.forward_state_h"]},
               {"type": "multi_head_attention", "name": "a", "num_heads": 2, "key_dim": 3,
                "inputs": ["b", "b.backward"], "return_attention_scores": true},
               {"type": "block", "block": "ends", "name": "e", "inputs": "x"},
               {"type": "gru", "name": "a.scores", "units": 2, "inputs": "b"},
               {"type": "shared", "layer": "b", "name": "again", "inputs": "x"}],
    "outputs": ["c", "a", "e", "b.forward_state_c", "a.scores", "again.backward"]})";
  const Result<Model> model = parse_model(text);
  ASSERT_TRUE(model.ok()) << problems_of(text);
  std::map<std::string, Ints> shapes;
  for (const ModelOutput& output : model->outputs)
    shapes[output.name] = model->spec(output.value).shape;
  EXPECT_EQ(shapes, (std::map<std::string, Ints>{{"c", {6}},
                                                 {"a", {5, 3}},
                                                 {"e", {4}},
                                                 {"b.forward_state_c", {3}},
                                                 {"a.scores", {2}},  // a layer before a result
                                                 {"again.backward", {5, 3}}}));
  EXPECT_TRUE(build_entry_graph(*model, {EntryKind::kPredict, 2, false}).ok());
}

/// An lstm, or two directions, over `steps` steps of one feature.
std::string stateful_text(const std::string& layer, int64_t steps) {
  return R"({"inputs": [{"name": "x", "shape": [)" + std::to_string(steps) +
         R"(, 1]}], "layers": [)" + layer + R"(], "outputs": "r"})";
}

TEST(Stateful, TwoBatchesAreOneSequence) {
  const std::string layer = R"({"type": "lstm", "name": "r", "units": 2, "return_sequences": true)";
  const Named weights = {
      {"r/kernel", {0.5, -0.3, 0.2, 0.7, -0.6, 0.4, 0.3, -0.2}},
      {"r/recurrent_kernel",
       {0.1, 0.2, -0.3, 0.4, 0.5, -0.6, 0.7, 0.8, -0.1, 0.3, 0.2, -0.4, 0.6, 0.1, -0.5, 0.2}},
      {"r/bias", {0, 0, 1, 1, 0, 0, 0.1, 0}}};
  const auto run = [&](const std::string& more, int64_t steps, const std::vector<double>& x,
                       const Named& states) {
    Named given = weights;
    given["input/x"] = x;
    given.insert(states.begin(), states.end());
    return run_model(stateful_text(layer + more + "}", steps), {EntryKind::kPredict, 2, false},
                     given);
  };
  const RunResult whole = run("", 4, {1, 2, -1, 0.5, 0, 3, 1, -2}, {});
  const std::vector<double> all = whole.outputs.at("output/r");
  const std::string stateful = R"(, "stateful": true)";
  const RunResult first = run(stateful, 2, {1, 2, 0, 3}, {});
  const RunResult second = run(stateful, 2, {-1, 0.5, 1, -2}, first.updates);
  ASSERT_EQ(first.updates.size(), 2U);
  const auto half = [&](size_t from) {
    std::vector<double> part(all.begin() + static_cast<long>(from),
                             all.begin() + static_cast<long>(from) + 4);
    part.insert(part.end(), all.begin() + static_cast<long>(from) + 8,
                all.begin() + static_cast<long>(from) + 12);
    return part;
  };
  expect_near(first.outputs.at("output/r"), half(0));
  expect_near(second.outputs.at("output/r"), half(4));
  const std::vector<double>& h = second.updates.at("r/state_h");
  expect_near(h, {all[6], all[7], all[14], all[15]});
}

TEST(Stateful, StatesAreNoWeights) {
  const std::string text = stateful_text(
      R"({"type": "bidirectional", "name": "r", "layer": {"type": "gru", "units": 3, "stateful": true}})",
      4);
  const Result<Model> model = parse_model(text);
  ASSERT_TRUE(model.ok()) << problems_of(text);
  EXPECT_EQ(model->num_not_trainable(), 0);
  EXPECT_EQ(model->num_trainable(), 2 * (9 + 27 + 18));
}

}  // namespace
}  // namespace gradc
