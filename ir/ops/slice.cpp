// Views that take or add ranges: slice, pad, concat. Each one's gradient is made of the others.
#include "ir/element.h"
#include "ir/ops/stack.h"

#include <fmt/ranges.h>

namespace gradc::ops {

namespace {

size_t at(int64_t axis) {
  return static_cast<size_t>(axis);
}

// Empty stride and interior attributes stand for all 1 and all 0.
int64_t or_default(const Ints& values, size_t axis, int64_t otherwise) {
  return values.empty() ? otherwise : values[axis];
}

bool has_rank(const Ints& values, const TensorType& type, bool may_be_empty = false) {
  return static_cast<int>(values.size()) == type.rank() || (may_be_empty && values.empty());
}

// ---- slice --------------------------------------------------------------------------------------

Result<Types> infer_slice(const InferArgs& args) {
  const auto& s = args.attr<SliceAttrs>();
  const TensorType& x = args.operands[0];
  if (!has_rank(s.start, x) || !has_rank(s.limit, x) || !has_rank(s.stride, x, true))
    return shape_error("slice of {} with start [{}], limit [{}], stride [{}]: one of each per axis",
                       to_string(x), fmt::join(s.start, ", "), fmt::join(s.limit, ", "),
                       fmt::join(s.stride, ", "));
  Shape shape;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int64_t start = s.start[at(axis)];
    const int64_t limit = s.limit[at(axis)];
    const int64_t stride = or_default(s.stride, at(axis), 1);
    if (start < 0 || limit <= start || limit > x.shape[axis] || stride < 1)
      return shape_error("slice {}:{}:{} of axis {} of {} is empty or outside", start, limit,
                         stride, axis, to_string(x));
    shape.push_back((limit - start - 1) / stride + 1);
  }
  return Types{x.with(shape)};
}

void eval_slice(const EvalArgs& e) {
  const auto& s = e.attr<SliceAttrs>();
  int64_t i = 0;
  for_each_index(e.out().type.shape, [&](const Index& index) {
    Index source{};
    for (size_t axis = 0; axis < s.start.size(); ++axis)
      source[axis] = s.start[axis] + index[axis] * or_default(s.stride, axis, 1);
    e.out()[i++] = e.in(0)[offset_of(e.in(0).type.shape, source)];
  });
}

// The slice's elements go back to their places, zeros around and between them.
Grads slice_grad(const GradArgs& g) {
  const auto& s = g.attr<SliceAttrs>();
  Ints low;
  Ints high;
  Ints interior;
  for (int axis = 0; axis < g.out().rank(); ++axis) {
    const int64_t stride = or_default(s.stride, at(axis), 1);
    const int64_t start = s.start[at(axis)];
    const int64_t covered = (g.out().shape()[axis] - 1) * stride + 1;
    low.push_back(start);
    high.push_back(g.in(0).shape()[axis] - start - covered);
    interior.push_back(stride - 1);
  }
  if (s.stride.empty()) interior.clear();
  return {pad(g.dout(), std::move(low), std::move(high), 0.0, std::move(interior))};
}

/// Axes of which all is taken.
OperandAxes slice_axes(const AxesArgs& a) {
  const auto& [start, limit, stride] = a.attr<SliceAttrs>();
  std::vector<int64_t> axes = same_axes(a.rank(0));
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t extent = a.operands[0].shape[static_cast<int>(i)];
    const bool all = start[i] == 0 && limit[i] == extent && (stride.empty() || stride[i] == 1);
    if (!all) axes[i] = kMeets;
  }
  return {axes};
}

Samples slice_samples() {
  return {sample({f32({5, 4})}, SliceAttrs{{1, 0}, {4, 3}, {}}),
          sample({f32({7, 3})}, SliceAttrs{{1, 0}, {7, 3}, {2, 1}}),
          sample({f32({9})}, SliceAttrs{{0}, {9}, {4}}),
          sample({f32({8})}, SliceAttrs{{2}, {7}, {3}})};
}

// ---- pad ----------------------------------------------------------------------------------------

Result<Types> infer_pad(const InferArgs& args) {
  const auto& p = args.attr<PadAttrs>();
  const TensorType& x = args.operands[0];
  if (!has_rank(p.low, x) || !has_rank(p.high, x) || !has_rank(p.interior, x, true))
    return shape_error("pad of {} by low [{}], high [{}], interior [{}]: one of each per axis",
                       to_string(x), fmt::join(p.low, ", "), fmt::join(p.high, ", "),
                       fmt::join(p.interior, ", "));
  if (!is_float(x.dtype) && !is_element(p.value, x.dtype))
    return attr_error("pad of {} cannot hold {}", to_string(x), p.value);
  Ints dims;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int64_t low = p.low[at(axis)];
    const int64_t high = p.high[at(axis)];
    const int64_t between = or_default(p.interior, at(axis), 0);
    if (low < 0 || high < 0 || between < 0)
      return attr_error("pad amounts {}, {}, {} of axis {} are negative", low, high, between, axis);
    int64_t extent = 0;
    if (__builtin_mul_overflow(x.shape[axis] - 1, between, &extent) ||
        __builtin_add_overflow(extent, x.shape[axis], &extent) ||
        __builtin_add_overflow(extent, low, &extent) ||
        __builtin_add_overflow(extent, high, &extent))
      return make_error(DiagKind::kNumberOutOfRange, {}, "pad of {} is too large at axis {}",
                        to_string(x), axis);
    dims.push_back(extent);
  }
  return one_result(args.name, x.dtype, dims);
}

void eval_pad(const EvalArgs& e) {
  const auto& p = e.attr<PadAttrs>();
  const double value = as_constant(p.value, e.out().type.dtype);
  std::fill(e.out().data.begin(), e.out().data.end(), value);
  int64_t i = 0;
  for_each_index(e.in(0).type.shape, [&](const Index& index) {
    Index target{};
    for (size_t axis = 0; axis < p.low.size(); ++axis)
      target[axis] = p.low[axis] + index[axis] * (or_default(p.interior, axis, 0) + 1);
    e.out()[offset_of(e.out().type.shape, target)] = e.in(0)[i++];
  });
}

Grads pad_grad(const GradArgs& g) {
  const auto& p = g.attr<PadAttrs>();
  Ints limit;
  Ints stride;
  for (int axis = 0; axis < g.out().rank(); ++axis) {
    limit.push_back(g.out().shape()[axis] - p.high[at(axis)]);
    stride.push_back(or_default(p.interior, at(axis), 0) + 1);
  }
  if (p.interior.empty()) stride.clear();
  return {slice(g.dout(), p.low, std::move(limit), std::move(stride))};
}

OperandAxes pad_axes(const AxesArgs& a) {
  const auto& attrs = a.attr<PadAttrs>();
  std::vector<int64_t> axes = same_axes(a.rank(0));
  for (size_t i = 0; i < axes.size(); ++i) {
    const bool none = attrs.low[i] == 0 && attrs.high[i] == 0 &&
                      (attrs.interior.empty() || attrs.interior[i] == 0);
    if (!none) axes[i] = kMeets;
  }
  return {axes};
}

Samples pad_samples() {
  return {sample({f32({2, 3})}, PadAttrs{{1, 0}, {0, 2}, {}, 0.0}),
          sample({f32({3})}, PadAttrs{{1}, {2}, {2}, -1.0}),
          sample({f32({2, 2})}, PadAttrs{{0, 1}, {0, 0}, {1, 0}, 0.5})};
}

// ---- concat -------------------------------------------------------------------------------------

Result<Types> infer_concat(const InferArgs& args) {
  if (args.operands.empty()) return shape_error("concat has no operands");
  const int64_t axis = args.attr<AxisAttrs>().axis;
  const TensorType& first = args.operands[0];
  GRADC_TRY_STATUS(check_axes(args.name, std::span(&axis, 1), first));
  Shape shape = first.shape;
  shape[static_cast<int>(axis)] = 0;
  for (const TensorType& part : args.operands) {
    bool fits = part.dtype == first.dtype && part.rank() == first.rank();
    for (int a = 0; fits && a < first.rank(); ++a)
      fits = a == axis || part.shape[a] == first.shape[a];
    if (!fits)
      return shape_error("concat along axis {}: {} and {} differ elsewhere", axis, to_string(first),
                         to_string(part));
    shape[static_cast<int>(axis)] += part.shape[static_cast<int>(axis)];
  }
  return one_result(args.name, first.dtype, shape.dims());
}

void eval_concat(const EvalArgs& e) {
  const int64_t axis = e.attr<AxisAttrs>().axis;
  const AxisSplit to(e.out().type.shape, axis);
  int64_t start = 0;
  for (const Tensor* part : e.inputs) {
    const AxisSplit from(part->type.shape, axis);
    for (int64_t o = 0; o < from.outer; ++o) {
      for (int64_t k = 0; k < from.extent; ++k) {
        for (int64_t i = 0; i < from.inner; ++i)
          e.out()[to.at(o, start + k, i)] = (*part)[from.at(o, k, i)];
      }
    }
    start += from.extent;
  }
}

Grads concat_grad(const GradArgs& g) {
  const auto axis = static_cast<size_t>(g.attr<AxisAttrs>().axis);
  Grads grads(g.operands.size());
  Ints start(static_cast<size_t>(g.out().rank()));
  Ints limit = g.out().shape().to_vector();
  for (size_t part = 0; part < grads.size(); ++part) {
    limit[axis] = start[axis] + g.in(part).shape()[static_cast<int>(axis)];
    if (g.needs(part)) grads[part] = slice(g.dout(), start, limit);
    start[axis] = limit[axis];
  }
  return grads;
}

Samples concat_samples() {
  return {sample({f32({2, 3}), f32({2, 1})}, AxisAttrs{1}),
          sample({f32({1, 2, 2}), f32({3, 2, 2}), f32({2, 2, 2})}, AxisAttrs{0}),
          sample({f32({4})}, AxisAttrs{0})};
}

}  // namespace

constinit const OpDef kSlice{
    .op = Op::kSlice,
    .name = "slice",
    .summary = "The elements from start up to, not including, limit, every stride-th.",
    .operands = "x",
    .attrs = &kAttrVtable<SliceAttrs>,
    .traits = kTraitLinear,
    .infer = infer_slice,
    .eval = eval_slice,
    .grad = slice_grad,
    .stack = [](const StackArgs& s) -> std::vector<Val> {
      const auto& [start, limit, stride] = s.attr<SliceAttrs>();
      return {slice(s.all_steps(0), with_steps(0, start), with_steps(s.steps, limit),
                    with_steps(1, stride))};
    },
    .lowering = Lowering::kView,
    .samples = slice_samples,
    .axes = slice_axes,
};

constinit const OpDef kPad{
    .op = Op::kPad,
    .name = "pad",
    .summary = "Adds copies of a value before, after and between the elements of each axis.",
    .operands = "x",
    .attrs = &kAttrVtable<PadAttrs>,
    .infer = infer_pad,
    .eval = eval_pad,
    .grad = pad_grad,
    .stack = [](const StackArgs& s) -> std::vector<Val> {
      const auto& [low, high, interior, value] = s.attr<PadAttrs>();
      return {pad(s.all_steps(0), with_steps(0, low), with_steps(0, high), value,
                  with_steps(0, interior))};
    },
    .lowering = Lowering::kView,
    .samples = pad_samples,
    .axes = pad_axes,
};

constinit const OpDef kConcat{
    .op = Op::kConcat,
    .name = "concat",
    .summary = "The operands one after another along an axis.",
    .operands = "parts...",
    .attrs = &kAttrVtable<AxisAttrs>,
    .traits = kTraitLinear,
    .infer = infer_concat,
    .eval = eval_concat,
    .grad = concat_grad,
    .stack =
        [](const StackArgs& s) {
          return stack_call(s, Op::kConcat, make_attrs(AxisAttrs{s.attr<AxisAttrs>().axis + 1}));
        },
    .lowering = Lowering::kView,
    .samples = concat_samples,
    .axes = same_but_axis,
};

}  // namespace gradc::ops
