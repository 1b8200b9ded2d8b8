// Sliding windows over [height, width, channels] and over [steps, channels]: output extents and
// padding, as Keras counts them.
#pragma once

#include "frontend/layer_def.h"

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

#define GRADC_STEPS_FORMAT                       \
  OptionDef{.name = "data_format",               \
            .type = OptionType::kEnum,           \
            .default_json = "\"channels_last\"", \
            .doc = "axes are [steps, channels]", \
            .choices = "channels_last"}

namespace gradc::layers {

struct Window {
  Ints out, pad_low, pad_high;  ///< height, width
};

/// valid: (in - span) / stride + 1; same: ceil(in / stride), padding split evenly, the odd one at
/// the end.
Window window_of(const Ints& image, const Ints& size, const Ints& strides, const Ints& dilation,
                 const std::string& padding);

/// Reports "groups" that do not divide an input's channels or the option "filters".
bool expect_groups(LayerInferArgs& args, int64_t channels);

/// Reports an input that is not [height, width, channels].
bool expect_image(LayerInferArgs& args);

/// The numbers of a sliding window; each names the option that it was read from.
struct WindowOptions {
  std::string_view size, strides, dilation;  ///< an empty name or null: 1, strides: the size
};
/// window_of with the layer's options and "padding"; reports what is too large, and a window that
/// is larger than its input.
bool infer_window(LayerInferArgs& args, const WindowOptions& names, Window& window);

// ---- steps: images that are one row high

/// Reports an input that is not [steps, channels].
bool expect_steps(LayerInferArgs& args);
/// [batch, steps, channels] as [batch, 1, steps, channels], and back.
Val as_rows(Val steps);
Val as_steps(Val rows);

/// As WindowOptions; the options are single numbers, "padding" may be "causal".
struct StepWindowOptions {
  std::string_view size, strides, dilation;
};
Window step_window_of(const Options& options, const StepWindowOptions& names, int64_t steps);
/// The same; reports what is too large, and a window that is longer than its input.
bool infer_step_window(LayerInferArgs& args, const StepWindowOptions& names, Window& window);

}  // namespace gradc::layers
