// conv1d, conv2d, conv3d: [spatial..., channels] with a kernel [window..., channels / groups,
// filters].
#include "frontend/layers/window.h"

namespace gradc::layers {
namespace {

constexpr OptionDef padding_option(int rank) {
  if (rank > 1) return GRADC_PADDING;
  return {.name = "padding",
          .type = OptionType::kEnum,
          .default_json = "\"valid\"",
          .doc =
              "valid: windows inside only; same: ceil(steps / stride) windows, zeros around; "
              "causal: zeros before, so that no step sees a later one",
          .choices = "valid same causal"};
}

template <int kRank>
constexpr OptionDef kConvOptions[] = {
    {.name = "filters", .type = OptionType::kInt, .doc = "channels of the result", .min = 1},
    window_option("kernel_size", kRank, {}, "extents of the window"),
    window_option("strides", kRank, "1", "steps of the window"),
    padding_option(kRank),
    data_format_option(kRank),
    window_option("dilation_rate", kRank, "1", "distance of kernel elements"),
    GRADC_GROUPS,
    GRADC_ACTIVATION_OPTION,
    GRADC_KERNEL_AND_BIAS_OPTIONS,
};

constexpr WindowOptions kNames = {"kernel_size", "strides", "dilation_rate"};

bool infer_conv(LayerInferArgs& a) {
  const Options& options = a.options();
  Window window;
  if (!infer_window(a, kNames, window)) return false;
  const int64_t channels = a.shape().back();
  if (!expect_groups(a, channels)) return false;
  const int64_t filters = options.integer("filters");
  Ints kernel = with_channels(window.size, channels / options.integer("groups"));
  a.parameter("kernel", with_channels(std::move(kernel), filters));
  if (options.flag("use_bias")) a.parameter("bias", {filters});
  a.output.shape = with_channels(window.out, filters);
  return infer_activated(a);
}

Val build_conv(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Ints example = a.example_shape();
  const Window window = window_of(options, kNames, spatial_of(example));
  const Val y = a.builder.add(Op::kConv, {a.in(), a.parameter("kernel")},
                              make_attrs(window.conv(options.integer("groups"))));
  return apply_activation(options.component("activation"), with_bias(a, y));
}

template <int kRank>
constexpr LayerDef conv_layer(std::string_view type, std::string_view summary,
                              std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = summary,
                   .options = kConvOptions<kRank>,
                   .aliases = aliases},
          .infer = infer_conv,
          .build = build_conv};
}

}  // namespace

extern constinit const LayerDef kConv1d =
    conv_layer<1>("conv1d", "1-D convolution over [steps, channels].", "conv_1d");
extern constinit const LayerDef kConv2d =
    conv_layer<2>("conv2d", "2-D convolution over [height, width, channels].", "conv_2d");
extern constinit const LayerDef kConv3d =
    conv_layer<3>("conv3d", "3-D convolution over [depth, height, width, channels].", "conv_3d");

}  // namespace gradc::layers
