#include "exchange/torch_weights.h"

#include "frontend/json_reader.h"
#include "support/utf8.h"

#include "exchange/array_axes.h"
#include "exchange/flattened_image.h"
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

/// The layers of nn.LSTM and its like are modules of their own: "rnn.weight_ih_l1" is "weight_ih"
/// of "rnn.l1".
std::pair<std::string, std::string> split_name(const std::string& name) {
  const size_t dot = name.rfind('.');
  std::string module = dot == std::string::npos ? "" : name.substr(0, dot);
  std::string end = dot == std::string::npos ? name : name.substr(dot + 1);
  size_t digits = end.size();
  while (digits > 0 && is_digit(end[digits - 1]))
    --digits;
  if (digits < end.size() && digits >= 2 && end.compare(digits - 2, 2, "_l") == 0) {
    module += (module.empty() ? "l" : ".l") + end.substr(digits);
    end.resize(digits - 2);
  }
  return {module, end};
}

std::vector<Module> modules_of(rt::SafetensorsFile& file) {
  std::vector<Module> modules;
  for (rt::Array& array : file.arrays) {
    const auto [module, end] = split_name({array.name.c_str(), array.name.size()});
    if (end == "num_batches_tracked") continue;
    auto found = std::find_if(modules.begin(), modules.end(),
                              [&](const Module& one) { return one.name == module; });
    if (found == modules.end()) found = modules.insert(modules.end(), {module, {}});
    found->tensors[end] = &array;
  }
  std::sort(modules.begin(), modules.end(),
            [](const Module& a, const Module& b) { return before(a.name, b.name); });
  return modules;
}

/// What a rule sees of one parameter.
struct Ask {
  const Layer& layer;
  const ParameterSpec& spec;
  const Module& module;
  const Ints& image;  ///< of a layer behind a flattened image: its shape, channels last
  std::set<const rt::Array*>& used;

  const rt::Array* find(const char* name) const {
    const auto found = module.tensors.find(name);
    if (found == module.tensors.end()) return nullptr;
    used.insert(found->second);
    return found->second;
  }
};

/// In f32, whatever it was.
rt::Array copy_of(const rt::Array& array) {
  if (array.dtype == rt::Dtype::kF32) return array.clone();
  rt::Array copy;
  copy.name = array.name.clone();
  copy.dims = array.dims.clone();
  copy.data.resize(array.count() * sizeof(float));
  for (size_t i = 0; i < array.count(); ++i)
    rt::store_f64(copy.data.data(), copy.dtype, i, rt::load_f64(array.data.data(), array.dtype, i));
  return copy;
}

using Found = std::optional<rt::Array>;

Found plain(const Ask& ask, const char* name) {
  const rt::Array* array = ask.find(name);
  return array == nullptr ? Found() : Found(copy_of(*array));
}

/// PyTorch flattens with channels first: the first axis, as channels last have it.
void order_rows(const Ints& image, rt::Array& array) {
  if (image.size() < 2 || array.dims.empty()) return;
  const Ints dims(array.dims.begin(), array.dims.end());
  const int64_t channels = image.back();
  if (channels == 0 || dims[0] == 0 || dims[0] % channels != 0) return;
  const auto row = static_cast<int64_t>(array.count()) / dims[0];
  reshape(array, {channels, dims[0] / channels, row});
  transpose(array, {1, 0, 2});
  reshape(array, dims);
}

Found dense_kernel(const Ask& ask) {
  Found kernel = plain(ask, "weight");
  if (!kernel || kernel->dims.size() != 2) return kernel;
  transpose(*kernel, {1, 0});
  order_rows(ask.image, *kernel);
  return kernel;
}

/// One number for each element of the last axis.
Found per_element(const Ask& ask, const char* name) {
  Found values = plain(ask, name);
  if (values) order_rows(ask.image, *values);
  return values;
}

/// [out, in, spatial...] -> [spatial..., in, out]; of transposed ones [in, out, spatial...].
Found conv_kernel(const Ask& ask) {
  Found kernel = plain(ask, "weight");
  if (!kernel || kernel->dims.size() < 3) return kernel;
  Ints perm;
  for (size_t axis = 2; axis < kernel->dims.size(); ++axis)
    perm.push_back(static_cast<int64_t>(axis));
  perm.push_back(1);
  perm.push_back(0);
  transpose(*kernel, perm);
  return kernel;
}

/// [channels multiplier, 1, spatial...] -> [spatial..., channels, multiplier].
Found depthwise_kernel(const Ask& ask) {
  Found kernel = plain(ask, "weight");
  const size_t rank = ask.spec.shape.size();
  if (!kernel || kernel->dims.size() != rank || kernel->dims[1] != 1) return kernel;
  Ints dims = {ask.spec.shape[rank - 2], ask.spec.shape[rank - 1]};
  Ints perm;
  for (size_t axis = 2; axis < rank; ++axis) {
    dims.push_back(kernel->dims[axis]);
    perm.push_back(static_cast<int64_t>(axis));
  }
  if (dims[0] * dims[1] != kernel->dims[0]) return kernel;
  reshape(*kernel, dims);
  perm.push_back(0);
  perm.push_back(1);
  transpose(*kernel, perm);
  return kernel;
}

/// A GRU's gates are r, z, n there and z, r, h here, blocks of the last axis.
void order_gates(const Ask& ask, rt::Array& array) {
  if (ask.layer.component.def->type != "gru" || array.dims.empty() || array.dims.back() % 3 != 0)
    return;
  const size_t block = static_cast<size_t>(array.dims.back() / 3) * sizeof(float);
  if (block == 0) return;
  for (size_t row = 0; row + 3 * block <= array.data.size(); row += 3 * block)
    std::swap_ranges(array.data.data() + row, array.data.data() + row + block,
                     array.data.data() + row + block);
}

Found gate_kernel(const Ask& ask, const char* name) {
  Found kernel = plain(ask, name);
  if (!kernel || kernel->dims.size() != 2) return kernel;
  transpose(*kernel, {1, 0});
  order_gates(ask, *kernel);
  return kernel;
}

/// Two biases: their sum, or one behind the other where the layer has both.
Found gate_bias(const Ask& ask) {
  Found input = plain(ask, "bias_ih");
  Found state = plain(ask, "bias_hh");
  if (!input || !state || input->count() != state->count()) return {};
  order_gates(ask, *input);
  order_gates(ask, *state);
  input->name = rt::format("%s, %s", input->name.c_str(), state->name.c_str());
  if (ask.spec.shape.size() == 2) {
    const int64_t width = input->dims[0];
    input->data.append(state->data.data(), state->data.size());
    reshape(*input, {2, width});
    return input;
  }
  for (size_t i = 0; i < input->count(); ++i)
    rt::store_f64(input->data.data(), rt::Dtype::kF32, i,
                  rt::load_f64(input->data.data(), rt::Dtype::kF32, i) +
                      rt::load_f64(state->data.data(), rt::Dtype::kF32, i));
  return input;
}

struct Rule {
  std::string_view type;  ///< of layers whose type begins so
  std::string_view parameter;
  Found (*take)(const Ask&);
};

constexpr Rule kRules[] = {
    {"dense", "kernel", dense_kernel},
    {"depthwise_conv", "kernel", depthwise_kernel},
    {"conv", "kernel", conv_kernel},
    {"embedding", "embeddings", [](const Ask& ask) { return plain(ask, "weight"); }},
    {"", "gamma", [](const Ask& ask) { return per_element(ask, "weight"); }},
    {"rms_normalization", "scale", [](const Ask& ask) { return per_element(ask, "weight"); }},
    {"", "beta", [](const Ask& ask) { return per_element(ask, "bias"); }},
    {"", "moving_mean", [](const Ask& ask) { return per_element(ask, "running_mean"); }},
    {"", "moving_variance", [](const Ask& ask) { return per_element(ask, "running_var"); }},
    {"lstm", "bias", gate_bias},
    {"gru", "bias", gate_bias},
    {"simple_rnn", "bias", gate_bias},
    {"", "bias", [](const Ask& ask) { return plain(ask, "bias"); }},
    {"", "kernel", [](const Ask& ask) { return gate_kernel(ask, "weight_ih"); }},
    {"", "recurrent_kernel", [](const Ask& ask) { return gate_kernel(ask, "weight_hh"); }},
};

const Rule* find_rule(const Layer& layer, const ParameterSpec& spec) {
  if (layer.component.def == nullptr) return nullptr;
  for (const Rule& rule : kRules) {
    if (layer.component.def->type.starts_with(rule.type) && rule.parameter == spec.name)
      return &rule;
  }
  return nullptr;
}

class TorchAssignment {
 public:
  TorchAssignment(const Model& model, const std::string& path, rt::SafetensorsFile& file,
                  std::vector<std::string>* report)
      : model_(model), path_(path), modules_(modules_of(file)), report_(report) {
    for (size_t i = 0; i < model.layers.size(); ++i) {
      if (!model.layers[i].parameters.empty()) layers_.push_back(i);
    }
  }

  Status run(const ModuleMap& map, rt::SafetensorsFile* out) {
    if (map.empty() && layers_.size() != modules_.size()) return other_count();
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = model_.layers[layers_[i]];
      const Module* module = map.empty() ? &modules_[i] : find(map, layer.name);
      if (module != nullptr) take(layers_[i], *module, out);
    }
    report_unused(map);
    if (!problems_.empty()) return Failure(std::move(problems_));
    return Ok{};
  }

 private:
  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back(make_error(DiagKind::kInvalidData, {.file = path_}, "{}",
                                   fmt::format(format, std::forward<Args>(args)...)));
  }

  /// Layers of the map that the model lacks, and tensors that nothing took.
  void report_unused(const ModuleMap& map) {
    for (const auto& [name, module] : map) {
      const bool known =
          std::any_of(layers_.begin(), layers_.end(),
                      [&wanted = name, this](size_t i) { return model_.layers[i].name == wanted; });
      if (!known)
        problem("the map names \"{}\", which is no layer with parameters", printable(name, 80));
    }
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
    const Options& options = layer.component.options;
    if (layer.component.def != nullptr && layer.component.def->type == "gru" &&
        !options.flag("reset_after")) {
      problem(
          "layer \"{}\" resets before the product, and PyTorch's GRU behind it; "
          "\"reset_after\": true takes its weights",
          layer.name);
      return;
    }
    const Flattened before = flattened_before(model_, index);
    if (before.unclear) {
      problem(
          "layer \"{}\" stands behind a flattened image in a way in which the order of PyTorch's "
          "elements cannot be told",
          layer.name);
      return;
    }
    for (const ParameterSpec& spec : layer.parameters) {
      if (spec.carried) continue;
      const std::string name = layer.name + "/" + spec.name;
      const Rule* rule = find_rule(layer, spec);
      Found array =
          rule == nullptr ? Found() : rule->take({layer, spec, module, before.image, used_});
      if (!array) {
        problem("the module \"{}\" has nothing that is \"{}\"", printable(module.name, 80), name);
        continue;
      }
      const Ints dims(array->dims.begin(), array->dims.end());
      const std::string theirs(array->name.c_str(), array->name.size());
      if (dims != spec.shape) {
        problem("\"{}\" is [{}] as gradc keeps it, but \"{}\" is [{}]", printable(theirs, 80),
                fmt::join(dims, ", "), name, fmt::join(spec.shape, ", "));
        continue;
      }
      report_->push_back(fmt::format("{} <- {}", name, printable(theirs, 80)));
      array->source = array->name.clone();
      array->name = rt::Str(name.c_str(), name.size());
      out->arrays.push(std::move(*array));
    }
  }

  const Model& model_;
  const std::string& path_;
  std::vector<Module> modules_;
  std::vector<std::string>* report_;
  std::vector<size_t> layers_;
  std::set<const rt::Array*> used_;
  std::vector<Diagnostic> problems_;
};

}  // namespace

bool has_torch_names(const rt::SafetensorsFile& file) {
  bool any = false;
  for (const rt::Array& array : file.arrays) {
    const std::string_view name(array.name.c_str(), array.name.size());
    if (name.find('/') != std::string_view::npos) return false;
    const std::string end = split_name(std::string(name)).second;
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

}  // namespace gradc::exchange
