// Pooling over one to three spatial axes, windowed and global.
#include "frontend/layers/window.h"

namespace gradc::layers {
namespace {

template <int kRank>
constexpr OptionDef kPoolOptions[] = {
    window_option("pool_size", kRank, "2", "extents of the window"),
    window_option("strides", kRank, "null", "steps of the window; null: pool_size"),
    GRADC_PADDING,
    data_format_option(kRank),
};

constexpr WindowOptions kNames = {"pool_size", "strides", {}};

bool infer_pool(LayerInferArgs& a) {
  Window window;
  if (!infer_window(a, kNames, window)) return false;
  a.output.shape = with_channels(window.out, a.shape().back());
  return true;
}

template <Op op>
Val build_pool(const LayerBuildArgs& a) {
  const Ints example = a.example_shape();
  const Window window = window_of(a.options(), kNames, spatial_of(example));
  return a.builder.add(op, {a.in()},
                       make_attrs(PoolAttrs{.window = window.size,
                                            .strides = window.strides,
                                            .pad_low = window.pad_low,
                                            .pad_high = window.pad_high,
                                            .shape = {}}));
}

template <int kRank>
constexpr OptionDef kGlobalPoolOptions[] = {data_format_option(kRank), keepdims_option()};

template <int kRank>
bool infer_global(LayerInferArgs& a) {
  if (!expect_spatial(a, kRank)) return false;
  const bool keep = a.options().flag("keepdims");
  a.output.shape = with_channels(keep ? Ints(kRank, 1) : Ints(), a.shape().back());
  return true;
}

template <Val reduce(Val, std::vector<int64_t>)>
Val build_global(const LayerBuildArgs& a) {
  const size_t rank = a.example_shape().size() - 1;
  const Val reduced = reduce(a.in(), spatial_axes(rank));
  if (!a.options().flag("keepdims")) return reduced;
  Ints shape(rank + 2, 1);
  shape.front() = a.batch();
  shape.back() = a.in().shape().back();
  return reshape(reduced, Shape(shape));
}

/// Keras's mean of the steps that count; zeros where none does.
bool infer_global_steps(LayerInferArgs& a) {
  if (a.masked && a.options().has(kDataFormat) && a.options().text(kDataFormat) == "channels_first")
    return a.mismatch("means steps of which some do not count: they must come before the channels");
  return infer_global<1>(a);
}

Val build_global_steps(const LayerBuildArgs& a) {
  if (!a.mask.valid()) return build_global<reduce_mean>(a);
  const Val counts = cast(a.mask, a.in().dtype());
  const Val sum = reduce_sum(a.in() * broadcast(counts, a.in().shape(), {0, 1}), {1});
  const Val mean = sum / broadcast(maximum(reduce_sum(counts, {1}), 1.0), sum.shape(), {0});
  if (!a.options().flag("keepdims")) return mean;
  return reshape(mean, Shape{a.batch(), 1, mean.shape()[1]});
}

template <int kRank, Op op>
constexpr LayerDef pool_layer(std::string_view type, std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = op == Op::kMaxPool ? "Largest value of each window."
                                                 : "Mean of each window; padding does not count.",
                   .options = kPoolOptions<kRank>,
                   .aliases = aliases},
          .infer = infer_pool,
          .build = build_pool<op>};
}

template <int kRank, Val reduce(Val, std::vector<int64_t>)>
constexpr LayerDef global_layer(std::string_view type, std::string_view summary,
                                std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = summary,
                   .options = kGlobalPoolOptions<kRank>,
                   .aliases = aliases},
          .infer = infer_global<kRank>,
          .build = build_global<reduce>};
}

template <int kRank>
constexpr LayerDef global_max(std::string_view type, std::string_view aliases) {
  return global_layer<kRank, reduce_max>(type, "Largest value of each channel.", aliases);
}
template <int kRank>
constexpr LayerDef global_average(std::string_view type, std::string_view aliases) {
  return global_layer<kRank, reduce_mean>(type, "Mean of each channel.", aliases);
}

}  // namespace

extern constinit const LayerDef kMaxPooling1d =
    pool_layer<1, Op::kMaxPool>("max_pooling1d", "max_pool1d max_pooling_1d");
extern constinit const LayerDef kMaxPooling2d =
    pool_layer<2, Op::kMaxPool>("max_pooling2d", "max_pool2d max_pooling_2d");
extern constinit const LayerDef kMaxPooling3d =
    pool_layer<3, Op::kMaxPool>("max_pooling3d", "max_pool3d max_pooling_3d");
extern constinit const LayerDef kAveragePooling1d =
    pool_layer<1, Op::kAvgPool>("average_pooling1d", "avg_pool1d average_pooling_1d");
extern constinit const LayerDef kAveragePooling2d =
    pool_layer<2, Op::kAvgPool>("average_pooling2d", "avg_pool2d average_pooling_2d");
extern constinit const LayerDef kAveragePooling3d =
    pool_layer<3, Op::kAvgPool>("average_pooling3d", "avg_pool3d average_pooling_3d");
extern constinit const LayerDef kGlobalMaxPooling1d =
    global_max<1>("global_max_pooling1d", "global_max_pool1d global_max_pooling_1d");
extern constinit const LayerDef kGlobalMaxPooling2d =
    global_max<2>("global_max_pooling2d", "global_max_pool2d global_max_pooling_2d");
extern constinit const LayerDef kGlobalMaxPooling3d =
    global_max<3>("global_max_pooling3d", "global_max_pool3d global_max_pooling_3d");
extern constinit const LayerDef kGlobalAveragePooling1d{
    .base = {.type = "global_average_pooling1d",
             .summary = "Mean of each channel, over the steps that count.",
             .options = kGlobalPoolOptions<1>,
             .aliases = "global_avg_pool1d global_average_pooling_1d"},
    .masks = MaskRule::kKnows,
    .infer = infer_global_steps,
    .build = build_global_steps};
extern constinit const LayerDef kGlobalAveragePooling2d =
    global_average<2>("global_average_pooling2d", "global_avg_pool2d global_average_pooling_2d");
extern constinit const LayerDef kGlobalAveragePooling3d =
    global_average<3>("global_average_pooling3d", "global_avg_pool3d global_average_pooling_3d");

}  // namespace gradc::layers
