// One compiled model, several sessions, several threads: what each computes is what it computes
// alone. With -DGRADC_SANITIZE=thread this program is what ThreadSanitizer looks at.
#include "gradc/gradc.h"
#include "gradc/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace gradc::test {
namespace {

constexpr const char* kModel = R"({"name": "m", "inputs": [{"name": "x", "shape": [6]}],
    "layers": [{"type": "dense", "units": 16, "activation": "tanh"}, {"type": "batch_norm"},
               {"type": "dropout", "rate": 0.2}, {"type": "dense", "units": 2, "name": "y"}],
    "training": {"loss": "mse", "batch_size": 8, "optimizer": "adam"}})";

std::unique_ptr<Session> open(uint64_t seed, int threads = 1) {
  SessionStatus status;
  auto session = Session::parse(kModel, "m.json",
                                {.threads = threads, .seed = seed, .has_seed = true}, &status);
  EXPECT_NE(session, nullptr) << status.message;
  return session;
}

std::unique_ptr<Session> another(Session& session, bool share, const SessionOptions& options = {}) {
  SessionStatus status;
  auto made = session.another(options, share, &status);
  EXPECT_NE(made, nullptr) << status.message;
  return made;
}

struct Rows {
  std::vector<float> x, y;
  explicit Rows(size_t rows) : x(rows * 6), y(rows * 2) {
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = std::sin(0.7F * static_cast<float>(i));
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = std::cos(1.3F * static_cast<float>(i));
  }
};

/// Steps, gradients by hand and an evaluation, which compile as they come; the weights after it.
std::vector<float> train(Session& session) {
  const Rows rows(8);
  const void* inputs[] = {rows.x.data()};
  const void* targets[] = {rows.y.data()};
  float loss = 0.0F;
  for (int step = 0; step < 6; ++step) {
    EXPECT_TRUE(session.step(inputs, targets, &loss, step % 2 == 0 ? 8 : 5).ok());
    EXPECT_TRUE(session.gradients(inputs, targets).ok());
    EXPECT_TRUE(session.apply_gradients().ok());
    EXPECT_TRUE(session.evaluate(inputs, targets, &loss).ok());
  }
  EXPECT_TRUE(session.set_hyperparameter("learning_rate", 0.01).ok());
  EXPECT_TRUE(session.step(inputs, targets).ok());
  const std::span<float> kernel = session.parameter("dense/kernel");
  return {kernel.begin(), kernel.end()};
}

std::vector<float> predict(Session& session) {
  const Rows rows(50);
  std::vector<float> out(50 * 2);
  const void* inputs[] = {rows.x.data()};
  void* outputs[] = {out.data()};
  EXPECT_TRUE(session.predict(inputs, outputs, 50).ok());
  return out;
}

void beside(const std::vector<std::function<void()>>& work) {
  std::vector<std::thread> threads;
  for (const auto& one : work)
    threads.emplace_back(one);
  for (std::thread& thread : threads)
    thread.join();
}

TEST(Shared, SessionsOfOneModelTrainApartOnThreadsOfTheirOwn) {
  const std::vector<float> alone[] = {train(*open(1)), train(*open(2))};
  const auto first = open(1, 2);
  const auto second = another(*first, false, {.threads = 2, .seed = 2, .has_seed = true});
  std::vector<float> got[2];
  beside({[&] { got[0] = train(*first); }, [&] { got[1] = train(*second); }});
  EXPECT_EQ(got[0], alone[0]);
  EXPECT_EQ(got[1], alone[1]);
  EXPECT_NE(got[0], got[1]);
}

/// Made on threads too, while the first compiles.
TEST(Shared, SessionsAreMadeWhileOthersWork) {
  const auto first = open(1);
  const std::vector<float> expected = train(*open(3));
  std::vector<float> got[2];
  const auto make_and_train = [&](size_t i) {
    const auto mine = another(*first, false, {.seed = 3, .has_seed = true});
    got[i] = train(*mine);
  };
  beside({[&] { train(*first); }, [&] { make_and_train(0); }, [&] { make_and_train(1); }});
  EXPECT_EQ(got[0], expected);
  EXPECT_EQ(got[1], expected);
}

TEST(Shared, SharedWeightsAreReadSideBySide) {
  const auto first = open(1);
  train(*first);
  const std::vector<float> expected = predict(*first);
  const auto same = another(*first, true), larger = another(*first, true, {.batch_size = 32});
  EXPECT_EQ(same->parameter("dense/kernel").data(), first->parameter("dense/kernel").data());
  EXPECT_EQ(larger->parameter("y/bias").data(), first->parameter("y/bias").data());
  EXPECT_EQ(larger->batch_size(), 32);
  std::vector<float> got[3];
  beside({[&] { got[0] = predict(*first); }, [&] { got[1] = predict(*same); },
          [&] { got[2] = predict(*larger); }});
  for (const std::vector<float>& one : got)
    EXPECT_EQ(one, expected);
}

/// A step of one is a step of all; gradients are each session's own.
TEST(Shared, WhatOneTrainsTheOthersSee) {
  const auto first = open(1), alone = open(1);
  const auto other = another(*first, true);
  const Rows rows(8);
  const void* inputs[] = {rows.x.data()};
  const void* targets[] = {rows.y.data()};
  ASSERT_TRUE(first->gradients(inputs, targets).ok());
  EXPECT_NE(first->parameter("gradient/y/bias")[0], 0.0F);
  EXPECT_EQ(other->parameter("gradient/y/bias")[0], 0.0F);
  ASSERT_TRUE(first->apply_gradients().ok());
  ASSERT_TRUE(other->step(inputs, targets).ok());
  for (int step = 0; step < 2; ++step)
    ASSERT_TRUE(alone->step(inputs, targets).ok());
  const std::span<float> a = alone->parameter("dense/kernel"), b = first->parameter("dense/kernel");
  EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
}

TEST(Shared, SessionsEndInAnyOrder) {
  auto first = open(1);
  train(*first);
  const std::vector<float> expected = predict(*first);
  auto second = another(*first, true);
  first.reset();
  EXPECT_EQ(predict(*second), expected);
  const auto third = another(*second, true);
  second.reset();
  EXPECT_EQ(predict(*third), expected);
  const auto apart = another(*third, false, {.seed = 9, .has_seed = true});
  EXPECT_NE(predict(*apart), expected);
}

TEST(Shared, TheCDoorIsTheSame) {
  char error[256];
  gradc_session* first = gradc_session_parse(kModel, nullptr, error, sizeof error);
  ASSERT_NE(first, nullptr) << error;
  gradc_session* second = gradc_session_another(first, nullptr, 1, error, sizeof error);
  ASSERT_NE(second, nullptr) << error;
  EXPECT_EQ(gradc_session_memory(first, "y/kernel", nullptr),
            gradc_session_memory(second, "y/kernel", nullptr));
  gradc_session_destroy(first);
  float bias = -1.0F;
  EXPECT_EQ(gradc_session_get(second, "y/bias", &bias, 4), GRADC_INVALID_ARGUMENT);  // it has two
  float biases[2] = {-1.0F, -1.0F};
  EXPECT_EQ(gradc_session_get(second, "y/bias", biases, 8), GRADC_OK);
  EXPECT_EQ(biases[0], 0.0F);
  gradc_session_destroy(second);
  EXPECT_EQ(gradc_session_another(nullptr, nullptr, 0, error, sizeof error), nullptr);
}

}  // namespace
}  // namespace gradc::test
