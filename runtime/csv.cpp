// CSV reading.
#include "runtime/csv.h"

#include "runtime/number.h"
#include "runtime/meaning.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

// Reads one record from *at; false at the end of the text. *unclosed tells of a quote without an
// end.
bool read_record(const char* text, size_t size, size_t* at, size_t* line, Vec<Str>* fields,
                 bool* unclosed) {
  fields->clear();
  if (*at >= size) return false;
  Str field;
  bool quoted = false;
  bool was_quoted = false;
  while (true) {
    const bool end = *at >= size;
    const char c = end ? '\n' : text[*at];
    if (end && quoted) {
      *unclosed = true;
      return true;
    }
    ++*at;
    if (!end && c == '\n') ++*line;
    if (quoted) {
      if (c != '"') {
        field.push(c);
      } else if (*at < size && text[*at] == '"') {
        field.push('"');
        ++*at;
      } else {
        quoted = false;
      }
    } else if (c == '"' && field.empty() && !was_quoted) {
      quoted = was_quoted = true;
    } else if (c == ',' || c == '\n') {
      fields->push(static_cast<Str&&>(field));
      field = Str();
      was_quoted = false;
      if (c == '\n') return true;
    } else if (c != '\r' || (*at < size && text[*at] != '\n')) {
      field.push(c);
    }
  }
}

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

// The whole cell, spaces around it allowed, as a number.
bool to_number(const Str& cell, double* out) {
  const char* begin = cell.c_str();
  const char* end = begin + cell.size();
  while (begin < end && is_space(*begin))
    ++begin;
  while (begin < end && is_space(end[-1]))
    --end;
  return parse_double(begin, end, out);
}

bool to_integer(const Str& cell, int64_t* out) {
  double value = 0;
  if (!to_number(cell, &value) || value != static_cast<double>(static_cast<int32_t>(value))) {
    return false;
  }
  *out = static_cast<int64_t>(value);
  return true;
}

}  // namespace

int64_t CsvTable::column(const char* name) const {
  for (size_t i = 0; i < header.size(); ++i) {
    if (header[i] == name) return static_cast<int64_t>(i);
  }
  return -1;
}

Status parse_csv(const Bytes& bytes, const char* path, CsvTable* out) {
  out->path = Str(path);
  const char* text = reinterpret_cast<const char*>(bytes.data());
  const size_t size = bytes.size();
  size_t at = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;  // byte-order mark
  size_t line = 1;
  bool unclosed = false;
  Vec<Str> fields;
  while (true) {
    const size_t first_line = line;
    if (!read_record(text, size, &at, &line, &fields, &unclosed)) break;
    if (unclosed) {
      return error("%s:%zu: a quoted field has no closing quote", path, first_line);
    }
    if (fields.size() == 1 && fields[0].empty()) continue;
    if (out->header.empty()) {
      out->header = static_cast<Vec<Str>&&>(fields);
    } else if (fields.size() != out->header.size()) {
      return error("%s:%zu: the row has %zu fields, the header has %zu", path, first_line,
                   fields.size(), out->header.size());
    } else {
      out->rows.push(static_cast<Vec<Str>&&>(fields));
      out->lines.push(first_line);
    }
    fields = Vec<Str>();
  }
  if (out->header.empty()) return error("%s: the CSV file is empty", path);
  if (out->rows.empty()) return error("%s: the CSV file has a header and no rows", path);
  return {};
}

Status numeric_column(const CsvTable& table, size_t column, Vec<double>* out) {
  out->clear();
  out->reserve(table.rows.size());
  for (size_t r = 0; r < table.rows.size(); ++r) {
    double value = 0;
    const Str& cell = table.rows[r][column];
    if (!to_number(cell, &value)) {
      return error("%s:%zu: column \"%s\" %s%s%s, a number was expected", table.path.c_str(),
                   table.lines[r], table.header[column].c_str(),
                   cell.empty() ? "is empty" : "holds \"", cell.c_str(), cell.empty() ? "" : "\"");
    }
    if (!std::isfinite(value)) {
      return error("%s:%zu: column \"%s\" holds \"%s\", a finite number was expected",
                   table.path.c_str(), table.lines[r], table.header[column].c_str(), cell.c_str());
    }
    out->push(value);
  }
  return {};
}

Status class_column(const CsvTable& table, size_t column, const Vec<Str>* known, Array* out,
                    Vec<Str>* classes) {
  const size_t n = table.rows.size();
  out->source = format("%s: %s", table.path.c_str(), table.header[column].c_str());
  out->name = table.header[column].clone();
  out->dtype = Dtype::kI32;
  out->dims.push(static_cast<int64_t>(n));
  out->data.resize(n * sizeof(int32_t));
  const bool named = known != nullptr && !known->empty();
  bool integers = !named;
  for (size_t r = 0; r < n && integers; ++r) {
    int64_t value = 0;
    integers = to_integer(table.rows[r][column], &value);
    if (integers) store_i64(out->data.data(), Dtype::kI32, r, value);
  }
  if (integers) return {};
  // Numbers in every row are not class names: one that is not whole is a mistake.
  size_t fraction = n;
  bool numbers = !named;
  for (size_t r = 0; r < n && numbers; ++r) {
    double value = 0;
    int64_t whole = 0;
    numbers = to_number(table.rows[r][column], &value);
    if (fraction == n && !to_integer(table.rows[r][column], &whole)) fraction = r;
  }
  if (numbers) {
    return error(
        "%s:%zu: column \"%s\" holds \"%s\", a class was expected: a whole number or a name",
        table.path.c_str(), table.lines[fraction], table.header[column].c_str(),
        table.rows[fraction][column].c_str());
  }
  Vec<const char*> names;
  for (const Vec<Str>& row : table.rows) {
    if (row[column].empty()) {
      return error("%s:%zu: column \"%s\" is empty, a class name was expected", table.path.c_str(),
                   table.lines[static_cast<size_t>(&row - table.rows.data())],
                   table.header[column].c_str());
    }
    names.push(row[column].c_str());
  }
  const auto less = [](const char* a, const char* b) { return strcmp(a, b) < 0; };
  std::sort(names.begin(), names.end(), less);
  for (const char* name : names) {
    if (classes->empty() || !(classes->back() == name)) classes->push(Str(name));
  }
  Vec<size_t> places;
  if (named) {
    GRADC_RT_TRY(match_some(out->source.c_str(), "classes", *classes, *known, &places));
  }
  for (size_t r = 0; r < n; ++r) {
    const Str& cell = table.rows[r][column];
    const Str* found =
        std::lower_bound(classes->begin(), classes->end(), cell,
                         [&](const Str& a, const Str& b) { return less(a.c_str(), b.c_str()); });
    const size_t id = static_cast<size_t>(found - classes->begin());
    store_i64(out->data.data(), Dtype::kI32, r, static_cast<int64_t>(named ? places[id] : id));
  }
  if (named) *classes = known->clone();
  return {};
}

}  // namespace gradc::rt
