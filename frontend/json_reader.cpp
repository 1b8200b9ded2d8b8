// Checked JSON access and the wording of its complaints.
#include "frontend/json_reader.h"

#include "support/json_index.h"
#include "support/suggest.h"
#include "support/utf8.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradc {

JsonCursor JsonCursor::member(std::string_view key) const {
  return member(key, value_->at(std::string(key)));
}

JsonCursor JsonCursor::member(std::string_view key, const Json& value) const {
  return {value, file_, pointer_ + "/" + escape_pointer_token(key), places_};
}

JsonCursor JsonCursor::element(size_t index) const {
  return {value_->at(index), file_, fmt::format("{}/{}", pointer_, index), places_};
}

std::string PlaceMap::original(std::string_view pointer) const {
  std::string_view known = pointer;
  for (;;) {
    if (const auto found = known_.find(known); found != known_.end())
      return found->second + std::string(pointer.substr(known.size()));
    if (known.empty()) return std::string(pointer);
    known = known.substr(0, known.rfind('/'));
  }
}

std::string json_kind(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "an integer";
    case Json::value_t::number_float:
      return "a number";
    case Json::value_t::binary:
    case Json::value_t::discarded:
      break;
  }
  GRADC_UNREACHABLE();
}

std::string json_text(const Json& value) {
  constexpr size_t kMaxLength = 60;
  constexpr size_t kMaxDumped = 1000;  // of more elements the text is not made
  if (value.is_structured() && value.size() > kMaxDumped)
    return fmt::format("{} of {}", value.is_array() ? "a list" : "an object", value.size());
  return printable(value.dump(), kMaxLength);
}

std::string place_name(std::string_view pointer) {
  if (pointer.empty()) return "the file";
  const size_t slash = pointer.rfind('/');
  const std::string last(pointer.substr(slash + 1));
  const bool index = !last.empty() && std::all_of(last.begin(), last.end(),
                                                  [](char c) { return c >= '0' && c <= '9'; });
  if (!index) return fmt::format("\"{}\"", last);
  const std::string_view parent = pointer.substr(0, slash);
  if (parent.empty()) return fmt::format("element {}", last);
  return fmt::format("element {} of {}", last, place_name(parent));
}

Diagnostic& report_wrong_type(DiagnosticSink& sink, const JsonCursor& at, std::string_view rule) {
  return sink.error(DiagKind::kWrongType, at.place(), "{} is {}, but must be {}",
                    place_name(at.pointer()), json_kind(at.value()), rule);
}

namespace {

std::string limits_text(const OptionDef& limits) {
  const auto shown = [](double v) {
    return v == std::floor(v) && std::abs(v) < 1e15 ? fmt::format("{}", static_cast<int64_t>(v))
                                                    : fmt::format("{}", v);
  };
  const std::string low =
      limits.min == kNoMin
          ? ""
          : fmt::format("{} {}", limits.above_min ? "above" : "at least", shown(limits.min));
  const std::string high =
      limits.max == kNoMax
          ? ""
          : fmt::format("{} {}", limits.below_max ? "below" : "at most", shown(limits.max));
  return low.empty() || high.empty() ? low + high : low + " and " + high;
}

bool within(double value, const OptionDef& limits) {
  return (limits.above_min ? value > limits.min : value >= limits.min) &&
         (limits.below_max ? value < limits.max : value <= limits.max);
}

void report_limits(DiagnosticSink& sink, const JsonCursor& at, const OptionDef& limits) {
  sink.error(DiagKind::kBadValue, at.place(), "{} is {}, but must be {}", place_name(at.pointer()),
             json_text(at.value()), limits_text(limits));
}

}  // namespace

std::optional<int64_t> read_integer(DiagnosticSink& sink, const JsonCursor& at,
                                    const OptionDef& limits) {
  const Json& value = at.value();
  int64_t integer = 0;
  if (value.is_number_integer()) {
    integer = value.get<int64_t>();
  } else if (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>() &&
             std::abs(value.get<double>()) < 9e15) {
    integer = static_cast<int64_t>(value.get<double>());  // 128.0 is an integer to JSON Schema too
  } else if (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>()) {
    if (!within(value.get<double>(), limits)) {
      report_limits(sink, at, limits);
      return std::nullopt;
    }
    sink.error(DiagKind::kNumberOutOfRange, at.place(),
               "{} is {}, which is too large for an integer", place_name(at.pointer()),
               json_text(value));
    return std::nullopt;
  } else {
    report_wrong_type(sink, at, "an integer");
    return std::nullopt;
  }
  if (!within(static_cast<double>(integer), limits)) {
    report_limits(sink, at, limits);
    return std::nullopt;
  }
  return integer;
}

std::optional<double> read_number(DiagnosticSink& sink, const JsonCursor& at,
                                  const OptionDef& limits) {
  if (!at.value().is_number()) {
    report_wrong_type(sink, at, "a number");
    return std::nullopt;
  }
  const double number = at.value().get<double>();
  constexpr auto kLargest = static_cast<double>(std::numeric_limits<float>::max());
  if (within(number, limits) && std::abs(number) > kLargest) {
    sink.error(DiagKind::kNumberOutOfRange, at.place(),
               "{} is {}, which is too large for a float32", place_name(at.pointer()),
               json_text(at.value()));
    return std::nullopt;
  }
  if (!within(number, limits)) {
    report_limits(sink, at, limits);
    return std::nullopt;
  }
  return number;
}

std::optional<bool> read_bool(DiagnosticSink& sink, const JsonCursor& at) {
  if (at.value().is_boolean()) return at.value().get<bool>();
  report_wrong_type(sink, at, "true or false");
  return std::nullopt;
}

std::optional<std::string> read_string(DiagnosticSink& sink, const JsonCursor& at) {
  if (at.value().is_string()) return at.value().get<std::string>();
  report_wrong_type(sink, at, "a string");
  return std::nullopt;
}

std::optional<std::string> read_text(DiagnosticSink& sink, const JsonCursor& at) {
  auto text = read_string(sink, at);
  if (!text) return std::nullopt;
  if (text->size() <= kMaxNameBytes && is_all_printable(*text)) return text;
  sink.error(
      DiagKind::kBadValue, at.place(),
      "{} is \"{}\", which is longer than {} bytes or has a character that cannot be printed",
      place_name(at.pointer()), printable(*text, 80), kMaxNameBytes);
  return std::nullopt;
}

std::optional<std::string> read_name(DiagnosticSink& sink, const JsonCursor& at) {
  auto name = read_string(sink, at);
  if (!name) return std::nullopt;
  const std::string shown = printable(*name, 80);
  if (name->size() > kMaxNameBytes || !is_all_printable(*name)) {
    sink.error(DiagKind::kBadValue, at.place(),
               "the name \"{}\" is longer than {} bytes or has a character that cannot be printed",
               shown, kMaxNameBytes);
    return std::nullopt;
  }
  if (name->empty() || name->find_first_of("/ \t\n\"%") != std::string::npos) {
    sink.error(DiagKind::kBadValue, at.place(),
               "the name \"{}\" is empty or has a slash, space, quote or percent sign", shown);
    return std::nullopt;
  }
  return name;
}

ObjectReader::ObjectReader(DiagnosticSink& sink, const JsonCursor& at, std::string_view what)
    : sink_(sink), at_(at), what_(what), is_object_(at.value().is_object()) {
  if (!is_object_) report_wrong_type(sink, at, "an object");
}

std::optional<JsonCursor> ObjectReader::get(std::string_view key) {
  known_.emplace_back(key);
  if (!is_object_) return std::nullopt;
  if (!at_.has(key)) return std::nullopt;
  return at_.member(key);
}

std::optional<JsonCursor> ObjectReader::require(std::string_view key) {
  auto found = get(key);
  if (!found && is_object_) {
    sink_.error(DiagKind::kMissingOption, at_.place(), "{} has no \"{}\", which must be given",
                what_, key);
  }
  return found;
}

void ObjectReader::finish() {
  if (!is_object_) return;
  for (const auto& [key, value] : at_.value().items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    sink_
        .error(DiagKind::kUnknownOption, at_.member(key, value).key_place(),
               "{} has no option \"{}\"", what_, key)
        .with_help(suggestion(key, known_));
  }
}

}  // namespace gradc
