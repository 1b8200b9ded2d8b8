#include "exchange/input_shapes.h"

#include "exchange/keras_options.h"
#include <fmt/ranges.h>

namespace gradc::exchange {
namespace {

std::optional<InputInfo> from_list(const JsonCursor& at, bool with_batch) {
  const Json& list = at.value();
  if (!list.is_array()) return std::nullopt;
  InputInfo info{.at = at, .shape = {}, .batch = {}, .dtype = {}};
  for (size_t i = 0; i < list.size(); ++i) {
    std::optional<int64_t> extent;
    if (list[i].is_number_integer() && list[i].get<int64_t>() > 0) extent = list[i].get<int64_t>();
    if (i == 0 && with_batch) {
      info.batch = extent;
    } else {
      info.shape.push_back(extent);
    }
  }
  return info;
}

std::optional<int64_t> extent_of(const JsonCursor& config, const char* key) {
  if (!config.has(key) || !config.value()[key].is_number_integer()) return std::nullopt;
  const int64_t extent = config.value()[key].get<int64_t>();
  return extent > 0 ? std::optional(extent) : std::nullopt;
}

/// "input_dim" and "input_length" of a first layer.
std::optional<InputInfo> from_extents(const JsonCursor& config, const LayerDef& def) {
  if (def.base.type == "embedding") {
    const bool said = config.has("input_length");
    return said ? std::optional(InputInfo{config, {extent_of(config, "input_length")}, {}, {}})
                : std::nullopt;
  }
  const auto features = extent_of(config, "input_dim");
  if (!features) return std::nullopt;
  if (config.has("input_length"))
    return InputInfo{config, {extent_of(config, "input_length"), features}, {}, {}};
  return InputInfo{config, {features}, {}, {}};
}

std::optional<InputInfo> from_layer(const KerasLayer& layer, const LayerDef* def) {
  const JsonCursor& config = layer.config;
  for (const char* key : {"batch_input_shape", "batch_shape"}) {
    if (!config.has(key)) continue;
    if (auto info = from_list(config.member(key), true)) return info;
  }
  if (config.has("input_shape")) {
    if (auto info = from_list(config.member("input_shape"), false)) return info;
  }
  if (layer.at.has("build_config") && layer.at.member("build_config").has("input_shape")) {
    if (auto info = from_list(layer.at.member("build_config").member("input_shape"), true))
      return info;
  }
  return def == nullptr ? std::nullopt : from_extents(config, *def);
}

std::string dtype_of(const KerasLayer& layer, bool is_input_layer) {
  for (const char* key : {"input_dtype", "dtype"}) {
    if (std::string_view(key) == "dtype" && !is_input_layer) continue;
    const std::string dtype = string_member(layer.config.value(), key);
    if (dtype.starts_with("int") || dtype.starts_with("uint") || dtype == "bool") return "int32";
    if (dtype == "float64") return dtype;
  }
  return {};
}

std::string text_of(const std::vector<std::optional<int64_t>>& shape) {
  std::vector<std::string> extents;
  for (const auto& extent : shape)
    extents.push_back(extent ? fmt::format("{}", *extent) : "?");
  return fmt::format("[{}]", fmt::join(extents, ", "));
}

/// Whether all that a value goes to takes indices: an embedding, or a model that begins with one.
bool goes_to_indices(const KerasModel& model, const std::string& name, int depth) {
  constexpr int kMaxDepth = 16;
  bool any = false;
  for (const KerasNode& node : model.layers) {
    for (const KerasCall& call : node.calls) {
      for (size_t i = 0; i < call.inputs.size(); ++i) {
        if (call.inputs[i].layer != name) continue;
        any = true;
        if (node.inner != nullptr) {
          const bool known = depth < kMaxDepth && i < node.inner->inputs.size();
          if (!known || !goes_to_indices(*node.inner, node.inner->inputs[i].layer, depth + 1))
            return false;
        } else if (node.native.def == nullptr || node.native.def->base.type != "embedding") {
          return false;
        }
      }
    }
  }
  return any;
}

}  // namespace

std::optional<InputInfo> find_input(const KerasModel& model, const KerasNode& input) {
  if (input.inner != nullptr) {  // the first layer is a model
    if (input.inner->inputs.empty()) return std::nullopt;
    const KerasNode* node = input.inner->find(input.inner->inputs.front().layer);
    return node == nullptr ? std::nullopt : find_input(*input.inner, *node);
  }
  std::optional<InputInfo> info = from_layer(input.layer, input.native.def);
  if (!info && model.at.has("build_config") && model.at.member("build_config").has("input_shape"))
    info = from_list(model.at.member("build_config").member("input_shape"), true);
  if (!info && model.at.has("config") && model.at.member("config").has("build_input_shape"))
    info = from_list(model.at.member("config").member("build_input_shape"), true);
  if (info) info->dtype = dtype_of(input.layer, input.native.def == nullptr);
  return info;
}

bool wants_indices(const KerasModel& model, const std::string& input) {
  return goes_to_indices(model, input, 0);
}

std::optional<Ints> close_shape(const Context& context, const std::string& name,
                                const std::optional<InputInfo>& info, const InputShapes& given,
                                const JsonCursor& at) {
  const auto answer = given.find(name);
  if (!info && answer != given.end()) return answer->second;
  if (!info) {
    context.sink
        .error(DiagKind::kMissingOption, at.place(),
               "the file does not say the shape of input \"{}\", which is compiled in", name)
        .with_help(fmt::format("--shape {}=EXTENTS, as --shape {}=28,28", name, name));
    return std::nullopt;
  }
  Ints shape;
  bool open = false;
  for (size_t i = 0; i < info->shape.size(); ++i) {
    const bool answered = answer != given.end() && answer->second.size() == info->shape.size();
    shape.push_back(info->shape[i].value_or(answered ? answer->second[i] : 0));
    open = open || shape.back() == 0;
  }
  if (answer != given.end() && shape != answer->second) {
    context.sink.error(DiagKind::kShapeMismatch, info->at->place(),
                       "input \"{}\" was given the shape {}, but the file says {}", name,
                       shape_text(answer->second), text_of(info->shape));
    return std::nullopt;
  }
  if (!open) return shape;
  std::vector<std::string> example;
  for (const auto& extent : info->shape)
    example.push_back(fmt::format("{}", extent.value_or(80)));
  context.sink
      .error(DiagKind::kMissingOption, info->at->place(),
             "input \"{}\" has the shape {}: the file leaves a length open, which is compiled in",
             name, text_of(info->shape))
      .with_help(fmt::format("say it: --shape {}={}", name, fmt::join(example, ",")));
  return std::nullopt;
}

}  // namespace gradc::exchange
