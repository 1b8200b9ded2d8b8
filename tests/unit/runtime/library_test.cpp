// The C ABI of compiled libraries, and the law that a step allocates nothing.
#include "runtime/library.h"

#include "runtime/safetensors.h"
#include "tests/support/sanitized.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <malloc.h>
#include <vector>

// Every allocation of the program is counted here, unless a sanitizer owns the allocator.
namespace {
std::atomic<long> allocations{0};
}

#if !GRADC_SANITIZED
extern "C" {
void* __libc_malloc(size_t);
void* __libc_realloc(void*, size_t);
void* malloc(size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
void* realloc(void* memory, size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(memory, bytes);
}
}
#endif

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::TempDir;

struct Handle {
  gradc_rt_handle* it = nullptr;
  explicit Handle(const FakeModel& model, int32_t threads = 1) {
    EXPECT_EQ(gradc_rt_create(&model.get(), nullptr, 0, threads, &it), GRADC_RT_OK);
    EXPECT_EQ(gradc_rt_init(it, 1), GRADC_RT_OK);
  }
  ~Handle() { gradc_rt_destroy(it); }
  std::vector<float> kernel() const {
    std::vector<float> w(3);
    EXPECT_EQ(gradc_rt_get_parameter(it, "linear/kernel", w.data(), 12), GRADC_RT_OK);
    return w;
  }
};

struct Batch {
  std::vector<float> x{1, 2, 3, -1, 0, 1, 0.5, 0.5, 0.5, 2, -2, 1};
  std::vector<float> y{1, 2, 3, 4};
  const void* inputs[1] = {x.data()};
  const void* targets[1] = {y.data()};
};

TEST(Library, StepsReduceTheLossOnTheCallersBuffers) {
  FakeModel model;
  Handle handle(model, 2);
  Batch batch;
  float first = 0;
  float last = 0;
  ASSERT_EQ(gradc_rt_train_step(handle.it, batch.inputs, batch.targets, 4, &first), GRADC_RT_OK);
  for (int i = 0; i < 30; ++i)
    gradc_rt_train_step(handle.it, batch.inputs, batch.targets, 4, &last);
  EXPECT_LT(last, 0.5f * first);
  float loss = 0;
  float mae = 0;
  ASSERT_EQ(gradc_rt_evaluate(handle.it, batch.inputs, batch.targets, 4, &loss, &mae), GRADC_RT_OK);
  EXPECT_GT(mae, 0);
  int64_t iteration = 0;
  ASSERT_EQ(gradc_rt_get_parameter(handle.it, "optimizer/iteration", &iteration, 8), GRADC_RT_OK);
  EXPECT_EQ(iteration, 31);
}

TEST(Library, PartialBatchesMatchTheirOwnMean) {
  FakeModel model;
  Handle handle(model);
  Batch batch;
  float three = 0;
  float sum = 0;
  ASSERT_EQ(gradc_rt_evaluate(handle.it, batch.inputs, batch.targets, 3, &three, nullptr),
            GRADC_RT_OK);
  for (int row = 0; row < 3; ++row) {
    const void* x[] = {batch.x.data() + 3 * row};
    const void* y[] = {batch.y.data() + row};
    float one = 0;
    ASSERT_EQ(gradc_rt_evaluate(handle.it, x, y, 1, &one, nullptr), GRADC_RT_OK);
    sum += one;
  }
  EXPECT_NEAR(three, sum / 3, 1e-5f);
  std::vector<float> whole(4);
  std::vector<float> part(2, -1);
  void* outputs[] = {whole.data()};
  ASSERT_EQ(gradc_rt_predict(handle.it, batch.inputs, 4, outputs), GRADC_RT_OK);
  outputs[0] = part.data();
  ASSERT_EQ(gradc_rt_predict(handle.it, batch.inputs, 2, outputs), GRADC_RT_OK);
  EXPECT_EQ(part, (std::vector<float>{whole[0], whole[1]}));
}

TEST(Library, SaveAndLoadContinueExactly) {
  TempDir dir;
  FakeModel model;
  Handle a(model);
  Handle b(model);
  Batch batch;
  for (int i = 0; i < 3; ++i)
    gradc_rt_train_step(a.it, batch.inputs, batch.targets, 4, nullptr);
  const std::string path = dir.file("w.safetensors");
  ASSERT_EQ(gradc_rt_save(a.it, path.c_str(), 1), GRADC_RT_OK);
  ASSERT_EQ(gradc_rt_load(b.it, path.c_str()), GRADC_RT_OK);
  for (gradc_rt_handle* handle : {a.it, b.it})
    gradc_rt_train_step(handle, batch.inputs, batch.targets, 4, nullptr);
  EXPECT_EQ(a.kernel(), b.kernel());
}

TEST(Library, MistakesHaveStatusesAndTexts) {
  FakeModel model;
  Handle handle(model);
  Batch batch;
  float value = 0;
  EXPECT_EQ(gradc_rt_get_parameter(handle.it, "nobody", &value, 4), GRADC_RT_UNKNOWN_NAME);
  EXPECT_STREQ(gradc_rt_last_error(handle.it), "no parameter or state is named \"nobody\"");
  EXPECT_EQ(gradc_rt_get_parameter(handle.it, "loss", &value, 4), GRADC_RT_UNKNOWN_NAME);
  EXPECT_EQ(gradc_rt_set_parameter(handle.it, "linear/kernel", &value, 4), GRADC_RT_WRONG_SIZE);
  EXPECT_STREQ(gradc_rt_last_error(handle.it), "\"linear/kernel\" has 12 bytes, the buffer 4");
  EXPECT_EQ(gradc_rt_train_step(handle.it, batch.inputs, batch.targets, 5, &value),
            GRADC_RT_INVALID_ARGUMENT);
  EXPECT_EQ(gradc_rt_train_step(handle.it, batch.inputs, batch.targets, 0, &value),
            GRADC_RT_INVALID_ARGUMENT);
  EXPECT_EQ(gradc_rt_train_step(handle.it, nullptr, batch.targets, 4, &value),
            GRADC_RT_INVALID_ARGUMENT);
  EXPECT_EQ(gradc_rt_load(handle.it, "/no/such/file"), GRADC_RT_FILE_ERROR);
  EXPECT_NE(strstr(gradc_rt_last_error(handle.it), "No such file"), nullptr);
  EXPECT_EQ(gradc_rt_init(nullptr, 1), GRADC_RT_INVALID_ARGUMENT);
  gradc_rt_handle* none = nullptr;
  char memory[64];
  EXPECT_EQ(gradc_rt_create(&model.get(), memory, sizeof memory, 1, &none),
            GRADC_RT_MEMORY_TOO_SMALL);
  model.edit().abi_version = 0;
  EXPECT_EQ(gradc_rt_create(&model.get(), nullptr, 0, 1, &none), GRADC_RT_INTERNAL);
  for (int s = 0; s < GRADC_RT_STATUS_COUNT; ++s)
    EXPECT_STRNE(gradc_rt_status_text(s), "unknown status");
}

TEST(Library, LoadingWhatDoesNotFitChangesNothing) {
  TempDir dir;
  FakeModel model;
  Handle handle(model);
  const std::vector<float> before = handle.kernel();
  const float kernel[] = {7, 8, 9};
  const float bias[] = {1, 2};
  const int64_t kernel_dims[] = {3, 1};
  const int64_t bias_dims[] = {2};
  Vec<TensorView> views;
  views.push({"linear/kernel", Dtype::kF32, {kernel_dims, 2}, kernel, 12});
  views.push({"linear/bias", Dtype::kF32, {bias_dims, 1}, bias, 8});
  views.push({"extra/bias", Dtype::kF32, {bias_dims, 1}, bias, 8});
  const std::string path = dir.file("w.safetensors");
  ASSERT_TRUE(write_safetensors(path.c_str(), {views.data(), views.size()}, {}).ok());
  EXPECT_EQ(gradc_rt_load(handle.it, path.c_str()), GRADC_RT_FILE_ERROR);
  const std::string text = gradc_rt_last_error(handle.it);
  EXPECT_NE(text.find("linear/bias: is f32[2], the model's tensor is f32[1]"), std::string::npos)
      << text;
  EXPECT_NE(text.find("\"extra/bias\" f32[2] is not in model \"fake\""), std::string::npos) << text;
  EXPECT_EQ(handle.kernel(), before);
}

TEST(Library, StepsAllocateNothing) {
  if (GRADC_SANITIZED == 1) GTEST_SKIP() << "the sanitizer owns the allocator";
  FakeModel model;
  Handle handle(model, 2);
  Batch batch;
  float loss = 0;
  float mae = 0;
  std::vector<float> y(4);
  void* outputs[] = {y.data()};
  const long probe = allocations.load();
  std::vector<char>* block = new std::vector<char>(10);
  EXPECT_GT(allocations.load(), probe) << "the counter does not count";
  delete block;
  const long before = allocations.load();
  for (int i = 0; i < 100; ++i) {
    gradc_rt_train_step(handle.it, batch.inputs, batch.targets, i % 2 == 0 ? 4 : 3, &loss);
    gradc_rt_evaluate(handle.it, batch.inputs, batch.targets, i % 2 == 0 ? 4 : 3, &loss, &mae);
    gradc_rt_predict(handle.it, batch.inputs, i % 2 == 0 ? 4 : 3, outputs);
  }
  EXPECT_EQ(allocations.load(), before);
}

}  // namespace
}  // namespace gradc::rt
