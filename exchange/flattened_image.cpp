#include "exchange/flattened_image.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace gradc::exchange {
namespace {

/// Whether an image that a window ran over reaches a value as it is, channels last: through layers
/// that keep its axes.
bool is_image(const Model& model, ModelValue value, std::set<const Call*>& seen) {
  const Call* call = model.call_of(value);
  if (call == nullptr || !seen.insert(call).second) return false;
  const Layer& layer = model.layers[call->layer];
  if (layer.component.def == nullptr) return false;
  const std::string_view type = layer.component.def->type;
  if (type.find("conv") != std::string_view::npos ||
      type.find("pooling") != std::string_view::npos) {
    const Options& options = layer.component.options;
    return !options.defines("data_format") || !options.has("data_format") ||
           options.text("data_format") != "channels_first";
  }
  if (type == "permute") return false;
  return std::any_of(call->inputs.begin(), call->inputs.end(), [&](ModelValue input) {
    return model.spec(input).shape.size() == call->output().shape.size() &&
           is_image(model, input, seen);
  });
}

bool keeps_elements(std::string_view type) {
  constexpr std::string_view kTypes[] = {"batch_normalization", "layer_normalization",
                                         "rms_normalization", "prelu"};
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

/// Goes back through layers that leave every element in its place.
Flattened flattened_at(const Model& model, ModelValue value, std::set<const Call*>& seen) {
  const Call* call = model.call_of(value);
  if (call == nullptr || call->output().shape.size() != 1 || !seen.insert(call).second) return {};
  const Layer& layer = model.layers[call->layer];
  const std::string_view type = layer.component.def == nullptr ? "" : layer.component.def->type;
  if (call->inputs.size() == 1) {
    const Ints& shape = model.spec(call->inputs[0]).shape;
    if (type == "flatten" || type == "reshape") {
      if (shape.size() == 1) return flattened_at(model, call->inputs[0], seen);
      std::set<const Call*> calls;
      const bool moves =
          shape.size() > 1 && shape.back() > 1 && call->output().shape[0] > shape.back();
      return {moves && is_image(model, call->inputs[0], calls) ? shape : Ints(), false};
    }
    if (!layer.parameters.empty() && !keeps_elements(type)) return {};
    Flattened before = flattened_at(model, call->inputs[0], seen);
    const bool same = !type.empty() && type != "gir" && shape == call->output().shape;
    if (!same && !before.image.empty()) before.unclear = true;
    return before;
  }
  if (!layer.parameters.empty()) return {};
  Flattened any;
  for (const ModelValue input : call->inputs) {
    const Flattened before = flattened_at(model, input, seen);
    any.unclear = any.unclear || before.unclear || !before.image.empty();
  }
  return any;
}

}  // namespace

Flattened flattened_before(const Model& model, size_t layer) {
  Flattened all;
  for (const Call& call : model.calls) {
    if (call.layer != layer) continue;
    for (const ModelValue input : call.inputs) {
      std::set<const Call*> seen;
      Flattened one = flattened_at(model, input, seen);
      all.unclear = all.unclear || one.unclear || (!all.image.empty() && all.image != one.image);
      if (!one.image.empty()) all.image = std::move(one.image);
    }
  }
  if (all.image.empty()) return all;
  const std::string_view type =
      model.layers[layer].component.def == nullptr ? "" : model.layers[layer].component.def->type;
  all.unclear = all.unclear || (type != "dense" && !keeps_elements(type));
  return all;
}

}  // namespace gradc::exchange
