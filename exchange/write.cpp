#include "exchange/write.h"

#include "runtime/output_file.h"

#include "exchange/h5_file.h"
#include "exchange/keras_export.h"
#include "exchange/read_model.h"
#include "exchange/translate.h"

#include <filesystem>

namespace gradc::exchange {
namespace {

Status from_output(const rt::Status& status) {
  if (status.ok()) return Ok{};
  return make_error(DiagKind::kFileUnwritable, {}, "{}", status.text.c_str());
}

Status write_file(const std::string& path, const void* bytes, size_t count) {
  rt::OutputFile file;
  GRADC_TRY_STATUS(from_output(file.open(path.c_str())));
  GRADC_TRY_STATUS(from_output(file.write(bytes, count)));
  return from_output(file.commit());
}

std::string text_of(const Json& json) {
  return json.dump(1, ' ', true, Json::error_handler_t::replace) + "\n";
}

/// Layers with their parameters' own names, as Keras orders them.
using LayerWeights = H5Content::Layer;

Result<std::vector<LayerWeights>> weights_by_layer(const Model& model,
                                                   const rt::SafetensorsFile& file) {
  std::vector<LayerWeights> all;
  std::vector<Diagnostic> problems;
  for (const Layer& layer : model.layers) {
    LayerWeights one{layer.name, {}};
    for (const ParameterSpec& spec : layer.parameters) {
      if (spec.carried) continue;
      const std::string name = layer.name + "/" + spec.name;
      const rt::Array* array = file.find(name.c_str());
      if (array == nullptr) {
        problems.push_back(
            make_error(DiagKind::kInvalidData, {}, "the weights have no \"{}\"", name));
      } else {
        one.weights.emplace_back(spec.name, array);
      }
    }
    all.push_back(std::move(one));
  }
  if (!problems.empty()) return Failure(std::move(problems));
  return all;
}

/// All weights as one group of the manifest, cut into shards of 4 MB as TensorFlow.js does.
Result<Json> write_shards(const std::vector<LayerWeights>& layers, const std::string& folder,
                          std::vector<std::string>* files) {
  constexpr size_t kShardBytes = size_t{4} << 20U;
  rt::Bytes bytes;
  Json entries = Json::array();
  for (const LayerWeights& layer : layers) {
    for (const auto& [name, array] : layer.weights) {
      const bool integers = array->dtype == rt::Dtype::kI32;
      if (array->dtype != rt::Dtype::kF32 && !integers) {
        return make_error(DiagKind::kUnsupported, {},
                          "\"{}/{}\" is {}, which TensorFlow.js does not have", layer.name, name,
                          rt::dtype_name(array->dtype));
      }
      entries.push_back({{"name", layer.name + "/" + name},
                         {"shape", Ints(array->dims.begin(), array->dims.end())},
                         {"dtype", integers ? "int32" : "float32"}});
      bytes.append(array->data.data(), array->data.size());
    }
  }
  const size_t count = std::max<size_t>((bytes.size() + kShardBytes - 1) / kShardBytes, 1);
  Json paths = Json::array();
  for (size_t i = 0; i < count; ++i) {
    const std::string name = fmt::format("group1-shard{}of{}.bin", i + 1, count);
    const size_t begin = i * kShardBytes;
    const std::string path = (std::filesystem::path(folder) / name).string();
    GRADC_TRY_STATUS(
        write_file(path, bytes.data() + begin, std::min(kShardBytes, bytes.size() - begin)));
    paths.push_back(name);
    files->push_back(path);
  }
  return Json{{"paths", std::move(paths)}, {"weights", std::move(entries)}};
}

}  // namespace

Result<OwnJson> native_document(const std::string& path, const InputShapes& shapes) {
  GRADC_TRY(const SourceFile file, open_description(path, kMaxDescriptionBytes));
  GRADC_TRY(OwnJson json, parse_json(file));
  DiagnosticSink sink;
  std::optional<Translation> native = translate(JsonCursor(*json, file.path()), shapes, sink);
  if (sink.has_errors()) return Failure(sink.take());
  return native ? std::move(native->json) : std::move(json);
}

Status write_tfjs(const Model& model, const rt::SafetensorsFile* weights, const std::string& folder,
                  std::vector<std::string>* files) {
  GRADC_TRY(OwnJson topology, export_keras(model));
  std::vector<LayerWeights> layers;
  if (weights != nullptr) {
    GRADC_TRY(layers, weights_by_layer(model, *weights));
  }
  Json inner = {{"keras_version", kWrittenKerasVersion}, {"backend", "tensorflow"}};
  inner["model_config"] = {{"class_name", (*topology)["class_name"]},
                           {"config", (*topology)["config"]}};
  Json training = export_training(model);
  if (!training.is_null()) inner["training_config"] = std::move(training);
  Json document = {
      {"format", "layers-model"}, {"generatedBy", "keras v2.15.0"}, {"convertedBy", "gradc"}};
  document["modelTopology"] = std::move(inner);
  document["weightsManifest"] = Json::array();
  std::error_code error;
  std::filesystem::create_directories(folder, error);  // what fails is told by the first file
  if (weights != nullptr) {
    GRADC_TRY(Json group, write_shards(layers, folder, files));
    document["weightsManifest"].push_back(std::move(group));
  }
  const std::string text = text_of(document);
  const std::string path = (std::filesystem::path(folder) / "model.json").string();
  GRADC_TRY_STATUS(write_file(path, text.data(), text.size()));
  files->push_back(path);
  return Ok{};
}

Status write_h5(const Model& model, const rt::SafetensorsFile* weights, const std::string& path) {
  GRADC_TRY(OwnJson topology, export_keras(model));
  H5Content content;
  if (weights != nullptr) {
    GRADC_TRY(content.layers, weights_by_layer(model, *weights));
    for (H5Content::Layer& layer : content.layers) {
      for (auto& [name, array] : layer.weights)
        name = layer.name + "/" + name + ":0";
    }
  }
  const Json config = {{"class_name", (*topology)["class_name"]},
                       {"config", (*topology)["config"]}};
  content.weight_texts = {{"keras_version", kWrittenKerasVersion}, {"backend", "tensorflow"}};
  content.texts = content.weight_texts;
  content.texts.emplace_back("model_config", text_of(config));
  const Json training = export_training(model);
  if (!training.is_null()) content.texts.emplace_back("training_config", text_of(training));
  GRADC_TRY(const std::vector<char> image, make_h5(content));
  return write_file(path, image.data(), image.size());
}

}  // namespace gradc::exchange
