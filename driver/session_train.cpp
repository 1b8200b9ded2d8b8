// Training by a session, from files or from the host's arrays: the command's loop, with a host's
// callbacks.
#include "driver/session_impl.h"
#include "runtime/commands.h"
#include "runtime/hyperparameters.h"
#include "runtime/weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace gradc {

namespace {

const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

std::vector<double> metrics_of(const rt::Scores& scores) {
  return {scores.metric, scores.metric + scores.metric_count};
}

TrainReport report_of(const rt::StepReport& step) {
  TrainReport report;
  report.epoch = step.epoch;
  report.epochs = step.epochs;
  report.step = step.step;
  report.loss = step.loss;
  report.metrics = metrics_of(step.scores);
  report.seconds = step.seconds;
  report.examples_per_second = step.examples_per_second;
  return report;
}

TrainReport report_of(const rt::EpochReport& epoch) {
  TrainReport report;
  report.epoch = epoch.epoch;
  report.epochs = epoch.epochs;
  report.step = epoch.step;
  report.loss = epoch.scores.loss;
  report.metrics = metrics_of(epoch.scores);
  report.has_validation = epoch.has_validation;
  if (epoch.has_validation) {
    report.validation_loss = epoch.validation.loss;
    report.validation_metrics = metrics_of(epoch.validation);
  }
  report.seconds = epoch.seconds;
  report.examples_per_second = epoch.examples_per_second;
  return report;
}

/// What hears of steps and epochs.
struct Listener {
  const TrainOptions& options;
  std::vector<double>* losses;
  bool stopped = false;

  bool step(const rt::StepReport& step) {
    if (options.on_step && !options.on_step(report_of(step))) stopped = true;
    return !stopped;
  }
  bool epoch(const rt::EpochReport& epoch) {
    const TrainReport report = report_of(epoch);
    if (losses != nullptr) losses->push_back(report.loss);
    if (options.history != nullptr) options.history->push_back(report);
    if (options.on_epoch && !options.on_epoch(report)) stopped = true;
    return !stopped;
  }
};

bool lends(const TrainOptions& options) {
  const std::vector<View>* const lists[] = {
      &options.inputs, &options.targets, &options.validation_inputs, &options.validation_targets};
  return std::ranges::any_of(lists, [](const auto* list) { return !list->empty(); });
}

std::optional<rt::Dtype> dtype_named(std::string_view name) {
  for (const rt::Dtype dtype :
       {rt::Dtype::kF32, rt::Dtype::kF64, rt::Dtype::kBF16, rt::Dtype::kF16, rt::Dtype::kI32,
        rt::Dtype::kI64, rt::Dtype::kU8, rt::Dtype::kBool}) {
    if (name == rt::dtype_name(dtype)) return dtype;
  }
  return std::nullopt;
}

/// What belongs to a model's weights and is each instance's own: the meaning of its numbers, the
/// statistics of its data, the optimizer's numbers that were set, the seed.
SessionStatus copy_facts(rt::Instance& from, rt::Instance& to) {
  to.set_seed(from.seed());
  to.set_meanings(from.meanings() != nullptr ? from.meanings()->clone()
                                             : rt::Vec<rt::TensorMeaning>());
  for (size_t i = 0; i < from.num_tensors(); ++i) {
    const int64_t index = to.find(from.tensor(i).name);
    if (index < 0) continue;
    const rt::DataStatistics& known = from.statistics(i);
    rt::DataStatistics& copy = to.statistics(static_cast<size_t>(index));
    copy.known = known.known && copy.count == known.count;
    if (!copy.known) continue;
    std::copy_n(known.mean, known.count, copy.mean);
    std::copy_n(known.std, known.count, copy.std);
  }
  for (int64_t i = 0; i < from.model().num_hyperparameters; ++i) {
    const double value = from.hyperparameters()[i];
    const double there = to.hyperparameters()[i];
    if (value == there || (std::isnan(value) && std::isnan(there))) continue;
    const rt::Status written = rt::write_hyperparameter(to, i, value);
    if (!written.ok()) return from_status(written);
  }
  return {};
}

}  // namespace

SessionStatus SessionImpl::lend(const TrainOptions& options, rt::DataSource& source) const {
  if (!options.data.empty())
    return failed("error: training data are a file or the host's arrays, both were given\n");
  struct List {
    gradc_rt_tensor_kind kind;
    const std::vector<View>& views;
    const char* part;    // of messages
    const char* suffix;  // of the arrays' names
  };
  const bool validates = !options.validation_inputs.empty() || !options.validation_targets.empty();
  const List lists[] = {{GRADC_RT_INPUT, options.inputs, "", ""},
                        {GRADC_RT_TARGET, options.targets, "", ""},
                        {GRADC_RT_INPUT, options.validation_inputs, "validation ", "_val"},
                        {GRADC_RT_TARGET, options.validation_targets, "validation ", "_val"}};
  std::array<Rows, 2> rows;
  for (const List& list : lists) {
    const bool validation = *list.part != '\0';
    if (validation && !validates) continue;
    Taken<const void> taken;
    SessionStatus status =
        take(list.kind, Buffers(list.views), taken, rows[validation ? 1 : 0], options.as_in_files);
    if (!status.ok())
      return validation ? failed("of the validation arrays:\n" + status.message) : status;
    for (size_t n = 0; n < taken.ordered.size(); ++n) {
      const View& view = *taken.ordered[n];
      const gradc_rt_tensor& tensor = tensor_at(list.kind, static_cast<int64_t>(n));
      rt::Array array;
      array.name = rt::format("%s%s", tensor.name, list.suffix);
      array.source =
          rt::format("%s%s \"%s\"", list.part, list.kind == GRADC_RT_INPUT ? "input" : "target",
                     rt::short_name(tensor));
      const std::optional<rt::Dtype> dtype = dtype_named(view.dtype);
      if (!dtype) {
        return failed(fmt::format("error: {} is of type {}, which no file of numbers here has\n",
                                  array.source.c_str(), view.dtype));
      }
      array.dtype = *dtype;
      array.dims.append(view.shape.values().data(), view.shape.values().size());
      array.lent = static_cast<const uint8_t*>(view.data);
      source.lent.push(std::move(array));
    }
  }
  source.given = !options.as_in_files;
  return {};
}

SessionStatus SessionImpl::train_in_batches(const TrainOptions& options,
                                            std::vector<double>* history) {
  if (of_other_batch_ == nullptr || of_other_batch_->batch_size() != options.batch_size) {
    SessionOptions own = options_;
    own.batch_size = options.batch_size;
    SessionStatus made;
    of_other_batch_ = another(own, true, &made);
    if (of_other_batch_ == nullptr) return made;
  }
  auto& other = static_cast<SessionImpl&>(*of_other_batch_);
  SessionStatus status = copy_facts(instance_, other.instance_);
  if (!status.ok()) return status;
  status = other.train(options, history);
  const SessionStatus back = copy_facts(other.instance_, instance_);
  return status.ok() ? back : status;
}

SessionStatus SessionImpl::train(const TrainOptions& options, std::vector<double>* history) {
  return use([&]() -> SessionStatus {
    if (options.batch_size < 0)
      return failed(fmt::format("error: the batch size is {}\n", options.batch_size));
    if (options.batch_size != 0 && options.batch_size != batch_size())
      return train_in_batches(options, history);
    SessionStatus supported = check_supported(EntryPoint::kTrainStep);
    if (!supported.ok()) return supported;
    Listener listener{options, history};
    rt::TrainCommand command;
    command.data.spec = rt::Str(options.data.c_str());
    if (lends(options)) {
      SessionStatus lent = lend(options, command.data);
      if (!lent.ok()) return lent;
    } else if (options.data.empty()) {
      return failed("error: there is nothing to train on: neither a file nor arrays were given\n");
    }
    command.epochs = options.epochs > 0 ? options.epochs : -1;
    command.validation_split = options.validation_split;
    command.has_seed = true;
    command.seed = options.seed.value_or(instance_.seed());
    command.keeps = options.go_on;
    if (options.shuffle) command.shuffle = *options.shuffle ? 1 : 0;
    command.weights = or_null(options.weights);
    command.out = or_null(options.out);
    command.checkpoint = or_null(options.checkpoint);
    command.resume = options.resume;
    command.overwrite = options.overwrite;
    command.log = or_null(options.log);
    command.quiet = true;
    command.handle_signals = false;
    command.user = &listener;
    command.on_step = [](void* user, const rt::StepReport& report) {
      return static_cast<Listener*>(user)->step(report);
    };
    command.on_epoch = [](void* user, const rt::EpochReport& report) {
      return static_cast<Listener*>(user)->epoch(report);
    };
    rt::TrainResult result;
    const rt::Status status = rt::run_train(instance_, command, &result);
    // Ended as the host wished: nothing went wrong.
    if (status.code == rt::Code::kStopped && listener.stopped) return {};
    return from_status(status);
  });
}

}  // namespace gradc
