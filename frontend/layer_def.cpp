// Look-up in the layer table, and helpers of the layers' inference.
#include "frontend/layer_def.h"

#include "support/check.h"

#include <fmt/ranges.h>

namespace gradc {

namespace layers {
#define GRADC_LAYER(enumerator) extern const LayerDef enumerator;
#include "frontend/layers.def"
#undef GRADC_LAYER
}  // namespace layers

std::span<const LayerDef* const> all_layers() {
  static constexpr const LayerDef* kLayers[] = {
#define GRADC_LAYER(enumerator) &layers::enumerator,
#include "frontend/layers.def"
#undef GRADC_LAYER
  };
  return kLayers;
}

const LayerDef* find_layer(std::string_view type) {
  for (const LayerDef* def : all_layers()) {
    if (has_name(def->base, type)) return def;
  }
  for (const LayerDef* def : activation_layers()) {
    if (has_name(def->base, type)) return def;
  }
  return nullptr;
}

std::vector<std::string> layer_names() {
  std::vector<std::string> names = {"input", "shared", "block"};
  for (const auto& list : {all_layers(), activation_layers()}) {
    for (const LayerDef* def : list) {
      names.emplace_back(def->base.type);
      for (std::string& alias : split_words(def->base.aliases))
        names.push_back(std::move(alias));
    }
  }
  return names;
}

std::string LayerInferArgs::who() const {
  return fmt::format("{} layer \"{}\"", layer.component.written_type, layer.name);
}

Place LayerInferArgs::option_place(std::string_view option) const {
  Place at = layer.place;
  at.pointer += "/" + std::string(option);
  return at;
}

void LayerInferArgs::parameter(std::string_view name, Ints shape, bool trainable,
                               std::string_view prefix) {
  const std::string base(prefix.empty() ? name : prefix);
  ParameterSpec spec;
  spec.name = std::string(name);
  spec.dtype = layer.policy.compute;
  spec.shape = std::move(shape);
  const std::string own = base + "_initializer";
  const std::string option = options().defines(own) ? own : "initializer";
  spec.initializer = *options().component(option);
  spec.trainable = trainable && layer.trainable;
  const auto regulated = [&](const char* what, auto fits) -> std::shared_ptr<const Component> {
    const std::string name_of_it = base + what;
    if (!trainable || !options().defines(name_of_it) || !options().has(name_of_it)) return nullptr;
    const Component& component = *options().component(name_of_it);
    if (!fits(component, spec.shape.size())) {
      sink.error(DiagKind::kShapeMismatch, option_place(name_of_it),
                 "\"{}\" does not fit {} of shape {}", component.written_type, name,
                 shape_text(spec.shape))
          .with_note(
              "orthogonal_regularizer takes matrices; a constraint's axes are those of the tensor");
    }
    return std::make_shared<const Component>(component);
  };
  spec.regularizer = regulated("_regularizer", regularizer_fits);
  spec.constraint = regulated("_constraint", constraint_fits);
  if (!initializer_fits(spec.initializer, spec.shape.size())) {
    sink.error(DiagKind::kBadValue, option_place(option),
               "initializer \"{}\" cannot make {} of shape {}", spec.initializer.written_type, name,
               shape_text(spec.shape))
        .with_note("identity makes matrices; orthogonal makes tensors of two or more axes");
  }
  parameters.push_back(std::move(spec));
}

void LayerInferArgs::keep(std::string_view name, Ints shape, double initial) {
  ParameterSpec spec;
  spec.name = std::string(name);
  spec.dtype = layer.policy.compute;
  spec.shape = std::move(shape);
  spec.initializer = default_component(Family::kInitializer, "constant");
  spec.initializer.options.set("value", initial);
  spec.trainable = false;
  parameters.push_back(std::move(spec));
}

void LayerInferArgs::carry(std::string_view name, Ints shape) {
  ParameterSpec spec;
  spec.name = std::string(name);
  spec.dtype = layer.policy.compute;
  spec.shape = std::move(shape);
  spec.initializer = default_component(Family::kInitializer, "zeros");
  spec.trainable = false;
  spec.carried = true;
  parameters.push_back(std::move(spec));
}

bool infer_activated(LayerInferArgs& args) {
  std::string problem;
  const Component* activation = args.options().component("activation");
  if (activation != nullptr &&
      !infer_activation(*activation, Ints(args.output.shape), args.output.shape, problem)) {
    return args.mismatch("{}", problem);
  }
  return true;
}

Ints LayerBuildArgs::example_shape(size_t i) const {
  const Shape& shape = inputs[i].shape();
  return {shape.begin() + 1, shape.end()};
}

std::optional<int64_t> checked_product(std::span<const int64_t> extents) {
  int64_t count = 1;
  for (const int64_t extent : extents) {
    if (__builtin_mul_overflow(count, extent, &count)) return std::nullopt;
  }
  if (count > kMaxTensorBytes) return std::nullopt;
  return count;
}

std::string shape_text(const Ints& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string to_string(const TensorSpec& spec) {
  return fmt::format("{}[{}]", dtype_name(spec.dtype), fmt::join(spec.shape, "x"));
}

}  // namespace gradc
