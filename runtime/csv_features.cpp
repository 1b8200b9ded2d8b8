#include "runtime/csv_features.h"

#include "runtime/dtype.h"
#include "runtime/number.h"
#include "runtime/sorted_names.h"
#include "runtime/text.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

// The middle one, or the mean of the two in the middle. Reorders.
double median_of(Vec<double>& values) {
  const size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + middle, values.end());
  const double upper = values[middle];
  if (values.size() % 2 == 1) return upper;
  const double lower = *std::max_element(values.begin(), values.begin() + middle);
  return lower / 2 + upper / 2;
}

double mean_of(const Vec<double>& values) {
  const double first = values[0];
  double sum = 0;
  for (const double value : values)
    sum += value - first;
  return first + sum / static_cast<double>(values.size());
}

}  // namespace

FeatureRows::FeatureRows(const gradc_rt_data& rule, bool integers) : integers_(integers) {
  for (int64_t i = 0; i < rule.num_columns; ++i) {
    FeatureColumn& column = columns_.push({});
    column.rule = &rule.columns[i];
    column.place = width_;
    width_ += values_of(*column.rule) + static_cast<size_t>(column.rule->flag);
  }
}

size_t column_of_value(const gradc_rt_tensor& input, size_t value) {
  const gradc_rt_data* rule = input.data;
  if (rule == nullptr || rule->num_columns == 0) return value;
  const bool integers = !is_float(static_cast<Dtype>(input.dtype));
  size_t end = 0;
  for (int64_t i = 0; i < rule->num_columns; ++i) {
    end += column_values(rule->columns[i], integers) + static_cast<size_t>(rule->columns[i].flag);
    if (value < end) return static_cast<size_t>(i);
  }
  return value;
}

void FeatureRows::read(size_t index, CsvField field, size_t line, double* row,
                       CsvTrouble* trouble) {
  FeatureColumn& column = columns_[index];
  const gradc_rt_column& rule = *column.rule;
  double* out = row + column.place;
  double* flag = rule.flag != 0 ? out + values_of(rule) : nullptr;
  if (flag != nullptr) *flag = 0;
  const CsvField cell = csv_trimmed(field);
  const bool refused = rule.missing == GRADC_RT_MISSING_REFUSED;
  if (rule.date_parts != 0) {
    read_date_cell(rule, cell, line, out, flag, trouble);
    return;
  }
  if (rule.categories > 0) {
    CsvField name = cell;
    if (cell.size == 0 && refused) {
      trouble->note(line,
                    "is empty, a name was expected (\"missing\": \"TEXT\" in the model's "
                    "rule of the column is what empty cells become)");
      return;
    }
    if (cell.size == 0) {
      name = {rule.fill_text, strlen(rule.fill_text)};
      if (flag != nullptr) *flag = 1;
    }
    *out = column.texts.number(name, line);
    return;
  }
  if (csv_number(cell, out) && std::isfinite(*out)) return;
  const bool missing = csv_is_missing(cell);
  if (missing && !refused) {
    *out = std::nan("");
    if (flag != nullptr) *flag = 1;
    return;
  }
  const Str text = trouble->count == 0 ? shown(field.text, field.size) : Str();
  if (missing) {
    trouble->note(line,
                  "holds \"%s\", a number was expected (\"missing\": \"median\" in the "
                  "model's rule of the column fills it in)",
                  text.c_str());
  } else {
    trouble->note(line, "holds \"%s\", a finite number was expected", text.c_str());
  }
}

// Seconds until all rows are there: a mean or median is one of moments.
void FeatureRows::read_date_cell(const gradc_rt_column& rule, CsvField cell, size_t line,
                                 double* out, double* flag, CsvTrouble* trouble) const {
  if (read_date(cell, rule.date_format, out)) return;
  const bool missing = csv_is_missing(cell);
  if (missing && rule.missing != GRADC_RT_MISSING_REFUSED) {
    *out = std::nan("");
    if (flag != nullptr) *flag = 1;
    return;
  }
  const Str text = trouble->count == 0 ? shown(cell.text, cell.size) : Str();
  if (missing) {
    trouble->note(line,
                  "holds \"%s\", a date was expected (\"missing\": \"median\" in the model's rule "
                  "of the column fills it in)",
                  text.c_str());
  } else if (rule.date_format == nullptr) {
    trouble->note(line,
                  "holds \"%s\", a date as 2020-12-31 or 2020-12-31T23:59 was expected "
                  "(\"format\" in the model's rule of the column says how others are written)",
                  text.c_str());
  } else {
    trouble->note(line, "holds \"%s\", a date as %s was expected (\"format\")", text.c_str(),
                  shown(rule.date_format).c_str());
  }
}

void FeatureRows::split_dates(const FeatureColumn& column, Span<double> values) const {
  for (size_t at = column.place; at < values.size(); at += width_)
    split_date(*column.rule, values[at], values.data() + at);
}

Status FeatureRows::finish_number(const char* path, size_t index, Span<double> values,
                                  const Vec<uint8_t>& trained, const TensorMeaning* known,
                                  Str* fill) const {
  const gradc_rt_column& rule = *columns_[index].rule;
  double* column = values.data() + columns_[index].place;
  const size_t rows = values.size() / width_;
  double value = rule.fill;
  if (known != nullptr && known->fill.size() == columns_.size()) {
    if (!parse_double(known->fill[index].c_str(), &value) || !std::isfinite(value)) {
      return error("%s: the weights say no finite number for missing cells of column \"%s\"", path,
                   shown(rule.name).c_str());
    }
  } else if (rule.missing != GRADC_RT_MISSING_GIVEN) {
    Vec<double> there;
    for (size_t r = 0; r < rows; ++r)
      if (trained[r] != 0 && !std::isnan(column[r * width_])) there.push(column[r * width_]);
    if (there.empty()) {
      return error("%s: column \"%s\" is empty in all rows that are trained on: it has no %s", path,
                   shown(rule.name).c_str(),
                   rule.missing == GRADC_RT_MISSING_MEAN ? "mean" : "median");
    }
    value = rule.missing == GRADC_RT_MISSING_MEAN ? mean_of(there) : median_of(there);
  }
  for (size_t r = 0; r < rows; ++r)
    if (std::isnan(column[r * width_])) column[r * width_] = value;
  *fill = number_text(value);
  return {};
}

// The names among the rows that are trained on, in byte order.
Status FeatureRows::find_table(const char* path, const FeatureColumn& column,
                               Span<const double> values, const Vec<uint8_t>& trained,
                               Vec<Str>* table) const {
  const Vec<Str>& texts = column.texts.texts();
  Vec<uint8_t> met(texts.size());
  for (size_t r = 0; r < trained.size(); ++r)
    if (trained[r] != 0) met[static_cast<size_t>(values[r * width_ + column.place])] = 1;
  for (size_t i = 0; i < texts.size(); ++i)
    if (met[i] != 0) table->push(texts[i].clone());
  sort_names(table);
  const size_t room = static_cast<size_t>(column.rule->categories);
  if (table->size() > room) {
    return error(
        "%s: column \"%s\" has %zu categories (%s), the model's rule has \"categories\": "
        "%zu",
        path, shown(column.rule->name).c_str(), table->size(), shown_list(*table).c_str(), room);
  }
  return {};
}

void FeatureRows::number_rows(const char* path, const FeatureColumn& column, const Vec<Str>& table,
                              Span<double> values, Vec<Str>* unknown) const {
  const Vec<Str>& texts = column.texts.texts();
  CsvTexts known;
  for (const Str& name : table)
    known.number({name.c_str(), name.size()}, 0);
  Vec<size_t> number(texts.size());  // in the table, from 1
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto place = static_cast<size_t>(known.number({texts[i].c_str(), texts[i].size()}, 0));
    if (place < table.size()) number[i] = place + 1;
  }
  const size_t width = values_of(*column.rule);
  size_t untold = 0;
  Vec<uint8_t> met(texts.size());
  for (size_t r = 0; r < values.size() / width_; ++r) {
    double* out = values.data() + r * width_ + column.place;
    const size_t text = static_cast<size_t>(*out);
    *out = 0;
    met[text] = 1;
    if (number[text] == 0) {
      ++untold;
    } else if (integers_) {
      *out = static_cast<double>(number[text]);
    } else {
      std::fill(out, out + width, 0.0);
      out[number[text] - 1] = 1;
    }
  }
  if (untold == 0) return;
  Vec<Str> names;
  for (size_t i = 0; i < texts.size(); ++i)
    if (met[i] != 0 && number[i] == 0) names.push(texts[i].clone());
  unknown->push(
      format("%s: column \"%s\": %zu row%s ha%s %s, which %s not among the rows that were "
             "trained on: %s",
             path, shown(column.rule->name).c_str(), untold, untold == 1 ? "" : "s",
             untold == 1 ? "s" : "ve", shown_list(names).c_str(), names.size() == 1 ? "is" : "are",
             integers_ ? "the number is 0" : "all of its values are 0"));
}

Status FeatureRows::finish(const char* path, Span<double> values, const Vec<uint8_t>& trained,
                           const TensorMeaning* known, TensorMeaning* meaning, Vec<Str>* unknown) {
  Status problems;
  size_t known_at = 0;
  for (size_t c = 0; c < columns_.size(); ++c) {
    FeatureColumn& column = columns_[c];
    const size_t room = static_cast<size_t>(column.rule->categories);
    Str& fill = meaning->fill.push(Str());
    Status one;
    if (room == 0) {
      if (column.rule->missing != GRADC_RT_MISSING_REFUSED)
        one = finish_number(path, c, values, trained, known, &fill);
      // No moment is known for missing cells where something is wrong: there are no parts of none.
      if (!one.ok())
        add_problem(problems, "%s", one.text.c_str());
      else if (column.rule->date_parts != 0)
        split_dates(column, values);
      continue;
    }
    Vec<Str> table;
    if (known != nullptr && known_at + room <= known->categories.size()) {
      for (size_t i = 0; i < room && !known->categories[known_at + i].empty(); ++i)
        table.push(known->categories[known_at + i].clone());
    } else {
      one = find_table(path, column, {values.data(), values.size()}, trained, &table);
    }
    known_at += room;
    if (!one.ok()) {
      add_problem(problems, "%s", one.text.c_str());
      continue;
    }
    number_rows(path, column, table, values, unknown);
    for (size_t i = 0; i < room; ++i)
      meaning->categories.push(i < table.size() ? table[i].clone() : Str());
  }
  return problems;
}

}  // namespace gradc::rt
