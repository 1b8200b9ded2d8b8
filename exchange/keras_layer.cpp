#include "exchange/keras_layer.h"

#include "support/suggest.h"
#include "support/utf8.h"

#include "exchange/keras_names.h"
#include "exchange/keras_options.h"

#include <algorithm>

namespace gradc::exchange {
namespace {

/// Keras 1's Merge is the layer of its mode.
const LayerDef* merge_layer(const Context& context, const KerasLayer& layer) {
  struct Mode {
    std::string_view mode, type;
  };
  constexpr Mode kModes[] = {{"sum", "add"},     {"mul", "multiply"}, {"ave", "average"},
                             {"max", "maximum"}, {"min", "minimum"},  {"concat", "concatenate"},
                             {"dot", "dot"},     {"cos", "dot"}};
  const std::string mode = string_member(layer.config.value(), "mode");
  for (const Mode& row : kModes) {
    if (row.mode == mode) return find_layer(row.type);
  }
  context.sink.error(DiagKind::kUnsupported, layer.config.place(),
                     "layer \"{}\" is a Merge of mode \"{}\", which gradc does not have",
                     layer.name, printable(mode, 80));
  return nullptr;
}

/// Why a layer cannot be read, by its class.
void report_unknown(const Context& context, const KerasLayer& layer) {
  const Place place = layer.at.member("class_name").place();
  const std::string shown = printable(layer.class_name, 80);
  const std::string name = squashed(layer.class_name);
  if (name == "lambda") {
    context.sink
        .error(DiagKind::kUnsupported, place,
               "layer \"{}\" is a Lambda: Python code, which only Python can run", layer.name)
        .with_help(
            "write what it computes as layers: raw ops (\"type\": \"op.NAME\", see \"gradc ops\") "
            "or activations, in a native model");
    return;
  }
  if (name == "tfoplambda" || name == "tensorflowoplayer" || name == "slicingoplambda") {
    context.sink
        .error(DiagKind::kUnsupported, place,
               "layer \"{}\" is a TensorFlow operation ({}), which gradc does not read", layer.name,
               shown)
        .with_help("write it as a raw op (\"type\": \"op.NAME\", see \"gradc ops\")");
    return;
  }
  context.sink
      .error(DiagKind::kUnknownLayer, place,
             "layer \"{}\" is of class {}, which gradc does not have", layer.name, shown)
      .with_help(suggestion(layer.class_name, layer_names()));
}

const LayerDef* find_def(const Context& context, const KerasLayer& layer) {
  if (squashed(layer.class_name) == "merge") return merge_layer(context, layer);
  const LayerDef* def = find_keras_layer(layer.class_name);
  if (def == nullptr) report_unknown(context, layer);
  return def;
}

/// The members that are more than another name.
class OwnMembers {
 public:
  OwnMembers(const Context& context, const KerasLayer& layer, const LayerDef& def, NativeLayer& out)
      : context_(context), layer_(layer), def_(def), out_(out) {}

  bool take(std::string_view key, const JsonCursor& at) {
    const Json& value = at.value();
    if (is_common_member(key)) return take_common(key, at);
    if (key == "nb_row" || key == "kernel_dim1") return take_kernel(at);
    if (key == "nb_col" || key == "kernel_dim2" || key == "kernel_dim3") return true;
    if (key == "forget_bias_init") return take_forget_bias(at);
    if (key == "mode" && squashed(layer_.class_name) == "merge") {
      if (value == "cos") out_.piece.put("normalize", true, at);
      return true;
    }
    if (key == "concat_axis" || key == "dot_axes" || key == "axis") return is_merge();
    if (key == "dropout" && def_.base.type == "embedding") return leave_out(at, value == 0);
    if (key == "activity_regularizer") return leave_out(at, value.is_null());
    return key == "class_name" || key == "unroll";
  }

  /// Where a version's default is not gradc's.
  void add_defaults() {
    const std::string_view type = def_.base.type;
    const bool inner_cell = type == "gru_cell";
    if ((type == "gru" || inner_cell) && !layer_.config.has("reset_after")) {
      const bool after = squashed(layer_.class_name) == "cudnngru";
      out_.piece.put("reset_after", after, layer_.config);
    }
    if (type == "threshold") out_.piece.put("default_value", 0.0, layer_.config);
  }

 private:
  bool is_merge() const { return squashed(layer_.class_name) == "merge"; }

  bool take_common(std::string_view key, const JsonCursor& at) {
    if (key == "trainable") {
      if (at.value() == false) out_.piece.put("trainable", false, at);
      return true;
    }
    std::string policy = at.value().is_string() ? at.value().get<std::string>() : std::string();
    if (at.value().is_object()) {
      const Json& config = at.has("config") ? at.value()["config"] : at.value();
      policy = string_member(config, "name");
      if (squashed(string_member(at.value(), "class_name")) == "quantizeddtypepolicy") {
        context_.sink.error(DiagKind::kUnsupported, at.place(),
                            "layer \"{}\" is quantized, which gradc cannot train", layer_.name);
        return true;
      }
    }
    const bool is_integer = policy.starts_with("int") || policy.starts_with("uint");
    if (policy.empty() || policy == "float32" || is_integer) return true;
    out_.piece.put("dtype", policy, at);
    return true;
  }

  bool take_kernel(const JsonCursor& at) {
    Json size = Json::array();
    for (const char* key : {"nb_row", "nb_col", "kernel_dim1", "kernel_dim2", "kernel_dim3"}) {
      if (layer_.config.has(key)) size.push_back(layer_.config.value()[key]);
    }
    out_.piece.put("kernel_size", std::move(size), at);
    return true;
  }

  bool take_forget_bias(const JsonCursor& at) {
    const bool one = at.value() == "one" || at.value() == "ones";
    const bool zero = at.value() == "zero" || at.value() == "zeros";
    if (!one && !zero) return false;
    out_.piece.put("unit_forget_bias", one, at);
    return true;
  }

  /// What training does without, told.
  bool leave_out(const JsonCursor& at, bool empty) {
    if (empty) return true;
    context_.sink.warning(DiagKind::kLeftOut, at.key_place(),
                          "layer \"{}\" ({}) has {}, which gradc leaves out", layer_.name,
                          layer_.class_name, place_name(at.pointer()));
    return true;
  }

  const Context& context_;
  const KerasLayer& layer_;
  const LayerDef& def_;
  NativeLayer& out_;
};

/// A layer with channels first where gradc has channels last only: how many spatial axes.
int64_t take_channels_first(NativeLayer& native) {
  Json& json = native.piece.json;
  const auto format = json.find("data_format");
  if (format == json.end() || *format != "channels_first") return 0;
  for (const OptionDef& def : native.def->base.options) {
    if (def.name == "data_format" && def.choices.find("channels_first") != std::string_view::npos)
      return 0;
  }
  const std::string_view type = native.def->base.type;
  int64_t axes = 0;
  for (const char digit : {'1', '2', '3'}) {
    if (type.find(std::string{digit, 'd'}) != std::string_view::npos) axes = digit - '0';
  }
  if (axes > 0) json.erase("data_format");
  return axes;
}

}  // namespace

std::optional<KerasLayer> read_keras_layer(const Context& context, const JsonCursor& at) {
  if (!at.value().is_object()) {
    report_wrong_type(context.sink, at, "a layer: an object with \"class_name\" and \"config\"");
    return std::nullopt;
  }
  const std::string class_name = string_member(at.value(), "class_name");
  if (class_name.empty()) {
    context.sink.error(DiagKind::kMissingOption, at.place(),
                       "a layer has no \"class_name\", which must be given");
    return std::nullopt;
  }
  if (!at.has("config")) {
    context.sink.error(DiagKind::kMissingOption, at.place(),
                       "a layer of class {} has no \"config\", which must be given",
                       printable(class_name, 80));
    return std::nullopt;
  }
  const JsonCursor config = at.member("config");
  std::string name = string_member(at.value(), "name");
  if (name.empty()) name = string_member(config.value(), "name");
  return KerasLayer{at, class_name, name, config};
}

std::optional<NativeLayer> translate_layer(const Context& context, const KerasLayer& layer) {
  if (!layer.config.value().is_object()) {
    report_wrong_type(context.sink, layer.config, "an object of options");
    return std::nullopt;
  }
  NativeLayer native;
  native.def = find_def(context, layer);
  if (native.def == nullptr) return std::nullopt;
  native.piece.places.emplace_back("", layer.at.pointer());
  native.piece.put("type", std::string(native.def->base.type), layer.at.member("class_name"));
  const std::string who =
      fmt::format("layer \"{}\" ({})", printable(layer.name, 80), printable(layer.class_name, 80));
  OwnMembers own(context, layer, *native.def, native);
  translate_options(
      context, layer.config, native.def->base.options, who,
      [&](std::string_view key, const JsonCursor& at) { return own.take(key, at); }, native.piece);
  own.add_defaults();
  native.channels_first = take_channels_first(native);
  return native;
}

std::optional<Piece> translate_inner_layer(const Context& context, const JsonCursor& at) {
  const auto layer = read_keras_layer(context, at);
  if (!layer) return std::nullopt;
  if (squashed(layer->class_name) == "stackedrnncells" && layer->config.has("cells")) {
    const JsonCursor cells = layer->config.member("cells");
    Piece list(Json::array(), cells);
    for (size_t i = 0; cells.value().is_array() && i < cells.value().size(); ++i) {
      if (auto cell = translate_inner_layer(context, cells.element(i))) list.push(std::move(*cell));
    }
    return list;
  }
  if (is_model_class(layer->class_name)) {
    context.sink.error(DiagKind::kUnsupported, at.place(),
                       "a model inside of a wrapper (\"{}\") cannot be read", layer->name);
    return std::nullopt;
  }
  auto native = translate_layer(context, *layer);
  if (!native) return std::nullopt;
  native->piece.json.erase("dtype");
  if (!layer->name.empty()) native->piece.put("name", layer->name, layer->at);
  return std::move(native->piece);
}

}  // namespace gradc::exchange
