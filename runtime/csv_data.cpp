// CSV and text files as data sets.
#include "runtime/csv.h"
#include "runtime/dataset.h"
#include "runtime/weights.h"

#include <algorithm>

namespace gradc::rt {
namespace {

// "target=a,b:drop=c" into lists of column numbers.
struct CsvOptions {
  Vec<size_t> targets;
  Vec<size_t> dropped;
};

Str header_names(const CsvTable& table) {
  Str names;
  for (const Str& name : table.header)
    names.appendf("%s\"%s\"", names.empty() ? "" : ", ", name.c_str());
  return names;
}

Status read_columns(const CsvTable& table, const Str& list, const char* option,
                    Vec<size_t>* columns) {
  size_t first = 0;
  while (first <= list.size()) {
    const char* comma = strchr(list.c_str() + first, ',');
    const size_t last = comma != nullptr ? static_cast<size_t>(comma - list.c_str()) : list.size();
    const Str name = list.part(first, last - first);
    const int64_t column = table.column(name.c_str());
    if (column < 0) {
      return error("%s: %s=%s: there is no such column, the header has %s", table.path.c_str(),
                   option, name.c_str(), header_names(table).c_str());
    }
    columns->push(static_cast<size_t>(column));
    first = last + 1;
  }
  return {};
}

Status parse_options(const CsvTable& table, const char* options, CsvOptions* out) {
  const char* at = options;
  while (*at != '\0') {
    const char* colon = strchr(at, ':');
    const size_t length = colon != nullptr ? static_cast<size_t>(colon - at) : strlen(at);
    const Str item(at, length);
    if (item.starts_with("target=")) {
      GRADC_RT_TRY(read_columns(table, item.part(7, length - 7), "target", &out->targets));
    } else if (item.starts_with("drop=")) {
      GRADC_RT_TRY(read_columns(table, item.part(5, length - 5), "drop", &out->dropped));
    } else {
      return error("%s: unknown option \"%s\", expected target=COLUMN[,COLUMN] or drop=COLUMN",
                   table.path.c_str(), item.c_str());
    }
    at += length + (colon != nullptr ? 1 : 0);
  }
  return {};
}

bool contains(const Vec<size_t>& list, size_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// Columns side by side as f64 [rows, columns] ([rows] for one).
Status matrix(const CsvTable& table, const Vec<size_t>& columns, const char* name, Array* out) {
  const size_t rows = table.rows.size();
  out->name = Str(name);
  out->source = columns.size() == 1
                    ? format("%s: %s", table.path.c_str(), table.header[columns[0]].c_str())
                    : Str(table.path.c_str());
  out->dtype = Dtype::kF64;
  out->dims.push(static_cast<int64_t>(rows));
  if (columns.size() != 1) out->dims.push(static_cast<int64_t>(columns.size()));
  out->data.resize(rows * columns.size() * sizeof(double));
  Vec<double> values;
  for (size_t c = 0; c < columns.size(); ++c) {
    GRADC_RT_TRY(numeric_column(table, columns[c], &values));
    for (size_t r = 0; r < rows; ++r)
      store_f64(out->data.data(), Dtype::kF64, r * columns.size() + c, values[r]);
  }
  return {};
}

bool wants_classes(const gradc_rt_tensor& tensor) {
  return !is_float(static_cast<Dtype>(tensor.dtype)) ||
         (tensor.data != nullptr && tensor.data->one_hot_depth > 0);
}

// Columns of a target, or of one target each, are told apart by their names; a single one is what
// the option says.
Status order_targets(const gradc_rt_model& model, const CsvTable& table,
                     Span<const gradc_rt_tensor* const> targets, const Vec<TensorMeaning>* known,
                     Vec<size_t>* columns) {
  Vec<Str> seen;
  Vec<Str> wanted;
  for (size_t column : *columns)
    seen.push(table.header[column].clone());
  for (const gradc_rt_tensor* target : targets) {
    if (known == nullptr) continue;
    for (const Str& name : (*known)[static_cast<size_t>(target - model.tensors)].columns)
      wanted.push(name.clone());
  }
  if (wanted.size() < 2) return {};
  Vec<size_t> places;
  GRADC_RT_TRY(match_all(table.path.c_str(), "target columns", seen, wanted, &places));
  for (size_t& place : places)
    place = (*columns)[place];
  *columns = static_cast<Vec<size_t>&&>(places);
  return {};
}

Status add_targets(const gradc_rt_model& model, const CsvTable& table, const CsvOptions& options,
                   const Vec<TensorMeaning>* known, Vec<Array>* arrays,
                   Vec<TensorMeaning>* meanings) {
  Vec<const gradc_rt_tensor*> targets;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    if (model.tensors[i].kind == GRADC_RT_TARGET) targets.push(&model.tensors[i]);
  }
  if (options.targets.empty()) return {};
  const bool one_each = targets.size() == options.targets.size() && targets.size() > 1;
  if (targets.size() != 1 && !one_each) {
    return error("%s: target= names %zu columns, the model has %zu targets", table.path.c_str(),
                 options.targets.size(), targets.size());
  }
  Vec<size_t> ordered = options.targets.clone();
  GRADC_RT_TRY(order_targets(model, table, {targets.data(), targets.size()}, known, &ordered));
  for (size_t t = 0; t < targets.size(); ++t) {
    Array array;
    Vec<size_t> columns;
    if (one_each) {
      columns.push(ordered[t]);
    } else {
      columns = ordered.clone();
    }
    const size_t index = static_cast<size_t>(targets[t] - model.tensors);
    for (size_t column : columns)
      (*meanings)[index].columns.push(table.header[column].clone());
    if (columns.size() == 1 && wants_classes(*targets[t])) {
      GRADC_RT_TRY(class_column(table, columns[0],
                                known != nullptr ? &(*known)[index].classes : nullptr, &array,
                                &(*meanings)[index].classes));
    } else {
      GRADC_RT_TRY(matrix(table, columns, targets[t]->name, &array));
    }
    array.name = Str(targets[t]->name);
    arrays->push(static_cast<Array&&>(array));
  }
  return {};
}

// Feature columns in the order that the model was trained with, if it was; their names.
Status order_features(const CsvTable& table, const Vec<Str>* known, Vec<size_t>* features,
                      Vec<Str>* names) {
  for (size_t column : *features)
    names->push(table.header[column].clone());
  if (known == nullptr || known->empty()) return {};
  Vec<size_t> places;
  GRADC_RT_TRY(match_all(table.path.c_str(), "feature columns", *names, *known, &places));
  for (size_t& place : places)
    place = (*features)[place];
  *features = static_cast<Vec<size_t>&&>(places);
  *names = known->clone();
  return {};
}

// A column that a target was trained from is no feature, also where no target is asked for.
bool is_known_target(const gradc_rt_model& model, const Str& name,
                     const Vec<TensorMeaning>* known) {
  bool target = false;
  for (size_t i = 0; known != nullptr && i < known->size(); ++i) {
    for (const Str& column : (*known)[i].columns) {
      if (!(column == name)) continue;
      if (model.tensors[i].kind == GRADC_RT_INPUT) return false;
      target = true;
    }
  }
  return target;
}

}  // namespace

Status load_csv(const gradc_rt_model& model, const char* path, const char* options,
                const Vec<TensorMeaning>* known, Vec<Array>* arrays, Vec<TensorMeaning>* meanings) {
  Bytes bytes;
  GRADC_RT_TRY(read_maybe_gzip(path, &bytes));
  CsvTable table;
  GRADC_RT_TRY(parse_csv(bytes, path, &table));
  CsvOptions columns;
  GRADC_RT_TRY(parse_options(table, options, &columns));
  GRADC_RT_TRY(add_targets(model, table, columns, known, arrays, meanings));
  Vec<const gradc_rt_tensor*> inputs;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    if (model.tensors[i].kind == GRADC_RT_INPUT) inputs.push(&model.tensors[i]);
  }
  if (inputs.size() == 1) {
    Vec<size_t> features;
    for (size_t c = 0; c < table.header.size(); ++c) {
      if (contains(columns.targets, c) || contains(columns.dropped, c)) continue;
      if (!is_known_target(model, table.header[c], known)) features.push(c);
    }
    const size_t index = static_cast<size_t>(inputs[0] - model.tensors);
    GRADC_RT_TRY(order_features(table, known != nullptr ? &(*known)[index].columns : nullptr,
                                &features, &(*meanings)[index].columns));
    Array array;
    GRADC_RT_TRY(matrix(table, features, inputs[0]->name, &array));
    arrays->push(static_cast<Array&&>(array));
    return {};
  }
  for (const gradc_rt_tensor* input : inputs) {  // several inputs: each is a column of its name
    const int64_t column = table.column(short_name(*input));
    if (column < 0) {
      return error("%s: no column for input \"%s\", the header has %s", path, short_name(*input),
                   header_names(table).c_str());
    }
    Vec<size_t> one;
    one.push(static_cast<size_t>(column));
    Array array;
    GRADC_RT_TRY(matrix(table, one, input->name, &array));
    arrays->push(static_cast<Array&&>(array));
  }
  return {};
}

namespace {

// The number of each byte: itself, or its place among the bytes that the text (or the text that the
// model was trained with) has.
Status number_bytes(const char* path, const Bytes& text, bool characters, const Vec<Str>* known,
                    int32_t* id_of, Vec<Str>* table) {
  bool used[256] = {};
  for (uint8_t byte : text)
    used[byte] = true;
  for (int b = 0; b < 256; ++b) {
    id_of[b] = characters ? -1 : b;
    const char byte = static_cast<char>(b);
    if (characters && used[b]) table->push(Str(&byte, 1));
  }
  if (!characters) return {};
  Vec<size_t> places;
  const bool named = known != nullptr && !known->empty();
  if (named) GRADC_RT_TRY(match_some(path, "characters", *table, *known, &places));
  for (size_t i = 0; i < table->size(); ++i)
    id_of[static_cast<uint8_t>((*table)[i][0])] = static_cast<int32_t>(named ? places[i] : i);
  if (named) *table = known->clone();
  return {};
}

}  // namespace

Status load_text(const gradc_rt_model& model, const char* path, bool characters,
                 const Vec<TensorMeaning>* known, Vec<Array>* arrays,
                 Vec<TensorMeaning>* meanings) {
  const gradc_rt_tensor* input = nullptr;
  const gradc_rt_tensor* target = nullptr;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (tensor.kind == GRADC_RT_INPUT) input = input == nullptr ? &tensor : input;
    if (tensor.kind == GRADC_RT_TARGET) target = target == nullptr ? &tensor : target;
  }
  if (input == nullptr || target == nullptr || input->rank < 2) {
    return error("%s: text needs a model with one input [batch, length] and one target", path);
  }
  Bytes text;
  GRADC_RT_TRY(read_maybe_gzip(path, &text));
  const size_t length = static_cast<size_t>(input->dims[1]);
  const bool next_only = target->rank < 2;  // [batch]: only the byte after the window
  if (text.size() < length + 1) {
    return error("%s: has %zu bytes, one window of the model needs %zu", path, text.size(),
                 length + 1);
  }
  int32_t id_of[256];
  Vec<Str> table;
  const size_t index = static_cast<size_t>(input - model.tensors);
  GRADC_RT_TRY(number_bytes(path, text, characters,
                            known != nullptr ? &(*known)[index].characters : nullptr, id_of,
                            &table));
  for (const gradc_rt_tensor* tensor : {input, target})
    (*meanings)[static_cast<size_t>(tensor - model.tensors)].characters = table.clone();
  const size_t rows = (text.size() - 1) / length;
  for (const gradc_rt_tensor* tensor : {input, target}) {
    const size_t shift = tensor == target ? 1 : 0;
    const bool last = tensor == target && next_only;
    Array array;
    array.name = Str(tensor->name);
    array.source = Str(path);
    array.dtype = Dtype::kI32;
    array.dims.push(static_cast<int64_t>(rows));
    if (!last) array.dims.push(static_cast<int64_t>(length));
    array.data.resize(rows * (last ? 1 : length) * sizeof(int32_t));
    size_t at = 0;
    for (size_t r = 0; r < rows; ++r) {
      for (size_t k = last ? length - 1 : 0; k < length; ++k)
        store_i64(array.data.data(), Dtype::kI32, at++, id_of[text[r * length + k + shift]]);
    }
    arrays->push(static_cast<Array&&>(array));
  }
  return {};
}

}  // namespace gradc::rt
