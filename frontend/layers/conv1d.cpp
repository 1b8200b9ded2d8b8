// conv1d: [steps, channels] with a kernel [size, channels / groups, filters]. It is a convolution
// of images that are one row high.
#include "frontend/layer_def.h"
#include "frontend/layers/window.h"
#include "ir/op_attrs.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kConv1dOptions[] = {
    {.name = "filters", .type = OptionType::kInt, .doc = "channels of the result", .min = 1},
    {.name = "kernel_size", .type = OptionType::kInt, .doc = "steps of the window", .min = 1},
    {.name = "strides",
     .type = OptionType::kInt,
     .default_json = "1",
     .doc = "how far the window moves",
     .min = 1},
    {.name = "padding",
     .type = OptionType::kEnum,
     .default_json = "\"valid\"",
     .doc = "valid: windows inside only; same: ceil(steps / stride) windows, zeros around; causal: "
            "zeros before, so that no step sees a later one",
     .choices = "valid same causal"},
    GRADC_STEPS_FORMAT,
    {.name = "dilation_rate",
     .type = OptionType::kInt,
     .default_json = "1",
     .doc = "distance of kernel elements",
     .min = 1},
    GRADC_GROUPS,
    GRADC_ACTIVATION_OPTION,
    GRADC_KERNEL_AND_BIAS_OPTIONS,
};

constexpr StepWindowOptions kNames = {"kernel_size", "strides", "dilation_rate"};

bool infer_conv1d(LayerInferArgs& a) {
  if (!expect_steps(a)) return false;
  const Options& options = a.options();
  const int64_t channels = a.shape()[1];
  const int64_t filters = options.integer("filters");
  const int64_t groups = options.integer("groups");
  if (!expect_groups(a, channels)) return false;
  Window window;
  if (!infer_step_window(a, kNames, window)) return false;
  a.parameter("kernel", {options.integer("kernel_size"), channels / groups, filters});
  if (options.flag("use_bias")) a.parameter("bias", {filters});
  a.output.shape = {window.out[1], filters};
  return infer_activated(a);
}

Val build_conv1d(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Window window = step_window_of(options, kNames, a.example_shape()[0]);
  const Val kernel = a.parameter("kernel");
  const Shape& size = kernel.shape();
  const Val image = reshape(kernel, Shape{1, size[0], size[1], size[2]});
  Val y = a.builder.add(Op::kConv, {as_rows(a.in()), image},
                        make_attrs(ConvAttrs{.strides = {1, options.integer("strides")},
                                             .pad_low = window.pad_low,
                                             .pad_high = window.pad_high,
                                             .dilation = {1, options.integer("dilation_rate")},
                                             .groups = options.integer("groups"),
                                             .shape = {}}));
  if (options.flag("use_bias")) y = y + broadcast(a.parameter("bias"), y.shape(), {3});
  return as_steps(apply_activation(options.component("activation"), y));
}

}  // namespace

extern constinit const LayerDef kConv1d{
    .base = {.type = "conv1d",
             .summary = "1-D convolution over [steps, channels].",
             .options = kConv1dOptions,
             .aliases = "conv_1d"},
    .infer = infer_conv1d,
    .build = build_conv1d,
};

}  // namespace gradc::layers
