// Training by hand: gradients(), a loss of the host's own, apply_gradients(), the optimizer's
// numbers set while training goes on; all against step(), which knows nothing of them.
#include "gradc/gradc.h"
#include "gradc/session.h"
#include "tests/unit/driver/c_view.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace gradc::test {
namespace {

/// Two inputs' worth of everything that a step changes: moving averages, dropout, a constraint, a
/// kernel that is restated, carried states none.
std::string model_with(const std::string& optimizer) {
  return R"({"name": "m", "inputs": [{"name": "x", "shape": [6]}],
    "layers": [
      {"type": "spectral_normalization", "layer": {"type": "dense", "units": 9, "activation": "tanh"}},
      {"type": "batch_norm"}, {"type": "dropout", "rate": 0.25},
      {"type": "dense", "units": 5, "activation": "gelu", "kernel_constraint": {"type": "max_norm", "max_value": 1.0},
       "kernel_regularizer": {"type": "l2", "l2": 0.01}},
      {"type": "dense", "units": 2, "name": "y"}],
    "training": {"loss": "mse", "batch_size": 8, "optimizer": )" +
         optimizer + "}}";
}

std::unique_ptr<Session> session_of(const std::string& text, SessionOptions options = {}) {
  SessionStatus status;
  options.seed = 5;
  options.has_seed = true;
  auto session = Session::parse(text, "m.json", options, &status);
  EXPECT_NE(session, nullptr) << status.message;
  return session;
}

struct Batch {
  std::vector<float> x = std::vector<float>(8 * 6), y = std::vector<float>(8 * 2);
  std::vector<const void*> inputs = {x.data()}, targets = {y.data()};
  explicit Batch(int seed = 0) {
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = std::sin(0.7F * static_cast<float>(i) + static_cast<float>(seed));
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = std::cos(1.3F * static_cast<float>(i) + static_cast<float>(seed));
  }
};

void expect_ok(const SessionStatus& status) {
  EXPECT_TRUE(status.ok()) << status.message;
}

/// Every parameter, state and optimizer state.
std::string everything(Session& session) {
  std::string bytes;
  for (const TensorInfo& tensor : session.tensors()) {
    if (tensor.kind == TensorKind::kGradient) continue;
    const auto memory = session.tensor_memory(tensor.name);
    bytes.append(reinterpret_cast<const char*>(memory.data()), memory.size());
  }
  return bytes;
}

std::vector<float> gradient(Session& session, const std::string& name) {
  const auto memory = session.parameter("gradient/" + name);
  return {memory.begin(), memory.end()};
}

// Every row of the table of optimizers, in the settings that change what a step is made of.
const char* const kOptimizers[] = {
    R"("sgd")",
    R"({"type": "sgd", "momentum": 0.9, "nesterov": true, "weight_decay": 0.01})",
    R"({"type": "momentum", "learning_rate": 0.02})",
    R"("nesterov")",
    R"({"type": "adagrad", "epsilon_as": "pytorch"})",
    R"("adadelta")",
    R"({"type": "rmsprop", "momentum": 0.5, "centered": true})",
    R"({"type": "adam", "amsgrad": true})",
    R"({"type": "adam", "epsilon_as": "pytorch", "clipnorm": 0.05})",
    R"("adamw")",
    R"({"type": "adamax", "epsilon_as": "pytorch"})",
    R"("adamax")",
    R"("nadam")",
    R"({"type": "lion", "clipvalue": 0.01})",
    R"("adafactor")",
    R"({"type": "ftrl", "l1_regularization_strength": 0.001, "l2_regularization_strength": 0.01})",
    R"("lamb")",
    R"("muon")",
    R"({"type": "adam", "global_clipnorm": 0.1, "learning_rate": {"type": "cosine_decay",
        "initial_learning_rate": 0.01, "decay_steps": 7}})"};

class ByHand : public testing::TestWithParam<const char*> {};

/// Whole batches and smaller ones, in any order.
TEST_P(ByHand, GradientsAndTheirApplicationAreAStep) {
  const auto whole = session_of(model_with(GetParam())),
             halves = session_of(model_with(GetParam()));
  for (int step = 0; step < 5; ++step) {
    const Batch batch(step);
    const int64_t rows = step == 2 ? 5 : 0;
    float one = 0, other = 0;
    expect_ok(whole->step(batch.inputs, batch.targets, &one, rows));
    expect_ok(halves->gradients(batch.inputs, batch.targets, &other, {.rows = rows}));
    EXPECT_EQ(one, other);
    expect_ok(halves->apply_gradients());
    ASSERT_EQ(everything(*whole), everything(*halves)) << "step " << step;
  }
}

/// A number that is set is the number that the model could have had, to the last bit.
TEST_P(ByHand, NumbersThatAreSetAreThoseOfTheFile) {
  const auto first = session_of(model_with(GetParam()));
  const std::vector<std::string> names = first->hyperparameters();
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), "learning_rate");
  const Batch batch;
  for (const std::string& name : names) {
    const std::optional<double> value = first->hyperparameter(name);
    ASSERT_TRUE(value.has_value());
    // Something else that the option allows.
    const double other = *value == 0.0 ? 0.125 : *value * 0.5;
    std::string optimizer = GetParam();
    if (optimizer.front() == '"') optimizer = "{\"type\": " + optimizer + "}";
    const auto at = optimizer.find("\"" + name + "\":");
    if (name == "learning_rate" && at != std::string::npos) optimizer = R"({"type": "sgd"})";
    if (at == std::string::npos)
      optimizer.insert(1, "\"" + name + "\": " + std::to_string(other) + ", ");
    else if (name != "learning_rate")
      optimizer.replace(at, optimizer.find_first_of(",}", at) - at,
                        "\"" + name + "\": " + std::to_string(other));
    if (name == "learning_rate" && at != std::string::npos) continue;  // a schedule: below
    // What the file would say in as many digits as were written.
    const double written = std::stod(std::to_string(other));
    const auto given = session_of(model_with(optimizer)), set = session_of(model_with(GetParam()));
    expect_ok(set->set_hyperparameter(name, written));
    EXPECT_EQ(set->hyperparameter(name), written);
    const auto by_hand = session_of(model_with(GetParam()));
    expect_ok(by_hand->set_hyperparameter(name, written));
    for (int step = 0; step < 3; ++step) {
      expect_ok(given->step(batch.inputs, batch.targets));
      expect_ok(set->step(batch.inputs, batch.targets));
      expect_ok(by_hand->gradients(batch.inputs, batch.targets));
      expect_ok(by_hand->apply_gradients());
    }
    EXPECT_EQ(everything(*given), everything(*set)) << name << " of " << optimizer;
    EXPECT_EQ(everything(*given), everything(*by_hand)) << name << " of " << optimizer;
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, ByHand, testing::ValuesIn(kOptimizers));

TEST(HostGradients, AScheduleIsReadReplacedAndGivenBack) {
  const std::string text =
      model_with(R"({"type": "sgd", "learning_rate": {"type": "exponential_decay",
      "initial_learning_rate": 0.5, "decay_steps": 1, "decay_rate": 0.5}})");
  const auto a = session_of(text), b = session_of(text);
  const Batch batch;
  EXPECT_NEAR(*a->hyperparameter("learning_rate"), 0.5, 1e-6);
  expect_ok(a->step(batch.inputs, batch.targets));
  EXPECT_NEAR(*a->hyperparameter("learning_rate"), 0.25, 1e-6);
  expect_ok(b->step(batch.inputs, batch.targets));
  expect_ok(b->set_hyperparameter("learning_rate", 0.0));
  const std::vector<float> before(b->parameter("y/kernel").begin(), b->parameter("y/kernel").end());
  expect_ok(b->step(batch.inputs, batch.targets));
  EXPECT_EQ(before,
            std::vector<float>(b->parameter("y/kernel").begin(), b->parameter("y/kernel").end()));
  expect_ok(b->set_hyperparameter("learning_rate", std::numeric_limits<double>::quiet_NaN()));
  EXPECT_NEAR(*b->hyperparameter("learning_rate"), 0.125, 1e-6);
  // The tuned step with the schedule is the step with the schedule.
  const auto c = session_of(text), d = session_of(text);
  expect_ok(d->set_hyperparameter("learning_rate", std::numeric_limits<double>::quiet_NaN()));
  for (int step = 0; step < 4; ++step) {
    expect_ok(c->step(batch.inputs, batch.targets));
    expect_ok(d->step(batch.inputs, batch.targets));
  }
  EXPECT_EQ(everything(*c), everything(*d));
}

constexpr const char* kSmooth = R"({"name": "m", "inputs": [{"name": "x", "shape": [6]}],
    "layers": [{"type": "dense", "units": 7, "activation": "tanh"}, {"type": "dense", "units": 2, "name": "y"}],
    "training": {"loss": "mse", "batch_size": 8, "optimizer": "adam"}})";

/// What the gradients say of the loss is what the loss does.
TEST(HostGradients, AreThoseOfFiniteDifferences) {
  const auto session = session_of(kSmooth);
  Batch batch;
  std::vector<float> dx(8 * 6);
  std::vector<void*> buffers = {dx.data()};
  float loss = 0;
  expect_ok(session->gradients(batch.inputs, batch.targets, &loss, {.inputs = {buffers, 0}}));
  const std::string before = everything(*session);
  const auto loss_now = [&] {
    float now = 0;
    expect_ok(session->evaluate(batch.inputs, batch.targets, &now));
    return static_cast<double>(now);
  };
  EXPECT_FLOAT_EQ(loss, static_cast<float>(loss_now()));
  const auto slope = [&](float& value) {
    const float kept = value;
    value = kept + 0.01F;
    const double high = loss_now();
    value = kept - 0.01F;
    const double low = loss_now();
    value = kept;
    return (high - low) / 0.02;
  };
  double largest = 0.0;
  for (size_t i = 0; i < dx.size(); i += 5) {
    EXPECT_NEAR(static_cast<double>(dx[i]), slope(batch.x[i]), 2e-4) << i;
    largest = std::max(largest, std::abs(static_cast<double>(dx[i])));
  }
  EXPECT_GT(largest, 1e-2);
  for (const char* name : {"dense/kernel", "dense/bias", "y/kernel", "y/bias"}) {
    const std::vector<float> gradients = gradient(*session, name);
    const auto values = session->parameter(name);
    ASSERT_EQ(gradients.size(), values.size());
    for (size_t i = 0; i < values.size(); i += 3)
      EXPECT_NEAR(static_cast<double>(gradients[i]), slope(values[i]), 2e-3) << name << i;
  }
  // Of inputs alone: the same numbers, and nothing changes.
  std::vector<float> alone(8 * 6);
  buffers = {alone.data()};
  expect_ok(session->gradients(batch.inputs, batch.targets, nullptr,
                               {.parameters = false, .inputs = {buffers, 0}}));
  EXPECT_EQ(alone, dx);
  EXPECT_EQ(everything(*session), before);
}

/// The model's own loss, made by the host: the same gradients, dropout drawn once for both.
TEST(HostGradients, ALossOfTheHostsOwn) {
  for (const int64_t rows : {int64_t{8}, int64_t{5}}) {
    const std::string text = model_with(R"("adam")");
    // Without the regularizer, which is the model's loss.
    std::string plain = text;
    const auto at = plain.find(",\n       \"kernel_regularizer\"");
    plain.erase(at, plain.find("}", at) + 1 - at);
    const auto model = session_of(plain), by_host = session_of(plain);
    const Batch batch;
    std::vector<float> out(8 * 2), dy(8 * 2), dx(8 * 6), expected(8 * 6);
    std::vector<void*> outputs = {out.data()}, into = {dx.data()}, wanted = {expected.data()};
    const std::string before = everything(*by_host);
    expect_ok(by_host->forward(batch.inputs, outputs, rows));
    EXPECT_EQ(everything(*by_host), before);
    float loss = 0;
    expect_ok(model->gradients(batch.inputs, batch.targets, &loss,
                               {.inputs = {wanted, rows}, .rows = rows}));
    double mse = 0.0;
    const size_t count = static_cast<size_t>(rows) * 2;
    for (size_t i = 0; i < count; ++i) {
      dy[i] = 2.0F * (out[i] - batch.y[i]) / static_cast<float>(count);
      mse += static_cast<double>((out[i] - batch.y[i]) * (out[i] - batch.y[i]));
    }
    EXPECT_NEAR(static_cast<double>(loss), mse / static_cast<double>(count), 1e-5);
    const std::vector<const void*> seeds = {dy.data()};
    expect_ok(by_host->backward(batch.inputs, seeds, {.inputs = {into, rows}, .rows = rows}));
    for (size_t i = 0; i < static_cast<size_t>(rows) * 6; ++i)
      EXPECT_NEAR(dx[i], expected[i], 1e-6F) << i;
    for (size_t i = static_cast<size_t>(rows) * 6; i < dx.size(); ++i)
      EXPECT_EQ(dx[i], 0.0F);  // the rows beyond are the caller's
    for (const TensorInfo& tensor : model->tensors()) {
      if (tensor.kind != TensorKind::kParameter) continue;
      const std::vector<float> a = gradient(*model, tensor.name),
                               b = gradient(*by_host, tensor.name);
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 0; i < a.size(); ++i)
        EXPECT_NEAR(a[i], b[i], 2e-6F) << tensor.name << i;
    }
    // Moving averages moved as in a step.
    const auto a = model->parameter("batch_norm/moving_mean"),
               b = by_host->parameter("batch_norm/moving_mean");
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
    EXPECT_NE(everything(*by_host), before);
  }
}

TEST(HostGradients, NeedNoTrainingSection) {
  const auto session = session_of(
      R"({"inputs": [{"name": "a", "shape": [3]}, {"name": "n", "shape": [2], "dtype": "int32"}],
    "layers": [{"type": "embedding", "input_dim": 4, "output_dim": 3, "inputs": ["n"], "name": "e"},
               {"type": "flatten"}, {"type": "concatenate", "inputs": ["a", "flatten"]},
               {"type": "dense", "units": 1, "name": "y"}]})",
      {.batch_size = 2});
  ASSERT_NE(session, nullptr);
  const float a[] = {1, 2, 3, -1, 0, 1};
  const int32_t n[] = {0, 3, 1, 1};
  const float dy[] = {1, 2};
  float da[6] = {};
  const std::vector<const void*> inputs = {a, n}, seeds = {dy};
  std::vector<void*> buffers = {da};
  expect_ok(session->backward(inputs, seeds, {.inputs = {buffers, 0}}));
  const auto kernel = session->parameter("y/kernel");
  for (size_t row = 0; row < 2; ++row) {
    for (size_t i = 0; i < 3; ++i)
      EXPECT_FLOAT_EQ(da[row * 3 + i], kernel[i] * dy[row]);
  }
  const std::vector<float> dk = gradient(*session, "y/kernel");
  for (size_t i = 0; i < 3; ++i)
    EXPECT_FLOAT_EQ(dk[i], a[i] * dy[0] + a[3 + i] * dy[1]);
  EXPECT_NE(session->apply_gradients().message.find("no \"training\" section"), std::string::npos);
  EXPECT_NE(session->set_hyperparameter("learning_rate", 1).message.find("has none"),
            std::string::npos);
  EXPECT_TRUE(session->hyperparameters().empty());
}

/// Dropout, moving averages and smaller batches too.
TEST(HostGradients, NeedNoTrainingSectionForLayersThatTrainingChanges) {
  const auto session = session_of(
      R"({"inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "batch_norm"}, {"type": "dropout", "rate": 0.5}, {"type": "dense", "units": 2, "name": "y"}]})",
      {.batch_size = 4});
  ASSERT_NE(session, nullptr);
  const float x[] = {1, 2, 3, -1, 0, 1, 2, 2, -2, 0, 1, 0}, dy[] = {1, 2, 1, 0, -1, 1, 0, 1};
  float out[8] = {}, again[8] = {}, dx[12] = {};
  const std::vector<const void*> inputs = {x}, seeds = {dy};
  std::vector<void*> outputs = {out}, twice = {again}, into = {dx};
  for (const int64_t rows : {4, 3}) {
    const std::vector<float> mean(session->parameter("batch_norm/moving_mean").begin(),
                                  session->parameter("batch_norm/moving_mean").end());
    expect_ok(session->forward(inputs, outputs, rows));
    expect_ok(session->forward(inputs, twice, rows));
    EXPECT_TRUE(std::equal(out, out + 2 * rows, again));
    expect_ok(session->backward(inputs, seeds, {.inputs = {into, rows}, .rows = rows}));
    const auto moved = session->parameter("batch_norm/moving_mean");
    EXPECT_FALSE(std::equal(mean.begin(), mean.end(), moved.begin())) << rows;
  }
}

TEST(HostGradients, MistakesAreTexts) {
  const auto session = session_of(kSmooth);
  const Batch batch;
  const auto text = [](const SessionStatus& status) { return status.message; };
  EXPECT_NE(text(session->set_hyperparameter("beta_1", 1.0))
                .find("beta_1 is 1, expected at least 0 and below 1"),
            std::string::npos);
  EXPECT_NE(text(session->set_hyperparameter("momentum", 0.5)).find("no number \"momentum\""),
            std::string::npos);
  EXPECT_NE(text(session->set_hyperparameter("learning_rate", -1)).find("at least 0"),
            std::string::npos);
  EXPECT_FALSE(session->hyperparameter("momentum").has_value());
  EXPECT_FALSE(session->gradients(batch.inputs, {}).ok());
  EXPECT_FALSE(session->backward(batch.inputs, {}).ok());
  EXPECT_FALSE(
      session->gradients(batch.inputs, batch.targets, nullptr, {.parameters = false}).ok());
  EXPECT_FALSE(session->gradients(batch.inputs, batch.targets, nullptr, {.rows = 9}).ok());
  EXPECT_TRUE(session->gradients(batch.inputs, batch.targets).ok());
  const auto by_rows = session_of(R"({"inputs": [{"name": "n", "shape": [2], "dtype": "int32"}],
    "layers": [{"type": "embedding", "input_dim": 4, "output_dim": 3, "sparse": true}, {"type": "flatten"}, {"type": "dense", "units": 1, "name": "y"}],
    "training": {"loss": "mse", "optimizer": "adam", "batch_size": 2}})");
  ASSERT_NE(by_rows, nullptr);
  EXPECT_NE(text(by_rows->apply_gradients()).find("trained by rows"), std::string::npos);
}

TEST(HostGradients, ACheckedSessionLooksAtWhatItIsGiven) {
  const auto session = session_of(kSmooth, {.checked = true});
  Batch batch;
  batch.x[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(
      session->gradients(batch.inputs, batch.targets).message.find("example 1, value 1 is nan"),
      std::string::npos);
}

TEST(HostGradients, TheCDoorIsTheSame) {
  char error[256];
  gradc_options options{};
  options.has_seed = 1;
  options.seed = 5;
  gradc_session* session = gradc_session_parse(kSmooth, &options, error, sizeof error);
  ASSERT_NE(session, nullptr) << error;
  const auto same = session_of(kSmooth);
  const Batch batch;
  float a = 0, b = 0;
  std::vector<float> out(8 * 2), dx(8 * 6), wanted(8 * 6);
  const CView x(batch.x.data(), 8, 6), y(batch.y.data(), 8, 2);
  const CView outputs(out.data(), 8, 2), into(dx.data(), 8, 6, "x");
  std::vector<void*> buffers = {wanted.data()};
  EXPECT_EQ(gradc_session_hyperparameter_name(session, 0), std::string("learning_rate"));
  EXPECT_EQ(gradc_session_hyperparameter_name(session, 99), nullptr);
  EXPECT_EQ(gradc_session_set_hyperparameter(session, "beta_1", 0.5), GRADC_OK);
  expect_ok(same->set_hyperparameter("beta_1", 0.5));
  double value = 0;
  EXPECT_EQ(gradc_session_hyperparameter(session, "beta_1", &value), GRADC_OK);
  EXPECT_EQ(value, 0.5);
  EXPECT_EQ(gradc_session_hyperparameter(session, "gamma", &value), GRADC_INVALID_ARGUMENT);
  EXPECT_EQ(gradc_session_gradients(session, x, 1, y, 1, &a, 1, into, 1), GRADC_OK);
  expect_ok(same->gradients(batch.inputs, batch.targets, &b, {.inputs = {buffers, 0}}));
  EXPECT_EQ(a, b);
  EXPECT_EQ(dx, wanted);
  EXPECT_EQ(gradc_session_apply_gradients(session), GRADC_OK);
  expect_ok(same->apply_gradients());
  EXPECT_EQ(gradc_session_forward(session, x, 1, outputs, 1), GRADC_OK);
  EXPECT_EQ(gradc_session_backward(session, x, 1, outputs, 1, 1, nullptr, 0), GRADC_OK);
  std::vector<float> out_too(8 * 2);
  std::vector<void*> outputs_too = {out_too.data()};
  expect_ok(same->forward(batch.inputs, outputs_too));
  EXPECT_EQ(out, out_too);
  const std::vector<const void*> seeds_too = {out_too.data()};
  expect_ok(same->backward(batch.inputs, seeds_too));
  size_t bytes = 0;
  const void* memory = gradc_session_memory(session, "gradient/dense/kernel", &bytes);
  const auto expected = same->parameter("gradient/dense/kernel");
  ASSERT_EQ(bytes, expected.size_bytes());
  EXPECT_EQ(std::memcmp(memory, expected.data(), bytes), 0);
  gradc_session_destroy(session);
}

}  // namespace
}  // namespace gradc::test
