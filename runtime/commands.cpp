// The commands. Order matters: everything the user gave is checked before the first step and before
// any output file.
#include "runtime/commands.h"

#include "runtime/data_warnings.h"
#include "runtime/progress.h"
#include "runtime/weights.h"

#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>

namespace gradc::rt {
namespace {

volatile sig_atomic_t interrupted = 0;

void note_signal(int) {
  interrupted = 1;
}

// Catches SIGINT and SIGTERM while alive. A second signal ends the process as usual.
class SignalGuard {
 public:
  explicit SignalGuard(bool active) : active_(active) {
    if (!active_) return;
    interrupted = 0;
    struct sigaction action{};
    action.sa_handler = note_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &old_interrupt_);
    sigaction(SIGTERM, &action, &old_terminate_);
  }
  ~SignalGuard() {
    if (!active_) return;
    sigaction(SIGINT, &old_interrupt_, nullptr);
    sigaction(SIGTERM, &old_terminate_, nullptr);
  }
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

 private:
  bool active_;
  struct sigaction old_interrupt_{};
  struct sigaction old_terminate_{};
};

// What the callbacks of the loop see.
struct Observer {
  const Instance* instance;
  const TrainCommand* command;
  Progress* progress;
  FILE* log;
  Status log_status;
};

bool observe_step(void* user, const StepReport& report) {
  Observer* observer = static_cast<Observer*>(user);
  if (!observer->command->quiet) observer->progress->step(report);
  return !observer->command->handle_signals || interrupted == 0;
}

void observe_resume(void* user, int64_t epoch, int64_t step) {
  if (static_cast<Observer*>(user)->command->quiet) return;
  Str line = format("resumed after epoch %lld", static_cast<long long>(epoch));
  if (step > 0) line.appendf(" and %lld steps", static_cast<long long>(step));
  fprintf(stderr, "%s\n", line.c_str());
}

void observe_epoch(void* user, const EpochReport& report) {
  Observer* observer = static_cast<Observer*>(user);
  if (!observer->command->quiet) observer->progress->epoch(report);
  if (observer->log != nullptr) {
    const Str line = epoch_json(*observer->instance, report);
    if (fprintf(observer->log, "%s\n", line.c_str()) < 0 || fflush(observer->log) != 0) {
      observer->log_status = error("%s: cannot write: %s", observer->command->log, strerror(errno));
    }
  }
  if (observer->command->on_epoch != nullptr) {
    observer->command->on_epoch(observer->command->user, report);
  }
}

struct TrainData {
  Feed train;
  Feed validation;
  Feed test;
  bool has_validation = false;
  bool has_test = false;
};

// Splits off the last fraction for validation (before shuffling), as Keras does.
Status split_rows(const TrainCommand& command, const gradc_rt_model& model, const DataSet& set,
                  int64_t* train_rows) {
  *train_rows = set.train.rows;
  double fraction = command.validation_split;
  if (fraction < 0) fraction = set.validation.present ? 0 : model.training.validation_split;
  if (fraction == 0) return {};
  if (!(fraction > 0 && fraction < 1)) {
    return error("validation split is %g, expected 0 or more and less than 1", fraction);
  }
  *train_rows =
      static_cast<int64_t>(std::floor(static_cast<double>(set.train.rows) * (1.0 - fraction)));
  if (*train_rows == 0 || *train_rows == set.train.rows) {
    return error("validation split %g of %lld examples leaves %s empty", fraction,
                 static_cast<long long>(set.train.rows),
                 *train_rows == 0 ? "the training set" : "the validation set");
  }
  return {};
}

// Statistics come from the rows that are trained on; those loaded with weights are kept.
bool statistics_known(const Instance& instance) {
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const DataStatistics& statistics = instance.statistics(i);
    if (statistics.count > 0 && !statistics.known) return false;
  }
  return true;
}

Status prepare_data(Instance& instance, const TrainCommand& command, TrainData* data) {
  const gradc_rt_model& model = instance.model();
  DataSet set;
  GRADC_RT_TRY(load_dataset(model, command.data, TargetNeed::kRequired, &set));
  if (!set.train.present) {
    return error("%s: has test data only, training data was expected", command.data.spec.c_str());
  }
  Status problems = check_part(model, set.train, TargetNeed::kRequired);
  for (const DataPart* part : {&set.validation, &set.test}) {
    if (!part->present) continue;
    const Status one = check_part(model, *part, TargetNeed::kRequired);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  if (!problems.ok()) return problems;
  int64_t rows = 0;
  GRADC_RT_TRY(split_rows(command, model, set, &rows));
  if (!command.quiet) warn_of_data(model, set, rows, command.warnings);
  GRADC_RT_TRY(data->train.prepare(instance, set.train, 0, rows, !statistics_known(instance),
                                   TargetNeed::kRequired));
  if (rows < set.train.rows) {
    data->has_validation = true;
    GRADC_RT_TRY(data->validation.prepare(instance, set.train, rows, set.train.rows - rows, false,
                                          TargetNeed::kRequired));
  } else if (set.validation.present) {
    data->has_validation = true;
    GRADC_RT_TRY(data->validation.prepare(instance, set.validation, 0, set.validation.rows, false,
                                          TargetNeed::kRequired));
  }
  if (set.test.present) {
    data->has_test = true;
    GRADC_RT_TRY(
        data->test.prepare(instance, set.test, 0, set.test.rows, false, TargetNeed::kRequired));
  }
  return {};
}

// An unwritable place is found before the training, not after it.
Status check_writable(const char* path) {
  if (path == nullptr) return {};
  if (is_directory(path)) return error("%s: is a directory, a file was expected", path);
  AtomicFile probe;
  return probe.open(path);
}

TrainOptions make_options(const TrainCommand& command, const gradc_rt_training& defaults,
                          bool has_validation, Observer* observer) {
  TrainOptions options;
  options.epochs = command.epochs >= 0 ? command.epochs : defaults.epochs;
  options.seed = command.has_seed ? command.seed : defaults.seed;
  options.shuffle = defaults.shuffle != 0;
  options.early_stopping = {
      defaults.early_stopping != 0, defaults.monitor, defaults.patience,
      defaults.min_delta,           defaults.mode,    defaults.restore_best_weights != 0};
  const bool wants_validation =
      defaults.monitor == nullptr || strncmp(defaults.monitor, "val_", 4) == 0;
  if (options.early_stopping.enabled && wants_validation && !has_validation) {
    if (!command.quiet) {
      warn(command.warnings, WarningKind::kEarlyStopping,
           "early stopping is off: it monitors %s and there is no validation data",
           defaults.monitor != nullptr ? defaults.monitor : "val_loss");
    }
    options.early_stopping.enabled = false;
  }
  options.checkpoint = command.checkpoint;
  options.resume = command.resume;
  options.user = observer;
  options.on_step = observe_step;
  options.on_epoch = observe_epoch;
  options.on_resume = observe_resume;
  return options;
}

Status open_log(const TrainCommand& command, FILE** log) {
  *log = nullptr;
  if (command.log == nullptr) return {};
  *log = fopen(command.log, command.resume ? "a" : "w");
  if (*log == nullptr) return error("%s: cannot write: %s", command.log, strerror(errno));
  return {};
}

void print_scores(const Instance& instance, const char* what, const Scores& scores) {
  Str line(what);
  append_scores(line, instance, scores, "");
  printf("%s\n", line.c_str());
}

Status finish_training(Instance& instance, const TrainCommand& command, const TrainData& data,
                       const TrainResult& result) {
  if (!command.quiet && result.early_stopped) {
    printf("stopped early after epoch %lld, best epoch %lld\n",
           static_cast<long long>(result.epochs_done), static_cast<long long>(result.best_epoch));
  }
  if (!command.quiet && data.has_test) {
    Scores scores;
    GRADC_RT_TRY(evaluate(instance, data.test, &scores));
    print_scores(instance, "test", scores);
  }
  if (command.out != nullptr) {
    GRADC_RT_TRY(save_weights(instance, command.out));
    if (!command.quiet) printf("weights: %s\n", command.out);
  }
  return {};
}

Status explain_stop(Status stopped, const TrainCommand& command) {
  if (stopped.code != Code::kStopped) return stopped;
  stopped.code = Code::kUserError;
  if (command.checkpoint != nullptr) {
    stopped.text.appendf("; go on with --checkpoint %s --resume", command.checkpoint);
  } else {
    stopped.text.append("; nothing was saved (--checkpoint FILE would)");
  }
  return stopped;
}

Status check_prediction_file(const Instance& instance, const char* out) {
  const Str path(out);
  if (path.ends_with(".safetensors")) return {};
  if (!path.ends_with(".npy")) {
    return usage_error("--out %s: expected a .npy or .safetensors file", out);
  }
  const int64_t outputs = instance.count_of(GRADC_RT_OUTPUT);
  if (outputs == 1) return {};
  return error("%s: the model has %lld outputs, a .npy file holds one: use .safetensors", out,
               static_cast<long long>(outputs));
}

}  // namespace

Status run_train(Instance& instance, const TrainCommand& command, TrainResult* result) {
  const gradc_rt_training& defaults = instance.model().training;
  if (command.resume && command.checkpoint == nullptr) {
    return usage_error("--resume needs --checkpoint FILE");
  }
  for (const char* path : {command.out, command.checkpoint})
    GRADC_RT_TRY(check_writable(path));
  GRADC_RT_TRY(instance.initialize(command.has_seed ? command.seed : defaults.seed));
  if (command.weights != nullptr) {
    GRADC_RT_TRY(load_weights(instance, command.weights, LoadMode::kPartial));
  }
  if (command.resume && file_exists(command.checkpoint)) {
    // Before the data are prepared: the checkpoint's data statistics win over fresh ones.
    GRADC_RT_TRY(load_weights(instance, command.checkpoint, LoadMode::kPartial));
  }
  TrainData data;
  GRADC_RT_TRY(prepare_data(instance, command, &data));
  Progress progress(instance, stderr);
  Observer observer{&instance, &command, &progress, nullptr, {}};
  GRADC_RT_TRY(open_log(command, &observer.log));
  const TrainOptions options = make_options(command, defaults, data.has_validation, &observer);
  Status status;
  {
    SignalGuard guard(command.handle_signals);
    status = train(instance, data.train, data.has_validation ? &data.validation : nullptr, options,
                   result);
  }
  if (observer.log != nullptr) fclose(observer.log);
  if (!status.ok()) return explain_stop(static_cast<Status&&>(status), command);
  if (!observer.log_status.ok()) return static_cast<Status&&>(observer.log_status);
  return finish_training(instance, command, data, *result);
}

Status run_eval(Instance& instance, const EvalCommand& command) {
  GRADC_RT_TRY(load_weights(instance, command.weights, LoadMode::kComplete));
  DataSet set;
  GRADC_RT_TRY(load_dataset(instance.model(), command.data, TargetNeed::kRequired, &set));
  const DataPart& part = set.test.present ? set.test : set.train;
  GRADC_RT_TRY(check_part(instance.model(), part, TargetNeed::kRequired));
  Feed feed;
  GRADC_RT_TRY(feed.prepare(instance, part, 0, part.rows, false, TargetNeed::kRequired));
  Scores scores;
  GRADC_RT_TRY(evaluate(instance, feed, &scores));
  if (command.json) {
    Str line("{");
    append_scores_json(line, instance, scores, "");
    printf("%s,\"examples\":%lld}\n", line.c_str(), static_cast<long long>(part.rows));
  } else {
    print_scores(instance,
                 format("%lld examples%s", static_cast<long long>(part.rows),
                        set.test.present ? " (test)" : "")
                     .c_str(),
                 scores);
  }
  return {};
}

Status run_predict(Instance& instance, const PredictCommand& command) {
  GRADC_RT_TRY(check_prediction_file(instance, command.out));
  GRADC_RT_TRY(check_writable(command.out));
  GRADC_RT_TRY(load_weights(instance, command.weights, LoadMode::kComplete));
  DataSet set;
  GRADC_RT_TRY(load_dataset(instance.model(), command.data, TargetNeed::kOptional, &set));
  const DataPart& part = set.train.present ? set.train : set.test;
  GRADC_RT_TRY(check_part(instance.model(), part, TargetNeed::kOptional));
  Feed feed;
  GRADC_RT_TRY(feed.prepare(instance, part, 0, part.rows, false, TargetNeed::kOptional));
  Vec<Array> outputs;
  GRADC_RT_TRY(predict(instance, feed, &outputs));
  const Str path(command.out);
  if (path.ends_with(".safetensors")) {
    Vec<TensorView> views;
    for (const Array& array : outputs) {
      views.push({array.name.c_str(), array.dtype, array.dims.span(), array.data.data(),
                  array.data.size()});
    }
    return write_safetensors(command.out, {views.data(), views.size()}, {});
  }
  return write_npy(command.out, outputs[0]);
}

}  // namespace gradc::rt
