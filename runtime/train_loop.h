// The training loop, evaluation and prediction over feeds. Numbers depend on seed, data and model
// only: not on threads, not on being stopped and resumed.
#pragma once

#include "runtime/feed.h"
#include "runtime/instance.h"
#include "runtime/kept_epochs.h"
#include "runtime/monitor.h"

namespace gradc::rt {

constexpr int64_t kMaxMetrics = 32;

/// Loss and metrics averaged over examples, or over the positions that count.
struct Scores {
  double loss = 0;
  int64_t metric_count = 0;
  double metric[kMaxMetrics] = {};
};

/// A mean over batches that weigh differently; 0 over nothing.
struct WeightedSum {
  double sum = 0;
  double weight = 0;

  void add(double value, double by) {
    sum += value * by;
    weight += by;
  }
  double mean() const { return weight > 0 ? sum / weight : 0; }
};

/// Sums of batch means weighted by what they are means of. The loss is kept without its parts,
/// which have weights of their own.
struct ScoreSums {
  WeightedSum loss;
  WeightedSum metric[kMaxMetrics];
  Vec<double> parts;  // of all metrics that have some, likewise weighted sums

  /// Makes room; nothing is allocated later.
  void begin(const Instance& instance);
  void add(const Instance& instance, int64_t examples_of_batch);
  Scores mean(const Instance& instance) const;
  /// The loss alone: no metric's formula is worked out.
  double mean_loss(const Instance& instance) const;
};

struct StepReport {
  int64_t epoch;   // from 1
  int64_t epochs;  // planned
  int64_t step;    // of this epoch, from 1
  int64_t steps;   // of an epoch
  double loss;     // mean over the epoch so far
  Scores scores;   // likewise
  double seconds;  // of this epoch
  double examples_per_second;
};

struct EpochReport {
  int64_t epoch;
  int64_t epochs;
  int64_t step;  // steps since training began, over all epochs
  Scores scores;
  bool has_validation;
  Scores validation;
  double seconds;
  double examples_per_second;
  bool improved;      // the monitored value did (early stopping only)
  bool stopping;      // early stopping ends training here
  double reduced_to;  // what the rate is multiplied by from now on (a plateau's end); 0: as before
  bool kept;          // among the best, whose weights are kept
};

struct BeginReport {
  bool resumed;   // a checkpoint was taken up
  int64_t epoch;  // finished epochs
  int64_t step;   // steps of the one begun
};

struct EarlyStopping {
  bool enabled = false;
  const char* monitor = nullptr;  // NULL = "val_loss"
  int64_t patience = 0;
  double min_delta = 0;
  int64_t mode = -1;  // -1 smaller is better, 1 larger
  bool restore_best = false;
};

struct TrainOptions {
  int64_t epochs = 1;
  uint64_t seed = 0;
  bool shuffle = true;
  EarlyStopping early_stopping;
  ReduceOnPlateau plateau;
  KeepBest keep_best;
  const char* checkpoint = nullptr;  // written after each epoch, and when stopped
  bool resume = false;               // continue from `checkpoint` if the file exists
  void* user = nullptr;
  /// After every step; false stops training (with a checkpoint, if there is a path). May be NULL.
  bool (*on_step)(void* user, const StepReport& report) = nullptr;
  /// After every epoch; false stops likewise.
  bool (*on_epoch)(void* user, const EpochReport& report) = nullptr;
  /// Once, when all is checked and the first step is next; a failure ends training. May be NULL.
  Status (*on_begin)(void* user, const BeginReport& report) = nullptr;
};

struct TrainResult {
  int64_t epochs_done = 0;
  int64_t steps = 0;
  int64_t resumed_at_epoch = 0;  // epochs found done in the checkpoint
  Scores scores;                 // of the last epoch
  bool has_validation = false;
  Scores validation;
  bool early_stopped = false;
  int64_t best_epoch = 0;  // early stopping only
  Vec<KeptEpoch> kept;     // files that there are
  /// The instance holds finite weights of the steps done: training ended as planned, was stopped,
  /// or only its checkpoint could not be written.
  bool has_weights = false;
};

/// Where training stands; with the tensors, all that a checkpoint holds.
struct TrainState {
  uint64_t seed = 0;
  int64_t epoch = 0;  // epochs done
  int64_t step = 0;   // steps done of the current epoch
  int64_t total_steps = 0;
  ScoreSums sums;         // of the current epoch
  bool has_best = false;  // early stopping
  double best = 0;
  int64_t best_epoch = 0;
  int64_t wait = 0;
  bool finished = false;  // early stopping ended training
  PlateauState plateau;
  Vec<KeptEpoch> kept;
};

/// Runs training on prepared parameters (initialised, loaded, or resumed from options.checkpoint).
Status train(Instance& instance, const Feed& feed, const Feed* validation,
             const TrainOptions& options, TrainResult* result);

/// Loss and metrics in inference mode over all rows.
Status evaluate(Instance& instance, const Feed& feed, Scores* scores);

/// Somebody who looks at what each batch of predictions left in the tensors: rows [first, first +
/// valid) of the feed. What fails ends the pass.
struct BatchTaker {
  Status (*take)(void* self, const Instance& instance, int64_t first, int64_t valid) = nullptr;
  void* self = nullptr;
};

/// Runs predict over all rows, batch by batch; targets that the feed has lie beside the outputs.
Status predict_batches(Instance& instance, const Feed& feed, const BatchTaker& taker);

/// Runs predict over all rows; outputs[i] becomes the i-th output as an array of `rows` rows.
Status predict(Instance& instance, const Feed& feed, Vec<Array>* outputs);

/// Seconds of the monotonic clock.
double now_seconds();

}  // namespace gradc::rt
