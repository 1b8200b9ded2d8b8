// What files of weights keep beside the weights: whose tensor is whose by the model's table, the
// meaning of columns, classes and characters, and what a checkpoint was made of.
#include "runtime/weights.h"

#include "runtime/checkpoint.h"
#include "runtime/json.h"
#include "runtime/known_data.h"
#include "runtime/train_loop.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::make_part;
using testing::OwnedInstance;
using testing::TempDir;

Vec<Str> names_of(std::initializer_list<std::string> texts) {
  Vec<Str> names;
  for (const std::string& text : texts)
    names.push(Str(text.data(), text.size()));
  return names;
}

bool same_names(const Vec<Str>& a, const Vec<Str>& b) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); ++i)
    same = a[i] == b[i];
  return same;
}

TEST(JsonStrings, AnyBytesReadBack) {
  Vec<Str> names =
      names_of({"", "a\"b\\c/", "\n\t\x01\x7f\r", "\u00e9\u6f22\U0001F600", std::string("\0x\0", 3),
                "\xff\xc3(", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80", "\xe2\x82"});
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    names.push(Str(&byte, 1));
  }
  Str json;
  append_json_strings(json, names);
  Vec<Str> back;
  ASSERT_TRUE(parse_json_strings(json.c_str(), json.size(), &back)) << json.c_str();
  EXPECT_TRUE(same_names(names, back));
  // What other programs read is UTF-8: of the bytes beyond ASCII only the three characters' are
  // left.
  size_t beyond = 0;
  for (size_t i = 0; i < json.size(); ++i)
    beyond += static_cast<unsigned char>(json[i]) >= 0x80 ? 1 : 0;
  EXPECT_EQ(beyond, 2U + 3U + 4U);
}

TEST(JsonStrings, NothingElseIsRead) {
  for (const char* text :
       {"", "[", "]", "[1]", "[\"a\"", "[\"a\",]", "[,]", "[\"a\"] x", "{\"a\":1}", "\"a\"",
        "[[\"a\"]]", "[null]", "[\"\\ud800\"]", "[\"\\udc7f\"]", "[\"\\x\"]", "[\"a\nb\"]"}) {
    Vec<Str> out;
    EXPECT_FALSE(parse_json_strings(text, strlen(text), &out)) << text;
  }
  Vec<Str> out;
  EXPECT_TRUE(parse_json_strings("[ ]", 3, &out));
  EXPECT_TRUE(out.empty());
}

/// A model with a standardized input, trained a little, with a meaning of everything.
void train_with_meaning(Instance& instance, const FakeModel& model, const char* checkpoint) {
  ASSERT_TRUE(instance.initialize(3).ok());
  Feed feed;
  ASSERT_TRUE(
      feed.prepare(instance, make_part(model, 20), 0, 20, true, TargetNeed::kRequired).ok());
  Vec<TensorMeaning> meanings(instance.num_tensors());
  meanings[0].columns = names_of({"a\"", "b,\n", "\u00fc"});
  meanings[0].characters = names_of({"\xc3", std::string("\0", 1)});
  meanings[1].columns = names_of({"colour"});
  meanings[1].classes = names_of({"red", "blue"});
  instance.set_meanings(static_cast<Vec<TensorMeaning>&&>(meanings));
  TrainOptions options;
  options.seed = 3;
  options.epochs = 2;
  options.checkpoint = checkpoint;
  options.early_stopping = {true, "loss", 5, 0, 0, true};
  TrainResult result;
  const Status status = train(instance, feed, nullptr, options, &result);
  ASSERT_TRUE(status.ok()) << status.text.c_str();
}

void expect_meaning(const Instance& instance) {
  ASSERT_NE(instance.meanings(), nullptr);
  const Vec<TensorMeaning>& meanings = *instance.meanings();
  EXPECT_TRUE(same_names(meanings[0].columns, names_of({"a\"", "b,\n", "\u00fc"})));
  EXPECT_TRUE(same_names(meanings[0].characters, names_of({"\xc3", std::string("\0", 1)})));
  EXPECT_TRUE(same_names(meanings[1].columns, names_of({"colour"})));
  EXPECT_TRUE(same_names(meanings[1].classes, names_of({"red", "blue"})));
  EXPECT_TRUE(instance.statistics(0).known);
}

void standardize(FakeModel& model) {
  model.input_data().standardize = GRADC_RT_STANDARDIZE_FROM_DATA;
  model.input_data().stat_count = 3;
}

TEST(Weights, AndCheckpointsKeepTheMeaningOfTheData) {
  FakeModel model;
  standardize(model);
  const TempDir dir;
  const std::string weights = dir.file("w"), checkpoint = dir.file("c"), again = dir.file("w2");
  OwnedInstance trained(model.get());
  train_with_meaning(*trained, model, checkpoint.c_str());
  ASSERT_TRUE(save_weights(*trained, weights.c_str()).ok());
  OwnedInstance loaded(model.get());
  ASSERT_TRUE(load_weights(*loaded, weights.c_str(), LoadMode::kComplete).ok());
  expect_meaning(*loaded);
  ASSERT_TRUE(save_weights(*loaded, again.c_str()).ok());
  EXPECT_EQ(testing::read_bytes(weights), testing::read_bytes(again));
  OwnedInstance resumed(model.get());
  ASSERT_TRUE(load_checkpoint_data_facts(*resumed, checkpoint.c_str()).ok());
  expect_meaning(*resumed);
  // New weights mean nothing yet, and those of a file without a meaning have none.
  ASSERT_TRUE(loaded->initialize(1).ok());
  EXPECT_EQ(loaded->meanings(), nullptr);
  EXPECT_FALSE(loaded->statistics(0).known);
}

TEST(Weights, DamagedMeaningIsNamed) {
  FakeModel model;
  const TempDir dir;
  OwnedInstance trained(model.get());
  train_with_meaning(*trained, model, nullptr);
  const std::string path = dir.file("w");
  ASSERT_TRUE(save_weights(*trained, path.c_str()).ok());
  std::string bytes = testing::read_bytes(path);
  const size_t at = bytes.find("[\\\"red");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = '{';
  testing::write_bytes(path, bytes);
  const Status status = load_weights(*trained, path.c_str(), LoadMode::kComplete);
  EXPECT_NE(strstr(status.text.c_str(), "\"data/y/classes\" is no JSON array"), nullptr)
      << status.text.c_str();
}

TEST(Weights, LayersMayBeNamedAsPartsOfFiles) {
  for (const std::string word :
       {"optimizer", "data", "best", "input", "target", "output", "metric", "gradient", "loss",
        "seed", "tail", "_best", "data/x", "best/linear"}) {
    for (const char* parameter : {"/kernel", "/mean", "/iteration", "/x", "/weight"}) {
      FakeModel model;
      standardize(model);
      const std::string name = word + parameter;
      if (name == "input/x" || name == "tail/weight" || name == "optimizer/iteration")
        continue;  // two tensors of one name: refused with the model
      model.tensor("linear/kernel").name = name.c_str();
      const TempDir dir;
      const std::string weights = dir.file("w"), checkpoint = dir.file("c");
      OwnedInstance trained(model.get());
      train_with_meaning(*trained, model, checkpoint.c_str());
      const std::vector<float> kernel = trained.values(name.c_str());
      for (const bool with_optimizer : {false, true}) {
        ASSERT_TRUE(save_tensors(*trained, weights.c_str(), with_optimizer).ok());
        OwnedInstance loaded(model.get());
        const Status status = load_weights(*loaded, weights.c_str(), LoadMode::kComplete);
        ASSERT_TRUE(status.ok()) << name << ": " << status.text.c_str();
        EXPECT_EQ(loaded.values(name.c_str()), kernel) << name;
        EXPECT_EQ(loaded->statistics(0).mean[1], trained->statistics(0).mean[1]) << name;
        expect_meaning(*loaded);
      }
      // Not there: missing, whatever it is called.
      model.tensor(name.c_str()).name = "other/kernel";
      OwnedInstance other(model.get());
      const Status status = load_weights(*other, weights.c_str(), LoadMode::kComplete);
      EXPECT_NE(strstr(status.text.c_str(), "\"other/kernel\""), nullptr) << name;
      if (word != "best" && name != "data/x/mean") {
        EXPECT_NE(strstr(status.text.c_str(), ("\"" + name + "\"").c_str()), nullptr) << name;
      }
    }
  }
}

TEST(Weights, WhatIsNotFiniteIsNamed) {
  FakeModel model;
  const TempDir dir;
  const std::string path = dir.file("w");
  for (const float value : {std::nanf(""), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
    for (const char* name : {"linear/kernel", "linear/bias"}) {
      OwnedInstance instance(model.get());
      ASSERT_TRUE(instance->initialize(1).ok());
      const bool kernel = strcmp(name, "linear/kernel") == 0;
      const size_t index = static_cast<size_t>(instance->find(name));
      static_cast<float*>(instance->data(index))[kernel ? 2 : 0] = value;
      ASSERT_TRUE(save_weights(*instance, path.c_str()).ok());
      OwnedInstance loaded(model.get());
      for (const LoadMode mode : {LoadMode::kComplete, LoadMode::kPartial}) {
        const Status status = load_weights(*loaded, path.c_str(), mode);
        EXPECT_EQ(status.code, Code::kUserError);
        for (const std::string& part :
             {path, std::string(name), std::string(kernel ? "[2, 0]" : "[0]"),
              std::string(std::isnan(value) ? "NaN" : "infinite")})
          EXPECT_NE(strstr(status.text.c_str(), part.c_str()), nullptr) << status.text.c_str();
      }
    }
  }
}

/// Trains an epoch with a checkpoint, then resumes with other facts, data and options.
Status resume_with(const std::vector<gradc_rt_fact>& before, const std::vector<gradc_rt_fact>& now,
                   uint64_t data_seed, TrainOptions options) {
  FakeModel model;
  const TempDir dir;
  const std::string path = dir.file("c");
  Status status;
  for (const bool resume : {false, true}) {
    const std::vector<gradc_rt_fact>& facts = resume ? now : before;
    model.edit().facts = facts.data();
    model.edit().num_facts = static_cast<int64_t>(facts.size());
    TrainOptions run = options;
    if (!resume) run = TrainOptions();
    run.checkpoint = path.c_str();
    run.resume = resume;
    OwnedInstance instance(model.get());
    EXPECT_TRUE(instance->initialize(run.seed).ok());
    Feed feed;
    const DataPart part = make_part(model, 20, resume ? data_seed : 7);
    EXPECT_TRUE(feed.prepare(*instance, part, 0, 20, true, TargetNeed::kRequired).ok());
    TrainResult result;
    status = train(*instance, feed, nullptr, run, &result);
    EXPECT_TRUE(resume || status.ok()) << status.text.c_str();
  }
  return status;
}

TEST(Weights, WhatATensorsTypeDoesNotHoldIsRefused) {
  FakeModel model({.classes = true});
  OwnedInstance instance(model.get());
  const auto set = [&](const char* name, Dtype dtype, std::vector<double> values) {
    const size_t index = static_cast<size_t>(instance->find(name));
    Array array;
    array.source = Str("given");
    array.dtype = dtype;
    const Span<const int64_t> dims = tensor_dims(instance->tensor(index));
    array.dims.append(dims.data(), dims.size());
    values.resize(array.count(), values[0]);
    array.data.resize(values.size() * dtype_bytes(dtype));
    for (size_t i = 0; i < values.size(); ++i)
      store_f64(array.data.data(), dtype, i, values[i]);
    return set_tensor(*instance, index, array);
  };
  const auto first = [&](const char* name) {
    const size_t index = static_cast<size_t>(instance->find(name));
    return load_f64(instance->data(index), static_cast<Dtype>(instance->tensor(index).dtype), 0);
  };
  EXPECT_TRUE(set("target/y", Dtype::kI64, {7, -3}).ok());
  for (const double beyond : {4294967297.0, 2147483648.0, -2147483649.0, 9e18}) {
    const Status status = set("target/y", Dtype::kI64, {1, beyond});
    EXPECT_EQ(std::string(status.text.c_str()), "given: element 1 is " +
                                                    std::to_string(static_cast<int64_t>(beyond)) +
                                                    ", beyond i32, the type of the model's tensor");
    EXPECT_EQ(first("target/y"), 7);  // nothing was written
  }
  EXPECT_TRUE(set("target/y", Dtype::kI64, {2147483647.0, -2147483648.0}).ok());
  EXPECT_TRUE(set("target/y", Dtype::kU8, {255}).ok());
  EXPECT_TRUE(set("linear/kernel", Dtype::kF64, {0.1, 3e38}).ok());
  const Status status = set("linear/kernel", Dtype::kF64, {0.5, -1e39});
  EXPECT_EQ(std::string(status.text.c_str()),
            "given: element 1 is -1e+39, beyond f32, the type of the model's tensor");
  EXPECT_EQ(first("linear/kernel"), static_cast<double>(0.1F));
}

TEST(Resume, NamesEveryDifference) {
  const std::vector<gradc_rt_fact> facts = {
      {"layer hidden", "type=dense; units=8; activation=relu"},
      {"layer drop", "type=dropout; rate=0.5"},
      {"optimizer", "type=adam; learning_rate=constant; learning_rate.value=0.001"},
      {"loss of y", "type=mean_squared_error"}};
  TrainOptions options;
  options.epochs = 3;
  EXPECT_TRUE(resume_with(facts, facts, 7, options).ok());
  std::vector<gradc_rt_fact> now = facts;
  now[0].value = "type=dense; units=8; activation=tanh";
  now[1] = {"layer other", "type=dropout; rate=0.5"};
  now[2].value = "type=adam; learning_rate=constant; learning_rate.value=0.1";
  now[3].value = "type=mean_absolute_error";
  options.seed = 5;
  options.shuffle = false;
  const Status status = resume_with(facts, now, 8, options);
  for (const char* part :
       {"layer hidden: the checkpoint was made with activation=relu, this run has activation=tanh",
        "made with layer drop, this run has none", "made without layer other",
        "with learning_rate.value=0.001, this run has learning_rate.value=0.1",
        "with type=mean_squared_error, this run has type=mean_absolute_error",
        "seed 0, this run has 5", "shuffling on, this run has off", "other training data"})
    EXPECT_NE(strstr(status.text.c_str(), part), nullptr) << part << "\n" << status.text.c_str();
  EXPECT_EQ(strstr(status.text.c_str(), "units=8"), nullptr) << status.text.c_str();
}

TEST(Resume, EachDifferenceAloneIsRefused) {
  const std::vector<gradc_rt_fact> facts = {{"optimizer", "type=sgd; momentum=0.9"},
                                            {"layer a", "type=dense; units=18"}};
  TrainOptions options;
  options.epochs = 2;
  EXPECT_FALSE(resume_with(facts, facts, 8, options).ok()) << "other data of the same shape";
  for (const char* value : {"type=sgd; momentum=0.95", "type=sgd", "type=sgd; momentum=0.9; x=1"})
    EXPECT_FALSE(resume_with(facts, {{"optimizer", value}, facts[1]}, 7, options).ok()) << value;
  EXPECT_FALSE(resume_with(facts, {facts[0]}, 7, options).ok());
  EXPECT_FALSE(resume_with({facts[0]}, facts, 7, options).ok());
  EXPECT_FALSE(resume_with(facts, {facts[0], {"layer a", "type=dense; units=1"}}, 7, options).ok());
  TrainOptions seeded = options;
  seeded.seed = 1;
  EXPECT_FALSE(resume_with(facts, facts, 7, seeded).ok());
  TrainOptions patient = options;  // may change
  patient.early_stopping = {true, "loss", 9, 0, 0, false};
  EXPECT_TRUE(resume_with(facts, facts, 7, patient).ok());
}

}  // namespace
}  // namespace gradc::rt
