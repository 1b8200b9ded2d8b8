// Masking: steps whose features all have one value do not count.
#include "frontend/layer_def.h"

#include <numeric>

namespace gradc::layers {
namespace {

constexpr OptionDef kMaskingOptions[] = {
    {.name = "mask_value",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "of all features of a step that does not count"},
};

bool infer_masking(LayerInferArgs& a) {
  if (a.shape().size() != 2) {
    return a.mismatch("needs an input [steps, features] beside the batch, got {}",
                      to_string(a.inputs[0]));
  }
  a.output = a.inputs[0];
  a.output_masked = true;
  return true;
}

/// bool[batch, steps]: some feature has another value.
Val build_mask(const LayerBuildArgs& a) {
  const Val x = a.in();
  const Val other = not_equal(x, a.builder.splat(a.options().number("mask_value"), x.type()));
  return greater(reduce_max(cast(other, x.dtype()), {2}), 0.0);
}

Val build_masking(const LayerBuildArgs& a) {
  const Val counts = cast(build_mask(a), a.in().dtype());
  return a.in() * broadcast(counts, a.in().shape(), {0, 1});
}

}  // namespace

extern constinit const LayerDef kMasking{
    .base = {.type = "masking",
             .summary = "Steps whose features are all mask_value do not count in the layers that "
                        "follow, up to the recurrent layer that ends the steps.",
             .options = kMaskingOptions},
    .masks = MaskRule::kKnows,
    .infer = infer_masking,
    .build = build_masking,
    .build_mask = build_mask,
};

}  // namespace gradc::layers
