/* A plain C program on the compiled-library ABI, linked by the C compiler with libgradc_aot.a, libm
 * and threads alone: it links only if the runtime core needs nothing of the C++ library. The model
 * is y = a x, trained by hand. */
#include "runtime/aot_cli.h"
#include "runtime/library.h"

#include <stdio.h>
#include <string.h>

enum { kX, kY, kA, kLoss, kOut, kSlots };

/* The kernels have all slots as their arguments. */
static void train_step(void* const* slots, int32_t thread, int32_t threads, void* scratch) {
  (void)thread, (void)threads, (void)scratch;
  const float* x = slots[kX];
  const float* y = slots[kY];
  float* a = slots[kA];
  float loss = 0;
  float gradient = 0;
  for (int i = 0; i < 4; ++i) {
    const float error = a[0] * x[i] - y[i];
    loss += error * error / 4;
    gradient += 2 * error * x[i] / 4;
  }
  a[0] -= 0.05f * gradient;
  *(float*)slots[kLoss] = loss;
}

static void predict(void* const* slots, int32_t thread, int32_t threads, void* scratch) {
  (void)thread, (void)threads, (void)scratch;
  for (int i = 0; i < 4; ++i)
    ((float*)slots[kOut])[i] = ((const float*)slots[kA])[0] * ((const float*)slots[kX])[i];
}

static const gradc_rt_tensor tensors[kSlots] = {
    {.name = "input/x", .kind = GRADC_RT_INPUT, .rank = 1, .dims = {4}, .bytes = 16, .slot = kX},
    {.name = "target/y", .kind = GRADC_RT_TARGET, .rank = 1, .dims = {4}, .bytes = 16, .slot = kY},
    {.name = "line/a", .kind = GRADC_RT_PARAMETER, .rank = 1, .dims = {1}, .bytes = 4, .slot = kA},
    {.name = "loss", .kind = GRADC_RT_LOSS, .bytes = 4, .slot = kLoss},
    {.name = "output/y",
     .kind = GRADC_RT_OUTPUT,
     .rank = 1,
     .dims = {4},
     .bytes = 16,
     .slot = kOut},
};
static const gradc_rt_kernel kernels[] = {{.fn = predict}, {.fn = train_step}};
static const gradc_rt_argument arguments[kSlots] = {
    {.base = kX}, {.base = kY}, {.base = kA}, {.base = kLoss}, {.base = kOut}};
static const gradc_rt_step calls[] = {{.kernel = 0, .num_arguments = kSlots},
                                      {.kernel = 1, .num_arguments = kSlots}};
static const gradc_rt_entry entries[GRADC_RT_ENTRY_COUNT] = {
    {.name = "predict",
     .compiled = 1,
     .num_steps = 1,
     .steps = &calls[0],
     .num_arguments = kSlots,
     .arguments = arguments,
     .kernels = kernels},
    {.name = "evaluate"},
    {.name = "evaluate_tail"},
    {.name = "train_step",
     .compiled = 1,
     .num_steps = 1,
     .steps = &calls[1],
     .num_arguments = kSlots,
     .arguments = arguments,
     .kernels = kernels},
    {.name = "train_step_tail"},
    {.name = "gradients"},
    {.name = "step"},
};
static const gradc_rt_model model = {
    .abi_version = GRADC_RT_ABI_VERSION,
    .name = "line",
    .batch_size = 4,
    .num_tensors = kSlots,
    .tensors = tensors,
    .num_slots = kSlots,
    .entries = entries,
    .compiler = "a hand",
};

const gradc_rt_model* gradc_model(void);
const gradc_rt_model* gradc_model(void) {
  return &model;
}

#define CHECK(condition)                                         \
  do {                                                           \
    if (!(condition)) {                                          \
      fprintf(stderr, "%d: failed: %s\n", __LINE__, #condition); \
      return 1;                                                  \
    }                                                            \
  } while (0)

int gradc_c_link_check(void);
int gradc_c_link_check(void) {
  static char memory[1 << 20];
  const float x[4] = {1, 2, 3, 4};
  const float y[4] = {3, 6, 9, 12};
  const void* inputs[] = {x};
  const void* targets[] = {y};
  float out[4];
  void* outputs[] = {out};
  gradc_rt_handle* handle = NULL;
  CHECK(gradc_rt_memory_bytes(&model, 2) <= sizeof memory);
  CHECK(gradc_rt_create(&model, memory, sizeof memory, 2, &handle) == GRADC_RT_OK);
  CHECK(gradc_rt_init(handle, 1) == GRADC_RT_OK);
  float first = 0;
  float last = 0;
  CHECK(gradc_rt_train_step(handle, inputs, targets, 4, &first) == GRADC_RT_OK);
  for (int i = 0; i < 50; ++i)
    CHECK(gradc_rt_train_step(handle, inputs, targets, 4, &last) == GRADC_RT_OK);
  CHECK(last < 1e-6f * first);
  CHECK(gradc_rt_predict(handle, inputs, 4, outputs) == GRADC_RT_OK);
  CHECK(out[3] > 11.99f && out[3] < 12.01f);
  CHECK(gradc_rt_train_step(handle, inputs, targets, 3, &last) == GRADC_RT_NO_ENTRY);
  CHECK(strstr(gradc_rt_last_error(handle), "without its entry train_step_tail") != NULL);
  gradc_rt_destroy(handle);
  const char* info[] = {"line", "info"};
  CHECK(gradc_rt_main(&model, 2, info) == 0);
  return 0;
}

int main(void) {
  return gradc_c_link_check();
}
