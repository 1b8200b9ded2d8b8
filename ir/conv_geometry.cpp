#include "ir/conv_geometry.h"

#include <fmt/ranges.h>

namespace gradc {

namespace {

Diagnostic bad(std::string message) {
  return make_error(DiagKind::kShapeMismatch, {}, "{}", message);
}

// An attribute with one entry per spatial dimension; empty means `otherwise` everywhere.
Status read(std::string_view name, std::string_view field, const Ints& values, int64_t least,
            ConvGeometry& g, int64_t SpatialDim::* member, int64_t otherwise) {
  if (!values.empty() && static_cast<int>(values.size()) != g.spatial)
    return bad(fmt::format("{} {} [{}] has {} entries for {} spatial dimensions", name, field,
                           fmt::join(values, ", "), values.size(), g.spatial));
  for (int axis = 0; axis < g.spatial; ++axis) {
    const int64_t value = values.empty() ? otherwise : values[static_cast<size_t>(axis)];
    if (value < least || value > kMaxWindowSetting)
      return bad(fmt::format("{} {} {} is out of range, it is from {} to {}", name, field, value,
                             least, kMaxWindowSetting));
    g.dims[static_cast<size_t>(3 - g.spatial + axis)].*member = value;
  }
  return Ok{};
}

Status read_input(std::string_view name, const TensorType& x, ConvGeometry& g) {
  if (!is_float(x.dtype) || x.rank() < 3 || x.rank() > 5)
    return bad(
        fmt::format("{} takes float data [batch, 1 to 3 spatial dimensions, channels], got {}",
                    name, to_string(x)));
  g.spatial = x.rank() - 2;
  g.batch = x.shape[0];
  g.in_channels = x.shape.back();
  for (int axis = 0; axis < g.spatial; ++axis)
    g.dims[static_cast<size_t>(3 - g.spatial + axis)].in = x.shape[axis + 1];
  return Ok{};
}

// Fills the output extents; `shown` describes the operands, for a message.
template <class Shown>
Status finish(std::string_view name, const Shown& shown, ConvGeometry& g) {
  for (SpatialDim& d : g.dims) {
    const int64_t reach = d.dilation * (d.window - 1) + 1;
    const int64_t padded = d.in + d.pad_low + d.pad_high;
    if (reach > padded)
      return bad(fmt::format("{} window of {} is over the padded extent {}: {}", name, reach,
                             padded, shown()));
    d.out = (padded - reach) / d.stride + 1;
  }
  return Ok{};
}

}  // namespace

Shape ConvGeometry::output_shape() const {
  Shape shape{batch};
  for (int axis = 0; axis < spatial; ++axis)
    shape.push_back(dim(axis).out);
  shape.push_back(out_channels);
  return shape;
}

Result<ConvGeometry> conv_geometry(std::string_view name, const TensorType& x, const TensorType& w,
                                   const ConvAttrs& attrs) {
  ConvGeometry g;
  GRADC_TRY_STATUS(read_input(name, x, g));
  const auto shown = [&] { return to_string(x) + " * " + to_string(w); };
  if (w.rank() != x.rank())
    return bad(fmt::format("{} data and filter differ in rank: {}", name, shown()));
  GRADC_TRY_STATUS(read(name, "strides", attrs.strides, 1, g, &SpatialDim::stride, 1));
  GRADC_TRY_STATUS(read(name, "pad_low", attrs.pad_low, 0, g, &SpatialDim::pad_low, 0));
  GRADC_TRY_STATUS(read(name, "pad_high", attrs.pad_high, 0, g, &SpatialDim::pad_high, 0));
  GRADC_TRY_STATUS(read(name, "dilation", attrs.dilation, 1, g, &SpatialDim::dilation, 1));
  Ints window(w.shape.begin(), w.shape.end() - 2);
  GRADC_TRY_STATUS(read(name, "filter", window, 1, g, &SpatialDim::window, 1));
  g.groups = attrs.groups;
  g.out_channels = w.shape.back();
  if (g.groups < 1 || g.in_channels % g.groups != 0 || g.out_channels % g.groups != 0)
    return bad(fmt::format("{} of {} input and {} output channels in {} groups: {}", name,
                           g.in_channels, g.out_channels, g.groups, shown()));
  if (w.shape[w.rank() - 2] != g.in_channels / g.groups)
    return bad(fmt::format("{} filter has {} input channels, expected {} / {} groups: {}", name,
                           w.shape[w.rank() - 2], g.in_channels, g.groups, shown()));
  GRADC_TRY_STATUS(finish(name, shown, g));
  return g;
}

Result<ConvGeometry> pool_geometry(std::string_view name, const TensorType& x,
                                   const PoolAttrs& attrs) {
  ConvGeometry g;
  GRADC_TRY_STATUS(read_input(name, x, g));
  g.out_channels = g.in_channels;
  if (attrs.window.empty()) return bad(fmt::format("{} of {} has no window", name, to_string(x)));
  GRADC_TRY_STATUS(read(name, "window", attrs.window, 1, g, &SpatialDim::window, 1));
  GRADC_TRY_STATUS(read(name, "strides", attrs.strides, 1, g, &SpatialDim::stride, 1));
  GRADC_TRY_STATUS(read(name, "pad_low", attrs.pad_low, 0, g, &SpatialDim::pad_low, 0));
  GRADC_TRY_STATUS(read(name, "pad_high", attrs.pad_high, 0, g, &SpatialDim::pad_high, 0));
  for (const SpatialDim& d : g.dims) {
    if (d.pad_low >= d.window || d.pad_high >= d.window)
      return bad(fmt::format("{} padding {} and {} must be less than the window {}", name,
                             d.pad_low, d.pad_high, d.window));
  }
  GRADC_TRY_STATUS(finish(name, [&] { return to_string(x); }, g));
  return g;
}

}  // namespace gradc
