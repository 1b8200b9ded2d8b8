// "columns" of a data rule: which columns of a table an input takes, and what each becomes.
#include "frontend/layer_def.h"
#include "frontend/training_reader.h"

#include <algorithm>
#include <utility>

namespace gradc {
namespace {

constexpr int64_t kMostCategories = 1'000'000;
constexpr OptionDef kCategories = {
    .name = "categories", .type = OptionType::kInt, .min = 1, .max = kMostCategories};
constexpr OptionDef kFill = {.name = "missing", .type = OptionType::kFloat};

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
  if (column.categories > 0) {
    if (const auto text = read_cell(sink, at)) column.fill_text = *text;
    column.missing = Missing::kGiven;
  } else if (at.value() == "mean") {
    column.missing = Missing::kMean;
  } else if (at.value() == "median") {
    column.missing = Missing::kMedian;
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
    if (rule.columns.size() == 1 && first.categories == 0 &&
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
                            "\"flag\" adds one");
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
