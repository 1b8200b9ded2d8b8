// Table-driven reading of options. Defaults are JSON text and go through the same functions as a
// user's values.
#include "frontend/component_reader.h"

#include "frontend/layer_reader.h"
#include "support/check.h"
#include "support/json.h"
#include "support/suggest.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <unordered_map>

namespace gradc {
namespace {

std::optional<Ints> read_int_list(DiagnosticSink& sink, const JsonCursor& at,
                                  const OptionDef& def) {
  if (!at.value().is_array()) {
    report_wrong_type(sink, at, "a list of integers");
    return std::nullopt;
  }
  Ints list;
  bool good = true;
  for (size_t i = 0; i < at.value().size(); ++i) {
    const auto element = read_integer(sink, at.element(i), def);
    good = good && element.has_value();
    list.push_back(element.value_or(0));
  }
  if (!good) return std::nullopt;
  return list;
}

std::optional<std::vector<double>> read_float_list(DiagnosticSink& sink, const JsonCursor& at,
                                                   const OptionDef& def) {
  if (!at.value().is_array()) {
    report_wrong_type(sink, at, "a list of numbers");
    return std::nullopt;
  }
  std::vector<double> list;
  bool good = true;
  for (size_t i = 0; i < at.value().size(); ++i) {
    const auto element = read_number(sink, at.element(i), def);
    good = good && element.has_value();
    list.push_back(element.value_or(0));
  }
  if (!good) return std::nullopt;
  return list;
}

std::optional<Ints> read_sizes(DiagnosticSink& sink, const JsonCursor& at, const OptionDef& def) {
  const auto count = static_cast<size_t>(def.count);
  if (at.value().is_number()) {
    const auto one = read_integer(sink, at, def);
    if (!one) return std::nullopt;
    return Ints(count, *one);
  }
  if (!at.value().is_array() || at.value().size() != count) {
    constexpr const char* kLists[] = {"one integer", "two integers", "three integers"};
    report_wrong_type(sink, at, fmt::format("an integer or a list of {}", kLists[count - 1]));
    return std::nullopt;
  }
  return read_int_list(sink, at, def);
}

/// Each of the numbers before and behind.
Ints both_sides(const Ints& amounts) {
  Ints sides;
  for (const int64_t amount : amounts)
    sides.insert(sides.end(), 2, amount);
  return sides;
}

std::optional<Ints> read_paddings(DiagnosticSink& sink, const JsonCursor& at,
                                  const OptionDef& def) {
  const Json& value = at.value();
  OptionDef pair = def;
  pair.count = 2;
  if (def.count == 1) return read_sizes(sink, at, pair);
  const bool nested =
      value.is_array() && value.size() == static_cast<size_t>(def.count) &&
      std::all_of(value.begin(), value.end(), [](const Json& e) { return e.is_array(); });
  if (!nested) {
    const auto amounts = read_sizes(sink, at, def);
    if (!amounts) return std::nullopt;
    return both_sides(*amounts);
  }
  Ints sides;
  for (size_t i = 0; i < value.size(); ++i) {
    const auto one = read_sizes(sink, at.element(i), pair);
    if (!one) return std::nullopt;
    sides.insert(sides.end(), one->begin(), one->end());
  }
  return sides;
}

std::optional<std::string> read_choice(DiagnosticSink& sink, const JsonCursor& at,
                                       const OptionDef& def) {
  const auto text = read_string(sink, at);
  if (!text) return std::nullopt;
  const std::vector<std::string> choices = split_words(def.choices);
  if (std::find(choices.begin(), choices.end(), *text) != choices.end()) return text;
  sink.error(DiagKind::kBadValue, at.place(), "{} is \"{}\", but must be one of: {}",
             place_name(at.pointer()), *text, fmt::join(choices, ", "))
      .with_help(nearest_name(*text, choices) ? suggestion(*text, choices) : "");
  return std::nullopt;
}

/// A plain number where a schedule may stand.
std::shared_ptr<const Component> read_constant_schedule(DiagnosticSink& sink,
                                                        const JsonCursor& at) {
  auto component = std::make_shared<Component>(default_component(Family::kSchedule, "constant"));
  const OptionDef& rate = component->def->options.front();
  const auto value = read_number(sink, at, rate);
  if (!value) return nullptr;
  component->options.set(rate.name, *value);
  component->place = at.place();
  return component;
}

/// One layer or a list of them.
std::optional<std::vector<std::shared_ptr<const Layer>>> read_inner_layers(DiagnosticSink& sink,
                                                                           const JsonCursor& at) {
  std::vector<std::shared_ptr<const Layer>> layers;
  if (!at.value().is_array()) {
    layers.push_back(read_inner_layer(sink, at));
    if (layers.back() == nullptr) return std::nullopt;
    return layers;
  }
  if (at.value().empty())
    sink.error(DiagKind::kBadValue, at.place(), "{} names no layer", place_name(at.pointer()));
  for (size_t i = 0; i < at.value().size(); ++i) {
    if (auto layer = read_inner_layer(sink, at.element(i))) layers.push_back(std::move(layer));
  }
  if (layers.empty() || layers.size() < at.value().size()) return std::nullopt;
  return layers;
}

/// What a file holds that is named relative to the one at hand. A person's own model may name any,
/// as their own sources include any; what came from elsewhere may not.
std::optional<std::shared_ptr<const SourceFile>> read_file(DiagnosticSink& sink,
                                                           const JsonCursor& at) {
  constexpr size_t kMaxBytes = size_t{1} << 20U;
  const auto written = read_text(sink, at);
  if (!written) return std::nullopt;
  std::filesystem::path path(*written);
  if (path.is_relative()) {
    if (std::find(path.begin(), path.end(), "..") != path.end()) {
      sink.error(DiagKind::kBadValue, at.place(),
                 "{} is \"{}\", but must be in the model's folder or below it",
                 place_name(at.pointer()), *written);
      return std::nullopt;
    }
    path = std::filesystem::path(at.file()).parent_path() / path;
  } else if (at.translated()) {
    sink.error(DiagKind::kBadValue, at.place(),
               "{} is \"{}\", but another program's file may name none outside of its folder",
               place_name(at.pointer()), *written)
        .with_help("a model in gradc's own format may: see `gradc convert`");
    return std::nullopt;
  }
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  if (kind != std::filesystem::file_type::regular &&
      kind != std::filesystem::file_type::directory &&
      kind != std::filesystem::file_type::not_found) {
    sink.error(DiagKind::kFileUnreadable, at.place(), "\"{}\" is no regular file", path.string());
    return std::nullopt;
  }
  Result<SourceFile> file = read_source_file(path.lexically_normal().string(), kMaxBytes);
  if (file.ok()) return std::make_shared<const SourceFile>(file.take());
  for (Diagnostic problem : file.diagnostics()) {
    problem.place = at.place();
    sink.add(std::move(problem));
  }
  return std::nullopt;
}

std::optional<NamedInts> read_named_ints(DiagnosticSink& sink, const JsonCursor& at,
                                         const OptionDef& def) {
  if (!at.value().is_object()) {
    report_wrong_type(sink, at, "an object of integers");
    return std::nullopt;
  }
  NamedInts named;
  for (const auto& [name, value] : at.value().items()) {
    const auto one = read_integer(sink, at.member(name, value), def);
    if (!one) return std::nullopt;
    named.emplace(name, *one);
  }
  return named;
}

/// A text of at most def.max bytes, which is understood later.
std::optional<std::string> read_long_text(DiagnosticSink& sink, const JsonCursor& at,
                                          const OptionDef& def) {
  auto text = read_string(sink, at);
  if (!text || static_cast<double>(text->size()) <= def.max) return text;
  sink.error(DiagKind::kBadValue, at.place(), "{} has {} bytes, at most {} are possible",
             place_name(at.pointer()), text->size(), def.max);
  return std::nullopt;
}

/// Turns optional<T> into optional<OptionValue>.
template <class T>
std::optional<OptionValue> lift(std::optional<T> value) {
  if (!value) return std::nullopt;
  return OptionValue(std::move(*value));
}

}  // namespace

std::optional<OptionValue> read_option(DiagnosticSink& sink, const JsonCursor& at,
                                       const OptionDef& def) {
  if (at.value().is_null() && def.nullable()) return OptionValue();
  switch (def.type) {
    case OptionType::kBool:
      return lift(read_bool(sink, at));
    case OptionType::kInt:
      return lift(read_integer(sink, at, def));
    case OptionType::kFloat:
      return lift(read_number(sink, at, def));
    case OptionType::kString:
      return lift(def.max == kNoMax ? read_text(sink, at) : read_long_text(sink, at, def));
    case OptionType::kEnum:
      return lift(read_choice(sink, at, def));
    case OptionType::kInts:
      return lift(read_int_list(sink, at, def));
    case OptionType::kFloats:
      return lift(read_float_list(sink, at, def));
    case OptionType::kFloatOrFloats: {
      if (!at.value().is_number()) return lift(read_float_list(sink, at, def));
      const auto one = read_number(sink, at, def);
      if (!one) return std::nullopt;
      return OptionValue(std::vector<double>{*one});
    }
    case OptionType::kSizes:
      return lift(read_sizes(sink, at, def));
    case OptionType::kPaddings:
      return lift(read_paddings(sink, at, def));
    case OptionType::kIntOrInts: {
      if (!at.value().is_number()) return lift(read_int_list(sink, at, def));
      const auto one = read_integer(sink, at, def);
      if (!one) return std::nullopt;
      return OptionValue(Ints{*one});
    }
    case OptionType::kLayer: {
      auto layer = read_inner_layer(sink, at);
      if (!layer) return std::nullopt;
      return OptionValue(std::move(layer));
    }
    case OptionType::kLayers:
      return lift(read_inner_layers(sink, at));
    case OptionType::kComponent: {
      auto component = read_component(sink, at, def.family);
      if (!component) return std::nullopt;
      return OptionValue(std::move(component));
    }
    case OptionType::kFile:
      return lift(read_file(sink, at));
    case OptionType::kNamedInts:
      return lift(read_named_ints(sink, at, def));
  }
  GRADC_UNREACHABLE();
}

OwnJson default_value(const OptionDef& def) {
  Result<OwnJson> value =
      parse_json(SourceFile(std::string(def.name), std::string(def.default_json)));
  GRADC_CHECK(value.ok(), "the default {} of option \"{}\" is no JSON", def.default_json, def.name);
  return std::move(*value);
}

namespace {

OptionValue read_default(const OptionDef& def) {
  const OwnJson parsed = default_value(def);
  DiagnosticSink sink;
  auto value = read_option(sink, JsonCursor(*parsed, {}, {}), def);
  GRADC_CHECK(value && !sink.has_errors(),
              "the default {} of option \"{}\" does not fit its table entry", def.default_json,
              def.name);
  return std::move(*value);
}

/// Read once; components that are defaults are one object for all layers.
const OptionValue& known_default(const OptionDef& def) {
  static std::mutex mutex;
  static std::unordered_map<const OptionDef*, OptionValue> known;
  {
    const std::lock_guard lock(mutex);
    if (const auto found = known.find(&def); found != known.end()) return found->second;
  }
  OptionValue value = read_default(def);  // a component has defaults of its own
  const std::lock_guard lock(mutex);
  return known.emplace(&def, std::move(value)).first->second;
}

}  // namespace

void fill_defaults(std::span<const OptionDef> table, Options& options) {
  for (const OptionDef& def : table) {
    if (!def.required()) options.set(def.name, known_default(def));
  }
}

void read_options(ObjectReader& reader, std::span<const OptionDef> table, Options& options) {
  fill_defaults(table, options);
  for (const OptionDef& def : table) {
    const auto member = def.required() ? reader.require(def.name) : reader.get(def.name);
    if (!member) continue;
    if (auto value = read_option(reader.sink(), *member, def))
      options.set(def.name, std::move(*value));
  }
}

std::shared_ptr<const Component> read_component(DiagnosticSink& sink, const JsonCursor& at,
                                                Family family) {
  auto component = std::make_shared<Component>();
  component->place = at.place();
  std::optional<JsonCursor> type_at;
  const Json& value = at.value();
  const Json empty = Json::object();
  if (family == Family::kSchedule && value.is_number()) return read_constant_schedule(sink, at);
  if (value.is_string()) {
    type_at = at;
  } else if (value.is_object()) {
    ObjectReader probe(sink, at, family_name(family));
    type_at = probe.require("type");
    if (!type_at) return nullptr;
  } else {
    report_wrong_type(
        sink, at,
        fmt::format("the name of {} {} or an object with its \"type\"",
                    std::string_view("aeiou").find(family_name(family)[0]) == std::string_view::npos
                        ? "a"
                        : "an",
                    family_name(family)));
    return nullptr;
  }
  if (type_at) {
    const auto type = read_string(sink, *type_at);
    if (!type) return nullptr;
    component->written_type = *type;
  }
  component->def = find_member(family, component->written_type);
  if (component->def == nullptr) {
    sink.error(DiagKind::kUnknownName, type_at->place(), "unknown {} \"{}\"", family_name(family),
               component->written_type)
        .with_help(suggestion(component->written_type, member_names(family)));
    return nullptr;
  }
  const size_t errors_before = sink.all().size();
  const JsonCursor body = at.with_value(value.is_object() ? value : empty);
  ObjectReader reader(sink, body,
                      fmt::format("{} \"{}\"", family_name(family), component->written_type));
  reader.get("type");
  read_options(reader, component->def->options, component->options);
  reader.finish();
  return sink.all().size() == errors_before ? component : nullptr;
}

}  // namespace gradc
