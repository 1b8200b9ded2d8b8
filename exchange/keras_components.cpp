#include "exchange/keras_components.h"

#include "frontend/component_reader.h"

#include <algorithm>

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
    {"conv_lstm1d", "ConvLSTM1D"},
    {"conv_lstm2d", "ConvLSTM2D"},
    {"conv_lstm3d", "ConvLSTM3D"},
    {"lstm_cell", "LSTMCell"},
    {"gru_cell", "GRUCell"},
    {"simple_rnn_cell", "SimpleRNNCell"},
    {"relu", "ReLU"},
    {"leaky_relu", "LeakyReLU"},
    {"prelu", "PReLU"},
    {"elu", "ELU"},
    {"rms_normalization", "RMSNormalization"},
    {"sgd", "SGD"},
    {"momentum", "SGD"},
    {"nesterov", "SGD"},
    {"rmsprop", "RMSprop"},
    {"adamw", "AdamW"},
    {"l1", "L1"},
    {"l2", "L2"},
    {"l1_l2", "L1L2"},
    {"auc", "AUC"},
    {"ctc", "CTC"},
    {"mean_iou", "MeanIoU"},
    {"kl_divergence", "KLDivergence"},
    {"f1_score", "F1Score"},
    {"fbeta_score", "FBetaScore"},
    {"r2_score", "R2Score"},
};

// Options of components that Keras calls otherwise.
struct WrittenOption {
  std::string_view type, own, name;
};
constexpr WrittenOption kWrittenOptions[] = {{"precision", "threshold", "thresholds"},
                                             {"recall", "threshold", "thresholds"}};

std::string option_name(const ComponentDef& def, std::string_view own) {
  for (const WrittenOption& row : kWrittenOptions) {
    if (row.type == def.type && row.own == own) return std::string(row.name);
  }
  return std::string(own);
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

std::string keras_module(Family family) {
  if (family == Family::kSchedule) return "keras.optimizers.schedules";
  if (family == Family::kLoss) return "keras.losses";
  return fmt::format("keras.{}s", family_name(family));
}

Json plain_option(const Options& options, const OptionDef& def, KerasForm form) {
  if (!options.has(def.name)) return nullptr;
  if (def.type == OptionType::kBool) return options.flag(def.name);
  if (def.type == OptionType::kInt) return options.integer(def.name);
  if (def.type == OptionType::kFloat) return options.number(def.name);
  if (def.type == OptionType::kString || def.type == OptionType::kEnum)
    return options.text(def.name);
  if (def.type == OptionType::kComponent)
    return export_component(*options.component(def.name), def.family, form);
  if (def.type == OptionType::kLayer || def.type == OptionType::kLayers) return nullptr;
  if (def.type == OptionType::kFile || def.type == OptionType::kNamedInts)
    return nullptr;  // of gradc's own layers
  if (def.type == OptionType::kFloats) return options.numbers(def.name);
  if (def.type == OptionType::kFloatOrFloats) {
    const std::vector<double>& numbers = options.numbers(def.name);
    return numbers.size() == 1 ? Json(numbers[0]) : Json(numbers);
  }
  const Ints& value = options.ints(def.name);
  if (def.type == OptionType::kIntOrInts && value.size() == 1) return value[0];
  const bool sides = (def.name == "padding" || def.name == "cropping") && value.size() >= 4;
  if (!sides) return value;
  Json pairs = Json::array();
  for (size_t i = 0; i + 1 < value.size(); i += 2)
    pairs.push_back(Json::array({value[i], value[i + 1]}));
  return pairs;
}

Json with_class(std::string_view module, std::string_view name, Json config, KerasForm form) {
  if (form == KerasForm::kTwo) return {{"class_name", name}, {"config", std::move(config)}};
  return {{"module", module},
          {"class_name", name},
          {"config", std::move(config)},
          {"registered_name", nullptr}};
}

Json export_component(const Component& component, Family family, KerasForm form) {
  Json config = Json::object();
  for (const OptionDef& def : component.def->options)
    config[option_name(*component.def, def.name)] = plain_option(component.options, def, form);
  return with_class(keras_module(family), keras_class(component.def->type), std::move(config),
                    form);
}

bool is_plain_option(const Component& component, const OptionDef& def) {
  if (def.required()) return false;
  Options plain;
  fill_defaults({&def, 1}, plain);
  return plain_option(component.options, def, KerasForm::kTwo) ==
         plain_option(plain, def, KerasForm::kTwo);
}

bool is_plain(const Component& component) {
  const auto& options = component.def->options;
  return std::all_of(options.begin(), options.end(),
                     [&](const OptionDef& def) { return is_plain_option(component, def); });
}

Json export_by_name(const Component& component, Family family, KerasForm form) {
  if (is_plain(component)) return std::string(component.def->type);
  Json json = export_component(component, family, form);
  if (json["config"].contains("name") && json["config"]["name"].is_null())
    json["config"]["name"] = std::string(component.def->type);
  return json;
}

bool is_old_hard_sigmoid(const Component& activation) {
  return activation.def->type == "hard_sigmoid" && activation.options.has("slope") &&
         activation.options.number("slope") == 0.2;
}

}  // namespace gradc::exchange
