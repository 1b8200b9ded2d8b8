#include "exchange/keras_export_training.h"

#include "frontend/example_weights.h"

#include "exchange/tfjs_optimizers.h"

#include <algorithm>

namespace gradc::exchange {
namespace {

// Metrics that Keras does not have.
constexpr std::string_view kMetricsNotInKeras[] = {"matthews_correlation", "cohen_kappa",
                                                   "perplexity"};
// Losses that Keras does not have, and those that only Keras 3 has.
constexpr std::string_view kLossesNotInKeras[] = {"contrastive", "triplet_semi_hard",
                                                  "triplet_hard", "formula", "gir"};
constexpr std::string_view kLossesOfKerasThree[] = {"dice", "tversky", "ctc"};
// Schedules that Keras does not have.
constexpr std::string_view kSchedulesNotInKeras[] = {"step_decay", "warmup", "one_cycle"};

constexpr const char* kUndecayed = "exclude_from_weight_decay";
constexpr const char* kAsAdamw = "exclude_layers";
constexpr const char* kAccumulated = "gradient_accumulation_steps";

bool is_one_of(std::string_view type, std::span<const std::string_view> list) {
  return std::find(list.begin(), list.end(), type) != list.end();
}

class TrainingExport {
 public:
  TrainingExport(const Model& model, KerasForm form, std::vector<Diagnostic>& left_out)
      : model_(model), training_(*model.training), form_(form), left_out_(left_out) {}

  /// A loss, or one for each output; null where an output has none.
  Json losses() {
    Json list = per_output(nullptr);
    for (const OutputLoss& one : training_.losses) {
      if (one.for_target) continue;
      const std::string_view type = one.loss.def->type;
      if (is_one_of(type, kLossesNotInKeras) ||
          (form_ != KerasForm::kThree && is_one_of(type, kLossesOfKerasThree))) {
        leave_out(fmt::format("the loss \"{}\", which {} does not have", type,
                              is_one_of(type, kLossesNotInKeras) ? "Keras" : "Keras 2"));
        continue;
      }
      Json& loss = list[one.output] = export_by_name(one.loss, Family::kLoss, form_);
      if (type != "ctc" || !loss.is_object()) continue;
      if (one.loss.options.flag("zero_infinity"))
        leave_out("\"zero_infinity\" of ctc, which Keras does not have");
      for (const char* own : {"max_labels", "zero_infinity"})
        loss["config"].erase(own);
    }
    return single() ? list[0] : list;
  }

  Json loss_weights() const {
    if (single()) return nullptr;
    Json list = per_output(1.0);
    for (const OutputLoss& one : training_.losses)
      list[one.output] = one.weight;
    return list;
  }

  /// Those that count weights, or the others; null where there are no weighted ones.
  Json metrics(bool weighted) {
    Json list = per_output(Json::array());
    bool any = !weighted;
    for (const OutputMetric& metric : training_.metrics) {
      if (is_weighted(metric.metric) != weighted) continue;
      any = true;
      if (is_one_of(metric.resolved->type, kMetricsNotInKeras)) {
        leave_out(fmt::format("the metric \"{}\", which Keras does not have", metric.name));
        continue;
      }
      // Of one class Keras has precision and recall alone.
      const Options& options = metric.metric.options;
      const auto given = [&](const char* name) {
        return options.defines(name) && options.has(name);
      };
      const bool counts = options.defines("top_k");
      if (given("target_class_ids") || (given("class_id") && !counts)) {
        leave_out(fmt::format("the metric \"{}\" of single classes, which Keras does not have",
                              metric.name));
        continue;
      }
      Component component = metric.metric;
      component.options.set("weighted", NoValue{});
      if (component.def->type == "top_k_accuracy") component.def = metric.resolved;
      Json json = export_by_name(component, Family::kMetric, form_);
      for (const char* own : {"weighted", "target_class_ids", "class_id"}) {
        if (json.is_object() && !(counts && own == std::string_view("class_id")))
          json["config"].erase(own);
      }
      list[metric.output].push_back(std::move(json));
    }
    if (!any) return nullptr;
    return single() ? list[0] : list;
  }

  Json optimizer() {
    const Component& optimizer = training_.optimizer;
    Json json = export_component(optimizer, Family::kOptimizer, form_);
    Json& config = json["config"];
    config.erase("epsilon_as");
    put_common(optimizer, config);
    put_rate(config);
    if (!optimizer.options.defines("epsilon_as")) return json;
    const std::string& as = optimizer.options.text("epsilon_as");
    const bool adaptive = optimizer.def->type == "rmsprop" || optimizer.def->type == "adagrad";
    if (as == "keras" || (adaptive && as == "tensorflow_js")) return json;  // there they agree
    if (adaptive && form_ != KerasForm::kThree) {
      for (auto member = config.begin(); member != config.end();)
        member = member->is_null() ? config.erase(member) : std::next(member);
      config["is_legacy_optimizer"] = true;  // whose formula it is
      if (form_ == KerasForm::kTwoArchive) json["module"] = "keras.optimizers.legacy";
    } else {
      leave_out(fmt::format("that {} adds epsilon as {} does: Keras adds it elsewhere",
                            optimizer.def->type, as));
    }
    return json;
  }

 private:
  bool single() const { return model_.outputs.size() == 1; }

  Json per_output(const Json& value) const {
    Json list = Json::array();
    for (size_t i = 0; i < model_.outputs.size(); ++i)
      list.push_back(value);
    return list;
  }

  /// What all optimizers have besides their steps.
  void put_common(const Component& optimizer, Json& config) {
    if (optimizer.options.has(kUndecayed))
      leave_out("\"exclude_from_weight_decay\", which Keras's files do not say");
    config.erase(kUndecayed);
    if (optimizer.options.defines(kAsAdamw)) {
      Json list = Json::array();
      if (optimizer.options.has(kAsAdamw)) {
        for (std::string& word : split_words(optimizer.options.text(kAsAdamw)))
          list.push_back(std::move(word));
      }
      config[kAsAdamw] = std::move(list);
    }
    if (form_ == KerasForm::kThree) return;
    if (optimizer.options.has(kAccumulated))
      leave_out(fmt::format("\"{}\", which Keras 2 does not have", kAccumulated));
    if (optimizer.options.flag("use_ema"))
      leave_out("moving averages of the weights as an option of the optimizer");
    for (const char* key : {kAccumulated, "use_ema", "ema_momentum", "ema_overwrite_frequency"})
      config.erase(key);
  }

  void put_rate(Json& config) {
    const Component& schedule = *training_.optimizer.options.component("learning_rate");
    if (schedule.def->type == "constant") {
      config["learning_rate"] = schedule.options.number("learning_rate");
    } else if (is_one_of(schedule.def->type, kSchedulesNotInKeras)) {
      leave_out(fmt::format("the schedule \"{}\", which Keras does not have", schedule.def->type));
      config.erase("learning_rate");
    }
  }

  void leave_out(const std::string& what) {
    left_out_.push_back({DiagKind::kLeftOut,
                         Severity::kWarning,
                         fmt::format("what is written is without {}", what),
                         {.file = model_.file},
                         {},
                         {}});
  }

  const Model& model_;
  const Training& training_;
  KerasForm form_;
  std::vector<Diagnostic>& left_out_;
};

}  // namespace

Json export_training_config(const Model& model, std::vector<Diagnostic>& left_out) {
  if (!model.training) return nullptr;
  TrainingExport training(model, KerasForm::kTwo, left_out);
  Json config = {{"loss", training.losses()}, {"metrics", training.metrics(false)}};
  config["weighted_metrics"] = training.metrics(true);
  config["loss_weights"] = training.loss_weights();
  config["optimizer_config"] = training.optimizer();
  return config;
}

Json export_compile_config(const Model& model, KerasForm form, std::vector<Diagnostic>& left_out) {
  if (!model.training) return nullptr;
  TrainingExport training(model, form, left_out);
  Json config = {{"optimizer", training.optimizer()}, {"loss", training.losses()}};
  config["loss_weights"] = training.loss_weights();
  config["metrics"] = training.metrics(false);
  config["weighted_metrics"] = training.metrics(true);
  config["run_eagerly"] = false;
  config["steps_per_execution"] = 1;
  config["jit_compile"] = false;
  return config;
}

Json export_tfjs_training(const Model& model) {
  if (!model.training) return nullptr;
  Json optimizer = tfjs_optimizer(model.training->optimizer);
  if (optimizer.is_null()) return nullptr;
  Json losses = Json::array();
  for (const OutputLoss& one : model.training->losses) {
    const std::string loss = tfjs_loss(one.loss);
    if (loss.empty() || one.weight != 1.0) return nullptr;
    losses.push_back(loss);
  }
  if (losses.size() != model.outputs.size()) return nullptr;
  Json metrics = Json::array();
  for (const OutputMetric& metric : model.training->metrics) {
    if (model.outputs.size() == 1 && has_tfjs_metric(metric.metric))
      metrics.push_back(std::string(metric.metric.def->type));
  }
  return {{"loss", losses.size() == 1 ? losses[0] : losses},
          {"metrics", std::move(metrics)},
          {"optimizer_config", std::move(optimizer)}};
}

}  // namespace gradc::exchange
