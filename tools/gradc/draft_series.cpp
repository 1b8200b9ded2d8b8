// gradc new series: a window of the last rows says how far the target is from what it was last.
#include "support/utf8.h"
#include "tools/gradc/draft.h"

#include <fmt/format.h>

#include <algorithm>

namespace gradc::tool {

namespace {

constexpr size_t kMostSteps = 56;
constexpr size_t kLeastSteps = 4;
constexpr size_t kLeastRows = 100;

/// As many rows as twenty windows side by side leave room for.
size_t steps_for(size_t rows) {
  return std::clamp(rows / 20, kLeastSteps, kMostSteps);
}

}  // namespace

Result<Draft> draft_series(const std::string& spec) {
  GRADC_TRY(const TableProfile table, profile_table(spec));
  GRADC_TRY(const ColumnProfile* target, only_target(table, spec));
  if (!target->is_numbers())
    return make_error(DiagKind::kInvalidData, {}, "target {} is {} classes: numbers were expected",
                      quoted(target->name), target->distinct.size());
  if (table.rows < kLeastRows)
    return make_error(DiagKind::kInvalidData, {}, "{}: {} rows, at least {} were expected",
                      printable(spec, 100), table.rows, kLeastRows);
  Draft draft;
  draft.data = spec + (table.splits ? "" : ":validation=0.1:test=0.1");
  Json found = Json::object(), columns = Json::object();
  const size_t width = add_features(table, true, found, draft);
  if (!found.contains(target->name))
    return make_error(DiagKind::kInvalidData, {}, "target {} holds one value",
                      quoted(target->name));
  columns[target->name] = found[target->name];  // in front, where the last layers find it
  columns.update(found);
  const size_t steps = steps_for(table.rows);
  const std::string name = target_name(*target);
  draft.model["name"] = name;
  draft.model["inputs"] = Json::array({{{"name", "rows"}, {"shape", {steps, width}}}});
  draft.model["layers"] = Json::array(
      {{{"type", "cropping_1d"}, {"cropping", {steps - 1, 0}}, {"name", "last_row"}},
       {{"type", "reshape"}, {"target_shape", {width, 1}}},
       {{"type", "cropping_1d"}, {"cropping", {0, width - 1}}},
       {{"type", "flatten"}, {"name", "last_value"}},
       {{"type", "gru"}, {"units", 32}, {"inputs", "rows"}},
       {{"type", "dense"}, {"units", 1}, {"kernel_initializer", "zeros"}, {"name", "change"}},
       {{"type", "add"}, {"inputs", {"last_value", "change"}}, {"name", name}}});
  draft.model["training"] = {
      {"loss", "huber"},
      {"optimizer", {{"type", "adam"}, {"learning_rate", 0.002}, {"global_clipnorm", 1}}},
      {"metrics", {"mae"}},
      {"batch_size", 32},
      {"epochs", 40},
      {"early_stopping",
       {{"monitor", "val_mae"}, {"patience", 5}, {"restore_best_weights", true}}}};
  draft.model["data"] = {
      {"rows", {{"series", Json::object()}, {"standardize", true}, {"columns", columns}}},
      {name, {{"standardize", true}}}};
  draft.notes.push_back(
      fmt::format("{} rows: windows of {} say what column {} is in the next one (\"horizon\" and "
                  "the output's units say otherwise)",
                  table.rows, steps, quoted(target->name)));
  draft.notes.emplace_back("loss and mae are told in the target's standard deviations");
  return draft;
}

}  // namespace gradc::tool
