/* Trains a small network from C: host_c MODEL.json
 * The model has one f32 input and one f32 target. */
#include <gradc/gradc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float uniform(unsigned* state) {
  *state = *state * 1664525U + 1013904223U;
  return (float)(*state >> 8) / 8388608.0F - 1.0F;
}

/* A buffer for the only tensor of a kind, of a whole batch; *elements gets how many it has. The
 * shape lives as long as the session. */
static gradc_view buffer_for(const gradc_session* session, const char* kind, size_t* elements) {
  gradc_tensor_info info;
  gradc_view view = {0};
  *elements = 0;
  for (size_t i = 0; i < gradc_session_num_tensors(session); ++i) {
    if (gradc_session_tensor(session, i, &info) != GRADC_OK || strcmp(info.kind, kind) != 0)
      continue;
    *elements = (size_t)info.bytes / sizeof(float);
    view = (gradc_view){info.name, "f32", info.shape, info.rank, malloc((size_t)info.bytes)};
  }
  return view;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: host_c MODEL.json\n");
    return 2;
  }
  char error[4096];
  gradc_options options = {.threads = 1, .has_seed = 1, .seed = 1};
  gradc_session* session = gradc_session_load(argv[1], &options, error, sizeof error);
  if (session == NULL) {
    fprintf(stderr, "%s", error);
    return 1;
  }
  const size_t batch = (size_t)gradc_session_batch_size(session);
  size_t num_in = 0, num_out = 0;
  const gradc_view input = buffer_for(session, "input", &num_in);
  const gradc_view target = buffer_for(session, "target", &num_out);
  const size_t in = num_in / batch, out = num_out / batch;
  float *x = input.data, *y = target.data;
  unsigned random = 7;
  float first = 0.0F, loss = 0.0F;
  gradc_status status = GRADC_OK;
  for (int step = 0; step < 400 && status == GRADC_OK; ++step) {
    for (size_t i = 0; i < num_in; ++i)
      x[i] = uniform(&random);
    for (size_t row = 0; row < batch; ++row) {
      for (size_t j = 0; j < out; ++j)
        y[row * out + j] = 0.5F * x[row * in + j % in];
    }
    status = gradc_session_step(session, &input, 1, &target, 1, &loss);
    if (step == 0) first = loss;
    if (step % 100 == 0) printf("step %3d  loss %.5f\n", step, (double)loss);
  }
  if (status != GRADC_OK) fprintf(stderr, "%s", gradc_last_error(session));
  printf("final loss %.5f\n", (double)loss);
  free(x);
  free(y);
  gradc_session_destroy(session);
  return status == GRADC_OK && loss < 0.5F * first ? 0 : 1;
}
