// Window arithmetic shared by convolution and pooling. Images are at most 2^48 long and windows,
// strides and dilations 2^30, so neither sums nor products overflow.
#include "frontend/layers/window.h"

#include "ir/conv_geometry.h"

#include <algorithm>

namespace gradc::layers {

Window window_of(const Ints& image, const Ints& size, const Ints& strides, const Ints& dilation,
                 const std::string& padding) {
  Window window;
  for (size_t i = 0; i < 2; ++i) {
    const int64_t span = (size[i] - 1) * dilation[i] + 1;
    int64_t out = 0;
    int64_t total = 0;
    if (padding == "same") {
      out = (image[i] + strides[i] - 1) / strides[i];
      total = std::max<int64_t>((out - 1) * strides[i] + span - image[i], 0);
    } else {
      out = image[i] < span ? 0 : (image[i] - span) / strides[i] + 1;
    }
    window.out.push_back(out);
    window.pad_low.push_back(total / 2);
    window.pad_high.push_back(total - total / 2);
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

bool expect_image(LayerInferArgs& args) {
  if (args.shape().size() == 3) return true;
  args.sink
      .error(DiagKind::kShapeMismatch, args.place,
             "{} needs an input [height, width, channels], got {}", args.who(),
             to_string(args.inputs[0]))
      .with_help(args.shape().size() == 2
                     ? fmt::format("add a reshape layer with \"target_shape\": [{}, {}, 1]",
                                   args.shape()[0], args.shape()[1])
                     : "");
  return false;
}

namespace {

/// Reports an option whose numbers, or what follows from them, no window can have.
bool window_fits(LayerInferArgs& args, std::string_view option, std::string_view what,
                 const Ints& numbers) {
  if (*std::max_element(numbers.begin(), numbers.end()) <= kMaxWindowSetting) return true;
  args.sink.error(DiagKind::kTooLarge, args.option_place(option),
                  "{} has {} {}, at most {} is possible", args.who(), what, shape_text(numbers),
                  kMaxWindowSetting);
  return false;
}

}  // namespace

bool infer_window(LayerInferArgs& args, const WindowOptions& names, Window& window) {
  const Options& options = args.options();
  const Ints& size = options.ints(names.size);
  const Ints ones = {1, 1};
  const bool strided = options.has(names.strides);
  const Ints& strides = strided ? options.ints(names.strides) : size;
  const Ints& dilation = names.dilation.empty() ? ones : options.ints(names.dilation);
  if (!window_fits(args, names.size, names.size, size)) return false;
  if (strided && !window_fits(args, names.strides, names.strides, strides)) return false;
  if (!names.dilation.empty()) {
    if (!window_fits(args, names.dilation, names.dilation, dilation)) return false;
    const Ints reach = {(size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1};
    if (!window_fits(args, names.dilation, "a dilated window of", reach)) return false;
  }
  window = window_of(args.shape(), size, strides, dilation, args.options().text("padding"));
  if (window.out[0] > 0 && window.out[1] > 0) return true;
  args.sink
      .error(DiagKind::kShapeMismatch, args.place,
             "{} has a window {} that does not fit into its input {}", args.who(),
             shape_text({(size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1}),
             to_string(args.inputs[0]))
      .with_help("use a smaller window, fewer pooling layers before it, or \"padding\": \"same\"");
  return false;
}

bool expect_steps(LayerInferArgs& args) {
  if (args.shape().size() == 2) return true;
  args.sink
      .error(DiagKind::kShapeMismatch, args.place, "{} needs an input [steps, channels], got {}",
             args.who(), to_string(args.inputs[0]))
      .with_help(
          args.shape().size() == 1
              ? fmt::format("add a reshape layer with \"target_shape\": [{}, 1]", args.shape()[0])
              : "");
  return false;
}

Val as_rows(Val steps) {
  const Shape& shape = steps.shape();
  return reshape(steps, Shape{shape[0], 1, shape[1], shape[2]});
}

Val as_steps(Val rows) {
  const Shape& shape = rows.shape();
  return reshape(rows, Shape{shape[0], shape[2], shape[3]});
}

namespace {

struct StepNumbers {
  int64_t size, stride, dilation;
  int64_t span() const { return (size - 1) * dilation + 1; }
};

StepNumbers step_numbers(const Options& options, const StepWindowOptions& names) {
  const int64_t size = options.integer(names.size);
  return {size, options.has(names.strides) ? options.integer(names.strides) : size,
          names.dilation.empty() ? 1 : options.integer(names.dilation)};
}

}  // namespace

Window step_window_of(const Options& options, const StepWindowOptions& names, int64_t steps) {
  const StepNumbers numbers = step_numbers(options, names);
  const std::string& padding = options.text("padding");
  if (padding != "causal") {
    return window_of({1, steps}, {1, numbers.size}, {1, numbers.stride}, {1, numbers.dilation},
                     padding);
  }
  return {{1, (steps - 1) / numbers.stride + 1}, {0, numbers.span() - 1}, {0, 0}};
}

bool infer_step_window(LayerInferArgs& args, const StepWindowOptions& names, Window& window) {
  const StepNumbers numbers = step_numbers(args.options(), names);
  const auto fits = [&](std::string_view option, std::string_view what, int64_t number) {
    if (option.empty() || number <= kMaxWindowSetting) return true;
    args.sink.error(DiagKind::kTooLarge, args.option_place(option),
                    "{} has {} {}, at most {} is possible", args.who(), what, number,
                    kMaxWindowSetting);
    return false;
  };
  if (!fits(names.size, names.size, numbers.size) ||
      !fits(names.strides, names.strides, numbers.stride) ||
      !fits(names.dilation, names.dilation, numbers.dilation) ||
      !fits(names.dilation, "a dilated window of", numbers.span())) {
    return false;
  }
  window = step_window_of(args.options(), names, args.shape()[0]);
  if (window.out[1] > 0) return true;
  args.sink
      .error(DiagKind::kShapeMismatch, args.place,
             "{} has a window of {} steps that does not fit into its input {}", args.who(),
             numbers.span(), to_string(args.inputs[0]))
      .with_help("use a smaller window, fewer pooling layers before it, or \"padding\": \"same\"");
  return false;
}

}  // namespace gradc::layers
