// Zeros around the spatial axes, and parts of them cut off.
#include "frontend/layers/window.h"

#include <utility>

namespace gradc::layers {
namespace {

constexpr OptionDef sides_option(std::string_view name, int rank, std::string_view doc) {
  return {.name = name,
          .type = OptionType::kPaddings,
          .default_json = "1",
          .doc = doc,
          .min = 0,
          .count = rank};
}

template <int kRank>
constexpr OptionDef kPaddingOptions[] = {sides_option("padding", kRank, "zeros around"),
                                         data_format_option(kRank)};
template <int kRank>
constexpr OptionDef kCroppingOptions[] = {sides_option("cropping", kRank, "what is cut off"),
                                          data_format_option(kRank)};

bool infer_padding(LayerInferArgs& a) {
  const Ints& padding = a.options().ints("padding");
  if (!expect_spatial(a, padding.size() / 2)) return false;
  a.output.shape = a.shape();
  for (size_t i = 0; i < padding.size(); ++i) {
    if (padding[i] > kMaxTensorBytes) {
      a.sink.error(DiagKind::kTooLarge, a.option_place("padding"),
                   "{} adds {} zeros to a side, at most {} are possible", a.who(), padding[i],
                   kMaxTensorBytes);
      return false;
    }
    a.output.shape[i / 2] += padding[i];
  }
  return true;
}

bool infer_cropping(LayerInferArgs& a) {
  const Ints& cropping = a.options().ints("cropping");
  if (!expect_spatial(a, cropping.size() / 2)) return false;
  a.output.shape = a.shape();
  for (size_t i = 0; i < cropping.size(); ++i) {
    int64_t& extent = a.output.shape[i / 2];
    if (cropping[i] >= extent)
      return a.mismatch("cuts off {}, which leaves nothing of its input {}", shape_text(cropping),
                        to_string(a.inputs[0]));
    extent -= cropping[i];
  }
  return true;
}

/// What stands before and what behind, for all axes of a batch.
std::pair<Ints, Ints> sides(const Ints& pairs) {
  Ints before = {0}, behind = {0};
  for (size_t i = 0; i < pairs.size(); i += 2) {
    before.push_back(pairs[i]);
    behind.push_back(pairs[i + 1]);
  }
  before.push_back(0);
  behind.push_back(0);
  return {before, behind};
}

Val build_padding(const LayerBuildArgs& a) {
  auto [before, behind] = sides(a.options().ints("padding"));
  return pad(a.in(), std::move(before), std::move(behind));
}

Val build_cropping(const LayerBuildArgs& a) {
  const auto [before, behind] = sides(a.options().ints("cropping"));
  Ints limit = a.in().shape().to_vector();
  for (size_t i = 0; i < limit.size(); ++i)
    limit[i] -= behind[i];
  return slice(a.in(), before, limit);
}

template <int kRank>
constexpr LayerDef padding_layer(std::string_view type, std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = "Zeros around the spatial axes.",
                   .options = kPaddingOptions<kRank>,
                   .aliases = aliases},
          .infer = infer_padding,
          .build = build_padding};
}

template <int kRank>
constexpr LayerDef cropping_layer(std::string_view type, std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = "The ends of the spatial axes cut off.",
                   .options = kCroppingOptions<kRank>,
                   .aliases = aliases},
          .infer = infer_cropping,
          .build = build_cropping};
}

}  // namespace

extern constinit const LayerDef kZeroPadding1d =
    padding_layer<1>("zero_padding1d", "zero_padding_1d");
extern constinit const LayerDef kZeroPadding2d =
    padding_layer<2>("zero_padding2d", "zero_padding_2d");
extern constinit const LayerDef kZeroPadding3d =
    padding_layer<3>("zero_padding3d", "zero_padding_3d");
extern constinit const LayerDef kCropping1d = cropping_layer<1>("cropping1d", "cropping_1d");
extern constinit const LayerDef kCropping2d = cropping_layer<2>("cropping2d", "cropping_2d");
extern constinit const LayerDef kCropping3d = cropping_layer<3>("cropping3d", "cropping_3d");

}  // namespace gradc::layers
