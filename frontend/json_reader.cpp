// Checked JSON access and the wording of its complaints.
#include "frontend/json_reader.h"

#include "support/json_locator.h"
#include "support/suggest.h"

#include <algorithm>
#include <cmath>

namespace gradc {

JsonCursor JsonCursor::member(std::string_view key) const {
  return {value_->at(std::string(key)), file_, pointer_ + "/" + escape_pointer_token(key)};
}

JsonCursor JsonCursor::element(size_t index) const {
  return {value_->at(index), file_, fmt::format("{}/{}", pointer_, index)};
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
  std::string text = value.dump();
  if (text.size() > kMaxLength) text = text.substr(0, kMaxLength) + "...";
  return text;
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
        .error(DiagKind::kUnknownOption, at_.member(key).key_place(), "{} has no option \"{}\"",
               what_, key)
        .with_help(suggestion(key, known_));
  }
}

}  // namespace gradc
