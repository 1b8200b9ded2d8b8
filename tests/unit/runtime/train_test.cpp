// Training, evaluation, prediction, checkpoints with the fake model: learning, determinism,
// resuming, tails.
#include "runtime/checkpoint.h"
#include "runtime/train_loop.h"
#include "runtime/weights.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::make_part;
using testing::OwnedInstance;
using testing::TempDir;

struct Outcome {
  std::vector<float> kernel, bias, momentum;
  TrainResult result;
  Status status;
};

struct StopAt {
  int64_t countdown;
};

bool stop_later(void* user, const StepReport&) {
  return --static_cast<StopAt*>(user)->countdown > 0;
}

Outcome train_fake(int32_t threads, int64_t rows, TrainOptions options,
                   int64_t validation_rows = 0) {
  FakeModel model;
  OwnedInstance instance(model.get(), threads);
  EXPECT_TRUE(instance->initialize(options.seed).ok());
  const DataPart part = make_part(model, rows);
  const DataPart held = make_part(model, validation_rows > 0 ? validation_rows : 1, 99);
  Feed feed;
  Feed validation;
  EXPECT_TRUE(feed.prepare(*instance, part, 0, rows, true, TargetNeed::kRequired).ok());
  EXPECT_TRUE(validation.prepare(*instance, held, 0, held.rows, false, TargetNeed::kRequired).ok());
  Outcome run;
  run.status =
      train(*instance, feed, validation_rows > 0 ? &validation : nullptr, options, &run.result);
  run.kernel = instance.values("linear/kernel");
  run.bias = instance.values("linear/bias");
  run.momentum = instance.values("optimizer/linear/kernel/momentum");
  return run;
}

TrainOptions options_for(int64_t epochs) {
  TrainOptions options;
  options.epochs = epochs;
  options.seed = 42;
  return options;
}

void expect_same(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.kernel, b.kernel);
  EXPECT_EQ(a.bias, b.bias);
  EXPECT_EQ(a.momentum, b.momentum);
}

TEST(Train, LearnsTheLine) {
  const Outcome run = train_fake(1, 200, options_for(40));
  ASSERT_TRUE(run.status.ok()) << run.status.text.c_str();
  EXPECT_NEAR(run.kernel[0], 2.0, 1e-3);
  EXPECT_NEAR(run.kernel[1], -1.0, 1e-3);
  EXPECT_NEAR(run.kernel[2], 0.5, 1e-3);
  EXPECT_NEAR(run.bias[0], 1.0, 1e-3);
  EXPECT_EQ(run.result.steps, 40 * 50);
}

TEST(Train, SameBitsForAnyThreadCountAndRun) {
  const Outcome one = train_fake(1, 101, options_for(3));  // 101 = 25 batches and a tail of 1
  ASSERT_TRUE(one.status.ok());
  expect_same(one, train_fake(1, 101, options_for(3)));
  expect_same(one, train_fake(2, 101, options_for(3)));
  expect_same(one, train_fake(3, 101, options_for(3)));
  TrainOptions other = options_for(3);
  other.seed = 43;
  EXPECT_NE(one.kernel, train_fake(1, 101, other).kernel);
}

TEST(Train, TailBatchIsTrainedWithItsOwnMean) {
  // 5 rows in batches of 4 without shuffling: the second step must be the exact gradient step on
  // row 4 alone.
  TrainOptions options = options_for(1);
  options.shuffle = false;
  const Outcome run = train_fake(1, 5, options);
  ASSERT_TRUE(run.status.ok());
  EXPECT_EQ(run.result.steps, 2);
  FakeModel model;
  OwnedInstance instance(model.get());
  ASSERT_TRUE(instance->initialize(42).ok());
  const DataPart part = make_part(model, 5);
  std::vector<double> w, v(3), b{0};
  for (float value : instance.values("linear/kernel"))
    w.push_back(static_cast<double>(value));
  for (int64_t step = 0; step < 2; ++step) {
    const size_t first = step == 0 ? 0 : 4;
    const size_t count = step == 0 ? 4 : 1;
    std::vector<double> gw(3);
    double gb = 0;
    for (size_t r = first; r < first + count; ++r) {
      double error = b[0] - load_f64(part.arrays[1].data.data(), Dtype::kF64, r);
      for (size_t j = 0; j < 3; ++j)
        error += w[j] * load_f64(part.arrays[0].data.data(), Dtype::kF64, r * 3 + j);
      for (size_t j = 0; j < 3; ++j) {
        gw[j] += 2 * error * load_f64(part.arrays[0].data.data(), Dtype::kF64, r * 3 + j) /
                 static_cast<double>(count);
      }
      gb += 2 * error / static_cast<double>(count);
    }
    for (size_t j = 0; j < 3; ++j) {
      v[j] = 0.9 * v[j] - 0.05 * gw[j];
      w[j] += v[j];
    }
    b[0] -= 0.05 * gb;
  }
  for (size_t j = 0; j < 3; ++j)
    EXPECT_NEAR(static_cast<double>(run.kernel[j]), w[j], 1e-5);
  EXPECT_NEAR(static_cast<double>(run.bias[0]), b[0], 1e-5);
}

TEST(Train, ResumeGivesTheSameBitsAsNeverStopping) {
  const Outcome whole = train_fake(1, 50, options_for(4));
  for (int64_t stop_after : {1, 7, 13, 26, 40}) {  // within an epoch, at its end (13 steps), later
    TempDir dir;
    const std::string path = dir.file("c.safetensors");
    TrainOptions options = options_for(4);
    options.checkpoint = path.c_str();
    StopAt stop{stop_after};
    options.user = &stop;
    options.on_step = stop_later;
    const Outcome stopped = train_fake(2, 50, options);
    EXPECT_EQ(stopped.status.code, Code::kStopped) << stop_after;
    options.on_step = nullptr;
    options.resume = true;
    const Outcome resumed = train_fake(1, 50, options);
    ASSERT_TRUE(resumed.status.ok()) << resumed.status.text.c_str();
    EXPECT_EQ(resumed.result.steps, whole.result.steps);
    EXPECT_EQ(resumed.result.scores.loss, whole.result.scores.loss);
    expect_same(whole, resumed);
  }
}

TEST(Train, ResumeRefusesADifferentRun) {
  TempDir dir;
  const std::string path = dir.file("c.safetensors");
  TrainOptions options = options_for(1);
  options.checkpoint = path.c_str();
  ASSERT_TRUE(train_fake(1, 50, options).status.ok());
  options.resume = true;
  options.seed = 1;
  options.shuffle = false;
  const Outcome run = train_fake(1, 49, options);
  EXPECT_EQ(run.status.code, Code::kUserError);
  for (const char* part :
       {"examples: 50, this run has 49", "seed 42, this run has 1", "shuffling on"})
    EXPECT_NE(strstr(run.status.text.c_str(), part), nullptr) << run.status.text.c_str();
}

TEST(Train, ResumeRefusesWeightsAndDamage) {
  TempDir dir;
  const std::string path = dir.file("c.safetensors");
  TrainOptions options = options_for(1);
  options.checkpoint = path.c_str();
  ASSERT_TRUE(train_fake(1, 50, options).status.ok());
  const std::string good = testing::read_bytes(path);
  options.resume = true;
  for (size_t cut : {size_t{0}, size_t{4}, size_t{100}, good.size() - 1}) {
    testing::write_bytes(path, good.substr(0, cut));
    const Outcome run = train_fake(1, 50, options);
    EXPECT_EQ(run.status.code, Code::kUserError) << cut;
  }
  FakeModel model;
  OwnedInstance instance(model.get());
  ASSERT_TRUE(save_weights(*instance, path.c_str()).ok());
  const Outcome run = train_fake(1, 50, options);
  EXPECT_NE(strstr(run.status.text.c_str(), "is not a checkpoint"), nullptr)
      << run.status.text.c_str();
}

TEST(Train, EarlyStoppingStopsAndRestoresTheBest) {
  TrainOptions options = options_for(500);
  options.early_stopping.enabled = true;
  options.early_stopping.patience = 2;
  options.early_stopping.min_delta = 1e-3;
  options.early_stopping.restore_best = true;
  const Outcome run = train_fake(1, 60, options, 20);
  ASSERT_TRUE(run.status.ok()) << run.status.text.c_str();
  EXPECT_TRUE(run.result.early_stopped);
  EXPECT_LT(run.result.epochs_done, 500);
  EXPECT_EQ(run.result.epochs_done, run.result.best_epoch + 2);
  const Outcome best = train_fake(1, 60, options_for(run.result.best_epoch), 20);
  EXPECT_EQ(run.kernel, best.kernel);  // the weights are those of the best epoch
}

TEST(Train, EarlyStoppingResumesExactly) {
  TrainOptions options = options_for(500);
  options.early_stopping = {true, "val_loss", 3, 1e-3, -1, true};
  const Outcome whole = train_fake(1, 60, options, 20);
  ASSERT_GT(whole.result.epochs_done, 4);
  TempDir dir;
  const std::string path = dir.file("c.safetensors");
  options.checkpoint = path.c_str();
  StopAt stop{15 * (whole.result.epochs_done - 1) - 4};
  options.user = &stop;
  options.on_step = stop_later;
  EXPECT_EQ(train_fake(1, 60, options, 20).status.code, Code::kStopped);
  options.on_step = nullptr;
  options.resume = true;
  const Outcome resumed = train_fake(1, 60, options, 20);
  ASSERT_TRUE(resumed.status.ok());
  EXPECT_EQ(resumed.result.epochs_done, whole.result.epochs_done);
  EXPECT_EQ(resumed.result.best_epoch, whole.result.best_epoch);
  EXPECT_EQ(resumed.kernel, whole.kernel);
}

TEST(Train, EarlyStoppingWithoutItsMonitorIsAnError) {
  TrainOptions options = options_for(5);
  options.early_stopping.enabled = true;
  options.early_stopping.monitor = "val_accuracy";
  const Outcome run = train_fake(1, 60, options);
  EXPECT_EQ(run.status.code, Code::kUserError);
  EXPECT_NE(strstr(run.status.text.c_str(), "\"mae\""), nullptr) << run.status.text.c_str();
}

TEST(Train, NanLossNamesEpochAndStep) {
  FakeModel model;
  OwnedInstance instance(model.get());
  ASSERT_TRUE(instance->initialize(1).ok());
  DataPart part = make_part(model, 12);
  store_f64(part.arrays[0].data.data(), Dtype::kF64, 9 * 3, 1e38);
  Feed feed;
  ASSERT_TRUE(feed.prepare(*instance, part, 0, 12, true, TargetNeed::kRequired).ok());
  TrainOptions options = options_for(2);
  options.shuffle = false;
  TrainResult result;
  const Status status = train(*instance, feed, nullptr, options, &result);
  EXPECT_EQ(status.code, Code::kUserError);
  EXPECT_NE(strstr(status.text.c_str(), "epoch 1, step 3"), nullptr) << status.text.c_str();
}

TEST(Evaluate, AveragesOverExamplesNotBatches) {
  FakeModel model;
  OwnedInstance instance(model.get());
  const DataPart part = make_part(model, 6);  // weights are zero: the loss is the mean of y squared
  Feed feed;
  ASSERT_TRUE(feed.prepare(*instance, part, 0, 6, true, TargetNeed::kRequired).ok());
  Scores scores;
  ASSERT_TRUE(evaluate(*instance, feed, &scores).ok());
  double loss = 0;
  double mae = 0;
  for (size_t r = 0; r < 6; ++r) {
    const double y = load_f64(part.arrays[1].data.data(), Dtype::kF64, r);
    loss += y * y / 6;
    mae += std::fabs(y) / 6;
  }
  EXPECT_NEAR(scores.loss, loss, 1e-5);
  ASSERT_EQ(scores.metric_count, 1);
  EXPECT_NEAR(scores.metric[0], mae, 1e-5);
}

TEST(Predict, PadsTheLastBatchAndNeedsNoTargets) {
  FakeModel model;
  OwnedInstance instance(model.get(), 2);
  ASSERT_TRUE(instance->initialize(3).ok());
  DataPart part = make_part(model, 7);
  part.arrays[1] = Array();
  Feed feed;
  ASSERT_TRUE(feed.prepare(*instance, part, 0, 7, false, TargetNeed::kOptional).ok());
  Vec<Array> outputs;
  ASSERT_TRUE(predict(*instance, feed, &outputs).ok());
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(array_type_text(outputs[0]), Str("f32[7]"));
  ASSERT_EQ(outputs[0].data.size(), 28u);
  const std::vector<float> w = instance.values("linear/kernel");
  for (size_t r = 0; r < 7; ++r) {
    double want = 0;
    for (size_t j = 0; j < 3; ++j)
      want +=
          static_cast<double>(w[j]) * load_f64(part.arrays[0].data.data(), Dtype::kF64, r * 3 + j);
    EXPECT_NEAR(load_f64(outputs[0].data.data(), Dtype::kF32, r), want, 1e-5);
  }
}

}  // namespace
}  // namespace gradc::rt
