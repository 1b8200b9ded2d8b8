// A parameter "lstm/kernel" is the array whose path has these parts in this order and ends with the
// last: "lstm/kernel", "lstm/lstm_cell/kernel:0". Where paths say nothing (Keras 1), the k-th layer
// with weights is the k-th group, and its weights are in gradc's order.
#include "support/utf8.h"

#include "exchange/weights.h"
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace gradc::exchange {
namespace {

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    std::string part(path.substr(0, slash));
    const size_t colon = part.find(':');
    if (colon != std::string::npos) part.resize(colon);  // "kernel:0"
    if (!part.empty()) parts.push_back(std::move(part));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

/// Whether `wanted` stands in `path` in its order, the ends the same.
bool leads_to(const std::vector<std::string>& path, const std::vector<std::string>& wanted) {
  if (path.empty() || wanted.empty() || path.back() != wanted.back()) return false;
  size_t next = 0;
  for (const std::string& part : path) {
    if (next < wanted.size() && part == wanted[next]) ++next;
  }
  return next == wanted.size();
}

struct Parameter {
  std::string name;
  size_t layer = 0;
  const ParameterSpec* spec = nullptr;
  rt::Array* array = nullptr;
};

struct Given {
  std::vector<std::string> path;
  rt::Array* array = nullptr;
  bool used = false;
};

class Assignment {
 public:
  Assignment(const Model& model, const std::string& path, std::vector<WeightGroup>& groups)
      : model_(model), path_(path), groups_(groups) {
    for (size_t i = 0; i < model.layers.size(); ++i) {
      for (const ParameterSpec& spec : model.layers[i].parameters) {
        if (!spec.carried)
          parameters_.push_back({model.layers[i].name + "/" + spec.name, i, &spec, nullptr});
      }
    }
    for (WeightGroup& group : groups) {
      for (rt::Array& array : group.arrays) {
        const std::string name(array.name.c_str(), array.name.size());
        given_.push_back({parts_of(group.layer + "/" + name), &array, false});
      }
    }
  }

  Status run(rt::SafetensorsFile* out) {
    if (!by_path() && !by_layer() && !by_order()) return report();
    const Origin origin = groups_.empty() ? Origin{} : groups_.front().origin;
    for (Parameter& parameter : parameters_) {
      modernize(model_.layers[parameter.layer], *parameter.spec, origin, *parameter.array);
      check_shape(parameter);
    }
    if (!problems_.empty()) return Failure(std::move(problems_));
    for (Parameter& parameter : parameters_) {
      parameter.array->source = rt::format("%s: %s", path_.c_str(), parameter.array->name.c_str());
      parameter.array->name = rt::Str(parameter.name.c_str(), parameter.name.size());
      out->arrays.push(std::move(*parameter.array));
    }
    return Ok{};
  }

 private:
  bool by_path() {
    bool all = true;
    for (Parameter& parameter : parameters_) {
      const std::vector<std::string> wanted = parts_of(parameter.name);
      Given* best = nullptr;
      for (Given& given : given_) {
        if (given.used || !leads_to(given.path, wanted)) continue;
        if (best == nullptr || given.path.size() < best->path.size()) best = &given;
      }
      if (best == nullptr) {
        all = false;
        continue;
      }
      best->used = true;
      parameter.array = best->array;
    }
    return all && given_.size() == parameters_.size();
  }

  std::vector<std::vector<Parameter*>> by_layers() {
    std::vector<std::vector<Parameter*>> layers;
    for (Parameter& parameter : parameters_) {
      if (layers.empty() || layers.back().front()->layer != parameter.layer) layers.emplace_back();
      layers.back().push_back(&parameter);
    }
    return layers;
  }

  static void take(const std::vector<Parameter*>& parameters, WeightGroup& group) {
    for (size_t i = 0; i < parameters.size(); ++i)
      parameters[i]->array = &group.arrays[i];
  }

  /// Groups that are called as the layers.
  bool by_layer() {
    const auto flat = [](std::string name) {
      std::replace(name.begin(), name.end(), '/', '_');
      return name;
    };
    std::map<std::string, WeightGroup*> groups;
    for (WeightGroup& group : groups_) {
      if (!group.arrays.empty()) groups.emplace(flat(group.layer), &group);
    }
    const auto layers = by_layers();
    if (layers.size() != groups.size()) return false;
    for (const auto& parameters : layers) {
      const auto group = groups.find(flat(model_.layers[parameters.front()->layer].name));
      if (group == groups.end() || group->second->arrays.size() != parameters.size()) return false;
      take(parameters, *group->second);
    }
    return true;
  }

  /// Layers that have parameters, and groups that have arrays, one for one.
  bool by_order() {
    const auto layers = by_layers();
    std::vector<WeightGroup*> filled;
    for (WeightGroup& group : groups_) {
      if (!group.arrays.empty()) filled.push_back(&group);
    }
    if (layers.size() != filled.size()) return false;
    for (size_t i = 0; i < layers.size(); ++i) {
      if (layers[i].size() != filled[i]->arrays.size()) return false;
    }
    for (size_t i = 0; i < layers.size(); ++i)
      take(layers[i], *filled[i]);
    return true;
  }

  void check_shape(const Parameter& parameter) {
    const rt::Array& array = *parameter.array;
    const Ints shape(array.dims.begin(), array.dims.end());
    if (shape == parameter.spec->shape) return;
    problems_.push_back(make_error(
        DiagKind::kShapeMismatch, {.file = path_}, "\"{}\" is {}, but the model's \"{}\" is [{}]",
        printable({array.name.c_str(), array.name.size()}, 120), rt::array_type_text(array).c_str(),
        parameter.name, fmt::join(parameter.spec->shape, ", ")));
  }

  Status report() {
    for (const Parameter& parameter : parameters_) {
      if (parameter.array == nullptr)
        problems_.push_back(make_error(DiagKind::kInvalidData, {.file = path_},
                                       "the file has no weights for \"{}\" [{}]", parameter.name,
                                       fmt::join(parameter.spec->shape, ", ")));
    }
    for (const Given& given : given_) {
      if (!given.used)
        problems_.push_back(
            make_error(DiagKind::kInvalidData, {.file = path_},
                       "the file's \"{}\" {} is in no layer of the model",
                       printable({given.array->name.c_str(), given.array->name.size()}, 120),
                       rt::array_type_text(*given.array).c_str()));
    }
    return Failure(std::move(problems_));
  }

  const Model& model_;
  const std::string& path_;
  std::vector<WeightGroup>& groups_;
  std::vector<Parameter> parameters_;
  std::vector<Given> given_;
  std::vector<Diagnostic> problems_;
};

}  // namespace

Status assign_weights(const Model& model, const std::string& path, std::vector<WeightGroup> groups,
                      rt::SafetensorsFile* out) {
  return Assignment(model, path, groups).run(out);
}

}  // namespace gradc::exchange
