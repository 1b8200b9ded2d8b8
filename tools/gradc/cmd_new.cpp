// gradc new: a model for one's own data, after looking at them.
#include "support/utf8.h"
#include "tools/gradc/command.h"
#include "tools/gradc/table_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gradc::tool {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostCategories = 50;  ///< more texts than that are no categories
constexpr size_t kMostClasses = 30;
constexpr size_t kSmallTable = 2000;  ///< rows

struct NewCommandLine {
  std::string spec;
  std::string output;
};

/// What the model is made of, and what is told of it.
struct Draft {
  Json model;
  std::vector<std::string> notes;
};

std::string quoted(const std::string& name) {
  return fmt::format("\"{}\"", printable(name, 60));
}

/// Why a column is no feature; empty if it is one.
std::string reason_to_ignore(const ColumnProfile& column, size_t rows) {
  if (column.is_constant() && (column.missing == 0 || column.distinct.empty()))
    return "holds one value";
  if (column.is_numbers()) return column.counts_rows ? "counts the rows" : "";
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

/// The rule of a feature, and how many values it becomes.
std::pair<Json, size_t> column_rule(const ColumnProfile& column, size_t rows) {
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

/// Features of the table; what is left out is noted.
size_t add_features(const TableProfile& table, Json& columns, Draft& draft) {
  size_t width = 0;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const ColumnProfile& column = table.columns[c];
    if (table.dropped[c]) continue;
    if (const std::string reason = reason_to_ignore(column, table.rows); !reason.empty()) {
      draft.notes.push_back(
          fmt::format("column {} is left out: it {}", quoted(column.name), reason));
      continue;
    }
    const auto [rule, values] = column_rule(column, table.rows);
    if (rule.contains("categories")) {
      draft.notes.push_back(fmt::format("column {} is {} categories", quoted(column.name),
                                        rule["categories"].get<size_t>()));
    }
    if (column.missing > 0 && rule.contains("missing")) {
      draft.notes.push_back(fmt::format(
          "column {}: {} of {} cells are missing and become {}", quoted(column.name),
          column.is_numbers() ? column.missing : column.empty, table.rows, rule["missing"].dump()));
    }
    columns[column.name] = rule;
    width += values;
  }
  return width;
}

/// Two digits are enough to bring the output near the targets.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return 0;
  const double unit = std::pow(10.0, std::floor(std::log10(std::fabs(value))) - 1);
  return unit >= 1 ? std::round(value / unit) * unit
                   : std::round(value / unit) / std::round(1 / unit);
}

/// How many classes a target has; 0: it is a quantity.
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
    list += (i > 0 ? ", " : "") + quoted(target.distinct[i]);
  draft.notes.push_back(fmt::format("target {} is {} classes: {}{}", quoted(target.name), classes,
                                    list, target.distinct.size() > 10 ? ", ..." : ""));
}

Result<Draft> draft_of(const TableProfile& table, const std::string& spec) {
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
  const size_t classes = classes_of(target, table.rows);
  if (target.missing > 0 || (classes == 0 && target.texts > 0)) {
    return make_error(DiagKind::kInvalidData, {},
                      "target {} has {} empty cells, {} numbers and {} texts of {}{}: all cells a "
                      "number, or one of at most {} classes, were expected",
                      quoted(target.name), target.missing, target.numbers, target.texts,
                      target.more ? "more than " : "", target.distinct.size(), kMostClasses);
  }
  Draft draft;
  Json columns = Json::object();
  const size_t width = add_features(table, columns, draft);
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

/// As a shell reads it.
std::string shell_word(const std::string& text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("/._-:=,+%@").find(c) != std::string_view::npos;
  });
  if (plain) return text;
  std::string word = "'";
  for (const char c : text)
    word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

int run(const NewCommandLine& options) {
  const auto table = profile_table(options.spec);
  if (!table.ok()) return report(table.diagnostics());
  const auto draft = draft_of(*table, options.spec);
  if (!draft.ok()) return report(draft.diagnostics());
  const auto written = write_text(options.output, json_text(draft->model));
  if (!written.ok()) return report(written.diagnostics());
  const bool to_file = !options.output.empty() && options.output != "-";
  std::FILE* out = to_file ? stdout : stderr;
  for (const std::string& note : draft->notes)
    std::fprintf(out, "%s\n", note.c_str());
  const std::string model = to_file ? options.output : "MODEL.json";
  const std::string spec = options.spec + (table->splits ? "" : ":validation=0.15:test=0.15");
  std::fprintf(out, "train it: gradc train %s --data %s --out weights.safetensors\n",
               printable(shell_word(model), 500).c_str(), printable(shell_word(spec), 500).c_str());
  return kSuccess;
}

}  // namespace

void register_new(CLI::App& app, Selection& selection) {
  CLI::App* command = app.add_subcommand("new", "write a model for one's own data");
  command->require_subcommand(1);
  CLI::App* table = command->add_subcommand(
      "table", "look at a table and write a model for its columns; what was found is printed");
  auto options = std::make_shared<NewCommandLine>();
  table->add_option("spec", options->spec, "FILE.csv:target=COLUMN, as --data of train takes it")
      ->required()
      ->type_name("SPEC");
  table->add_option("-o,--out", options->output, "file for the model (default: standard output)")
      ->check(output_name());
  table->footer("Example:\n  gradc new table housing.csv:target=price -o housing.json");
  table->callback([options, &selection] { selection.run = [options] { return run(*options); }; });
}

}  // namespace gradc::tool
