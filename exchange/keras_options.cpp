#include "exchange/keras_options.h"

#include "support/suggest.h"
#include "support/utf8.h"

#include "exchange/keras_layer.h"
#include "exchange/keras_names.h"

#include <algorithm>
#include <cmath>

namespace gradc::exchange {
namespace {

// Of no consequence for what is computed, whatever their value.
constexpr std::string_view kWithoutEffect[] = {"name",
                                               "batch_input_shape",
                                               "batch_shape",
                                               "input_shape",
                                               "input_dtype",
                                               "input_dim",
                                               "input_length",
                                               "sparse",
                                               "ragged",
                                               "implementation",
                                               "consume_less",
                                               "autocast",
                                               "seed",
                                               "fn",
                                               "module",
                                               "registered_name",
                                               "build_config",
                                               "shared_object_id",
                                               "input_spec",
                                               "jit_compile",
                                               "run_eagerly",
                                               "is_legacy_optimizer",
                                               "num_constants",
                                               "output_shape_type",
                                               "output_mask_type",
                                               "mode_type",
                                               "arguments",
                                               "loss_scale_factor",
                                               "steps_per_execution",
                                               "cell_fused"};

/// What a member that gradc does not have may say without asking for anything.
bool asks_for_nothing(std::string_view key, const Json& value) {
  if (std::find(std::begin(kWithoutEffect), std::end(kWithoutEffect), key) !=
      std::end(kWithoutEffect))
    return true;
  if (value.is_null() || value == false || (value.is_structured() && value.empty())) return true;
  if (value.is_number()) return value == 0;
  return value == "channels_last" || value == "tf" || value == "default";
}

/// Texts that are called otherwise.
Json renamed_text(const OptionDef& def, const Json& value) {
  if (def.name == "data_format") {
    if (value == "tf") return "channels_last";
    if (value == "th") return "channels_first";
  }
  if (def.name == "distribution" && value == "normal") return "truncated_normal";
  if (def.name == "reduction" && (value == "auto" || value == "AUTO")) return "sum_over_batch_size";
  return value;
}

constexpr double kMaxWhole = 9e15;

/// One option by its table; what Keras writes otherwise is made as the table wants it.
std::optional<Piece> translate_value(const Context& context, const JsonCursor& at,
                                     const OptionDef& def) {
  const Json& value = at.value();
  if (value.is_null()) return def.nullable() ? std::optional(Piece(nullptr, at)) : std::nullopt;
  if (def.type == OptionType::kComponent) return translate_component(context, at, def.family);
  if (def.type == OptionType::kLayer || def.type == OptionType::kLayers)
    return translate_inner_layer(context, at);
  if (def.type == OptionType::kEnum) {
    if ((value == "default" || value == "auto") && def.name == "data_format") return std::nullopt;
    return Piece(renamed_text(def, value), at);
  }
  if (def.type == OptionType::kInt) {
    if (value.is_array() && value.size() == 1) return Piece(value[0], at);
    if (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()) &&
        std::abs(value.get<double>()) < kMaxWhole)
      return Piece(static_cast<int64_t>(value.get<double>()), at);
  }
  if (def.type == OptionType::kFloat && value.is_array()) {
    if (value.size() == 1) return Piece(value[0], at);
    context.sink.error(DiagKind::kUnsupported, at.place(),
                       "\"{}\" is {} numbers, of which gradc takes one", def.name, value.size());
    return std::nullopt;
  }
  if (def.type == OptionType::kFloat && value.is_object()) {
    // An array of one number, as older versions write some.
    if (value.contains("value")) return Piece(value["value"], at);
    if (value.contains("config") && value["config"].is_object() &&
        value["config"].contains("value"))
      return Piece(value["config"]["value"], at);
  }
  return Piece(value, at);
}

/// Which file's hard_sigmoid: 0.2 x + 0.5 before Keras 3.
Piece translate_activation(const Context& context, const ComponentDef& def, const JsonCursor& at) {
  if (def.type != "hard_sigmoid" || context.dialect.major >= 3) return {std::string(def.type), at};
  Piece piece({{"type", "hard_sigmoid"}, {"slope", 0.2}}, at);
  return piece;
}

/// The name of a component, and its config.
struct Named {
  std::string name;
  JsonCursor name_at;
  std::optional<JsonCursor> config;
};

std::optional<Named> find_name(const JsonCursor& at) {
  const Json& value = at.value();
  if (value.is_string()) return Named{value.get<std::string>(), at, std::nullopt};
  if (!value.is_object()) return std::nullopt;
  const std::string class_name = string_member(value, "class_name");
  if (class_name == "function" && at.has("config")) return find_name(at.member("config"));
  if (!class_name.empty()) {
    std::optional<JsonCursor> config;
    if (at.has("config") && value["config"].is_object()) config = at.member("config");
    // A wrapper around a function that has a name.
    if (config &&
        (class_name == "MeanMetricWrapper" || class_name == "LossFunctionWrapper" ||
         class_name == "SumOverBatchSizeMetricWrapper") &&
        config->has("fn"))
      if (auto inner = find_name(config->member("fn"))) return Named{inner->name, at, config};
    return Named{class_name, at.member("class_name"), config};
  }
  const std::string name = string_member(value, "name");
  if (name.empty()) return std::nullopt;
  return Named{name, at.member("name"), at};
}

}  // namespace

std::string string_member(const Json& object, std::string_view key) {
  if (!object.is_object()) return {};
  const auto found = object.find(std::string(key));
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<Piece> translate_component(const Context& context, const JsonCursor& at,
                                         Family family) {
  if (at.value().is_null()) return Piece(nullptr, at);
  if (family == Family::kSchedule && at.value().is_number()) return Piece(at.value(), at);
  const auto named = find_name(at);
  if (!named) {
    report_wrong_type(context.sink, at,
                      fmt::format("a name, or an object with \"class_name\" and \"config\": {}",
                                  family_name(family)));
    return std::nullopt;
  }
  const ComponentDef* def = find_keras_component(family, named->name);
  if (def == nullptr) {
    context.sink
        .error(DiagKind::kUnknownName, named->name_at.place(), "unknown {} \"{}\"",
               family_name(family), printable(named->name, 80))
        .with_help(suggestion(named->name, member_names(family)));
    return std::nullopt;
  }
  if (!named->config) {
    if (family == Family::kActivation) return translate_activation(context, *def, named->name_at);
    return Piece(std::string(def->type), named->name_at);
  }
  Piece piece;
  piece.places.emplace_back("", at.pointer());
  piece.put("type", std::string(def->type), named->name_at);
  const std::string who = fmt::format("{} \"{}\"", family_name(family), named->name);
  const auto own = [](std::string_view key, const JsonCursor&) {
    return key == "dtype" || key == "class_name" || key == "axis";
  };
  translate_options(context, *named->config, def->options, who, own, piece);
  return piece;
}

bool is_common_member(std::string_view key) {
  return key == "trainable" || key == "dtype";
}

void translate_options(const Context& context, const JsonCursor& config,
                       std::span<const OptionDef> table, const std::string& who,
                       const OwnMember& own, Piece& out) {
  for (const auto& [key, value] : config.value().items()) {
    const JsonCursor at = config.member(key, value);
    const OptionDef* def = find_keras_option(table, key);
    // TensorFlow's "sparse" is something else: an embedding that gives sparse tensors.
    if (def != nullptr && (def->name == "name" || def->name == "sparse")) continue;
    if (def == nullptr) {
      if (own(key, at) || asks_for_nothing(key, value)) continue;
      context.sink.error(DiagKind::kUnsupported, at.key_place(),
                         "{} has \"{}\": {}, which gradc does not have", who, printable(key, 80),
                         json_text(value));
      continue;
    }
    if (def->type == OptionType::kInt && def->name == "seed" && !value.is_number()) continue;
    if (auto piece = translate_value(context, at, *def)) out.put(def->name, std::move(*piece));
  }
}

}  // namespace gradc::exchange
