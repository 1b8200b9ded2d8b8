// Compiled libraries for hosts that train by hand (`gradc compile --entries`): loaded into this
// process and compared with sessions, which are compiled in it, to the last bit.
#include "gradc/session.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <dlfcn.h>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace gradc::test {
namespace {

enum Status : int { kOk = 0, kInvalidArgument = 1, kUnknownName = 4, kNoEntry = 7 };

constexpr int64_t kRows = 8, kIn = 6, kOut = 2;

/// What a step changes: moving averages, dropout, a kernel that is restated, a constraint.
std::string model_with(const std::string& optimizer) {
  return R"({"name": "m", "inputs": [{"name": "x", "shape": [6]}],
    "layers": [
      {"type": "spectral_normalization", "layer": {"type": "dense", "units": 9, "activation": "tanh"}},
      {"type": "batch_norm"}, {"type": "dropout", "rate": 0.25},
      {"type": "dense", "units": 5, "activation": "gelu", "kernel_constraint": {"type": "max_norm", "max_value": 1.0}},
      {"type": "dense", "units": 2, "name": "y"}],
    "training": {"loss": "mse", "batch_size": 8, "optimizer": )" +
         optimizer + "}}";
}

struct Batch {
  std::vector<float> x = std::vector<float>(kRows * kIn), y = std::vector<float>(kRows * kOut);
  std::vector<const void*> inputs = {x.data()}, targets = {y.data()};
  explicit Batch(int seed) {
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = std::sin(0.7F * static_cast<float>(i) + static_cast<float>(seed));
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = std::cos(1.3F * static_cast<float>(i) + static_cast<float>(seed));
  }
};

struct Options {  // m_options of the header
  void* memory = nullptr;
  size_t bytes = 0;
  int32_t threads = 1;
  const void* weights_of = nullptr;
  void (*run)(void* user, void (*work)(void* argument, int32_t thread), void* argument,
              int32_t threads) = nullptr;
  void* user = nullptr;
};

/// A model called "m", compiled to a shared library.
class Library {
 public:
  Library(const std::string& model, const std::string& entries) {
    write_text_file(folder_ / "m.json", model);
    const Outcome made = gradc("compile " + (folder_ / "m.json") + " --emit shared " + entries +
                               " -o " + (folder_ / "libm_model.so"));
    EXPECT_EQ(made.code, 0) << made.output;
    loaded_ = dlopen((folder_ / "libm_model.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(loaded_, nullptr) << dlerror();
  }
  ~Library() {
    if (loaded_ != nullptr) dlclose(loaded_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <class Result, class... Arguments>
  Result call(const char* name, Arguments... arguments) const {
    auto* const function = reinterpret_cast<Result (*)(Arguments...)>(
        dlsym(loaded_, (std::string("m_") + name).c_str()));
    EXPECT_NE(function, nullptr) << name;
    return function(arguments...);
  }
  std::string header() const { return read_file(folder_ / "m.h"); }

 private:
  Scratch folder_;
  void* loaded_ = nullptr;
};

/// One instance of it.
class Instance {
 public:
  explicit Instance(const Library& library, const Options& options = {}) : library_(library) {
    EXPECT_EQ((library.call<int, const Options*, void**>("create_with", &options, &handle_)), kOk);
    if (options.weights_of == nullptr) {
      EXPECT_EQ((library.call<int, void*, uint64_t>("init", handle_, 5)), kOk);
    }
  }
  ~Instance() { library_.call<void, void*>("destroy", handle_); }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  void* handle() const { return handle_; }
  std::string error() const {
    return library_.call<const char*, const void*>("last_error", handle_);
  }
  int step(const Batch& batch, float* loss, int64_t rows) {
    return library_.call<int, void*, const void* const*, const void* const*, int64_t, float*>(
        "train_step", handle_, batch.inputs.data(), batch.targets.data(), rows, loss);
  }
  int gradients(const Batch& batch, float* loss, int64_t rows, bool parameters,
                void* const* inputs) {
    return library_.call<int, void*, const void* const*, const void* const*, int64_t, float*, int,
                         void* const*>("gradients", handle_, batch.inputs.data(),
                                       batch.targets.data(), rows, loss, parameters, inputs);
  }
  int apply() { return library_.call<int, void*>("apply_gradients", handle_); }
  int forward(const Batch& batch, int64_t rows, float* out) {
    void* outputs[] = {out};
    return library_.call<int, void*, const void* const*, int64_t, void* const*>(
        "forward", handle_, batch.inputs.data(), rows, outputs);
  }
  int backward(const Batch& batch, const float* dy, int64_t rows, bool parameters,
               void* const* inputs) {
    const void* seeds[] = {dy};
    return library_
        .call<int, void*, const void* const*, const void* const*, int64_t, int, void* const*>(
            "backward", handle_, batch.inputs.data(), seeds, rows, parameters, inputs);
  }
  int set(const char* name, double value) {
    return library_.call<int, void*, const char*, double>("set_hyperparameter", handle_, name,
                                                          value);
  }
  int get(const char* name, double* value) {
    return library_.call<int, void*, const char*, double*>("hyperparameter", handle_, name, value);
  }
  std::span<std::byte> memory(const std::string& name) {
    size_t bytes = 0;
    auto* const data = library_.call<void*, void*, const char*, size_t*>("tensor_memory", handle_,
                                                                         name.c_str(), &bytes);
    return {static_cast<std::byte*>(data), bytes};
  }

 private:
  const Library& library_;
  void* handle_ = nullptr;
};

std::unique_ptr<Session> session_of(const std::string& text) {
  SessionStatus status;
  auto session = Session::parse(text, "m.json", {.seed = 5, .has_seed = true}, &status);
  EXPECT_NE(session, nullptr) << status.message;
  return session;
}

/// Every tensor of both, gradients where `gradients`.
void expect_same(Session& session, Instance& instance, bool gradients, const std::string& where) {
  int compared = 0;
  for (const TensorInfo& tensor : session.tensors()) {
    if ((tensor.kind == TensorKind::kGradient) != gradients) continue;
    const auto a = session.tensor_memory(tensor.name), b = instance.memory(tensor.name);
    ASSERT_EQ(a.size(), b.size()) << tensor.name;
    if (a.empty()) continue;
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size()), 0) << tensor.name << where;
    ++compared;
  }
  EXPECT_GT(compared, 3);
}

const char* const kOptimizers[] = {
    R"({"type": "sgd", "momentum": 0.9, "nesterov": true, "weight_decay": 0.01})",
    R"({"type": "adam", "clipnorm": 0.05})",
    R"({"type": "adam", "global_clipnorm": 0.1, "learning_rate": {"type": "cosine_decay",
        "initial_learning_rate": 0.01, "decay_steps": 70}})"};

class Compiled : public testing::TestWithParam<const char*> {};

TEST_P(Compiled, ByHandIsAStepAndASession) {
  const Library library(model_with(GetParam()), "--entries all");
  Instance whole(library), halves(library);
  const auto session = session_of(model_with(GetParam())),
             by_hand = session_of(model_with(GetParam()));
  for (int step = 0; step < 4; ++step) {
    const Batch batch(step);
    const int64_t rows = step == 2 ? 5 : kRows;
    float loss[4] = {};
    ASSERT_EQ(whole.step(batch, &loss[0], rows), kOk) << whole.error();
    ASSERT_EQ(halves.gradients(batch, &loss[1], rows, true, nullptr), kOk) << halves.error();
    ASSERT_TRUE(session->step(batch.inputs, batch.targets, &loss[2], rows).ok());
    ASSERT_TRUE(by_hand->gradients(batch.inputs, batch.targets, &loss[3], {.rows = rows}).ok());
    expect_same(*by_hand, halves, true, " of gradients");
    ASSERT_TRUE(by_hand->apply_gradients().ok());
    ASSERT_EQ(halves.apply(), kOk) << halves.error();
    EXPECT_EQ(loss[0], loss[1]);
    EXPECT_EQ(loss[0], loss[2]);
    expect_same(*session, whole, false, " of steps");
    expect_same(*session, halves, false, " by hand");
  }
}

TEST_P(Compiled, NumbersAreReadAndSetAsInASession) {
  const Library library(model_with(GetParam()), "--entries gradients,numbers");
  const auto session = session_of(model_with(GetParam()));
  Instance stepped(library), by_hand(library);
  const auto names = session->hyperparameters();
  for (size_t i = 0; i <= names.size(); ++i) {
    const char* const name =
        library.call<const char*, int64_t>("hyperparameter_name", static_cast<int64_t>(i));
    if (i < names.size())
      EXPECT_STREQ(name, names[i].c_str());
    else
      EXPECT_EQ(name, nullptr);
  }
  const Batch batch(1);
  const auto step = [&] {
    float loss = 0;
    ASSERT_TRUE(session->step(batch.inputs, batch.targets).ok());
    ASSERT_EQ(stepped.step(batch, &loss, kRows), kOk);
    ASSERT_EQ(by_hand.gradients(batch, nullptr, kRows, true, nullptr), kOk);
    ASSERT_EQ(by_hand.apply(), kOk);
    expect_same(*session, stepped, false, " of steps");
    expect_same(*session, by_hand, false, " by hand");
  };
  step();
  for (const std::string& name : names) {
    double value = 0;
    ASSERT_EQ(stepped.get(name.c_str(), &value), kOk) << stepped.error();
    EXPECT_EQ(value, session->hyperparameter(name)) << name;
    const double other = value == 0.0 ? 0.125 : value * 0.5;
    ASSERT_TRUE(session->set_hyperparameter(name, other).ok());
    ASSERT_EQ(stepped.set(name.c_str(), other), kOk) << stepped.error();
    ASSERT_EQ(by_hand.set(name.c_str(), other), kOk) << by_hand.error();
    step();
  }
  // What gave it way comes back.
  const double back = std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  ASSERT_TRUE(session->set_hyperparameter("learning_rate", back).ok());
  ASSERT_EQ(stepped.set("learning_rate", back), kOk);
  ASSERT_EQ(by_hand.set("learning_rate", back), kOk);
  ASSERT_EQ(stepped.get("learning_rate", &value), kOk);
  EXPECT_EQ(value, session->hyperparameter("learning_rate"));
  EXPECT_TRUE(value > 0.0);
  step();
  EXPECT_EQ(stepped.set("learning_rate", -1.0), kInvalidArgument);
  EXPECT_NE(stepped.error().find("learning_rate is -1, expected at least 0"), std::string::npos)
      << stepped.error();
  EXPECT_EQ(stepped.set("speed", 1.0), kUnknownName);
  EXPECT_NE(stepped.error().find("no number \"speed\" to set; it has learning_rate"),
            std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Optimizers, Compiled, testing::ValuesIn(kOptimizers));

TEST(CompiledLibrary, ALossOfTheHostsOwn) {
  const std::string text = model_with(R"("adam")");
  const Library library(text, "--entries losses,inputs");
  for (const int64_t rows : {kRows, int64_t{5}}) {
    const auto session = session_of(text);
    Instance instance(library);
    const Batch batch(3);
    std::vector<float> out[2] = {std::vector<float>(kRows * kOut),
                                 std::vector<float>(kRows * kOut)};
    std::vector<float> dy(kRows * kOut);
    void* outputs[] = {out[0].data()};
    ASSERT_TRUE(session->forward(batch.inputs, outputs, rows).ok());
    ASSERT_EQ(instance.forward(batch, rows, out[1].data()), kOk) << instance.error();
    EXPECT_EQ(out[0], out[1]);
    for (size_t i = 0; i < dy.size(); ++i)
      dy[i] = out[0][i] - batch.y[i];
    const void* seeds[] = {dy.data()};
    for (const bool parameters : {false, true}) {
      std::vector<float> dx[2] = {std::vector<float>(kRows * kIn), std::vector<float>(kRows * kIn)};
      std::vector<void*> into[2] = {{dx[0].data()}, {dx[1].data()}};
      ASSERT_TRUE(
          session
              ->backward(batch.inputs, seeds,
                         {.parameters = parameters, .inputs = {into[0], rows}, .rows = rows})
              .ok());
      ASSERT_EQ(instance.backward(batch, dy.data(), rows, parameters, into[1].data()), kOk)
          << instance.error();
      EXPECT_EQ(dx[0], dx[1]);
      EXPECT_NE(dx[0], std::vector<float>(kRows * kIn));
    }
    expect_same(*session, instance, true, " of a loss");
    ASSERT_TRUE(session->apply_gradients().ok());
    ASSERT_EQ(instance.apply(), kOk);
    expect_same(*session, instance, false, " behind it");
    // What it was not compiled with is a status.
    EXPECT_EQ(instance.gradients(batch, nullptr, rows, true, nullptr), kNoEntry);
    EXPECT_NE(instance.error().find("without its entry loss_to_parameters"), std::string::npos)
        << instance.error();
    EXPECT_EQ(instance.set("learning_rate", 0.1), kNoEntry);
    EXPECT_EQ(instance.backward(batch, nullptr, rows, true, nullptr), kInvalidArgument);
  }
}

TEST(CompiledLibrary, WithoutEntriesOfHostsCallsAreStatuses) {
  const Library library(model_with(R"("adam")"), "");
  Instance instance(library);
  const Batch batch(0);
  std::vector<float> numbers(kRows * kIn);
  void* into[] = {numbers.data()};
  EXPECT_EQ(instance.gradients(batch, nullptr, kRows, true, nullptr), kNoEntry);
  EXPECT_EQ(instance.gradients(batch, nullptr, 3, false, into), kNoEntry);
  EXPECT_EQ(instance.apply(), kNoEntry);
  EXPECT_EQ(instance.forward(batch, kRows, numbers.data()), kNoEntry);
  EXPECT_EQ(instance.backward(batch, numbers.data(), kRows, true, nullptr), kNoEntry);
  EXPECT_EQ(instance.set("learning_rate", 0.5), kNoEntry);
  double value = 0;
  EXPECT_EQ(instance.get("learning_rate", &value), kNoEntry);
  EXPECT_EQ((library.call<const char*, int64_t>("hyperparameter_name", 0)), nullptr);
  EXPECT_TRUE(instance.memory("gradient/y/kernel").empty());
  EXPECT_FALSE(instance.memory("y/kernel").empty());
  EXPECT_NE(library.header().find("for hosts that train by hand: nothing"), std::string::npos);
  EXPECT_NE(library.header().find("#define M_HAS_GRADIENTS 0"), std::string::npos);
  EXPECT_EQ(instance.gradients(batch, nullptr, 9, true, nullptr), kInvalidArgument);
  EXPECT_EQ(instance.gradients(batch, nullptr, kRows, false, nullptr), kInvalidArgument);
}

TEST(CompiledLibrary, InstancesShareWeights) {
  const std::string text = model_with(R"("adam")");
  const Library library(text, "--entries gradients");
  const auto alone = session_of(text);
  Instance first(library);
  Instance second(library, {.weights_of = first.handle()});
  EXPECT_EQ(first.memory("y/kernel").data(), second.memory("y/kernel").data());
  EXPECT_EQ(first.memory("optimizer/iteration").data(),
            second.memory("optimizer/iteration").data());
  EXPECT_NE(first.memory("gradient/y/kernel").data(), second.memory("gradient/y/kernel").data());
  for (int step = 0; step < 4; ++step) {
    const Batch batch(step);
    ASSERT_TRUE(alone->step(batch.inputs, batch.targets).ok());
    ASSERT_EQ((step % 2 == 0 ? first : second).step(batch, nullptr, kRows), kOk);
  }
  expect_same(*alone, first, false, " trained in turn");
  // A model of its own is no other's.
  const Library other(text, "");
  void* handle = nullptr;
  const Options options{.weights_of = first.handle()};
  EXPECT_EQ((other.call<int, const Options*, void**>("create_with", &options, &handle)),
            kInvalidArgument);
  EXPECT_EQ((other.call<int, const Options*, void**>("create_with", nullptr, &handle)),
            kInvalidArgument);
  EXPECT_EQ(handle, nullptr);
}

/// Threads that a host has: each run takes fresh ones.
void run_on_threads(void* user, void (*work)(void*, int32_t), void* argument, int32_t threads) {
  ++*static_cast<int*>(user);
  std::vector<std::thread> all;
  for (int32_t i = 0; i < threads; ++i)
    all.emplace_back([=] { work(argument, i); });
  for (std::thread& one : all)
    one.join();
}

TEST(CompiledLibrary, RunsOnTheHostsThreads) {
  const std::string text = model_with(R"("adam")");
  const Library library(text, "");
  int runs = 0;
  const auto session = session_of(text);
  Instance instance(library, {.threads = 3, .run = run_on_threads, .user = &runs});
  for (int step = 0; step < 3; ++step) {
    const Batch batch(step);
    ASSERT_TRUE(session->step(batch.inputs, batch.targets).ok());
    const int before = runs;
    ASSERT_EQ(instance.step(batch, nullptr, kRows), kOk);
    EXPECT_EQ(runs, before + 1);
  }
  expect_same(*session, instance, false, " on three threads");
}

/// By its header, from C, without a warning; and after create nothing is allocated.
constexpr const char* kProgram = R"(
#include "m.h"
#include <stdio.h>
static long allocations;
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void* malloc(size_t bytes) { ++allocations; return __libc_malloc(bytes); }
void* calloc(size_t count, size_t bytes) { ++allocations; return __libc_calloc(count, bytes); }
void* realloc(void* old, size_t bytes) { ++allocations; return __libc_realloc(old, bytes); }
void* aligned_alloc(size_t alignment, size_t bytes) { ++allocations; return __libc_memalign(alignment, bytes); }
static char memory[4 << 20];
static float x[M_BATCH_SIZE * 6], y[M_BATCH_SIZE * 2], out[M_BATCH_SIZE * 2], dx[M_BATCH_SIZE * 6];
int main(void) {
  m *a = NULL, *b = NULL;
  m_options options = {0};
  const void *in[] = {x}, *target[] = {y}, *dy[] = {y};
  void *outs[] = {out}, *into[] = {dx};
  double rate = 0;
  long before;
  for (int i = 0; i < M_BATCH_SIZE * 6; ++i) x[i] = (float)(i % 7) - 3.0F;
  for (int i = 0; i < M_BATCH_SIZE * 2; ++i) y[i] = (float)(i % 3) - 1.0F;
  if (m_memory_bytes(1) > sizeof memory) return 1;
  options.memory = memory;
  options.bytes = sizeof memory;
  options.threads = 1;
  if (m_create_with(&options, &a) != M_OK || m_init(a, 1) != M_OK) return 2;
  before = allocations;
  for (int step = 0; step < 3; ++step) {
    const int64_t rows = step == 1 ? 5 : M_BATCH_SIZE;
    if (m_train_step(a, in, target, rows, NULL) != M_OK) return 3;
    if (m_gradients(a, in, target, rows, NULL, 1, into) != M_OK || m_apply_gradients(a) != M_OK) return 4;
    if (m_forward(a, in, rows, outs) != M_OK || m_backward(a, in, dy, rows, 1, into) != M_OK) return 5;
    if (m_backward(a, in, dy, rows, 0, into) != M_OK || m_gradients(a, in, target, rows, NULL, 0, into) != M_OK) return 6;
    if (m_hyperparameter(a, "learning_rate", &rate) != M_OK) return 7;
    if (step == 1 && m_set_hyperparameter(a, "learning_rate", 0.5 * rate) != M_OK) return 8;
  }
  if (allocations != before) { printf("%ld allocations\n", allocations - before); return 9; }
  m_destroy(a);
  return m_create(NULL, 0, 1, &b) == M_OK && allocations > before && (m_destroy(b), 1) ? 0 : 10;
}
)";

TEST(CompiledLibrary, FromCNothingIsAllocatedAfterCreate) {
  const Scratch folder;
  write_text_file(folder / "m.json", model_with(kOptimizers[2]));
  const Outcome made = gradc("compile " + (folder / "m.json") + " --emit static --entries all -o " +
                             (folder / "libm_model.a"));
  ASSERT_EQ(made.code, 0) << made.output;
  write_text_file(folder / "main.c", kProgram);
  write_text_file(folder / "as_cpp.cpp",
                  "#include \"m.h\"\nint unused(m* a) { return m_apply_gradients(a); }\n");
  const Outcome built =
      shell("cd " + (folder / "") +
            " && c++ -std=c++17 -Wall -Wextra -Wshadow -Wpedantic -Werror -c as_cpp.cpp"
            " && cc -std=c11 -Wall -Wextra -Wshadow -Werror -pedantic main.c libm_model.a -lm "
            "-lpthread -o main");
  ASSERT_EQ(built.code, 0) << built.output;
  const Outcome ran = shell("cd " + (folder / "") + " && ./main");
  EXPECT_EQ(ran.code, 0) << ran.output;
}

/// The example's own commands.
TEST(CompiledLibrary, TwoWorkers) {
  const Scratch folder;
  const Outcome built = shell("cd " + (folder / "") + " && " + tool() + " compile " +
                              source("examples/regression_100.json") +
                              " --emit static --entries gradients,numbers -o libregression.a && cc "
                              "-Wall -Wextra -Werror -I. " +
                              source("examples/host_compiled/two_workers.c") +
                              " libregression.a -lm -lpthread -o two_workers");
  ASSERT_EQ(built.code, 0) << built.output;
  const Outcome ran = shell(folder / "two_workers");
  EXPECT_EQ(ran.code, 0) << ran.output;
  std::printf("%s", ran.output.c_str());
}

TEST(CompiledLibrary, OptionsThatDoNotFitAreTold) {
  const Scratch folder;
  write_text_file(folder / "m.json", model_with(R"("adam")"));
  write_text_file(
      folder / "p.json",
      R"({"name": "p", "inputs": [{"name": "x", "shape": [6]}], "layers": [{"type": "dense", "units": 2}]})");
  const auto compile = [&](const std::string& arguments) {
    return gradc("compile " + (folder / arguments));
  };
  const Outcome program = compile("m.json --entries gradients -o " + (folder / "exe"));
  EXPECT_EQ(program.code, 2) << program.output;
  EXPECT_NE(program.output.find("a program is no library"), std::string::npos) << program.output;
  const Outcome misspelt =
      compile("m.json --emit static --entries gradient -o " + (folder / "a.a"));
  EXPECT_EQ(misspelt.code, 2);
  EXPECT_NE(misspelt.output.find("did you mean \"gradients\"?"), std::string::npos)
      << misspelt.output;
  const Outcome untrained =
      compile("p.json --emit static --entries gradients -o " + (folder / "a.a"));
  EXPECT_EQ(untrained.code, 1);
  EXPECT_NE(untrained.output.find("no \"training\" section"), std::string::npos)
      << untrained.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "a.a"));
  const Outcome all = compile("p.json --emit static --entries all -o " + (folder / "a.a"));
  EXPECT_EQ(all.code, 0) << all.output;
  EXPECT_NE(read_file(folder / "p.h").find("#define P_HAS_OWN_LOSSES 1"), std::string::npos);
}

}  // namespace
}  // namespace gradc::test
