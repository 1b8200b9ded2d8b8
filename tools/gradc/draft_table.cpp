// gradc new table: columns of numbers and names, a quantity or classes to predict.
#include "support/utf8.h"
#include "tools/gradc/draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gradc::tool {

namespace {

constexpr size_t kMostCategories = 50;  ///< more texts than that are no categories
constexpr size_t kMostClasses = 30;
constexpr size_t kSmallTable = 2000;  ///< rows

/// Why a column is no feature; empty if it is one.
std::string reason_to_ignore(const ColumnProfile& column, size_t rows) {
  if (column.is_constant() && (column.missing == 0 || column.distinct.empty()))
    return "holds one value";
  if (column.is_numbers()) return column.counts_rows ? "counts the rows" : "";
  if (column.dates) return "";
  if (column.numbers > column.texts)
    return fmt::format(
        "is numbers but for {} cells, such as {}", column.texts,
        quoted(*std::find_if(column.distinct.begin(), column.distinct.end(),
                             [](const std::string& text) {
                               return std::isdigit(static_cast<unsigned char>(text[0])) == 0;
                             })));
  if (!column.more && column.distinct.size() <= kMostCategories &&
      column.distinct.size() * 2 <= rows)
    return "";
  return fmt::format(
      "holds {}{} different texts: an input of its own could read them (\"text\" or "
      "an embedding)",
      column.more ? "more than " : "", column.distinct.size());
}

/// Parts that differ within the time that the dates span: its course, unless what comes later is to
/// be told, the season, the day of the week, the hour. No values: nothing differs.
std::pair<Json, size_t> date_rule(const DateProfile& dates, bool course) {
  constexpr double kDay = 86400;
  const double days = (dates.high - dates.low) / kDay;
  Json parts = Json::array();
  size_t values = 0;
  const auto add = [&](const char* part, bool differs, size_t width) {
    if (!differs) return;
    parts.push_back(part);
    values += width;
  };
  add("days", course, 1);
  add("day_of_year", days >= 200, 2);
  add("day_of_week", days >= 14, 2);
  add("hour", dates.clock, 2);
  Json rule = {{"date", parts}, {"cyclic", true}};
  if (!dates.format.empty()) rule["format"] = dates.format;
  return {rule, values};
}

void note_dates(const ColumnProfile& column, const Json& rule, Draft& draft) {
  const std::string format = rule.value("format", "ISO 8601");
  std::string note = fmt::format("column {} is dates as {}: it becomes {}", quoted(column.name),
                                 format, rule["date"].dump());
  if (!column.dates->other.empty())
    note += fmt::format("; they fit {} as well, \"format\" says which it is", column.dates->other);
  draft.notes.push_back(note);
}

/// The rule of a feature, and how many values it becomes.
std::pair<Json, size_t> column_rule(const ColumnProfile& column, size_t rows, bool series) {
  if (column.dates) {
    auto [rule, values] = date_rule(*column.dates, !series);
    if (column.missing == 0 || values == 0) return {rule, values};
    rule["missing"] = "median";
    rule["flag"] = true;
    return {rule, values + 1};
  }
  Json rule = Json::object();
  if (!column.is_numbers()) {
    const size_t categories = column.distinct.size() + (column.empty > 0 ? 1 : 0);
    rule["categories"] = categories;
    if (column.empty > 0) rule["missing"] = "(none)";
    return {rule, categories};
  }
  if (column.missing == 0) return {rule, 1};
  rule["missing"] = "median";
  if (column.missing * 50 < rows) return {rule, 1};  // too few to tell anything
  rule["flag"] = true;
  return {rule, 2};
}

}  // namespace

std::string quoted(const std::string& name) {
  return fmt::format("\"{}\"", printable(name, 60));
}

size_t add_features(const TableProfile& table, bool also_target, Json& columns, Draft& draft) {
  size_t width = 0;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const ColumnProfile& column = table.columns[c];
    const bool is_target = std::ranges::count(table.targets, c) > 0;
    if (is_target ? !also_target : table.dropped[c]) continue;
    if (const std::string reason = reason_to_ignore(column, table.rows); !reason.empty()) {
      draft.notes.push_back(
          fmt::format("column {} is left out: it {}", quoted(column.name), reason));
      continue;
    }
    const auto [rule, values] = column_rule(column, table.rows, also_target);
    if (values == 0) {
      draft.notes.push_back(fmt::format(
          "column {} is left out: it holds dates of less than two weeks", quoted(column.name)));
      continue;
    }
    if (rule.contains("categories")) {
      draft.notes.push_back(fmt::format("column {} is {} categories", quoted(column.name),
                                        rule["categories"].get<size_t>()));
    }
    if (column.dates) note_dates(column, rule, draft);
    if (column.missing > 0 && rule.contains("missing")) {
      draft.notes.push_back(fmt::format("column {}: {} of {} cells are missing and become {}",
                                        quoted(column.name),
                                        rule.contains("categories") ? column.empty : column.missing,
                                        table.rows, rule["missing"].dump()));
    }
    columns[column.name] = rule;
    width += values;
  }
  return width;
}

double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return 0;
  const double unit = std::pow(10.0, std::floor(std::log10(std::fabs(value))) - 1);
  return unit >= 1 ? std::round(value / unit) * unit
                   : std::round(value / unit) / std::round(1 / unit);
}

size_t classes_of(const ColumnProfile& target, size_t rows) {
  const bool few =
      !target.more && target.distinct.size() <= kMostClasses && target.distinct.size() * 5 <= rows;
  if (!few) return 0;
  if (target.texts > 0) return target.distinct.size();
  const bool numbered = target.whole && target.low >= 0 && target.high < kMostClasses;
  return numbered ? static_cast<size_t>(target.high) + 1 : 0;
}

std::string target_name(const ColumnProfile& target) {
  std::string name;
  for (const char c : target.name) {
    const bool word = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
    if (name.size() < 60) name += word ? c : '_';
  }
  return name.empty() || name == "table" || name.starts_with("hidden") ? "target_" + name : name;
}

void add_output(const ColumnProfile& target, size_t classes, Draft& draft) {
  Json& layers = draft.model["layers"];
  Json& training = draft.model["training"];
  const std::string name = target_name(target);
  if (classes == 0) {
    layers.push_back({{"type", "dense"}, {"units", 1}});
    layers.push_back({{"type", "rescaling"},
                      {"scale", target.deviation > 0 ? rounded(target.deviation) : 1.0},
                      {"offset", rounded(target.mean)},
                      {"name", name}});
    training["loss"] = "mse";
    training["metrics"] = {"mae", "r2_score"};
    draft.notes.push_back(fmt::format("target {} is a quantity from {} to {}", quoted(target.name),
                                      target.low, target.high));
    return;
  }
  const bool two = classes == 2;
  layers.push_back({{"type", "dense"},
                    {"units", two ? 1 : classes},
                    {"activation", two ? "sigmoid" : "softmax"},
                    {"name", name}});
  training["loss"] = two ? "binary_crossentropy" : "sparse_categorical_crossentropy";
  training["metrics"] = two ? Json{"accuracy", "auc"} : Json{"accuracy"};
  std::string list;
  for (size_t i = 0; i < std::min<size_t>(target.distinct.size(), 10); ++i)
    list +=
        fmt::format("{}{} ({})", i > 0 ? ", " : "", quoted(target.distinct[i]), target.counts[i]);
  draft.notes.push_back(fmt::format("target {} is {} classes: {}{}", quoted(target.name), classes,
                                    list, target.distinct.size() > 10 ? ", ..." : ""));
}

Result<const ColumnProfile*> only_target(const TableProfile& table, const std::string& spec) {
  if (table.targets.size() != 1) {
    std::string names;
    for (const ColumnProfile& column : table.columns)
      names += (names.empty() ? "" : ", ") + quoted(column.name);
    return make_error(
        DiagKind::kInvalidData, {},
        "{}: {} target columns, one was expected: {}:target=COLUMN; the columns are {}",
        printable(spec, 100), table.targets.size(), printable(spec, 100), names);
  }
  const ColumnProfile& target = table.columns[table.targets[0]];
  const bool is_quantity = classes_of(target, table.rows) == 0;
  if (target.missing > 0 || (is_quantity && target.texts > 0)) {
    return make_error(DiagKind::kInvalidData, {},
                      "target {} has {} empty cells, {} numbers and {} texts of {}{}: all cells a "
                      "number, or one of at most {} classes, were expected",
                      quoted(target.name), target.missing, target.numbers, target.texts,
                      target.more ? "more than " : "", target.distinct.size(), kMostClasses);
  }
  return &target;
}

Result<Draft> draft_table(const std::string& spec) {
  GRADC_TRY(const TableProfile table, profile_table(spec));
  GRADC_TRY(const ColumnProfile* found, only_target(table, spec));
  const ColumnProfile& target = *found;
  const size_t classes = classes_of(target, table.rows);
  Draft draft;
  draft.data = spec + (table.splits ? "" : ":validation=0.15:test=0.15");
  Json columns = Json::object();
  const size_t width = add_features(table, false, columns, draft);
  if (width == 0) {
    return make_error(DiagKind::kInvalidData, {}, "{}: no column is left that tells anything",
                      printable(spec, 100));
  }
  const bool small = table.rows < kSmallTable;
  draft.model["name"] = target_name(target);
  draft.model["inputs"] = Json::array({{{"name", "table"}, {"shape", {width}}}});
  Json& layers = draft.model["layers"] = Json::array();
  for (int i = 0; i < (small ? 1 : 2); ++i)
    layers.push_back({{"type", "dense"}, {"units", small ? 16 : 64}, {"activation", "relu"}});
  Json& training = draft.model["training"];
  training["loss"] = nullptr;
  training["optimizer"] = {{"type", "adam"}, {"learning_rate", small ? 0.005 : 0.003}};
  add_output(target, classes, draft);
  training["batch_size"] = small ? 16 : 64;
  training["epochs"] = 200;
  training["early_stopping"] = {
      {"monitor", "val_loss"}, {"patience", small ? 20 : 10}, {"restore_best_weights", true}};
  draft.model["data"]["table"] = {{"standardize", true}, {"columns", columns}};
  return draft;
}

}  // namespace gradc::tool
