// Dropout: in training each element is zeroed with probability rate, the rest scaled by 1 / (1 -
// rate).
#include "frontend/layer_def.h"
#include "ir/op_attrs.h"

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
  const double rate = a.options().number("rate");
  if (!a.training || rate == 0.0) return a.in();
  const double keep = 1.0 - rate;
  const Val mask = a.builder.add(
      Op::kBernoulli, {a.seed(), a.iteration()},
      make_attrs(BernoulliAttrs{
          .shape = a.in().shape().to_vector(), .stream = a.next_stream(), .probability = keep}));
  return a.in() * (cast(mask, a.in().dtype()) * (1.0 / keep));
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
