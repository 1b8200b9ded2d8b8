// train, eval and predict as commands: what the compiled executables and the gradc command both do
// once they have an instance. Results go to stdout, progress to stderr; output files appear whole
// or not at all.
#pragma once

#include "runtime/dataset.h"
#include "runtime/instance.h"
#include "runtime/train_loop.h"
#include "runtime/warnings.h"

namespace gradc::rt {

struct TrainCommand {
  DataSource data;
  int64_t epochs = -1;    // -1: the model's
  bool has_seed = false;  // else the model's
  uint64_t seed = 0;
  double validation_split = -1;  // -1: the data's own validation part, else the model's split
  const char* weights = nullptr;
  bool what_fits = false;  // of another model's weights: the rest is listed
  bool goes_on = false;    // with the optimizer's state in the weights' file, where it has it
  const char* out = nullptr;
  const char* checkpoint = nullptr;
  int64_t keep_best = 0;          // so many of the best epochs' weights, beside `out`
  const char* keep_by = nullptr;  // "val_loss", "max:val_accuracy", "min:mae"; null: "val_loss"
  bool keeps = false;    // trains on: weights, optimizer and iteration are as the instance has them
  int64_t shuffle = -1;  // 0: examples in their order; 1: shuffled; -1: the model's
  bool resume = false;
  bool overwrite = false;  // an existing checkpoint may be replaced by a training from the start
  const char* log = nullptr;
  bool quiet = false;          // no progress, no results (library use)
  Warnings warnings;           // those that are silenced
  bool handle_signals = true;  // SIGINT, SIGTERM and SIGHUP stop after the step; files are written
  /// Of a host, after every step and epoch; false stops training as a signal does. May be NULL.
  bool (*on_step)(void* user, const StepReport& report) = nullptr;
  bool (*on_epoch)(void* user, const EpochReport& report) = nullptr;
  void* user = nullptr;
};

/// Loads data, checks it, initialises or loads or resumes, trains, evaluates the data's test part,
/// writes weights.
Status run_train(Instance& instance, const TrainCommand& command, TrainResult* result);

/// What an evaluation was made of, for who makes more of it than scores.
struct Evaluated {
  const Feed& feed;
  const DataPart& part;  // that the feed has its rows of: row i is its row i * part.apart
  const Scores& scores;
  bool test;  // the data have a test part, and it is this
};

/// A host's look at an evaluation, when its scores are printed.
struct EvalTaker {
  Status (*take)(void* self, Instance& instance, const Evaluated& evaluated) = nullptr;
  void* self = nullptr;
};

struct EvalCommand {
  DataSource data;
  const char* weights = nullptr;  // null: the instance's own
  bool json = false;
  bool quiet = false;  // prints nothing (library use)
  Scores* scores = nullptr;
  Warnings warnings;
  const char* report = nullptr;  // a file that the taker will write; null: none
  EvalTaker taker;
};

/// Loss and metrics on the test part if the data has one, else on all of it; printed to stdout.
Status run_eval(Instance& instance, const EvalCommand& command);

struct PredictCommand {
  DataSource data;
  const char* weights = nullptr;  // null: the instance's own
  bool quiet = false;             // no warnings (library use)
  const char* out = nullptr;      // .npy (one output), .safetensors or .csv
  Warnings warnings;
};

Status run_predict(Instance& instance, const PredictCommand& command);

/// What the model is, for `info`: inputs, outputs, sizes, entries, target, defaults. To stdout.
void print_info(const gradc_rt_model& model);

}  // namespace gradc::rt
