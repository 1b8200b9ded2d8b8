#include "driver/summary.h"

#include "frontend/layer_def.h"
#include "ir/type.h"
#include "support/utf8.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace gradc {
namespace {

struct Count {
  int64_t trainable = 0, other = 0, bytes = 0;

  int64_t all() const { return trainable + other; }
  Count& operator+=(const Count& more) {
    trainable += more.trainable;
    other += more.other;
    bytes += more.bytes;
    return *this;
  }
};

/// Without what is carried from batch to batch, which is no parameter of the model.
Count count_of(const Layer& layer) {
  Count count;
  for (const ParameterSpec& parameter : layer.parameters) {
    if (parameter.carried) continue;
    int64_t elements = 1;
    for (const int64_t extent : parameter.shape)
      elements *= extent;
    (parameter.trainable ? count.trainable : count.other) += elements;
    count.bytes += elements * dtype_bytes(parameter.dtype);
  }
  return count;
}

struct Row {
  std::string name, type;
  std::vector<TensorSpec> outputs;
  Count count;
  bool frozen = false;
  bool used_again = false;
  std::vector<std::string> inputs;
};

std::vector<Row> rows_of(const Model& model) {
  std::vector<Row> rows;
  for (const ModelInput& input : model.inputs) {
    Row& row = rows.emplace_back();
    row.name = input.name;
    row.type = "input";
    row.outputs = {input.spec};
  }
  std::vector<bool> counted(model.layers.size(), false);
  for (const Call& call : model.calls) {
    const Layer& layer = model.layers[call.layer];
    Row& row = rows.emplace_back();
    row.name = call.name;
    row.type = layer.component.written_type.empty() ? std::string(layer.def->base.type)
                                                    : layer.component.written_type;
    row.used_again = counted[call.layer];
    if (!row.used_again) row.count = count_of(layer);
    row.frozen = !layer.trainable && !layer.parameters.empty();
    counted[call.layer] = true;
    for (const CallResult& result : call.results)
      row.outputs.push_back(result.spec);
    for (const ModelValue value : call.inputs)
      row.inputs.push_back(model.value_name(value));
    for (size_t i = 0; i < call.named.size(); ++i) {
      if (!call.named[i]) continue;
      row.inputs.push_back(
          fmt::format("{}={}", layer.def->named_inputs[i].name, model.value_name(*call.named[i])));
    }
  }
  return rows;
}

Count total_of(const std::vector<Row>& rows) {
  Count total;
  for (const Row& row : rows)
    total += row.count;
  return total;
}

/// "(None, 28, 28)", with the element type where it is not the usual one.
std::string shape_text(const TensorSpec& spec) {
  return fmt::format("(None{}{}){}", spec.shape.empty() ? "," : ", ", fmt::join(spec.shape, ", "),
                     spec.dtype == DType::kF32 ? "" : fmt::format(" {}", dtype_name(spec.dtype)));
}

/// "1,234,567".
std::string grouped(int64_t number) {
  std::string text = fmt::format("{}", number);
  for (size_t at = text.size(); at > 3; at -= 3)
    text.insert(at - 3, ",");
  return text;
}

std::string bytes_text(int64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024.0 && unit + 1 < kUnits.size(); ++unit)
    value /= 1024.0;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

/// Whether every layer takes just what the one before gives: where inputs come from is plain.
bool is_chain(const Model& model, const std::vector<Row>& rows) {
  if (model.inputs.size() != 1) return false;
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].inputs.size() != 1 || rows[i].inputs.front() != rows[i - 1].name) return false;
  }
  return true;
}

using Line = std::array<std::string, 4>;

std::vector<Line> lines_of(const std::vector<Row>& rows) {
  std::vector<Line> lines = {{"Layer (type)", "Output shape", "Param #", "Connected to"}};
  for (const Row& row : rows) {
    std::vector<std::string> shapes;
    for (const TensorSpec& spec : row.outputs)
      shapes.push_back(shape_text(spec));
    std::string count = row.used_again ? "(shared)" : grouped(row.count.all());
    if (row.frozen) count += " frozen";
    lines.push_back({fmt::format("{} ({})", printable(row.name, 120), printable(row.type, 60)),
                     fmt::format("{}", fmt::join(shapes, ", ")), std::move(count),
                     printable_lines(fmt::format("{}", fmt::join(row.inputs, ", ")))});
  }
  return lines;
}

}  // namespace

std::string summary_text(const Model& model) {
  const std::vector<Row> rows = rows_of(model);
  const std::vector<Line> lines = lines_of(rows);
  const size_t columns = is_chain(model, rows) ? 3 : 4;
  std::array<size_t, 4> widths{};
  for (const Line& line : lines) {
    for (size_t c = 0; c < columns; ++c)
      widths[c] = std::max(widths[c], line[c].size());
  }
  size_t width = 2 * (columns - 1);
  for (size_t c = 0; c < columns; ++c)
    width += widths[c];
  std::string out = fmt::format("Model: {}\n", printable(model.name, 200));
  const std::string rule(std::min<size_t>(width, 120), '-');
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string text = fmt::format("{:<{}}  {:<{}}  {:>{}}", lines[i][0], widths[0], lines[i][1],
                                   widths[1], lines[i][2], widths[2]);
    if (columns == 4 && !lines[i][3].empty()) text += "  " + lines[i][3];
    out += text + "\n";
    if (i == 0) out += rule + "\n";
  }
  const Count total = total_of(rows);
  out += fmt::format("{}\nTotal params: {} ({})\nTrainable params: {}\nNon-trainable params: {}\n",
                     rule, grouped(total.all()), bytes_text(total.bytes), grouped(total.trainable),
                     grouped(total.other));
  return out;
}

Json summary_json(const Model& model) {
  const std::vector<Row> rows = rows_of(model);
  Json layers = Json::array();
  for (const Row& row : rows) {
    Json outputs = Json::array();
    for (const TensorSpec& spec : row.outputs)
      outputs.push_back({{"dtype", dtype_name(spec.dtype)}, {"shape", spec.shape}});
    layers.push_back({{"name", row.name},
                      {"type", row.type},
                      {"outputs", std::move(outputs)},
                      {"parameters", row.count.all()},
                      {"trainable_parameters", row.count.trainable},
                      {"inputs", row.inputs}});
  }
  const Count total = total_of(rows);
  return {{"name", model.name},
          {"layers", std::move(layers)},
          {"parameters", total.all()},
          {"trainable_parameters", total.trainable},
          {"parameter_bytes", total.bytes}};
}

}  // namespace gradc
