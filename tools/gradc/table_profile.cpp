#include "tools/gradc/table_profile.h"

#include "driver/runtime_status.h"
#include "runtime/csv_options.h"
#include "runtime/dataset.h"
#include "runtime/text.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace gradc::tool {
namespace {

/// Counts of a column while its cells come by.
class ColumnCounts {
 public:
  void add(rt::CsvField cell, size_t line) {
    double value = 0;
    if (cell.size == 0) ++profile_.empty;
    if (cell.size > 0 && !profile_.more) profile_.more = texts_.number(cell, line) >= kLast;
    if (rt::csv_is_missing(cell)) {
      ++profile_.missing;
      profile_.counts_rows = false;
      return;
    }
    if (!rt::csv_number(cell, &value) || !std::isfinite(value)) {
      ++profile_.texts;
      return;
    }
    const bool first = profile_.numbers++ == 0;
    if (first) profile_.low = profile_.high = origin_ = value;
    profile_.counts_rows = profile_.counts_rows && (first || value == last_ + 1);
    profile_.whole = profile_.whole && value == std::floor(value);
    profile_.low = std::min(profile_.low, value);
    profile_.high = std::max(profile_.high, value);
    sum_ += value - origin_;
    squares_ += (value - origin_) * (value - origin_);
    last_ = value;
  }

  ColumnProfile finish(const rt::Str& name) {
    profile_.name.assign(name.c_str(), name.size());
    for (const rt::Str& text : texts_.texts())
      profile_.distinct.emplace_back(text.c_str(), text.size());
    std::sort(profile_.distinct.begin(), profile_.distinct.end());
    if (profile_.numbers > 0) {
      const double count = static_cast<double>(profile_.numbers);
      const double mean = sum_ / count;
      profile_.mean = origin_ + mean;
      profile_.deviation = std::sqrt(std::max(squares_ / count - mean * mean, 0.0));
    }
    return std::move(profile_);
  }

 private:
  static constexpr auto kLast = static_cast<int32_t>(kMostDistinct) - 1;

  ColumnProfile profile_;
  rt::CsvTexts texts_;
  double origin_ = 0, last_ = 0, sum_ = 0, squares_ = 0;
};

rt::Status read_table(const char* path, const rt::CsvOptions& options, TableProfile& table) {
  rt::ByteStream bytes;
  GRADC_RT_TRY(bytes.open(path));
  rt::CsvReader reader(bytes, path, options.separator, options.quotes);
  bool more = true;
  for (int64_t i = 0; i <= options.skip && more; ++i)
    GRADC_RT_TRY(reader.next(&more));
  if (!more) return rt::error("%s: the table has no header", path);
  rt::Vec<rt::Str> header;
  rt::CsvRoles roles;
  GRADC_RT_TRY(rt::read_csv_header(path, reader, options, &header));
  GRADC_RT_TRY(rt::assign_csv_roles(path, options, header, &roles));
  std::vector<ColumnCounts> counts(header.size());
  if (options.header != rt::CsvHeader::kNone) GRADC_RT_TRY(reader.next(&more));
  for (; more; ++table.rows) {
    if (reader.fields().size() != header.size()) {
      return rt::error("%s:%zu: the row has %zu fields, the header has %zu", path, reader.line(),
                       reader.fields().size(), header.size());
    }
    for (size_t c = 0; c < counts.size(); ++c)
      counts[c].add(rt::csv_trimmed(reader.fields()[c]), reader.line());
    GRADC_RT_TRY(reader.next(&more));
  }
  if (table.rows == 0) return rt::error("%s: the table has a header and no rows", path);
  for (size_t c = 0; c < counts.size(); ++c)
    table.columns.push_back(counts[c].finish(header[c]));
  table.targets.assign(roles.targets.begin(), roles.targets.end());
  for (size_t c = 0; c < header.size(); ++c)
    table.dropped.push_back(roles.used[c]);
  return {};
}

}  // namespace

Result<TableProfile> profile_table(const std::string& spec) {
  rt::Str path, text;
  if (!rt::is_table_spec(rt::Str(spec.c_str()), &path, &text)) {
    return make_error(DiagKind::kInvalidData, {},
                      "\"{}\" is no table, FILE.csv or FILE.tsv was "
                      "expected",
                      spec);
  }
  rt::CsvOptions options;
  GRADC_TRY_STATUS(from_runtime(rt::parse_csv_options(path.c_str(), text.c_str(), &options)));
  TableProfile table;
  table.splits = options.split.any();
  GRADC_TRY_STATUS(from_runtime(read_table(path.c_str(), options, table)));
  return table;
}

}  // namespace gradc::tool
