#include "exchange/keras_export.h"

#include "frontend/layer_def.h"

#include "exchange/keras_names.h"

#include <map>

namespace gradc::exchange {
namespace {

struct ClassName {
  std::string_view type, name;
};
// What is no CamelCase of the type.
constexpr ClassName kClasses[] = {
    {"lstm", "LSTM"},
    {"gru", "GRU"},
    {"rnn", "RNN"},
    {"simple_rnn", "SimpleRNN"},
    {"lstm_cell", "LSTMCell"},
    {"gru_cell", "GRUCell"},
    {"simple_rnn_cell", "SimpleRNNCell"},
    {"relu", "ReLU"},
    {"leaky_relu", "LeakyReLU"},
    {"prelu", "PReLU"},
    {"elu", "ELU"},
    {"sgd", "SGD"},
    {"rmsprop", "RMSprop"},
    {"adamw", "AdamW"},
    {"l1", "L1"},
    {"l2", "L2"},
    {"l1_l2", "L1L2"},
};

// Layers that are gradc's alone.
constexpr std::string_view kNotInKeras[] = {"position_embedding",
                                            "token_and_position_embedding",
                                            "sine_position_encoding",
                                            "rotary_embedding",
                                            "rms_normalization",
                                            "add_loss",
                                            "bernoulli",
                                            "gir"};

class Exporter {
 public:
  explicit Exporter(const Model& model) : model_(model) {}

  Result<OwnJson> run() {
    count_calls();
    Json layers = Json::array();
    for (const ModelInput& input : model_.inputs)
      layers.push_back(input_layer(input));
    for (size_t i = 0; i < model_.layers.size(); ++i)
      layers.push_back(layer(i));
    Json inputs = Json::array();
    Json outputs = Json::array();
    for (const ModelInput& input : model_.inputs)
      inputs.push_back(Json::array({input.name, 0, 0}));
    for (const ModelOutput& output : model_.outputs) {
      Json tensor = tensor_of(output.value);
      tensor.erase(3);
      outputs.push_back(std::move(tensor));
    }
    if (sink_.has_errors()) return Failure(sink_.take());
    Json config = {{"name", model_.name}, {"layers", std::move(layers)}};
    config["input_layers"] = std::move(inputs);
    config["output_layers"] = std::move(outputs);
    return OwnJson(Json{{"class_name", "Functional"},
                        {"config", std::move(config)},
                        {"keras_version", kWrittenKerasVersion},
                        {"backend", "tensorflow"}});
  }

 private:
  /// Which call of its layer each call is.
  void count_calls() {
    std::map<size_t, int64_t> counts;
    for (const Call& call : model_.calls)
      numbers_[&call] = counts[call.layer]++;
  }

  static Json input_layer(const ModelInput& input) {
    Json shape = Json::array({nullptr});
    for (const int64_t extent : input.spec.shape)
      shape.push_back(extent);
    const bool integers = !is_float(input.spec.dtype);
    Json config = {{"batch_input_shape", std::move(shape)},
                   {"dtype", integers ? "int32" : "float32"},
                   {"sparse", false},
                   {"ragged", false},
                   {"name", input.name}};
    return {{"class_name", "InputLayer"},
            {"config", std::move(config)},
            {"name", input.name},
            {"inbound_nodes", Json::array()}};
  }

  /// [layer, node, tensor, {}].
  Json tensor_of(ModelValue value) const {
    const Call* call = model_.call_of(value);
    if (call == nullptr) return Json::array({model_.inputs[value].name, 0, 0, Json::object()});
    return Json::array(
        {model_.layers[call->layer].name, numbers_.at(call), value - call->first, Json::object()});
  }

  Json layer(size_t index) {
    const Layer& layer = model_.layers[index];
    Json nodes = Json::array();
    for (const Call& call : model_.calls) {
      if (call.layer != index) continue;
      Json node = Json::array();
      for (const ModelValue input : call.inputs)
        node.push_back(tensor_of(input));
      for (const auto& named : call.named) {
        if (named) refuse(layer, "its further inputs");
      }
      nodes.push_back(std::move(node));
    }
    Json json = describe(layer);
    json["name"] = layer.name;
    json["inbound_nodes"] = std::move(nodes);
    return json;
  }

  void refuse(const Layer& layer, std::string_view what) {
    sink_.error(DiagKind::kUnsupported, layer.place, "layer \"{}\" ({}) cannot be written: {}",
                layer.name, layer.component.written_type, what);
  }

  /// {"class_name", "config"} of a layer in the graph or inside of another.
  Json describe(const Layer& layer) {
    const std::string_view type =
        layer.component.def == nullptr ? std::string_view("op") : layer.component.def->type;
    if (layer.def == &raw_op_layer() || layer.tie) {
      refuse(layer, layer.tie ? "it is tied to another layer" : "it is a raw op");
      return Json::object();
    }
    for (const std::string_view own : kNotInKeras) {
      if (type == own) refuse(layer, "Keras has no such layer");
    }
    if (layer.policy.compute != DType::kF32 || layer.policy.short_float)
      refuse(layer, "its dtype policy is not float32");
    Json config = {{"name", layer.name}, {"trainable", layer.trainable}, {"dtype", "float32"}};
    const ComponentDef* activation = find_member(Family::kActivation, type);
    if (activation != nullptr && layer.component.def->options.empty()) {
      config["activation"] = activation_of(layer.component, layer);
      return {{"class_name", "Activation"}, {"config", std::move(config)}};
    }
    for (const OptionDef& def : layer.component.def->options)
      config[std::string(def.name)] = option_of(layer, def);
    if (type == "leaky_relu") {
      config["alpha"] = config["negative_slope"];
      config.erase("negative_slope");
    }
    return {{"class_name", keras_class(type)}, {"config", std::move(config)}};
  }

  /// A function by its name: Keras 2 has no options for them.
  Json activation_of(const Component& activation, const Layer& layer) {
    const std::string_view type = activation.def->type;
    const bool own_slope = type == "hard_sigmoid" && activation.options.has("slope") &&
                           activation.options.number("slope") == 0.2;
    if (type == "hard_sigmoid" && !own_slope)
      refuse(layer, "Keras 2's hard_sigmoid has another slope");
    if (type != "hard_sigmoid") {
      for (const OptionDef& def : activation.def->options) {
        if (!is_default(activation, def)) refuse(layer, "its activation has options");
      }
    }
    return std::string(type);
  }

  static bool is_default(const Component& component, const OptionDef& def) {
    const Component plain = default_component(Family::kActivation, component.def->type);
    return !def.required() &&
           plain_option(component.options, def) == plain_option(plain.options, def);
  }

  Json option_of(const Layer& layer, const OptionDef& def) {
    const Options& options = layer.component.options;
    const bool activation = def.type == OptionType::kComponent && def.family == Family::kActivation;
    if (!options.has(def.name)) return activation ? Json("linear") : Json();
    if (activation) return activation_of(*options.component(def.name), layer);
    if (def.type == OptionType::kLayer) return describe(*options.layer(def.name));
    if (def.type != OptionType::kLayers) return plain_option(options, def);
    Json cells = Json::array();
    for (const auto& cell : options.layers(def.name))
      cells.push_back(describe(*cell));
    if (cells.size() == 1) return cells.front();
    return {{"class_name", "StackedRNNCells"}, {"config", {{"cells", std::move(cells)}}}};
  }

 public:
  /// An option that is no layer and no activation; of borders, a pair for each axis.
  static Json plain_option(const Options& options, const OptionDef& def) {
    if (!options.has(def.name)) return nullptr;
    if (def.type == OptionType::kBool) return options.flag(def.name);
    if (def.type == OptionType::kInt) return options.integer(def.name);
    if (def.type == OptionType::kFloat) return options.number(def.name);
    if (def.type == OptionType::kString || def.type == OptionType::kEnum)
      return options.text(def.name);
    if (def.type == OptionType::kComponent) return export_component(*options.component(def.name));
    if (def.type == OptionType::kLayer || def.type == OptionType::kLayers) return nullptr;
    if (def.type == OptionType::kFloats) return options.numbers(def.name);
    if (def.type == OptionType::kFloatOrFloats) {
      const std::vector<double>& numbers = options.numbers(def.name);
      return numbers.size() == 1 ? Json(numbers[0]) : Json(numbers);
    }
    const Ints& value = options.ints(def.name);
    const bool sides = (def.name == "padding" || def.name == "cropping") && value.size() >= 4;
    if (!sides) return value;
    Json pairs = Json::array();
    for (size_t i = 0; i + 1 < value.size(); i += 2)
      pairs.push_back(Json::array({value[i], value[i + 1]}));
    return pairs;
  }

  static Json export_component(const Component& component) {
    Json config = Json::object();
    for (const OptionDef& def : component.def->options)
      config[std::string(def.name)] = plain_option(component.options, def);
    return {{"class_name", keras_class(component.def->type)}, {"config", std::move(config)}};
  }

 private:
  const Model& model_;
  DiagnosticSink sink_;
  std::map<const Call*, int64_t> numbers_;
};

/// A loss or metric by its name, which all versions read.
Json name_of(const Component& component) {
  return std::string(component.def->type);
}

}  // namespace

std::string keras_class(std::string_view type) {
  for (const ClassName& row : kClasses) {
    if (row.type == type) return std::string(row.name);
  }
  std::string out;
  bool begin = true;
  for (const char c : type) {
    if (c == '_') {
      begin = true;
      continue;
    }
    const bool dimension = c == 'd' && !out.empty() && out.back() >= '1' && out.back() <= '3';
    out += (begin || dimension) && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    begin = false;
  }
  return out;
}

Result<OwnJson> export_keras(const Model& model) {
  return Exporter(model).run();
}

Json export_training(const Model& model) {
  if (!model.training) return nullptr;
  const Training& training = *model.training;
  Json loss;
  Json weights;
  Json metrics = Json::array();
  if (model.outputs.size() == 1) {
    loss = name_of(training.losses.front().loss);
  } else {
    for (const OutputLoss& one : training.losses) {
      loss[model.outputs[one.output].name] = name_of(one.loss);
      weights[model.outputs[one.output].name] = one.weight;
    }
  }
  if (model.outputs.size() == 1) {
    for (const OutputMetric& metric : training.metrics)
      metrics.push_back(name_of(metric.metric));
  }
  Json optimizer = Exporter::export_component(training.optimizer);
  Json& config = optimizer["config"];
  config.erase("epsilon_as");
  const Component& schedule = *training.optimizer.options.component("learning_rate");
  if (schedule.def->type == "constant")
    config["learning_rate"] = schedule.options.number("learning_rate");
  return {{"loss", std::move(loss)},
          {"metrics", std::move(metrics)},
          {"weighted_metrics", nullptr},
          {"loss_weights", std::move(weights)},
          {"optimizer_config", std::move(optimizer)}};
}

}  // namespace gradc::exchange
