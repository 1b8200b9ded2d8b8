/* Trains on arrays of the program's own, as the command trains on files: epochs, shuffling, a
 * smaller last batch, rows held out for validation, the model's early stopping, a callback that
 * ends it when it is good enough. */
#include <gradc/gradc.h>
#include <math.h>
#include <stdio.h>

static const char* kModel =
    "{\"name\": \"rings\", \"inputs\": [{\"name\": \"point\", \"shape\": [2]}],"
    " \"layers\": [{\"type\": \"dense\", \"units\": 24, \"activation\": \"tanh\"},"
    "              {\"type\": \"dense\", \"units\": 2, \"name\": \"ring\"}],"
    " \"training\": {\"loss\": {\"type\": \"sparse_categorical_crossentropy\", \"from_logits\": "
    "true},"
    "                \"optimizer\": {\"type\": \"adam\", \"learning_rate\": 0.02}, \"metrics\": "
    "[\"accuracy\"],"
    "                \"early_stopping\": {\"patience\": 20}, \"batch_size\": 32}}";

enum { kRows = 500, kEpochs = 100 };

/* Points of two rings, and which of them. */
static void draw(float* points, int32_t* rings) {
  for (int i = 0; i < kRows; ++i) {
    const float angle = 2.399963F * (float)i;
    rings[i] = i % 2;
    const float radius = (float)rings[i] + 0.5F + 0.2F * sinf(7.0F * angle);
    points[2 * i] = radius * cosf(angle);
    points[2 * i + 1] = radius * sinf(angle);
  }
}

/* After every epoch; 0 ends training. */
static int32_t heard(void* user, const gradc_train_report* report) {
  double* accuracy = user;
  *accuracy = report->validation_metrics[0];
  if (report->epoch % 2 == 0) {
    printf("epoch %2lld  loss %.4f  of rows held out: loss %.4f, accuracy %.3f\n",
           (long long)report->epoch, report->loss, report->validation_loss, *accuracy);
  }
  return *accuracy < 0.995;
}

int main(void) {
  static float points[2 * kRows];
  static int32_t rings[kRows];
  char error[4096];
  const gradc_options options = {.threads = 1, .has_seed = 1, .seed = 1};
  gradc_session* session = gradc_session_parse(kModel, &options, error, sizeof error);
  if (session == NULL) {
    fprintf(stderr, "%s", error);
    return 1;
  }
  draw(points, rings);
  const int64_t shape[] = {kRows, 2};
  const gradc_view input = {
      .name = "point", .dtype = "f32", .shape = shape, .rank = 2, .data = points};
  const gradc_view target = {
      .name = "ring", .dtype = "i32", .shape = shape, .rank = 1, .data = rings};
  double accuracy = 0.0;
  const gradc_train_options train = {.inputs = &input,
                                     .num_inputs = 1,
                                     .targets = &target,
                                     .num_targets = 1,
                                     .epochs = kEpochs,
                                     .has_validation_split = 1,
                                     .validation_split = 0.2,
                                     .on_epoch = heard,
                                     .user = &accuracy};
  size_t epochs = 0;
  if (gradc_session_train(session, &train, NULL, 0, &epochs) != GRADC_OK) {
    fprintf(stderr, "%s", gradc_last_error(session));
    return 1;
  }
  printf("accuracy %.3f of rows held out after %zu epochs\n", accuracy, epochs);
  gradc_session_destroy(session);
  return accuracy >= 0.995 && epochs < kEpochs ? 0 : 1;
}
