// Sliding windows over [steps, channels], [height, width, channels] and [depth, height, width,
// channels]: options, output extents and padding, as Keras counts them. How many spatial axes a
// layer has is the length of its window.
#pragma once

#include "frontend/layer_def.h"
#include "ir/op_attrs.h"

#include <array>

#define GRADC_PADDING                                                                             \
  OptionDef{.name = "padding",                                                                    \
            .type = OptionType::kEnum,                                                            \
            .default_json = "\"valid\"",                                                          \
            .doc = "valid: windows inside only; same: ceil(size / stride) windows, zeros around", \
            .choices = "valid same"}

#define GRADC_GROUPS                                 \
  OptionDef{.name = "groups",                        \
            .type = OptionType::kInt,                \
            .default_json = "1",                     \
            .doc = "channel groups that do not mix", \
            .min = 1}

namespace gradc::layers {

/// One number for each of `rank` spatial axes.
constexpr OptionDef window_option(std::string_view name, int rank, std::string_view initial,
                                  std::string_view doc) {
  return {.name = name,
          .type = OptionType::kSizes,
          .default_json = initial,
          .doc = doc,
          .min = 1,
          .count = rank};
}

constexpr OptionDef data_format_option(int rank) {
  constexpr std::array<std::string_view, 3> kDocs = {
      "axes are [steps, channels], or channels_first: [channels, steps]",
      "axes are [height, width, channels], or channels_first: [channels, height, width]",
      "axes are [depth, height, width, channels], or channels_first: [channels, depth, height, "
      "width]"};
  return {.name = kDataFormat,
          .type = OptionType::kEnum,
          .default_json = "\"channels_last\"",
          .doc = kDocs[static_cast<size_t>(rank - 1)],
          .or_null = true,
          .choices = "channels_last channels_first"};
}

constexpr OptionDef keepdims_option() {
  return {.name = "keepdims",
          .type = OptionType::kBool,
          .default_json = "false",
          .doc = "keep the spatial axes as 1"};
}

struct Window {
  Ints size, strides, dilation;
  Ints out, pad_low, pad_high;

  ConvAttrs conv(int64_t groups = 1) const;
};

/// Which options hold the numbers of a sliding window.
struct WindowOptions {
  std::string_view size, strides, dilation;  ///< an empty name or null: 1, strides: the size
};

/// The window of an input with these spatial extents. "padding" valid: (in - span) / stride + 1;
/// same: ceil(in / stride), padding split evenly, the odd one at the end; causal: all before.
Window window_of(const Options& options, const WindowOptions& names, std::span<const int64_t> in);
/// The same; reports what is too large, and a window that is larger than its input.
bool infer_window(LayerInferArgs& args, const WindowOptions& names, Window& window);

/// Reports an input that has not `rank` spatial axes and channels.
bool expect_spatial(LayerInferArgs& args, size_t rank);
/// Reports "groups" that do not divide an input's channels or the option "filters".
bool expect_groups(LayerInferArgs& args, int64_t channels);
/// Reports option values that no window can have; `what` says which.
bool window_fits(LayerInferArgs& args, std::string_view option, std::string_view what,
                 const Ints& numbers);

/// Extents of the spatial axes of an example.
std::span<const int64_t> spatial_of(const Ints& example);
/// 1, 2, ...: the spatial axes of a batch.
Ints spatial_axes(size_t rank);
/// [spatial..., channels].
Ints with_channels(Ints spatial, int64_t channels);
/// The result of a convolution with "bias" added along the last axis, if there is one.
Val with_bias(const LayerBuildArgs& args, Val y);

}  // namespace gradc::layers
