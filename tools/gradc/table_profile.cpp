#include "tools/gradc/table_profile.h"

#include "driver/runtime_status.h"
#include "runtime/csv_options.h"
#include "runtime/dataset.h"
#include "runtime/dates.h"
#include "runtime/text.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace gradc::tool {
namespace {

/// The ways to write a date that a column's cells have all kept to so far.
class DateGuess {
 public:
  void add(rt::CsvField cell) {
    if (!any_ && first_) start();
    first_ = false;
    if (!any_) return;
    std::erase_if(found_, [&](DateProfile& one) {
      double seconds = 0;
      if (!rt::read_date(cell, one.format.empty() ? nullptr : one.format.c_str(), &seconds))
        return true;
      one.low = count_ == 0 ? seconds : std::min(one.low, seconds);
      one.high = count_ == 0 ? seconds : std::max(one.high, seconds);
      one.clock = one.clock || std::fmod(seconds, 86400.0) != 0;
      return false;
    });
    ++count_;
    any_ = !found_.empty();
  }

  std::optional<DateProfile> best() const {
    if (!any_) return std::nullopt;
    DateProfile best = found_.front();
    for (const DateProfile& one : found_)
      if (best.other.empty() && (one.low != best.low || one.high != best.high))
        best.other = one.format;
    return best;
  }

 private:
  void start() {
    found_.emplace_back();
    for (const char* day :
         {"%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y",
          "%d/%m/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%b %d %Y"}) {
      for (const char* clock : {"", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p"}) {
        found_.emplace_back();
        found_.back().format = std::string(day) + clock;
      }
    }
    any_ = true;
  }

  std::vector<DateProfile> found_;
  size_t count_ = 0;
  bool first_ = true, any_ = false;
};

/// Counts of a column while its cells come by.
class ColumnCounts {
 public:
  void add(rt::CsvField cell, size_t line) {
    double value = 0;
    if (cell.size == 0) ++profile_.empty;
    if (cell.size > 0 && !profile_.more) count(texts_.number(cell, line));
    if (rt::csv_is_missing(cell)) {
      ++profile_.missing;
      profile_.counts_rows = false;
      return;
    }
    if (!rt::csv_number(cell, &value) || !std::isfinite(value)) {
      ++profile_.texts;
      dates_.add(cell);
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
    std::vector<std::pair<std::string, size_t>> met;
    for (size_t i = 0; i < counts_.size(); ++i)
      met.emplace_back(std::string(texts_.texts()[i].c_str(), texts_.texts()[i].size()),
                       counts_[i]);
    std::sort(met.begin(), met.end());
    for (auto& [text, count] : met) {
      profile_.distinct.push_back(std::move(text));
      profile_.counts.push_back(count);
    }
    if (profile_.numbers > 0) {
      const double count = static_cast<double>(profile_.numbers);
      const double mean = sum_ / count;
      profile_.mean = origin_ + mean;
      profile_.deviation = std::sqrt(std::max(squares_ / count - mean * mean, 0.0));
    }
    if (profile_.numbers == 0) profile_.dates = dates_.best();
    return std::move(profile_);
  }

 private:
  static constexpr auto kLast = static_cast<int32_t>(kMostDistinct) - 1;

  void count(int32_t text) {
    profile_.more = text >= kLast;
    counts_.resize(std::max(counts_.size(), static_cast<size_t>(text) + 1));
    ++counts_[static_cast<size_t>(text)];
  }

  ColumnProfile profile_;
  DateGuess dates_;
  rt::CsvTexts texts_;
  std::vector<size_t> counts_;
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
