// "columns" of a data rule: which columns of a table an input takes, and what each becomes.
#include "frontend/component_reader.h"
#include "frontend/layer_def.h"
#include "frontend/training_reader.h"
#include "support/check.h"

#include <algorithm>
#include <utility>

namespace gradc {
namespace {

constexpr int64_t kMostCategories = 1'000'000;
constexpr OptionDef kCategories = {
    .name = "categories", .type = OptionType::kInt, .min = 1, .max = kMostCategories};
constexpr OptionDef kFill = {.name = "missing", .type = OptionType::kFloat};
constexpr OptionDef kPart = {.name = "date", .type = OptionType::kEnum, .choices = kDateParts};

/// Text of a table: it goes through C.
std::optional<std::string> read_cell(DiagnosticSink& sink, const JsonCursor& at) {
  auto text = read_string(sink, at);
  if (!text || (!text->empty() && text->find('\0') == std::string::npos)) return text;
  sink.error(DiagKind::kBadValue, at.place(), "{} is \"\" or has a zero byte, text was expected",
             place_name(at.pointer()));
  return std::nullopt;
}

void read_missing(DiagnosticSink& sink, const JsonCursor& at, ColumnRule& column) {
  using Missing = ColumnRule::Missing;
  const bool dates = !column.date.empty();
  if (column.categories > 0) {
    if (const auto text = read_cell(sink, at)) column.fill_text = *text;
    column.missing = Missing::kGiven;
  } else if (at.value() == "mean") {
    column.missing = Missing::kMean;
  } else if (at.value() == "median") {
    column.missing = Missing::kMedian;
  } else if (dates) {
    sink.error(DiagKind::kBadValue, at.place(),
               "\"missing\" is {}, but must be \"mean\" or \"median\": column \"{}\" holds dates",
               json_text(at.value()), column.name);
  } else if (at.value().is_string()) {
    sink.error(DiagKind::kBadValue, at.place(),
               "\"missing\" is {}, but must be \"mean\", \"median\" or a number: column \"{}\" "
               "holds numbers",
               json_text(at.value()), column.name)
        .with_help("\"categories\": N in front for a column of names");
  } else {
    column.fill = read_number(sink, at, kFill).value_or(0.0);
    column.missing = Missing::kGiven;
  }
}

/// "year" is the first.
ColumnRule::Part part_of(std::string_view name) {
  int64_t number = 1;
  for (const std::string& one : split_words(kDateParts)) {
    if (one == name) break;
    ++number;
  }
  return static_cast<ColumnRule::Part>(number);
}

void read_date_parts(DiagnosticSink& sink, const JsonCursor& at, ColumnRule& column) {
  if (!at.value().is_array() || at.value().empty()) {
    report_wrong_type(sink, at, "a list of parts, as [\"month\", \"day_of_week\"]");
    return;
  }
  for (size_t i = 0; i < at.value().size(); ++i) {
    const JsonCursor element = at.element(i);
    const auto name = read_option(sink, element, kPart);
    if (!name) continue;
    const ColumnRule::Part part = part_of(std::get<std::string>(*name));
    if (std::ranges::count(column.date, part) == 0) {
      column.date.push_back(part);
    } else {
      sink.error(DiagKind::kBadValue, element.place(), "{} stands in the list twice",
                 json_text(element.value()));
    }
  }
}

/// What a date is told by in a format: the letters behind %, "F" for all three of a day.
bool has_one(const std::string& format, std::string_view letters) {
  for (size_t at = format.find('%'); at != std::string::npos; at = format.find('%', at + 2))
    if (at + 1 < format.size() && letters.find(format[at + 1]) != std::string_view::npos)
      return true;
  return false;
}

/// Parts that cells of the format do not have would be the same everywhere.
void check_parts(DiagnosticSink& sink, const JsonCursor& at, const ColumnRule& column) {
  using Part = ColumnRule::Part;
  const bool year = has_one(column.format, "YyF"), month = has_one(column.format, "mbBF");
  const bool day = has_one(column.format, "dF"), hour = has_one(column.format, "HIT");
  const auto told = [&](Part part) {
    switch (part) {
      case Part::kYear:
        return year;
      case Part::kQuarter:
      case Part::kMonth:
        return month;
      case Part::kDay:
        return day;
      case Part::kDayOfWeek:
        return year && month && day;
      case Part::kDayOfYear:
      case Part::kDays:
        return year && month;
      case Part::kHour:
        return hour;
      case Part::kMinute:
        return has_one(column.format, "MT");
      case Part::kSecond:
        return has_one(column.format, "ST");
    }
    GRADC_UNREACHABLE();
  };
  const std::vector<std::string> names = split_words(kDateParts);
  for (const Part part : column.date) {
    if (told(part)) continue;
    sink.error(DiagKind::kBadValue, at.place(), "dates as {} do not tell the part \"{}\"",
               json_text(at.value()), names[static_cast<size_t>(part) - 1]);
  }
}

void read_format(DiagnosticSink& sink, const JsonCursor& at, ColumnRule& column) {
  constexpr std::string_view kKnown = "YymbBdHIpMSfzaAFT%";
  const auto format = read_cell(sink, at);
  if (!format) return;
  column.format = *format;
  for (size_t i = column.format.find('%'); i != std::string::npos; i = column.format.find('%', i)) {
    const std::string letter = column.format.substr(i + 1, 1);
    i += 2;
    if (!letter.empty() && kKnown.find(letter) != std::string_view::npos) continue;
    sink.error(DiagKind::kBadValue, at.place(), "\"format\" is {}, which has %{}",
               json_text(at.value()), letter)
        .with_help(
            "%Y %y %m %b %B %d %H %I %p %M %S %f %z %a %A %F %T %% are known, as strptime's");
    return;
  }
  check_parts(sink, at, column);
}

/// "date", "cyclic", "format".
void read_date(DiagnosticSink& sink, ObjectReader& reader, ColumnRule& column) {
  const auto date = reader.get("date");
  if (date) read_date_parts(sink, *date, column);
  if (date && column.categories > 0) {
    sink.error(DiagKind::kBadValue, date->key_place(),
               "column \"{}\" has \"categories\" and \"date\": one of them was expected",
               column.name);
  }
  const auto cyclic = reader.get("cyclic");
  if (cyclic) column.cyclic = read_bool(sink, *cyclic).value_or(false);
  const auto format = reader.get("format");
  if (format) read_format(sink, *format, column);
  for (const auto& option : {cyclic, format}) {
    if (!option || date) continue;
    sink.error(DiagKind::kBadValue, option->key_place(),
               "{} is of dates: column \"{}\" has no \"date\"", place_name(option->pointer()),
               column.name)
        .with_help("\"date\": [\"month\", \"day_of_week\"] takes a date apart");
  }
}

ColumnRule read_column(DiagnosticSink& sink, const JsonCursor& at, std::string name) {
  ColumnRule column;
  column.name = std::move(name);
  ObjectReader reader(sink, at, "a column");
  if (!reader.is_object()) return column;
  if (column.name.empty() || column.name.find('\0') != std::string::npos) {
    sink.error(DiagKind::kBadValue, at.key_place(),
               "the name of a column is \"\" or has a zero byte, text was expected");
  }
  if (const auto categories = reader.get("categories"))
    column.categories = read_integer(sink, *categories, kCategories).value_or(1);
  read_date(sink, reader, column);
  if (const auto missing = reader.get("missing")) read_missing(sink, *missing, column);
  if (const auto flag = reader.get("flag")) {
    column.flag = read_bool(sink, *flag).value_or(false);
    if (column.flag && column.missing == ColumnRule::Missing::kRefused) {
      sink.error(DiagKind::kBadValue, flag->place(),
                 "\"flag\" tells where a cell of column \"{}\" is missing, and missing cells are "
                 "refused",
                 column.name)
          .with_help("\"missing\" says what they become");
    }
  }
  reader.finish();
  return column;
}

/// A column of texts, or what the columns are together.
void check_columns(DiagnosticSink& sink, const JsonCursor& at, const TensorSpec& spec,
                   const DataRule& rule) {
  const bool integers = !is_float(spec.dtype);
  if (rule.text.split != TextRule::Split::kNone) {
    const ColumnRule& first = rule.columns.front();
    if (rule.columns.size() == 1 && first.categories == 0 && first.date.empty() &&
        first.missing == ColumnRule::Missing::kRefused)
      return;
    sink.error(DiagKind::kBadValue, at.place(),
               "\"{}\" is a text: it takes one column, as {{\"NAME\": {{}}}}", rule.name);
    return;
  }
  int64_t width = 0;
  for (const ColumnRule& column : rule.columns) {
    width += column.width(integers);
    if (!integers || column.categories > 0) continue;
    sink.error(DiagKind::kTypeMismatch, at.place(),
               "\"{}\" holds integers ({}), which column \"{}\" gives if it has \"categories\"",
               rule.name, to_string(spec), column.name);
  }
  const bool windows = rule.series.stride > 0;
  const int64_t elements = windows ? spec.shape.size() == 2 ? spec.shape.back() : 1
                                   : checked_product(spec.shape).value_or(0);
  if (width == elements) return;
  sink.error(DiagKind::kShapeMismatch, at.place(),
             "the columns give {} values{}, but \"{}\" is {}, which has {}", width,
             windows ? " a row" : "", rule.name, to_string(spec), elements)
      .with_help(integers ? "each column of categories is one number"
                          : "a column of numbers is one value, one of \"categories\": N is N, "
                            "a date one for each part (two with \"cyclic\", but for year and "
                            "days), \"flag\" adds one");
}

}  // namespace

void read_columns(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec,
                  DataRule& rule) {
  if (rule.is_target) {
    sink.error(DiagKind::kBadValue, at.key_place(),
               "\"columns\" are of inputs, but \"{}\" is a target", rule.name)
        .with_help("FILE.csv:target=COLUMN names a target's column");
    return;
  }
  if (!at.value().is_object() || at.value().empty()) {
    report_wrong_type(sink, at, "an object with one rule per column, {} for plain numbers");
    return;
  }
  for (const auto& [name, value] : at.value().items())
    rule.columns.push_back(read_column(sink, at.member(name, value), name));
  check_columns(sink, at, spec, rule);
}

}  // namespace gradc
