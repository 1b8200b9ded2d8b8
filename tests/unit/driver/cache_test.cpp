// The cache of compiled code: a second process runs no passes, compiles nothing and computes the
// same bits, what is damaged is made anew, and nothing else is taken for it.
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
  int64_t entries = 0;      ///< that were taken from the cache without passes
  double milliseconds = 0;  ///< from the model's text to code
  uint64_t bits = 0;        ///< of the parameters after three steps
};

using Kinds = std::vector<EntryPoint>;

/// What is compiled, and with what; each list of entries by a call of its own.
struct Job {
  std::string model = kModel;
  std::vector<Kinds> calls = {{EntryPoint::kTrainStep, EntryPoint::kEvaluate}};
  TargetInfo target = TargetInfo::host();
  int64_t batch_size = 0;
};

/// Compiles and trains in this process.
Seen compile_and_train(const std::string& folder, const Job& job) {
  Seen seen;
  const auto begin = std::chrono::steady_clock::now();
  SourceSet sources;
  CompileOptions options;
  options.target = job.target;
  options.batch_size = job.batch_size;
  options.cache = DiskCache(folder);
  auto model = CompiledModel::parse("mlp.json", job.model, options, sources);
  if (!model.ok()) return seen;
  for (const Kinds& kinds : job.calls) {
    if (!(*model)->compile(kinds).ok()) return seen;
  }
  seen.milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  seen.kernels = (*model)->code_timings().kernels;
  seen.cached = (*model)->code_timings().cached_kernels;
  seen.entries = (*model)->code_timings().cached_entries;
  rt::Instance* instance = nullptr;
  if (!rt::Instance::create((*model)->runtime_model(), {1}, nullptr, 0, &instance).ok())
    return seen;
  (void)instance->initialize(1);
  (void)instance->prepare(GRADC_RT_TRAIN_STEP);
  auto* x = static_cast<float*>(instance->data(static_cast<size_t>(instance->find("input/x"))));
  const int64_t batch = (*model)->batch_size();
  for (int64_t i = 0; i < batch * 784; ++i)
    x[i] = static_cast<float>(i % 17) / 17.0F;
  auto* y = static_cast<int32_t*>(instance->data(static_cast<size_t>(instance->find("target/y"))));
  for (int64_t i = 0; i < batch; ++i)
    y[i] = static_cast<int32_t>(i % 10);
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
Seen in_a_process(const std::string& folder, const Job& job = {}) {
  int ends[2];
  Seen seen;
  if (pipe(ends) != 0) return seen;
  const pid_t child = fork();
  if (child == 0) {
    const Seen mine = compile_and_train(folder, job);
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

/// The programs of a folder, or its kernels (a program names the files of its kernels).
std::vector<std::string> files_with(const std::string& folder, bool programs) {
  std::vector<std::string> files = files_of(folder);
  std::erase_if(files, [&](const std::string& file) {
    return (read_file(file).find("program of gradc ") != std::string::npos) != programs;
  });
  return files;
}

TEST(Cache, ASecondProcessCompilesNothing) {
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  const Seen first = in_a_process(folder);
  EXPECT_GT(first.kernels, 5);
  EXPECT_EQ(first.cached, 0);
  EXPECT_EQ(first.entries, 0);
  EXPECT_EQ(files_with(folder, true).size(), 1U);
  EXPECT_EQ(files_with(folder, false).size(), 1U);
  EXPECT_EQ(files_of(folder).size(), 2U);
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const Seen again = in_a_process(folder);
    EXPECT_EQ(again.kernels, first.kernels);
    EXPECT_EQ(again.cached, first.kernels);
    EXPECT_EQ(again.entries, 2);
    EXPECT_EQ(again.bits, first.bits);
    times.push_back(again.milliseconds);
  }
  std::sort(times.begin(), times.end());
  std::printf(
      "MLP 784-128-10, %lld kernels of train_step and evaluate: %.1f ms cold, %.1f ms from "
      "the cache (median of 5)\n",
      static_cast<long long>(first.kernels), first.milliseconds, times[2]);
}

TEST(Cache, WhatIsDamagedIsMadeAnew) {
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  const Seen first = in_a_process(folder);
  for (const bool program : {true, false}) {
    const std::vector<std::string> files = files_with(folder, program);
    ASSERT_EQ(files.size(), 1U);
    // Kernels outlive their program; a program without its kernels is none.
    const int64_t cached = program ? first.kernels : 0;
    const std::string whole = read_file(files[0]);
    for (const size_t place : {size_t{0}, size_t{20}, whole.size() / 2, whole.size() - 1}) {
      std::string damaged = whole;
      damaged[place] = static_cast<char>(~damaged[place]);
      write_text_file(files[0], damaged);
      const Seen again = in_a_process(folder);
      EXPECT_EQ(again.cached, cached) << place;
      EXPECT_EQ(again.entries, 0) << place;
      EXPECT_EQ(again.bits, first.bits);
      // It is there again. (Which kernels are in one object depends on when threads were done.)
      const Seen after = in_a_process(folder);
      EXPECT_EQ(after.cached, first.kernels) << place;
      EXPECT_EQ(after.entries, 2) << place;
      EXPECT_EQ(after.bits, first.bits);
    }
    write_text_file(files[0], whole.substr(0, whole.size() / 3));
    EXPECT_EQ(in_a_process(folder).cached, cached);
    EXPECT_EQ(in_a_process(folder).entries, 2);
    std::filesystem::remove(files[0]);
    EXPECT_EQ(in_a_process(folder).cached, cached);
    EXPECT_EQ(in_a_process(folder).entries, 2);
  }
}

TEST(Cache, AnotherTargetIsAnotherKey) {
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  Job job;
  const Seen first = in_a_process(folder, job);
  job.target.l2_bytes *= 2;
  EXPECT_EQ(in_a_process(folder, job).cached, 0);
  job.target.cores += 1;
  EXPECT_EQ(in_a_process(folder, job).cached, 0);
  EXPECT_EQ(in_a_process(folder).cached, first.kernels);
  EXPECT_EQ(in_a_process(folder).entries, 2);
}

TEST(Cache, EveryChangeOfTheModelIsAnotherProgram) {
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  const Seen first = in_a_process(folder);
  const std::vector<std::pair<std::string, std::string>> edits = {
      {"\"adam\"", "{\"type\": \"adam\", \"learning_rate\": 0.002}"},
      {"\"adam\"", "{\"type\": \"adam\", \"clipnorm\": 1.0}"},
      {"\"adam\"", "\"sgd\""},
      {"relu", "tanh"},
      {"128", "127"},
      {"\"from_logits\": true", "\"from_logits\": false"},
      {"\"metrics\": [\"accuracy\"], ", ""},
      {"\"y\"}", "\"y\", \"kernel_initializer\": \"he_normal\"}"},
      {"{\"type\": \"dense\", \"units\": 128",
       "{\"type\": \"dropout\", \"rate\": 0.5}, {\"type\": \"dense\", \"units\": 128"}};
  for (const auto& [from, to] : edits) {
    Job job;
    ASSERT_NE(job.model.find(from), std::string::npos) << from;
    job.model.replace(job.model.find(from), from.size(), to);
    const Seen changed = in_a_process(folder, job);
    EXPECT_GT(changed.kernels, 0) << to;
    EXPECT_EQ(changed.entries, 0) << to;
    EXPECT_EQ(changed.bits == first.bits, to.empty()) << to;  // a metric changes no bit
    const Seen again = in_a_process(folder, job);
    EXPECT_EQ(again.entries, 2) << to;
    EXPECT_EQ(again.bits, changed.bits) << to;
  }
  Job job;
  job.batch_size = 32;
  EXPECT_EQ(in_a_process(folder, job).entries, 0);
  EXPECT_EQ(in_a_process(folder).entries, 2);
}

TEST(Cache, EntriesComeOneByOne) {
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  Job job;
  job.calls = {{EntryPoint::kTrainStep}, {EntryPoint::kEvaluate}};
  const Seen first = in_a_process(folder, job);
  EXPECT_EQ(first.entries, 0);
  const Seen again = in_a_process(folder, job);
  EXPECT_EQ(again.entries, 2);
  EXPECT_EQ(again.kernels, first.kernels);  // each is linked once
  EXPECT_EQ(again.cached, first.kernels);
  EXPECT_EQ(again.bits, first.bits);
  // Another order: both programs are there, the kernels of one lie with the other's.
  std::swap(job.calls[0], job.calls[1]);
  const Seen swapped = in_a_process(folder, job);
  EXPECT_EQ(swapped.entries, 2);
  EXPECT_EQ(swapped.kernels, first.kernels);
  EXPECT_EQ(swapped.bits, first.bits);
  // An entry that was never compiled beside one that was: only what is new is compiled.
  job.calls = {{EntryPoint::kTrainStep}, {EntryPoint::kGradients}};
  const Seen more = in_a_process(folder, job);
  EXPECT_EQ(more.entries, 1);
  EXPECT_GT(more.kernels, more.cached);
  EXPECT_EQ(more.bits, first.bits);
  EXPECT_EQ(in_a_process(folder, job).entries, 2);
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
  EXPECT_EQ(files_of(scratch_ / "home/.cache/gradc").size(), 2U);
  EXPECT_EQ(train("XDG_CACHE_HOME=" + (scratch_ / "xdg")).code, 0);
  EXPECT_EQ(files_of(scratch_ / "xdg/gradc").size(), 2U);
  EXPECT_EQ(train("GRADC_CACHE=" + (scratch_ / "own")).code, 0);
  EXPECT_EQ(files_of(scratch_ / "own").size(), 2U);
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
  EXPECT_EQ(files_of(scratch_ / "cache").size(), 2U);
}

}  // namespace
}  // namespace gradc::test
