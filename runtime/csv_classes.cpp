// From cells to class numbers.
#include "runtime/csv_classes.h"

#include "runtime/meaning.h"
#include "runtime/sorted_names.h"
#include "runtime/text.h"

#include <cmath>

namespace gradc::rt {
namespace {

// Class numbers are whole: numbers of any other kind are values (of a loss that takes them).
bool needs_whole(const gradc_rt_tensor& target) {
  return !is_float(static_cast<Dtype>(target.dtype)) ||
         (target.data != nullptr && target.data->one_hot_depth > 0);
}

CsvField field_of(const Str& text) {
  return {text.c_str(), text.size()};
}

bool is_class_number(double value) {
  return value >= INT32_MIN && value <= INT32_MAX && value == std::floor(value);
}

// What each text spells, if all are numbers.
bool all_numbers(const CsvTexts& texts, Vec<double>* values) {
  for (const Str& text : texts.texts()) {
    double value = 0;
    if (!csv_number(field_of(text), &value)) return false;
    values->push(value);
  }
  return true;
}

Status use_numbers(const char* path, const Str& name, const gradc_rt_tensor& target,
                   const Vec<double>& values, ClassColumn& column, Array* out) {
  const bool whole = needs_whole(target);
  bool integers = true;
  for (size_t i = 0; i < values.size(); ++i) {
    const bool good = whole ? is_class_number(values[i]) : std::isfinite(values[i]);
    integers = integers && is_class_number(values[i]);
    if (good) continue;
    return error("%s:%zu: column \"%s\" holds \"%s\", %s", path, column.texts.line(i),
                 shown(name).c_str(), shown(column.texts.texts()[i]).c_str(),
                 whole ? "a class was expected: a whole number or a name"
                       : "a finite number or the name of a class was expected");
  }
  const size_t rows = column.ids.size() / sizeof(int32_t);
  out->dtype = integers ? Dtype::kI32 : Dtype::kF64;
  if (!integers) out->data.resize(rows * sizeof(double));
  for (size_t r = 0; r < rows; ++r) {
    const double value = values[static_cast<size_t>(load_i64(column.ids.data(), Dtype::kI32, r))];
    store_f64(integers ? column.ids.data() : out->data.data(), out->dtype, r, value);
  }
  if (integers) out->data = static_cast<Bytes&&>(column.ids);
  return {};
}

Status check_names(const char* path, const Str& name, const CsvTexts& texts) {
  Status problems;
  for (size_t i = 0; i < texts.texts().size(); ++i) {
    const Str& text = texts.texts()[i];
    if (text.empty()) {
      add_problem(problems, "%s:%zu: column \"%s\" is empty, a class name was expected", path,
                  texts.line(i), shown(name).c_str());
    } else if (const size_t valid = valid_utf8(text.c_str(), text.size()); valid < text.size()) {
      add_problem(problems,
                  "%s:%zu: column \"%s\" holds \"%s\", which is not UTF-8 (byte %zu): save the "
                  "file as \"CSV UTF-8\"",
                  path, texts.line(i), shown(name).c_str(), shown(text).c_str(), valid + 1);
    }
  }
  return problems;
}

Status check_count(const char* path, const Str& name, const gradc_rt_tensor& target,
                   const Vec<Str>& classes) {
  const size_t room = target.data != nullptr ? static_cast<size_t>(target.data->classes) : 0;
  const bool binary = !needs_whole(target);
  if (room == 0 || (classes.size() <= room && !(binary && classes.size() < 2))) return {};
  return error("%s: column \"%s\" has %zu class%s (%s), %s takes %s%zu", path, shown(name).c_str(),
               classes.size(), classes.size() == 1 ? "" : "es", shown_list(classes).c_str(),
               target.name, binary ? "" : "at most ", room);
}

}  // namespace

bool takes_classes(const gradc_rt_tensor& target) {
  return needs_whole(target) || (target.data != nullptr && target.data->classes > 0);
}

Status number_classes(const char* path, const Str& name, const gradc_rt_tensor& target,
                      const Vec<Str>* known, ClassColumn& column, Array* out, Vec<Str>* classes) {
  const size_t rows = column.ids.size() / sizeof(int32_t);
  out->source = format("%s: %s", path, shown(name).c_str());
  out->name = Str(target.name);
  out->dims.push(static_cast<int64_t>(rows));
  const bool named = known != nullptr && !known->empty();
  Vec<double> values;
  if (!named && all_numbers(column.texts, &values)) {
    return use_numbers(path, name, target, values, column, out);
  }
  GRADC_RT_TRY(check_names(path, name, column.texts));
  const Vec<Str>& texts = column.texts.texts();
  Vec<size_t> number(texts.size());  // of each text
  if (named) {
    GRADC_RT_TRY(match_some(out->source.c_str(), "classes", texts, *known, &number));
    *classes = known->clone();
  } else {
    const Vec<size_t> order = sorted_places(texts);
    for (size_t i = 0; i < order.size(); ++i) {
      number[order[i]] = i;
      classes->push(texts[order[i]].clone());
    }
    GRADC_RT_TRY(check_count(path, name, target, *classes));
  }
  for (size_t r = 0; r < rows; ++r) {
    const size_t text = static_cast<size_t>(load_i64(column.ids.data(), Dtype::kI32, r));
    store_i64(column.ids.data(), Dtype::kI32, r, static_cast<int64_t>(number[text]));
  }
  out->dtype = Dtype::kI32;
  out->data = static_cast<Bytes&&>(column.ids);
  return {};
}

}  // namespace gradc::rt
