// What changes its input at random in training and passes it on otherwise: dropout of several
// kinds, and noise.
#include "frontend/layers/keep_mask.h"
#include "frontend/layers/window.h"

#include <cmath>

namespace gradc::layers {
namespace {

constexpr OptionDef rate_option(std::string_view doc) {
  return {.name = "rate",
          .type = OptionType::kFloat,
          .doc = doc,
          .min = 0,
          .max = 1,
          .below_max = true};
}
constexpr OptionDef kRate = rate_option("share of elements that become 0");
constexpr OptionDef kNoiseShape = {
    .name = "noise_shape",
    .type = OptionType::kInts,
    .default_json = "null",
    .doc = "for each axis, the batch first: -1: every element by itself; 1: all alike",
    .min = -1};

constexpr OptionDef kDropoutOptions[] = {kRate, kNoiseShape};
constexpr OptionDef kSpatial1dOptions[] = {kRate};
constexpr OptionDef kSpatial2dOptions[] = {kRate, data_format_option(2)};
constexpr OptionDef kSpatial3dOptions[] = {kRate, data_format_option(3)};
constexpr OptionDef kGaussianDropoutOptions[] = {
    rate_option("the factors of the elements have the deviation sqrt(rate / (1 - rate))")};
constexpr OptionDef kAlphaDropoutOptions[] = {
    rate_option("share of elements that take the smallest value of selu"), kNoiseShape};
constexpr OptionDef kGaussianNoiseOptions[] = {
    {.name = "stddev", .type = OptionType::kFloat, .doc = "deviation of what is added", .min = 0}};

bool infer_same(LayerInferArgs& a) {
  a.output = a.inputs[0];
  return true;
}

bool infer_noise_shape(LayerInferArgs& a) {
  a.output = a.inputs[0];
  if (!a.options().has("noise_shape")) return true;
  const Ints& noise = a.options().ints("noise_shape");
  bool fits = noise.size() == a.shape().size() + 1;
  for (size_t i = 0; fits && i < noise.size(); ++i) {
    const int64_t extent = i == 0 ? a.batch_size : a.shape()[i - 1];
    fits = noise[i] == -1 || noise[i] == 1 || noise[i] == extent;
  }
  if (fits) return true;
  return a.mismatch("has noise_shape {}, which does not fit its input {}", shape_text(noise),
                    to_string(a.inputs[0]));
}

/// The shape of what is drawn.
Ints noise_shape(const LayerBuildArgs& a) {
  Ints shape = a.in().shape().to_vector();
  if (!a.options().has("noise_shape")) return shape;
  const Ints& noise = a.options().ints("noise_shape");
  for (size_t i = 0; i < shape.size(); ++i) {
    if (noise[i] == 1) shape[i] = 1;
  }
  return shape;
}

Val dropped(const LayerBuildArgs& a, Ints shape) {
  const Val mask = keep_mask(a, a.options().number("rate"), std::move(shape));
  return mask.valid() ? a.in() * broadcast_to(mask, a.in().shape()) : a.in();
}

Val build_dropout(const LayerBuildArgs& a) {
  return dropped(a, noise_shape(a));
}

template <int kRank>
bool infer_spatial(LayerInferArgs& a) {
  a.output = a.inputs[0];
  return expect_spatial(a, kRank);
}

Val build_spatial(const LayerBuildArgs& a) {
  Ints shape(static_cast<size_t>(a.in().rank()), 1);
  shape.front() = a.batch();
  shape.back() = a.in().shape().back();
  return dropped(a, std::move(shape));
}

Val normal(const LayerBuildArgs& a, double deviation) {
  const Val drawn = a.builder.add(
      Op::kRandomNormal, {a.seed(), a.iteration()},
      make_attrs(RandomAttrs{.shape = a.in().shape().to_vector(), .stream = a.next_stream()}));
  return cast(drawn, a.in().dtype()) * deviation;
}

Val build_gaussian_dropout(const LayerBuildArgs& a) {
  const double rate = a.options().number("rate");
  if (!a.training || rate == 0.0) return a.in();
  return a.in() * (normal(a, std::sqrt(rate / (1.0 - rate))) + 1.0);
}

// No gradient goes through the comparison, nor is one of the probability meant.
Val build_bernoulli(const LayerBuildArgs& a) {
  if (!a.training) return a.in();
  const Val drawn = a.builder.add(
      Op::kRandomUniform, {a.seed(), a.iteration()},
      make_attrs(RandomAttrs{.shape = a.in().shape().to_vector(), .stream = a.next_stream()}));
  return cast(less(cast(drawn, a.in().dtype()), a.in()), a.in().dtype());
}

Val build_gaussian_noise(const LayerBuildArgs& a) {
  const double deviation = a.options().number("stddev");
  if (!a.training || deviation == 0.0) return a.in();
  return a.in() + normal(a, deviation);
}

// Dropped elements take selu's value far below 0; then mean 0 and variance 1 are restored.
Val build_alpha_dropout(const LayerBuildArgs& a) {
  const double rate = a.options().number("rate");
  if (!a.training || rate == 0.0) return a.in();
  constexpr double kLow = -1.6732632423543772 * 1.0507009873554805;
  const double scale = 1.0 / std::sqrt((1.0 - rate) * (1.0 + rate * kLow * kLow));
  const Val kept = a.builder.add(
      Op::kBernoulli, {a.seed(), a.iteration()},
      make_attrs(BernoulliAttrs{
          .shape = noise_shape(a), .stream = a.next_stream(), .probability = 1.0 - rate}));
  const Val mask = broadcast_to(cast(kept, a.in().dtype()), a.in().shape());
  const Val x = a.in() * mask + (1.0 - mask) * kLow;
  return x * scale - scale * kLow * rate;
}

template <int kRank>
constexpr LayerDef spatial_layer(std::string_view type, std::span<const OptionDef> options,
                                 std::string_view aliases, MaskRule masks) {
  return {.base = {.type = type,
                   .summary = "Zeroes random channels of each example in training, scales the "
                              "rest up.",
                   .options = options,
                   .aliases = aliases},
          .masks = masks,
          .infer = infer_spatial<kRank>,
          .build = build_spatial};
}

}  // namespace

extern constinit const LayerDef kDropout{
    .base = {.type = "dropout",
             .summary = "Zeroes random elements in training, scales the rest up.",
             .options = kDropoutOptions},
    .masks = MaskRule::kCarries,
    .infer = infer_noise_shape,
    .build = build_dropout,
};

extern constinit const LayerDef kSpatialDropout1d = spatial_layer<1>(
    "spatial_dropout1d", kSpatial1dOptions, "spatial_dropout_1d", MaskRule::kCarries);
extern constinit const LayerDef kSpatialDropout2d = spatial_layer<2>(
    "spatial_dropout2d", kSpatial2dOptions, "spatial_dropout_2d", MaskRule::kRefuses);
extern constinit const LayerDef kSpatialDropout3d = spatial_layer<3>(
    "spatial_dropout3d", kSpatial3dOptions, "spatial_dropout_3d", MaskRule::kRefuses);

extern constinit const LayerDef kGaussianDropout{
    .base = {.type = "gaussian_dropout",
             .summary = "Multiplies elements by random factors around 1 in training.",
             .options = kGaussianDropoutOptions},
    .masks = MaskRule::kCarries,
    .infer = infer_same,
    .build = build_gaussian_dropout,
};

extern constinit const LayerDef kGaussianNoise{
    .base = {.type = "gaussian_noise",
             .summary = "Adds random numbers around 0 in training.",
             .options = kGaussianNoiseOptions},
    .masks = MaskRule::kCarries,
    .infer = infer_same,
    .build = build_gaussian_noise,
};

extern constinit const LayerDef kBernoulli{
    .base = {.type = "bernoulli",
             .summary = "1 with the probability that its input says, else 0, drawn in training: no "
                        "gradient goes through. Otherwise the probability itself."},
    .masks = MaskRule::kCarries,
    .infer = infer_same,
    .build = build_bernoulli,
};

extern constinit const LayerDef kAlphaDropout{
    .base = {.type = "alpha_dropout",
             .summary = "Dropout behind selu: keeps mean 0 and variance 1.",
             .options = kAlphaDropoutOptions},
    .masks = MaskRule::kCarries,
    .infer = infer_noise_shape,
    .build = build_alpha_dropout,
};

}  // namespace gradc::layers
