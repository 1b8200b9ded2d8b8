// What a host may count on: saved training goes on, impossible values are told on request, nothing
// it does wrong and nothing the system refuses ends its process.
#include "gradc/gradc.h"
#include "gradc/session.h"
#include "tests/support/sanitized.h"
#include "tests/unit/driver/c_view.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace gradc::test {
namespace {

std::string model_with(const std::string& optimizer) {
  return R"({"name": "m", "inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "dense", "units": 2}],
    "training": {"loss": "mse", "batch_size": 4, "optimizer": )" +
         optimizer + "}}";
}

const float kX[12] = {1, 2, 3, -1, 0, 1, 0.5F, 0.5F, 0.5F, 2, -2, 1};
const float kY[8] = {1, 2, 3, 4, 0, 1, 0, -1};
const void* const kInputs[] = {kX};
const void* const kTargets[] = {kY};
const CView kCInput(kX, 4, 3), kCTarget(kY, 4, 2);

std::unique_ptr<Session> session_of(const std::string& text, SessionOptions options = {}) {
  SessionStatus status;
  auto session = Session::parse(text, "m.json", options, &status);
  EXPECT_NE(session, nullptr) << status.message;
  return session;
}

/// Every parameter, state and optimizer state.
std::string everything(Session& session) {
  std::string bytes;
  for (const TensorInfo& tensor : session.tensors()) {
    const auto memory = session.tensor_memory(tensor.name);
    bytes.append(reinterpret_cast<const char*>(memory.data()), memory.size());
  }
  return bytes;
}

void steps(Session& session, int count) {
  for (int i = 0; i < count; ++i)
    ASSERT_TRUE(session.step(kInputs, kTargets).ok());
}

TEST(Hosts, TrainingGoesOnWhereItWasSaved) {
  const Scratch folder;
  const std::string file = folder / "w.safetensors";
  for (const char* optimizer :
       {R"("adam")", R"({"type": "sgd", "momentum": 0.9})", R"("rmsprop")", R"("adagrad")",
        R"({"type": "adam", "learning_rate": {"type": "exponential_decay",
            "initial_learning_rate": 0.05, "decay_steps": 2, "decay_rate": 0.5}})"}) {
    const auto first = session_of(model_with(optimizer));
    steps(*first, 5);
    ASSERT_TRUE(first->save(file, true).ok());
    const auto second = session_of(model_with(optimizer), {.seed = 99, .has_seed = true});
    ASSERT_TRUE(second->load_weights(file).ok());
    EXPECT_EQ(everything(*first), everything(*second)) << optimizer;
    steps(*first, 3);
    steps(*second, 3);
    EXPECT_EQ(everything(*first), everything(*second)) << optimizer;
    // Left on request: the weights are the file's, the optimizer begins anew.
    const auto anew = session_of(model_with(optimizer));
    const std::string fresh = everything(*anew);
    ASSERT_TRUE(anew->load_weights(file, false).ok());
    for (const TensorInfo& tensor : anew->tensors()) {
      if (tensor.kind != TensorKind::kOptimizerState) continue;
      for (const std::byte b :
           anew->tensor_memory(tensor.name)
               .first(std::min<size_t>(4, anew->tensor_memory(tensor.name).size())))
        if (tensor.name == "optimizer/iteration") {
          EXPECT_EQ(b, std::byte{0});
        }
    }
    steps(*anew, 3);
    EXPECT_NE(everything(*anew), everything(*second)) << optimizer;
    // A file without the state leaves it as it is.
    ASSERT_TRUE(first->save(file, false).ok());
    EXPECT_TRUE(second->load_weights(file).ok());
  }
}

TEST(Hosts, TheCAbiTakesTheOptimizersStateToo) {
  const Scratch folder;
  const std::string file = folder / "w.safetensors", text = model_with(R"("adam")");
  char error[512];
  gradc_session* a = gradc_session_parse(text.c_str(), nullptr, error, sizeof error);
  gradc_session* b = gradc_session_parse(text.c_str(), nullptr, error, sizeof error);
  ASSERT_NE(a, nullptr);
  ASSERT_NE(b, nullptr);
  const auto iteration = [](gradc_session* session) {
    int64_t value = -1;
    EXPECT_EQ(gradc_session_get(session, "optimizer/iteration", &value, sizeof value), GRADC_OK)
        << gradc_last_error(session);
    return value;
  };
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(gradc_session_step(a, kCInput, 1, kCTarget, 1, nullptr), GRADC_OK);
  ASSERT_EQ(gradc_session_save(a, file.c_str(), 1), GRADC_OK);
  ASSERT_EQ(gradc_session_load_weights_only(b, file.c_str()), GRADC_OK);
  EXPECT_EQ(iteration(b), 0);
  ASSERT_EQ(gradc_session_load_weights(b, file.c_str()), GRADC_OK);
  EXPECT_EQ(iteration(b), 3);
  gradc_session_destroy(a);
  gradc_session_destroy(b);
}

constexpr const char* kClassifier =
    R"({"name": "c", "inputs": [{"name": "word", "shape": [2], "dtype": "int32"}],
  "layers": [{"type": "embedding", "input_dim": 10, "output_dim": 4}, {"type": "flatten"}, {"type": "dense", "units": 3}],
  "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
               "optimizer": "adam", "batch_size": 2}})";

TEST(Hosts, ImpossibleValuesAreToldWhenChecked) {
  for (const bool checked : {false, true}) {
    const auto session = session_of(kClassifier, {.checked = checked});
    ASSERT_NE(session, nullptr);
    const auto step = [&](std::vector<int32_t> words, std::vector<int32_t> labels) {
      const void *inputs[] = {words.data()}, *targets[] = {labels.data()};
      return session->step(inputs, targets);
    };
    ASSERT_TRUE(step({0, 9, 3, 4}, {0, 2}).ok());
    const std::string before = everything(*session);
    struct Case {
      std::vector<int32_t> words, labels;
      const char* text;
    };
    for (const Case& c :
         {Case{{0, 10, 3, 4},
               {0, 2},
               "input \"word\": example 0, value 1 is 10, input/word needs values from 0 to 9"},
          Case{{0, 1, 3, -1}, {0, 2}, "input \"word\": example 1, value 1 is -1, input/word"},
          Case{{0, 1, 3, 4}, {0, 3}, ": example 1 is 3, target/dense needs values from 0 to 2"},
          Case{{0, 1, 3, 4}, {-1, 0}, ": example 0 is -1, target/dense"},
          Case{{0, 1, 3, 2147483647}, {0, 0}, ": example 1, value 1 is 2147483647"}}) {
      const SessionStatus status = step(c.words, c.labels);
      EXPECT_EQ(status.ok(), !checked) << c.text;
      if (!checked) continue;
      EXPECT_NE(status.message.find(c.text), std::string::npos) << status.message;
      EXPECT_EQ(everything(*session), before);
    }
    session->set_checked(!checked);
    EXPECT_EQ(step({0, 10, 3, 4}, {0, 2}).ok(), checked);
  }
  const auto floats = session_of(model_with(R"("sgd")"), {.checked = true});
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(kX, kX + 12), out(8);
    x[7] = bad;
    const void* inputs[] = {x.data()};
    void* outputs[] = {out.data()};
    EXPECT_FALSE(floats->step(inputs, kTargets).ok());
    EXPECT_FALSE(floats->predict(inputs, outputs).ok());
    float loss = 0;
    EXPECT_FALSE(floats->evaluate(inputs, kTargets, &loss).ok());
  }
}

/// Runs work in a child; its exit code, or 128 and the signal that ended it.
int in_child(const std::function<int()>& work) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(300);  // a busy machine is slow; a hang is for ever
    _exit(work());
  }
  int state = 0;
  waitpid(child, &state, 0);
  return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

TEST(Hosts, AfterForkASessionSaysThatItCannotBeUsed) {
  for (const int threads : {1, 2, 5}) {
    auto session = session_of(model_with(R"("adam")"), {.threads = threads});
    steps(*session, 1);
    EXPECT_EQ(in_child([&] {
                float loss = 0;
                const SessionStatus step = session->step(kInputs, kTargets, &loss);
                const SessionStatus init = session->initialize(1);
                if (step.ok() != (threads == 1) || init.ok() != (threads == 1)) return 1;
                if (!step.ok() && step.message.find("forked") == std::string::npos) return 2;
                session.reset();
                SessionStatus status;
                const auto own =
                    Session::parse(model_with(R"("adam")"), "m", {.threads = threads}, &status);
                return own != nullptr && own->step(kInputs, kTargets, &loss).ok() ? 0 : 3;
              }),
              0)
        << threads;
    steps(*session, 1);  // the parent's goes on
  }
}

#if !GRADC_SANITIZED
size_t address_space() {
  size_t pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%zu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

TEST(Hosts, WhatTheSystemRefusesIsAStatus) {
  const std::string text = model_with(R"("adam")");
  int refused = 0;
  for (const size_t more : {0U, 1U, 2U, 4U, 8U, 16U, 32U, 64U, 128U}) {
    for (const int threads : {1, 64}) {
      const int code = in_child([&] {
        const rlim_t limit = address_space() + more * 1048576;
        const rlimit bound{limit, limit};
        if (setrlimit(RLIMIT_AS, &bound) != 0) return 9;
        char error[300] = "";
        gradc_options options = {};
        options.threads = threads;
        gradc_session* session = gradc_session_parse(text.c_str(), &options, error, sizeof error);
        if (session == nullptr) return error[0] != '\0' ? 1 : 8;
        const gradc_status status = gradc_session_step(session, kCInput, 1, kCTarget, 1, nullptr);
        return status == GRADC_OK ? 0 : gradc_last_error(session)[0] != '\0' ? 1 : 7;
      });
      EXPECT_TRUE(code == 0 || code == 1) << more << " MiB, " << threads << " threads: " << code;
      refused += code == 1 ? 1 : 0;
    }
  }
  EXPECT_GT(refused, 2);
  std::printf("%d of 18 refused with a status\n", refused);
}
#endif

TEST(Hosts, NullPointersAreErrorsAndBuffersAreWritten) {
  for (const size_t size : {size_t{1}, size_t{2}, size_t{8}, size_t{300}}) {
    std::vector<char> error(size + 1, 'z');
    const auto ended = [&] {
      return std::string(error.data()).size() < size && error[size] == 'z';
    };
    const auto again = [&] { std::fill(error.begin(), error.end(), 'z'); };
    EXPECT_EQ(gradc_session_load(nullptr, nullptr, error.data(), size), nullptr);
    EXPECT_TRUE(ended());
    EXPECT_EQ(error[0] == '\0', size == 1);
    again();
    EXPECT_EQ(gradc_session_parse(nullptr, nullptr, error.data(), size), nullptr);
    EXPECT_TRUE(ended());
    again();
    EXPECT_EQ(gradc_session_load("/nonexistent", nullptr, error.data(), size), nullptr);
    EXPECT_TRUE(ended());
    again();
    gradc_session* session =
        gradc_session_parse(model_with(R"("sgd")").c_str(), nullptr, error.data(), size);
    ASSERT_NE(session, nullptr);
    EXPECT_EQ(error[0], '\0');  // no error
    EXPECT_EQ(gradc_session_step(session, nullptr, 1, kCTarget, 1, nullptr),
              GRADC_INVALID_ARGUMENT);
    EXPECT_STRNE(gradc_last_error(session), "");
    const CView null_input(nullptr, 4, 3);
    EXPECT_NE(gradc_session_step(session, null_input, 1, kCTarget, 1, nullptr), GRADC_OK);
    const gradc_view nothing = {};
    EXPECT_NE(gradc_session_step(session, &nothing, 1, kCTarget, 1, nullptr), GRADC_OK);
    EXPECT_NE(gradc_session_predict(session, kCInput, 1, nullptr, 1), GRADC_OK);
    EXPECT_EQ(gradc_session_save(session, nullptr, 0), GRADC_INVALID_ARGUMENT);
    EXPECT_EQ(gradc_session_load_weights(session, nullptr), GRADC_INVALID_ARGUMENT);
    EXPECT_EQ(gradc_session_get(session, nullptr, error.data(), 1), GRADC_INVALID_ARGUMENT);
    EXPECT_EQ(gradc_session_set(session, "dense/kernel", nullptr, 1), GRADC_INVALID_ARGUMENT);
    gradc_session_destroy(session);
  }
  EXPECT_EQ(gradc_session_load(nullptr, nullptr, nullptr, 0), nullptr);
  EXPECT_EQ(gradc_session_warm_up(nullptr), GRADC_INVALID_ARGUMENT);
  EXPECT_EQ(gradc_session_initialize(nullptr, 1), GRADC_INVALID_ARGUMENT);
  EXPECT_EQ(gradc_session_set_checked(nullptr, 1), GRADC_INVALID_ARGUMENT);
  gradc_session_destroy(nullptr);
}

}  // namespace
}  // namespace gradc::test
