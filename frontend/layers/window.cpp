// Window arithmetic shared by convolution and pooling. Images are at most 2^48 long and windows,
// strides and dilations 2^30, so neither sums nor products overflow.
#include "frontend/layers/window.h"

#include "ir/conv_geometry.h"

#include <algorithm>

namespace gradc::layers {

namespace {

constexpr std::array<std::string_view, 3> kAxes = {"[steps, channels]", "[height, width, channels]",
                                                   "[depth, height, width, channels]"};

int64_t span_of(const Window& window, size_t axis) {
  return (window.size[axis] - 1) * window.dilation[axis] + 1;
}

}  // namespace

ConvAttrs Window::conv(int64_t groups) const {
  return {.strides = strides,
          .pad_low = pad_low,
          .pad_high = pad_high,
          .dilation = dilation,
          .groups = groups,
          .shape = {}};
}

Window window_of(const Options& options, const WindowOptions& names, std::span<const int64_t> in) {
  Window window;
  window.size = options.ints(names.size);
  window.strides = options.has(names.strides) ? options.ints(names.strides) : window.size;
  window.dilation = Ints(window.size.size(), 1);
  if (!names.dilation.empty()) window.dilation = options.ints(names.dilation);
  const std::string& padding = options.text("padding");
  for (size_t i = 0; i < window.size.size(); ++i) {
    const int64_t span = span_of(window, i);
    const int64_t stride = window.strides[i];
    int64_t out = in[i] < span ? 0 : (in[i] - span) / stride + 1;
    int64_t before = 0, total = 0;
    if (padding == "same") {
      out = (in[i] + stride - 1) / stride;
      total = std::max<int64_t>((out - 1) * stride + span - in[i], 0);
      before = total / 2;
    } else if (padding == "causal") {
      out = (in[i] - 1) / stride + 1;
      before = total = span - 1;
    }
    window.out.push_back(out);
    window.pad_low.push_back(before);
    window.pad_high.push_back(total - before);
  }
  return window;
}

bool expect_groups(LayerInferArgs& args, int64_t channels) {
  const int64_t groups = args.options().integer("groups");
  const int64_t filters = args.options().integer("filters");
  if (channels % groups != 0) {
    return args.mismatch("has {} groups, which do not divide the {} channels of its input {}",
                         groups, channels, to_string(args.inputs[0]));
  }
  if (filters % groups != 0) {
    return args.mismatch("has {} groups, which do not divide its {} filters", groups, filters);
  }
  return true;
}

bool expect_spatial(LayerInferArgs& args, size_t rank) {
  if (args.shape().size() == rank + 1) return true;
  args.sink
      .error(DiagKind::kShapeMismatch, args.place, "{} needs an input {}, got {}", args.who(),
             kAxes[rank - 1], to_string(args.inputs[0]))
      .with_help(args.shape().size() == rank
                     ? fmt::format("add a reshape layer with \"target_shape\": {}",
                                   shape_text(with_channels(args.shape(), 1)))
                     : "");
  return false;
}

bool window_fits(LayerInferArgs& args, std::string_view option, std::string_view what,
                 const Ints& numbers) {
  if (*std::max_element(numbers.begin(), numbers.end()) <= kMaxWindowSetting) return true;
  args.sink.error(DiagKind::kTooLarge, args.option_place(option),
                  "{} has {} {}, at most {} is possible", args.who(), what, shape_text(numbers),
                  kMaxWindowSetting);
  return false;
}

bool infer_window(LayerInferArgs& args, const WindowOptions& names, Window& window) {
  const Options& options = args.options();
  if (!expect_spatial(args, options.ints(names.size).size())) return false;
  for (const std::string_view name : {names.size, names.strides, names.dilation}) {
    if (name.empty() || !options.has(name)) continue;
    if (!window_fits(args, name, name, options.ints(name))) return false;
  }
  window = window_of(options, names, spatial_of(args.shape()));
  Ints reach;
  for (size_t i = 0; i < window.size.size(); ++i)
    reach.push_back(span_of(window, i));
  if (!names.dilation.empty() && !window_fits(args, names.dilation, "a dilated window of", reach))
    return false;
  if (*std::min_element(window.out.begin(), window.out.end()) > 0) return true;
  args.sink
      .error(DiagKind::kShapeMismatch, args.place,
             "{} has a window {} that does not fit into its input {}", args.who(),
             shape_text(reach), to_string(args.inputs[0]))
      .with_help("use a smaller window, fewer pooling layers before it, or \"padding\": \"same\"");
  return false;
}

std::span<const int64_t> spatial_of(const Ints& example) {
  return std::span(example).first(example.size() - 1);
}

Ints spatial_axes(size_t rank) {
  Ints axes;
  for (size_t axis = 1; axis <= rank; ++axis)
    axes.push_back(static_cast<int64_t>(axis));
  return axes;
}

Ints with_channels(Ints spatial, int64_t channels) {
  spatial.push_back(channels);
  return spatial;
}

Val with_bias(const LayerBuildArgs& args, Val y) {
  if (!args.options().flag("use_bias")) return y;
  return y + broadcast(args.parameter("bias"), y.shape(), {y.rank() - 1});
}

}  // namespace gradc::layers
