// CSV with quoted fields: a table of text cells, and columns as numbers or class ids.
#pragma once

#include "runtime/array.h"

namespace gradc::rt {

struct CsvTable {
  Str path;
  Vec<Str> header;
  Vec<Vec<Str>> rows;
  Vec<size_t> lines;  // the file's line on which each row begins

  int64_t column(const char* name) const;
};

/// RFC 4180: commas, quotes doubled inside quotes, CRLF or LF. Every row must have as many fields
/// as the header. Blank lines are skipped.
Status parse_csv(const Bytes& bytes, const char* path, CsvTable* out);

/// One column as f64 [rows]; empty or non-numeric cells are errors that name line and column.
Status numeric_column(const CsvTable& table, size_t column, Vec<double>* out);
/// One column as class ids i32 [rows]: integers are taken as they are; otherwise the distinct
/// texts, sorted, are numbered from 0 and returned in `classes`. With `known` names (not empty) the
/// texts are numbered as they are there.
Status class_column(const CsvTable& table, size_t column, const Vec<Str>* known, Array* out,
                    Vec<Str>* classes);

}  // namespace gradc::rt
