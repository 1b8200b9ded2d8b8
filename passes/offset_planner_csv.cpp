// Every line is read, so that all bad ones are reported at once.
#include "passes/offset_planner_csv.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_set>

namespace gradc {
namespace {

enum Column : size_t { kId, kLower, kUpper, kSize, kOffset };
constexpr std::array<std::string_view, 5> kColumnNames = {"id", "lower", "upper", "size", "offset"};
constexpr size_t kNoColumn = SIZE_MAX;
constexpr size_t kMaxReported = 20;

struct Line {
  std::vector<std::string_view> fields;
  size_t number = 0;
  size_t begin = 0, end = 0;  ///< bytes in the text
};

std::string_view trim(std::string_view s) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!s.empty() && blank(s.front()))
    s.remove_prefix(1);
  while (!s.empty() && blank(s.back()))
    s.remove_suffix(1);
  return s;
}

/// Lines that are not blank, split at commas.
std::vector<Line> split_lines(std::string_view text) {
  std::vector<Line> lines;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t newline = std::min(text.find('\n', begin), text.size());
    std::string_view rest = text.substr(begin, newline - begin);
    ++number;
    if (!trim(rest).empty()) {
      Line line{{}, number, begin, newline};
      for (size_t comma = rest.find(','); comma != std::string_view::npos; comma = rest.find(',')) {
        line.fields.push_back(trim(rest.substr(0, comma)));
        rest.remove_prefix(comma + 1);
      }
      line.fields.push_back(trim(rest));
      lines.push_back(std::move(line));
    }
    begin = newline + 1;
  }
  return lines;
}

class CsvReader {
 public:
  explicit CsvReader(const std::string& file) : file_(file) {}

  Result<std::vector<BufferSpec>> read(std::string_view text) {
    const std::vector<Line> lines = split_lines(text);
    if (lines.empty()) {
      Place place;
      place.file = file_;
      return make_error(DiagKind::kInvalidBuffers, std::move(place),
                        "the file is empty; it begins with the header id,lower,upper,size");
    }
    read_header(lines.front());
    std::vector<BufferSpec> buffers;
    for (size_t i = 1; i < lines.size() && header_read_; ++i) {
      read_buffer(lines[i], buffers);
      if (sink_.all().size() >= kMaxReported) break;
    }
    if (sink_.has_errors()) return Failure(sink_.take());
    return buffers;
  }

 private:
  Place at(const Line& line) const {
    Place place;
    place.file = file_;
    place.byte_begin = line.begin;
    place.byte_end = line.end;
    return place;
  }

  void read_header(const Line& line) {
    column_.fill(kNoColumn);
    for (size_t i = 0; i < line.fields.size(); ++i) {
      const auto found = std::find(kColumnNames.begin(), kColumnNames.end(), line.fields[i]);
      if (found == kColumnNames.end()) continue;
      size_t& column = column_[static_cast<size_t>(found - kColumnNames.begin())];
      if (column != kNoColumn)
        sink_.error(DiagKind::kInvalidBuffers, at(line), "the header names \"{}\" twice", *found);
      column = i;
    }
    for (size_t c = kId; c <= kSize; ++c) {
      if (column_[c] != kNoColumn) continue;
      sink_.error(DiagKind::kInvalidBuffers, at(line),
                  "the header has no column \"{}\"; it begins with id,lower,upper,size",
                  kColumnNames[c]);
    }
    header_fields_ = line.fields.size();
    header_read_ = !sink_.has_errors();
  }

  bool number(const Line& line, Column column, int64_t& out) {
    const std::string_view text = line.fields[column_[column]];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error == std::errc() && end == text.data() + text.size()) return true;
    sink_.error(DiagKind::kInvalidBuffers, at(line), "line {}: {} \"{}\" is not a 64-bit integer",
                line.number, kColumnNames[column], text);
    return false;
  }

  void read_buffer(const Line& line, std::vector<BufferSpec>& buffers) {
    if (line.fields.size() != header_fields_) {
      sink_.error(DiagKind::kInvalidBuffers, at(line), "line {} has {} fields, the header {}",
                  line.number, line.fields.size(), header_fields_);
      return;
    }
    BufferSpec b;
    b.name = std::string(line.fields[column_[kId]]);
    b.alignment = 1;
    int64_t upper = 0;
    if (!number(line, kLower, b.first) || !number(line, kUpper, upper) ||
        !number(line, kSize, b.bytes)) {
      return;
    }
    if (b.first >= upper || b.bytes < 0) {
      sink_.error(DiagKind::kInvalidBuffers, at(line),
                  "line {}: lower {}, upper {}, size {}: lower is below upper and sizes are not "
                  "negative",
                  line.number, b.first, upper, b.bytes);
      return;
    }
    b.last = upper - 1;
    if (column_[kOffset] != kNoColumn && !line.fields[column_[kOffset]].empty()) {
      int64_t offset = 0;
      if (!number(line, kOffset, offset)) return;
      if (offset >= 0) b.fixed = offset;
    }
    if (b.name.empty() || !names_.insert(b.name).second) {
      sink_.error(DiagKind::kInvalidBuffers, at(line), "line {}: id \"{}\" is {}", line.number,
                  b.name, b.name.empty() ? "empty" : "used twice");
      return;
    }
    buffers.push_back(std::move(b));
  }

  std::string file_;
  DiagnosticSink sink_;
  std::array<size_t, 5> column_{};
  size_t header_fields_ = 0;
  bool header_read_ = false;
  std::unordered_set<std::string> names_;
};

}  // namespace

Result<std::vector<BufferSpec>> parse_buffers_csv(std::string_view text, const std::string& file) {
  return CsvReader(file).read(text);
}

std::string print_buffers_csv(std::span<const BufferSpec> buffers,
                              std::span<const int64_t> offsets) {
  std::string out = "id,lower,upper,size,offset\n";
  for (size_t i = 0; i < buffers.size(); ++i) {
    const BufferSpec& b = buffers[i];
    out += fmt::format("{},{},{},{},{}\n", b.name, b.first, b.last + 1, b.bytes, offsets[i]);
  }
  return out;
}

}  // namespace gradc
