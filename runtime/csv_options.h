// What follows the file name of a CSV, "target=a,b:drop=c:sep=;:header=none", and what it and the
// header make of each column.
#pragma once

#include "runtime/csv.h"
#include "runtime/csv_split.h"

namespace gradc::rt {

enum class CsvHeader { kChecked, kFirstRow, kNone };

struct CsvOptions {
  char separator = ',';
  bool has_separator = false;
  bool quotes = true;  // a field may be quoted
  CsvHeader header = CsvHeader::kChecked;
  int64_t skip = 0;  // rows before the header
  CsvSplit split;
  Vec<Str> targets;
  Vec<Str> dropped;
  Vec<Str> weights;     // at most one, as of those below
  Vec<Str> files;       // holds the names of files, one example each
  Vec<Str> parts;       // says of each row which part it is of
  Str validation_file;  // tables that are those parts
  Str test_file;

  bool has_validation() const { return split.validation > 0 || !validation_file.empty(); }
};

Status parse_csv_options(const char* path, const char* text, CsvOptions* out);

/// The names of the columns from the first record: those that are missing, repeated, not UTF-8 or
/// evidently data are told together. With `header=none` they are "1", "2", ...
Status read_csv_header(const char* path, const CsvReader& reader, const CsvOptions& options,
                       Vec<Str>* names);

/// Which columns are targets, in the order of the option, which hold something else, and which are
/// left out.
struct CsvRoles {
  Vec<size_t> targets;
  Vec<size_t> weights;
  Vec<size_t> files;
  Vec<size_t> parts;
  Vec<bool> used;  // for each column: named by an option
};

/// Unknown names, names said twice, and columns that are two things, all at once.
Status assign_csv_roles(const char* path, const CsvOptions& options, const Vec<Str>& header,
                        CsvRoles* out);

}  // namespace gradc::rt
