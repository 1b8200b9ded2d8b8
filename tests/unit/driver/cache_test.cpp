// The cache of compiled code: a second process compiles nothing and computes the same bits, what is
// damaged is compiled anew, and nothing else is taken for it.
#include "driver/compiled_model.h"
#include "runtime/instance.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

namespace gradc::test {
namespace {

constexpr const char* kModel = R"({"name": "mlp", "inputs": [{"name": "x", "shape": [784]}],
  "layers": [{"type": "dense", "units": 128, "activation": "relu"},
             {"type": "dense", "units": 10, "name": "y"}],
  "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
               "metrics": ["accuracy"], "optimizer": "adam", "batch_size": 64, "seed": 1}})";

/// What a process has seen.
struct Seen {
  int64_t kernels = 0;
  int64_t cached = 0;
  double milliseconds = 0;  ///< from the model's text to code
  uint64_t bits = 0;        ///< of the parameters after three steps
};

/// Compiles and trains in this process.
Seen compile_and_train(const std::string& folder, const TargetInfo& target) {
  Seen seen;
  const auto begin = std::chrono::steady_clock::now();
  SourceSet sources;
  CompileOptions options;
  options.target = target;
  options.cache = DiskCache(folder);
  auto model = CompiledModel::parse("mlp.json", kModel, options, sources);
  if (!model.ok()) return seen;
  const std::array kinds = {EntryPoint::kTrainStep, EntryPoint::kEvaluate};
  if (!(*model)->compile(kinds).ok()) return seen;
  seen.milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  seen.kernels = (*model)->code_timings().kernels;
  seen.cached = (*model)->code_timings().cached_kernels;
  rt::Instance* instance = nullptr;
  if (!rt::Instance::create((*model)->runtime_model(), {1}, nullptr, 0, &instance).ok())
    return seen;
  (void)instance->initialize(1);
  (void)instance->prepare(GRADC_RT_TRAIN_STEP);
  auto* x = static_cast<float*>(instance->data(static_cast<size_t>(instance->find("input/x"))));
  for (int i = 0; i < 64 * 784; ++i)
    x[i] = static_cast<float>(i % 17) / 17.0F;
  auto* y = static_cast<int32_t*>(instance->data(static_cast<size_t>(instance->find("target/y"))));
  for (int i = 0; i < 64; ++i)
    y[i] = i % 10;
  for (int step = 0; step < 3; ++step)
    instance->run(GRADC_RT_TRAIN_STEP);
  for (size_t i = 0; i < instance->num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance->tensor(i);
    if (tensor.kind != GRADC_RT_PARAMETER) continue;
    const auto* bytes = static_cast<const uint8_t*>(instance->data(i));
    for (int64_t b = 0; b < tensor.bytes; ++b)
      seen.bits = (seen.bits ^ bytes[b]) * 0x100000001B3U + 1;
  }
  rt::Instance::destroy(instance);
  return seen;
}

/// The same in a process of its own.
Seen in_a_process(const std::string& folder, const TargetInfo& target = TargetInfo::host()) {
  int ends[2];
  Seen seen;
  if (pipe(ends) != 0) return seen;
  const pid_t child = fork();
  if (child == 0) {
    const Seen mine = compile_and_train(folder, target);
    const bool told = write(ends[1], &mine, sizeof mine) == sizeof mine;
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  const bool heard = read(ends[0], &seen, sizeof seen) == sizeof seen;
  close(ends[0]);
  int state = 0;
  waitpid(child, &state, 0);
  EXPECT_TRUE(heard && WIFEXITED(state) && WEXITSTATUS(state) == 0);
  return seen;
}

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path().string());
  return files;
}

TEST(Cache, ASecondProcessCompilesNothing) {
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  const Seen first = in_a_process(folder);
  EXPECT_GT(first.kernels, 5);
  EXPECT_EQ(first.cached, 0);
  EXPECT_EQ(files_of(folder).size(), 1U);
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const Seen again = in_a_process(folder);
    EXPECT_EQ(again.kernels, first.kernels);
    EXPECT_EQ(again.cached, first.kernels);
    EXPECT_EQ(again.bits, first.bits);
    times.push_back(again.milliseconds);
  }
  std::sort(times.begin(), times.end());
  std::printf(
      "MLP 784-128-10, %lld kernels of train_step and evaluate: %.1f ms cold, %.1f ms from "
      "the cache (median of 5)\n",
      static_cast<long long>(first.kernels), first.milliseconds, times[2]);
}

TEST(Cache, WhatIsDamagedIsCompiledAnew) {
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  const Seen first = in_a_process(folder);
  const std::vector<std::string> files = files_of(folder);
  ASSERT_EQ(files.size(), 1U);
  const std::string whole = read_file(files[0]);
  for (const size_t place : {size_t{0}, size_t{20}, whole.size() / 2, whole.size() - 1}) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(~damaged[place]);
    write_text_file(files[0], damaged);
    const Seen again = in_a_process(folder);
    EXPECT_EQ(again.cached, 0) << place;
    EXPECT_EQ(again.bits, first.bits);
    EXPECT_EQ(read_file(files[0]).size(), whole.size());  // it is there again
  }
  write_text_file(files[0], whole.substr(0, whole.size() / 3));
  EXPECT_EQ(in_a_process(folder).cached, 0);
  EXPECT_EQ(in_a_process(folder).cached, first.kernels);
}

TEST(Cache, AnotherTargetIsAnotherKey) {
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  TargetInfo target = TargetInfo::host();
  const Seen first = in_a_process(folder, target);
  target.l2_bytes *= 2;
  EXPECT_EQ(in_a_process(folder, target).cached, 0);
  target.cores += 1;
  EXPECT_EQ(in_a_process(folder, target).cached, 0);
  EXPECT_EQ(in_a_process(folder).cached, first.kernels);
}

class CacheOfTheCommand : public ::testing::Test {
 protected:
  CacheOfTheCommand() {
    write_text_file(scratch_ / "m.json", R"({"name": "m", "inputs": [{"name": "x", "shape": [2]}],
      "layers": [{"type": "dense", "units": 1, "name": "y"}],
      "training": {"loss": "mse", "optimizer": "sgd", "batch_size": 2, "epochs": 1}})");
    write_text_file(scratch_ / "d.csv", "a,b,y\n1,2,3\n2,1,4\n");
  }
  Outcome train(const std::string& environment, const std::string& options = "") {
    return shell("env -u XDG_CACHE_HOME -u GRADC_CACHE HOME=" + (scratch_ / "home") + " " +
                 environment + " " + tool() + " train " + (scratch_ / "m.json") + " --data " +
                 (scratch_ / "d.csv") + ":target=y " + options);
  }
  Scratch scratch_;
};

TEST_F(CacheOfTheCommand, LiesWhereTheEnvironmentSays) {
  std::filesystem::create_directory(scratch_ / "home");
  EXPECT_EQ(train("GRADC_CACHE=off").code, 0);
  EXPECT_EQ(train("", "--no-cache").code, 0);
  EXPECT_TRUE(files_of(scratch_ / "home").empty());
  EXPECT_EQ(train("").code, 0);
  EXPECT_EQ(files_of(scratch_ / "home/.cache/gradc").size(), 1U);
  EXPECT_EQ(train("XDG_CACHE_HOME=" + (scratch_ / "xdg")).code, 0);
  EXPECT_EQ(files_of(scratch_ / "xdg/gradc").size(), 1U);
  EXPECT_EQ(train("GRADC_CACHE=" + (scratch_ / "own")).code, 0);
  EXPECT_EQ(files_of(scratch_ / "own").size(), 1U);
  EXPECT_EQ(train("GRADC_CACHE=/proc/nowhere").code, 0);
}

TEST_F(CacheOfTheCommand, IsSharedByProcessesAtTheSameTime) {
  std::vector<std::thread> threads;
  std::vector<Outcome> outcomes(6);
  for (size_t i = 0; i < outcomes.size(); ++i) {
    threads.emplace_back([&, i] {
      outcomes[i] = train("GRADC_CACHE=" + (scratch_ / "cache"),
                          "--out " + (scratch_ / ("w" + std::to_string(i))));
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  for (size_t i = 0; i < outcomes.size(); ++i) {
    EXPECT_EQ(outcomes[i].code, 0) << outcomes[i].output;
    EXPECT_EQ(read_file(scratch_ / ("w" + std::to_string(i))), read_file(scratch_ / "w0"));
  }
  EXPECT_EQ(files_of(scratch_ / "cache").size(), 1U);
}

}  // namespace
}  // namespace gradc::test
