#include "exchange/keras_model.h"

#include "support/utf8.h"

#include "exchange/keras_names.h"
#include "exchange/keras_options.h"

#include <set>

namespace gradc::exchange {
namespace {

constexpr int kMaxDepth = 16;

class ModelReader {
 public:
  ModelReader(const Context& context, KerasModel& model, int depth)
      : context_(context), model_(model), depth_(depth) {}

  void read_sequential(const JsonCursor& layers) {
    model_.sequential = true;
    std::optional<TensorRef> previous;
    for (size_t i = 0; i < layers.value().size(); ++i) {
      const JsonCursor at = layers.element(i);
      KerasNode* node = add_layer(at);
      if (node == nullptr) continue;
      if (node->is_input) {
        model_.inputs.push_back({node->layer.name, 0, 0, at});
      } else {
        if (!previous) previous = add_input(node->layer.name, at);
        node = &model_.layers.back();  // add_input may have moved it
        node->calls.push_back({.inputs = {*previous}, .named = {}, .flags = {}, .at = at});
      }
      previous = TensorRef{model_.layers.back().layer.name, 0, 0, at};
    }
    if (previous) model_.outputs.push_back(*previous);
  }

  void read_functional(const JsonCursor& config, const JsonCursor& layers) {
    for (size_t i = 0; i < layers.value().size(); ++i) {
      const JsonCursor at = layers.element(i);
      KerasNode* node = add_layer(at);
      if (node == nullptr || node->is_input || !at.has("inbound_nodes")) continue;
      node->calls =
          read_calls(context_, at.member("inbound_nodes"), node->layer, model_.object_nodes);
    }
    for (const auto& [key, list] :
         {std::pair{"input_layers", &model_.inputs}, {"output_layers", &model_.outputs}}) {
      if (config.has(key)) {
        *list = read_tensors(context_, config.member(key));
      } else {
        context_.sink.error(DiagKind::kMissingOption, config.place(),
                            "the model has no \"{}\", which must be given", key);
      }
    }
  }

 private:
  KerasNode* add_layer(const JsonCursor& at) {
    auto layer = read_keras_layer(context_, at);
    if (!layer) return nullptr;
    if (layer->name.empty()) layer->name = fmt::format("layer_{}", model_.layers.size());
    if (!names_.insert(layer->name).second) {
      context_.sink.error(DiagKind::kDuplicateName, at.place(), "the name \"{}\" is used twice",
                          printable(layer->name, 80));
      return nullptr;
    }
    KerasNode node{.layer = *layer, .is_input = false, .inner = nullptr, .native = {}, .calls = {}};
    node.is_input = squashed(layer->class_name) == "inputlayer";
    if (is_model_class(layer->class_name)) {
      node.inner = read_keras_model(context_, at, depth_ + 1);
      if (node.inner == nullptr) return nullptr;
    } else if (!node.is_input) {
      auto native = translate_layer(context_, *layer);
      if (!native) return nullptr;
      node.native = std::move(*native);
    }
    return &model_.layers.emplace_back(std::move(node));
  }

  /// The input that a Sequential model without InputLayer has.
  TensorRef add_input(const std::string& first, const JsonCursor& at) {
    KerasLayer layer = model_.layers.back().layer;
    layer.name = first + "_input";
    KerasNode node{.layer = layer, .is_input = true, .inner = nullptr, .native = {}, .calls = {}};
    node.inner = model_.layers.back().inner;  // which knows its input's shape
    node.native.def = model_.layers.back().native.def;
    model_.layers.insert(model_.layers.begin(), std::move(node));
    const TensorRef input{layer.name, 0, 0, at};
    model_.inputs.push_back(input);
    return input;
  }

  const Context& context_;
  KerasModel& model_;
  int depth_;
  std::set<std::string> names_;
};

}  // namespace

const KerasNode* KerasModel::find(const std::string& wanted) const {
  const auto found = by_name.find(wanted);
  return found == by_name.end() ? nullptr : &layers[found->second];
}

std::optional<size_t> KerasModel::call_index(const KerasNode& layer, int64_t node) const {
  const auto count = static_cast<int64_t>(layer.calls.size());
  if (layer.is_input) return node == 0 ? std::optional<size_t>(0) : std::nullopt;
  // A nested model's own call counts as its first in the older forms.
  const int64_t first = layer.inner != nullptr && !object_nodes && !sequential ? 1 : 0;
  for (const int64_t index : {node - first, node, node - 1}) {
    const bool other = index != node && layer.inner == nullptr;
    if (!other && index >= 0 && index < count) return static_cast<size_t>(index);
  }
  return std::nullopt;
}

std::shared_ptr<KerasModel> read_keras_model(const Context& context, const JsonCursor& at,
                                             int depth) {
  if (depth > kMaxDepth) {
    context.sink.error(DiagKind::kTooLarge, at.place(), "models are nested more than {} deep",
                       kMaxDepth);
    return nullptr;
  }
  const auto header = read_keras_layer(context, at);
  if (!header) return nullptr;
  const JsonCursor& config = header->config;
  const bool list = config.value().is_array();
  if (!list && (!config.has("layers") || !config.value()["layers"].is_array())) {
    context.sink.error(DiagKind::kMissingOption, config.place(), "the {} has no list of \"layers\"",
                       printable(header->class_name, 80));
    return nullptr;
  }
  const JsonCursor layers = list ? config : config.member("layers");
  auto model = std::make_shared<KerasModel>(KerasModel{.name = header->name,
                                                       .at = at,
                                                       .layers = {},
                                                       .inputs = {},
                                                       .outputs = {},
                                                       .sequential = false,
                                                       .object_nodes = false,
                                                       .by_name = {}});
  ModelReader reader(context, *model, depth);
  if (list || is_sequential(header->class_name)) {
    reader.read_sequential(layers);
  } else {
    reader.read_functional(config, layers);
  }
  for (size_t i = 0; i < model->layers.size(); ++i)
    model->by_name.emplace(model->layers[i].layer.name, i);
  return model;
}

}  // namespace gradc::exchange
