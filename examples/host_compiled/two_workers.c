/* Data-parallel training with a compiled library: two instances each take the gradients of half of
 * the rows, their mean makes the step of both, and nothing of gradc is there when it runs.
 *
 *   gradc compile examples/regression_100.json --emit static --entries gradients,numbers -o
 * libregression.a cc -I. examples/host_compiled/two_workers.c libregression.a -lm -lpthread -o
 * two_workers && ./two_workers
 */
#include "regression_100.h"

#include <pthread.h>
#include <stdio.h>

#if !REGRESSION_100_HAS_GRADIENTS
#error "compile the model with --entries gradients,numbers"
#endif

enum { kWorkers = 2, kBatch = REGRESSION_100_BATCH_SIZE, kIn = 100, kOut = 10, kSteps = 300 };

/* The parameters, as the header lists them. */
static const char* const kParameters[] = {"dense/kernel", "dense/bias", "values/kernel",
                                          "values/bias"};
enum { kNumParameters = sizeof kParameters / sizeof kParameters[0] };

typedef struct Worker {
  regression_100* model;
  unsigned random;
  int status;
  float loss;
  float x[kBatch * kIn], y[kBatch * kOut];
} Worker;

static float uniform(unsigned* state) {
  *state = *state * 1664525U + 1013904223U;
  return (float)(*state >> 8) / 8388608.0F - 1.0F;
}

/* Rows of its own, and the gradients of the loss on them. */
static void* work(void* argument) {
  Worker* worker = argument;
  for (int i = 0; i < kBatch * kIn; ++i)
    worker->x[i] = uniform(&worker->random);
  for (int row = 0; row < kBatch; ++row) {
    for (int j = 0; j < kOut; ++j)
      worker->y[row * kOut + j] = 0.5F * worker->x[row * kIn + j];
  }
  const void* inputs[] = {worker->x};
  const void* targets[] = {worker->y};
  worker->status = regression_100_gradients(worker->model, inputs, targets, kBatch, &worker->loss,
                                            /* parameters: */ 1, /* input_gradients: */ NULL);
  return NULL;
}

/* Each gradient becomes the mean of the workers'. */
static int average(Worker* workers) {
  char name[64];
  for (int p = 0; p < kNumParameters; ++p) {
    float* gradients[kWorkers];
    size_t bytes = 0;
    snprintf(name, sizeof name, "gradient/%s", kParameters[p]);
    for (int w = 0; w < kWorkers; ++w)
      gradients[w] = regression_100_tensor_memory(workers[w].model, name, &bytes);
    if (gradients[0] == NULL) return 0;
    for (size_t i = 0; i < bytes / sizeof(float); ++i) {
      const float mean = 0.5F * (gradients[0][i] + gradients[1][i]);
      gradients[0][i] = gradients[1][i] = mean;
    }
  }
  return 1;
}

int main(void) {
  static Worker workers[kWorkers];
  for (int w = 0; w < kWorkers; ++w) {
    workers[w].random = 7U + (unsigned)w;
    int status = regression_100_create(NULL, 0, 1, &workers[w].model);
    if (status == REGRESSION_100_OK) status = regression_100_init(workers[w].model, 1);
    if (status != REGRESSION_100_OK) {
      fprintf(stderr, "%s\n", regression_100_status_text(status));
      return 1;
    }
  }
  float first = 0.0F, last = 0.0F;
  for (int step = 0; step < kSteps; ++step) {
    pthread_t threads[kWorkers];
    for (int w = 0; w < kWorkers; ++w) {
      if (pthread_create(&threads[w], NULL, work, &workers[w]) != 0) return 1;
    }
    for (int w = 0; w < kWorkers; ++w)
      pthread_join(threads[w], NULL);
    if (!average(workers)) return 1;
    for (int w = 0; w < kWorkers; ++w) {
      if (step == kSteps / 2) { /* smaller steps settle it */
        double rate = 0.0;
        (void)regression_100_hyperparameter(workers[w].model, "learning_rate", &rate);
        (void)regression_100_set_hyperparameter(workers[w].model, "learning_rate", 0.2 * rate);
      }
      if (workers[w].status != REGRESSION_100_OK ||
          regression_100_apply_gradients(workers[w].model) != REGRESSION_100_OK) {
        fprintf(stderr, "%s\n", regression_100_last_error(workers[w].model));
        return 1;
      }
    }
    last = 0.5F * (workers[0].loss + workers[1].loss);
    if (step == 0) first = last;
    if (step % 50 == 0) printf("step %3d  loss %.5f\n", step, (double)last);
  }
  /* Equal gradients keep equal weights. */
  size_t bytes = 0;
  const float* const a = regression_100_tensor_memory(workers[0].model, "dense/kernel", &bytes);
  const float* const b = regression_100_tensor_memory(workers[1].model, "dense/kernel", NULL);
  int equal = a != NULL && b != NULL;
  for (size_t i = 0; equal && i < bytes / sizeof(float); ++i)
    equal = a[i] == b[i];
  for (int w = 0; w < kWorkers; ++w)
    regression_100_destroy(workers[w].model);
  printf("loss %.5f -> %.5f, the workers' weights are %s\n", (double)first, (double)last,
         equal ? "the same" : "not the same");
  return equal && last < 0.3F * first ? 0 : 1;
}
