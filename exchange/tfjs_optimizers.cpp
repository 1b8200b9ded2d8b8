#include "exchange/tfjs_optimizers.h"

#include "exchange/keras_components.h"
#include "exchange/keras_names.h"

#include <algorithm>
#include <utility>

namespace gradc::exchange {
namespace {

using Rename = std::pair<std::string_view, std::string_view>;

// An option there, and here.
constexpr Rename kOptions[] = {{"learningRate", "learning_rate"},
                               {"beta1", "beta_1"},
                               {"beta2", "beta_2"},
                               {"useNesterov", "nesterov"},
                               {"initialAccumulatorValue", "initial_accumulator_value"}};
// Losses that are called otherwise.
constexpr Rename kLosses[] = {{"kullback_leibler_divergence", "kl_divergence"},
                              {"logcosh", "log_cosh"},
                              {"cosine_proximity", "cosine_similarity"}};
constexpr std::string_view kSameLosses[] = {"mean_squared_error",
                                            "mean_absolute_error",
                                            "mean_absolute_percentage_error",
                                            "mean_squared_logarithmic_error",
                                            "squared_hinge",
                                            "hinge",
                                            "categorical_hinge",
                                            "categorical_crossentropy",
                                            "sparse_categorical_crossentropy",
                                            "binary_crossentropy",
                                            "poisson"};
constexpr std::string_view kMetrics[] = {
    "accuracy",  "binary_accuracy",    "categorical_accuracy", "categorical_crossentropy",
    "precision", "mean_squared_error", "mean_absolute_error"};

/// Whether an option has a value that asks for something.
bool asks(const Options& options, std::string_view name) {
  if (!options.defines(name) || !options.has(name)) return false;
  return name == "amsgrad" || name == "centered" ? options.flag(name) : options.number(name) != 0;
}

Json config_of(const Options& options, std::initializer_list<Rename> names) {
  const Component& schedule = *options.component("learning_rate");
  Json config = {{"learningRate", schedule.options.number("learning_rate")}};
  for (const auto& [there, here] : names)
    config[std::string(there)] = options.number(here);
  return config;
}

}  // namespace

Json tfjs_optimizer(const Component& optimizer) {
  const Options& options = optimizer.options;
  const std::string_view type = optimizer.def->type;
  if (options.component("learning_rate")->def->type != "constant") return nullptr;
  for (const char* other :
       {"weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "amsgrad", "centered"}) {
    if (asks(options, other)) return nullptr;
  }
  if (type == "sgd" || type == "momentum" || type == "nesterov") {
    if (options.number("momentum") == 0)
      return {{"class_name", "SGD"}, {"config", config_of(options, {})}};
    Json config = config_of(options, {{"momentum", "momentum"}});
    config["useNesterov"] = options.flag("nesterov");
    return {{"class_name", "Momentum"}, {"config", std::move(config)}};
  }
  if (type == "adam") {
    Json config =
        config_of(options, {{"beta1", "beta_1"}, {"beta2", "beta_2"}, {"epsilon", "epsilon"}});
    return {{"class_name", "Adam"}, {"config", std::move(config)}};
  }
  const bool outside = options.defines("epsilon_as") && options.text("epsilon_as") == "pytorch";
  if (type == "rmsprop" && !outside) {
    Json config =
        config_of(options, {{"decay", "rho"}, {"momentum", "momentum"}, {"epsilon", "epsilon"}});
    config["centered"] = false;
    return {{"class_name", "RMSProp"}, {"config", std::move(config)}};
  }
  if (type == "adagrad" && !outside && options.number("epsilon") == 1e-7) {
    Json config = config_of(options, {{"initialAccumulatorValue", "initial_accumulator_value"}});
    return {{"class_name", "Adagrad"}, {"config", std::move(config)}};
  }
  return nullptr;
}

std::string tfjs_loss(const Component& loss) {
  if (!is_plain(loss)) return {};
  const std::string_view type = loss.def->type;
  for (const auto& [there, here] : kLosses) {
    if (here == type) return std::string(there);
  }
  const bool same =
      std::find(std::begin(kSameLosses), std::end(kSameLosses), type) != std::end(kSameLosses);
  return same ? std::string(type) : std::string();
}

bool has_tfjs_metric(const Component& metric) {
  return is_plain(metric) && std::find(std::begin(kMetrics), std::end(kMetrics),
                                       metric.def->type) != std::end(kMetrics);
}

Json keras_optimizer_of_tfjs(const Json& optimizer) {
  Json json = optimizer;
  const auto config = json.find("config");
  if (config == json.end() || !config->is_object()) return json;
  const bool rmsprop = json.contains("class_name") && json["class_name"].is_string() &&
                       squashed(json["class_name"].get<std::string>()) == "rmsprop";
  Json renamed = Json::object();
  for (const auto& [key, value] : config->items()) {
    std::string name = key;
    for (const auto& [there, here] : kOptions) {
      if (there == key) name = here;
    }
    if (rmsprop && key == "decay") name = "rho";
    renamed[name] = value;
  }
  *config = std::move(renamed);
  return json;
}

}  // namespace gradc::exchange
