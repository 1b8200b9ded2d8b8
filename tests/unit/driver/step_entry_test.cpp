// The entry of one step: token by token it gives what predict gives for the window, place by place,
// and models that cannot be stepped are told by the layer that stands in the way.
#include "driver/step_entry.h"

#include "driver/compiled_model.h"
#include "passes/pass_manager.h"
#include "runtime/instance.h"
#include "runtime/token_steps.h"
#include "tests/unit/frontend/model_text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

namespace gradc::test {
namespace {

constexpr int64_t kSteps = 9, kTokens = 7;

/// A model of tokens with these layers between the embedding "e" and the head.
std::string text_of(const std::string& layers, const std::string& embedding = {}) {
  return fmt::format(
      R"({{"name": "m", "inputs": [{{"name": "text", "shape": [{}], "dtype": "int32"}}], "layers": [
          {}, {}{{"type": "dense", "units": {}, "name": "next"}}],
          "training": {{"loss": {{"type": "sparse_categorical_crossentropy", "from_logits": true}},
                        "optimizer": "sgd", "batch_size": 3, "shuffle": false}}}})",
      kSteps,
      embedding.empty()
          ? fmt::format(R"({{"type": "embedding", "name": "e", "input_dim": {}, "output_dim": 8}})",
                        kTokens)
          : embedding,
      layers.empty() ? "" : layers + ", ", kTokens);
}

struct Run {
  std::unique_ptr<CompiledModel> model;
  rt::Instance* instance = nullptr;
  ~Run() {
    if (instance != nullptr) rt::Instance::destroy(instance);
  }
  void open(const std::string& text) {
    SourceSet sources;
    CompileOptions options;
    options.batch_size = 1;
    auto opened = CompiledModel::parse("m.json", text, options, sources);
    ASSERT_TRUE(opened.ok()) << opened.message();
    model = opened.take();
    const rt::Status created =
        rt::Instance::create(model->runtime_model(), {1}, nullptr, 0, &instance);
    ASSERT_TRUE(created.ok()) << created.text.c_str();
    ASSERT_TRUE(instance->initialize(5).ok());
    ASSERT_TRUE(instance->prepare(GRADC_RT_PREDICT).ok());
  }
};

float value(const rt::Instance& instance, size_t tensor, int64_t at) {
  return static_cast<const float*>(instance.data(tensor))[at];
}

/// Runs the window and its steps, twice; `last` compares the last place alone.
void expect_same(const std::string& text, bool last = false) {
  SCOPED_TRACE(text);
  Run run;
  run.open(text);
  if (run.instance == nullptr) return;
  rt::Instance& instance = *run.instance;
  ASSERT_TRUE(rt::TokenSteps::possible(instance))
      << (instance.model().step_remark != nullptr ? instance.model().step_remark : "no remark");
  const auto input = static_cast<size_t>(instance.nth(GRADC_RT_INPUT, 0));
  const auto output = static_cast<size_t>(instance.nth(GRADC_RT_OUTPUT, 0));
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < kSteps; ++i)
    tokens.push_back(static_cast<int32_t>((i * i + 3 * i) % kTokens));
  for (size_t i = 0; i < tokens.size(); ++i)
    rt::set_token(instance, input, i, tokens[i]);
  instance.run(GRADC_RT_PREDICT);
  double spread = 0.0;
  for (int repeat = 0; repeat < 2; ++repeat) {
    rt::TokenSteps steps;
    const rt::Status ready = steps.prepare(instance, kSteps);
    ASSERT_TRUE(ready.ok()) << ready.text.c_str();
    for (int64_t place = 0; place < kSteps; ++place) {
      ASSERT_TRUE(steps.has_room());
      steps.take(instance, tokens[static_cast<size_t>(place)]);
      if (last && place + 1 < kSteps) continue;
      for (int64_t i = 0; i < kTokens; ++i) {
        const float whole = value(instance, output, (last ? 0 : place) * kTokens + i);
        EXPECT_NEAR(value(instance, steps.output(), i), whole, 1e-5) << "place " << place;
        spread = std::max(spread, std::abs(static_cast<double>(whole)));
      }
    }
  }
  EXPECT_GT(spread, 1e-3);  // or the numbers would tell nothing
}

std::string remark_of(const std::string& text) {
  const Result<Model> model = parse_model(text);
  EXPECT_TRUE(model.ok()) << model.message();
  if (!model.ok()) return {};
  const std::optional<StepGraph> step = step_entry(*model);
  EXPECT_TRUE(step.has_value());
  if (!step) return {};
  EXPECT_EQ(step->graph, nullptr);
  return step->problem;
}

const std::string kSequences = R"("return_sequences": true})";
const std::string kAttention =
    R"({"type": "multi_head_attention", "name": "a", "num_heads": 2, "key_dim": 4,
        "kernel_initializer": {"type": "random_normal", "stddev": 0.5}, "use_causal_mask": true)";

TEST(StepEntry, RecurrentLayersKeepTheirStates) {
  for (const char* type : {"simple_rnn", "lstm", "gru"}) {
    expect_same(text_of(fmt::format(R"({{"type": "{}", "units": 6, )", type) + kSequences));
  }
  expect_same(text_of(R"({"type": "lstm", "units": 6, )" + kSequences +
                      R"(, {"type": "gru", "units": 5, "reset_after": false, )" + kSequences +
                      R"(, {"type": "layer_normalization"}, {"type": "dropout", "rate": 0.3})"));
  expect_same(text_of(R"({"type": "rnn", "cell": [{"type": "lstm_cell", "units": 5},
                          {"type": "gru_cell", "units": 4}], )" +
                      kSequences));
}

TEST(StepEntry, TheLastStateSaysWhatComesNext) {
  expect_same(text_of(R"({"type": "gru", "units": 6})"), true);
  expect_same(text_of(R"({"type": "lstm", "units": 6, )" + kSequences +
                      R"(, {"type": "lstm", "units": 6, "return_state": true})"),
              true);
}

TEST(StepEntry, AttentionKeepsKeysAndValues) {
  const std::string add = R"(, {"type": "add", "name": "sum", "inputs": ["e", "a"]})";
  expect_same(text_of(kAttention + "}" + add));
  expect_same(text_of(kAttention + R"(, "rope_max_wavelength": 100})" + add));
  expect_same(text_of(kAttention + R"(, "use_alibi": true})" + add));
  expect_same(text_of(
      R"({"type": "group_query_attention", "name": "a", "num_query_heads": 4, "head_dim": 2,
          "num_key_value_heads": 2, "use_causal_mask": true})" +
      add));
  expect_same(text_of(kAttention + R"(, "use_alibi": true}, {"type": "rms_normalization"},
      {"type": "dense", "units": 8, "activation": "gelu"}, )" +
                      kAttention.substr(0, kAttention.find("\"a\"")) + "\"b\"" +
                      kAttention.substr(kAttention.find("\"a\"") + 3) + "}"));
}

TEST(StepEntry, AStepWritesItsRowOfTheCachesInPlace) {
  const Result<Model> model = parse_model(text_of(kAttention + "}"));
  ASSERT_TRUE(model.ok()) << model.message();
  const std::optional<StepGraph> step = step_entry(*model);
  ASSERT_TRUE(step.has_value());
  ASSERT_NE(step->graph, nullptr) << step->problem;
  PassContext context;
  const Status status = run_passes(*step->graph,
                                   "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,"
                                   "schedule,in_place",
                                   context);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(context.statistics.get("in_place: updates in place"), 2);  // keys, values
  EXPECT_EQ(context.statistics.get("in_place: updates by a copy"), 0);
}

TEST(StepEntry, PositionsFollowTheIndex) {
  const std::string rest = R"({"type": "add", "inputs": ["e", "p"]}, )" + kAttention + "}";
  expect_same(text_of(R"({"type": "position_embedding", "name": "p", "sequence_length": 12,
                          "initializer": {"type": "random_normal", "stddev": 0.5}}, )" +
                      rest));
  expect_same(text_of(R"({"type": "sine_position_encoding", "name": "p"}, )" + rest));
  expect_same(text_of(kAttention + "}",
                      R"({"type": "token_and_position_embedding", "name": "e", "vocabulary_size": 7,
                          "sequence_length": 9, "embedding_dim": 8})"));
}

TEST(StepEntry, MaskedTokensAreNotSeen) {
  const std::string masked =
      R"({"type": "embedding", "name": "e", "input_dim": 7, "output_dim": 8, "mask_zero": true})";
  expect_same(text_of(kAttention + "}", masked));
  expect_same(text_of(kAttention + R"(, "use_alibi": true})", masked));
  expect_same(text_of(R"({"type": "lstm", "units": 6, )" + kSequences, masked));
}

TEST(StepEntry, CausalConvolutionsKeepTheirLastInputs) {
  std::string layers;
  for (int dilation = 1; dilation <= 4; dilation *= 2) {
    layers +=
        fmt::format(R"({{"type": "conv1d", "filters": 8, "kernel_size": 2, "dilation_rate": {},
                               "padding": "causal", "activation": "tanh"}}, )",
                    dilation);
  }
  expect_same(text_of(layers + R"({"type": "conv1d", "filters": 5, "kernel_size": 1})"));
  expect_same(text_of(R"({"type": "time_distributed", "layer": {"type": "dense", "units": 5}})"));
}

TEST(StepEntry, RowsOfZerosAndOnes) {
  expect_same(R"({"name": "m", "inputs": [{"name": "text", "shape": [9, 7]}],
    "layers": [{"type": "lstm", "units": 6, "return_sequences": true},
               {"type": "dense", "units": 7, "name": "next", "activation": "softmax"}],
    "training": {"loss": "sparse_categorical_crossentropy", "optimizer": "sgd", "batch_size": 3},
    "data": {"text": {"one_hot": 7}}})");
}

TEST(StepEntry, NamesTheLayerThatStandsInTheWay) {
  const auto expect = [](const std::string& layers, const std::string& layer,
                         const std::string& why) {
    const std::string remark = remark_of(text_of(layers));
    EXPECT_NE(remark.find("layer \"" + layer + "\""), std::string::npos) << remark;
    EXPECT_NE(remark.find(why), std::string::npos) << remark;
  };
  const std::string seen =
      R"({"type": "multi_head_attention", "name": "a", "num_heads": 2, "key_dim": 4})";
  expect(seen, "a", "it sees later steps");
  expect(R"({"type": "global_average_pooling1d", "name": "p"})", "p", "it joins steps");
  expect(R"({"type": "flatten", "name": "f"})", "f", "it joins steps");
  expect(R"({"type": "conv1d", "filters": 4, "kernel_size": 3, "padding": "same", "name": "c"})",
         "c", "it sees later steps");
  expect(R"({"type": "bidirectional", "name": "b", "layer": {"type": "gru", "units": 4, )" +
             kSequences + "}",
         "b", "");
  expect(R"({"type": "gru", "units": 4, "name": "g", "go_backwards": true, )" + kSequences, "g",
         "from the last step to the first");
  expect(R"({"type": "gru", "units": 4, "name": "g", "stateful": true, )" + kSequences, "g",
         "from batch to batch");
}

TEST(StepEntry, OnlyLanguageModelsHaveOne) {
  const Result<Model> model = parse_model(R"({"inputs": [{"name": "x", "shape": [9, 7]}],
    "layers": [{"type": "lstm", "units": 6}, {"type": "dense", "units": 7}],
    "training": {"loss": "mean_squared_error", "optimizer": "sgd"}})");
  ASSERT_TRUE(model.ok());
  EXPECT_FALSE(step_entry(*model).has_value());
}

}  // namespace
}  // namespace gradc::test
