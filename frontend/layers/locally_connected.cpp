// locally_connected1d, locally_connected2d: as a convolution, but every window has a kernel of its
// own, [windows, window * channels, filters].
#include "frontend/layers/window.h"

namespace gradc::layers {
namespace {

template <int kRank>
constexpr OptionDef kLocalOptions[] = {
    {.name = "filters", .type = OptionType::kInt, .doc = "channels of the result", .min = 1},
    window_option("kernel_size", kRank, {}, "extents of the window"),
    window_option("strides", kRank, "1", "steps of the window"),
    {.name = "padding",
     .type = OptionType::kEnum,
     .default_json = "\"valid\"",
     .doc = "windows inside only",
     .choices = "valid"},
    data_format_option(kRank),
    GRADC_ACTIVATION_OPTION,
    GRADC_KERNEL_AND_BIAS_OPTIONS,
};

constexpr WindowOptions kNames = {"kernel_size", "strides", {}};

bool infer_local(LayerInferArgs& a) {
  Window window;
  if (!infer_window(a, kNames, window)) return false;
  const auto windows = checked_product(window.out);
  const auto elements = checked_product(with_channels(window.size, a.shape().back()));
  if (!windows || !elements) return a.mismatch("has a kernel that is too large");
  const int64_t filters = a.options().integer("filters");
  a.parameter("kernel", {*windows, *elements, filters});
  a.output.shape = with_channels(window.out, filters);
  if (a.options().flag("use_bias")) a.parameter("bias", a.output.shape);
  return infer_activated(a);
}

/// The elements of all windows: [batch, windows..., window * channels].
Val elements_of(const LayerBuildArgs& a, const Window& window) {
  const Ints dims = a.in().shape().to_vector();
  const size_t rank = window.size.size();
  std::vector<Val> taps;
  Ints at(rank, 0);
  for (size_t axis = 0; axis < rank;) {
    Ints start(dims.size(), 0), limit = dims, stride(dims.size(), 1);
    for (size_t i = 0; i < rank; ++i) {
      start[i + 1] = at[i];
      stride[i + 1] = window.strides[i];
      limit[i + 1] = at[i] + (window.out[i] - 1) * window.strides[i] + 1;
    }
    taps.push_back(slice(a.in(), start, limit, stride));
    // The last axis runs fastest.
    for (axis = 0; axis < rank; ++axis) {
      if (++at[rank - 1 - axis] < window.size[rank - 1 - axis]) break;
      at[rank - 1 - axis] = 0;
    }
  }
  return concat(taps, static_cast<int64_t>(rank) + 1);
}

Val build_local(const LayerBuildArgs& a) {
  const Ints example = a.example_shape();
  const Window window = window_of(a.options(), kNames, spatial_of(example));
  const Val kernel = a.parameter("kernel");
  const Shape sizes = kernel.shape();
  const Val elements =
      transpose(reshape(elements_of(a, window), Shape{a.batch(), sizes[0], sizes[1]}), {1, 0, 2});
  Ints dims = with_channels(window.out, sizes[2]);
  dims.insert(dims.begin(), a.batch());
  const Val y = reshape(transpose(matmul(elements, kernel), {1, 0, 2}), Shape(dims));
  const Val sum =
      a.options().flag("use_bias") ? y + broadcast_to(a.parameter("bias"), y.shape()) : y;
  return apply_activation(a.options().component("activation"), sum);
}

template <int kRank>
constexpr LayerDef local_layer(std::string_view type, std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = "A convolution with a kernel of its own for each window.",
                   .options = kLocalOptions<kRank>,
                   .aliases = aliases},
          .infer = infer_local,
          .build = build_local};
}

}  // namespace

extern constinit const LayerDef kLocallyConnected1d =
    local_layer<1>("locally_connected1d", "locally_connected_1d");
extern constinit const LayerDef kLocallyConnected2d =
    local_layer<2>("locally_connected2d", "locally_connected_2d");

}  // namespace gradc::layers
