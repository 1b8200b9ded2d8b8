// Options "axis" of normalisations.
#pragma once

#include "frontend/layer_def.h"

namespace gradc::layers {

/// Axes counted from 1 (the batch is 0), increasing; empty when one of them is out of range.
Ints resolve_axes(const Ints& axes, size_t example_rank);
/// The one axis that "axis" names; reports anything else.
bool infer_axis(LayerInferArgs& args, int64_t& axis);

constexpr OptionDef epsilon_option(std::string_view initial, std::string_view doc) {
  return {
      .name = "epsilon", .type = OptionType::kFloat, .default_json = initial, .doc = doc, .min = 0};
}

/// gamma and beta.
#define GRADC_SCALE_AND_CENTER                                                                 \
  OptionDef{                                                                                   \
      .name = "center", .type = OptionType::kBool, .default_json = "true", .doc = "add beta"}, \
      OptionDef{.name = "scale",                                                               \
                .type = OptionType::kBool,                                                     \
                .default_json = "true",                                                        \
                .doc = "multiply by gamma"},                                                   \
      GRADC_INITIALIZER("beta_initializer", "zeros"),                                          \
      GRADC_INITIALIZER("gamma_initializer", "ones"), GRADC_REGULATED("beta"),                 \
      GRADC_REGULATED("gamma")

}  // namespace gradc::layers
