// Spatial axes stretched or shrunk to another extent.
#pragma once

#include "frontend/layer_def.h"

namespace gradc::layers {

#define GRADC_INTERPOLATION(initial)                                                              \
  OptionDef{.name = "interpolation",                                                              \
            .type = OptionType::kEnum,                                                            \
            .default_json = "\"" initial "\"",                                                    \
            .doc = "which elements a result is made of: the nearest, or weighted ones around it", \
            .choices = "nearest bilinear bicubic lanczos3 lanczos5"}

/// Reports an axis of so many elements that its weights would take too much memory.
bool expect_resampling(LayerInferArgs& args, int64_t from, int64_t to);

/// x with `axis` of another extent. Elements stand at the middles of equal parts of the axis;
/// `antialias`: when it shrinks, each result is made of all that lies between it and the next.
Val resampled(Val x, int64_t axis, int64_t extent, const std::string& interpolation,
              bool antialias = false);

/// An image [batch, height, width, channels] of another size: of its largest middle part in the
/// result's proportions. And whether expect_resampling allows it.
Val resized_middle(Val image, int64_t height, int64_t width, const std::string& interpolation);
bool expect_resized_middle(LayerInferArgs& args, int64_t height, int64_t width);

}  // namespace gradc::layers
