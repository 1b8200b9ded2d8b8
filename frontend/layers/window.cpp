// Window arithmetic shared by convolution and pooling. Sizes are at most 2^53 here, so sums do not
// overflow; the product size * dilation is checked.
#include "frontend/layers/window.h"

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

bool infer_window(LayerInferArgs& args, const Ints& size, const Ints& strides, const Ints& dilation,
                  Window& window) {
  for (size_t i = 0; i < 2; ++i) {
    int64_t span = 0;
    if (__builtin_mul_overflow(size[i], dilation[i], &span) || span > kMaxTensorBytes ||
        strides[i] > kMaxTensorBytes) {
      args.sink.error(DiagKind::kTooLarge, args.place, "{} has a window that is too large",
                      args.who());
      return false;
    }
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

}  // namespace gradc::layers
