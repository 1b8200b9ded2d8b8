// Pooling and its gradients. Forward passes are reductions over the window; gradients gather, for
// each input position, from the windows that hold it, so that no two threads ever add to one place.
// The gradient of a maximum knows the winner of each window either at once (windows that tile the
// input: all positions of a window are written together) or from a first kernel that stores it.
#include "codegen/kernel/lower_unit.h"
#include "codegen/kernel/sum_order.h"
#include "ir/conv_geometry.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace gradc::kernel {

namespace {

constexpr size_t kX = 0;  // position in the pooled input
constexpr size_t kY = 1;  // position in the pooled output
constexpr size_t kFirstAxis = 2;

struct Sizes {
  ConvGeometry g;
  std::vector<int64_t> x, y;  // strides of the spatial axes
  int64_t x_image = 1, y_image = 1;

  explicit Sizes(const ConvGeometry& geometry)
      : g(geometry), x_image(geometry.in_channels), y_image(geometry.in_channels) {
    x.resize(static_cast<size_t>(g.spatial));
    y.resize(static_cast<size_t>(g.spatial));
    for (int axis = g.spatial - 1; axis >= 0; --axis) {
      x[static_cast<size_t>(axis)] = x_image;
      y[static_cast<size_t>(axis)] = y_image;
      x_image *= g.dim(axis).in;
      y_image *= g.dim(axis).out;
    }
  }
};

/// The elements of a window are added from the first to the last; those of a large one in groups,
/// along each axis on its own.
void set_window_sums(Nest& nest) {
  int64_t taps = 1;
  for (const NestDim& dim : nest.dims)
    taps *= dim.reduce ? dim.extent : 1;
  nest.sums = groups_of(taps);
  if (nest.sums == SumOrder::kSequence) return;
  int axis = 0;
  for (NestDim& dim : nest.dims) {
    if (dim.reduce) dim.group = ++axis;
  }
}

class PoolLowering {
 public:
  PoolLowering(Unit& unit, const Node& node, const ConvGeometry& geometry)
      : unit_(unit), body_(unit.body()), node_(node), sizes_(geometry), g_(sizes_.g) {}

  Status run() {
    const ValueId result = node_.results[0];
    for (const GraphOutput& output : body_.outputs()) {
      if (body_.type(output.value).num_elements() != body_.type(result).num_elements())
        return make_error(DiagKind::kInternal, {}, "{}: a result of another size than the pool",
                          unit_.name());
    }
    if (node_.op == Op::kMaxPool || node_.op == Op::kAvgPool) return forward();
    if (node_.op == Op::kMaxPoolGrad && tiles()) return tiled_max_grad();
    if (node_.op == Op::kAvgPoolGrad) return gather_grad({});
    const UnitRef winners = unit_.temporary(DType::kI32, g_.output_shape());
    GRADC_TRY_STATUS(store_winners(winners));
    return node_.op == Op::kMaxPoolGrad ? gather_grad(winners) : take(winners);
  }

 private:
  static std::string axis_name(char prefix, int axis) { return fmt::format("{}{}", prefix, axis); }
  DType dtype() const { return body_.type(node_.results[0]).dtype; }

  /// A dimension with its strides in x and y; those of further spaces are up to the caller.
  static NestDim& add_dim(Nest& nest, std::string name, int64_t extent, bool reduce, int64_t x,
                          int64_t y) {
    std::vector<int64_t> strides(nest.offsets.size(), 0);
    strides[kX] = x;
    strides[kY] = y;
    return nest.dims.emplace_back(NestDim{std::move(name), extent, reduce, std::move(strides)});
  }

  // ---- windows of an output position
  // -----------------------------------------------------------

  /// Dimensions n, o.., c and the reduced window offsets, with spaces x, y, one coordinate of x per
  /// axis, and last the number of the tap in the window.
  Nest window_nest() const {
    Nest nest;
    const auto spatial = static_cast<size_t>(g_.spatial);
    const size_t spaces = kFirstAxis + spatial + 1;
    nest.offsets.resize(spaces, 0);
    const auto add = [&](std::string name, int64_t extent, bool reduce, int64_t x, int64_t y) {
      return &add_dim(nest, std::move(name), extent, reduce, x, y);
    };
    add("n", g_.batch, false, sizes_.x_image, sizes_.y_image);
    for (int axis = 0; axis < g_.spatial; ++axis) {
      const auto i = static_cast<size_t>(axis);
      const SpatialDim& d = g_.dim(axis);
      add(axis_name('o', axis), d.out, false, d.stride * sizes_.x[i], sizes_.y[i])
          ->strides[kFirstAxis + i] = d.stride;
      nest.offsets[kX] -= d.pad_low * sizes_.x[i];
      nest.offsets[kFirstAxis + i] = -d.pad_low;
    }
    add("c", g_.in_channels, false, 1, 1);
    int64_t taps = 1;
    for (int axis = 0; axis < g_.spatial; ++axis)
      taps *= g_.dim(axis).window;
    for (int axis = 0; axis < g_.spatial; ++axis) {
      const auto i = static_cast<size_t>(axis);
      taps /= g_.dim(axis).window;
      NestDim* dim = add(axis_name('k', axis), g_.dim(axis).window, true, sizes_.x[i], 0);
      dim->strides[kFirstAxis + i] = 1;
      dim->strides[spaces - 1] = taps;
    }
    set_window_sums(nest);
    return nest;
  }

  size_t tap_space() const { return kFirstAxis + static_cast<size_t>(g_.spatial); }

  ExprId inside(NestCursor& at) const {
    Emitter& e = at.emitter();
    ExprId condition;
    for (int axis = 0; axis < g_.spatial; ++axis) {
      const Index& i = at.at(kFirstAxis + static_cast<size_t>(axis));
      condition = e.both(condition, e.in_range(i, 0, g_.dim(axis).in - 1));
    }
    return condition;
  }

  ExprId window_value(NestCursor& at, ValueId x, double outside) const {
    Emitter& e = at.emitter();
    return e.guarded(inside(at), x, at.at(kX), e.builder().constant(outside, body_.type(x).dtype));
  }

  /// The number of elements of the window at output coordinates `o` that are not padding.
  ExprId window_count(Emitter& e, const std::vector<Index>& o) const {
    KernelBuilder& b = e.builder();
    const auto number = [&](int64_t x) { return b.constant(static_cast<double>(x), DType::kI64); };
    double whole = 1.0;
    ExprId product;
    for (int axis = 0; axis < g_.spatial; ++axis) {
      const SpatialDim& d = g_.dim(axis);
      const bool full = d.pad_low == 0 && (d.out - 1) * d.stride + d.window <= d.in;
      if (full) {
        whole *= static_cast<double>(d.window);
        continue;
      }
      const Index first = e.plus(e.scaled(o[static_cast<size_t>(axis)], d.stride),
                                 Emitter::constant_index(-d.pad_low));
      const Index end = e.plus(first, Emitter::constant_index(d.window));
      const ExprId high = b.scalar(ScalarOp::kMin, DType::kI64, e.index_expr(end), number(d.in));
      const ExprId low = b.scalar(ScalarOp::kMax, DType::kI64, e.index_expr(first), number(0));
      const ExprId count = b.scalar(ScalarOp::kSub, DType::kI64, high, low);
      product = product.valid() ? b.scalar(ScalarOp::kMul, DType::kI64, product, count) : count;
    }
    const ExprId constant = b.constant(whole, dtype());
    if (!product.valid()) return constant;
    return b.scalar(ScalarOp::kMul, dtype(), b.cast(product, dtype()), constant);
  }

  /// Output coordinates from the position in y.
  std::vector<Index> output_coordinates(NestCursor& at) const {
    Emitter& e = at.emitter();
    std::vector<Index> o;
    for (int axis = 0; axis < g_.spatial; ++axis) {
      const auto i = static_cast<size_t>(axis);
      const SpatialDim& d = g_.dim(axis);
      // first = o * stride - pad_low is the coordinate space without the window offsets.
      o.push_back(e.floor_mod(e.floor_div(at.at(kY), sizes_.y[i]), d.out));
    }
    return o;
  }

  ExprId divided(Emitter& e, ExprId x, ExprId count) const {
    return e.builder().scalar(ScalarOp::kDiv, dtype(), x, count);
  }

  void bind_result(NestCursor& at, ExprId value, size_t space) const {
    Emitter& e = at.emitter();
    const ExprId local = e.let(value, "pooled");
    e.bind_local(node_.results[0], e.kernel().expr(local).local, at.at(space));
  }

  Status forward() {
    const Unit::Frame frame = unit_.frame();
    Nest nest = window_nest();
    const bool average = node_.op == Op::kAvgPool;
    const ValueId x = node_.operands[0];
    Reduction r;
    r.op = average ? AccumulateOp::kSum : AccumulateOp::kMax;
    r.dtype = accumulator_dtype(dtype());
    const double outside = average ? 0.0 : neutral_element(r.op, dtype());
    r.value = [=, this](NestCursor& at) { return window_value(at, x, outside); };
    r.done = [=, this](NestCursor& at, LocalId acc) {
      Emitter& e = at.emitter();
      ExprId value = e.builder().cast(e.builder().read(acc), dtype());
      if (average) value = divided(e, value, window_count(e, output_coordinates(at)));
      bind_result(at, value, kY);
    };
    nest.stages.push_back({std::move(r)});
    nest.points = [&](NestCursor& at) { return output_stores(frame, body_, at, kY); };
    return unit_.add_nest(frame, nest);
  }

  // ---- winners
  // ---------------------------------------------------------------------------------

  Status store_winners(UnitRef winners) {
    Unit::Frame frame = unit_.frame(".winners");
    const BufferId out =
        frame.add("winners", DType::kI32, g_.output_shape(), BufferRole::kOut, winners);
    Nest nest = window_nest();
    const ValueId x = node_.operands[0];
    const DType x_type = body_.type(x).dtype;
    const double outside = neutral_element(AccumulateOp::kMax, x_type);
    const auto best = std::make_shared<LocalId>();
    const auto winner = std::make_shared<LocalId>();
    Reduction largest;
    largest.op = AccumulateOp::kMax;
    largest.dtype = x_type;
    largest.value = [=, this](NestCursor& at) { return window_value(at, x, outside); };
    largest.done = [=](NestCursor&, LocalId acc) { *best = acc; };
    Reduction place;
    place.op = AccumulateOp::kMin;
    place.dtype = DType::kI32;
    place.value = [=, this](NestCursor& at) {
      Emitter& e = at.emitter();
      KernelBuilder& b = e.builder();
      ExprId is_best =
          b.scalar(ScalarOp::kEq, DType::kBool, window_value(at, x, outside), b.read(*best));
      is_best = e.both(is_best, inside(at));
      const ExprId tap = b.cast(e.index_expr(at.at(tap_space())), DType::kI32);
      const ExprId none = b.constant(neutral_element(AccumulateOp::kMin, DType::kI32), DType::kI32);
      return b.scalar(ScalarOp::kSelect, DType::kI32, is_best, tap, none);
    };
    place.done = [=](NestCursor&, LocalId acc) { *winner = acc; };
    nest.stages.push_back({std::move(largest)});
    nest.stages.push_back({std::move(place)});
    nest.points = [&](NestCursor& at) {
      return std::vector<NestStore>{{out, at.at(kY), at.emitter().builder().read(*winner)}};
    };
    return unit_.add_nest(frame, nest);
  }

  Status take(UnitRef winners) {
    Unit::Frame frame = unit_.frame();
    const BufferId in =
        frame.add("winners", DType::kI32, g_.output_shape(), BufferRole::kIn, winners);
    Nest nest = window_nest();
    Reduction r;
    r.dtype = accumulator_dtype(dtype());
    r.value = [=, this](NestCursor& at) {
      Emitter& e = at.emitter();
      KernelBuilder& b = e.builder();
      const ExprId tap = b.cast(e.index_expr(at.at(tap_space())), DType::kI32);
      const ExprId wins = b.scalar(ScalarOp::kEq, DType::kBool, b.load(in, at.at(kY).affine), tap);
      const ExprId zero = b.constant(0, dtype());
      return b.scalar(ScalarOp::kSelect, dtype(), wins, window_value(at, node_.operands[1], 0.0),
                      zero);
    };
    r.done = [this](NestCursor& at, LocalId acc) {
      Emitter& e = at.emitter();
      bind_result(at, e.builder().cast(e.builder().read(acc), dtype()), kY);
    };
    nest.stages.push_back({std::move(r)});
    nest.points = [&](NestCursor& at) { return output_stores(frame, body_, at, kY); };
    return unit_.add_nest(frame, nest);
  }

  // ---- gradients, gathered per input position
  // ---------------------------------------------------

  /// Dimensions n, i.., c and, reduced, the windows that may hold the position: per axis the
  /// coordinate i + pad_low, and which of the windows.
  Nest position_nest() const {
    Nest nest;
    const auto spatial = static_cast<size_t>(g_.spatial);
    const size_t spaces = kFirstAxis + 2 * spatial;
    nest.offsets.resize(spaces, 0);
    const auto add = [&](std::string name, int64_t extent, bool reduce, int64_t x, int64_t y) {
      return &add_dim(nest, std::move(name), extent, reduce, x, y);
    };
    add("n", g_.batch, false, sizes_.x_image, sizes_.y_image);
    for (int axis = 0; axis < g_.spatial; ++axis) {
      const auto i = static_cast<size_t>(axis);
      add(axis_name('i', axis), g_.dim(axis).in, false, sizes_.x[i], 0)->strides[kFirstAxis + i] =
          1;
      nest.offsets[kFirstAxis + i] = g_.dim(axis).pad_low;
    }
    add("c", g_.in_channels, false, 1, 1);
    for (int axis = 0; axis < g_.spatial; ++axis) {
      const SpatialDim& d = g_.dim(axis);
      const int64_t windows = (d.window + d.stride - 1) / d.stride;
      add(axis_name('w', axis), windows, true, 0, 0)
          ->strides[kFirstAxis + spatial + static_cast<size_t>(axis)] = 1;
    }
    set_window_sums(nest);
    return nest;
  }

  /// The window chosen by the cursor: its output coordinates (clamped to the output), the tap that
  /// the position is, and the condition that both exist.
  struct Window {
    std::vector<Index> o;
    Index tap;
    ExprId exists;
  };

  static Index clamped(Emitter& e, const Index& a, int64_t last) {
    KernelBuilder& b = e.builder();
    const ExprId low =
        b.scalar(ScalarOp::kMax, DType::kI64, e.index_expr(a), b.constant(0, DType::kI64));
    const ExprId high = b.constant(static_cast<double>(last), DType::kI64);
    return {{}, b.scalar(ScalarOp::kMin, DType::kI64, low, high)};
  }

  Window window_of(NestCursor& at) const {
    Emitter& e = at.emitter();
    Window w;
    for (int axis = 0; axis < g_.spatial; ++axis) {
      const auto i = static_cast<size_t>(axis);
      const SpatialDim& d = g_.dim(axis);
      const Index& padded = at.at(kFirstAxis + i);
      const Index& which = at.at(kFirstAxis + static_cast<size_t>(g_.spatial) + i);
      const Index o = e.plus(e.floor_div(padded, d.stride), e.scaled(which, -1));
      const Index k = e.plus(e.floor_mod(padded, d.stride), e.scaled(which, d.stride));
      const ExprId there = e.in_range(o, 0, d.out - 1);
      w.exists = e.both(w.exists, e.both(there, e.in_range(k, 0, d.window - 1)));
      w.tap = e.plus(e.scaled(w.tap, d.window), k);
      w.o.push_back(there.valid() ? clamped(e, o, d.out - 1) : o);
    }
    return w;
  }

  Index output_place(NestCursor& at, const Window& w) const {
    Emitter& e = at.emitter();
    Index place = at.at(kY);  // n and c
    for (size_t i = 0; i < w.o.size(); ++i)
      place = e.plus(place, e.scaled(w.o[i], sizes_.y[i]));
    return place;
  }

  Status gather_grad(std::optional<UnitRef> winners) {
    Unit::Frame frame = unit_.frame();
    std::optional<BufferId> in;
    if (winners)
      in = frame.add("winners", DType::kI32, g_.output_shape(), BufferRole::kIn, *winners);
    Nest nest = position_nest();
    const ValueId dy = node_.operands[winners ? 1 : 0];
    Reduction r;
    r.dtype = accumulator_dtype(dtype());
    r.value = [=, this](NestCursor& at) { return gathered(at, dy, in); };
    r.done = [this](NestCursor& at, LocalId acc) {
      Emitter& e = at.emitter();
      bind_result(at, e.builder().cast(e.builder().read(acc), dtype()), kX);
    };
    nest.stages.push_back({std::move(r)});
    nest.points = [&](NestCursor& at) { return output_stores(frame, body_, at, kX); };
    return unit_.add_nest(frame, nest);
  }

  ExprId gathered(NestCursor& at, ValueId dy, std::optional<BufferId> winners) const {
    Emitter& e = at.emitter();
    KernelBuilder& b = e.builder();
    const Window w = window_of(at);
    const Index place = output_place(at, w);
    ExprId exists = w.exists;
    const ExprId zero = b.constant(0, dtype());
    ExprId gradient = e.value(dy, place);
    if (winners) {
      const ExprId tap = b.cast(e.index_expr(w.tap), DType::kI32);
      const ExprId winner = b.load(*winners, place.affine, place.dynamic);
      exists = e.both(exists, b.scalar(ScalarOp::kEq, DType::kBool, winner, tap));
    } else {
      gradient = divided(e, gradient, window_count(e, w.o));
    }
    if (!exists.valid()) return gradient;
    return b.scalar(ScalarOp::kSelect, dtype(), exists, gradient, zero);
  }

  // ---- the gradient of maxima of windows that tile the input
  // ------------------------------------

  bool tiles() const {
    constexpr int64_t kMostTaps = 16;
    int64_t taps = 1;
    for (int axis = 0; axis < g_.spatial; ++axis) {
      const SpatialDim& d = g_.dim(axis);
      if (d.window != d.stride || d.pad_low != 0 || d.out * d.stride != d.in) return false;
      taps *= d.window;
    }
    return taps <= kMostTaps;
  }

  /// The offsets in x of the taps of a window, in row-major order.
  std::vector<int64_t> tap_offsets() const {
    std::vector<int64_t> offsets = {0};
    for (int axis = 0; axis < g_.spatial; ++axis) {
      std::vector<int64_t> longer;
      for (const int64_t offset : offsets) {
        for (int64_t k = 0; k < g_.dim(axis).window; ++k)
          longer.push_back(offset + k * sizes_.x[static_cast<size_t>(axis)]);
      }
      offsets = std::move(longer);
    }
    return offsets;
  }

  Status tiled_max_grad() {
    const Unit::Frame frame = unit_.frame();
    Nest nest = window_nest();
    std::erase_if(nest.dims, [](const NestDim& dim) { return dim.reduce; });
    nest.points = [&](NestCursor& at) { return tiled_stores(frame, at); };
    return unit_.add_nest(frame, nest);
  }

  std::vector<NestStore> tiled_stores(const Unit::Frame& frame, NestCursor& at) const {
    Emitter& e = at.emitter();
    KernelBuilder& b = e.builder();
    const ValueId x = node_.operands[0];
    const DType x_type = body_.type(x).dtype;
    std::vector<ExprId> taps;
    std::vector<Index> places;
    ExprId best;
    for (const int64_t offset : tap_offsets()) {
      places.push_back(e.plus(at.at(kX), Emitter::constant_index(offset)));
      ExprId value = e.value(x, places.back());
      if (b.at(value).kind != ExprKind::kLocal) value = e.let(value, "x");
      taps.push_back(value);
      best = best.valid() ? b.scalar(ScalarOp::kMax, x_type, best, value) : value;
    }
    if (b.at(best).kind != ExprKind::kLocal) best = e.let(best, "best");
    ExprId dy = e.value(node_.operands[1], at.at(kY));
    if (b.at(dy).kind != ExprKind::kLocal) dy = e.let(dy, "dy");
    const ExprId zero = b.constant(0, dtype());
    std::vector<NestStore> stores;
    ExprId open;  // no tap before was the winner
    for (size_t t = 0; t < taps.size(); ++t) {
      const ExprId equal = e.let(b.scalar(ScalarOp::kEq, DType::kBool, taps[t], best), "equal");
      const ExprId wins = e.both(open, equal);
      const ExprId other = b.scalar(ScalarOp::kNot, DType::kBool, equal);
      if (t + 1 < taps.size()) open = e.let(e.both(open, other), "open");
      const ExprId gradient =
          e.let(b.scalar(ScalarOp::kSelect, dtype(), wins, dy, zero), "gradient");
      e.bind_local(node_.results[0], e.kernel().expr(gradient).local, places[t]);
      for (size_t i = 0; i < body_.outputs().size(); ++i) {
        const ExprId value = e.value(body_.outputs()[i].value, places[t]);
        stores.push_back({frame.output(i), places[t], value});
      }
    }
    return stores;
  }

  Unit& unit_;
  const Graph& body_;
  const Node& node_;
  const Sizes sizes_;
  const ConvGeometry& g_;
};

}  // namespace

Status lower_pool(Unit& unit, const Node& node) {
  const Graph& body = unit.body();
  PoolAttrs attrs = node.attrs.as<PoolAttrs>();
  const TensorType& x =
      node.op == Op::kAvgPoolGrad ? body.type(node.results[0]) : body.type(node.operands[0]);
  attrs.shape.clear();
  GRADC_TRY(const ConvGeometry g, pool_geometry(op_name(node.op), x, attrs));
  return PoolLowering(unit, node, g).run();
}

}  // namespace gradc::kernel
