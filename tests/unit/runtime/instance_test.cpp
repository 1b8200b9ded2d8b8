// Instances: memory of the caller, lazy entries, binding, and no allocation in steps.
#include "runtime/instance.h"

#include "runtime/processor.h"
#include "runtime/train_loop.h"
#include "runtime/weights.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;
using testing::make_part;
using testing::OwnedInstance;

TEST(Abi, TablesAreMadeOfEightByteFields) {
  static_assert(sizeof(gradc_rt_initializer) == 13 * 8);
  static_assert(sizeof(gradc_rt_column) == 9 * 8);
  static_assert(sizeof(gradc_rt_data) == 54 * 8);
  static_assert(sizeof(gradc_rt_tensor) == (11 + GRADC_RT_MAX_RANK) * 8);
  static_assert(sizeof(gradc_rt_entry) == 12 * 8);
  static_assert(sizeof(gradc_rt_step) == 9 * 8);
  static_assert(sizeof(gradc_rt_argument) == 2 * 8);
  static_assert(sizeof(gradc_rt_training) == 18 * 8);
  static_assert(sizeof(gradc_rt_hyperparameter) == 5 * 8);
  static_assert(sizeof(gradc_rt_number) == (3 + GRADC_RT_MAX_NUMBER_STEPS) * 8);
  static_assert(sizeof(gradc_rt_model) == (7 + 18 + 14) * 8);
}

TEST(Instance, LivesInTheCallersMemory) {
  FakeModel model;
  const size_t bytes = Instance::memory_bytes(model.get(), 2);
  std::vector<char> memory(bytes + 1 + 64, 'x');
  Instance* instance = nullptr;
  ASSERT_TRUE(Instance::create(model.get(), {2}, memory.data() + 1, bytes, &instance).ok());
  const char* first = memory.data() + 1;
  for (size_t i = 0; i < instance->num_tensors(); ++i) {
    const char* data = static_cast<const char*>(instance->data(i));
    EXPECT_GE(data, first);
    EXPECT_LE(data + instance->tensor(i).bytes, first + bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % GRADC_RT_ALIGNMENT, 0u);
  }
  ASSERT_TRUE(instance->initialize(1).ok());
  Instance::destroy(instance);
  EXPECT_EQ(memory[bytes + 1], 'x');
  EXPECT_EQ(memory[0], 'x');
  const Status status = Instance::create(model.get(), {2}, memory.data(), bytes - 1, &instance);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(strstr(status.text.c_str(), "the model needs"), nullptr);
}

TEST(Instance, RefusesAnotherAbi) {
  FakeModel model;
  model.edit().abi_version = 99;
  Instance* instance = nullptr;
  const Status status = Instance::create(model.get(), {1}, nullptr, 0, &instance);
  EXPECT_EQ(status.code, Code::kInternal);
  EXPECT_EQ(instance, nullptr);
}

#if defined(__x86_64__)
TEST(Instance, KnownFeaturesPassUnknownNamesToo) {
  FakeModel model;
  model.edit().target_features = "+sse3,+fast-gather,-avx10.2-512";
  EXPECT_TRUE(check_processor(model.get()).ok());
}
#endif

TEST(Instance, CompilesEntriesWhenFirstNeeded) {
  FakeModelOptions options;
  options.lazy = true;
  FakeModel model(options);
  OwnedInstance instance(model.get());
  EXPECT_EQ(model.compiled_entries(), 0);
  ASSERT_TRUE(instance->initialize(1).ok());
  ASSERT_TRUE(instance->prepare(GRADC_RT_PREDICT).ok());
  EXPECT_EQ(model.compiled_entries(), 1);
  ASSERT_TRUE(instance->prepare(GRADC_RT_PREDICT).ok());
  EXPECT_EQ(model.compiled_entries(), 1);
  instance->run(GRADC_RT_PREDICT);
  ASSERT_TRUE(instance->prepare(GRADC_RT_GRADIENTS).ok());
  const int64_t gradient = instance->find("gradient/linear/kernel");
  ASSERT_NE(instance->data(static_cast<size_t>(gradient)), nullptr);
  instance->run(GRADC_RT_GRADIENTS);
}

TEST(Instance, TimedRunsMeasureEveryStepOnEveryThread) {
  FakeModel model;
  OwnedInstance instance(model.get(), 2);
  ASSERT_TRUE(instance->initialize(1).ok());
  ASSERT_TRUE(instance->prepare(GRADC_RT_TRAIN_STEP).ok());
  StepTime steps[2][3] = {};
  StepEvent events[2][5] = {};
  ThreadTimes times[2];
  for (int t = 0; t < 2; ++t)
    times[t] = {steps[t], 0, events[t], 0, 5};
  for (int run = 0; run < 4; ++run)
    instance->run_timed(GRADC_RT_TRAIN_STEP, times);
  // The loss is thread 0's alone; events beyond the room for them are not kept.
  EXPECT_EQ(steps[0][0].calls, 4);
  EXPECT_EQ(steps[0][1].calls, 4);
  EXPECT_EQ(steps[1][1].calls, 0);
  EXPECT_EQ(steps[1][2].calls, 4);
  for (const ThreadTimes& thread : times) {
    EXPECT_EQ(thread.num_events, 5);
    EXPECT_GT(thread.waiting, 0);
    for (int e = 1; e < 5; ++e)
      EXPECT_LE(thread.events[e - 1].end, thread.events[e].begin);
  }
  EXPECT_EQ(instance->iteration(), 4);
}

TEST(Instance, CompileFailureIsReported) {
  FakeModelOptions options;
  options.lazy = true;
  options.learning_rate = -1;
  FakeModel model(options);
  OwnedInstance instance(model.get());
  const Status status = instance->prepare(GRADC_RT_GRADIENTS);
  EXPECT_EQ(status.text, Str("no gradients today"));
}

TEST(Instance, BindUsesTheCallersBuffers) {
  FakeModel model;
  OwnedInstance instance(model.get());
  ASSERT_TRUE(instance->initialize(9).ok());
  const std::vector<float> w = instance.values("linear/kernel");
  std::vector<float> x{1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1};
  std::vector<float> y(4);
  instance->bind(static_cast<size_t>(instance->find("input/x")), x.data());
  instance->bind(static_cast<size_t>(instance->find("output/y")), y.data());
  instance->run(GRADC_RT_PREDICT);
  EXPECT_EQ(y[0], w[0]);
  EXPECT_EQ(y[1], w[1]);
  EXPECT_EQ(y[2], w[2]);
  instance->bind(static_cast<size_t>(instance->find("output/y")), nullptr);
  EXPECT_NE(instance->data(static_cast<size_t>(instance->find("output/y"))), y.data());
}

TEST(Instance, TwoInstancesShareNothing) {
  FakeModel model;
  OwnedInstance a(model.get());
  OwnedInstance b(model.get());
  ASSERT_TRUE(a->initialize(1).ok());
  ASSERT_TRUE(b->initialize(1).ok());
  EXPECT_EQ(a.values("linear/kernel"), b.values("linear/kernel"));
  static_cast<float*>(a->data(2))[0] = 77;
  EXPECT_NE(a.values("linear/kernel"), b.values("linear/kernel"));
}

}  // namespace
}  // namespace gradc::rt
