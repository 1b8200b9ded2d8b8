// The Emitter's arithmetic on positions, views, and the cuts they need.
#include "codegen/kernel/emitter.h"
#include "codegen/kernel/view_groups.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace gradc::kernel {

namespace {

int64_t floor_divide(int64_t x, int64_t d) {
  return x >= 0 ? x / d : -((-x + d - 1) / d);
}

/// affine = multiple * divisor + rest, with every coefficient that divides moved to multiple.
struct Divided {
  Affine multiple, rest;
};

Divided divide(const Affine& affine, int64_t divisor) {
  Divided result;
  for (const auto& [var, coefficient] : affine.terms) {
    if (coefficient % divisor == 0) {
      result.multiple.terms.emplace_back(var, coefficient / divisor);
    } else {
      result.rest.terms.emplace_back(var, coefficient);
    }
  }
  result.multiple.offset = floor_divide(affine.offset, divisor);
  result.rest.offset = affine.offset - result.multiple.offset * divisor;
  return result;
}

}  // namespace

// ---- positions
// -----------------------------------------------------------------------------------

Index Emitter::plus(const Index& a, const Index& b) {
  Index result = a;
  result.affine.add(b.affine);
  if (!a.dynamic.valid()) {
    result.dynamic = b.dynamic;
  } else if (b.dynamic.valid()) {
    result.dynamic = builder_.scalar(ScalarOp::kAdd, DType::kI64, a.dynamic, b.dynamic);
  }
  return result;
}

Index Emitter::scaled(const Index& a, int64_t factor) {
  Index result;
  if (factor == 0) return result;
  result.affine.add(a.affine, factor);
  result.dynamic = a.dynamic;
  if (a.dynamic.valid() && factor != 1)
    result.dynamic = builder_.scalar(ScalarOp::kMul, DType::kI64, a.dynamic,
                                     builder_.constant(static_cast<double>(factor), DType::kI64));
  return result;
}

ExprId Emitter::index_expr(const Index& a) {
  if (!a.dynamic.valid()) return builder_.index(a.affine);
  if (a.affine.is_constant() && a.affine.offset == 0) return a.dynamic;
  return builder_.scalar(ScalarOp::kAdd, DType::kI64, a.dynamic, builder_.index(a.affine));
}

Index Emitter::floor_div(const Index& a, int64_t divisor) {
  if (divisor == 1) return a;
  const Divided parts = divide(a.affine, divisor);
  Index result{parts.multiple, {}};
  const Interval range = range_of({parts.rest, a.dynamic});
  if (range.bounded() && floor_divide(range.lo, divisor) == floor_divide(range.hi, divisor)) {
    result.affine.offset += floor_divide(range.lo, divisor);
    return result;
  }
  result.dynamic = builder_.floor_div(index_expr({parts.rest, a.dynamic}), divisor);
  return result;
}

Index Emitter::floor_mod(const Index& a, int64_t divisor) {
  if (divisor == 1) return constant_index(0);
  const Divided parts = divide(a.affine, divisor);
  Index rest{parts.rest, a.dynamic};
  const Interval range = range_of({parts.rest, a.dynamic});
  if (range.bounded() && floor_divide(range.lo, divisor) == floor_divide(range.hi, divisor)) {
    rest.affine.offset -= floor_divide(range.lo, divisor) * divisor;
    return rest;
  }
  return {{}, builder_.floor_mod(index_expr(rest), divisor)};
}

Index Emitter::split(const Index& at, int64_t inner, int64_t size, int64_t total) {
  const Index q = floor_div(at, inner);
  return inner * size == total ? q : floor_mod(q, size);
}

Interval Emitter::range_of(const Index& a) const {
  const Interval range = bounds_.of(a.affine);
  if (!a.dynamic.valid()) return range;
  const Interval more = bounds_.of(a.dynamic);
  return more.bounded() ? Interval{range.lo + more.lo, range.hi + more.hi} : Interval{};
}

bool Emitter::never_in_range(const Index& a, int64_t lo, int64_t hi) const {
  const Interval natural = range_of(a);
  return natural.lo > hi || natural.hi < lo || natural.lo > natural.hi;
}

/// Where the range begins and ends between multiples of a coefficient, and the terms below it only
/// fill the space between two of them, what is in range follows from the other terms: rows of an
/// image are in it or not, whatever the channel.
ExprId Emitter::in_range(const Index& a, int64_t lo, int64_t hi) {
  int64_t unit = 1;
  for (const auto& [var, coefficient] : a.affine.terms) {
    const int64_t u = std::abs(coefficient);
    if (a.dynamic.valid() || u <= unit || lo % u != 0 || (hi + 1) % u != 0) continue;
    const Divided parts = divide(a.affine, u);
    const Interval rest = bounds_.of(parts.rest);
    if (rest.lo >= 0 && rest.hi < u) unit = u;
  }
  if (unit > 1)
    return in_range({divide(a.affine, unit).multiple, {}}, lo / unit, (hi + 1) / unit - 1);
  const Interval natural = range_of(a);
  const auto compare = [&](ScalarOp op, int64_t limit) {
    return builder_.scalar(op, DType::kBool, index_expr(a),
                           builder_.constant(static_cast<double>(limit), DType::kI64));
  };
  ExprId result;
  if (natural.lo < lo) result = compare(ScalarOp::kGe, lo);
  if (natural.hi > hi) result = both(result, compare(ScalarOp::kLe, hi));
  return result;
}

ExprId Emitter::both(ExprId a, ExprId b) {
  if (!a.valid()) return b;
  if (!b.valid()) return a;
  return builder_.scalar(ScalarOp::kAnd, DType::kBool, a, b);
}

// ---- views
// ---------------------------------------------------------------------------------------

ExprId Emitter::view(const Node& node, const Index& at) {
  if (node.op == Op::kReshape) return value(node.operands[0], at);
  if (node.op == Op::kConcat) return concat(node, at);
  if (node.op == Op::kPad) return pad(node, at);
  const int64_t total = body_.type(node.results[0]).num_elements();
  Index place;
  for (const ViewGroup& g : view_groups(body_, node)) {
    Index q = split(at, g.inner, g.size, total);
    if (g.reversed) q = plus(constant_index(g.size - 1), scaled(q, -1));
    q = plus(scaled(q, g.step), constant_index(g.start));
    place = plus(place, scaled(q, g.operand_inner));
  }
  return value(node.operands[0], place);
}

ExprId Emitter::pad(const Node& node, const Index& at) {
  const TensorType& type = body_.type(node.results[0]);
  const ExprId padding = builder_.constant(node.attrs.as<PadAttrs>().value, type.dtype);
  Index place;
  ExprId condition;
  for (const ViewGroup& g : view_groups(body_, node)) {
    Index q = plus(split(at, g.inner, g.size, type.num_elements()), constant_index(-g.low));
    // A slice may show nothing but padding; a guard that never holds would read outside.
    if (g.padded && never_in_range(q, 0, (g.operand_size - 1) * g.spread)) return padding;
    if (g.padded) condition = both(condition, in_range(q, 0, (g.operand_size - 1) * g.spread));
    if (g.spread > 1) {
      const Index rest = floor_mod(q, g.spread);
      if (never_in_range(rest, 0, 0)) return padding;
      const ExprId zero = builder_.constant(0, DType::kI64);
      condition =
          both(condition, builder_.scalar(ScalarOp::kEq, DType::kBool, index_expr(rest), zero));
      // The quotient has to be seen under the guard, or its range would be that of the padding.
      const size_t assumed = bounds_.num_constraints();
      bounds_.assume(condition);
      q = floor_div(q, g.spread);
      bounds_.pop_constraints(assumed);
    }
    place = plus(place, scaled(q, g.operand_inner));
  }
  return guarded(condition, node.operands[0], place, padding);
}

ExprId Emitter::concat(const Node& node, const Index& at) {
  const TensorType& type = body_.type(node.results[0]);
  const auto axis = static_cast<int>(node.attrs.as<AxisAttrs>().axis);
  int64_t inner = 1;
  for (int i = axis + 1; i < type.rank(); ++i)
    inner *= type.shape[i];
  const int64_t row = type.shape[axis] * inner;
  const Index outer = floor_div(at, row);
  const Index q = split(at, 1, row, type.num_elements());
  std::vector<int64_t> ends;
  for (const ValueId operand : node.operands)
    ends.push_back((ends.empty() ? 0 : ends.back()) + body_.type(operand).shape[axis] * inner);
  ExprId result = builder_.constant(0, type.dtype);
  for (size_t i = node.operands.size(); i-- > 0;) {
    const int64_t begin = i == 0 ? 0 : ends[i - 1];
    if (never_in_range(q, begin, ends[i] - 1)) continue;  // all of it is sliced away
    const Index place = plus(scaled(outer, ends[i] - begin), plus(q, constant_index(-begin)));
    result = guarded(in_range(q, begin, ends[i] - 1), node.operands[i], place, result);
  }
  return result;
}

// ---- cuts
// ----------------------------------------------------------------------------------------

const std::set<int64_t>& Emitter::cuts(ValueId value) {
  const auto found = cuts_.find(value);
  if (found != cuts_.end()) return found->second;
  std::set<int64_t> computed = compute_cuts(value);
  return cuts_[value] = std::move(computed);
}

std::set<int64_t> Emitter::compute_cuts(ValueId value) {
  std::set<int64_t> result;
  const NodeId def_id = body_.def(value);
  if (!def_id.valid()) return result;
  const Node& node = body_.node(def_id);
  const Shape& shape = body_.type(value).shape;
  const auto axis_cuts = [&](int64_t axis) {
    int64_t inner = 1;
    for (int i = static_cast<int>(axis) + 1; i < shape.rank(); ++i)
      inner *= shape[i];
    result.insert(inner);
    result.insert(inner * shape[static_cast<int>(axis)]);
  };
  if (def(node.op).lowering == Lowering::kScalar || node.op == Op::kReshape) {
    for (const ValueId operand : node.operands) {
      const std::set<int64_t>& below = cuts(operand);
      result.insert(below.begin(), below.end());
    }
  } else if (node.op == Op::kIota) {
    axis_cuts(node.attrs.as<IotaAttrs>().axis);
  } else if (node.op == Op::kConcat) {
    axis_cuts(node.attrs.as<AxisAttrs>().axis);
    const int64_t inner = *result.begin();
    result.erase(inner);
    for (const ValueId operand : node.operands) {
      for (const int64_t cut : cuts(operand)) {
        if (cut <= inner && inner % cut == 0) result.insert(cut);
      }
    }
  } else if (node.op == Op::kGather) {
    const TensorType& table = body_.type(node.operands[0]);
    const int64_t width = table.num_elements() / table.shape[0];
    result.insert(width);
    for (const int64_t cut : cuts(node.operands[0])) {
      if (cut < width && width % cut == 0) result.insert(cut);
    }
    for (const int64_t cut : cuts(node.operands[1]))
      result.insert(cut * width);
  } else if (def(node.op).lowering == Lowering::kView) {
    for (const ViewGroup& g : view_groups(body_, node)) {
      result.insert(g.inner);
      result.insert(g.inner * g.size);
      if (g.step != 1 || g.spread != 1 || g.reversed) continue;
      for (const int64_t cut : cuts(node.operands[0])) {
        const int64_t relative = cut / g.operand_inner;
        if (cut % g.operand_inner == 0 && relative > 1 && relative < g.size &&
            g.size % relative == 0)
          result.insert(g.inner * relative);
      }
    }
  }
  return result;
}

std::vector<int64_t> stride_chain(const std::set<int64_t>& cuts, int64_t total,
                                  std::set<int64_t> required) {
  std::vector<int64_t> chain = {1};
  required.insert(total);
  for (const int64_t end : required) {
    for (auto cut = cuts.upper_bound(chain.back()); cut != cuts.end() && *cut < end; ++cut) {
      if (*cut % chain.back() == 0 && end % *cut == 0) chain.push_back(*cut);
    }
    if (end > chain.back() && end < total) chain.push_back(end);
  }
  return chain;
}

}  // namespace gradc::kernel
