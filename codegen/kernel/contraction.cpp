#include "codegen/kernel/contraction.h"

#include "ir/conv_geometry.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace gradc::kernel {

namespace {

Contraction matmul(const Graph& body, const Node& node) {
  const auto& attrs = node.attrs.as<MatmulAttrs>();
  const Shape& a = body.type(node.operands[0]).shape;
  const Shape& y = body.type(node.results[0]).shape;
  const int rank = y.rank();
  const int64_t m = y[rank - 2];
  const int64_t n = y[rank - 1];
  const int64_t k = attrs.transpose_a ? a[rank - 2] : a[rank - 1];
  int64_t batch = 1;
  for (int axis = 0; axis < rank - 2; ++axis)
    batch *= y[axis];
  Contraction c;
  c.a = node.operands[0];
  c.b = node.operands[1];
  c.y = node.results[0];
  const int64_t a_m = attrs.transpose_a ? 1 : k;
  const int64_t a_k = attrs.transpose_a ? m : 1;
  const int64_t b_k = attrs.transpose_b ? 1 : n;
  const int64_t b_n = attrs.transpose_b ? k : 1;
  c.dims = {{"b", DimClass::kBatch, batch, {m * k, k * n, m * n}},
            {"i", DimClass::kM, m, {a_m, 0, n}},
            {"j", DimClass::kN, n, {0, b_n, 1}},
            {"p", DimClass::kK, k, {a_k, b_k, 0}}};
  return c;
}

/// Elements from one pixel of a padded copy to the next. Rows of channels that fall into one
/// another's sets of the first cache, of a depthwise convolution, get a line more.
int64_t copied_pixel(const ConvGeometry& g, int64_t channels) {
  constexpr int64_t kCollide = 256;
  constexpr int64_t kLine = 16;
  return g.groups == channels && channels % kCollide == 0 ? channels + kLine : channels;
}

/// Which operand is a padded copy.
enum class Copied : uint8_t { kNone, kX, kY };

/// Strides of the row-major shapes x [n, in.., C], w [window.., C / groups, C'], y [n, out.., C'].
struct ConvStrides {
  int spatial = 0;
  int64_t ci = 1, co = 1;  // per group
  int64_t x_image = 1, y_image = 1;
  std::vector<int64_t> x, w, y;

  ConvStrides(const ConvGeometry& g, Copied copied)
      : spatial(g.spatial),
        ci(g.in_channels / g.groups),
        co(g.out_channels / g.groups),
        x_image(copied == Copied::kX ? copied_pixel(g, g.in_channels) : g.in_channels),
        y_image(copied == Copied::kY ? copied_pixel(g, g.out_channels) : g.out_channels) {
    const auto count = static_cast<size_t>(spatial);
    x.resize(count);
    w.resize(count);
    y.resize(count);
    int64_t window = ci * g.out_channels;
    for (int axis = spatial - 1; axis >= 0; --axis) {
      const auto i = static_cast<size_t>(axis);
      x[i] = x_image;
      w[i] = window;
      y[i] = y_image;
      x_image *= g.dim(axis).in;
      window *= g.dim(axis).window;
      y_image *= g.dim(axis).out;
    }
  }
};

/// Dimensions are collected by class; guard strides are filled in at the end.
class ConvBuilder {
 public:
  ConvBuilder(const Node& node, const ConvGeometry& g, Copied copied) : g_(g), s_(g, copied) {
    c_.a = node.operands[0];
    c_.b = node.operands[1];
    c_.y = node.results[0];
  }

  /// `axis` >= 0: the dimension moves by `step` along the guarded coordinate of that axis.
  void dim(std::string name, DimClass cls, int64_t extent, std::array<int64_t, 3> strides,
           int axis = -1, int64_t step = 0) {
    c_.dims.push_back({std::move(name), cls, extent, {strides.begin(), strides.end()}});
    moves_.emplace_back(axis, step);
  }

  void offset(int64_t a, int64_t b, int64_t y) {
    c_.a_offset += a;
    c_.b_offset += b;
    c_.y_offset += y;
  }

  /// The coordinate along `axis`, from `offset`, has to lie in [0, last]; kept only if it can
  /// leave.
  void guard(int axis, int64_t offset, int64_t last) {
    int64_t lowest = offset;
    int64_t highest = offset;
    for (size_t d = 0; d < c_.dims.size(); ++d) {
      if (moves_[d].first != axis) continue;
      const int64_t reach = moves_[d].second * (c_.dims[d].extent - 1);
      (reach < 0 ? lowest : highest) += reach;
    }
    if (lowest >= 0 && highest <= last) return;
    c_.guards.push_back({offset, last});
    for (size_t d = 0; d < c_.dims.size(); ++d)
      c_.dims[d].strides.push_back(moves_[d].first == axis ? moves_[d].second : 0);
  }

  Contraction take() {
    std::vector<ContractionDim> sorted;
    for (const DimClass cls : {DimClass::kBatch, DimClass::kM, DimClass::kN, DimClass::kK}) {
      for (const ContractionDim& dim : c_.dims) {
        if (dim.cls == cls) sorted.push_back(dim);
      }
    }
    c_.dims = std::move(sorted);
    return std::move(c_);
  }

  Contraction& contraction() { return c_; }
  const ConvGeometry& g() const { return g_; }
  const ConvStrides& s() const { return s_; }

 private:
  const ConvGeometry& g_;
  ConvStrides s_;
  Contraction c_;
  std::vector<std::pair<int, int64_t>> moves_;
};

std::string axis_name(char prefix, int axis) {
  return fmt::format("{}{}", prefix, axis);
}

Contraction conv(const Node& node, const ConvGeometry& g, Copied copied) {
  ConvBuilder b(node, g, copied);
  const ConvStrides& s = b.s();
  b.dim("g", DimClass::kBatch, g.groups, {s.ci, s.co, s.co});
  b.dim("n", DimClass::kM, g.batch, {s.x_image, 0, s.y_image});
  for (int axis = 0; axis < s.spatial; ++axis) {
    const auto i = static_cast<size_t>(axis);
    const SpatialDim& d = g.dim(axis);
    b.dim(axis_name('o', axis), DimClass::kM, d.out, {d.stride * s.x[i], 0, s.y[i]}, axis,
          d.stride);
  }
  b.dim("c", DimClass::kN, s.co, {0, 1, 1});
  for (int axis = 0; axis < s.spatial; ++axis) {
    const auto i = static_cast<size_t>(axis);
    const SpatialDim& d = g.dim(axis);
    b.dim(axis_name('k', axis), DimClass::kK, d.window, {d.dilation * s.x[i], s.w[i], 0}, axis,
          d.dilation);
    b.offset(-d.pad_low * s.x[i], 0, 0);
  }
  b.dim("i", DimClass::kK, s.ci, {1, g.out_channels, 0});
  for (int axis = 0; axis < s.spatial; ++axis)
    b.guard(axis, -g.dim(axis).pad_low, g.dim(axis).in - 1);
  return b.take();
}

Contraction filter_grad(const Node& node, const ConvGeometry& g, Copied copied) {
  ConvBuilder b(node, g, copied);
  const ConvStrides& s = b.s();
  b.dim("g", DimClass::kBatch, g.groups, {s.ci, s.co, s.co});
  for (int axis = 0; axis < s.spatial; ++axis) {
    const auto i = static_cast<size_t>(axis);
    const SpatialDim& d = g.dim(axis);
    b.dim(axis_name('k', axis), DimClass::kM, d.window, {d.dilation * s.x[i], 0, s.w[i]}, axis,
          d.dilation);
    b.offset(-d.pad_low * s.x[i], 0, 0);
  }
  b.dim("i", DimClass::kM, s.ci, {1, 0, g.out_channels});
  b.dim("c", DimClass::kN, s.co, {0, 1, 1});
  b.dim("n", DimClass::kK, g.batch, {s.x_image, s.y_image, 0});
  for (int axis = 0; axis < s.spatial; ++axis) {
    const auto i = static_cast<size_t>(axis);
    const SpatialDim& d = g.dim(axis);
    b.dim(axis_name('o', axis), DimClass::kK, d.out, {d.stride * s.x[i], s.y[i], 0}, axis,
          d.stride);
  }
  for (int axis = 0; axis < s.spatial; ++axis)
    b.guard(axis, -g.dim(axis).pad_low, g.dim(axis).in - 1);
  return b.take();
}

// ---- the gradient of the data, by phases
// ---------------------------------------------------------

/// Input positions i = stride * t + phase along one axis, t = 0 .. count - 1, meet the taps
/// k = first + step * j, j = 0 .. taps - 1, at the output position t + base - move * j.
struct AxisPhase {
  int64_t phase = 0, count = 0;
  int64_t first = 0, step = 1, taps = 0;
  int64_t base = 0, move = 0;
};

AxisPhase axis_phase(const SpatialDim& d, int64_t phase) {
  AxisPhase p;
  p.phase = phase;
  p.count = (d.in - phase + d.stride - 1) / d.stride;
  p.step = d.stride / std::gcd(d.stride, d.dilation);
  p.move = p.step * d.dilation / d.stride;
  const auto meets = [&](int64_t k) {
    return (phase + d.pad_low - k * d.dilation) % d.stride == 0;
  };
  while (p.first < std::min(p.step, d.window) && !meets(p.first))
    ++p.first;
  if (p.first >= d.window || !meets(p.first)) return p;
  p.taps = (d.window - p.first + p.step - 1) / p.step;
  p.base = (phase + d.pad_low - p.first * d.dilation) / d.stride;
  return p;
}

/// Of a single window, input positions are columns of the product, as they are of the kernel: there
/// is no sum over its taps.
Contraction input_grad_phase(const Node& node, const ConvGeometry& g,
                             const std::vector<AxisPhase>& phases, Copied copied) {
  ConvBuilder b(node, g, copied);
  const ConvStrides& s = b.s();
  b.dim("g", DimClass::kBatch, g.groups, {s.co, s.co, s.ci});
  b.dim("n", DimClass::kM, g.batch, {s.y_image, 0, s.x_image});
  for (int axis = 0; axis < s.spatial; ++axis) {
    const auto i = static_cast<size_t>(axis);
    if (g.dim(axis).is_one_window()) {
      b.dim(axis_name('t', axis), DimClass::kN, g.dim(axis).in, {0, s.w[i], s.x[i]});
      b.offset(0, g.dim(axis).pad_low * s.w[i], 0);
      continue;
    }
    b.dim(axis_name('t', axis), DimClass::kM, phases[i].count,
          {s.y[i], 0, g.dim(axis).stride * s.x[i]}, axis, 1);
    b.offset(0, 0, phases[i].phase * s.x[i]);
    if (phases[i].taps == 0) b.contraction().empty = true;
  }
  b.dim("i", DimClass::kN, s.ci, {0, g.out_channels, 1});
  // The taps run backwards, so that the output positions run forwards.
  for (int axis = 0; axis < s.spatial && !b.contraction().empty; ++axis) {
    const auto i = static_cast<size_t>(axis);
    const AxisPhase& p = phases[i];
    if (g.dim(axis).is_one_window()) continue;
    b.dim(axis_name('k', axis), DimClass::kK, p.taps, {p.move * s.y[i], -p.step * s.w[i], 0}, axis,
          p.move);
    const int64_t lowest = p.base - (p.taps - 1) * p.move;
    b.offset(lowest * s.y[i], (p.first + (p.taps - 1) * p.step) * s.w[i], 0);
  }
  if (!b.contraction().empty) {
    b.dim("c", DimClass::kK, s.co, {1, 1, 0});
    for (int axis = 0; axis < s.spatial; ++axis) {
      const AxisPhase& p = phases[static_cast<size_t>(axis)];
      if (!g.dim(axis).is_one_window())
        b.guard(axis, p.base - (p.taps - 1) * p.move, g.dim(axis).out - 1);
    }
  }
  for (int axis = 0; axis < s.spatial; ++axis) {
    if (g.dim(axis).stride > 1)
      b.contraction().suffix += fmt::format(".{}", phases[static_cast<size_t>(axis)].phase);
  }
  return b.take();
}

// ---- padded copies
// -------------------------------------------------------------------------------

/// One axis of a copy: `low` zeros, the operand's extent, then zeros up to `size`.
struct PaddedAxis {
  int64_t extent = 1, low = 0, size = 1;
};

PaddedCopy padded_copy(int64_t batch, int64_t channels, int64_t pixel,
                       const std::vector<PaddedAxis>& axes) {
  PaddedCopy copy;
  const size_t spaces = 2 + axes.size();
  copy.offsets.resize(spaces, 0);
  int64_t to = pixel;
  int64_t from = channels;
  const auto dim = [&](std::string name, int64_t extent, int64_t at, int64_t source) {
    std::vector<int64_t> strides(spaces, 0);
    strides[0] = at;
    strides[1] = source;
    copy.dims.insert(copy.dims.begin(), {std::move(name), extent, false, std::move(strides)});
  };
  dim("c", channels, 1, 1);
  for (size_t i = axes.size(); i-- > 0;) {
    dim(axis_name('i', static_cast<int>(i)), axes[i].size, to, from);
    copy.dims.front().strides[2 + i] = 1;
    copy.offsets[2 + i] = -axes[i].low;
    copy.offsets[1] -= axes[i].low * from;
    to *= axes[i].size;
    from *= axes[i].extent;
  }
  dim("n", batch, to, from);
  copy.size = to * batch;
  for (const PaddedAxis& axis : axes)
    copy.last.push_back(axis.extent - 1);
  return copy;
}

SpatialDim& dim_of(ConvGeometry& g, int axis) {
  return g.dims[static_cast<size_t>(3 - g.spatial + axis)];
}

/// The geometry over padded data, and the copy that pads them.
PaddedCopy pad_input(ConvGeometry& g) {
  std::vector<PaddedAxis> axes;
  for (int axis = 0; axis < g.spatial; ++axis) {
    SpatialDim& d = dim_of(g, axis);
    axes.push_back({d.in, d.pad_low, d.in + d.pad_low + d.pad_high});
    d.in = axes.back().size;
    d.pad_low = d.pad_high = 0;
  }
  return padded_copy(g.batch, g.in_channels, copied_pixel(g, g.in_channels), axes);
}

/// The same for the output gradient: how far the taps of any phase reach before and behind it.
PaddedCopy pad_output(ConvGeometry& g, std::vector<int64_t>& lows) {
  std::vector<PaddedAxis> axes;
  for (int axis = 0; axis < g.spatial; ++axis) {
    SpatialDim& d = dim_of(g, axis);
    int64_t low = 0;
    int64_t high = 0;
    for (int64_t phase = 0; phase < std::min(d.stride, d.in); ++phase) {
      const AxisPhase p = axis_phase(d, phase);
      if (p.taps == 0 || d.is_one_window()) continue;
      low = std::max(low, -(p.base - (p.taps - 1) * p.move));
      high = std::max(high, p.base + p.count - d.out);
    }
    axes.push_back({d.out, low, d.out + low + high});
    lows.push_back(low);
    d.out = axes.back().size;
  }
  return padded_copy(g.batch, g.out_channels, copied_pixel(g, g.out_channels), axes);
}

/// `lows`: zeros before the output gradient per axis; empty: none.
std::vector<Contraction> input_grad(const Node& node, const ConvGeometry& g,
                                    const std::vector<int64_t>& lows) {
  std::vector<Contraction> result;
  std::vector<AxisPhase> phases(static_cast<size_t>(g.spatial));
  const auto visit = [&](const auto& self, int axis) -> void {
    if (axis == g.spatial) {
      result.push_back(
          input_grad_phase(node, g, phases, lows.empty() ? Copied::kNone : Copied::kY));
      return;
    }
    const SpatialDim& d = g.dim(axis);
    for (int64_t phase = 0; phase < std::min(d.stride, d.in); ++phase) {
      AxisPhase& p = phases[static_cast<size_t>(axis)];
      p = axis_phase(d, phase);
      if (!lows.empty()) p.base += lows[static_cast<size_t>(axis)];
      self(self, axis + 1);
    }
  };
  visit(visit, 0);
  return result;
}

Result<ContractionSet> convolution(const Graph& body, const Node& node, bool pad) {
  ContractionSet set;
  const TensorType& first = body.type(node.operands[0]);
  const TensorType& second = body.type(node.operands[1]);
  const TensorType& y = body.type(node.results[0]);
  const auto& attrs = node.attrs.as<ConvAttrs>();
  const TensorType& x = node.op == Op::kConvInputGrad ? y : first;
  const TensorType& w = node.op == Op::kConvFilterGrad ? y : second;
  GRADC_TRY(ConvGeometry g, conv_geometry(op_name(node.op), x, w, attrs));
  std::vector<int64_t> lows;
  if (pad) set.padded = node.op == Op::kConvInputGrad ? pad_output(g, lows) : pad_input(g);
  if (node.op == Op::kConv) {
    set.parts.push_back(conv(node, g, pad ? Copied::kX : Copied::kNone));
  } else if (node.op == Op::kConvFilterGrad) {
    set.parts.push_back(filter_grad(node, g, pad ? Copied::kX : Copied::kNone));
  } else {
    set.parts = input_grad(node, g, lows);
  }
  return set;
}

}  // namespace

Result<ContractionSet> contractions(const Graph& body, const Node& node, bool pad) {
  ContractionSet set;
  if (node.op == Op::kMatmul) {
    set.parts.push_back(matmul(body, node));
  } else {
    GRADC_TRY(set, convolution(body, node, pad));
  }
  for (Contraction& part : set.parts)
    part.types = contraction_types(body, node);
  return set;
}

}  // namespace gradc::kernel
