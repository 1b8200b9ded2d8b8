// A folder of TensorFlow.js: all weights as one group of the manifest, the optimizer's behind them,
// cut into shards of 4 MB as TensorFlow.js does.
#include "exchange/keras_export.h"
#include "exchange/keras_export_training.h"
#include "exchange/optimizer_state.h"
#include "exchange/write_parts.h"

#include <algorithm>
#include <filesystem>

namespace gradc::exchange {
namespace {

class Shards {
 public:
  Status add(const std::string& name, const rt::Array& array, bool optimizer) {
    const bool integers = array.dtype == rt::Dtype::kI32;
    if (array.dtype != rt::Dtype::kF32 && !integers) {
      return make_error(DiagKind::kUnsupported, {},
                        "\"{}\" is {}, which TensorFlow.js does not have", name,
                        rt::dtype_name(array.dtype));
    }
    Json entry = {{"name", name},
                  {"shape", Ints(array.dims.begin(), array.dims.end())},
                  {"dtype", integers ? "int32" : "float32"}};
    if (optimizer) entry["group"] = "optimizer";
    entries_.push_back(std::move(entry));
    bytes_.append(reinterpret_cast<const char*>(array.data.data()), array.data.size());
    return Ok{};
  }

  /// The group of the manifest.
  Result<Json> write(const std::string& folder, OutputFiles& files) const {
    constexpr size_t kShardBytes = size_t{4} << 20U;
    const size_t count = std::max<size_t>((bytes_.size() + kShardBytes - 1) / kShardBytes, 1);
    Json paths = Json::array();
    for (size_t i = 0; i < count; ++i) {
      const std::string name = fmt::format("group1-shard{}of{}.bin", i + 1, count);
      const std::string path = (std::filesystem::path(folder) / name).string();
      GRADC_TRY_STATUS(
          files.prepare(path, std::string_view(bytes_).substr(i * kShardBytes, kShardBytes)));
      paths.push_back(name);
    }
    return Json{{"paths", std::move(paths)}, {"weights", entries_}};
  }

 private:
  Json entries_ = Json::array();
  std::string bytes_;
};

}  // namespace

Status write_tfjs(const Model& model, const rt::SafetensorsFile* weights, const std::string& folder,
                  Written* written) {
  constexpr KerasForm kForm = KerasForm::kTwo;
  GRADC_TRY(OwnJson topology, export_keras(model, kForm));
  Shards shards;
  Json own = export_tfjs_training(model);
  if (weights != nullptr) {
    GRADC_TRY(const std::vector<LayerWeights> layers,
              weights_by_layer(model, keras_layer_names(model, kForm), *weights));
    for (const LayerWeights& layer : layers) {
      for (const auto& [name, array] : layer.arrays)
        GRADC_TRY_STATUS(shards.add(layer.name + "/" + name, *array, false));
    }
    if (own.is_null()) {
      leave_state_out(model, *weights, "TensorFlow.js does not have its optimizer or loss",
                      written->left_out);
    } else {
      for (const WrittenVariable& variable :
           state_variables(model, *weights, StateLayout::kTfjs, written->left_out))
        GRADC_TRY_STATUS(shards.add(variable.name, variable.array, true));
    }
  }
  Json inner = {{"keras_version", keras_version(kForm)}, {"backend", "tensorflow"}};
  inner["model_config"] = {{"class_name", (*topology)["class_name"]},
                           {"config", (*topology)["config"]}};
  Json document = {{"format", "layers-model"},
                   {"generatedBy", fmt::format("keras v{}", keras_version(kForm))},
                   {"convertedBy", "gradc"}};
  const bool of_tfjs = model.training && model.training->optimizer.options.defines("epsilon_as") &&
                       model.training->optimizer.options.text("epsilon_as") == "tensorflow_js";
  // Keras's record says more; what was trained by TensorFlow.js's formulas goes on by them.
  if (model.training && (!of_tfjs || own.is_null()))
    inner["training_config"] = export_training_config(model, written->left_out);
  document["modelTopology"] = std::move(inner);
  if (!own.is_null()) document["trainingConfig"] = std::move(own);
  document["weightsManifest"] = Json::array();
  std::error_code error;
  std::filesystem::create_directories(folder, error);  // what fails is told by the first file
  OutputFiles files;
  if (weights != nullptr) {
    GRADC_TRY(Json group, shards.write(folder, files));
    document["weightsManifest"].push_back(std::move(group));
  }
  GRADC_TRY_STATUS(files.prepare(main_file(FileFormat::kTfjs, folder), text_of(document)));
  return files.commit(&written->files);
}

}  // namespace gradc::exchange
