// conv2d: [height, width, channels] with a kernel [kh, kw, channels / groups, filters].
#include "frontend/layer_def.h"
#include "frontend/layers/window.h"
#include "ir/op_attrs.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kConv2dOptions[] = {
    {.name = "filters", .type = OptionType::kInt, .doc = "channels of the result", .min = 1},
    {.name = "kernel_size",
     .type = OptionType::kPair,
     .doc = "height and width of the window",
     .min = 1},
    {.name = "strides",
     .type = OptionType::kPair,
     .default_json = "1",
     .doc = "steps of the window",
     .min = 1},
    GRADC_PADDING,
    GRADC_DATA_FORMAT,
    {.name = "dilation_rate",
     .type = OptionType::kPair,
     .default_json = "1",
     .doc = "distance of kernel elements",
     .min = 1},
    GRADC_GROUPS,
    GRADC_ACTIVATION_OPTION,
    GRADC_KERNEL_AND_BIAS_OPTIONS,
};

bool infer_conv2d(LayerInferArgs& a) {
  if (!expect_image(a)) return false;
  const Options& options = a.options();
  const int64_t channels = a.shape()[2];
  const int64_t filters = options.integer("filters");
  const int64_t groups = options.integer("groups");
  if (!expect_groups(a, channels)) return false;
  Window window;
  if (!infer_window(a, {"kernel_size", "strides", "dilation_rate"}, window)) return false;
  const Ints& size = options.ints("kernel_size");
  a.parameter("kernel", {size[0], size[1], channels / groups, filters});
  if (options.flag("use_bias")) a.parameter("bias", {filters});
  a.output.shape = {window.out[0], window.out[1], filters};
  return infer_activated(a);
}

Val build_conv2d(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Window window =
      window_of(a.example_shape(), options.ints("kernel_size"), options.ints("strides"),
                options.ints("dilation_rate"), options.text("padding"));
  Val y = a.builder.add(Op::kConv, {a.in(), a.parameter("kernel")},
                        make_attrs(ConvAttrs{.strides = options.ints("strides"),
                                             .pad_low = window.pad_low,
                                             .pad_high = window.pad_high,
                                             .dilation = options.ints("dilation_rate"),
                                             .groups = options.integer("groups"),
                                             .shape = {}}));
  if (options.flag("use_bias")) y = y + broadcast(a.parameter("bias"), y.shape(), {3});
  return apply_activation(options.component("activation"), y);
}

}  // namespace

extern constinit const LayerDef kConv2d{
    .base = {.type = "conv2d",
             .summary = "2-D convolution over [height, width, channels].",
             .options = kConv2dOptions,
             .aliases = "conv_2d"},
    .infer = infer_conv2d,
    .build = build_conv2d,
};

}  // namespace gradc::layers
