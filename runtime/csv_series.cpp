#include "runtime/csv_series.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {

Status split_series(const char* path, const SeriesWindows& windows, const CsvSplit& split,
                    size_t rows, SeriesPart parts[3], size_t* trained) {
  if (split.folds > 0) {
    return error("%s: fold= draws rows, a series is split in the order of its rows (test=)", path);
  }
  const size_t count = windows.count(rows);
  if (count == 0) {
    return error("%s: has %zu rows, one example of the series needs %zu", path, rows,
                 windows.span());
  }
  const auto rows_of = [&](double fraction) {
    return static_cast<size_t>(std::floor(static_cast<double>(rows) * fraction + 0.5));
  };
  const size_t test = rows - rows_of(split.test);
  const size_t validation = test - std::min(test, rows_of(split.validation));
  *trained = validation;
  const size_t begin[] = {0, validation, test};
  const size_t end[] = {validation, test, rows};
  const bool wanted[] = {true, split.validation > 0, split.test > 0};
  static constexpr const char* kNames[] = {"training", "validation", "test"};
  for (size_t p = 0; p < 3; ++p) {
    parts[p] = {};
    for (size_t i = 0; i < count && wanted[p]; ++i) {
      const size_t first = p == 0 ? i * windows.stride : windows.first_target(i);
      const size_t last = i * windows.stride + windows.span();
      if (first < begin[p] || last > end[p]) continue;
      if (parts[p].count++ == 0) parts[p].first = i;
    }
    if (wanted[p] && parts[p].count == 0) {
      return error("%s: the %s part has %zu of %zu rows, too few for one example of the series",
                   path, kNames[p], end[p] - begin[p], rows);
    }
  }
  return {};
}

Array series_array(const SeriesWindows& windows, const SeriesPart& part, const Array& rows,
                   bool target, Span<const int64_t> dims) {
  Array array;
  array.name = rows.name.clone();
  array.source = rows.source.clone();
  array.dtype = rows.dtype;
  const size_t width = rows.row_elements();
  array.dims.push(static_cast<int64_t>(part.count));
  array.dims.append(dims.data(), dims.size());
  array.row_step = windows.stride * width;
  const size_t first = target ? windows.first_target(part.first) : part.first * windows.stride;
  const size_t bytes = dtype_bytes(rows.dtype);
  array.data.append(rows.data.data() + first * width * bytes, array.stored(part.count) * bytes);
  return array;
}

}  // namespace gradc::rt
