// Dates and times of a table's cells: read by a format or as ISO 8601, taken apart into numbers.
#pragma once

#include "runtime/csv.h"
#include "runtime/model_abi.h"

namespace gradc::rt {

/// Reads a whole, trimmed cell as seconds since the beginning of 1970 on the clock that it shows:
/// an offset from UTC is read and left out. `format` is as strptime's: %Y %y %m %b %B %d %H %I %p
/// %M %S %f %z %a %A %F %T %%, a space is any number of spaces; numbers may lack zeros in front.
/// NULL: ISO 8601, 2020-12-31 or 20201231, with T or a space and 23:59, 23:59:59 or 23:59:59.5
/// behind, and Z or an offset. Parts that are not there are those of 1970-01-01 00:00. False: it is
/// none, or a day that no calendar has.
bool read_date(CsvField cell, const char* format, double* seconds);

/// The n-th part of a column of dates, GRADC_RT_DATE_...; 0: it has no more.
inline int64_t date_part(const gradc_rt_column& column, size_t n) {
  return n < 16 ? (column.date_parts >> (4 * n)) & 15 : 0;
}
/// Values that a column of dates becomes.
size_t date_values(const gradc_rt_column& column);

/// Writes them, of a moment in seconds since 1970.
void split_date(const gradc_rt_column& column, double seconds, double* out);

}  // namespace gradc::rt
