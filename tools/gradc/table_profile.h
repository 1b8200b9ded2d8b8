// What a table's columns hold: the file is read once, nothing but counts is kept of it.
#pragma once

#include "support/result.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace gradc::tool {

/// How all cells of a column are written, if they are dates.
struct DateProfile {
  std::string format;        ///< of strptime; empty: ISO 8601
  std::string other;         ///< that all of them fit too
  double low = 0, high = 0;  ///< seconds since 1970
  bool clock = false;        ///< there is a time of day
};

struct ColumnProfile {
  std::string name;
  size_t empty = 0;    ///< cells
  size_t missing = 0;  ///< these, and "NA" and the like, which stand for no number
  size_t numbers = 0;
  size_t texts = 0;
  std::vector<std::string> distinct;  ///< what there is, in byte order; kMostDistinct at most
  std::vector<size_t> counts;         ///< cells of each
  bool more = false;                  ///< there are more
  bool whole = true;                  ///< all numbers are whole
  bool counts_rows = true;            ///< each number is one above that of the row before
  double low = 0, high = 0;
  double mean = 0, deviation = 0;
  std::optional<DateProfile> dates = {};

  bool is_numbers() const { return texts == 0 && numbers > 0; }
  bool is_constant() const { return !more && distinct.size() < 2; }
};

struct TableProfile {
  std::vector<ColumnProfile> columns;
  std::vector<size_t> targets;
  std::vector<bool> dropped;
  size_t rows = 0;
  bool splits = false;  ///< the SPEC says which rows are held out
};

inline constexpr size_t kMostDistinct = 1000;

/// Reads the table that a SPEC ("FILE.csv:target=COLUMN") names.
Result<TableProfile> profile_table(const std::string& spec);

}  // namespace gradc::tool
