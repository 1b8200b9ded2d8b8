#include "runtime/hyperparameters.h"

#include "runtime/number.h"

#include <cmath>
#include <cstring>

namespace gradc::rt {

namespace {

double made_of(double x, int64_t step) {
  switch (static_cast<gradc_rt_number_step>(step)) {
    case GRADC_RT_NUMBER_AS_IT_IS:
      return x;
    case GRADC_RT_NUMBER_REST:
      return 1.0 - x;
    case GRADC_RT_NUMBER_TWICE:
      return 2.0 * x;
    case GRADC_RT_NUMBER_NEGATIVE:
      return -x;
    case GRADC_RT_NUMBER_LOGARITHM:
      return log(x);
    case GRADC_RT_NUMBER_INVERSE:
      return 1.0 / x;
  }
  return x;
}

/// "at least 0 and below 1".
Str limits_of(const gradc_rt_hyperparameter& number) {
  Str text;
  if (std::isfinite(number.min)) {
    text = Str((number.flags & GRADC_RT_ABOVE_MIN) != 0 ? "above " : "at least ");
    text.append(number_text(number.min).c_str());
  }
  if (std::isfinite(number.max)) {
    if (!text.empty()) text.append(" and ");
    text.append((number.flags & GRADC_RT_BELOW_MAX) != 0 ? "below " : "at most ");
    text.append(number_text(number.max).c_str());
  }
  return text.empty() ? Str("a number") : static_cast<Str&&>(text);
}

constexpr const char* kScheduledRate = "number/scheduled_rate";

}  // namespace

int64_t find_hyperparameter(const gradc_rt_model& model, const char* name) {
  for (int64_t i = 0; i < model.num_hyperparameters; ++i) {
    if (strcmp(model.hyperparameters[i].name, name) == 0) return i;
  }
  return -1;
}

Str hyperparameter_names(const gradc_rt_model& model) {
  Str names;
  for (int64_t i = 0; i < model.num_hyperparameters; ++i) {
    if (i > 0) names.append(", ");
    names.append(model.hyperparameters[i].name);
  }
  return names.empty() ? Str("none") : static_cast<Str&&>(names);
}

Status check_hyperparameter(const gradc_rt_hyperparameter& number, double value) {
  const bool rate = strcmp(number.name, "learning_rate") == 0;
  const bool inside = std::isfinite(value) && value >= number.min && value <= number.max;
  const bool on_edge = ((number.flags & GRADC_RT_ABOVE_MIN) != 0 && value == number.min) ||
                       ((number.flags & GRADC_RT_BELOW_MAX) != 0 && value == number.max);
  if ((inside && !on_edge) || (rate && std::isnan(value))) return {};
  return error("%s is %s, expected %s", number.name, number_text(value).c_str(),
               limits_of(number).c_str());
}

Status read_hyperparameter(Instance& instance, int64_t index, double* value) {
  *value = instance.hyperparameters()[index];
  if (!std::isnan(*value)) return {};
  if (!instance.is_prepared(GRADC_RT_LEARNING_RATE))
    GRADC_RT_TRY(instance.prepare(GRADC_RT_LEARNING_RATE));
  instance.run(GRADC_RT_LEARNING_RATE);
  *value = instance.scalar(static_cast<size_t>(instance.find(kScheduledRate)));
  return {};
}

Status write_hyperparameter(Instance& instance, int64_t index, double value) {
  const double before = instance.hyperparameters()[index];
  const bool back = std::isnan(value);  // to the model's own
  instance.hyperparameters()[index] = back ? instance.model().hyperparameters[index].value : value;
  Status status = instance.ensure_tensors(GRADC_RT_NUMBER);
  if (!status.ok()) {
    instance.hyperparameters()[index] = before;
    return status;
  }
  write_numbers(instance);
  instance.set_tuned(true);
  return {};
}

void write_numbers(Instance& instance) {
  const gradc_rt_model& model = instance.model();
  for (int64_t i = 0; i < model.num_numbers; ++i) {
    const gradc_rt_number& number = model.numbers[i];
    double value = number.hyperparameter < 0 ? number.value
                                             : instance.hyperparameters()[number.hyperparameter];
    for (const int64_t step : number.steps)
      value = made_of(value, step);
    memcpy(instance.data(static_cast<size_t>(number.tensor)), &value, sizeof value);
  }
}

}  // namespace gradc::rt
