// JSON Schema from the option tables. Layers inside blocks may hold "$parameter" strings in place
// of any value, so there only their frame is described.
#include "frontend/component_reader.h"
#include "frontend/layer_def.h"
#include "frontend/parameter_steps.h"
#include "frontend/reference.h"
#include "frontend/training_reader.h"
#include "frontend/watch_reader.h"
#include "support/check.h"

namespace gradc {
namespace {

Json number_schema(const OptionDef& def, const char* type) {
  Json schema = {{"type", type}};
  const auto bound = [&](double value) {
    return std::string_view(type) == "integer" ? Json(static_cast<int64_t>(value)) : Json(value);
  };
  if (def.min != kNoMin) schema[def.above_min ? "exclusiveMinimum" : "minimum"] = bound(def.min);
  if (def.max != kNoMax) schema[def.below_max ? "exclusiveMaximum" : "maximum"] = bound(def.max);
  return schema;
}

Json list_schema(Json items, int64_t count = -1) {
  Json schema = {{"type", "array"}, {"items", std::move(items)}};
  if (count >= 0) {
    schema["minItems"] = count;
    schema["maxItems"] = count;
  }
  return schema;
}

Json any_of(std::initializer_list<Json> choices) {
  Json list = Json::array();
  for (const Json& choice : choices)
    list.push_back(choice);
  return Json{{"anyOf", std::move(list)}};
}

Json reference_to(Family family) {
  std::string name(family_name(family));
  for (char& c : name) {
    if (c == ' ' || c == '-') c = '_';
  }
  return Json{{"$ref", "#/$defs/" + name}};
}

Json value_schema(const OptionDef& def) {
  const Json integer = number_schema(def, "integer");
  switch (def.type) {
    case OptionType::kBool:
      return Json{{"type", "boolean"}};
    case OptionType::kInt:
      return integer;
    case OptionType::kFloat:
      return number_schema(def, "number");
    case OptionType::kString:
    case OptionType::kFile:
      return Json{{"type", "string"}};
    case OptionType::kEnum:
      return Json{{"enum", split_words(def.choices)}};
    case OptionType::kInts:
      return list_schema(integer);
    case OptionType::kFloats:
      return list_schema(number_schema(def, "number"));
    case OptionType::kFloatOrFloats: {
      const Json number = number_schema(def, "number");
      return any_of({number, list_schema(number)});
    }
    case OptionType::kSizes:
      return any_of({integer, list_schema(integer, def.count)});
    case OptionType::kIntOrInts:
      return any_of({integer, list_schema(integer)});
    case OptionType::kPaddings: {
      const Json pair = list_schema(integer, 2);
      if (def.count == 1) return any_of({integer, pair});
      return any_of({integer, list_schema(integer, def.count), list_schema(pair, def.count)});
    }
    case OptionType::kLayer:
      return Json{{"$ref", "#/$defs/inner_layer"}};
    case OptionType::kLayers: {
      const Json layer = {{"$ref", "#/$defs/inner_layer"}};
      Json list = list_schema(layer);
      list["minItems"] = 1;
      return any_of({layer, std::move(list)});
    }
    case OptionType::kComponent:
      return reference_to(def.family);
    case OptionType::kNamedInts:
      return Json{{"type", "object"}, {"additionalProperties", integer}};
  }
  GRADC_UNREACHABLE();
}

Json option_schema(const OptionDef& def) {
  Json schema = value_schema(def);
  if (def.nullable()) schema = any_of({schema, Json{{"type", "null"}}});
  schema["description"] = def.doc;
  if (!def.required()) schema["default"] = *default_value(def);
  return schema;
}

std::vector<std::string> all_names(const ComponentDef& def) {
  std::vector<std::string> names = {std::string(def.type)};
  for (std::string& alias : split_words(def.aliases))
    names.push_back(std::move(alias));
  return names;
}

/// An object with "type" and the options of a table; nothing else is allowed.
Json object_schema(const ComponentDef& def) {
  Json properties = {{"type", {{"enum", all_names(def)}}}};
  Json required = Json::array({"type"});
  for (const OptionDef& option : def.options) {
    properties[std::string(option.name)] = option_schema(option);
    if (option.required()) required.push_back(option.name);
  }
  return Json{{"type", "object"},
              {"description", def.summary},
              {"properties", std::move(properties)},
              {"required", std::move(required)},
              {"additionalProperties", false}};
}

Json family_schema(Family family) {
  Json bare = Json::array();
  Json objects = Json::array();
  for (const ComponentDef* def : family_members(family)) {
    bool needs_options = false;
    for (const OptionDef& option : def->options)
      needs_options = needs_options || option.required();
    if (!needs_options) {
      for (const std::string& name : all_names(*def))
        bare.push_back(name);
    }
    objects.push_back(object_schema(*def));
  }
  if (family == Family::kMetric) bare.push_back("loss");
  if (!bare.empty()) objects.insert(objects.begin(), Json{{"enum", std::move(bare)}});
  if (family == Family::kSchedule)
    objects.insert(objects.begin(), Json{{"type", "number"}, {"minimum", 0}});
  return Json{{"anyOf", std::move(objects)}};
}

Json text(const char* description) {
  return Json{{"type", "string"}, {"description", description}};
}
Json name_schema() {
  return Json{{"type", "string"}, {"pattern", "^[^/ \\t\\n\"%]+$"}, {"maxLength", 200}};
}
Json names_schema() {
  return any_of({Json{{"type", "string"}},
                 Json{{"type", "array"}, {"items", {{"type", "string"}}}, {"minItems", 1}}});
}

void add_frame(Json& layer, bool inner = false) {
  layer["properties"]["name"] = name_schema();
  if (!inner) layer["properties"]["inputs"] = names_schema();
}

Json strict_object(Json properties, Json required = Json::array()) {
  return Json{{"type", "object"},
              {"properties", std::move(properties)},
              {"required", std::move(required)},
              {"additionalProperties", false}};
}

Json policy_schema() {
  return {{"enum", split_words(kPolicyNames)}};
}

Json input_properties() {
  static constexpr OptionDef kShape = {.name = "shape", .type = OptionType::kInts, .min = 1};
  return {{"name", name_schema()},
          {"shape", value_schema(kShape)},
          {"dtype", {{"enum", {"float32", "float64", "int32", "int64"}}}}};
}

/// The layers of the tables and raw ops; inner ones are options of others.
Json table_layers(bool inner) {
  Json choices = Json::array();
  for (const auto& list : {all_layers(), activation_layers()}) {
    for (const LayerDef* def : list) {
      Json layer = object_schema(def->base);
      add_frame(layer, inner);
      layer["properties"]["trainable"] = {{"type", "boolean"}};
      if (!inner) {
        layer["properties"][std::string(kRateMultiplier.name)] =
            number_schema(kRateMultiplier, "number");
        layer["properties"]["dtype"] = policy_schema();
        for (const NamedInput& input : def->named_inputs)
          layer["properties"][std::string(input.name)] = {{"type", "string"},
                                                          {"description", input.doc}};
      }
      choices.push_back(std::move(layer));
    }
  }
  Json raw = strict_object({{"type", {{"type", "string"}, {"pattern", "^op\\."}}},
                            {"attributes", {{"type", "object"}}},
                            {"trainable", {{"type", "boolean"}}}},
                           {"type"});
  add_frame(raw, inner);
  choices.push_back(std::move(raw));
  return choices;
}

Json layer_schema() {
  Json choices = table_layers(/*inner=*/false);
  Json input = input_properties();
  input["type"] = {{"enum", {"input"}}};
  choices.push_back(strict_object(std::move(input), {"type", "shape"}));
  Json shared = strict_object(
      {{"type", {{"enum", {"shared"}}}}, {"layer", text("the layer that is called again")}},
      {"type", "layer"});
  add_frame(shared);
  choices.push_back(std::move(shared));
  Json block =
      strict_object({{"type", {{"enum", {"block"}}}},
                     {"block", text("name in \"blocks\"")},
                     {"repeat", {{"type", "integer"}, {"minimum", 1}, {"maximum", 100000}}},
                     {"with", {{"type", "object"}}}},
                    {"type", "block"});
  add_frame(block);
  choices.push_back(std::move(block));
  return Json{{"anyOf", std::move(choices)}};
}

Json table_properties(std::span<const OptionDef> table) {
  Json properties = Json::object();
  for (const OptionDef& option : table)
    properties[std::string(option.name)] = option_schema(option);
  return properties;
}

/// Of one output.
Json class_weights_schema() {
  return any_of({Json{{"enum", {"balanced"}}},
                 Json{{"type", "object"},
                      {"minProperties", 1},
                      {"additionalProperties", {{"type", "number"}, {"minimum", 0}}}}});
}

Json training_schema() {
  const Json loss = reference_to(Family::kLoss);
  const Json metric = reference_to(Family::kMetric);
  const Json metrics = any_of({metric, list_schema(metric)});
  Json properties = table_properties(training_options());
  properties["loss"] = loss;
  properties["losses"] = {{"type", "object"}, {"additionalProperties", loss}};
  properties["loss_weights"] = {{"type", "object"},
                                {"additionalProperties", {{"type", "number"}, {"minimum", 0}}}};
  properties["metrics"] = any_of({Json{{"type", "string"}}, list_schema(metric),
                                  Json{{"type", "object"}, {"additionalProperties", metrics}}});
  properties["weighted_metrics"] = properties["metrics"];
  const Json by_class = class_weights_schema();
  properties["class_weight"] =
      any_of({by_class, Json{{"type", "object"}, {"additionalProperties", by_class}}});
  properties["early_stopping"] = strict_object(table_properties(early_stopping_options()));
  properties["reduce_on_plateau"] = strict_object(table_properties(reduce_on_plateau_options()));
  return strict_object(std::move(properties), {"optimizer"});
}

Json data_rule_schema() {
  const Json number = {{"type", "number"}};
  const Json numbers = any_of({number, list_schema(number)});
  const Json positive = {{"type", "number"}, {"exclusiveMinimum", 0}};
  const Json standardize =
      any_of({Json{{"type", "boolean"}},
              strict_object({{"mean", numbers}, {"std", any_of({positive, list_schema(positive)})}},
                            {"mean", "std"})});
  const Json count = {{"type", "integer"}, {"minimum", 0}};
  const Json pixels = {{"type", "integer"}, {"minimum", 1}, {"maximum", 65536}};
  const Json hole = any_of({pixels, list_schema(pixels, 2)});
  const Json alpha = {{"type", "number"}, {"exclusiveMinimum", 0}, {"maximum", 1000}};
  const Json augment = strict_object(
      {{"flip_horizontal", {{"type", "boolean"}}},
       {"flip_vertical", {{"type", "boolean"}}},
       {"shift", any_of({count, list_schema(count, 2)})},
       {"crop", {{"type", "boolean"}}},
       {"noise", {{"type", "number"}, {"minimum", 0}}},
       {"cutout",
        any_of({hole, strict_object(
                          {{"size", hole}, {"fill", any_of({number, Json{{"enum", {"mean"}}}})}},
                          {"size"})})},
       {"mixup", alpha},
       {"cutmix", alpha}});
  const Json front = {{"enum", {"pre", "post"}}};
  const Json rate = {{"type", "number"}, {"minimum", 0}, {"maximum", 1}};
  const Json some = {{"type", "number"}, {"exclusiveMinimum", 0}, {"maximum", 1}};
  const Json masked = strict_object({{"mask_selection_rate", some},
                                     {"mask_token_rate", rate},
                                     {"random_token_rate", rate},
                                     {"mask_token_id", {{"type", "integer"}, {"minimum", 0}}}});
  const Json text = strict_object(
      {{"split", {{"enum", {"whitespace", "character"}}}},
       {"standardize",
        any_of({Json{{"enum", {"lower_and_strip_punctuation", "lower", "strip_punctuation"}}},
                Json{{"type", "null"}}})},
       {"max_tokens", {{"type", "integer"}, {"minimum", 3}}},
       {"padding", front},
       {"truncating", front},
       {"masked", masked}});
  const Json column = strict_object(
      {{"categories", {{"type", "integer"}, {"minimum", 1}, {"maximum", 1000000}}},
       {"date",
        {{"type", "array"}, {"minItems", 1}, {"items", {{"enum", split_words(kDateParts)}}}}},
       {"cyclic", {{"type", "boolean"}}},
       {"format", {{"type", "string"}, {"minLength", 1}}},
       {"missing", any_of({number, Json{{"type", "string"}, {"minLength", 1}}})},
       {"flag", {{"type", "boolean"}}}});
  const Json extent = {{"type", "integer"}, {"minimum", 1}, {"maximum", 65536}};
  const Json resize = strict_object({{"size", list_schema(extent, 2)},
                                     {"fit", {{"enum", {"stretch", "crop", "pad"}}}},
                                     {"filter", {{"enum", {"bilinear", "nearest"}}}}});
  const Json rows = {{"type", "integer"}, {"minimum", 1}, {"maximum", 1000000000}};
  const Json series = strict_object({{"stride", rows}, {"horizon", rows}});
  const Json log_mel = strict_object({{"fft_length", count},
                                      {"sequence_length", count},
                                      {"sequence_stride", count},
                                      {"min_freq", {{"type", "number"}, {"minimum", 0}}},
                                      {"max_freq", {{"type", "number"}, {"exclusiveMinimum", 0}}},
                                      {"min_power", {{"type", "number"}, {"exclusiveMinimum", 0}}},
                                      {"mel_scale", {{"enum", {"htk", "slaney"}}}}});
  const Json sound = strict_object({{"rate", {{"type", "integer"}, {"minimum", 1}}},
                                    {"align", {{"enum", {"start", "middle", "end"}}}},
                                    {"log_mel", log_mel}},
                                   {"rate"});
  const Json not_zero = any_of({Json{{"type", "number"}, {"exclusiveMinimum", 0}},
                                Json{{"type", "number"}, {"exclusiveMaximum", 0}}});
  return strict_object(
      {{"scale", not_zero},
       {"offset", number},
       {"standardize", standardize},
       {"one_hot", {{"type", "integer"}, {"minimum", 2}}},
       {"flatten", {{"type", "boolean"}}},
       {"reshape", list_schema({{"type", "integer"}, {"minimum", 1}})},
       {"augment", augment},
       {"text", text},
       {"resize", resize},
       {"series", series},
       {"sound", sound},
       {"columns", {{"type", "object"}, {"minProperties", 1}, {"additionalProperties", column}}}});
}

Json block_schema() {
  const Json loose = {{"type", "object"}, {"required", {"type"}}};
  return strict_object(
      {{"parameters", {{"type", "object"}}},
       {"inputs", {{"type", "array"}, {"items", {{"type", "string"}}}, {"minItems", 1}}},
       {"output", {{"type", "string"}}},
       {"layers", list_schema(loose)}},
      {"layers"});
}

}  // namespace

Json model_schema() {
  Json definitions = Json::object();
  for (int f = 0; f < kNumFamilies; ++f) {
    const auto family = static_cast<Family>(f);
    const std::string path = reference_to(family)["$ref"];
    definitions[path.substr(path.rfind('/') + 1)] = family_schema(family);
  }
  definitions["layer"] = layer_schema();
  definitions["inner_layer"] = Json{{"anyOf", table_layers(/*inner=*/true)}};
  Json properties = {
      {"$schema", text("where this schema is, for editors")},
      {"format", {{"enum", {"gradc/1"}}}},
      {"dtype", policy_schema()},
      {"name", text("name of the model")},
      {"model", text("file whose network is used instead of \"layers\"")},
      {"shapes",
       {{"type", "object"},
        {"description", "shapes of inputs that the file of \"model\" leaves open"},
        {"additionalProperties", list_schema({{"type", "integer"}, {"minimum", 1}})}}},
      {"inputs", list_schema(strict_object(input_properties(), {"shape"}))},
      {"layers", list_schema({{"$ref", "#/$defs/layer"}})},
      {"blocks", {{"type", "object"}, {"additionalProperties", block_schema()}}},
      {"outputs", names_schema()},
      {"training", training_schema()},
      {"data", {{"type", "object"}, {"additionalProperties", data_rule_schema()}}},
  };
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "gradc model"}};
  schema.update(strict_object(std::move(properties)));
  schema["anyOf"] = {Json{{"required", {"layers"}}}, Json{{"required", {"model"}}}};
  schema["$defs"] = std::move(definitions);
  return schema;
}

}  // namespace gradc
