/* A learning-rate range test (Smith 2015): training begins with a tiny learning rate, which grows
 * with every step until the loss runs away; a good rate is well below where it turns. The rate is
 * set while training goes on, and makes no new code. */
#include <gradc/gradc.h>
#include <math.h>
#include <stdio.h>

static const char* kModel =
    "{\"name\": \"curve\", \"inputs\": [{\"name\": \"x\", \"shape\": [2]}],"
    " \"layers\": [{\"type\": \"dense\", \"units\": 32, \"activation\": \"tanh\"},"
    "              {\"type\": \"dense\", \"units\": 1, \"name\": \"y\"}],"
    " \"training\": {\"loss\": \"mse\", \"optimizer\": {\"type\": \"sgd\", \"learning_rate\": "
    "0.001},"
    "                \"batch_size\": 64}}";

enum { kBatch = 64, kSteps = 120 };

static void draw(int step, float* x, float* y) {
  for (int i = 0; i < kBatch; ++i) {
    const float a = 1.7F * (float)step + 0.61F * (float)i;
    x[2 * i] = sinf(a);
    x[2 * i + 1] = cosf(1.3F * a);
    y[i] = x[2 * i] * x[2 * i + 1] + 0.5F;
  }
}

static int fail(const gradc_session* session) {
  fprintf(stderr, "%s", gradc_last_error(session));
  return 1;
}

int main(void) {
  char error[4096];
  const gradc_options options = {.threads = 1, .has_seed = 1, .seed = 1};
  gradc_session* session = gradc_session_parse(kModel, &options, error, sizeof error);
  if (session == NULL) {
    fprintf(stderr, "%s", error);
    return 1;
  }
  float x[2 * kBatch], y[kBatch], loss = 0.0F;
  const gradc_view input = {
      .name = "x", .dtype = "f32", .shape = (const int64_t[]){kBatch, 2}, .rank = 2, .data = x};
  const gradc_view target = {
      .name = "y", .dtype = "f32", .shape = (const int64_t[]){kBatch, 1}, .rank = 2, .data = y};
  /* From 1e-4 to 100, smoothed as averages of about ten steps. */
  double smooth = 0.0, least = 1e30, best = 0.0, ends_at = 0.0;
  for (int step = 0; step < kSteps; ++step) {
    const double rate = 1e-4 * pow(10.0, 6.0 * step / (kSteps - 1));
    if (gradc_session_set_hyperparameter(session, "learning_rate", rate) != GRADC_OK)
      return fail(session);
    draw(step, x, y);
    if (gradc_session_step(session, &input, 1, &target, 1, &loss) != GRADC_OK) return fail(session);
    smooth = step == 0 ? (double)loss : 0.9 * smooth + 0.1 * (double)loss;
    if (step % 10 == 0) printf("rate %9.5f  loss %.4f\n", rate, smooth);
    if (smooth < least) {
      least = smooth;
      best = rate;
    }
    if (!(smooth < 4.0 * least)) {
      ends_at = rate;
      break;
    }
  }
  const double chosen = best / 10.0;
  printf("least loss %.4f at %.3f, lost at %.3f: train with %.3f\n", least, best, ends_at, chosen);

  /* Training with the rate that was found, from new weights. */
  double before = 0.0;
  if (gradc_session_initialize(session, 1) != GRADC_OK ||
      gradc_session_set_hyperparameter(session, "learning_rate", chosen) != GRADC_OK)
    return fail(session);
  for (int step = 0; step < 400; ++step) {
    draw(step, x, y);
    if (gradc_session_step(session, &input, 1, &target, 1, &loss) != GRADC_OK) return fail(session);
    if (step == 0) before = (double)loss;
  }
  printf("loss %.4f at first, %.4f after 400 steps\n", before, (double)loss);
  gradc_session_destroy(session);
  return ends_at > best && chosen > 1e-3 && (double)loss < 0.2 * before ? 0 : 1;
}
