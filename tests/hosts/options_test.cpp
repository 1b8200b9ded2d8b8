// What a host says beside the model: its own threads, a processor, a budget of memory, callbacks of
// training; and which code a failed call has.
#include "gradc/gradc.h"
#include "gradc/session.h"
#include "tests/unit/driver/c_view.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace gradc::test {
namespace {

constexpr const char* kModel = R"({"name": "m", "inputs": [{"name": "x", "shape": [6]}],
    "layers": [{"type": "dense", "units": 40, "activation": "tanh"}, {"type": "batch_norm"},
               {"type": "dropout", "rate": 0.2}, {"type": "dense", "units": 2, "name": "y"}],
    "training": {"loss": "mse", "metrics": ["mae"], "batch_size": 8, "optimizer": "adam"}})";

std::unique_ptr<Session> open(SessionOptions options, SessionStatus* status = nullptr) {
  options.seed = 3;
  options.has_seed = true;
  SessionStatus own;
  auto session = Session::parse(kModel, "m.json", options, status != nullptr ? status : &own);
  if (status == nullptr) {
    EXPECT_NE(session, nullptr) << own.message;
  }
  return session;
}

struct Rows {
  std::vector<float> x = std::vector<float>(8 * 6), y = std::vector<float>(8 * 2);
  std::vector<const void*> inputs = {x.data()}, targets = {y.data()};
  Rows() {
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = std::sin(0.7F * static_cast<float>(i));
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = std::cos(1.3F * static_cast<float>(i));
  }
};

std::vector<float> trained(Session& session) {
  const Rows rows;
  for (const int64_t count : {8, 5, 8}) {
    const SessionStatus step = session.step(rows.inputs, rows.targets, nullptr, count);
    EXPECT_TRUE(step.ok()) << step.message;
    EXPECT_TRUE(session.gradients(rows.inputs, rows.targets).ok());
    EXPECT_TRUE(session.apply_gradients().ok());
  }
  const auto kernel = session.parameter("dense/kernel");
  return {kernel.begin(), kernel.end()};
}

template <class Work>
void on_threads(int threads, const Work& work) {
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i)
    all.emplace_back([&work, i] { work(i); });
  for (std::thread& one : all)
    one.join();
}

TEST(Options, TheHostsThreadsGiveTheSameBits) {
  const std::vector<float> expected = trained(*open({}));
  std::atomic<int> runs = 0, most = 0;
  const RunOnThreads run = [&](int threads, const std::function<void(int)>& work) {
    ++runs;
    most = std::max(most.load(), threads);
    on_threads(threads, work);
  };
  const auto session = open({.threads = 3, .run = run});
  EXPECT_EQ(trained(*session), expected);
  EXPECT_GE(runs, 9);
  EXPECT_EQ(most, 3);
  // Another session has those that its own options say.
  runs = 0;
  SessionStatus status;
  const auto other = session->another({.seed = 3, .has_seed = true}, false, &status);
  ASSERT_NE(other, nullptr) << status.message;
  EXPECT_EQ(trained(*other), expected);
  EXPECT_EQ(runs, 0);
}

void run_of_c(void* user, void (*work)(void*, int32_t), void* argument, int32_t threads) {
  ++*static_cast<int*>(user);
  on_threads(threads, [=](int thread) { work(argument, thread); });
}

TEST(Options, TheCDoorTakesThemToo) {
  const std::vector<float> expected = trained(*open({}));
  int runs = 0;
  char error[256];
  gradc_options options = {};
  options.threads = 2;
  options.has_seed = 1;
  options.seed = 3;
  options.cpu = "x86-64-v3";
  options.memory_budget = 1 << 20;
  options.run = run_of_c;
  options.run_user = &runs;
  gradc_session* session = gradc_session_parse(kModel, &options, error, sizeof error);
  ASSERT_NE(session, nullptr) << error;
  const Rows rows;
  for (const int64_t count : {8, 5, 8}) {
    const CView x(rows.x.data(), count, 6), y(rows.y.data(), count, 2);
    const CView all(rows.x.data(), 8, 6), wanted(rows.y.data(), 8, 2);
    ASSERT_EQ(gradc_session_step(session, x, 1, y, 1, nullptr), GRADC_OK);
    ASSERT_EQ(gradc_session_gradients(session, all, 1, wanted, 1, nullptr, 1, nullptr, 0),
              GRADC_OK);
    ASSERT_EQ(gradc_session_apply_gradients(session), GRADC_OK);
  }
  std::vector<float> kernel(6 * 40);
  ASSERT_EQ(
      gradc_session_get(session, "dense/kernel", kernel.data(), kernel.size() * sizeof(float)),
      GRADC_OK);
  EXPECT_EQ(kernel, expected);
  EXPECT_GE(runs, 9);
  gradc_session_destroy(session);
}

TEST(Options, AProcessorAndABudget) {
  const std::vector<float> expected = trained(*open({}));
  EXPECT_EQ(trained(*open({.cpu = "x86-64-v3"})), expected);
  SessionStatus status;
  EXPECT_EQ(open({.cpu = "x86-64-v33"}, &status), nullptr);
  EXPECT_NE(status.message.find("x86-64-v33"), std::string::npos) << status.message;
  EXPECT_EQ(status.code, SessionCode::kError);
  EXPECT_EQ(open({.memory_budget = -1}, &status), nullptr);
  EXPECT_EQ(trained(*open({.memory_budget = 1 << 20})), expected);
  const auto tight = open({.memory_budget = 64});
  const Rows rows;
  status = tight->step(rows.inputs, rows.targets);
  EXPECT_EQ(status.code, SessionCode::kError);
  EXPECT_NE(status.message.find("budget"), std::string::npos) << status.message;
}

TEST(Options, AFailedCallHasItsCode) {
  const auto session = open({.threads = 2});
  const Rows rows;
  EXPECT_EQ(session->step(rows.inputs, {}).code, SessionCode::kError);
  EXPECT_EQ(session->step(rows.inputs, rows.targets).code, SessionCode::kOk);
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0)
    _exit(session->step(rows.inputs, rows.targets).code == SessionCode::kAfterFork ? 0 : 1);
  int state = 0;
  waitpid(child, &state, 0);
  EXPECT_TRUE(WIFEXITED(state) && WEXITSTATUS(state) == 0);
}

/// 40 rows: at a fifth for validation 4 steps an epoch.
std::string table(const Scratch& folder) {
  std::string text = "a,b,c,d,e,f,p,q\n";
  for (int row = 0; row < 40; ++row) {
    for (int column = 0; column < 8; ++column)
      text += std::to_string(std::sin(0.9 * row + 1.7 * column)) + (column < 7 ? "," : "\n");
  }
  write_text_file(folder / "t.csv", text);
  return (folder / "t.csv") + ":target=p,q";
}

TEST(Options, CallbacksSeeEveryStepAndEpochAndMayEndTraining) {
  const Scratch folder;
  const std::string data = table(folder);
  std::vector<TrainReport> steps, epochs, history;
  TrainOptions options;
  options.data = data;
  options.epochs = 3;
  options.validation_split = 0.2;
  options.on_step = [&](const TrainReport& report) {
    steps.push_back(report);
    return true;
  };
  options.on_epoch = [&](const TrainReport& report) {
    epochs.push_back(report);
    return true;
  };
  options.history = &history;
  std::vector<double> losses;
  const SessionStatus whole = open({})->train(options, &losses);
  ASSERT_TRUE(whole.ok()) << whole.message;
  ASSERT_EQ(steps.size(), 12U);
  ASSERT_EQ(epochs.size(), 3U);
  ASSERT_EQ(history.size(), 3U);
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i].epoch, static_cast<int64_t>(i / 4) + 1);
    EXPECT_EQ(steps[i].step, static_cast<int64_t>(i % 4) + 1);
    EXPECT_FALSE(steps[i].has_validation);
  }
  for (size_t i = 0; i < epochs.size(); ++i) {
    EXPECT_EQ(epochs[i].epochs, 3);
    EXPECT_EQ(epochs[i].loss, losses[i]);
    EXPECT_EQ(history[i].loss, losses[i]);
    EXPECT_EQ(epochs[i].loss, steps[4 * i + 3].loss);
    ASSERT_EQ(epochs[i].metrics.size(), 1U);
    EXPECT_TRUE(epochs[i].has_validation && epochs[i].validation_loss > 0.0);
    EXPECT_EQ(epochs[i].validation_metrics.size(), 1U);
  }
  // Ended after an epoch, and in the middle of one: what there is is written, and no error.
  const auto after_two = [&](bool by_step) {
    TrainOptions some;
    some.data = data;
    some.epochs = 3;
    some.validation_split = 0.2;
    some.out = folder / "w.safetensors";
    int heard = 0;
    const auto until = [&heard](int last) {
      return [&heard, last](const TrainReport&) { return ++heard < last; };
    };
    if (by_step)
      some.on_step = until(6);
    else
      some.on_epoch = until(2);
    std::vector<double> seen;
    const auto session = open({});
    const SessionStatus ended = session->train(some, &seen);
    EXPECT_TRUE(ended.ok()) << ended.message;
    EXPECT_TRUE(std::filesystem::exists(folder / "w.safetensors"));
    const auto again = open({});
    EXPECT_TRUE(again->load_weights(folder / "w.safetensors").ok());
    EXPECT_EQ(std::memcmp(again->parameter("y/kernel").data(),
                          session->parameter("y/kernel").data(), 40 * 2 * 4),
              0);
    std::filesystem::remove(folder / "w.safetensors");
    return std::make_pair(heard, seen.size());
  };
  EXPECT_EQ(after_two(false), std::make_pair(2, size_t{2}));
  EXPECT_EQ(after_two(true), std::make_pair(6, size_t{1}));
}

int32_t count_epochs(void* user, const gradc_train_report* report) {
  if (report->num_metrics != 1 || report->has_validation != 1 || !(report->validation_loss > 0.0))
    return 0;
  return ++*static_cast<int*>(user) < 2;
}

TEST(Options, CallbacksOfC) {
  const Scratch folder;
  const std::string data = table(folder);
  char error[256];
  gradc_session* session = gradc_session_parse(kModel, nullptr, error, sizeof error);
  ASSERT_NE(session, nullptr) << error;
  int heard = 0;
  gradc_train_options options = {};
  options.data = data.c_str();
  options.epochs = 5;
  options.has_validation_split = 1;
  options.validation_split = 0.2;
  options.on_epoch = count_epochs;
  options.user = &heard;
  double losses[5] = {};
  size_t epochs = 0;
  EXPECT_EQ(gradc_session_train(session, &options, losses, 5, &epochs), GRADC_OK)
      << gradc_last_error(session);
  EXPECT_EQ(heard, 2);
  EXPECT_EQ(epochs, 2U);
  gradc_session_destroy(session);
}

TEST(Options, ASessionShowsItsCode) {
  const auto session = open({});
  SessionStatus status;
  for (const char* stage : {"graph", "gradient", "optimized", "fused", "scheduled", "planned",
                            "kernels", "llvm", "asm"}) {
    const std::string text = session->dump(stage, "train_step", &status);
    EXPECT_TRUE(status.ok()) << stage << status.message;
    EXPECT_GT(text.size(), 500U) << stage;
  }
  EXPECT_NE(session->dump("graph", "predict").find("return"), std::string::npos);
  EXPECT_NE(session->dump("fused").find("kernel @"), std::string::npos);
  EXPECT_TRUE(session->dump("fuse", "train_step", &status).empty());
  EXPECT_NE(status.message.find("it is one of graph, gradient"), std::string::npos)
      << status.message;
  EXPECT_TRUE(session->dump("fused", "train", &status).empty());
  EXPECT_NE(status.message.find("has no entry \"train\"; it has predict"), std::string::npos)
      << status.message;
  // Profiling changes nothing of what is trained.
  trained(*session);
  const std::vector<float> before(session->parameter("y/kernel").begin(),
                                  session->parameter("y/kernel").end());
  const std::string table = session->profile(0.05, &status);
  EXPECT_TRUE(status.ok()) << status.message;
  EXPECT_NE(table.find("dense"), std::string::npos) << table;
  EXPECT_EQ(before, std::vector<float>(session->parameter("y/kernel").begin(),
                                       session->parameter("y/kernel").end()));
  EXPECT_TRUE(session->profile(-1.0, &status).empty());
  EXPECT_EQ(status.code, SessionCode::kError);
  char error[256];
  gradc_session* c = gradc_session_parse(kModel, nullptr, error, sizeof error);
  ASSERT_NE(c, nullptr) << error;
  EXPECT_EQ(session->dump("fused"), gradc_session_dump(c, "fused", nullptr));
  EXPECT_EQ(gradc_session_dump(c, "fussed", nullptr), nullptr);
  EXPECT_NE(std::string(gradc_last_error(c)).find("fussed"), std::string::npos);
  EXPECT_EQ(gradc_session_dump(c, nullptr, nullptr), nullptr);
  EXPECT_NE(gradc_session_profile(c, 0.05), nullptr);
  gradc_session_destroy(c);
}

}  // namespace
}  // namespace gradc::test
