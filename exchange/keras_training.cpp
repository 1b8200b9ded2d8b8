#include "exchange/keras_training.h"

#include "support/utf8.h"

#include "exchange/keras_names.h"
#include "exchange/keras_options.h"
#include "exchange/tfjs_optimizers.h"
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace gradc::exchange {
namespace {

class TrainingTranslator {
 public:
  TrainingTranslator(const Context& context, const JsonCursor& config, const NativeNetwork& network)
      : context_(context), config_(config), network_(network) {
    out_.places.emplace_back("", config.pointer());
  }

  Piece run() {
    if (const auto loss = member("loss")) put_losses(*loss);
    if (const auto weights = member("loss_weights")) put_weights(*weights);
    for (const char* key : {"metrics", "weighted_metrics"})
      if (const auto metrics = member(key)) put_metrics(*metrics, key);
    const auto optimizer =
        member(config_.has("optimizer_config") ? "optimizer_config" : "optimizer");
    if (optimizer) put_optimizer(*optimizer);
    return std::move(out_);
  }

 private:
  std::optional<JsonCursor> member(const char* key) const {
    if (!config_.has(key) || config_.value()[key].is_null()) return std::nullopt;
    return config_.member(key);
  }

  bool single() const { return network_.output_list.size() == 1; }

  /// What belongs to each output in a value that is a list by output or an object by its name.
  std::vector<std::optional<JsonCursor>> by_output(const JsonCursor& at, bool list) const {
    std::vector<std::optional<JsonCursor>> parts(network_.output_list.size());
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string& name = network_.output_list[i].keras_name;
      if (list) {
        if (i < at.value().size()) parts[i] = at.element(i);
      } else if (at.has(name)) {
        parts[i] = at.member(name);
      }
    }
    return parts;
  }

  /// One loss in a place for several outputs: Keras takes it for all. Where other layers go on
  /// from an output, its loss is left out.
  std::vector<std::optional<JsonCursor>> of_ends(const JsonCursor& at) {
    std::vector<std::optional<JsonCursor>> parts(network_.output_list.size());
    std::vector<std::string> without;
    for (size_t i = 0; i < parts.size(); ++i) {
      if (network_.output_list[i].used_on) {
        without.push_back(network_.output_list[i].name);
      } else {
        parts[i] = at;
      }
    }
    if (!without.empty()) {
      context_.sink.warning(DiagKind::kLeftOut, at.place(),
                            "one loss for {} outputs: it is left out of those that other layers go "
                            "on from: {}",
                            parts.size(), fmt::join(without, ", "));
    }
    return parts;
  }

  static bool is_one(const Json& value) {
    return value.is_string() || (value.is_object() && value.contains("class_name"));
  }

  void put_losses(const JsonCursor& at) {
    const Json& value = at.value();
    if (single() && is_one(value)) {
      if (auto loss = translate_component(context_, at, Family::kLoss))
        out_.put("loss", std::move(*loss));
      return;
    }
    losses_ = is_one(value) ? of_ends(at) : by_output(at, value.is_array());
    Piece list;
    list.places.emplace_back("", at.pointer());
    for (size_t i = 0; i < losses_.size(); ++i) {
      if (!losses_[i] || losses_[i]->value().is_null()) continue;
      if (auto loss = translate_component(context_, *losses_[i], Family::kLoss))
        list.put(network_.output_list[i].name, std::move(*loss));
    }
    if (single() && list.json.size() == 1) {
      out_.json["loss"] = list.json.front();
      out_.places.emplace_back("/loss", at.pointer());
    } else {
      out_.put("losses", std::move(list));
    }
  }

  void put_weights(const JsonCursor& at) {
    if (single() || !at.value().is_structured()) return;
    Piece weights;
    const auto parts = by_output(at, at.value().is_array());
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string& name = network_.output_list[i].name;
      const bool has_loss = out_.json.contains("losses") && out_.json["losses"].contains(name);
      if (parts[i] && parts[i]->value().is_number() && has_loss)
        weights.put(name, parts[i]->value(), *parts[i]);
    }
    if (!weights.json.empty()) out_.put("loss_weights", std::move(weights));
  }

  void put_metrics(const JsonCursor& at, const char* key) {
    const Json& value = at.value();
    const bool nested = value.is_array() && !value.empty() && value[0].is_array();
    if (single()) {
      std::optional<JsonCursor> list = at;
      if (nested) list = at.element(0);
      if (value.is_object() && !is_one(value)) list = by_output(at, false)[0];
      if (list) out_.put(key, metrics_of(*list));
      return;
    }
    // A plain list is for every output that has a loss.
    std::vector<std::optional<JsonCursor>> parts =
        value.is_object() || nested
            ? by_output(at, nested)
            : std::vector<std::optional<JsonCursor>>(network_.output_list.size(), at);
    Piece all;
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string& name = network_.output_list[i].name;
      const bool has_loss = out_.json.contains("losses") && out_.json["losses"].contains(name);
      if (parts[i] && has_loss) all.put(name, metrics_of(*parts[i]));
    }
    if (!all.json.empty()) out_.put(key, std::move(all));
  }

  Piece metrics_of(const JsonCursor& at) {
    Piece list(Json::array(), at);
    std::set<std::string> names;
    const auto add = [&](const JsonCursor& metric) {
      auto piece = metric_of(metric);
      if (!piece) return;
      const Json& json = piece->json;
      const std::string name =
          json.is_string() ? json.get<std::string>() : json.value("name", json.value("type", ""));
      if (names.insert(name).second) list.push(std::move(*piece));
    };
    if (at.value().is_array()) {
      for (size_t i = 0; i < at.value().size(); ++i)
        add(at.element(i));
    } else if (!at.value().is_null()) {
      add(at);
    }
    return list;
  }

  /// Training does without a metric that gradc does not have.
  std::optional<Piece> metric_of(const JsonCursor& at) {
    if (at.value().is_null()) return std::nullopt;
    DiagnosticSink problems;
    const Context quiet{problems, context_.dialect};
    auto piece = translate_component(quiet, at, Family::kMetric);
    if (!problems.has_errors() && piece) {
      const std::string name = at.has("config") ? string_member(at.value()["config"], "name") : "";
      if (piece->json.is_object() && !name.empty() && name != piece->json.value("type", ""))
        piece->json["name"] = name;
      return piece;
    }
    context_.sink.warning(
        DiagKind::kLeftOut, at.place(), "a metric is left out: {}",
        problems.all().empty() ? std::string("it has no name") : problems.all().front().message);
    return std::nullopt;
  }

  void put_optimizer(const JsonCursor& at) {
    named_ =
        OwnJson(context_.dialect.tfjs ? keras_optimizer_of_tfjs(at.value()) : Json(at.value()));
    const JsonCursor named = at.with_value(*named_);
    auto optimizer = translate_component(context_, without_decay(named), Family::kOptimizer);
    if (!optimizer) return;
    Json& json = optimizer->json;
    if (json.is_string()) json = Json{{"type", json}};
    const ComponentDef* def = find_member(Family::kOptimizer, json.value("type", ""));
    const bool legacy = named.has("config") && named.value()["config"].is_object() &&
                        named.value()["config"].value("is_legacy_optimizer", Json(false)) == true;
    put_epsilon(def, legacy, json);
    put_decay(named, json);
    out_.put("optimizer", std::move(*optimizer));
  }

  /// The optimizer without what its table does not have and put_decay makes a schedule of.
  JsonCursor without_decay(const JsonCursor& at) {
    if (!at.has("config") || !at.value()["config"].is_object()) return at;
    changed_ = OwnJson(at.value());
    Json& config = (*changed_)["config"];
    for (const char* key : {"decay", "initial_decay", "schedule_decay"})
      config.erase(key);
    exclude_as_words(config);
    return at.with_value(*changed_);
  }

  /// Muon's list of what follows AdamW.
  static void exclude_as_words(Json& config) {
    constexpr const char* kList = "exclude_layers";
    if (!config.contains(kList) || !config[kList].is_array()) return;
    std::string words;
    for (const Json& word : config[kList]) {
      if (!word.is_string()) return;
      words += (words.empty() ? "" : " ") + word.get<std::string>();
    }
    config[kList] = words.empty() ? Json(nullptr) : Json(words);
  }

  /// Keras 1 and 2: rate / (1 + decay steps).
  void put_decay(const JsonCursor& at, Json& json) {
    if (!at.has("config")) return;
    const Json& config = at.value()["config"];
    for (const char* key : {"decay", "initial_decay"}) {
      if (!config.is_object() || !config.contains(key) || !config[key].is_number()) continue;
      const double decay = config[key].get<double>();
      if (decay == 0.0 || !json.contains("learning_rate") || !json["learning_rate"].is_number())
        continue;
      json["learning_rate"] = Json{{"type", "inverse_time_decay"},
                                   {"initial_learning_rate", json["learning_rate"]},
                                   {"decay_steps", 1},
                                   {"decay_rate", decay}};
    }
  }

  /// Where epsilon is added changed with Keras 2.11; TensorFlow.js has places of its own.
  void put_epsilon(const ComponentDef* def, bool is_legacy, Json& json) const {
    if (def == nullptr || find_keras_option(def->options, "epsilon_as") == nullptr) return;
    const bool root = def->type == "rmsprop" || def->type == "adagrad";
    const bool legacy = context_.dialect.before(2, 11) || is_legacy;
    if (context_.dialect.tfjs) {
      json["epsilon_as"] = "tensorflow_js";
    } else if (root && legacy) {
      json["epsilon_as"] = "pytorch";
    }
  }

  const Context& context_;
  JsonCursor config_;
  const NativeNetwork& network_;
  Piece out_;
  std::vector<std::optional<JsonCursor>> losses_;
  OwnJson named_;  ///< by Keras's names
  OwnJson changed_;
};

/// The activation that an output ends with, looking through layers that only move elements.
std::string last_activation(const NativeOutput& output) {
  constexpr int kMaxSteps = 16;
  const KerasModel* model = output.model;
  const KerasNode* node = output.node;
  for (int i = 0; i < kMaxSteps && node != nullptr && !node->is_input; ++i) {
    if (node->inner != nullptr) {
      if (node->inner->outputs.empty()) return {};
      model = node->inner.get();
      node = model->find(model->outputs.front().layer);
      continue;
    }
    const std::string_view type = node->native.def->base.type;
    const Json& json = node->native.piece.json;
    if (find_member(Family::kActivation, type) != nullptr) return std::string(type);
    if (json.contains("activation")) {
      const Json& activation = json["activation"];
      const std::string name = activation.is_object()
                                   ? activation.value("type", "")
                                   : (activation.is_string() ? activation.get<std::string>() : "");
      if (type != "activation" || name != "linear") return name;
    } else if (type != "reshape" && type != "flatten" && type != "dropout" && type != "permute") {
      return {};
    }
    if (node->calls.empty() || node->calls[0].inputs.size() != 1) return {};
    node = model->find(node->calls[0].inputs[0].layer);
  }
  return {};
}

std::string_view loss_for(const std::string& activation) {
  if (activation == "softmax") return "categorical_crossentropy";
  if (activation == "sigmoid") return "binary_crossentropy";
  return "mean_squared_error";
}

}  // namespace

Piece translate_training(const Context& context, const JsonCursor& config,
                         const NativeNetwork& network) {
  Piece piece = TrainingTranslator(context, config, network).run();
  if (network.batch) piece.json["batch_size"] = *network.batch;
  return piece;
}

Piece assume_training(const NativeNetwork& network, const std::string& file,
                      std::vector<Diagnostic>& assumed) {
  Piece piece;
  piece.places.emplace_back("", "");
  std::vector<std::string> said;
  Json losses = Json::object();
  for (const NativeOutput& output : network.output_list) {
    if (output.used_on && network.output_list.size() > 1) continue;
    const std::string_view loss = loss_for(last_activation(output));
    losses[output.name] = loss;
    said.push_back(network.output_list.size() == 1 ? std::string(loss)
                                                   : fmt::format("{} of {}", loss, output.name));
  }
  if (network.output_list.size() == 1 && losses.size() == 1) {
    piece.json["loss"] = losses.front();
  } else {
    piece.json["losses"] = std::move(losses);
  }
  piece.json["optimizer"] = "adam";
  if (network.batch) piece.json["batch_size"] = *network.batch;
  assumed.push_back(
      {DiagKind::kAssumed,
       Severity::kWarning,
       fmt::format("the file says no loss and no optimizer; what is trained with is {} "
                   "and adam",
                   fmt::join(said, ", ")),
       {.file = file},
       {},
       "to choose, write a file {\"model\": \"...\", \"training\": {...}} around it"});
  return piece;
}

}  // namespace gradc::exchange
