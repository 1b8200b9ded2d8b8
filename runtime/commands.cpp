// The commands. Order matters: everything the user gave is checked before the first step and before
// any output file.
#include "runtime/commands.h"

#include "runtime/checkpoint.h"
#include "runtime/class_counts.h"
#include "runtime/data_warnings.h"
#include "runtime/epoch_log.h"
#include "runtime/fitting_weights.h"
#include "runtime/known_data.h"
#include "runtime/log_lines.h"
#include "runtime/output_file.h"
#include "runtime/predictions.h"
#include "runtime/process.h"
#include "runtime/progress.h"
#include "runtime/train_files.h"
#include "runtime/weights.h"

#include <cmath>
#include <cstdio>
#include <cstring>

namespace gradc::rt {
namespace {

// What the callbacks of the loop see.
struct Observer {
  const Instance* instance;
  const TrainCommand* command;
  Progress* progress;
  const StopSignals* signals;
  Str run;  // the head of the log, until it is written
  EpochLog log;
};

bool observe_step(void* user, const StepReport& report) {
  Observer* observer = static_cast<Observer*>(user);
  const TrainCommand& command = *observer->command;
  if (!command.quiet) observer->progress->step(report);
  const bool goes_on = command.on_step == nullptr || command.on_step(command.user, report);
  return goes_on && !observer->signals->noted();
}

Status observe_begin(void* user, const BeginReport& report) {
  Observer* observer = static_cast<Observer*>(user);
  const TrainCommand& command = *observer->command;
  if (command.log != nullptr) {
    const int64_t epochs_done = command.resume ? report.epoch : -1;
    GRADC_RT_TRY(observer->log.open(command.log, epochs_done, command.checkpoint != nullptr));
  }
  if (command.quiet || !command.resume) return {};
  if (!report.resumed) {
    fprintf(stderr, "there is no checkpoint %s yet: training begins at the start\n",
            command.checkpoint);
    return {};
  }
  Str line = format("resumed after epoch %lld", static_cast<long long>(report.epoch));
  if (report.step > 0) line.appendf(" and %lld steps", static_cast<long long>(report.step));
  fprintf(stderr, "%s\n", line.c_str());
  return {};
}

bool observe_epoch(void* user, const EpochReport& report) {
  Observer* observer = static_cast<Observer*>(user);
  const TrainCommand& command = *observer->command;
  if (!command.quiet) observer->progress->epoch(report);
  if (command.log != nullptr) {
    observer->log.write(epoch_json(*observer->instance, report, observer->run));
    observer->run = Str();
  }
  return command.on_epoch == nullptr || command.on_epoch(command.user, report);
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
  const bool resumes = command.resume && file_exists(command.checkpoint);
  GRADC_RT_TRY(load_known_dataset(instance, command.data, TargetNeed::kRequired,
                                  resumes             ? command.checkpoint
                                  : command.what_fits ? nullptr
                                                      : command.weights,
                                  command.quiet ? nullptr : &command.warnings, &set,
                                  command.validation_split));
  if (!set.train.present) {
    return error("%s: has test data only, training data was expected", command.data.spec.c_str());
  }
  if (set.train.unweighted) {
    return error(
        "%s: the model is trained with weights of examples, the data have none: an array "
        "\"sample_weight\" (or w_train), or a column named by :weight=, was expected",
        command.data.spec.c_str());
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
  // Windows of the training part that reach into the held-out part are left out.
  const int64_t trained = rows < set.train.rows ? set.train.rows_before(rows) : rows;
  if (trained == 0) {
    return error("%s: the part that is trained on is shorter than one window",
                 command.data.spec.c_str());
  }
  if (const Str classes = class_text(model, set, rows); !command.quiet && !classes.empty())
    fprintf(stderr, "%s\n", classes.c_str());
  Str class_weights;
  GRADC_RT_TRY(set_class_weights(instance, set, rows, &class_weights));
  if (!command.quiet && !class_weights.empty()) fprintf(stderr, "%s\n", class_weights.c_str());
  GRADC_RT_TRY(
      data->train.prepare_training(instance, set.train, trained, !statistics_known(instance)));
  if (rows < set.train.rows) {
    data->has_validation = true;
    GRADC_RT_TRY(data->validation.prepare(instance, set.train, rows, set.train.rows - rows, false,
                                          TargetNeed::kRequired));
  } else if (set.validation.present) {
    data->has_validation = true;
    GRADC_RT_TRY(data->validation.prepare(instance, set.validation, 0, set.validation.rows, false,
                                          TargetNeed::kRequired));
  }
  learn_meanings(instance, static_cast<Vec<TensorMeaning>&&>(set.meanings));
  if (set.test.present) {
    data->has_test = true;
    GRADC_RT_TRY(
        data->test.prepare(instance, set.test, 0, set.test.rows, false, TargetNeed::kRequired));
  }
  return {};
}

// An output that took the place of an input would lose it.
Status check_inputs_kept(const DataSource& data, Span<const char* const> outputs) {
  for (const char* path : outputs) {
    bool is_input = path != nullptr && names_file(data.spec.c_str(), path);
    for (const Vec<NamedFile>* list : {&data.inputs, &data.targets}) {
      for (const NamedFile& file : *list)
        is_input = is_input || (path != nullptr && is_same_file(path, file.path.c_str()));
    }
    if (is_input) return error("%s: holds the data: it would be overwritten", path);
  }
  return {};
}

// Weights are taken once: only what training makes of them may take their place.
Status check_weights_kept(const char* weights, const char* output) {
  if (weights == nullptr || output == nullptr || !is_same_file(output, weights)) return {};
  return error("%s: holds the weights: it would be overwritten", output);
}

// Finite weights can still give a loss beyond all numbers.
Status check_scores(const char* what, const Scores& scores) {
  if (std::isfinite(scores.loss)) return {};
  return error("the %s loss is %s: the values of the data or of the weights are too large", what,
               std::isnan(scores.loss) ? "NaN" : "infinite");
}

/// What watches validation data is off where there are none.
void leave_out(const TrainCommand& command, const char* who, const char* monitor, bool* enabled) {
  const char* name = monitor_or_default(monitor);
  if (!*enabled || strncmp(name, "val_", 4) != 0) return;
  if (!command.quiet) {
    warn(command.warnings, WarningKind::kEarlyStopping,
         "%s is off: it monitors %s and there is no validation data", who, name);
  }
  *enabled = false;
}

TrainOptions make_options(const TrainCommand& command, const gradc_rt_training& defaults,
                          const KeepBest& keep_best, bool has_validation, Observer* observer) {
  TrainOptions options;
  options.epochs = command.epochs >= 0 ? command.epochs : defaults.epochs;
  options.seed = command.has_seed ? command.seed : defaults.seed;
  options.shuffle = (command.shuffle >= 0 ? command.shuffle : defaults.shuffle) != 0;
  options.early_stopping = {
      defaults.early_stopping != 0, defaults.monitor, defaults.patience,
      defaults.min_delta,           defaults.mode,    defaults.restore_best_weights != 0};
  options.plateau = {defaults.reduce_on_plateau != 0, defaults.plateau_monitor,
                     defaults.plateau_factor,         defaults.plateau_patience,
                     defaults.plateau_min_delta,      defaults.plateau_mode,
                     defaults.plateau_cooldown,       defaults.plateau_least};
  options.keep_best = keep_best;
  if (!has_validation) {
    leave_out(command, "early stopping", options.early_stopping.monitor,
              &options.early_stopping.enabled);
    leave_out(command, "\"reduce_on_plateau\"", options.plateau.monitor, &options.plateau.enabled);
  }
  options.checkpoint = command.checkpoint;
  options.resume = command.resume;
  options.user = observer;
  options.on_step = observe_step;
  options.on_epoch = observe_epoch;
  options.on_begin = observe_begin;
  return options;
}

void print_scores(FILE* out, const Instance& instance, const char* what, const Scores& scores) {
  Str line(what);
  append_scores(line, instance, scores, "");
  fprintf(out, "%s\n", line.c_str());
}

// Results are for standard output, unless one of the files is.
FILE* results_of(const TrainCommand& command) {
  return is_standard_output(command.out) || is_standard_output(command.log) ? stderr : stdout;
}

Status save_results(Instance& instance, const TrainCommand& command) {
  if (command.out == nullptr) return {};
  FILE* results = results_of(command);  // once the weights are written nothing may fail
  GRADC_RT_TRY(save_weights(instance, command.out));
  if (!command.quiet) fprintf(results, "weights: %s\n", command.out);
  return {};
}

void print_kept(FILE* out, const KeepBest& options, const TrainResult& result) {
  for (const KeptEpoch& one : result.kept)
    fprintf(out, "kept: %s\n", kept_path(options, one).c_str());
}

Status finish_training(Instance& instance, const TrainCommand& command, const TrainData& data,
                       const TrainOptions& options, const TrainResult& result, EpochLog& log) {
  FILE* out = results_of(command);
  if (!command.quiet) print_kept(out, options.keep_best, result);
  if (!command.quiet && result.early_stopped) {
    fprintf(out, "stopped early after epoch %lld, best epoch %lld\n",
            static_cast<long long>(result.epochs_done), static_cast<long long>(result.best_epoch));
  }
  Status problem;
  if (data.has_test && (!command.quiet || command.log != nullptr)) {
    Scores scores;
    GRADC_RT_TRY(evaluate(instance, data.test, &scores));
    problem = check_scores("test", scores);
    if (problem.ok() && !command.quiet) print_scores(out, instance, "test", scores);
    if (problem.ok()) log.amend(test_json(instance, scores));
  }
  // The weights are finite: not the test data's fault that they are to be kept.
  Status saved = save_results(instance, command);
  if (!saved.ok()) add_problem(problem, "%s", saved.text.c_str());
  return problem;
}

// What became of a training that a signal or a full disk ended: what it has reached is kept.
Status keep_results(Instance& instance, const TrainCommand& command, Status ended) {
  const Status saved = save_results(instance, command);
  if (!saved.ok()) {
    ended.code = Code::kUserError;
    add_problem(ended, "%s", saved.text.c_str());
  } else if (command.out != nullptr) {
    ended.text.appendf("; its weights so far are in %s", command.out);
  }
  if (ended.code != Code::kStopped) return ended;
  if (command.checkpoint != nullptr) {
    ended.text.appendf("; go on with --checkpoint %s --resume", command.checkpoint);
  } else if (command.out == nullptr) {
    ended.text.append("; nothing was saved (--out FILE or --checkpoint FILE would)");
  }
  return ended;
}

void print_evaluation(const Instance& instance, const EvalCommand& command, const Scores& scores,
                      int64_t rows, bool test) {
  const auto examples = static_cast<long long>(rows);
  if (command.json) {
    Str line("{");
    append_scores_json(line, instance, scores, "");
    printf("%s,\"examples\":%lld}\n", line.c_str(), examples);
    return;
  }
  print_scores(stdout, instance, format("%lld examples%s", examples, test ? " (test)" : "").c_str(),
               scores);
}

// The file that --out makes last: its own, unless it names a folder of another format.
Status find_main_file(const Instance& instance, const char* out, Str* main_file) {
  if (out == nullptr) return {};
  *main_file = Str(out);
  const WeightsWriter& writer = instance.weights_writer();
  if (writer.prepare == nullptr) {
    for (const char* ending : {".keras", ".h5", ".onnx"}) {
      if (!main_file->ends_with(ending)) continue;
      return error("%s: what is written here is safetensors; gradc convert makes a %s file of it",
                   out, ending);
    }
    return {};
  }
  bool takes = false;
  Str other;
  GRADC_RT_TRY(writer.prepare(writer.self, out, &takes, &other));
  if (takes) *main_file = static_cast<Str&&>(other);
  return {};
}

/// "val_loss", "max:val_accuracy": what is watched, and which direction is better. Of a metric only
/// a person knows, or the model where its early stopping watches the same.
Status read_keep_best(const TrainCommand& command, const gradc_rt_training& defaults,
                      const TrainFiles& files, KeepBest* out) {
  out->keep = command.keep_best;
  out->beside = files.kept_beside();
  if (out->keep == 0) return {};
  if (out->beside == nullptr)
    return usage_error("the best epochs are kept beside --out or --checkpoint: neither is given");
  const char* name = monitor_or_default(command.keep_by);
  const bool says = strncmp(name, "min:", 4) == 0 || strncmp(name, "max:", 4) == 0;
  out->monitor = says ? name + 4 : name;
  const bool watched =
      defaults.early_stopping != 0 && strcmp(monitor_or_default(defaults.monitor), name) == 0;
  const Str end(name);
  if (says) {
    out->mode = name[1] == 'a' ? 1 : -1;
  } else if (watched) {
    out->mode = defaults.mode;
  } else if (!(end == "loss") && !end.ends_with("_loss")) {
    return usage_error("--keep-by %s: say what is better, max:%s or min:%s", name, name, name);
  }
  return {};
}

}  // namespace

Status run_train(Instance& instance, const TrainCommand& command, TrainResult* result) {
  const gradc_rt_training& defaults = instance.model().training;
  Str main_file;  // of what --out names
  GRADC_RT_TRY(find_main_file(instance, command.out, &main_file));
  const TrainFiles files{main_file.empty() ? nullptr : main_file.c_str(),
                         command.checkpoint,
                         command.log,
                         command.resume,
                         command.overwrite,
                         defaults.early_stopping != 0 && defaults.restore_best_weights != 0,
                         command.keep_best};
  KeepBest keep_best;
  GRADC_RT_TRY(read_keep_best(command, defaults, files, &keep_best));
  GRADC_RT_TRY(check_train_files(instance, files));
  const char* const outputs[] = {files.out, command.checkpoint, command.log};
  GRADC_RT_TRY(check_inputs_kept(command.data, {outputs, 3}));
  GRADC_RT_TRY(check_weights_kept(command.weights, command.log));
  const uint64_t seed = command.has_seed ? command.seed : defaults.seed;
  if (!command.keeps) GRADC_RT_TRY(instance.initialize(seed));
  if (command.weights != nullptr) {
    if (command.what_fits) {
      Str report;
      GRADC_RT_TRY(load_fitting(instance, command.weights, &report));
      if (!command.quiet) fprintf(stderr, "%s\n", report.c_str());
    } else if (command.goes_on) {
      GRADC_RT_TRY(load_tensors(instance, command.weights, true));
    } else {
      GRADC_RT_TRY(load_weights(instance, command.weights, LoadMode::kPartial));
    }
  }
  if (command.resume && file_exists(command.checkpoint)) {
    // Before the data are prepared: what the checkpoint knows of its data wins over fresh facts.
    GRADC_RT_TRY(load_checkpoint_data_facts(instance, command.checkpoint));
  }
  TrainData data;
  GRADC_RT_TRY(prepare_data(instance, command, &data));
  Progress progress(instance, stderr);
  const StopSignals signals(command.handle_signals);  // until all files are written
  Observer observer{&instance, &command, &progress, &signals, {}, {}};
  if (command.log != nullptr) {
    observer.run = run_json(instance, command.data.spec, data.train.rows(),
                            data.has_validation ? data.validation.rows() : 0);
  }
  const TrainOptions options =
      make_options(command, defaults, keep_best, data.has_validation, &observer);
  Status status = train(instance, data.train, data.has_validation ? &data.validation : nullptr,
                        options, result);
  progress.clear();
  if (!status.ok()) {
    if (!result->has_weights) return status;
    status = keep_results(instance, command, static_cast<Status&&>(status));
  } else {
    status = finish_training(instance, command, data, options, *result, observer.log);
  }
  if (!observer.log.status().ok()) {
    if (status.code == Code::kStopped) status.code = Code::kUserError;
    add_problem(status, "%s", observer.log.status().text.c_str());
  }
  if (status.ok() && signals.noted()) {
    status = error("stopped when training was done and all was written");
    status.code = Code::kStopped;
  }
  return status;
}

Status run_eval(Instance& instance, const EvalCommand& command) {
  if (command.report != nullptr) {
    GRADC_RT_TRY(check_writable(command.report));
    GRADC_RT_TRY(check_inputs_kept(command.data, {&command.report, 1}));
    GRADC_RT_TRY(check_weights_kept(command.weights, command.report));
  }
  if (command.weights != nullptr)
    GRADC_RT_TRY(load_weights(instance, command.weights, LoadMode::kComplete));
  DataSet set;
  GRADC_RT_TRY(load_known_dataset(instance, command.data, TargetNeed::kRequired, command.weights,
                                  command.quiet ? nullptr : &command.warnings, &set));
  const DataPart& part = set.test.present ? set.test : set.train;
  GRADC_RT_TRY(check_part(instance.model(), part, TargetNeed::kRequired));
  Feed feed;
  GRADC_RT_TRY(feed.prepare(instance, part, 0, part.rows, false, TargetNeed::kRequired));
  Scores scores;
  GRADC_RT_TRY(evaluate(instance, feed, &scores));
  if (command.scores != nullptr) *command.scores = scores;
  GRADC_RT_TRY(check_scores("data's", scores));
  if (!command.quiet) print_evaluation(instance, command, scores, feed.rows(), set.test.present);
  if (command.taker.take == nullptr) return {};
  return command.taker.take(command.taker.self, instance, {feed, part, scores, set.test.present});
}

Status run_predict(Instance& instance, const PredictCommand& command) {
  GRADC_RT_TRY(check_prediction_file(instance, command.out));
  GRADC_RT_TRY(check_writable(command.out));
  GRADC_RT_TRY(check_inputs_kept(command.data, {&command.out, 1}));
  GRADC_RT_TRY(check_weights_kept(command.weights, command.out));
  if (command.weights != nullptr)
    GRADC_RT_TRY(load_weights(instance, command.weights, LoadMode::kComplete));
  DataSet set;
  GRADC_RT_TRY(load_known_dataset(instance, command.data, TargetNeed::kOptional, command.weights,
                                  command.quiet ? nullptr : &command.warnings, &set));
  const DataPart& part = set.train.present ? set.train : set.test;
  GRADC_RT_TRY(check_part(instance.model(), part, TargetNeed::kOptional));
  Feed feed;
  GRADC_RT_TRY(feed.prepare(instance, part, 0, part.rows, false, TargetNeed::kOptional));
  Vec<Array> outputs;
  GRADC_RT_TRY(predict(instance, feed, &outputs));
  return write_predictions(instance, outputs, command.out);
}

}  // namespace gradc::rt
