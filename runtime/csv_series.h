// Windows over the rows of a table: which of its rows make an example of a series, and which part
// of the data the example is of.
#pragma once

#include "runtime/array.h"
#include "runtime/csv_split.h"

namespace gradc::rt {

/// Example i has the `steps` rows from i * stride on; its target begins `horizon` rows behind the
/// last of them and is `ahead` rows long.
struct SeriesWindows {
  size_t steps = 0;
  size_t stride = 1;
  size_t horizon = 1;
  size_t ahead = 0;  // the longest of the targets; 0: no target is asked for

  /// Rows that one example needs, target included.
  size_t span() const { return steps + (ahead > 0 ? horizon - 1 + ahead : 0); }
  size_t count(size_t rows) const { return rows < span() ? 0 : (rows - span()) / stride + 1; }
  size_t first_target(size_t i) const { return i * stride + steps - 1 + horizon; }
};

/// A run of examples.
struct SeriesPart {
  size_t first = 0;
  size_t count = 0;
};

/// The first rows are trained on, then come those of validation and of test: an example is of the
/// part that all of its target lies in, and those of training have all their rows there. parts[] is
/// in the order of RowPart; *trained gets the number of rows of the training part. An empty part is
/// an error.
Status split_series(const char* path, const SeriesWindows& windows, const CsvSplit& split,
                    size_t rows, SeriesPart parts[3], size_t* trained);

/// The examples of a part, overlapping as they lie, of `rows` rows of a table; dims are those of an
/// example.
Array series_array(const SeriesWindows& windows, const SeriesPart& part, const Array& rows,
                   bool target, Span<const int64_t> dims);

}  // namespace gradc::rt
