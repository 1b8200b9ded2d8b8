// A .keras archive. Variables have no names in it: where one stands follows from the classes of the
// layers before, and from what a layer keeps inside.
#include "exchange/h5_file.h"
#include "exchange/keras_export.h"
#include "exchange/keras_export_training.h"
#include "exchange/keras_paths.h"
#include "exchange/optimizer_state.h"
#include "exchange/write_parts.h"
#include "exchange/zip_writer.h"

#include <map>

namespace gradc::exchange {
namespace {

constexpr std::string_view kVariables = "/vars";

/// The objects of a model and their variables.
class Store {
 public:
  explicit Store(KerasForm form) : form_(form) { content_.groups.emplace_back("vars"); }

  void put_layer(const LayerWeights& layer) {
    if (layer.layer == nullptr) return;
    const std::string type = object_name(keras_class(layer.layer->component.def->type));
    const int number = counts_[type]++;
    const std::string path = "layers/" + (number == 0 ? type : fmt::format("{}_{}", type, number));
    content_.groups.push_back(path + std::string(kVariables));
    if (form_ == KerasForm::kThree)
      content_.texts.push_back({path + std::string(kVariables), "name", layer.name});
    std::map<std::string, int> next;
    for (const auto& [name, array] : layer.arrays) {
      // Keras 3's Normalization does not count what it has seen.
      const bool counts = layer.layer->component.def->type == "normalization" && name == "count";
      if (counts && form_ == KerasForm::kThree) continue;
      const std::string object =
          path + path_inside(*layer.layer, name, form_) + std::string(kVariables);
      // Keras's layer has the matrix that it divides as a variable of its own too.
      const bool divided = layer.layer->component.def->type == "spectral_normalization" &&
                           (name.ends_with("kernel") || name == "embeddings");
      const std::string own = path + std::string(kVariables);
      if (divided && next[own] == 0)
        content_.arrays.emplace_back(fmt::format("{}/{}", own, next[own]++), array);
      content_.arrays.emplace_back(fmt::format("{}/{}", object, next[object]++), array);
    }
  }

  void put_state(const std::vector<WrittenVariable>& state) {
    for (size_t i = 0; i < state.size(); ++i)
      content_.arrays.emplace_back(fmt::format("optimizer/vars/{}", i), &state[i].array);
  }

  const H5Content& content() const { return content_; }

 private:
  KerasForm form_;
  H5Content content_;
  std::map<std::string, int> counts_;
};

/// Keras 3 keeps the rate among the state, where it is no schedule.
void put_rate(const Model& model, std::vector<WrittenVariable>& state) {
  const Component& schedule = *model.training->optimizer.options.component("learning_rate");
  if (state.empty() || schedule.def->type != "constant") return;
  rt::Array rate;
  rate.data.resize(sizeof(float));
  rt::store_f64(rate.data.data(), rate.dtype, 0, schedule.options.number("learning_rate"));
  state.insert(state.begin() + 1, WrittenVariable{"learning_rate", std::move(rate)});
}

}  // namespace

Status write_keras(const Model& model, const rt::SafetensorsFile* weights, const std::string& path,
                   Written* written) {
  const KerasForm form = archive_form(model);
  GRADC_TRY(OwnJson config, export_keras(model, form));
  (*config)["compile_config"] = export_compile_config(model, form, written->left_out);
  Store store(form);
  std::vector<WrittenVariable> state;
  if (weights != nullptr) {
    GRADC_TRY(const std::vector<LayerWeights> layers,
              weights_by_layer(model, keras_layer_names(model, form), *weights));
    for (const LayerWeights& layer : layers)
      store.put_layer(layer);
    const bool legacy = form == KerasForm::kTwoArchive && model.training &&
                        (*config)["compile_config"]["optimizer"]["module"] != "keras.optimizers";
    state = state_variables(model, *weights, legacy ? StateLayout::kBySlot : StateLayout::kKeras,
                            written->left_out);
    if (form == KerasForm::kThree && model.training) put_rate(model, state);
    store.put_state(state);
  }
  GRADC_TRY(const std::vector<char> image, make_h5(store.content()));
  const Json metadata = {{"keras_version", oldest_keras(model, form)},
                         {"date_saved", "1980-01-01@00:00:00"}};  // of the archive's members too
  ZipWriter zip;
  zip.add("metadata.json", metadata.dump());
  zip.add("config.json", text_of(*config));
  zip.add("model.weights.h5", {image.data(), image.size()});
  GRADC_TRY(const std::string bytes, zip.finish());
  GRADC_TRY_STATUS(write_file(path, bytes));
  written->files.push_back(path);
  return Ok{};
}

}  // namespace gradc::exchange
