#include "exchange/write.h"

#include "runtime/output_file.h"
#include "support/utf8.h"

#include "exchange/keras_export.h"
#include "exchange/keras_order.h"
#include "exchange/read_model.h"
#include "exchange/translate.h"
#include "exchange/weights.h"
#include "exchange/write_parts.h"

#include <filesystem>

namespace gradc::exchange {
namespace {

Status from_output(const rt::Status& status) {
  if (status.ok()) return Ok{};
  return make_error(DiagKind::kFileUnwritable, {}, "{}", status.text.c_str());
}

}  // namespace

Status write_file(const std::string& path, std::string_view bytes) {
  rt::OutputFile file;
  GRADC_TRY_STATUS(from_output(file.open(path.c_str())));
  GRADC_TRY_STATUS(from_output(file.write(bytes.data(), bytes.size())));
  return from_output(file.commit());
}

Status OutputFiles::prepare(const std::string& path, std::string_view bytes) {
  auto file = std::make_unique<rt::OutputFile>();
  GRADC_TRY_STATUS(from_output(file->open(path.c_str())));
  GRADC_TRY_STATUS(from_output(file->write(bytes.data(), bytes.size())));
  GRADC_TRY_STATUS(from_output(file->finish()));
  files_.emplace_back(path, std::move(file));
  return Ok{};
}

Status OutputFiles::commit(std::vector<std::string>* written) {
  for (auto& [path, file] : files_) {
    GRADC_TRY_STATUS(from_output(file->commit()));
    written->push_back(path);
  }
  return Ok{};
}

std::string text_of(const Json& json) {
  return json.dump(1, ' ', true, Json::error_handler_t::replace) + "\n";
}

Result<std::vector<LayerWeights>> weights_by_layer(const Model& model,
                                                   const std::vector<std::string>& names,
                                                   const rt::SafetensorsFile& file) {
  std::vector<LayerWeights> all;
  std::vector<Diagnostic> problems;
  for (const KerasItem& item : keras_order(model)) {
    if (item.is_input) {
      all.push_back({nullptr, model.inputs[item.index].name, {}});
      continue;
    }
    const Layer& layer = model.layers[item.index];
    LayerWeights one{&layer, names[item.index], {}};
    for (const ParameterSpec& spec : layer.parameters) {
      if (spec.carried) continue;
      const std::string name = layer.name + "/" + spec.name;
      const rt::Array* array = file.find(name.c_str());
      if (array == nullptr) {
        problems.push_back(
            make_error(DiagKind::kInvalidData, {}, "the weights have no \"{}\"", name));
      } else {
        one.arrays.emplace_back(spec.name, array);
      }
    }
    all.push_back(std::move(one));
  }
  if (!problems.empty()) return Failure(std::move(problems));
  return all;
}

Result<OwnJson> native_document(const std::string& path, const Given& given) {
  GRADC_TRY(const SourceFile file, open_description(path, kMaxDescriptionBytes));
  GRADC_TRY(OwnJson json, parse_json(file));
  DiagnosticSink sink;
  std::optional<Translation> native = translate(JsonCursor(*json, file.path()), given.shapes, sink);
  if (sink.has_errors()) return Failure(sink.take());
  if (native) json = std::move(native->json);
  for (const SetValue& set : set_values(given.values, *json, file.path(), sink)) {
    sink.error(
        DiagKind::kUnknownName, {.file = file.path()},
        "--set {}: \"{}\" has no \"{}\" of its own, and the file that it names stays as it is",
        printable(set.path, 120), path, printable(set.steps.front(), 80));
  }
  if (sink.has_errors()) return Failure(sink.take());
  return json;
}

FileFormat format_of_name(const std::string& path) {
  std::error_code error;
  const std::filesystem::path file(path);
  if (path.ends_with('/') || std::filesystem::exists(file / "model.json", error))
    return FileFormat::kTfjs;
  const std::string extension = file.extension().string();
  if (extension == ".keras") return FileFormat::kKeras;
  if (extension == ".h5" || extension == ".hdf5") return FileFormat::kH5;
  if (extension == ".onnx") return FileFormat::kOnnx;
  return FileFormat::kNative;
}

std::string main_file(FileFormat format, const std::string& path) {
  if (format != FileFormat::kTfjs) return path;
  return (std::filesystem::path(path) / "model.json").string();
}

Status check_writable(FileFormat format, const Model& model) {
  if (format == FileFormat::kOnnx) return check_onnx(model);
  const KerasForm form = format == FileFormat::kKeras ? archive_form(model) : KerasForm::kTwo;
  const auto exported = export_keras(model, form);
  return exported.ok() ? Status(Ok{}) : Status(Failure(exported.diagnostics()));
}

Status write_model(FileFormat format, const Model& model, const rt::SafetensorsFile* weights,
                   const std::string& path, Written* written) {
  if (weights != nullptr) GRADC_TRY_STATUS(check_weights(model, path, *weights));
  switch (format) {
    case FileFormat::kTfjs:
      return write_tfjs(model, weights, path, written);
    case FileFormat::kH5:
      return write_h5(model, weights, path, written);
    case FileFormat::kKeras:
      return write_keras(model, weights, path, written);
    case FileFormat::kOnnx:
      return write_onnx(model, weights, path, written);
    case FileFormat::kNative:
      break;
  }
  return make_error(DiagKind::kInvalidUsage, {}, "\"{}\" has no ending of a format that is written",
                    path);
}

}  // namespace gradc::exchange
