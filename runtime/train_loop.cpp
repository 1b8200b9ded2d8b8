// Epochs, steps, early stopping. Everything that grows is allocated before the first step.
#include "runtime/train_loop.h"

#include "runtime/averages.h"
#include "runtime/checkpoint.h"
#include "runtime/finite.h"
#include "runtime/shuffle.h"
#include "runtime/weights.h"

#include <cmath>
#include <ctime>

namespace gradc::rt {

double now_seconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

namespace {

struct GatherCall {
  const Feed* feed;
  const Instance* instance;
  const BatchRequest* request;
};

void gather_job(void* context, const gradc_rt_thread* thread) {
  const GatherCall* call = static_cast<const GatherCall*>(context);
  call->feed->gather(*call->instance, *call->request, *thread);
}

// One batch through an entry or, for a smaller batch, through its tail twin.
void run_batch(Instance& instance, const Feed& feed, const BatchRequest& request,
               gradc_rt_entry_kind entry, gradc_rt_entry_kind tail) {
  GatherCall call{&feed, &instance, &request};
  const bool whole = request.valid == instance.model().batch_size;
  if (!whole) set_tail_weight(instance, request.valid);
  instance.run_after(gather_job, &call, whole ? entry : tail);
}

Status prepare_entries(Instance& instance, int64_t rows, gradc_rt_entry_kind entry,
                       gradc_rt_entry_kind tail) {
  const int64_t batch = instance.model().batch_size;
  if (rows >= batch) GRADC_RT_TRY(instance.prepare(entry));
  if (rows % batch != 0) GRADC_RT_TRY(instance.prepare(tail));
  return {};
}

int64_t batches_of(int64_t rows, int64_t batch) {
  return (rows + batch - 1) / batch;
}

int64_t valid_rows(int64_t rows, int64_t batch, int64_t step) {
  const int64_t left = rows - step * batch;
  return left < batch ? left : batch;
}

void evaluate_prepared(Instance& instance, const Feed& feed, Span<int64_t> order, Scores* scores) {
  const int64_t batch = instance.model().batch_size;
  ScoreSums sums;
  sums.begin(instance);
  instance.reset_carried();
  for (int64_t step = 0; step < batches_of(feed.rows(), batch); ++step) {
    const int64_t valid = valid_rows(feed.rows(), batch, step);
    const BatchRequest request{order.data() + step * batch, valid, false, 0, 0};
    run_batch(instance, feed, request, GRADC_RT_EVALUATE, GRADC_RT_EVALUATE_TAIL);
    sums.add(instance, valid);
  }
  *scores = sums.mean(instance);
}

constexpr char kDiverged[] =
    "the learning rate may be too large (gradient clipping or a smaller rate helps), or the data "
    "need scaling";
constexpr int64_t kScannedBytesPerStep = 64 << 10;

const char* non_finite_name(double value) {
  return std::isnan(value) ? "NaN" : "infinite";
}

// The state of one call of train(), so that its parts stay small.
class Trainer {
 public:
  Trainer(Instance& instance, const Feed& feed, const Feed* validation, const TrainOptions& options,
          TrainResult* result)
      : instance_(instance),
        feed_(feed),
        validation_(validation),
        options_(options),
        result_(*result) {}

  Status run() {
    GRADC_RT_TRY(prepare());
    GRADC_RT_TRY(begin());
    Status status;
    while (status.ok() && state_.epoch < options_.epochs && !state_.finished)
      status = epoch();
    result_.has_weights = status.ok() || status.code == Code::kStopped || only_checkpoint_failed_;
    if (result_.has_weights && options_.early_stopping.enabled &&
        options_.early_stopping.restore_best && state_.has_best) {
      copy_best(false);
    } else if (result_.has_weights && state_.total_steps > 0) {
      averages_.overwrite(instance_);  // as Keras: checkpoints hold both, what is written last one
    }
    result_.epochs_done = state_.epoch;
    result_.steps = state_.total_steps;
    result_.early_stopped = state_.finished;
    result_.best_epoch = state_.best_epoch;
    result_.kept = static_cast<Vec<KeptEpoch>&&>(state_.kept);
    return status;
  }

 private:
  Status prepare() {
    batch_ = instance_.model().batch_size;
    if (instance_.count_of(GRADC_RT_METRIC) > kMaxMetrics) {
      return error("the model has %lld metrics, at most %lld are supported",
                   static_cast<long long>(instance_.count_of(GRADC_RT_METRIC)),
                   static_cast<long long>(kMaxMetrics));
    }
    steps_ = batches_of(feed_.rows(), batch_);
    order_.resize(static_cast<size_t>(feed_.rows()));
    GRADC_RT_TRY(
        prepare_entries(instance_, feed_.rows(), instance_.step_entry(), instance_.tail_entry()));
    if (validation_ != nullptr) {
      GRADC_RT_TRY(prepare_entries(instance_, validation_->rows(), GRADC_RT_EVALUATE,
                                   GRADC_RT_EVALUATE_TAIL));
      validation_order_.resize(static_cast<size_t>(validation_->rows()));
      epoch_order(0, 0, false, {validation_order_.data(), validation_order_.size()});
    }
    state_.seed = options_.seed;
    state_.sums.begin(instance_);
    averages_.find(instance_);
    instance_.set_seed(options_.seed);
    check_.rows = feed_.rows();
    check_.batch_size = batch_;
    check_.shuffle = options_.shuffle;
    check_.seed = options_.seed;
    if (options_.checkpoint != nullptr) note_data();
    if (options_.early_stopping.enabled && options_.early_stopping.restore_best) {
      size_t bytes = 0;
      for (size_t i = 0; i < instance_.num_tensors(); ++i)
        bytes += is_weight(i) ? static_cast<size_t>(instance_.tensor(i).bytes) : 0;
      best_.resize(bytes);
    }
    return check_monitors();
  }

  void note_data() {
    check_.data = feed_.digest();
    if (validation_ != nullptr) {
      check_.validation_rows = validation_->rows();
      check_.validation_data = validation_->digest();
    }
    if (options_.early_stopping.enabled) check_.monitor = monitor();
    if (options_.keep_best.keep > 0)
      check_.kept_monitor = monitor_or_default(options_.keep_best.monitor);
  }

  // Takes up the checkpoint, and refuses to start from weights that are no numbers.
  Status begin() {
    const bool resumed =
        options_.resume && options_.checkpoint != nullptr && file_exists(options_.checkpoint);
    if (resumed) {
      GRADC_RT_TRY(load_checkpoint(instance_, options_.checkpoint, check_, &state_, best_span()));
      result_.resumed_at_epoch = state_.epoch;
      if (options_.keep_best.keep > 0)
        forget_missing(options_.keep_best, state_.epoch, &state_.kept);
    }
    if (const NotFinite place = first_not_finite(instance_); place.found()) {
      return error("%s before the first step: training cannot start from it",
                   describe(instance_, place).c_str());
    }
    scanned_step_ = state_.total_steps;
    for (size_t i = 0; i < instance_.num_tensors(); ++i)
      scan_steps_ += is_weight(i) ? instance_.tensor(i).bytes / kScannedBytesPerStep : 0;
    if (options_.on_begin == nullptr) return {};
    return options_.on_begin(options_.user, {resumed, state_.epoch, state_.step});
  }

  // A monitor that does not exist is found before hours of training, not after.
  Status check_monitors() {
    const bool validates = validation_ != nullptr;
    if (options_.early_stopping.enabled)
      GRADC_RT_TRY(check_monitor(instance_, "early stopping", monitor(), validates));
    if (options_.keep_best.keep > 0) {
      GRADC_RT_TRY(check_monitor(instance_, "keeping the best epochs",
                                 monitor_or_default(options_.keep_best.monitor), validates));
      state_.kept.reserve(static_cast<size_t>(options_.keep_best.keep) + 1);
    }
    if (!options_.plateau.enabled) return {};
    return check_monitor(instance_, "\"reduce_on_plateau\"",
                         monitor_or_default(options_.plateau.monitor), validates);
  }

  const char* monitor() const { return monitor_or_default(options_.early_stopping.monitor); }
  bool is_weight(size_t index) const {
    const int64_t kind = instance_.tensor(index).kind;
    return kind == GRADC_RT_PARAMETER || kind == GRADC_RT_STATE;
  }
  Span<uint8_t> best_span() { return {best_.data(), best_.size()}; }

  void copy_best(bool save) {
    uint8_t* at = best_.data();
    for (size_t i = 0; i < instance_.num_tensors() && !best_.empty(); ++i) {
      if (!is_weight(i)) continue;
      const size_t bytes = static_cast<size_t>(instance_.tensor(i).bytes);
      if (save) {
        memcpy(at, instance_.data(i), bytes);
      } else {
        memcpy(instance_.data(i), at, bytes);
      }
      at += bytes;
    }
  }

  Status save() {
    if (options_.checkpoint == nullptr) return {};
    Status status = save_checkpoint(instance_, options_.checkpoint, check_, state_, best_span());
    only_checkpoint_failed_ = !status.ok();
    if (!status.ok()) {
      status.text.appendf("; training ended in epoch %lld",
                          static_cast<long long>(state_.epoch + (state_.step > 0 ? 1 : 0)));
    }
    return status;
  }

  // "epoch 3, step 7".
  Str place_text() const {
    return format("epoch %lld, step %lld", static_cast<long long>(state_.epoch + 1),
                  static_cast<long long>(state_.step));
  }

  // Weights that are no numbers are found at their step in small models, within some steps in large
  // ones, and always before anything is written: a look at all of them costs less than a hundredth
  // of the steps in between.
  Status check_weights() {
    const NotFinite place = first_not_finite(instance_);
    const int64_t before = scanned_step_;
    scanned_step_ = state_.total_steps;
    if (!place.found()) return {};
    Str when = place_text();
    if (state_.total_steps > before + 1) {
      when.appendf(" (or up to %lld steps before)",
                   static_cast<long long>(state_.total_steps - before - 1));
    }
    return error("%s after %s: %s", describe(instance_, place).c_str(), when.c_str(), kDiverged);
  }

  Status epoch() {
    feed_.order(options_.seed, state_.epoch, options_.shuffle, {order_.data(), order_.size()});
    const double begin = now_seconds();
    const int64_t first_step = state_.step;
    if (first_step == 0) instance_.reset_carried();
    while (state_.step < steps_) {
      GRADC_RT_TRY(step());
      if (options_.on_step != nullptr && !report_step(begin, first_step)) {
        if (state_.step < steps_) {
          GRADC_RT_TRY(check_weights());
          GRADC_RT_TRY(save());
          Status stopped =
              error("stopped in epoch %lld after step %lld of %lld",
                    static_cast<long long>(state_.epoch + 1), static_cast<long long>(state_.step),
                    static_cast<long long>(steps_));
          stopped.code = Code::kStopped;
          return stopped;
        }
        stop_after_epoch_ = true;
      }
    }
    const double seconds = now_seconds() - begin;
    GRADC_RT_TRY(check_weights());
    GRADC_RT_TRY(finish_epoch(seconds, first_step));
    GRADC_RT_TRY(save());
    if (stop_after_epoch_ && state_.epoch < options_.epochs && !state_.finished) {
      Status stopped = error("stopped after epoch %lld", static_cast<long long>(state_.epoch));
      stopped.code = Code::kStopped;
      return stopped;
    }
    return {};
  }

  Status step() {
    const int64_t valid = valid_rows(feed_.rows(), batch_, state_.step);
    const BatchRequest request{order_.data() + state_.step * batch_, valid, true, options_.seed,
                               state_.epoch};
    run_batch(instance_, feed_, request, instance_.step_entry(), instance_.tail_entry());
    state_.sums.add(instance_, valid);
    ++state_.step;
    ++state_.total_steps;
    const double loss = state_.sums.mean_loss(instance_);
    if (!std::isfinite(loss)) {
      Str text = format("the loss became %s at %s", non_finite_name(loss), place_text().c_str());
      if (const NotFinite place = first_not_finite(instance_); place.found())
        text.appendf(" (first of the weights, %s)", describe(instance_, place).c_str());
      return error("%s: %s", text.c_str(), kDiverged);
    }
    return state_.total_steps - scanned_step_ >= scan_steps_ ? check_weights() : Status{};
  }

  double speed(double seconds, int64_t first_step) const {
    const double examples = static_cast<double>(valid_total(state_.step) - valid_total(first_step));
    return seconds > 0 ? examples / seconds : 0;
  }
  int64_t valid_total(int64_t step) const {
    const int64_t rows = step * batch_;
    return rows < feed_.rows() ? rows : feed_.rows();
  }

  bool report_step(double begin, int64_t first_step) {
    StepReport report{};
    report.epoch = state_.epoch + 1;
    report.epochs = options_.epochs;
    report.step = state_.step;
    report.steps = steps_;
    report.scores = state_.sums.mean(instance_);
    report.loss = report.scores.loss;
    report.seconds = now_seconds() - begin;
    report.examples_per_second = speed(report.seconds, first_step);
    return options_.on_step(options_.user, report);
  }

  Status finish_epoch(double seconds, int64_t first_step) {
    EpochReport report{};
    report.epoch = state_.epoch + 1;
    report.epochs = options_.epochs;
    report.step = state_.total_steps;
    report.scores = state_.sums.mean(instance_);
    report.seconds = seconds;
    report.examples_per_second = speed(seconds, first_step);
    averages_.swap(instance_);
    Status status = judge_epoch(&report);
    averages_.swap(instance_);
    if (!status.ok()) return status;
    result_.scores = report.scores;
    result_.has_validation = report.has_validation;
    result_.validation = report.validation;
    if (options_.on_epoch != nullptr && !options_.on_epoch(options_.user, report))
      stop_after_epoch_ = true;
    return {};
  }

  // Validates the weights as they would be written, and ends the epoch.
  Status judge_epoch(EpochReport* out) {
    EpochReport& report = *out;
    if (validation_ != nullptr) {
      report.has_validation = true;
      evaluate_prepared(instance_, *validation_,
                        {validation_order_.data(), validation_order_.size()}, &report.validation);
      if (!std::isfinite(report.validation.loss)) {
        return error("the validation loss became %s in epoch %lld, with finite weights: %s",
                     non_finite_name(report.validation.loss), static_cast<long long>(report.epoch),
                     kDiverged);
      }
    }
    state_.epoch += 1;
    state_.step = 0;
    state_.sums.begin(instance_);
    if (options_.early_stopping.enabled) watch(&report);
    if (options_.plateau.enabled) reduce_on_plateau(&report);
    return options_.keep_best.keep > 0 ? keep_if_best(&report) : Status{};
  }

  void watch(EpochReport* report) {
    double value = 0;
    monitored_value(instance_, monitor(), *report, &value);
    report->improved =
        !state_.has_best || improves(value, state_.best, options_.early_stopping.mode,
                                     options_.early_stopping.min_delta);
    if (report->improved) {
      state_.has_best = true;
      state_.best = value;
      state_.best_epoch = state_.epoch;
      state_.wait = 0;
      copy_best(true);
      return;
    }
    state_.wait += 1;
    state_.finished = state_.wait >= options_.early_stopping.patience;
    report->stopping = state_.finished;
  }

  Status keep_if_best(EpochReport* report) {
    double value = 0;
    monitored_value(instance_, monitor_or_default(options_.keep_best.monitor), *report, &value);
    Status status = keep_epoch(instance_, options_.keep_best, {state_.epoch, value}, &state_.kept);
    only_checkpoint_failed_ = !status.ok();
    for (const KeptEpoch& one : state_.kept)
      report->kept = report->kept || one.epoch == state_.epoch;
    return status;
  }

  void reduce_on_plateau(EpochReport* report) {
    double value = 0;
    monitored_value(instance_, monitor_or_default(options_.plateau.monitor), *report, &value);
    if (passes_plateau(options_.plateau, value, &state_.plateau))
      report->reduced_to = reduce_rate(instance_, options_.plateau);
  }

  Instance& instance_;
  const Feed& feed_;
  const Feed* validation_;
  const TrainOptions& options_;
  TrainResult& result_;
  TrainState state_;
  Averages averages_;
  CheckpointFacts check_{};
  Vec<int64_t> order_;
  Vec<int64_t> validation_order_;
  Vec<uint8_t> best_;
  int64_t batch_ = 1;
  int64_t steps_ = 0;
  bool stop_after_epoch_ = false;
  bool only_checkpoint_failed_ = false;
  int64_t scan_steps_ = 1;    // steps between two looks at the weights
  int64_t scanned_step_ = 0;  // the last one
};

}  // namespace

Status train(Instance& instance, const Feed& feed, const Feed* validation,
             const TrainOptions& options, TrainResult* result) {
  return Trainer(instance, feed, validation, options, result).run();
}

Status evaluate(Instance& instance, const Feed& feed, Scores* scores) {
  GRADC_RT_TRY(prepare_entries(instance, feed.rows(), GRADC_RT_EVALUATE, GRADC_RT_EVALUATE_TAIL));
  Vec<int64_t> order(static_cast<size_t>(feed.rows()));
  epoch_order(0, 0, false, {order.data(), order.size()});
  evaluate_prepared(instance, feed, {order.data(), order.size()}, scores);
  return {};
}

Status predict_batches(Instance& instance, const Feed& feed, const BatchTaker& taker) {
  GRADC_RT_TRY(instance.prepare(GRADC_RT_PREDICT));
  const int64_t batch = instance.model().batch_size;
  Vec<int64_t> order(static_cast<size_t>(feed.rows()));
  epoch_order(0, 0, false, {order.data(), order.size()});
  instance.reset_carried();
  for (int64_t step = 0; step < batches_of(feed.rows(), batch); ++step) {
    const int64_t valid = valid_rows(feed.rows(), batch, step);
    const BatchRequest request{order.data() + step * batch, valid, false, 0, 0};
    GatherCall call{&feed, &instance, &request};
    instance.run_after(gather_job, &call, GRADC_RT_PREDICT);
    GRADC_RT_TRY(taker.take(taker.self, instance, step * batch, valid));
  }
  return {};
}

namespace {

Status append_outputs(void* self, const Instance& instance, int64_t /*first*/, int64_t valid) {
  Vec<Array>& outputs = *static_cast<Vec<Array>*>(self);
  const int64_t batch = instance.model().batch_size;
  for (size_t n = 0; n < outputs.size(); ++n) {
    const size_t index =
        static_cast<size_t>(instance.nth(GRADC_RT_OUTPUT, static_cast<int64_t>(n)));
    const size_t bytes = static_cast<size_t>(instance.tensor(index).bytes / batch * valid);
    outputs[n].data.append(static_cast<const uint8_t*>(instance.data(index)), bytes);
  }
  return {};
}

}  // namespace

Status predict(Instance& instance, const Feed& feed, Vec<Array>* outputs) {
  const int64_t batch = instance.model().batch_size;
  for (int64_t n = 0; n < instance.count_of(GRADC_RT_OUTPUT); ++n) {
    const gradc_rt_tensor& tensor =
        instance.tensor(static_cast<size_t>(instance.nth(GRADC_RT_OUTPUT, n)));
    Array array;
    array.name = Str(tensor.name);
    array.source = Str(tensor.name);
    array.dtype = static_cast<Dtype>(tensor.dtype);
    array.dims.append(tensor.dims, static_cast<size_t>(tensor.rank));
    array.dims[0] = feed.rows();
    array.data.reserve(static_cast<size_t>(tensor.bytes / batch * feed.rows()));
    outputs->push(static_cast<Array&&>(array));
  }
  return predict_batches(instance, feed, {append_outputs, outputs});
}

}  // namespace gradc::rt
