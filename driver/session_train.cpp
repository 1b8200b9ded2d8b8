// Training from files by a session: the command's loop, with a host's callbacks.
#include "driver/session_impl.h"
#include "runtime/commands.h"

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

}  // namespace

SessionStatus SessionImpl::train(const TrainOptions& options, std::vector<double>* history) {
  return use([&]() -> SessionStatus {
    Listener listener{options, history};
    rt::TrainCommand command;
    command.data.spec = rt::Str(options.data.c_str());
    command.epochs = options.epochs > 0 ? options.epochs : -1;
    command.validation_split = options.validation_split;
    command.has_seed = true;
    command.seed = instance_.seed();
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
