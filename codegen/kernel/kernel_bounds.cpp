#include "codegen/kernel/kernel_bounds.h"

#include "support/check.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace gradc::kernel {

namespace {

__extension__ typedef __int128 Int128;  // products of two 64-bit numbers never overflow

int64_t saturate(Int128 x) {
  if (x > Interval::kUnbounded) return Interval::kUnbounded;
  if (x < -Interval::kUnbounded) return -Interval::kUnbounded;
  return static_cast<int64_t>(x);
}

Interval plus(Interval a, Interval b) {
  if (!a.bounded() || !b.bounded()) {
    Interval result;
    if (a.lo > -Interval::kUnbounded && b.lo > -Interval::kUnbounded) result.lo = a.lo + b.lo;
    if (a.hi < Interval::kUnbounded && b.hi < Interval::kUnbounded) result.hi = a.hi + b.hi;
    return result;
  }
  return {saturate(static_cast<Int128>(a.lo) + b.lo), saturate(static_cast<Int128>(a.hi) + b.hi)};
}

Interval times(Interval a, int64_t factor) {
  const auto scaled = [factor](int64_t x) {
    const bool unbounded = x <= -Interval::kUnbounded || x >= Interval::kUnbounded;
    if (unbounded)
      return factor == 0 ? 0
                         : ((x > 0) == (factor > 0) ? Interval::kUnbounded : -Interval::kUnbounded);
    return saturate(static_cast<Int128>(x) * factor);
  };
  Interval result{scaled(a.lo), scaled(a.hi)};
  if (result.lo > result.hi) std::swap(result.lo, result.hi);
  return result;
}

int64_t floor_divide(int64_t x, int64_t d) {
  return x >= 0 ? x / d : -((-x + d - 1) / d);
}

Interval intersect(Interval a, Interval b) {
  return {std::max(a.lo, b.lo), std::min(a.hi, b.hi)};
}

/// The factor c for which `affine` contains c times every term of `part`, or 0.
int64_t contained_factor(const Affine& affine, const Affine& part) {
  if (part.terms.empty()) return 0;
  int64_t factor = 0;
  for (const auto& [var, coefficient] : part.terms) {
    const int64_t have = affine.coefficient(var);
    if (have == 0 || have % coefficient != 0) return 0;
    const int64_t here = have / coefficient;
    if (factor != 0 && here != factor) return 0;
    factor = here;
  }
  return factor;
}

}  // namespace

void Bounds::set_range(VarId var, std::optional<Interval> range) {
  if (ranges_.size() < kernel_.vars.size()) ranges_.resize(kernel_.vars.size());
  ranges_[var.index] = range;
}

void Bounds::define(LocalId local, ExprId expr) {
  if (lets_.size() < kernel_.locals.size()) lets_.resize(kernel_.locals.size());
  lets_[local.index] = expr;
}

Interval Bounds::range(VarId var) const {
  return ranges_[var.index].value_or(Interval{});
}

Interval Bounds::tightened(VarId var) const {
  Interval result = range(var);
  for (const Constraint& c : constraints_) {
    const int64_t coefficient = c.affine.coefficient(var);
    if (coefficient == 0) continue;
    Interval rest{0, 0};
    for (const auto& [other, factor] : c.affine.terms) {
      if (other != var) rest = plus(rest, times(range(other), factor));
    }
    // coefficient * var = sum - rest
    const Interval product = plus(c.interval, times(rest, -1));
    const int64_t size = coefficient < 0 ? -coefficient : coefficient;
    const Interval scaled = coefficient < 0 ? times(product, -1) : product;
    if (scaled.lo > -Interval::kUnbounded)
      result.lo = std::max(result.lo, -floor_divide(-scaled.lo, size));
    if (scaled.hi < Interval::kUnbounded)
      result.hi = std::min(result.hi, floor_divide(scaled.hi, size));
  }
  return result;
}

// A guard on a part of the sum bounds that part more tightly than the ranges of its variables do;
// guards on disjoint parts combine.
Interval Bounds::guarded(const Affine& affine, size_t first) const {
  Affine rest = affine;
  Interval result{0, 0};
  for (size_t i = 0; i < constraints_.size(); ++i) {
    const Constraint& c = constraints_[(first + i) % constraints_.size()];
    const int64_t factor = contained_factor(rest, c.affine);
    if (factor == 0) continue;
    rest.add(c.affine, -factor);
    Interval part = c.interval;
    for (const Constraint& other : constraints_) {
      if (other.affine == c.affine) part = intersect(part, other.interval);
    }
    Interval natural{c.affine.offset, c.affine.offset};
    for (const auto& [var, coefficient] : c.affine.terms)
      natural = plus(natural, times(tightened(var), coefficient));
    result = plus(result, times(intersect(part, natural), factor));
  }
  result = plus(result, {rest.offset, rest.offset});
  for (const auto& [var, coefficient] : rest.terms)
    result = plus(result, times(tightened(var), coefficient));
  return result;
}

Interval Bounds::of(const Affine& affine) const {
  Interval result{affine.offset, affine.offset};
  for (const auto& [var, coefficient] : affine.terms)
    result = plus(result, times(tightened(var), coefficient));
  for (size_t first = 0; first < constraints_.size(); ++first)
    result = intersect(result, guarded(affine, first));
  return result;
}

// floor(x / d) lies in [(x - (d - 1)) / d, x / d]: so d times a sum with such a term is affine but
// for a slack, and guards on x and its neighbours in the sum count.
std::optional<Bounds::Relaxed> Bounds::relax(ExprId id) const {
  constexpr int64_t kMaxScale = int64_t{1} << 16;
  if (std::optional<Affine> affine = affine_of(id)) return Relaxed{std::move(*affine), {0, 0}, 1};
  const Expr& e = kernel_.expr(id);
  if (e.kind == ExprKind::kLocal && definition(e.local).valid()) return relax(definition(e.local));
  if (e.kind == ExprKind::kFloorDiv) {
    std::optional<Relaxed> x = relax(e.args[0]);
    if (!x || e.imm > kMaxScale / x->scale) return std::nullopt;
    x->slack.lo -= (e.imm - 1) * x->scale;
    x->scale *= e.imm;
    return x;
  }
  const bool adds = e.kind == ExprKind::kScalar && e.op == ScalarOp::kAdd;
  const bool subtracts = e.kind == ExprKind::kScalar && e.op == ScalarOp::kSub;
  if (!adds && !subtracts) return std::nullopt;
  const std::optional<Relaxed> a = relax(e.args[0]);
  const std::optional<Relaxed> b = relax(e.args[1]);
  if (!a || !b) return std::nullopt;
  const int64_t scale = std::lcm(a->scale, b->scale);
  if (scale > kMaxScale) return std::nullopt;
  const int64_t factor_b = (adds ? 1 : -1) * (scale / b->scale);
  Relaxed sum;
  sum.affine.add(a->affine, scale / a->scale).add(b->affine, factor_b);
  sum.slack = plus(times(a->slack, scale / a->scale), times(b->slack, factor_b));
  sum.scale = scale;
  return sum;
}

Interval Bounds::of_sum(const Affine& affine, ExprId dynamic) const {
  const Interval separate = plus(of(affine), of(dynamic));
  std::optional<Relaxed> relaxed = relax(dynamic);
  if (!relaxed) return separate;
  relaxed->affine.add(affine, relaxed->scale);
  const Interval scaled = plus(of(relaxed->affine), relaxed->slack);
  if (!scaled.bounded()) return separate;
  return intersect(separate, {-floor_divide(-scaled.lo, relaxed->scale),
                              floor_divide(scaled.hi, relaxed->scale)});
}

Interval Bounds::of(ExprId id) const {
  const Expr& e = kernel_.expr(id);
  switch (e.kind) {
    case ExprKind::kConst:
      return {static_cast<int64_t>(e.value), static_cast<int64_t>(e.value)};
    case ExprKind::kIndex:
      return of(e.index);
    case ExprKind::kLoad:
      if (e.dtype == DType::kBool) return {0, 1};
      if (e.dtype == DType::kU8) return {0, 255};
      return {};
    case ExprKind::kLocal:
      return definition(e.local).valid() ? of(definition(e.local)) : Interval{};
    case ExprKind::kScalar:
      return of_scalar(e);
    case ExprKind::kFloorDiv: {
      const Interval x = of(e.args[0]);
      if (!x.bounded()) return {};
      return {floor_divide(x.lo, e.imm), floor_divide(x.hi, e.imm)};
    }
    case ExprKind::kFloorMod: {
      const Interval x = of(e.args[0]);
      if (x.bounded() && floor_divide(x.lo, e.imm) == floor_divide(x.hi, e.imm)) {
        const int64_t base = floor_divide(x.lo, e.imm) * e.imm;
        return {x.lo - base, x.hi - base};
      }
      return {0, e.imm - 1};
    }
    case ExprKind::kGuard: {
      const Interval a = of(e.args[1]);
      const Interval b = of(e.args[2]);
      return {std::min(a.lo, b.lo), std::max(a.hi, b.hi)};
    }
    case ExprKind::kRandom:
      return {};
  }
  GRADC_UNREACHABLE();
}

Interval Bounds::of_scalar(const Expr& e) const {
  const auto arg = [&](size_t i) { return of(e.args[i]); };
  if (e.op == ScalarOp::kAdd) return plus(arg(0), arg(1));
  if (e.op == ScalarOp::kSub) return plus(arg(0), times(arg(1), -1));
  if (e.op == ScalarOp::kNeg) return times(arg(0), -1);
  if (e.op == ScalarOp::kMul) {
    const Interval a = arg(0);
    const Interval b = arg(1);
    if (a.lo == a.hi && a.bounded()) return times(b, a.lo);
    if (b.lo == b.hi && b.bounded()) return times(a, b.lo);
    return {};
  }
  if (e.op == ScalarOp::kMin)
    return {std::min(arg(0).lo, arg(1).lo), std::min(arg(0).hi, arg(1).hi)};
  if (e.op == ScalarOp::kMax)
    return {std::max(arg(0).lo, arg(1).lo), std::max(arg(0).hi, arg(1).hi)};
  if (e.op == ScalarOp::kSelect)
    return {std::min(arg(1).lo, arg(2).lo), std::max(arg(1).hi, arg(2).hi)};
  if (e.op == ScalarOp::kCast && is_integer(e.dtype) && !is_float(kernel_.expr(e.args[0]).dtype))
    return arg(0);
  return {};
}

std::optional<Affine> Bounds::affine_of(ExprId id) const {
  const Expr& e = kernel_.expr(id);
  if (e.kind == ExprKind::kIndex) return e.index;
  if (e.kind == ExprKind::kConst && is_integer(e.dtype))
    return Affine::constant(static_cast<int64_t>(e.value));
  if (e.kind == ExprKind::kLocal && definition(e.local).valid())
    return affine_of(definition(e.local));
  if (e.kind != ExprKind::kScalar) return std::nullopt;
  if (e.op == ScalarOp::kCast && is_integer(e.dtype)) return affine_of(e.args[0]);
  if (e.op != ScalarOp::kAdd && e.op != ScalarOp::kSub && e.op != ScalarOp::kMul)
    return std::nullopt;
  std::optional<Affine> a = affine_of(e.args[0]);
  std::optional<Affine> b = affine_of(e.args[1]);
  if (!a || !b) return std::nullopt;
  if (e.op != ScalarOp::kMul) return a->add(*b, e.op == ScalarOp::kAdd ? 1 : -1);
  if (!a->is_constant()) std::swap(a, b);
  if (!a->is_constant()) return std::nullopt;
  return Affine{}.add(*b, a->offset);
}

void Bounds::assume_comparison(const Expr& e) {
  const std::optional<Affine> a = affine_of(e.args[0]);
  const std::optional<Affine> b = affine_of(e.args[1]);
  if (!a || !b) return;
  Affine difference = *a;
  difference.add(*b, -1);
  // Kept without the offset, so that two comparisons of the same sum are recognised as such.
  const int64_t offset = difference.offset;
  difference.offset = 0;
  Interval interval;
  if (e.op == ScalarOp::kGe) interval.lo = -offset;
  if (e.op == ScalarOp::kGt) interval.lo = 1 - offset;
  if (e.op == ScalarOp::kLe) interval.hi = -offset;
  if (e.op == ScalarOp::kLt) interval.hi = -1 - offset;
  if (e.op == ScalarOp::kEq) interval = {-offset, -offset};
  if (interval == Interval{} || difference.terms.empty()) return;
  std::sort(difference.terms.begin(), difference.terms.end());
  if (difference.terms.front().second < 0) {
    interval = times(interval, -1);
    for (auto& term : difference.terms)
      term.second = -term.second;
  }
  constraints_.push_back({std::move(difference), interval});
}

void Bounds::assume(ExprId condition) {
  const Expr& e = kernel_.expr(condition);
  if (e.kind == ExprKind::kLocal && definition(e.local).valid()) return assume(definition(e.local));
  if (e.kind != ExprKind::kScalar) return;
  if (e.op == ScalarOp::kAnd) {
    assume(e.args[0]);
    assume(e.args[1]);
  } else if (e.op >= ScalarOp::kEq && e.op <= ScalarOp::kGe) {
    assume_comparison(e);
  }
}

}  // namespace gradc::kernel
