#include "runtime/monitor.h"

#include "runtime/train_loop.h"
#include "runtime/weights.h"

#include <cstring>

namespace gradc::rt {

bool improves(double value, double best, int64_t mode, double min_delta) {
  return (mode > 0 ? value - best : best - value) > min_delta;
}

bool passes_plateau(const ReduceOnPlateau& options, double value, PlateauState* state) {
  if (state->cooldown > 0) {
    --state->cooldown;
    state->wait = 0;
  }
  if (!state->has_best || improves(value, state->best, options.mode, options.min_delta)) {
    state->has_best = true;
    state->best = value;
    state->wait = 0;
    return false;
  }
  if (state->cooldown > 0) return false;
  if (++state->wait < options.patience) return false;
  state->cooldown = options.cooldown;
  state->wait = 0;
  return true;
}

double rate_factor(const Instance& instance) {
  const int64_t index = instance.find("optimizer/rate_factor");
  return index < 0 ? 1.0 : instance.scalar(static_cast<size_t>(index));
}

double reduced_factor(const ReduceOnPlateau& options, double factor) {
  const double least = factor < options.least ? factor : options.least;
  const double reduced = factor * options.factor;
  return reduced < least ? least : reduced;
}

double reduce_rate(Instance& instance, const ReduceOnPlateau& options) {
  const double factor = rate_factor(instance);
  const double reduced = reduced_factor(options, factor);
  if (reduced >= factor) return 0;
  const int64_t index = instance.find("optimizer/rate_factor");
  if (index >= 0) memcpy(instance.data(static_cast<size_t>(index)), &reduced, sizeof reduced);
  return reduced;
}

const char* monitor_or_default(const char* monitor) {
  return monitor != nullptr && monitor[0] != '\0' ? monitor : "val_loss";
}

bool monitored_value(const Instance& instance, const char* monitor, const EpochReport& report,
                     double* value) {
  const bool validation = strncmp(monitor, "val_", 4) == 0;
  if (validation && !report.has_validation) return false;
  const char* name = validation ? monitor + 4 : monitor;
  const Scores& scores = validation ? report.validation : report.scores;
  if (strcmp(name, "loss") == 0) {
    *value = scores.loss;
    return true;
  }
  for (int64_t m = 0; m < scores.metric_count; ++m) {
    const int64_t index = instance.nth(GRADC_RT_METRIC, m);
    if (strcmp(short_name(instance.tensor(static_cast<size_t>(index))), name) == 0) {
      *value = scores.metric[m];
      return true;
    }
  }
  return false;
}

Status check_monitor(const Instance& instance, const char* who, const char* monitor,
                     bool has_validation) {
  EpochReport report{};
  report.has_validation = has_validation;
  report.scores = report.validation = ScoreSums{}.mean(instance);
  double value = 0;
  if (monitored_value(instance, monitor, report, &value)) return {};
  Str names("\"loss\"");
  for (int64_t m = 0; m < report.scores.metric_count; ++m) {
    const size_t index = static_cast<size_t>(instance.nth(GRADC_RT_METRIC, m));
    names.appendf(", \"%s\"", short_name(instance.tensor(index)));
  }
  return error(
      "%s monitors \"%s\", there is %s%s", who, monitor, names.c_str(),
      has_validation ? " and each with \"val_\"" : " and no validation data for \"val_...\"");
}

}  // namespace gradc::rt
