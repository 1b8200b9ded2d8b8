// Activations as layers: "activation" with any of them, those whose layer differs from the function
// (leaky_relu, prelu), and one layer per remaining member of the activation family.
#include "frontend/layer_def.h"

#include <deque>

namespace gradc::layers {
namespace {

bool infer_with(LayerInferArgs& a, const Component& activation) {
  std::string problem;
  a.output = a.inputs[0];
  if (!infer_activation(activation, a.shape(), a.output.shape, problem))
    return a.mismatch("{}", problem);
  return true;
}

constexpr OptionDef kActivationOptions[] = {
    {.name = "activation",
     .type = OptionType::kComponent,
     .doc = "what is applied",
     .family = Family::kActivation},
};

constexpr OptionDef kLeakyReluOptions[] = {
    {.name = "negative_slope",
     .type = OptionType::kFloat,
     .default_json = "0.3",
     .doc = "slope below zero",
     .min = 0},
};

Val build_leaky_relu(const LayerBuildArgs& a) {
  return select(greater(a.in(), 0.0), a.in(), a.in() * a.options().number("negative_slope"));
}

constexpr OptionDef kPreluOptions[] = {
    GRADC_INITIALIZER("alpha_initializer", "zeros"),
    GRADC_REGULATED("alpha"),
    {.name = "shared_axes",
     .type = OptionType::kInts,
     .default_json = "null",
     .doc = "axes (the batch is 0) along which one slope serves all",
     .min = 1},
};

bool infer_prelu(LayerInferArgs& a) {
  Ints slope = a.shape();
  if (a.options().has("shared_axes")) {
    for (const int64_t axis : a.options().ints("shared_axes")) {
      if (axis > static_cast<int64_t>(slope.size())) {
        return a.mismatch("shares axis {}, but its input {} has only {} axes with the batch", axis,
                          to_string(a.inputs[0]), slope.size() + 1);
      }
      slope[static_cast<size_t>(axis - 1)] = 1;
    }
  }
  a.parameter("alpha", slope);
  a.output = a.inputs[0];
  return true;
}

Val build_prelu(const LayerBuildArgs& a) {
  const Val x = a.in();
  const Val slope = broadcast_to(a.parameter("alpha"), x.shape());
  return relu(x) - slope * relu(-x);
}

/// A layer for an activation: the same options, applied to the input.
Component as_activation(const Layer& layer) {
  const ComponentDef* def = find_member(Family::kActivation, layer.def->base.type);
  return {def, std::string(def->type), layer.component.options, layer.place};
}

bool infer_member(LayerInferArgs& a) {
  return infer_with(a, as_activation(a.layer));
}
Val build_member(const LayerBuildArgs& a) {
  return build_activation(as_activation(a.layer), a.in());
}

}  // namespace

extern constinit const LayerDef kActivationLayer{
    .base = {.type = "activation",
             .summary = "Applies an activation.",
             .options = kActivationOptions},
    .masks = MaskRule::kCarries,
    .infer = [](LayerInferArgs& a) { return infer_with(a, *a.options().component("activation")); },
    .build =
        [](const LayerBuildArgs& a) {
          return build_activation(*a.options().component("activation"), a.in());
        },
};

extern constinit const LayerDef kLeakyRelu{
    .base = {.type = "leaky_relu",
             .summary = "x where positive, else negative_slope x (0.3 as in Keras's layer).",
             .options = kLeakyReluOptions},
    .masks = MaskRule::kCarries,
    .infer =
        [](LayerInferArgs& a) {
          a.output = a.inputs[0];
          return true;
        },
    .build = build_leaky_relu,
};

extern constinit const LayerDef kPrelu{
    .base = {.type = "prelu",
             .summary = "x where positive, else a trained slope times x.",
             .options = kPreluOptions,
             .aliases = "p_relu"},
    .masks = MaskRule::kCarries,
    .infer = infer_prelu,
    .build = build_prelu,
};

}  // namespace gradc::layers

namespace gradc {

std::span<const LayerDef* const> activation_layers() {
  static const std::vector<const LayerDef*> list = [] {
    static std::deque<LayerDef> made;
    std::vector<const LayerDef*> pointers;
    for (const ComponentDef* member : family_members(Family::kActivation)) {
      if (member->type == layers::kLeakyRelu.base.type) continue;  // the layer has another default
      made.push_back({.base = *member,
                      .masks = MaskRule::kCarries,
                      .infer = layers::infer_member,
                      .build = layers::build_member});
      pointers.push_back(&made.back());
    }
    return pointers;
  }();
  return list;
}

}  // namespace gradc
