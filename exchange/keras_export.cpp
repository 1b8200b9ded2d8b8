#include "exchange/keras_export.h"

#include "frontend/layer_def.h"

#include "exchange/keras_names.h"
#include "exchange/keras_order.h"

#include <algorithm>
#include <map>
#include <set>

namespace gradc::exchange {
namespace {

// Layers that are gradc's alone.
constexpr std::string_view kNotInKeras[] = {"position_embedding",
                                            "token_and_position_embedding",
                                            "sine_position_encoding",
                                            "rotary_embedding",
                                            "add_loss",
                                            "bernoulli",
                                            "gir"};
// Layers that one Keras has and the other has not.
constexpr std::string_view kNotInKerasTwo[] = {"rms_normalization", "group_query_attention",
                                               "spectral_normalization"};
constexpr std::string_view kNotInKerasThree[] = {"locally_connected1d", "locally_connected2d"};

// Options that Keras does not have, where they ask for nothing; of one layer, or of all.
struct OwnOption {
  std::string_view name, type;
};
constexpr OwnOption kOwnOptions[] = {{"tied_to", {}},
                                     {"scale_initializer", {}},
                                     {"rms_scaling", {}},
                                     {"use_alibi", {}},
                                     {"rope_max_wavelength", {}},
                                     {"rope_scaling_factor", {}},
                                     {"antialias", {}},
                                     {"attention_axes", "group_query_attention"},
                                     {"data_format", "cropping1d"}};
// Activations that are classes in Keras; the others are functions.
constexpr std::string_view kActivationLayers[] = {"relu", "leaky_relu", "elu", "softmax"};

bool is_one_of(std::string_view type, std::span<const std::string_view> list) {
  return std::find(list.begin(), list.end(), type) != list.end();
}

bool is_own_option(std::string_view type, std::string_view name) {
  return std::any_of(std::begin(kOwnOptions), std::end(kOwnOptions), [&](const OwnOption& own) {
    return own.name == name && (own.type.empty() || own.type == type);
  });
}

/// Layers that are called with their inputs one by one: query, value, key.
bool takes_arguments(const Layer& layer) {
  return layer.component.def != nullptr && (layer.component.def->type == "multi_head_attention" ||
                                            layer.component.def->type == "group_query_attention");
}

/// The inputs of a call as Keras wants them: attention to itself names its value too.
std::vector<ModelValue> inputs_of(const Layer& layer, const Call& call) {
  const bool attends = layer.component.def != nullptr &&
                       layer.component.def->type.find("attention") != std::string_view::npos;
  if (attends && call.inputs.size() == 1) return {call.inputs[0], call.inputs[0]};
  return {call.inputs.begin(), call.inputs.end()};
}

bool is_recurrent(const Layer& layer) {
  return layer.component.def != nullptr && (layer.component.options.defines("return_sequences") ||
                                            layer.component.def->type == "bidirectional");
}

class Exporter {
 public:
  Exporter(const Model& model, KerasForm form)
      : model_(model), form_(form), names_(keras_layer_names(model, form)) {}

  Result<OwnJson> run() {
    count_calls();
    Json layers = Json::array();
    for (const KerasItem& item : keras_order(model_))
      layers.push_back(item.is_input ? input_layer(model_.inputs[item.index]) : layer(item.index));
    Json inputs = Json::array();
    Json outputs = Json::array();
    for (const ModelInput& input : model_.inputs)
      inputs.push_back(Json::array({input.name, 0, 0}));
    for (const ModelOutput& output : model_.outputs)
      outputs.push_back(triple(output.value));
    if (sink_.has_errors()) return Failure(sink_.take());
    Json config = {{"name", model_.name}};
    if (third()) config["trainable"] = true;
    config["layers"] = std::move(layers);
    config["input_layers"] = std::move(inputs);
    config["output_layers"] = std::move(outputs);
    if (form_ != KerasForm::kTwo) {
      Json json = with_class("keras.src.models.functional", "Functional", std::move(config), form_);
      json["registered_name"] = "Functional";
      return OwnJson(std::move(json));
    }
    return OwnJson(Json{{"class_name", "Functional"},
                        {"config", std::move(config)},
                        {"keras_version", keras_version(form_)},
                        {"backend", "tensorflow"}});
  }

 private:
  bool third() const { return form_ == KerasForm::kThree; }

  /// Which call of its layer each call is.
  void count_calls() {
    std::map<size_t, int64_t> counts;
    for (const Call& call : model_.calls)
      numbers_[&call] = counts[call.layer]++;
  }

  static Json batch_shape(const Ints& shape) {
    Json all = Json::array({nullptr});
    for (const int64_t extent : shape)
      all.push_back(extent);
    return all;
  }

  static const char* type_of(const TensorSpec& spec) {
    return is_float(spec.dtype) ? "float32" : "int32";
  }

  Json input_layer(const ModelInput& input) const {
    Json config = {{third() ? "batch_shape" : "batch_input_shape", batch_shape(input.spec.shape)},
                   {"dtype", type_of(input.spec)},
                   {"sparse", false},
                   {"name", input.name}};
    if (!third()) config["ragged"] = false;
    Json json = layer_object("InputLayer", std::move(config));
    json["name"] = input.name;
    json["inbound_nodes"] = Json::array();
    return json;
  }

  Json layer_object(std::string_view name, Json config) const {
    return with_class("keras.layers", name, std::move(config), form_);
  }

  /// [layer, node, tensor].
  Json triple(ModelValue value) const {
    const Call* call = model_.call_of(value);
    if (call == nullptr) return Json::array({model_.inputs[value].name, 0, 0});
    return Json::array({names_[call->layer], numbers_.at(call), value - call->first});
  }

  Json tensor_of(ModelValue value) const {
    Json history = triple(value);
    if (!third()) {
      history.push_back(Json::object());
      return history;
    }
    const TensorSpec& spec = model_.spec(value);
    Json config = {{"shape", batch_shape(spec.shape)}, {"dtype", type_of(spec)}};
    config["keras_history"] = std::move(history);
    return {{"class_name", "__keras_tensor__"}, {"config", std::move(config)}};
  }

  Json layer(size_t index) {
    const Layer& layer = model_.layers[index];
    Json nodes = Json::array();
    const TensorSpec* input = nullptr;
    for (const Call& call : model_.calls) {
      if (call.layer != index) continue;
      for (const auto& named : call.named) {
        if (named) refuse(layer, "its further inputs");
      }
      nodes.push_back(third() ? call_with_arguments(layer, call) : list_of_inputs(layer, call));
      if (inputs_of(layer, call).size() == 1 && input == nullptr)
        input = &model_.spec(call.inputs[0]);
    }
    Json json = describe(layer, names_[index]);
    if (form_ != KerasForm::kTwo && input != nullptr)
      json["build_config"] = {{"input_shape", batch_shape(input->shape)}};
    json["name"] = names_[index];
    json["inbound_nodes"] = std::move(nodes);
    return json;
  }

  /// What is said at each call.
  static void put_flags(const Layer& layer, Json& keywords) {
    const Options& options = layer.component.options;
    for (const OptionDef& def : layer.component.def->options) {
      if (is_flag_of_call(def.name) && options.has(def.name) && options.flag(def.name))
        keywords[std::string(def.name)] = true;
    }
  }

  /// A call of Keras 2: [[layer, node, tensor, {keywords}], ...].
  Json list_of_inputs(const Layer& layer, const Call& call) const {
    Json node = Json::array();
    const bool arguments = takes_arguments(layer);
    Json keywords = Json::object();
    const std::vector<ModelValue> inputs = inputs_of(layer, call);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (arguments && i > 0) {
        keywords[i == 1 ? "value" : "key"] = triple(inputs[i]);
      } else {
        node.push_back(tensor_of(inputs[i]));
      }
    }
    if (layer.component.def != nullptr) put_flags(layer, keywords);
    if (!keywords.empty()) node[0][3] = std::move(keywords);
    return node;
  }

  /// A call of Keras 3: {"args", "kwargs"}.
  Json call_with_arguments(const Layer& layer, const Call& call) const {
    Json args = Json::array();
    Json keywords = Json::object();
    Json tensors = Json::array();
    for (const ModelValue input : inputs_of(layer, call))
      tensors.push_back(tensor_of(input));
    if (tensors.size() == 1 || takes_arguments(layer)) {
      args = std::move(tensors);
    } else if (is_recurrent(layer)) {
      args.push_back(tensors[0]);
      tensors.erase(0);
      keywords["initial_state"] = std::move(tensors);
    } else {
      args.push_back(std::move(tensors));
    }
    if (layer.component.def != nullptr) put_flags(layer, keywords);
    return {{"args", std::move(args)}, {"kwargs", std::move(keywords)}};
  }

  void refuse(const Layer& layer, std::string_view what) {
    sink_.error(DiagKind::kUnsupported, layer.place, "layer \"{}\" ({}) cannot be written: {}",
                layer.name, layer.component.written_type, what);
  }

  /// Whether Keras has the layer at all.
  void check_class(const Layer& layer, std::string_view type) {
    if (is_one_of(type, kNotInKeras)) refuse(layer, "Keras has no such layer");
    if (!third() && is_one_of(type, kNotInKerasTwo)) refuse(layer, "Keras 2 has no such layer");
    if (third() && is_one_of(type, kNotInKerasThree)) refuse(layer, "Keras 3 has no such layer");
    if (type.starts_with("adaptive_")) refuse(layer, "Keras has no such layer");
    if (layer.policy.compute != DType::kF32 || layer.policy.short_float)
      refuse(layer, "its dtype policy is not float32");
  }

  /// {"class_name", "config"} of a layer in the graph or inside of another.
  Json describe(const Layer& layer, const std::string& name) {
    const std::string_view type =
        layer.component.def == nullptr ? std::string_view("op") : layer.component.def->type;
    if (layer.def == &raw_op_layer() || layer.tie) {
      refuse(layer, layer.tie ? "it is tied to another layer" : "it is a raw op");
      return Json::object();
    }
    check_class(layer, type);
    Json config = {{"name", name}, {"trainable", layer.trainable}, {"dtype", "float32"}};
    if (third()) config["dtype"] = with_class("keras", "DTypePolicy", {{"name", "float32"}}, form_);
    const bool is_class = is_one_of(type, kActivationLayers);
    if (find_member(Family::kActivation, type) != nullptr && !is_class) {
      config["activation"] = activation_of(layer.component, layer);
      return layer_object("Activation", std::move(config));
    }
    for (const OptionDef& def : layer.component.def->options) {
      if (is_flag_of_call(def.name)) continue;
      Json value = option_of(layer, def);
      if (!is_own_option(type, def.name)) {
        config[std::string(def.name)] = std::move(value);
      } else if (!is_plain_option(layer.component, def)) {
        refuse(layer, fmt::format("Keras does not have its \"{}\"", def.name));
      }
    }
    if (type == "leaky_relu" && !third()) {
      config["alpha"] = config["negative_slope"];
      config.erase("negative_slope");
    }
    return layer_object(keras_class(type), std::move(config));
  }

  /// A function by its name: Keras has no options for them.
  Json activation_of(const Component& activation, const Layer& layer) {
    if (activation.def->type == "hard_sigmoid") {
      if (is_old_hard_sigmoid(activation) == third())
        refuse(layer, third() ? "Keras 3's hard_sigmoid has another slope"
                              : "Keras 2's hard_sigmoid has another slope");
    } else if (!is_plain(activation)) {
      refuse(layer, "its activation has options");
    }
    return std::string(activation.def->type);
  }

  Json option_of(const Layer& layer, const OptionDef& def) {
    const Options& options = layer.component.options;
    const bool activation = def.type == OptionType::kComponent && def.family == Family::kActivation;
    if (!options.has(def.name)) return activation ? Json("linear") : Json();
    if (activation) return activation_of(*options.component(def.name), layer);
    if (def.type == OptionType::kLayer) return inner(*options.layer(def.name));
    if (def.type != OptionType::kLayers) return plain_option(options, def, form_);
    Json cells = Json::array();
    for (const auto& cell : options.layers(def.name))
      cells.push_back(inner(*cell));
    if (cells.size() == 1) return cells.front();
    Json config = {{"name", "stacked_rnn_cells"}, {"cells", std::move(cells)}};
    return layer_object("StackedRNNCells", std::move(config));
  }

  Json inner(const Layer& layer) {
    std::string name = layer.name;
    if (third()) std::replace(name.begin(), name.end(), '/', '_');
    if (layer.component.def->type == "spectral_normalization")
      refuse(layer, "where its variables are inside of another layer is not known");
    return describe(layer, name);
  }

  const Model& model_;
  KerasForm form_;
  std::vector<std::string> names_;
  DiagnosticSink sink_;
  std::map<const Call*, int64_t> numbers_;
};

/// Whether a component among the options of a layer, or of a layer inside of it, is of before
/// Keras 3.
bool has_old_activation(const Layer& layer) {
  if (layer.component.def == nullptr) return false;
  if (layer.component.def->type == "hard_sigmoid" && is_old_hard_sigmoid(layer.component))
    return true;
  const Options& options = layer.component.options;
  for (const OptionDef& def : layer.component.def->options) {
    if (!options.has(def.name)) continue;
    if (def.type == OptionType::kLayer && has_old_activation(*options.layer(def.name))) return true;
    if (def.type == OptionType::kLayers) {
      for (const auto& cell : options.layers(def.name)) {
        if (has_old_activation(*cell)) return true;
      }
    }
    if (def.type == OptionType::kComponent && def.family == Family::kActivation &&
        is_old_hard_sigmoid(*options.component(def.name)))
      return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> keras_layer_names(const Model& model, KerasForm form) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const ModelInput& input : model.inputs)
    taken.insert(input.name);
  for (const Layer& layer : model.layers) {
    std::string wanted = layer.name;
    if (form == KerasForm::kThree) std::replace(wanted.begin(), wanted.end(), '/', '_');
    std::string name = wanted;
    for (int i = 1; !taken.insert(name).second; ++i)
      name = fmt::format("{}_{}", wanted, i);
    names.push_back(std::move(name));
  }
  return names;
}

KerasForm archive_form(const Model& model) {
  if (model.training) {
    const Component& optimizer = model.training->optimizer;
    const bool adaptive = optimizer.def->type == "rmsprop" || optimizer.def->type == "adagrad";
    if (adaptive && optimizer.options.text("epsilon_as") == "pytorch")
      return KerasForm::kTwoArchive;
  }
  for (const Layer& layer : model.layers) {
    const bool local =
        layer.component.def != nullptr && is_one_of(layer.component.def->type, kNotInKerasThree);
    if (local || has_old_activation(layer)) return KerasForm::kTwoArchive;
  }
  return KerasForm::kThree;
}

std::string_view oldest_keras(const Model& model, KerasForm form) {
  const bool rms = std::any_of(model.layers.begin(), model.layers.end(), [](const Layer& layer) {
    return layer.component.def != nullptr && layer.component.def->type == "rms_normalization";
  });
  return form == KerasForm::kThree && rms ? "3.9.0" : keras_version(form);
}

Result<OwnJson> export_keras(const Model& model, KerasForm form) {
  return Exporter(model, form).run();
}

}  // namespace gradc::exchange
