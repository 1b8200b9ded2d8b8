#include "tests/random_models/random_component.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace gradc::testing {

namespace {

/// A number within the option's limits, around its default if that is a number other than 0.
double number_for(Random& random, const OptionDef& option) {
  const Json standard = Json::parse(option.default_json, nullptr, /*allow_exceptions=*/false);
  const double factor = static_cast<double>(random.between(8, 24)) / 16.0;
  double value = factor * (standard.is_number() && standard != 0 ? standard.get<double>() : 0.25);
  if (value < option.min) value = option.min + 0.25;
  const double largest = option.below_max ? option.max * 0.99 : option.max;
  return std::min(value, largest);
}

int64_t integer_for(Random& random, const OptionDef& option) {
  const double low = std::max(option.min, 1.0);
  const double high = std::min(option.max, low + 4.0);
  return random.between(static_cast<int64_t>(low), static_cast<int64_t>(high));
}

/// A value for an option; nothing for those that depend on what stands around them (axes, names,
/// lists whose lengths must agree).
std::optional<Json> value_for(Random& random, const OptionDef& option) {
  if (option.name == "axis" || option.name == "name" || option.name == "reduction") return {};
  switch (option.type) {
    case OptionType::kBool:
      return random.chance(0.5);
    case OptionType::kInt:
      return integer_for(random, option);
    case OptionType::kFloat:
      return number_for(random, option);
    case OptionType::kEnum:
      return random.pick(split_words(option.choices));
    case OptionType::kComponent:
      return random_component(random, option.family);
    case OptionType::kString:
    case OptionType::kInts:
    case OptionType::kFloats:
    case OptionType::kFloatOrFloats:
    case OptionType::kSizes:
    case OptionType::kIntOrInts:
    case OptionType::kPaddings:
    case OptionType::kLayer:
    case OptionType::kLayers:
    case OptionType::kFile:
    case OptionType::kNamedInts:
      return {};
  }
  GRADC_UNREACHABLE();
}

/// Of these at most one may be given.
bool is_clipping(std::string_view option) {
  return option.find("clip") != std::string_view::npos;
}

}  // namespace

Json random_component(Random& random, Family family, const std::set<std::string_view>& without) {
  std::vector<const ComponentDef*> members;
  for (const ComponentDef* member : family_members(family)) {
    if (member->type != "piecewise_constant_decay" && !without.contains(member->type))
      members.push_back(member);
  }
  const ComponentDef& def = *random.pick(members);
  Json result;
  result["type"] = def.type;
  bool clips = false;
  for (const OptionDef& option : def.options) {
    if (!option.required() && !random.chance(0.3)) continue;
    if (is_clipping(option.name) && std::exchange(clips, true)) continue;
    if (const auto value = value_for(random, option)) result[std::string(option.name)] = *value;
  }
  if (result.size() == 1 && random.chance(0.5)) return std::string(def.type);
  return result;
}

}  // namespace gradc::testing
