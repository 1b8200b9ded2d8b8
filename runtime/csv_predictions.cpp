// Predictions as a table.
#include "runtime/number.h"
#include "runtime/output_file.h"
#include "runtime/output_units.h"
#include "runtime/predictions.h"
#include "runtime/sorted_names.h"
#include "runtime/text.h"
#include "runtime/weights.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

constexpr size_t kPiece = 1u << 16;  // the text is written in pieces of about this size

struct Table {
  Vec<OutputUnits> outputs;
  Vec<int64_t> positions;  // the dimensions between the batch and the units, the same for all
  Vec<Str> header;
};

void name_columns(const OutputUnits& columns, const char* prefix, Vec<Str>* header) {
  const auto add = [&](const Str& name) {
    Str whole(prefix);
    whole.append(name);
    header->push(static_cast<Str&&>(whole));
  };
  switch (columns.kind) {
    case UnitMeaning::kValues:
      for (size_t unit = 0; unit < columns.units; ++unit)
        header->push(value_name(columns, unit));
      return;
    case UnitMeaning::kTwoClasses:
      add(Str("prediction"));
      add(class_name(columns, 1));
      return;
    case UnitMeaning::kClasses:
      add(Str("prediction"));
      for (size_t unit = 0; unit < columns.units; ++unit)
        add(class_name(columns, unit));
      return;
  }
}

// A name that stands in the header already gets "_" in front.
void make_distinct(Vec<Str>& header) {
  bool again = true;
  while (again) {
    again = false;
    const Vec<size_t> order = sorted_places(header);
    Vec<size_t> repeated;
    for (size_t i = 1; i < order.size(); ++i)
      if (header[order[i]] == header[order[i - 1]]) repeated.push(order[i]);
    for (size_t column : repeated) {
      Str name("_");
      name.append(header[column]);
      header[column] = static_cast<Str&&>(name);
      again = true;
    }
  }
}

Status plan_table(const Instance& instance, const char* out, Table* table) {
  const int64_t count = instance.count_of(GRADC_RT_OUTPUT);
  for (int64_t n = 0; n < count; ++n) {
    const size_t index = static_cast<size_t>(instance.nth(GRADC_RT_OUTPUT, n));
    const gradc_rt_tensor& tensor = instance.tensor(index);
    Vec<int64_t> positions;
    for (int64_t d = 1; d + 1 < tensor.rank; ++d)
      positions.push(tensor.dims[d]);
    if (n == 0) {
      table->positions = static_cast<Vec<int64_t>&&>(positions);
    } else if (positions.size() != table->positions.size() ||
               !std::equal(positions.begin(), positions.end(), table->positions.begin())) {
      return error(
          "%s: %s is %s and %s is %s: they have no common lines in a table, use .safetensors", out,
          table->outputs[0].tensor->name, tensor_type_text(*table->outputs[0].tensor).c_str(),
          tensor.name, tensor_type_text(tensor).c_str());
    }
    table->outputs.push(units_of(instance, index));
  }
  const size_t places = table->positions.size();
  if (places > 0) table->header.push(Str("example"));
  for (size_t d = 0; d < places; ++d)
    table->header.push(places == 1 ? Str("position") : format("position_%zu", d));
  for (const OutputUnits& columns : table->outputs) {
    const Str prefix = count > 1 ? format("%s/", short_name(*columns.tensor)) : Str();
    name_columns(columns, prefix.c_str(), &table->header);
  }
  make_distinct(table->header);
  return {};
}

// Fields of one file.
class Writer {
 public:
  Status open(const char* path) { return file_.open(path); }

  void field(const Str& text) {
    begin();
    const auto special = [](char c) { return c == '"' || c == ',' || c == '\n' || c == '\r'; };
    bool quoted = text.empty() || text[0] == ' ' || text[text.size() - 1] == ' ';
    for (size_t i = 0; i < text.size(); ++i)
      quoted = quoted || special(text[i]);
    if (!quoted) return text_.append(text);
    text_.push('"');
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '"') text_.push('"');
      text_.push(text[i]);
    }
    text_.push('"');
  }
  void number(const Array& array, size_t element) {
    begin();
    if (!is_float(array.dtype)) {
      text_.appendf("%lld",
                    static_cast<long long>(load_i64(array.data.data(), array.dtype, element)));
      return;
    }
    const double value = load_f64(array.data.data(), array.dtype, element);
    text_.append(array.dtype == Dtype::kF64 ? number_text(value)
                                            : number_text(static_cast<float>(value)));
  }
  void index(int64_t value) {
    begin();
    text_.appendf("%lld", static_cast<long long>(value));
  }
  void empty() { begin(); }
  Status end_line() {
    text_.push('\n');
    first_ = true;
    if (text_.size() < kPiece) return {};
    return flush();
  }
  Status commit() {
    GRADC_RT_TRY(flush());
    return file_.commit();
  }

 private:
  void begin() {
    if (!first_) text_.push(',');
    first_ = false;
  }
  Status flush() {
    Status written = file_.write(text_.c_str(), text_.size());
    text_.clear();
    return written;
  }

  OutputFile file_;
  Str text_;
  bool first_ = true;
};

void write_output(const OutputUnits& columns, const Vec<Str>& names, const Array& array,
                  size_t line, Writer& writer) {
  if (columns.kind != UnitMeaning::kValues) {
    size_t number = 0;
    const size_t first = line * columns.units;
    if (predicted_class(columns, array.data.data(), array.dtype, first, &number)) {
      writer.field(names[number]);
    } else {
      writer.empty();
    }
  }
  for (size_t unit = 0; unit < columns.units; ++unit)
    writer.number(array, line * columns.units + unit);
}

// The class names of each output.
Vec<Vec<Str>> predicted_names(const Table& table) {
  Vec<Vec<Str>> names(table.outputs.size());
  for (size_t o = 0; o < names.size(); ++o) {
    const OutputUnits& columns = table.outputs[o];
    if (columns.kind == UnitMeaning::kValues) continue;
    const size_t classes = columns.kind == UnitMeaning::kTwoClasses ? 2 : columns.units;
    for (size_t number = 0; number < classes; ++number)
      names[o].push(class_name(columns, number));
  }
  return names;
}

}  // namespace

Status check_csv_predictions(const Instance& instance, const char* out) {
  Table table;
  return plan_table(instance, out, &table);
}

Status write_csv_predictions(const Instance& instance, const Vec<Array>& outputs, const char* out) {
  Table table;
  GRADC_RT_TRY(plan_table(instance, out, &table));
  const Vec<Vec<Str>> names = predicted_names(table);
  Writer writer;
  GRADC_RT_TRY(writer.open(out));
  for (const Str& name : table.header)
    writer.field(name);
  GRADC_RT_TRY(writer.end_line());
  size_t lines = 1;  // of an example
  for (int64_t size : table.positions)
    lines *= static_cast<size_t>(size);
  const size_t examples = outputs.empty() ? 0 : static_cast<size_t>(outputs[0].rows());
  for (size_t line = 0; line < examples * lines; ++line) {
    if (!table.positions.empty()) writer.index(static_cast<int64_t>(line / lines));
    size_t stride = lines;
    for (int64_t size : table.positions) {
      stride /= static_cast<size_t>(size);
      writer.index(static_cast<int64_t>(line / stride) % size);
    }
    for (size_t o = 0; o < table.outputs.size(); ++o)
      write_output(table.outputs[o], names[o], outputs[o], line, writer);
    GRADC_RT_TRY(writer.end_line());
  }
  return writer.commit();
}

}  // namespace gradc::rt
