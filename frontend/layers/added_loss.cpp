// Layers that leave their input as it is and add something to the loss.
#include "frontend/families.h"
#include "frontend/layer_def.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kActivityOptions[] = {
    {.name = "l1",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "factor of sum |x|",
     .min = 0},
    {.name = "l2",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "factor of sum x^2",
     .min = 0},
};
constexpr OptionDef kAddLossOptions[] = {
    {.name = "weight", .type = OptionType::kFloat, .default_json = "1", .doc = "factor of sum x"},
};

bool infer_same(LayerInferArgs& a) {
  a.output = a.inputs[0];
  return true;
}

Val build_activity(const LayerBuildArgs& a) {
  Component penalty = default_component(Family::kRegularizer, "l1_l2");
  for (const OptionDef& option : kActivityOptions)
    penalty.options.set(option.name, a.options().number(option.name));
  a.penalize(a.in(), [&](Val x) { return build_regularizer(penalty, x); });
  return a.in();
}

bool infer_add_loss(LayerInferArgs& a) {
  a.output = a.inputs[0];
  a.output_masked = a.input_masked(0);
  return true;
}

Val build_add_loss(const LayerBuildArgs& a) {
  a.penalize(a.inputs.back(), [&](Val x) {
    Ints axes;
    for (int64_t axis = 0; axis < x.rank(); ++axis)
      axes.push_back(axis);
    return reduce_sum(x, axes) * a.options().number("weight");
  });
  return a.in();
}

}  // namespace

extern constinit const LayerDef kActivityRegularization{
    .base = {.type = "activity_regularization",
             .summary = "Its input, with a penalty on it that is added to the loss: the mean over "
                        "the examples.",
             .options = kActivityOptions},
    .masks = MaskRule::kCarries,
    .infer = infer_same,
    .build = build_activity,
};

extern constinit const LayerDef kAddLoss{
    .base = {.type = "add_loss",
             .summary = "Its first input. The elements of its last (which may be the same) are "
                        "added to the loss: their sum, the mean over the examples. Keras's method "
                        "of this name adds the sum itself, whatever the number of examples.",
             .options = kAddLossOptions},
    .max_inputs = 2,
    .masks = MaskRule::kKnows,
    .infer = infer_add_loss,
    .build = build_add_loss,
    .build_mask = [](const LayerBuildArgs& a) { return a.input_mask(0); },
};

}  // namespace gradc::layers
