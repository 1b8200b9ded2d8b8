#include "exchange/torch_weights.h"

#include "frontend/json_reader.h"
#include "support/utf8.h"

#include "exchange/array_axes.h"
#include "exchange/flattened_image.h"
#include "exchange/torch_layout.h"
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace gradc::exchange {
namespace {

/// One module of PyTorch: its tensors by the ends of their names.
struct Module {
  std::string name;
  std::map<std::string, rt::Array*> tensors;
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Names as people count: "layer.2" before "layer.10".
bool before(const std::string& a, const std::string& b) {
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      size_t end_i = i;
      size_t end_j = j;
      while (end_i < a.size() && is_digit(a[end_i]))
        ++end_i;
      while (end_j < b.size() && is_digit(b[end_j]))
        ++end_j;
      const std::string one = a.substr(i, end_i - i);
      const std::string other = b.substr(j, end_j - j);
      if (one.size() != other.size()) return one.size() < other.size();
      if (one != other) return one < other;
      i = end_i;
      j = end_j;
      continue;
    }
    if (a[i] != b[j]) return a[i] < b[j];
    ++i;
    ++j;
  }
  return a.size() - i < b.size() - j;
}

/// The module "out_proj" of an nn.MultiheadAttention is a part of it.
void join_projections(std::vector<Module>& modules) {
  for (Module& module : modules) {
    if (module.tensors.count("in_proj_weight") + module.tensors.count("q_proj_weight") == 0)
      continue;
    const std::string name = (module.name.empty() ? "" : module.name + ".") + "out_proj";
    const auto output = std::find_if(modules.begin(), modules.end(),
                                     [&](const Module& one) { return one.name == name; });
    if (output == modules.end()) continue;
    for (const auto& [end, array] : std::exchange(output->tensors, {}))
      module.tensors["out_proj." + end] = array;
  }
  std::erase_if(modules, [](const Module& module) { return module.tensors.empty(); });
}

std::vector<Module> modules_of(rt::SafetensorsFile& file) {
  std::vector<Module> modules;
  for (rt::Array& array : file.arrays) {
    const auto [module, end] = split_torch_name({array.name.c_str(), array.name.size()});
    if (end == "num_batches_tracked") continue;
    auto found = std::find_if(modules.begin(), modules.end(),
                              [&](const Module& one) { return one.name == module; });
    if (found == modules.end()) found = modules.insert(modules.end(), {module, {}});
    found->tensors[end] = &array;
  }
  join_projections(modules);
  std::sort(modules.begin(), modules.end(),
            [](const Module& a, const Module& b) { return before(a.name, b.name); });
  return modules;
}

/// What the module of a layer is called where nothing says it.
std::string dotted(std::string name) {
  std::replace(name.begin(), name.end(), '/', '.');
  return name;
}

/// More of a parameter: behind what there is, or added to it.
void append(rt::Array& all, const rt::Array& part, bool sums) {
  if (!sums || all.data.size() == 0) {
    all.data.append(part.data.data(), part.data.size());
    return;
  }
  for (size_t i = 0; i < part.count(); ++i)
    rt::store_f64(all.data.data(), all.dtype, i,
                  rt::load_f64(all.data.data(), all.dtype, i) +
                      rt::load_f64(part.data.data(), part.dtype, i));
}

/// What both ways say of a file's weights: every problem, told at once.
class TorchNames {
 protected:
  TorchNames(const Model& model, const std::string& path) : model_(model), path_(path) {
    for (size_t i = 0; i < model.layers.size(); ++i) {
      if (!model.layers[i].parameters.empty()) layers_.push_back(i);
    }
  }

  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back(make_error(DiagKind::kInvalidData, {.file = path_}, "{}",
                                   fmt::format(format, std::forward<Args>(args)...)));
  }

  /// Layers that a map names and the model lacks.
  void report_unknown(const ModuleMap& map) {
    for (const auto& [name, module] : map) {
      const bool known =
          std::any_of(layers_.begin(), layers_.end(),
                      [&wanted = name, this](size_t i) { return model_.layers[i].name == wanted; });
      if (!known)
        problem("the map names \"{}\", which is no layer with parameters", printable(name, 80));
    }
  }

  /// The flattened image before a layer, empty for none; nothing, and a problem, where PyTorch
  /// cannot have the layer or the order of its elements cannot be told.
  std::optional<Ints> image_before(size_t index) {
    const Layer& layer = model_.layers[index];
    Flattened before = flattened_before(model_, index);
    std::string why = torch_refusal(layer);
    if (why.empty() && before.unclear)
      why =
          "stands behind a flattened image in a way in which the order of PyTorch's elements "
          "cannot be told";
    if (why.empty()) return std::move(before.image);
    problem("layer \"{}\" {}", layer.name, why);
    return std::nullopt;
  }

  Status status() {
    if (!problems_.empty()) return Failure(std::move(problems_));
    return Ok{};
  }

  const Model& model_;
  const std::string& path_;
  std::vector<size_t> layers_;  ///< with parameters
  std::vector<Diagnostic> problems_;
};

class TorchAssignment : TorchNames {
 public:
  TorchAssignment(const Model& model, const std::string& path, rt::SafetensorsFile& file,
                  std::vector<std::string>* report)
      : TorchNames(model, path), modules_(modules_of(file)), report_(report) {}

  Status run(const ModuleMap& given, rt::SafetensorsFile* out) {
    const ModuleMap map = given.empty() ? by_name() : given;
    if (map.empty() && layers_.size() != modules_.size()) return other_count();
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = model_.layers[layers_[i]];
      const Module* module = map.empty() ? &modules_[i] : find(map, layer.name);
      if (module != nullptr) take(layers_[i], *module, out);
    }
    report_unknown(map);
    report_unused();
    return status();
  }

 private:
  /// The modules that are called as the layers are, if all are; else empty.
  ModuleMap by_name() const {
    ModuleMap map;
    for (const size_t i : layers_) {
      const std::string name = dotted(model_.layers[i].name);
      const auto module = std::find_if(modules_.begin(), modules_.end(), [&](const Module& one) {
        return one.name == name || one.name == name + ".l0";
      });
      if (module == modules_.end()) return {};
      map[model_.layers[i].name] = module->name;
    }
    return map;
  }

  /// Tensors that nothing took.
  void report_unused() {
    if (!problems_.empty()) return;  // what was not taken may follow from them
    for (const Module& module : modules_) {
      for (const auto& [end, array] : module.tensors) {
        if (used_.count(array) == 0)
          problem("\"{}\" is in no layer of the model",
                  printable({array->name.c_str(), array->name.size()}, 120));
      }
    }
  }

  Status other_count() {
    std::vector<std::string> layers;
    std::vector<std::string> modules;
    for (const size_t i : layers_)
      layers.push_back(model_.layers[i].name);
    for (const Module& module : modules_)
      modules.push_back(printable(module.name, 80));
    return make_error(DiagKind::kInvalidData, {.file = path_},
                      "the model has {} layers with parameters ({}), the file {} modules ({})",
                      layers.size(), fmt::join(layers, ", "), modules.size(),
                      fmt::join(modules, ", "))
        .with_help("say which is which by --map FILE, a JSON object {\"layer\": \"module\", ...}");
  }

  const Module* find(const ModuleMap& map, const std::string& layer) {
    const auto entry = map.find(layer);
    if (entry == map.end()) {
      problem("the map names no module for layer \"{}\"", layer);
      return nullptr;
    }
    for (const Module& module : modules_) {
      if (module.name == entry->second) return &module;
    }
    problem("layer \"{}\" is to be the module \"{}\", which the file does not have", layer,
            printable(entry->second, 80));
    return nullptr;
  }

  void take(size_t index, const Module& module, rt::SafetensorsFile* out) {
    const Layer& layer = model_.layers[index];
    const std::optional<Ints> image = image_before(index);
    if (!image) return;
    for (const ParameterSpec& spec : layer.parameters) {
      if (!spec.carried) take(layer, spec, torch_layout(layer, spec, *image), module, out);
    }
  }

  void take(const Layer& layer, const ParameterSpec& spec, const TorchLayout& layout,
            const Module& module, rt::SafetensorsFile* out) {
    const std::string name = layer.name + "/" + spec.name;
    rt::Array all;
    std::string theirs;
    for (const TorchPart& part : layout.parts) {
      const auto found = module.tensors.find(part.end);
      if (found == module.tensors.end()) {
        theirs.clear();
        break;
      }
      const rt::Array& tensor = *found->second;
      used_.insert(&tensor);
      theirs +=
          (theirs.empty() ? "" : ", ") + printable({tensor.name.c_str(), tensor.name.size()}, 80);
      const Ints dims(tensor.dims.begin(), tensor.dims.end());
      if (dims != part.dims) {
        problem("\"{}\" is [{}], and what \"{}\" is made of [{}]",
                printable({tensor.name.c_str(), tensor.name.size()}, 80), fmt::join(dims, ", "),
                name, fmt::join(part.dims, ", "));
        return;
      }
      append(all, take_part(part, tensor), layout.sums);
    }
    if (theirs.empty()) {
      problem("the module \"{}\" has nothing that is \"{}\"", printable(module.name, 80), name);
      return;
    }
    report_->push_back(fmt::format("{} <- {}", name, theirs));
    reshape(all, spec.shape);
    all.source = rt::Str(theirs.c_str(), theirs.size());
    all.name = rt::Str(name.c_str(), name.size());
    out->arrays.push(std::move(all));
  }

  std::vector<Module> modules_;
  std::vector<std::string>* report_;
  std::set<const rt::Array*> used_;
};

/// The tensors of modules, made of parameters.
class TorchExport : TorchNames {
 public:
  TorchExport(const Model& model, const std::string& path, const rt::SafetensorsFile& file,
              const ModuleMap& map, rt::SafetensorsFile* out, std::vector<std::string>* report)
      : TorchNames(model, path), file_(file), map_(map), out_(*out), report_(*report) {}

  Status run() {
    std::map<std::string, std::string> layer_of;  // by module
    for (const size_t i : layers_) {
      const Layer& layer = model_.layers[i];
      const std::string module = module_of(layer);
      const auto [other, is_new] = layer_of.emplace(module, layer.name);
      if (!is_new) {
        problem("\"{}\" and \"{}\" are both to be the module \"{}\"", other->second, layer.name,
                printable(module, 80));
        continue;
      }
      const std::optional<Ints> image = image_before(i);
      if (!image) continue;
      for (const ParameterSpec& spec : layer.parameters) {
        if (!spec.carried) put(layer, spec, torch_layout(layer, spec, *image), module);
      }
    }
    report_unknown(map_);
    return status();
  }

 private:
  std::string module_of(const Layer& layer) {
    if (map_.empty()) return dotted(layer.name);
    const auto entry = map_.find(layer.name);
    if (entry != map_.end()) return entry->second;
    problem("the map names no module for layer \"{}\"", layer.name);
    return layer.name;
  }

  void put(const Layer& layer, const ParameterSpec& spec, const TorchLayout& layout,
           const std::string& module) {
    const std::string name = layer.name + "/" + spec.name;
    const rt::Array* array = file_.find(name.c_str());
    if (array == nullptr) return problem("\"{}\" is not there", name);
    if (layout.parts.empty()) return problem("PyTorch has no tensor that is \"{}\"", name);
    const size_t count = array->count() / (layout.sums ? 1 : layout.parts.size());
    for (size_t i = 0; i < layout.parts.size(); ++i) {
      const TorchPart& part = layout.parts[i];
      rt::Array values;
      values.data.resize(count * sizeof(float));
      for (size_t at = 0; at < count && !(layout.sums && i > 0); ++at)
        rt::store_f64(
            values.data.data(), values.dtype, at,
            rt::load_f64(array->data.data(), array->dtype, at + (layout.sums ? 0 : i * count)));
      rt::Array& tensor = tensor_of(join_torch_name(module, part.end), part.dims);
      put_part(part, std::move(values), tensor);
      report_.push_back(fmt::format("{} -> {}", name, tensor.name.c_str()));
    }
  }

  /// Zeros before anything is put there; several parameters can be parts of it.
  rt::Array& tensor_of(const std::string& name, const Ints& dims) {
    for (rt::Array& array : out_.arrays) {
      if (name == array.name.c_str()) return array;
    }
    rt::Array array;
    array.name = rt::Str(name.c_str(), name.size());
    reshape(array, dims);
    array.data.resize(array.count() * sizeof(float));
    std::fill(array.data.begin(), array.data.end(), uint8_t{0});
    out_.arrays.push(std::move(array));
    return out_.arrays[out_.arrays.size() - 1];
  }

  const rt::SafetensorsFile& file_;
  const ModuleMap& map_;
  rt::SafetensorsFile& out_;
  std::vector<std::string>& report_;
};

}  // namespace

bool has_torch_names(const rt::SafetensorsFile& file) {
  bool any = false;
  for (const rt::Array& array : file.arrays) {
    const std::string_view name(array.name.c_str(), array.name.size());
    if (name.find('/') != std::string_view::npos) return false;
    const std::string end = split_torch_name(std::string(name)).second;
    any = any || end == "weight" || end == "weight_ih" || end == "weight_hh";
  }
  return any;
}

Result<ModuleMap> read_module_map(const std::string& path) {
  constexpr size_t kMaxMapBytes = size_t{16} << 20U;
  GRADC_TRY(const SourceFile file, read_source_file(path, kMaxMapBytes));
  GRADC_TRY(const OwnJson json, parse_json(file));
  DiagnosticSink sink;
  const JsonCursor root(*json, path);
  ModuleMap map;
  if ((*json).is_object() && (*json).empty())
    return make_error(DiagKind::kInvalidData, {.file = path}, "the map is empty")
        .with_help("leave --map out to take the modules in order");
  if (!(*json).is_object()) {
    report_wrong_type(sink, root, "an object {\"layer\": \"module\", ...}");
    return Failure(sink.take());
  }
  for (const auto& [layer, module] : (*json).items()) {
    if (const auto name = read_string(sink, root.member(layer))) map[layer] = *name;
  }
  if (sink.has_errors()) return Failure(sink.take());
  return map;
}

Status assign_torch_weights(const Model& model, const std::string& path, rt::SafetensorsFile file,
                            const ModuleMap& map, rt::SafetensorsFile* out,
                            std::vector<std::string>* report) {
  return TorchAssignment(model, path, file, report).run(map, out);
}

Status torch_weights(const Model& model, const std::string& path, const rt::SafetensorsFile& file,
                     const ModuleMap& map, rt::SafetensorsFile* out,
                     std::vector<std::string>* report) {
  return TorchExport(model, path, file, map, out, report).run();
}

}  // namespace gradc::exchange
