// A CSV as arrays of the model's inputs and targets: every cell goes from the record that it is
// read in to its place in an array.
#pragma once

#include "runtime/csv_classes.h"
#include "runtime/csv_features.h"
#include "runtime/csv_options.h"
#include "runtime/csv_series.h"
#include "runtime/dataset.h"
#include "runtime/tokens.h"

namespace gradc::rt {

// Columns side by side as f64 [rows, columns] ([rows] for one).
struct NumberTable {
  size_t tensor = 0;
  Vec<size_t> columns;
  Vec<double> row;
  Bytes values;
};

// What an input's rule makes of its columns, likewise.
struct FeatureTable {
  size_t tensor = 0;
  FeatureRows rule;
  Vec<double> row;
  Bytes values;
};

// A column of texts.
struct TextColumn {
  size_t tensor = 0;
  size_t column = 0;
  TokenTexts texts;
};

// A column of names of files, each of which holds what an input gets.
struct FileColumn {
  size_t tensor = 0;
  size_t column = 0;
  Vec<Str> paths;
};

enum class CellUse : uint8_t { kSkipped, kNumber, kFeature, kClass, kText, kFile, kPart };

// Where the cells of a column go.
struct ColumnUse {
  CellUse use = CellUse::kSkipped;
  size_t table = 0;  // of the number or feature tables, the class or the text columns
  size_t place = 0;
};

class CsvLoader {
 public:
  CsvLoader(const Loading& loading, const char* path)
      : loading_(loading),
        model_(loading.model),
        path_(path),
        known_(loading.known),
        arrays_(loading.arrays),
        meanings_(loading.meanings) {}

  /// With `of_part` the table is all of a part, "val" or "test", of another.
  Status run(const char* options, const char* of_part = nullptr);
  const CsvOptions& options() const { return options_; }

 private:
  Vec<size_t> tensors_of(int64_t kind) const;
  Status order_targets(const Vec<size_t>& targets);
  bool is_known_target(const Str& name) const;
  Status plan_targets();
  Status plan_weights();
  Status plan_inputs();
  Status plan_rest(size_t input);
  Status plan_files(size_t input);
  bool takes_files(size_t input) const;
  Status plan_named(size_t input);
  Status plan_rule(size_t input);
  const gradc_rt_data* column_rule(size_t input) const;
  Status find_series();
  Status plan_series();
  size_t ahead_of(size_t target) const;
  bool is_input_column(size_t column) const;
  ColumnUse& use_of(size_t column);
  void add_numbers(size_t tensor, Vec<size_t> columns);
  void add_classes(size_t tensor, size_t column);
  Status add_input(size_t tensor, Vec<size_t> columns);
  Status read_rows(CsvReader& reader);
  void read_row(const CsvReader& reader);
  void read_cell(const CsvReader& reader, size_t column, const ColumnUse& use);
  void read_number(const CsvReader& reader, size_t column, double* out);
  Status tell_troubles() const;
  Status finish();
  Status draw_rows();
  Status draw_examples(size_t* train);
  void give(size_t tensor, Array array);
  void give_examples(size_t tensor, const Array& rows);
  void give_numbers(size_t tensor, size_t columns, const Str& source, Bytes values);
  Status finish_features(FeatureTable& table);
  void finish_texts(TextColumn& column);
  Status finish_files(FileColumn& column);
  void read_part(const CsvReader& reader, size_t column);

  const Loading& loading_;
  const gradc_rt_model& model_;
  const char* path_;
  const Vec<TensorMeaning>* known_;
  Vec<Array>* arrays_;
  Vec<TensorMeaning>* meanings_;
  CsvOptions options_;
  Vec<Str> header_;
  CsvRoles roles_;
  Vec<ColumnUse> uses_;
  Vec<ColumnUse> also_;  // of a series: what a target's column is besides
  Vec<NumberTable> tables_;
  Vec<FeatureTable> features_;
  Vec<ClassColumn> classes_;
  Vec<TextColumn> texts_;
  Vec<FileColumn> files_;
  Vec<CsvTrouble> troubles_;  // of each column
  CsvTrouble ragged_;
  size_t rows_ = 0;
  SeriesWindows series_;  // steps > 0: examples are windows over the rows
  SeriesPart examples_[3];
  Vec<RowPart> parts_;  // of each row, if the table is split or says so
  const char* of_part_ = nullptr;
  Vec<uint8_t> trained_;  // of each row: what data mean is learned from it
};

}  // namespace gradc::rt
