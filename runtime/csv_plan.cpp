// Which column of a CSV goes where.
#include "runtime/csv_loader.h"
#include "runtime/text.h"
#include "runtime/weights.h"

#include <algorithm>

namespace gradc::rt {

Vec<size_t> CsvLoader::tensors_of(int64_t kind) const {
  Vec<size_t> list;
  for (int64_t i = 0; i < model_.num_tensors; ++i)
    if (model_.tensors[i].kind == kind && !is_sample_weight(model_.tensors[i]))
      list.push(static_cast<size_t>(i));
  return list;
}

// The input whose examples are windows over the rows.
Status CsvLoader::find_series() {
  const Vec<size_t> inputs = tensors_of(GRADC_RT_INPUT);
  for (const size_t input : inputs) {
    const gradc_rt_tensor& tensor = model_.tensors[input];
    if (tensor.data == nullptr || tensor.data->series_stride == 0) continue;
    if (inputs.size() > 1) {
      return error("%s: %s is a series, which is the only input that a table can be read for",
                   path_, tensor.name);
    }
    series_.steps = static_cast<size_t>(tensor.dims[1]);
    series_.stride = static_cast<size_t>(tensor.data->series_stride);
    series_.horizon = static_cast<size_t>(tensor.data->series_horizon);
    also_.resize(header_.size());
  }
  return {};
}

// Rows that a target of the series is long.
size_t CsvLoader::ahead_of(size_t target) const {
  const gradc_rt_tensor& tensor = model_.tensors[target];
  size_t elements = 1;
  for (int64_t d = 1; d < tensor.rank; ++d)
    elements *= static_cast<size_t>(tensor.dims[d]);
  const bool rows = tensor.data != nullptr && tensor.data->one_hot_depth > 0;
  if (rows) elements /= static_cast<size_t>(tensor.data->one_hot_depth);
  const size_t columns = (*meanings_)[target].columns.size();
  return columns > 0 && elements % columns == 0 ? elements / columns : 0;
}

// How many rows the targets reach ahead; predictions are of all rows, the last ones among them.
Status CsvLoader::plan_series() {
  if (series_.steps == 0 || loading_.whole || roles_.targets.empty()) return {};
  for (const size_t target : tensors_of(GRADC_RT_TARGET)) {
    const size_t ahead = ahead_of(target);
    if (ahead == 0) {
      return error("%s: %s %s is no number of rows of %zu columns (target=)", path_,
                   model_.tensors[target].name, tensor_type_text(model_.tensors[target]).c_str(),
                   (*meanings_)[target].columns.size());
    }
    series_.ahead = std::max(series_.ahead, ahead);
  }
  return {};
}

// What came before in a target's column is an input of a series.
bool CsvLoader::is_input_column(size_t column) const {
  if (!roles_.used[column]) return true;
  bool target = false;
  for (const size_t one : roles_.targets)
    target = target || one == column;
  return target && series_.steps > 0;
}

ColumnUse& CsvLoader::use_of(size_t column) {
  const bool second = series_.steps > 0 && uses_[column].use != CellUse::kSkipped;
  return second ? also_[column] : uses_[column];
}

void CsvLoader::add_numbers(size_t tensor, Vec<size_t> columns) {
  for (size_t i = 0; i < columns.size(); ++i)
    use_of(columns[i]) = {CellUse::kNumber, tables_.size(), i};
  NumberTable& table = tables_.push({});
  table.tensor = tensor;
  table.row.resize(columns.size());
  table.columns = static_cast<Vec<size_t>&&>(columns);
}

void CsvLoader::add_classes(size_t tensor, size_t column) {
  use_of(column) = {CellUse::kClass, classes_.size(), 0};
  ClassColumn& classes = classes_.push({});
  classes.tensor = tensor;
  classes.column = column;
}

// Numbers, or the one column of an input of texts.
Status CsvLoader::add_input(size_t tensor, Vec<size_t> columns) {
  const gradc_rt_data* rule = model_.tensors[tensor].data;
  if (rule == nullptr || rule->text_split == GRADC_RT_TEXT_NONE) {
    add_numbers(tensor, static_cast<Vec<size_t>&&>(columns));
    return {};
  }
  if (columns.size() != 1) {
    Vec<Str> names;
    for (const size_t column : columns)
      names.push(header_[column].clone());
    return error("%s: %s takes the texts of one column, here are %s (:drop= leaves a column out)",
                 path_, model_.tensors[tensor].name, shown_list(names).c_str());
  }
  uses_[columns[0]] = {CellUse::kText, texts_.size(), 0};
  texts_.push({tensor, columns[0], TokenTexts(*rule)});
  return {};
}

// Columns of a target, or of one target each, are told apart by their names; a single one is what
// the option says.
Status CsvLoader::order_targets(const Vec<size_t>& targets) {
  Vec<Str> seen;
  Vec<Str> wanted;
  for (size_t column : roles_.targets)
    seen.push(header_[column].clone());
  for (size_t target : targets) {
    if (known_ == nullptr) continue;
    for (const Str& name : (*known_)[target].columns)
      wanted.push(name.clone());
  }
  if (wanted.size() < 2) return {};
  Vec<size_t> places;
  GRADC_RT_TRY(match_all(path_, "target columns", "", seen, wanted, &places));
  for (size_t& place : places)
    place = roles_.targets[place];
  roles_.targets = static_cast<Vec<size_t>&&>(places);
  return {};
}

// A column that a target was trained from is no feature, also where no target is asked for.
bool CsvLoader::is_known_target(const Str& name) const {
  bool target = false;
  for (size_t i = 0; known_ != nullptr && i < known_->size(); ++i) {
    for (const Str& column : (*known_)[i].columns) {
      if (!(column == name)) continue;
      if (model_.tensors[i].kind == GRADC_RT_INPUT) return false;
      target = true;
    }
  }
  return target;
}

Status CsvLoader::plan_targets() {
  const Vec<size_t> targets = tensors_of(GRADC_RT_TARGET);
  if (roles_.targets.empty()) return {};
  const bool one_each = targets.size() == roles_.targets.size() && targets.size() > 1;
  if (targets.size() != 1 && !one_each) {
    return error("%s: target= names %zu columns, the model has %zu targets", path_,
                 roles_.targets.size(), targets.size());
  }
  GRADC_RT_TRY(order_targets(targets));
  for (size_t t = 0; t < targets.size(); ++t) {
    const bool single = one_each || roles_.targets.size() == 1;
    for (size_t c = one_each ? t : 0; c < (one_each ? t + 1 : roles_.targets.size()); ++c)
      (*meanings_)[targets[t]].columns.push(header_[roles_.targets[c]].clone());
    if (single && takes_classes(model_.tensors[targets[t]])) {
      add_classes(targets[t], roles_.targets[t]);
    } else if (single) {
      Vec<size_t> one;
      one.push(roles_.targets[t]);
      add_numbers(targets[t], static_cast<Vec<size_t>&&>(one));
    } else {
      add_numbers(targets[t], roles_.targets.clone());
    }
  }
  return {};
}

Status CsvLoader::plan_weights() {
  if (roles_.weights.empty()) return {};
  for (int64_t i = 0; i < model_.num_tensors; ++i) {
    if (!is_sample_weight(model_.tensors[i])) continue;
    const size_t tensor = static_cast<size_t>(i);
    (*meanings_)[tensor].columns.push(header_[roles_.weights[0]].clone());
    add_numbers(tensor, roles_.weights.clone());
    return {};
  }
  return error(
      "%s: weight=%s: the model's examples have no weights (\"sample_weight\": true in its "
      "\"training\" gives them some)",
      path_, shown(header_[roles_.weights[0]]).c_str());
}

// All columns that are left.
Status CsvLoader::plan_rest(size_t input) {
  Vec<size_t> features;
  Vec<Str> names;
  for (size_t c = 0; c < header_.size(); ++c) {
    if (!is_input_column(c) || is_known_target(header_[c])) continue;
    features.push(c);
    names.push(header_[c].clone());
  }
  if (features.empty()) {
    return error("%s: no column is left for %s: all are named by target=, weight= or drop=", path_,
                 model_.tensors[input].name);
  }
  const Vec<Str>* trained = known_ != nullptr ? &(*known_)[input].columns : nullptr;
  if (trained != nullptr && !trained->empty()) {  // in the order that the model was trained with
    Vec<size_t> places;
    GRADC_RT_TRY(match_all(path_, "feature columns", " (:drop= leaves a column out)", names,
                           *trained, &places));
    for (size_t& place : places)
      place = features[place];
    features = static_cast<Vec<size_t>&&>(places);
    names = trained->clone();
  }
  (*meanings_)[input].columns = static_cast<Vec<Str>&&>(names);
  return add_input(input, static_cast<Vec<size_t>&&>(features));
}

// One of several inputs: the column of its name.
Status CsvLoader::plan_named(size_t input) {
  const char* name = short_name(model_.tensors[input]);
  size_t column = 0;
  while (column < header_.size() && !(header_[column] == name))
    ++column;
  if (column == header_.size()) {
    return error("%s: no column for input \"%s\", the header has %s", path_, name,
                 shown_list(header_).c_str());
  }
  if (roles_.used[column]) {
    return error("%s: column \"%s\" is an input, and named by target=, weight= or drop=", path_,
                 name);
  }
  Vec<size_t> one;
  one.push(column);
  return add_input(input, static_cast<Vec<size_t>&&>(one));
}

// The data rule of an input that says which columns it takes.
const gradc_rt_data* CsvLoader::column_rule(size_t input) const {
  const gradc_rt_data* rule = model_.tensors[input].data;
  return rule != nullptr && rule->num_columns > 0 ? rule : nullptr;
}

Status CsvLoader::plan_rule(size_t input) {
  const gradc_rt_data& rule = *column_rule(input);
  Status problems;
  Vec<Str> names;
  Vec<size_t> columns;
  Vec<Str> missing;
  for (int64_t i = 0; i < rule.num_columns; ++i) {
    names.push(Str(rule.columns[i].name));
    size_t c = 0;
    while (c < header_.size() && !(header_[c] == names.back()))
      ++c;
    columns.push(c);
    if (c == header_.size()) {
      missing.push(names.back().clone());
    } else if (!is_input_column(c) || (series_.steps == 0 && uses_[c].use != CellUse::kSkipped)) {
      add_problem(
          problems, "%s: column \"%s\" is one of %s, and %s", path_, shown(names.back()).c_str(),
          model_.tensors[input].name,
          !is_input_column(c) ? "named by target=, weight= or drop=" : "of another input too");
    }
  }
  if (!missing.empty()) {
    add_problem(problems, "%s: has no %s, which %s takes; the file has %s", path_,
                shown_list(missing).c_str(), model_.tensors[input].name,
                shown_list(header_).c_str());
  }
  const Vec<Str>* trained = known_ != nullptr ? &(*known_)[input].columns : nullptr;
  Vec<size_t> places;
  if (trained != nullptr && !trained->empty()) {
    const Status one =
        match_all(path_, "columns of the model's rule", "", names, *trained, &places);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  if (!problems.ok()) return problems;
  (*meanings_)[input].columns = static_cast<Vec<Str>&&>(names);
  if (rule.text_split != GRADC_RT_TEXT_NONE)
    return add_input(input, static_cast<Vec<size_t>&&>(columns));
  for (size_t i = 0; i < columns.size(); ++i)
    use_of(columns[i]) = {CellUse::kFeature, features_.size(), i};
  const bool integers = !is_float(static_cast<Dtype>(model_.tensors[input].dtype));
  FeatureTable& table = features_.push({input, FeatureRows(rule, integers), {}, {}});
  table.row.resize(table.rule.width());
  return {};
}

// The column of files is the only input's, or the one's that is called as the column is.
bool CsvLoader::takes_files(size_t input) const {
  if (roles_.files.empty()) return false;
  return tensors_of(GRADC_RT_INPUT).size() == 1 ||
         header_[roles_.files[0]] == short_name(model_.tensors[input]);
}

Status CsvLoader::plan_files(size_t input) {
  if (loading_.files == nullptr) {
    return error("%s: files=: images and recordings are read by the gradc command, not here",
                 path_);
  }
  if (series_.steps > 0)
    return error("%s: files=: %s is a series", path_, model_.tensors[input].name);
  uses_[roles_.files[0]] = {CellUse::kFile, files_.size(), 0};
  files_.push({input, roles_.files[0], {}});
  return {};
}

Status CsvLoader::plan_inputs() {
  const Vec<size_t> inputs = tensors_of(GRADC_RT_INPUT);
  Status problems;
  for (const size_t input : inputs) {
    const Status one = takes_files(input)              ? plan_files(input)
                       : column_rule(input) != nullptr ? plan_rule(input)
                       : inputs.size() == 1            ? plan_rest(input)
                                                       : plan_named(input);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  if (problems.ok() && !roles_.files.empty() && files_.empty())
    add_problem(problems, "%s: files=%s: no input is called so", path_,
                shown(header_[roles_.files[0]]).c_str());
  return problems;
}

}  // namespace gradc::rt
