// A trained network as an ONNX model (opset 17): what predict computes, the weights inside, and the
// arithmetic that the data's rules do before.
#include "frontend/graph_builder.h"

#include "exchange/onnx/emit.h"
#include "exchange/write_parts.h"

#include <algorithm>

namespace gradc::exchange {
namespace {

constexpr int64_t kIrVersion = 8;
constexpr int64_t kOpset = 17;
constexpr size_t kMaxBytes = 0x7FFFFFFF;  // of a protocol buffer
// Two batches of which no other extent is likely to be a multiple.
constexpr int64_t kBatches[] = {1009, 1013};

Result<std::shared_ptr<Graph>> predict_graph(const Model& model, int64_t batch) {
  GRADC_TRY(EntryGraph entry,
            build_entry_graph(model, {.kind = EntryKind::kPredict, .batch_size = batch}));
  onnx::expand_for_onnx(*entry.graph);
  GRADC_TRY_STATUS(onnx::check_ops(*entry.graph));
  return std::move(entry.graph);
}

/// The values of one tensor for each element of the last axis, or for all.
struct Line {
  std::vector<double> mean, deviation;
};

class OnnxWriter {
 public:
  OnnxWriter(const Model& model, const rt::SafetensorsFile& weights, Written* written)
      : model_(model), weights_(weights), written_(written) {}

  Result<std::string> run() {
    GRADC_TRY(const auto first, predict_graph(model_, kBatches[0]));
    GRADC_TRY(const auto second, predict_graph(model_, kBatches[1]));
    if (onnx::are_twins(*first, *second)) {
      auto bytes = emit({*first, *second, kBatches[0], kBatches[1]});
      if (bytes.ok()) return bytes;
      written_->left_out.clear();  // said again
    }
    const int64_t batch = model_.training ? model_.training->batch_size : 1;
    GRADC_TRY(const auto fixed, predict_graph(model_, batch));
    GRADC_TRY(std::string bytes, emit({*fixed, *fixed, batch, batch}));
    leave_out(fmt::format("other batches than {}: the network does not compute each row by itself",
                          batch));
    return bytes;
  }

 private:
  Result<std::string> emit(const onnx::Twin& twin) {
    onnx::Graph out;
    std::vector<std::pair<ValueId, std::string>> names;
    std::string batch;
    for (const GraphInput& input : twin.first.inputs()) {
      if (input.kind == InputKind::kInput) {
        GRADC_TRY(std::string name, put_input(twin, input, out, batch));
        names.emplace_back(input.value, std::move(name));
      } else if (!twin.first.value(input.value).uses.empty() ||
                 twin.first.is_output(input.value)) {  // counts of data are for training alone
        GRADC_TRY(std::string name, put_weights(twin.first, input, out));
        names.emplace_back(input.value, std::move(name));
      }
    }
    onnx::Names results;  // taken before a value inside takes it
    for (const GraphOutput& output : twin.first.outputs())
      results.push_back(out.fresh(short_name(output.name)));
    onnx::Emitter emitter(out, twin, batch);
    for (auto& [value, name] : names)
      emitter.bind(value, std::move(name));
    GRADC_TRY_STATUS(emitter.run());
    for (size_t i = 0; i < results.size(); ++i) {
      const GraphOutput& output = twin.first.outputs()[i];
      GRADC_TRY(const std::string value, emitter.name_of(output.value));
      GRADC_TRY(const onnx::Extents extents, emitter.extents_of(output.value));
      out.add("Identity", {value}, onnx::Names{results[i]}, {});
      out.output(results[i], twin.first.type(output.value).dtype, extents);
    }
    return whole(out);
  }

  static std::string_view short_name(const std::string& name) {
    return std::string_view(name).substr(name.find('/') + 1);
  }

  /// An input by its name, and what the data's rule makes of it.
  Result<std::string> put_input(const onnx::Twin& twin, const GraphInput& input, onnx::Graph& out,
                                std::string& batch) {
    onnx::Emitter extents(out, twin, {});
    GRADC_TRY(onnx::Extents shape, extents.extents_of(input.value));
    const DType dtype = twin.first.type(input.value).dtype;
    const std::string own(short_name(input.name));
    const DataRule* rule = model_.data_rule(own, false);
    const bool indices = rule != nullptr && rule->one_hot > 0 && !shape.empty();
    const int64_t depth = indices ? shape.back().value : 0;
    if (indices) shape.pop_back();
    std::string name = out.fresh(own);
    out.input(name, indices ? DType::kI64 : dtype, shape);
    if (batch.empty() && twin.symbolic() && !shape.empty() && shape[0].per_batch)
      batch = out.add("Shape", {name}, {{"start", int64_t{0}}, {"end", int64_t{1}}}, "batch");
    if (rule == nullptr) return name;
    if (rule->text.split != TextRule::Split::kNone || rule->flip_horizontal || rule->crop ||
        rule->sound.rate > 0)
      leave_out(fmt::format("how texts, images or recordings become the input \"{}\"", own));
    if (indices) {
      const float values[] = {0.0F, 1.0F};
      const std::string pair = out.constant("off_on", DType::kF32, {2},
                                            {reinterpret_cast<const char*>(values), sizeof values});
      name = out.add("OneHot", {name, out.ints({depth}), pair}, {{"axis", int64_t{-1}}});
    }
    return is_float(dtype) ? scaled(*rule, own, shape, std::move(name), out)
                           : Result<std::string>(name);
  }

  /// x * scale + offset, then (x - mean) / deviation.
  Result<std::string> scaled(const DataRule& rule, const std::string& input,
                             const onnx::Extents& shape, std::string name, onnx::Graph& out) const {
    if (rule.scale != 1.0)
      name = out.add("Mul", {name, out.scalar(DType::kF32, rule.scale)}, {}, input + "_scaled");
    if (rule.offset != 0.0)
      name = out.add("Add", {name, out.scalar(DType::kF32, rule.offset)}, {}, input + "_moved");
    if (rule.standardize == DataRule::Standardize::kNone) return name;
    GRADC_TRY(const Line line, statistics(rule, input));
    onnx::Ints dims;
    const auto count = static_cast<int64_t>(line.mean.size());
    if (count > 1 && !shape.empty() && shape.back().value != count) {
      for (size_t i = 1; i < shape.size(); ++i)
        dims.push_back(shape[i].value);
    } else if (count > 1) {
      dims = {count};
    }
    const auto constant = [&](const std::vector<double>& values) {
      std::vector<float> rounded(values.begin(), values.end());
      return out.constant(
          input + "_statistics", DType::kF32, dims,
          {reinterpret_cast<const char*>(rounded.data()), rounded.size() * sizeof(float)});
    };
    name = out.add("Sub", {name, constant(line.mean)}, {}, input + "_centred");
    return out.add("Div", {name, constant(line.deviation)}, {}, input + "_standardized");
  }

  Result<Line> statistics(const DataRule& rule, const std::string& input) const {
    if (rule.standardize == DataRule::Standardize::kGiven) return Line{rule.mean, rule.stddev};
    Line line;
    for (const auto& [what, values] :
         {std::pair{"mean", &line.mean}, std::pair{"std", &line.deviation}}) {
      const std::string name = fmt::format("data/{}/{}", input, what);
      const rt::Array* array = weights_.find(name.c_str());
      if (array == nullptr)
        return make_error(DiagKind::kInvalidData, {}, "the weights have no \"{}\"", name);
      for (size_t i = 0; i < array->count(); ++i)
        values->push_back(rt::load_f64(array->data.data(), array->dtype, i));
    }
    return line;
  }

  Result<std::string> put_weights(const Graph& graph, const GraphInput& input, onnx::Graph& out) {
    const rt::Array* array = weights_.find(input.name.c_str());
    const TensorType& type = graph.type(input.value);
    const bool fits =
        array != nullptr && type.num_elements() == static_cast<int64_t>(array->count());
    if (!fits)
      return make_error(DiagKind::kInvalidData, {}, "the weights have no \"{}\" {}", input.name,
                        to_string(type));
    if (out.size() + array->data.size() > kMaxBytes) return too_large();
    std::string_view bytes(reinterpret_cast<const char*>(array->data.data()), array->data.size());
    std::vector<float> wide;
    if (type.dtype == DType::kF32 && array->dtype != rt::Dtype::kF32) {
      for (size_t i = 0; i < array->count(); ++i)
        wide.push_back(static_cast<float>(rt::load_f64(array->data.data(), array->dtype, i)));
      bytes = {reinterpret_cast<const char*>(wide.data()), wide.size() * sizeof(float)};
    }
    return out.constant(input.name, type.dtype, type.shape.to_vector(), bytes);
  }

  static Diagnostic too_large() {
    return make_error(DiagKind::kTooLarge, {}, "an ONNX file has at most 2 GB");
  }

  Result<std::string> whole(const onnx::Graph& graph) const {
    onnx::Message opset;
    opset.text(1, "");
    opset.integer(2, kOpset);
    onnx::Message file;
    file.integer(1, kIrVersion);
    file.text(2, "gradc");
    file.message(7, graph.message(model_.name));
    file.message(8, opset);
    if (file.bytes().size() > kMaxBytes) return too_large();
    return file.bytes();
  }

  void leave_out(const std::string& what) {
    written_->left_out.push_back({DiagKind::kLeftOut,
                                  Severity::kWarning,
                                  fmt::format("what is written is without {}", what),
                                  {.file = model_.file},
                                  {},
                                  {}});
  }

  const Model& model_;
  const rt::SafetensorsFile& weights_;
  Written* written_;
};

}  // namespace

Status check_onnx(const Model& model) {
  const auto graph = predict_graph(model, 1);
  return graph.ok() ? Status(Ok{}) : Status(Failure(graph.diagnostics()));
}

Status write_onnx(const Model& model, const rt::SafetensorsFile* weights, const std::string& path,
                  Written* written) {
  if (weights == nullptr) {
    return make_error(DiagKind::kInvalidUsage, {},
                      "an ONNX file holds trained weights, and none are given")
        .with_help("give them by --weights");
  }
  GRADC_TRY(const std::string bytes, OnnxWriter(model, *weights, written).run());
  GRADC_TRY_STATUS(write_file(path, bytes));
  written->files.push_back(path);
  return Ok{};
}

}  // namespace gradc::exchange
