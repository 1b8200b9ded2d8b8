#include "exchange/h5_weights.h"

#include "support/json.h"
#include "support/utf8.h"

#include "exchange/keras_options.h"

#include <algorithm>

namespace gradc::exchange {
namespace {

std::string weights_root(const H5File& file) {
  return file.is_group("model_weights") ? "model_weights" : "";
}

// ---- older layouts (Keras 2's preprocess_weights_for_loading) ----

std::string attribute(const H5File& file, const std::string& object, const char* name) {
  for (const std::string& at : {object, std::string()}) {
    if (!file.has_attribute(at, name)) continue;
    const auto text = file.strings(at, name);
    if (text.ok() && text->size() == 1) return text->front();
  }
  return {};
}

/// Arrays that differ in their last axis only, one behind the other along it.
rt::Array join(const std::vector<rt::Array>& arrays, const std::vector<size_t>& order) {
  rt::Array out;
  const rt::Array& first = arrays[order.front()];
  out.name = first.name.clone();
  out.dtype = first.dtype;
  out.dims = first.dims.clone();
  const size_t row = static_cast<size_t>(first.dims.back()) * rt::dtype_bytes(first.dtype);
  out.dims.back() *= static_cast<int64_t>(order.size());
  for (size_t begin = 0; begin < first.data.size(); begin += row) {
    for (const size_t index : order)
      out.data.append(arrays[index].data.data() + begin, row);
  }
  return out;
}

/// Keras 1 keeps the gates of a recurrent layer apart: kernel, recurrent kernel and bias of each.
/// An LSTM's are in the order i, c, f, o, a GRU's z, r, h.
void join_gates(WeightGroup& group) {
  std::vector<std::vector<size_t>> orders;
  if (group.arrays.size() == 12) orders = {{0, 6, 3, 9}, {1, 7, 4, 10}, {2, 8, 5, 11}};
  if (group.arrays.size() == 9) orders = {{0, 3, 6}, {1, 4, 7}, {2, 5, 8}};
  std::vector<rt::Array> joined;
  for (const std::vector<size_t>& order : orders) {
    const rt::Array& first = group.arrays[order.front()];
    for (const size_t index : order) {
      const rt::Array& other = group.arrays[index];
      const bool same = other.dtype == first.dtype && other.dims.size() == first.dims.size() &&
                        std::equal(other.dims.begin(), other.dims.end(), first.dims.begin());
      if (!same || first.dims.empty() || first.count() == 0) return;
    }
    joined.push_back(join(group.arrays, order));
  }
  if (!joined.empty()) group.arrays = std::move(joined);
}

}  // namespace

bool h5_has_description(const H5File& file) {
  return file.has_attribute("", "model_config");
}

Result<std::string> h5_description(const H5File& file) {
  std::string text = "{";
  for (const char* key : {"model_config", "training_config", "keras_version", "backend"}) {
    if (!file.has_attribute("", key)) continue;
    GRADC_TRY(const std::vector<std::string> value, file.strings("", key));
    if (value.size() != 1) continue;
    const bool is_json = std::string_view(key).ends_with("config");
    text += fmt::format("{}\n\"{}\": {}", text.size() > 1 ? "," : "", key,
                        is_json ? value.front() : Json(printable(value.front(), 100)).dump());
  }
  return text + "\n}\n";
}

bool h5_has_weights(const H5File& file) {
  const std::string root = weights_root(file);
  return file.has_attribute(root, "layer_names") || file.has_attribute(root, "layer_names0");
}

Result<std::vector<WeightGroup>> read_h5_weights(const H5File& file) {
  const std::string root = weights_root(file);
  GRADC_TRY(const std::vector<std::string> layers, file.split_strings(root, "layer_names"));
  const std::string version = attribute(file, root, "keras_version");
  const bool first_keras = version.empty() || version.starts_with("1.");
  const Origin origin{.first_keras = first_keras,
                      .theano = attribute(file, root, "backend") == "theano"};
  std::vector<WeightGroup> groups;
  for (const std::string& layer : layers) {
    const std::string path = root.empty() ? layer : root + "/" + layer;
    GRADC_TRY(const std::vector<std::string> names, file.split_strings(path, "weight_names"));
    WeightGroup group{layer, {}, origin};
    for (const std::string& name : names) {
      GRADC_TRY(rt::Array array, file.dataset(path + "/" + name));
      array.name = rt::Str(name.c_str(), name.size());
      group.arrays.push_back(std::move(array));
    }
    if (first_keras) join_gates(group);
    groups.push_back(std::move(group));
  }
  return groups;
}

Result<std::optional<StateVariables>> read_h5_state(const H5File& file) {
  constexpr const char* kState = "optimizer_weights";
  if (!file.is_group(kState)) return std::optional<StateVariables>();
  GRADC_TRY(const std::vector<std::string> names, file.split_strings(kState, "weight_names"));
  StateVariables state;
  const std::string version = attribute(file, "", "keras_version");
  const bool before = version.starts_with("1.") || version.empty() ||
                      (version.starts_with("2.") && version.size() > 3 &&
                       !(version[2] == '1' && version[3] >= '1' && version[3] <= '9'));
  state.layout = before ? StateLayout::kBySlot : StateLayout::kKeras;
  for (const std::string& name : names) {
    GRADC_TRY(rt::Array array, file.dataset(std::string(kState) + "/" + name));
    array.name = rt::Str(name.c_str(), name.size());
    state.arrays.push_back(std::move(array));
  }
  return std::optional(std::move(state));
}

}  // namespace gradc::exchange
