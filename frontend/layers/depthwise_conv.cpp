// Convolutions that do not mix channels, each of which has depth_multiplier kernels of its own
// [window..., channels, depth_multiplier]; and separable ones, in which a convolution of single
// elements mixes the channels afterwards.
#include "frontend/layers/window.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kDepthMultiplier = {.name = "depth_multiplier",
                                        .type = OptionType::kInt,
                                        .default_json = "1",
                                        .doc = "channels of the result for each channel",
                                        .min = 1};
constexpr OptionDef kUseBias = {.name = "use_bias",
                                .type = OptionType::kBool,
                                .default_json = "true",
                                .doc = "add a trained vector"};

template <int kRank>
constexpr OptionDef kDepthwiseOptions[] = {
    window_option("kernel_size", kRank, {}, "extents of the window"),
    window_option("strides", kRank, "1", "steps of the window"),
    GRADC_PADDING,
    kDepthMultiplier,
    data_format_option(kRank),
    window_option("dilation_rate", kRank, "1", "distance of kernel elements"),
    GRADC_ACTIVATION_OPTION,
    kUseBias,
    GRADC_INITIALIZER("depthwise_initializer", "glorot_uniform"),
    GRADC_INITIALIZER("bias_initializer", "zeros"),
    GRADC_REGULATED("depthwise"),
    GRADC_REGULATED("bias"),
    GRADC_ACTIVITY_REGULARIZER,
};

template <int kRank>
constexpr OptionDef kSeparableOptions[] = {
    {.name = "filters", .type = OptionType::kInt, .doc = "channels of the result", .min = 1},
    window_option("kernel_size", kRank, {}, "extents of the window"),
    window_option("strides", kRank, "1", "steps of the window"),
    GRADC_PADDING,
    data_format_option(kRank),
    window_option("dilation_rate", kRank, "1", "distance of kernel elements"),
    kDepthMultiplier,
    GRADC_ACTIVATION_OPTION,
    kUseBias,
    GRADC_INITIALIZER("depthwise_initializer", "glorot_uniform"),
    GRADC_INITIALIZER("pointwise_initializer", "glorot_uniform"),
    GRADC_INITIALIZER("bias_initializer", "zeros"),
    GRADC_REGULATED("depthwise"),
    GRADC_REGULATED("pointwise"),
    GRADC_REGULATED("bias"),
    GRADC_ACTIVITY_REGULARIZER,
};

constexpr WindowOptions kNames = {"kernel_size", "strides", "dilation_rate"};

/// The depthwise part: its kernel is called `name`.
bool infer_channelwise(LayerInferArgs& a, std::string_view name, Window& window,
                       int64_t& channels) {
  if (!infer_window(a, kNames, window)) return false;
  const int64_t multiplier = a.options().integer("depth_multiplier");
  const auto count = checked_product(std::array{a.shape().back(), multiplier});
  if (!count) {
    a.sink.error(DiagKind::kTooLarge, a.option_place("depth_multiplier"),
                 "{} makes {} channels of each of {}, which are too many", a.who(), multiplier,
                 a.shape().back());
    return false;
  }
  channels = *count;
  Ints kernel = with_channels(window.size, a.shape().back());
  a.parameter(name, with_channels(std::move(kernel), multiplier), true, "depthwise");
  return true;
}

bool infer_depthwise(LayerInferArgs& a) {
  Window window;
  int64_t channels = 0;
  if (!infer_channelwise(a, "kernel", window, channels)) return false;
  if (a.options().flag("use_bias")) a.parameter("bias", {channels});
  a.output.shape = with_channels(window.out, channels);
  return infer_activated(a);
}

bool infer_separable(LayerInferArgs& a) {
  Window window;
  int64_t channels = 0;
  if (!infer_channelwise(a, "depthwise_kernel", window, channels)) return false;
  const int64_t filters = a.options().integer("filters");
  Ints kernel = with_channels(Ints(window.size.size(), 1), channels);
  a.parameter("pointwise_kernel", with_channels(std::move(kernel), filters), true, "pointwise");
  if (a.options().flag("use_bias")) a.parameter("bias", {filters});
  a.output.shape = with_channels(window.out, filters);
  return infer_activated(a);
}

/// As a convolution of as many groups as there are channels.
Val convolved_by_channel(const LayerBuildArgs& a, Val kernel) {
  const Ints example = a.example_shape();
  const Window window = window_of(a.options(), kNames, spatial_of(example));
  Ints grouped = kernel.shape().to_vector();
  const int64_t channels = grouped[grouped.size() - 2];
  grouped.back() *= channels;
  grouped[grouped.size() - 2] = 1;
  return a.builder.add(Op::kConv, {a.in(), reshape(kernel, Shape(grouped))},
                       make_attrs(window.conv(channels)));
}

Val build_depthwise(const LayerBuildArgs& a) {
  const Val y = convolved_by_channel(a, a.parameter("kernel"));
  return apply_activation(a.options().component("activation"), with_bias(a, y));
}

Val build_separable(const LayerBuildArgs& a) {
  const Val y = convolved_by_channel(a, a.parameter("depthwise_kernel"));
  const Val mixed =
      a.builder.add(Op::kConv, {y, a.parameter("pointwise_kernel")}, make_attrs(ConvAttrs{}));
  return apply_activation(a.options().component("activation"), with_bias(a, mixed));
}

template <int kRank>
constexpr LayerDef depthwise_layer(std::string_view type, std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = "A convolution of each channel by itself, with kernels of its own.",
                   .options = kDepthwiseOptions<kRank>,
                   .aliases = aliases},
          .infer = infer_depthwise,
          .build = build_depthwise};
}

template <int kRank>
constexpr LayerDef separable_layer(std::string_view type, std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = "A convolution of each channel by itself, then one of single "
                              "elements that mixes the channels.",
                   .options = kSeparableOptions<kRank>,
                   .aliases = aliases},
          .infer = infer_separable,
          .build = build_separable};
}

}  // namespace

extern constinit const LayerDef kDepthwiseConv1d =
    depthwise_layer<1>("depthwise_conv1d", "depthwise_conv_1d");
extern constinit const LayerDef kDepthwiseConv2d =
    depthwise_layer<2>("depthwise_conv2d", "depthwise_conv_2d");
extern constinit const LayerDef kSeparableConv1d =
    separable_layer<1>("separable_conv1d", "separable_conv_1d");
extern constinit const LayerDef kSeparableConv2d =
    separable_layer<2>("separable_conv2d", "separable_conv_2d");

}  // namespace gradc::layers
