// Dropout: in training each element is zeroed with probability rate, the rest scaled by 1 / (1 -
// rate).
#include "frontend/layers/keep_mask.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kDropoutOptions[] = {
    {.name = "rate",
     .type = OptionType::kFloat,
     .doc = "share of elements that become 0",
     .min = 0,
     .max = 1,
     .below_max = true},
};

Val build_dropout(const LayerBuildArgs& a) {
  const Val mask = keep_mask(a, a.options().number("rate"), a.in().shape().to_vector());
  return mask.valid() ? a.in() * mask : a.in();
}

}  // namespace

extern constinit const LayerDef kDropout{
    .base = {.type = "dropout",
             .summary = "Zeroes random elements in training, scales the rest up.",
             .options = kDropoutOptions},
    .masks = MaskRule::kCarries,
    .infer =
        [](LayerInferArgs& a) {
          a.output = a.inputs[0];
          return true;
        },
    .build = build_dropout,
};

}  // namespace gradc::layers
