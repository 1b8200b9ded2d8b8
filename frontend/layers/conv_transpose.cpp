// Transposed convolutions: the gradient of a convolution with respect to its input, with a kernel
// [window..., filters, channels].
#include "frontend/layers/window.h"

#include <algorithm>

namespace gradc::layers {
namespace {

constexpr OptionDef output_padding_option(int rank) {
  return {.name = "output_padding",
          .type = OptionType::kSizes,
          .default_json = "null",
          .doc =
              "how much longer the result is than needed; null: so that it is size x stride "
              "(valid: at least that)",
          .min = 0,
          .count = rank};
}

template <int kRank>
constexpr OptionDef kTransposeOptions[] = {
    {.name = "filters", .type = OptionType::kInt, .doc = "channels of the result", .min = 1},
    window_option("kernel_size", kRank, {}, "extents of the window"),
    window_option("strides", kRank, "1", "distance of the inputs in the result"),
    {.name = "padding",
     .type = OptionType::kEnum,
     .default_json = "\"valid\"",
     .doc = "valid: all that the windows reach; same: size x stride of it",
     .choices = "valid same"},
    output_padding_option(kRank),
    data_format_option(kRank),
    window_option("dilation_rate", kRank, "1", "distance of kernel elements"),
    GRADC_ACTIVATION_OPTION,
    GRADC_KERNEL_AND_BIAS_OPTIONS,
};

/// The window of the convolution whose input gradient this is; `out` is that of the result. As
/// Keras counts it.
Window transposed_window(const Options& options, std::span<const int64_t> in) {
  Window window;
  window.size = options.ints("kernel_size");
  window.strides = options.ints("strides");
  window.dilation = options.ints("dilation_rate");
  const bool given = options.has("output_padding");
  const bool same = options.text("padding") == "same";
  for (size_t i = 0; i < window.size.size(); ++i) {
    const int64_t span = (window.size[i] - 1) * window.dilation[i] + 1;
    const int64_t stride = window.strides[i];
    const int64_t start = (in[i] - 1) * stride;
    const int64_t more = given ? options.ints("output_padding")[i] : 0;
    const int64_t out = same ? start + (given ? span % 2 + more : stride)
                             : start + (given ? span + more : std::max(span, stride));
    const int64_t cut = same ? std::max<int64_t>(start + span - out, 0) : 0;
    window.out.push_back(out);
    window.pad_low.push_back(cut / 2);
    window.pad_high.push_back(cut - cut / 2);
  }
  return window;
}

bool infer_transpose(LayerInferArgs& a) {
  const Options& options = a.options();
  if (!expect_spatial(a, options.ints("kernel_size").size())) return false;
  for (const char* name : {"kernel_size", "strides", "dilation_rate", "output_padding"}) {
    if (options.has(name) && !window_fits(a, name, name, options.ints(name))) return false;
  }
  for (size_t i = 0; i + 1 < a.shape().size(); ++i) {
    if (checked_product(std::array{a.shape()[i], options.ints("strides")[i]})) continue;
    a.sink.error(DiagKind::kTooLarge, a.option_place("strides"),
                 "{} has strides {}, which make too much of its input {}", a.who(),
                 shape_text(options.ints("strides")), to_string(a.inputs[0]));
    return false;
  }
  const Window window = transposed_window(options, spatial_of(a.shape()));
  for (size_t i = 0; i < window.size.size(); ++i) {
    const int64_t span = (window.size[i] - 1) * window.dilation[i] + 1;
    if (!window_fits(a, "dilation_rate", "a dilated window of", {span})) return false;
    // The windows of the result are those of the input, no fewer and no more.
    const int64_t reach = window.out[i] + window.pad_low[i] + window.pad_high[i] - span;
    if (reach >= 0 && reach / window.strides[i] + 1 == a.shape()[i] && window.out[i] > 0) continue;
    return a.mismatch("has output_padding {}, which must be below the strides {}",
                      shape_text(options.ints("output_padding")), shape_text(window.strides));
  }
  const int64_t filters = options.integer("filters");
  a.parameter("kernel", with_channels(with_channels(window.size, filters), a.shape().back()));
  if (options.flag("use_bias")) a.parameter("bias", {filters});
  a.output.shape = with_channels(window.out, filters);
  return infer_activated(a);
}

Val build_transpose(const LayerBuildArgs& a) {
  const Ints example = a.example_shape();
  const Window window = transposed_window(a.options(), spatial_of(example));
  ConvAttrs attrs = window.conv();
  attrs.shape = with_channels(window.out, a.options().integer("filters"));
  attrs.shape.insert(attrs.shape.begin(), a.batch());
  const Val y = a.builder.add(Op::kConvInputGrad, {a.in(), a.parameter("kernel")},
                              make_attrs(std::move(attrs)));
  return apply_activation(a.options().component("activation"), with_bias(a, y));
}

template <int kRank>
constexpr LayerDef transpose_layer(std::string_view type, std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = "Transposed convolution: every element is spread over a window of "
                              "the result.",
                   .options = kTransposeOptions<kRank>,
                   .aliases = aliases},
          .infer = infer_transpose,
          .build = build_transpose};
}

}  // namespace

extern constinit const LayerDef kConv1dTranspose =
    transpose_layer<1>("conv1d_transpose", "conv_1d_transpose");
extern constinit const LayerDef kConv2dTranspose =
    transpose_layer<2>("conv2d_transpose", "conv_2d_transpose");
extern constinit const LayerDef kConv3dTranspose =
    transpose_layer<3>("conv3d_transpose", "conv_3d_transpose");

}  // namespace gradc::layers
