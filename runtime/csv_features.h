// What the columns of a table become for an input whose rule names them: numbers, with those that
// are missing filled in, the parts of dates, and categories, as rows of 0 and 1 or as numbers.
#pragma once

#include "runtime/csv.h"
#include "runtime/dates.h"
#include "runtime/meaning.h"
#include "runtime/model_abi.h"

namespace gradc::rt {

/// One column of the rule and where its values begin in a row.
struct FeatureColumn {
  const gradc_rt_column* rule = nullptr;
  size_t place = 0;
  CsvTexts texts{};  // categories, as they are met
  size_t fill = 0;   // the text that a missing one is, plus 1; 0: not met
};

/// Values that a column becomes, without the flag.
inline size_t column_values(const gradc_rt_column& rule, bool integers) {
  if (rule.date_parts != 0) return date_values(rule);
  return rule.categories > 0 && !integers ? static_cast<size_t>(rule.categories) : 1;
}

/// The column of the rule that a value of an example is of; without a rule each value has its own.
size_t column_of_value(const gradc_rt_tensor& input, size_t value);

/// Collects rows of values, f64, and makes them whole when all are there.
class FeatureRows {
 public:
  /// `integers`: the input is numbers of categories.
  FeatureRows(const gradc_rt_data& rule, bool integers);

  /// Values of a row.
  size_t width() const { return width_; }
  /// Puts a cell's value into the row; what is wrong with it is noted.
  void read(size_t column, CsvField field, size_t line, double* row, CsvTrouble* trouble);

  /// Replaces what is missing and the texts, in `values`. What stands for them is learned from the
  /// rows marked in `trained`, or taken from `known` if that has it. *unknown tells of rows whose
  /// category has no number.
  Status finish(const char* path, Span<double> values, const Vec<uint8_t>& trained,
                const TensorMeaning* known, TensorMeaning* meaning, Vec<Str>* unknown);

 private:
  void read_date_cell(const gradc_rt_column& rule, CsvField cell, size_t line, double* out,
                      double* flag, CsvTrouble* trouble) const;
  void split_dates(const FeatureColumn& column, Span<double> values) const;
  Status finish_number(const char* path, size_t column, Span<double> values,
                       const Vec<uint8_t>& trained, const TensorMeaning* known, Str* fill) const;
  Status find_table(const char* path, const FeatureColumn& column, Span<const double> values,
                    const Vec<uint8_t>& trained, Vec<Str>* table) const;
  void number_rows(const char* path, const FeatureColumn& column, const Vec<Str>& table,
                   Span<double> values, Vec<Str>* unknown) const;
  size_t values_of(const gradc_rt_column& rule) const { return column_values(rule, integers_); }

  Vec<FeatureColumn> columns_;
  bool integers_;
  size_t width_ = 0;
};

}  // namespace gradc::rt
