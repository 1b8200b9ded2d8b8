// The options and the header of a CSV.
#include "runtime/csv_options.h"

#include "runtime/dataset.h"
#include "runtime/number.h"
#include "runtime/sorted_names.h"
#include "runtime/text.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

constexpr char kSeparators[] = ",;\t| ";

Vec<Str> split(const Str& list) {
  Vec<Str> names;
  size_t first = 0;
  while (first <= list.size()) {
    const char* comma = strchr(list.c_str() + first, ',');
    const size_t last = comma != nullptr ? static_cast<size_t>(comma - list.c_str()) : list.size();
    names.push(list.part(first, last - first));
    first = last + 1;
  }
  return names;
}

bool parse_separator(const Str& text, char* out) {
  *out = text == "tab" ? '\t' : text == "space" ? ' ' : text.size() == 1 ? text[0] : '\0';
  return *out != '\0' && strchr(kSeparators, *out) != nullptr;
}

const char* separator_name(char separator) {
  static constexpr const char* kNames[] = {",", ";", "tab", "|", "space"};
  return kNames[strchr(kSeparators, separator) - kSeparators];
}

// The first row is data and not names if all of it is numbers, or some of it numbers that nobody
// gives to a column ("5.1", "-3").
bool is_data(const CsvReader& reader) {
  size_t numbers = 0;
  bool measured = false;
  for (const CsvField& field : reader.fields()) {
    double value = 0;
    if (!csv_number(field, &value)) continue;
    ++numbers;
    measured = measured || !(value >= 0 && value == std::floor(value));
  }
  return numbers == reader.fields().size() || measured;
}

void check_names(const char* path, size_t line, const Vec<Str>& names, Status& problems) {
  for (size_t i = 0; i < names.size(); ++i) {
    const size_t valid = valid_utf8(names[i].c_str(), names[i].size());
    if (names[i].empty()) {
      add_problem(problems, "%s:%zu: column %zu has no name%s", path, line, i + 1,
                  i == 0 && names.size() > 1                  ? " (is it the index of a table?)"
                  : i + 1 == names.size() && names.size() > 1 ? " (do lines end in a separator?)"
                                                              : "");
    } else if (valid < names[i].size()) {
      add_problem(problems,
                  "%s:%zu: the name of column %zu, \"%s\", is not UTF-8 (byte %zu): save the file "
                  "as \"CSV UTF-8\"",
                  path, line, i + 1, shown(names[i]).c_str(), valid + 1);
    }
  }
  const Vec<size_t> order = sorted_places(names);
  for (size_t i = 1; i < order.size(); ++i) {
    const Str& name = names[order[i]];
    if (name.empty() || !(name == names[order[i - 1]])) continue;
    add_problem(problems, "%s:%zu: columns %zu and %zu are both called \"%s\"", path, line,
                order[i - 1] + 1, order[i] + 1, shown(name).c_str());
  }
}

// Between 0 and 1, both excluded.
bool parse_fraction(const char* text, double* out) {
  return parse_double(text, out) && *out > 0 && *out < 1;
}

// "2/5".
bool parse_fold(const Str& text, CsvSplit* split) {
  const char* slash = strchr(text.c_str(), '/');
  return slash != nullptr && parse_integer(text.c_str(), slash, &split->fold) &&
         parse_integer(slash + 1, &split->folds) && split->folds >= 2 && split->fold >= 1 &&
         split->fold <= split->folds;
}

// What names a number; *known is false for other options.
Status parse_number_option(const char* path, const Str& item, CsvOptions* out, bool* known) {
  const char* equals = strchr(item.c_str(), '=');
  const char* value = equals != nullptr ? equals + 1 : "";
  *known = true;
  if (item.starts_with("skip=")) {
    if (parse_integer(value, &out->skip) && out->skip >= 0) return {};
    return error("%s: %s: a number of rows was expected", path, shown(item).c_str());
  }
  if (item.starts_with("seed=")) {
    if (parse_unsigned(value, &out->split.seed)) return {};
    return error("%s: %s: a whole number was expected", path, shown(item).c_str());
  }
  if (item.starts_with("fold=")) {
    if (parse_fold(Str(value), &out->split)) return {};
    return error("%s: %s: K/N was expected, the K-th of N folds (1/5 to 5/5)", path,
                 shown(item).c_str());
  }
  const bool validation = item.starts_with("validation=");
  *known = validation || item.starts_with("test=");
  if (!*known || parse_fraction(value, validation ? &out->split.validation : &out->split.test))
    return {};
  if (is_table(Str(value))) {
    (validation ? out->validation_file : out->test_file) = Str(value);
    return {};
  }
  return error("%s: %s: a fraction between 0 and 1, or a table (.csv, .tsv), was expected", path,
               shown(item).c_str());
}

// A column that one option names; *known is false for other options.
Status parse_column_option(const char* path, const Str& item, CsvOptions* out, bool* known) {
  struct Option {
    const char* name;
    Vec<Str>* column;
  };
  for (const Option& option :
       {Option{"weight=", &out->weights}, {"files=", &out->files}, {"part=", &out->parts}}) {
    *known = item.starts_with(option.name);
    if (!*known) continue;
    if (!option.column->empty()) return error("%s: %s is given twice", path, option.name);
    const size_t length = strlen(option.name);
    option.column->push(item.part(length, item.size() - length));
    return {};
  }
  return {};
}

Status check_split(const char* path, const CsvOptions& options) {
  const CsvSplit& split = options.split;
  if (split.folds > 0 && (split.test > 0 || !options.test_file.empty())) {
    return error("%s: fold= and test= both say which rows are the test part", path);
  }
  const bool drawn = split.any() || options.has_validation() || !options.test_file.empty();
  if (!options.parts.empty() && drawn) {
    return error("%s: part= says which rows are of which part, and so do validation=, test=, fold=",
                 path);
  }
  const double test = split.folds > 0 ? 1.0 / static_cast<double>(split.folds) : split.test;
  if (split.validation + test < 1) return {};
  return error("%s: validation= and the test part together leave no rows to train on", path);
}

}  // namespace

Status parse_csv_options(const char* path, const char* text, CsvOptions* out) {
  if (strstr(path, ".tsv") != nullptr) {
    out->separator = '\t';
    out->has_separator = true;
  }
  const char* at = text;
  while (*at != '\0') {
    const char* colon = strchr(at, ':');
    const size_t length = colon != nullptr ? static_cast<size_t>(colon - at) : strlen(at);
    const Str item(at, length);
    at += length + (colon != nullptr ? 1 : 0);
    const char* equals = strchr(item.c_str(), '=');
    const Str value(equals != nullptr ? equals + 1 : "");
    if (item.starts_with("target=")) {
      for (Str& name : split(value))
        out->targets.push(static_cast<Str&&>(name));
    } else if (item.starts_with("drop=")) {
      for (Str& name : split(value))
        out->dropped.push(static_cast<Str&&>(name));
    } else if (item.starts_with("sep=")) {
      out->has_separator = true;
      if (!parse_separator(value, &out->separator)) {
        return error("%s: sep=%s: expected one of , ; | tab or space", path, shown(value).c_str());
      }
    } else if (item == "quote=none") {
      out->quotes = false;
    } else if (item == "header=none") {
      out->header = CsvHeader::kNone;
    } else if (item == "header=row") {
      out->header = CsvHeader::kFirstRow;
    } else {
      bool known = false;
      GRADC_RT_TRY(parse_column_option(path, item, out, &known));
      if (!known) GRADC_RT_TRY(parse_number_option(path, item, out, &known));
      if (known) continue;
      return error(
          "%s: unknown option \"%s\", expected target=COLUMN[,COLUMN], drop=COLUMN, "
          "weight=COLUMN, files=COLUMN, part=COLUMN, sep=;, quote=none, header=none, skip=ROWS, "
          "validation=FRACTION, test=FRACTION or a table, fold=K/N or seed=NUMBER",
          path, shown(item).c_str());
    }
  }
  return check_split(path, *out);
}

Status read_csv_header(const char* path, const CsvReader& reader, const CsvOptions& options,
                       Vec<Str>* names) {
  const Vec<CsvField>& fields = reader.fields();
  for (size_t i = 0; i < fields.size(); ++i) {
    names->push(options.header == CsvHeader::kNone ? format("%zu", i + 1)
                                                   : Str(fields[i].text, fields[i].size));
  }
  if (fields.size() == 1 && !options.has_separator) {
    for (const char* other = ";\t|"; *other != '\0'; ++other) {
      if (memchr(fields[0].text, *other, fields[0].size) == nullptr) continue;
      return error(
          "%s:%zu: the first row is one field, \"%s\": for columns separated by \"%s\" say :sep=%s "
          "after the file's name",
          path, reader.line(), shown(fields[0].text, fields[0].size).c_str(),
          separator_name(*other), separator_name(*other));
    }
  }
  if (options.header == CsvHeader::kNone) return {};
  if (options.header == CsvHeader::kChecked && is_data(reader)) {
    return error(
        "%s:%zu: the first row, %s, is data, names of columns were expected: with :header=none "
        "they are called 1, 2, ...",
        path, reader.line(), shown_list(*names).c_str());
  }
  Status problems;
  check_names(path, reader.line(), *names, problems);
  return problems;
}

Status assign_csv_roles(const char* path, const CsvOptions& options, const Vec<Str>& header,
                        CsvRoles* out) {
  const Vec<size_t> order = sorted_places(header);
  Status problems;
  Vec<const char*> role(header.size());
  const auto assign = [&](const Vec<Str>& names, const char* option, Vec<size_t>* places) {
    for (const Str& name : names) {
      const size_t* found =
          std::lower_bound(order.begin(), order.end(), name,
                           [&](size_t place, const Str& key) { return header[place] < key; });
      if (found == order.end() || !(header[*found] == name)) {
        add_problem(problems, "%s: %s=%s: there is no such column, the header has %s", path, option,
                    shown(name).c_str(), shown_list(header).c_str());
        continue;
      }
      const char*& given = role[*found];
      if (given != nullptr && strcmp(given, option) == 0) {
        add_problem(problems, "%s: %s= names column \"%s\" twice", path, option,
                    shown(name).c_str());
      } else if (given != nullptr) {
        add_problem(problems, "%s: column \"%s\" is named by %s= and by %s=", path,
                    shown(name).c_str(), given, option);
      }
      given = option;
      if (places != nullptr) places->push(*found);
    }
  };
  assign(options.targets, "target", &out->targets);
  assign(options.weights, "weight", &out->weights);
  assign(options.files, "files", &out->files);
  assign(options.parts, "part", &out->parts);
  assign(options.dropped, "drop", nullptr);
  for (const char* given : role)
    out->used.push(given != nullptr);
  return problems;
}

}  // namespace gradc::rt
