// The variables in .keras archives: those of each layer are found by its class and its number among
// the layers of this class.
#include "support/json.h"
#include "support/utf8.h"

#include "exchange/h5_weights.h"
#include "exchange/keras_options.h"
#include "exchange/keras_paths.h"

#include <map>
#include <set>

namespace gradc::exchange {
namespace {

constexpr int kMaxDepth = 16;  // of models, as in keras_model.cpp

/// What layers keep variables in, in the order of gradc's parameters.
constexpr const char* kParts[] = {"forward_layer", "backward_layer", "cell",
                                  "layer",         "query_dense",    "key_dense",
                                  "value_dense",   "output_dense",   "_query_dense",
                                  "_key_dense",    "_value_dense",   "_output_dense"};

class VariableReader {
 public:
  explicit VariableReader(const H5File& file) : file_(file) {}

  Result<std::vector<WeightGroup>> read(const KerasModel& model) {
    GRADC_TRY_STATUS(read_model(model, "", "", 0));
    return std::move(groups_);
  }

 private:
  Status read_model(const KerasModel& model, const std::string& at, const std::string& prefix,
                    int depth) {
    const std::string folder = find_folder(model, at);
    if (folder.empty() || depth > kMaxDepth) return Ok{};
    const std::string separator(1, folder.back());
    std::map<std::string, int> counts;
    for (const KerasNode& node : model.layers) {
      if (node.is_input) continue;
      const std::string type = object_name(node.layer.class_name);
      const int number = counts[type]++;
      const std::string path = folder + (number == 0 ? type : fmt::format("{}_{}", type, number));
      const std::string name = prefix + node.layer.name;
      if (node.inner != nullptr) {
        GRADC_TRY_STATUS(read_model(*node.inner, path + separator, name + "/", depth + 1));
        continue;
      }
      WeightGroup group{name, {}};
      GRADC_TRY_STATUS(read_object(path, separator, group));
      GRADC_TRY_STATUS(read_cells(node, path, separator, group));
      if (type == "spectral_normalization") vector_last(path, group);
      if (type == "normalization" && group.arrays.size() == 2)
        group.arrays.push_back(nothing_seen());
      if (!group.arrays.empty()) groups_.push_back(std::move(group));
    }
    return Ok{};
  }

  /// Where the layers are. Keras up to 2.15 joins names as the system does that it runs on: with
  /// backslashes, one group has the name of the whole path.
  std::string find_folder(const KerasModel& model, const std::string& at) const {
    for (const std::string name : {"_layer_checkpoint_dependencies", "layers"}) {
      if (file_.is_group(at + name)) return at + name + "/";
      for (const KerasNode& node : model.layers) {
        const std::string first = at + name + "\\" + object_name(node.layer.class_name);
        if (!node.is_input && file_.is_group(first)) return at + name + "\\";
      }
    }
    return {};
  }

  /// Variables of an object and of those inside of it. Each object is one layer's: a group that is
  /// met again lies in itself, or where it does not belong.
  Status read_object(const std::string& path, const std::string& separator, WeightGroup& group) {
    const auto address = file_.address(path);
    if (address && !met_.insert(*address).second) {
      return make_error(DiagKind::kInvalidData, {},
                        "the group \"{}\" has another name too, but "
                        "no variables are those of two layers",
                        printable(path, 120));
    }
    for (int i = 0;; ++i) {
      const std::string variable = fmt::format("{}/vars/{}", path, i);
      if (!file_.has(variable)) break;
      GRADC_TRY(rt::Array array, file_.dataset(variable));
      group.arrays.push_back(std::move(array));
    }
    for (const char* part : kParts) {
      const std::string inner = path + separator + part;
      if (file_.is_group(inner)) GRADC_TRY_STATUS(read_object(inner, separator, group));
    }
    return Ok{};
  }

  /// The cells of a stack, which the layer's config lists.
  Status read_cells(const KerasNode& node, const std::string& layer, const std::string& separator,
                    WeightGroup& group) {
    const std::string folder = layer + separator + "cell" + separator + "cells" + separator;
    const JsonCursor& config = node.layer.config;
    if (!config.has("cell") || !config.member("cell").has("config")) return Ok{};
    const JsonCursor stack = config.member("cell").member("config");
    if (!stack.has("cells") || !stack.value()["cells"].is_array()) return Ok{};
    std::map<std::string, int> counts;
    for (const Json& cell : stack.value()["cells"]) {
      const std::string type = snake_case(string_member(cell, "class_name"));
      const int number = counts[type]++;
      const std::string path = folder + (number == 0 ? type : fmt::format("{}_{}", type, number));
      GRADC_TRY_STATUS(read_object(path, separator, group));
    }
    return Ok{};
  }

  /// Its own variables are the matrix, which is the inner layer's too, and the vector.
  void vector_last(const std::string& path, WeightGroup& group) const {
    const size_t own = file_.has(path + "/vars/1") ? 2 : 1;
    if (group.arrays.size() <= own) return;
    group.arrays.push_back(std::move(group.arrays[own - 1]));
    group.arrays.erase(group.arrays.begin(), group.arrays.begin() + static_cast<ptrdiff_t>(own));
  }

  /// The "count" of a Normalization layer, which Keras 3 does without.
  static rt::Array nothing_seen() {
    rt::Array array;
    array.name = "count";
    array.data.resize(sizeof(float));
    return array;
  }

  const H5File& file_;
  std::vector<WeightGroup> groups_;
  std::set<uint64_t> met_;  ///< groups that were read, by their addresses
};

}  // namespace

Result<std::vector<WeightGroup>> read_keras_variables(const H5File& file, const KerasModel& model) {
  return VariableReader(file).read(model);
}

Result<std::optional<StateVariables>> read_keras_state(const H5File& file) {
  constexpr const char* kState = "optimizer/vars";
  if (!file.is_group(kState)) return std::optional<StateVariables>();
  StateVariables state;
  for (int i = 0;; ++i) {
    const std::string variable = fmt::format("{}/{}", kState, i);
    if (!file.has(variable)) break;
    GRADC_TRY(rt::Array array, file.dataset(variable));
    state.arrays.push_back(std::move(array));
  }
  return std::optional(std::move(state));
}

}  // namespace gradc::exchange
