// Sliding windows over [height, width, channels]: output extents and padding, as Keras counts them.
#pragma once

#include "frontend/layer_def.h"

#define GRADC_PADDING                                                                             \
  OptionDef{.name = "padding",                                                                    \
            .type = OptionType::kEnum,                                                            \
            .default_json = "\"valid\"",                                                          \
            .doc = "valid: windows inside only; same: ceil(size / stride) windows, zeros around", \
            .choices = "valid same"}

namespace gradc::layers {

struct Window {
  Ints out, pad_low, pad_high;  ///< height, width
};

/// valid: (in - span) / stride + 1; same: ceil(in / stride), padding split evenly, the odd one at
/// the end.
Window window_of(const Ints& image, const Ints& size, const Ints& strides, const Ints& dilation,
                 const std::string& padding);

/// Reports an input that is not [height, width, channels].
bool expect_image(LayerInferArgs& args);

/// The numbers of a sliding window; each names the option that it was read from.
struct WindowOptions {
  std::string_view size, strides, dilation;  ///< an empty name or null: 1, strides: the size
};
/// window_of with the layer's options and "padding"; reports what is too large, and a window that
/// is larger than its input.
bool infer_window(LayerInferArgs& args, const WindowOptions& names, Window& window);

}  // namespace gradc::layers
