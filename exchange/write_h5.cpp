// A whole Keras 2 model in one HDF5 file.
#include "exchange/h5_file.h"
#include "exchange/keras_export.h"
#include "exchange/keras_export_training.h"
#include "exchange/optimizer_state.h"
#include "exchange/write_parts.h"

namespace gradc::exchange {
namespace {

constexpr const char* kWeights = "model_weights";
constexpr const char* kState = "optimizer_weights";

void put_weights(const std::vector<LayerWeights>& layers, H5Content& content) {
  H5Content::Names all{kWeights, "layer_names", {}};
  for (const LayerWeights& layer : layers) {
    all.values.push_back(layer.name);
    const std::string group = std::string(kWeights) + "/" + layer.name;
    H5Content::Names names{group, "weight_names", {}};
    for (const auto& [name, array] : layer.arrays) {
      names.values.push_back(layer.name + "/" + name + ":0");
      content.arrays.emplace_back(group + "/" + names.values.back(), array);
    }
    content.groups.push_back(group);
    content.names.push_back(std::move(names));
  }
  content.names.push_back(std::move(all));
}

void put_state(const std::vector<WrittenVariable>& state, H5Content& content) {
  if (state.empty()) return;
  H5Content::Names names{kState, "weight_names", {}};
  for (const WrittenVariable& variable : state) {
    names.values.push_back(variable.name + ":0");
    content.arrays.emplace_back(std::string(kState) + "/" + names.values.back(), &variable.array);
  }
  content.names.push_back(std::move(names));
}

bool is_legacy(const Json& training) {
  return training.is_object() &&
         training["optimizer_config"]["config"].contains("is_legacy_optimizer");
}

}  // namespace

Status write_h5(const Model& model, const rt::SafetensorsFile* weights, const std::string& path,
                Written* written) {
  constexpr KerasForm kForm = KerasForm::kTwo;
  GRADC_TRY(OwnJson topology, export_keras(model, kForm));
  const Json training = export_training_config(model, written->left_out);
  H5Content content;
  content.groups.emplace_back(kWeights);
  std::vector<WrittenVariable> state;
  if (weights != nullptr) {
    GRADC_TRY(const std::vector<LayerWeights> layers,
              weights_by_layer(model, keras_layer_names(model, kForm), *weights));
    put_weights(layers, content);
    state = state_variables(model, *weights,
                            is_legacy(training) ? StateLayout::kBySlot : StateLayout::kKeras,
                            written->left_out);
    put_state(state, content);
  } else {
    put_weights({}, content);
  }
  const Json config = {{"class_name", (*topology)["class_name"]},
                       {"config", (*topology)["config"]}};
  for (const char* object : {kWeights, ""}) {
    content.texts.push_back({object, "keras_version", keras_version(kForm)});
    content.texts.push_back({object, "backend", "tensorflow"});
  }
  content.texts.push_back({"", "model_config", text_of(config)});
  if (!training.is_null()) content.texts.push_back({"", "training_config", text_of(training)});
  GRADC_TRY(const std::vector<char> image, make_h5(content));
  GRADC_TRY_STATUS(write_file(path, {image.data(), image.size()}));
  written->files.push_back(path);
  return Ok{};
}

}  // namespace gradc::exchange
