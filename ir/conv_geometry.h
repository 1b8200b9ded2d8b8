// The sizes of a convolution or pooling, checked and with defaults filled in: what inference,
// the reference evaluation and code generation all need to know about its attributes.
#pragma once

#include "ir/op_attrs.h"
#include "ir/type.h"
#include "support/result.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace gradc {

/// Largest stride, dilation, padding and reach of a window, so that products of two of them fit.
inline constexpr int64_t kMaxWindowSetting = int64_t{1} << 30;

/// Convolutions of at least so many products read what they pad from memory, with the zeros around
/// it; for smaller ones tests of the bounds cost less.
inline constexpr int64_t kPaddedProducts = 1 << 15;

/// One spatial dimension: in -> out positions, of which position o reads the `window` elements
/// o * stride - pad_low + k * dilation, k = 0 .. window - 1, that lie in [0, in).
struct SpatialDim {
  int64_t in = 1;
  int64_t out = 1;
  int64_t window = 1;
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t pad_low = 0;
  int64_t pad_high = 0;

  /// There is one output position, which meets each input position at a tap of its own.
  bool is_one_window() const {
    return out == 1 && stride == 1 && dilation == 1 && pad_low >= 0 && pad_low + in <= window;
  }
};

/// x [batch, in..., in_channels], w [window..., in_channels / groups, out_channels],
/// y [batch, out..., out_channels]. The last `spatial` of dims are real; the leading ones are 1.
struct ConvGeometry {
  int spatial = 0;
  int64_t batch = 1;
  int64_t in_channels = 1;
  int64_t out_channels = 1;
  int64_t groups = 1;
  std::array<SpatialDim, 3> dims;

  const SpatialDim& dim(int axis) const { return dims[static_cast<size_t>(3 - spatial + axis)]; }
  Shape output_shape() const;
};

/// The geometry of y = x * w, or a diagnostic with both types.
Result<ConvGeometry> conv_geometry(std::string_view name, const TensorType& x, const TensorType& w,
                                   const ConvAttrs& attrs);

/// The geometry of pooling x; in_channels = out_channels, dilation 1. Every window meets at least
/// one element that is not padding.
Result<ConvGeometry> pool_geometry(std::string_view name, const TensorType& x,
                                   const PoolAttrs& attrs);

}  // namespace gradc
