// Pooling to a given number of windows: window i of n covers the elements from i / n of the axis to
// (i + 1) / n, both rounded outwards. A window is a product of ranges, so each axis is pooled by
// itself.
#include "frontend/layers/window.h"

namespace gradc::layers {
namespace {

template <int kRank>
constexpr OptionDef kAdaptiveOptions[] = {
    window_option("output_size", kRank, {}, "extents of the result"),
    data_format_option(kRank),
};

bool infer_adaptive(LayerInferArgs& a) {
  const Ints& size = a.options().ints("output_size");
  if (!expect_spatial(a, size.size())) return false;
  // Each window of an axis is an op of its own.
  constexpr int64_t kMostWindows = 1024;
  for (size_t i = 0; i < size.size(); ++i) {
    if (size[i] <= kMostWindows || a.shape()[i] % size[i] == 0) continue;
    a.sink.error(DiagKind::kTooLarge, a.option_place("output_size"),
                 "{} makes {} uneven windows along an axis, at most {} are possible", a.who(),
                 size[i], kMostWindows);
    return false;
  }
  a.output.shape = with_channels(size, a.shape().back());
  return true;
}

using Reduce = Val (*)(Val, std::vector<int64_t>);

Val pooled_axis(Val x, int64_t axis, int64_t count, Reduce reduce) {
  const Ints dims = x.shape().to_vector();
  const auto at = static_cast<size_t>(axis);
  const int64_t extent = dims[at];
  if (extent % count == 0) {
    Ints apart = dims;
    apart[at] = extent / count;
    apart.insert(apart.begin() + axis, count);
    return reduce(reshape(x, Shape(apart)), {axis + 1});
  }
  std::vector<Val> windows;
  for (int64_t i = 0; i < count; ++i) {
    Ints start(dims.size(), 0), limit = dims, one = dims;
    start[at] = i * extent / count;
    limit[at] = ((i + 1) * extent + count - 1) / count;
    one[at] = 1;
    windows.push_back(reshape(reduce(slice(x, start, limit), {axis}), Shape(one)));
  }
  return concat(windows, axis);
}

template <Val reduce(Val, std::vector<int64_t>)>
Val build_adaptive(const LayerBuildArgs& a) {
  Val x = a.in();
  int64_t axis = 0;
  for (const int64_t count : a.options().ints("output_size"))
    x = pooled_axis(x, ++axis, count, reduce);
  return x;
}

template <int kRank>
constexpr LayerDef adaptive_average(std::string_view type) {
  return {.base = {.type = type,
                   .summary = "Mean of each of so many windows of nearly equal size.",
                   .options = kAdaptiveOptions<kRank>},
          .infer = infer_adaptive,
          .build = build_adaptive<reduce_mean>};
}
template <int kRank>
constexpr LayerDef adaptive_max(std::string_view type) {
  return {.base = {.type = type,
                   .summary = "Largest value of each of so many windows of nearly equal size.",
                   .options = kAdaptiveOptions<kRank>},
          .infer = infer_adaptive,
          .build = build_adaptive<reduce_max>};
}

}  // namespace

extern constinit const LayerDef kAdaptiveAveragePooling1d =
    adaptive_average<1>("adaptive_average_pooling1d");
extern constinit const LayerDef kAdaptiveAveragePooling2d =
    adaptive_average<2>("adaptive_average_pooling2d");
extern constinit const LayerDef kAdaptiveAveragePooling3d =
    adaptive_average<3>("adaptive_average_pooling3d");
extern constinit const LayerDef kAdaptiveMaxPooling1d = adaptive_max<1>("adaptive_max_pooling1d");
extern constinit const LayerDef kAdaptiveMaxPooling2d = adaptive_max<2>("adaptive_max_pooling2d");
extern constinit const LayerDef kAdaptiveMaxPooling3d = adaptive_max<3>("adaptive_max_pooling3d");

}  // namespace gradc::layers
