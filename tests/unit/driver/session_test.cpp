// The host API as its headers promise it: batches of fewer rows, sessions side by side on threads
// of their own, what happens to mistakes; in C++ and in C.
#include "gradc/session.h"

#include "gradc/gradc.h"
#include "tests/unit/driver/c_view.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace gradc::test {
namespace {

constexpr const char* kModel = R"({"name": "small", "inputs": [{"name": "x", "shape": [6]}],
  "layers": [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "batch_norm"},
             {"type": "dense", "units": 2, "name": "y"}],
  "training": {"loss": "mse", "optimizer": {"type": "sgd", "learning_rate": 0.05},
               "metrics": ["mae"], "batch_size": 16}})";

std::unique_ptr<Session> open(int64_t batch_size, int threads = 1) {
  SessionStatus status;
  auto session = Session::parse(
      kModel, "small.json",
      {.batch_size = batch_size, .threads = threads, .seed = 3, .has_seed = true}, &status);
  EXPECT_NE(session, nullptr) << status.message;
  return session;
}

/// Sixteen rows of inputs and targets.
struct Batch {
  std::vector<float> x = std::vector<float>(16 * 6), y = std::vector<float>(16 * 2);
  std::vector<const void*> inputs = {x.data()}, targets = {y.data()};
  Batch() {
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = std::sin(0.7F * static_cast<float>(i));
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = std::cos(1.3F * static_cast<float>(i));
  }
};

/// Stateful layers go on where the batch before ended, whatever the call, until they are reset; the
/// C door does the same.
TEST(Session, StatesGoFromBatchToBatch) {
  constexpr const char* text = R"({"inputs": [{"name": "x", "shape": [3, 2]}],
    "layers": [{"type": "gru", "units": 4, "stateful": true, "name": "r"}, {"type": "dense", "units": 2, "name": "y"}],
    "training": {"loss": "mse", "optimizer": "sgd", "batch_size": 16, "shuffle": false}})";
  SessionStatus status;
  const auto session = Session::parse(text, "s.json", {.seed = 3, .has_seed = true}, &status);
  ASSERT_NE(session, nullptr) << status.message;
  const Batch batch;
  std::vector<float> out(32);
  std::vector<void*> outputs = {out.data()};
  const auto predict = [&] {
    EXPECT_TRUE(session->predict(batch.inputs, outputs).ok());
    return out;
  };
  const std::vector<float> first = predict(), second = predict();
  EXPECT_NE(first, second);
  ASSERT_EQ(session->parameter("r/state_h").size(), 64U);
  ASSERT_TRUE(session->reset_states().ok());
  EXPECT_EQ(session->parameter("r/state_h")[5], 0.0F);
  EXPECT_EQ(predict(), first);
  EXPECT_EQ(predict(), second);
  float loss = 0, again = 0, anew = 0;
  ASSERT_TRUE(session->evaluate(batch.inputs, batch.targets, &loss).ok());
  ASSERT_TRUE(session->evaluate(batch.inputs, batch.targets, &again).ok());
  EXPECT_NE(loss, again);
  ASSERT_TRUE(session->reset_states().ok());
  ASSERT_TRUE(session->step(batch.inputs, batch.targets, &anew).ok());
  EXPECT_NE(session->parameter("r/state_h")[5], 0.0F);
  char error[256];
  gradc_session* other = gradc_session_parse(text, nullptr, error, sizeof error);
  ASSERT_NE(other, nullptr) << error;
  std::vector<float> state(64, 7.0F);
  const size_t bytes = state.size() * sizeof(float);
  EXPECT_EQ(gradc_session_set(other, "r/state_h", state.data(), bytes), GRADC_OK);
  EXPECT_EQ(gradc_session_reset_states(other), GRADC_OK);
  EXPECT_EQ(gradc_session_get(other, "r/state_h", state.data(), bytes), GRADC_OK);
  EXPECT_EQ(state, std::vector<float>(64));
  gradc_session_destroy(other);
}

TEST(Session, FewerRowsCountAsABatchOfThatSize) {
  const Batch batch;
  const auto large = open(16), exact = open(5);
  for (int step = 0; step < 4; ++step) {
    float a = 0, b = 0;
    ASSERT_TRUE(large->step(batch.inputs, batch.targets, &a, 5).ok());
    ASSERT_TRUE(exact->step(batch.inputs, batch.targets, &b).ok());
    EXPECT_NEAR(a, b, 1e-6F * b);
  }
  for (const char* name : {"dense/kernel", "batch_norm/moving_variance", "y/bias"}) {
    const auto a = large->parameter(name), b = exact->parameter(name);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_NEAR(a[i], b[i], 1e-5F) << name;
  }
  float loss_a = 0, loss_b = 0;
  std::vector<float> metric_a(1), metric_b(1);
  ASSERT_TRUE(large->evaluate(batch.inputs, batch.targets, &loss_a, metric_a, 5).ok());
  ASSERT_TRUE(exact->evaluate(batch.inputs, batch.targets, &loss_b, metric_b).ok());
  EXPECT_NEAR(loss_a, loss_b, 1e-5F);
  EXPECT_NEAR(metric_a[0], metric_b[0], 1e-5F);
  std::vector<float> out(16 * 2, -7.0F), five(5 * 2);
  std::vector<void*> outputs = {out.data()}, outputs_of_five = {five.data()};
  ASSERT_TRUE(large->predict(batch.inputs, outputs, 5).ok());
  ASSERT_TRUE(exact->predict(batch.inputs, outputs_of_five).ok());
  for (size_t i = 0; i < five.size(); ++i)
    EXPECT_NEAR(out[i], five[i], 1e-5F);
  EXPECT_EQ(out[10], -7.0F);  // the rows beyond are the caller's
}

TEST(Session, TrainingGoesOnFromACheckpoint) {
  const Scratch scratch;
  std::string table = "a,b,c,d,e,f,p,q\n";
  for (int i = 0; i < 40; ++i) {
    for (int k = 0; k < 8; ++k)
      table += (k > 0 ? "," : "") + std::to_string((i * (k + 3) + k) % 11 - 5);
    table += "\n";
  }
  write_text_file(scratch / "t.csv", table);
  TrainOptions options{.data = scratch / "t.csv:target=p,q", .epochs = 6};
  options.out = scratch / "whole.safetensors";
  std::vector<double> whole, first, rest;
  SessionStatus status = open(16)->train(options, &whole);
  ASSERT_TRUE(status.ok()) << status.message;

  options.checkpoint = scratch / "c";
  options.log = scratch / "log.jsonl";
  options.out.clear();
  options.resume = true;  // there is none yet: from the start
  options.epochs = 2;
  ASSERT_TRUE(open(16)->train(options, &first).ok());
  options.resume = false;
  status = open(16)->train(options);
  EXPECT_NE(status.message.find("--overwrite"), std::string::npos) << status.message;
  options.resume = true;
  options.epochs = 6;
  options.out = scratch / "parts.safetensors";
  status = open(16)->train(options, &rest);
  ASSERT_TRUE(status.ok()) << status.message;
  first.insert(first.end(), rest.begin(), rest.end());
  EXPECT_EQ(first, whole);
  EXPECT_EQ(read_file(scratch / "parts.safetensors"), read_file(scratch / "whole.safetensors"));
  const std::string log = read_file(scratch / "log.jsonl");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 6);

  options.resume = false;
  options.overwrite = true;
  options.epochs = 1;
  EXPECT_TRUE(open(16)->train(options).ok());
  options.weights = scratch / "nowhere";
  EXPECT_FALSE(open(16)->train(options).ok());
}

TEST(Session, SessionsRunSideBySide) {
  const auto train = [](std::vector<float>& kernel) {
    const Batch batch;
    const auto session = open(16, 2);
    for (int step = 0; step < 50; ++step)
      ASSERT_TRUE(session->step(batch.inputs, batch.targets).ok());
    const auto memory = session->parameter("dense/kernel");
    kernel.assign(memory.begin(), memory.end());
  };
  std::vector<float> a, b;
  std::thread other([&] { train(a); });
  train(b);
  other.join();
  ASSERT_FALSE(a.empty());
  EXPECT_EQ(a, b);
}

TEST(Session, MistakesAreTextsAndLeaveTheSessionUsable) {
  const Batch batch;
  const auto session = open(16);
  const std::vector<const void*> none, null = {nullptr};
  EXPECT_EQ(session->step(none, batch.targets).message,
            "error: 0 inputs were given, the model has 1\n");
  EXPECT_EQ(session->step(batch.inputs, none).message,
            "error: 0 targets were given, the model has 1\n");
  EXPECT_NE(session->step(null, batch.targets).message.find("NULL"), std::string::npos);
  EXPECT_NE(session->step(batch.inputs, batch.targets, nullptr, 17).message.find("rows is 17"),
            std::string::npos);
  EXPECT_FALSE(session->step(batch.inputs, batch.targets, nullptr, -1).ok());
  EXPECT_TRUE(session->parameter("nobody").empty());
  EXPECT_FALSE(session->load_weights("/no/such/file").ok());
  EXPECT_TRUE(session->step(batch.inputs, batch.targets).ok());
  SessionStatus status;
  EXPECT_EQ(Session::parse("{", "broken.json", {}, &status), nullptr);
  EXPECT_NE(status.message.find("broken.json:1"), std::string::npos) << status.message;
  EXPECT_EQ(Session::load("/no/such/model.json", {}, &status), nullptr);
  EXPECT_NE(status.message.find("no such file"), std::string::npos) << status.message;
}

TEST(CApi, StepsReadsAndReportsAsTheCppApi) {
  const Batch batch;
  char error[256] = "";
  EXPECT_EQ(gradc_session_parse("[]", nullptr, error, sizeof error), nullptr);
  EXPECT_GT(std::strlen(error), 0U);
  gradc_options options = {};
  options.batch_size = 16;
  options.threads = options.has_seed = 1;
  options.seed = 3;
  gradc_session* session = gradc_session_parse(kModel, &options, error, sizeof error);
  ASSERT_NE(session, nullptr) << error;
  float loss = 0, same = 0;
  const CView x(batch.x.data(), 5, 6), y(batch.y.data(), 5, 2);
  EXPECT_EQ(gradc_session_step(session, x, 1, y, 1, &loss), GRADC_OK);
  ASSERT_TRUE(open(16)->step(batch.inputs, batch.targets, &same, 5).ok());
  EXPECT_EQ(loss, same);
  const gradc_view two[] = {*x, *x};
  EXPECT_EQ(gradc_session_step(session, two, 2, y, 1, &loss), GRADC_ERROR);
  EXPECT_STREQ(gradc_last_error(session), "error: 2 inputs were given, the model has 1\n");
  std::vector<float> bias(2);
  EXPECT_EQ(gradc_session_get(session, "y/bias", bias.data(), 8), GRADC_OK);
  EXPECT_EQ(gradc_session_get(session, "y/bias", bias.data(), 4), GRADC_INVALID_ARGUMENT);
  EXPECT_EQ(gradc_session_get(session, "nobody", bias.data(), 8), GRADC_INVALID_ARGUMENT);
  EXPECT_EQ(gradc_session_step(nullptr, nullptr, 0, nullptr, 0, nullptr), GRADC_INVALID_ARGUMENT);
  gradc_session_destroy(session);
  gradc_session_destroy(nullptr);
}

}  // namespace
}  // namespace gradc::test
