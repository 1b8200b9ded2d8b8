// Interval arithmetic over kernel expressions: which values an index can take, given the ranges of
// the loop variables and the guards that hold where it is evaluated. Exact for affine indices.
#pragma once

#include "codegen/kernel/kernel.h"

#include <optional>
#include <vector>

namespace gradc::kernel {

/// All integers from lo to hi; kUnbounded ends stand for "nothing known".
struct Interval {
  static constexpr int64_t kUnbounded = int64_t{1} << 60;
  int64_t lo = -kUnbounded;
  int64_t hi = kUnbounded;
  bool bounded() const { return lo > -kUnbounded && hi < kUnbounded; }
  bool operator==(const Interval&) const = default;
};

/// lo <= affine <= hi holds.
struct Constraint {
  Affine affine;
  Interval interval;
};

/// What is known at one place of a kernel. Push and pop follow the walk of the statements.
class Bounds {
 public:
  explicit Bounds(const Kernel& kernel)
      : kernel_(kernel), ranges_(kernel.vars.size()), lets_(kernel.locals.size()) {}

  /// The variable's values; an empty optional takes it out of scope.
  void set_range(VarId var, std::optional<Interval> range);
  bool in_scope(VarId var) const { return ranges_[var.index].has_value(); }
  Interval range(VarId var) const;
  /// Records that an immutable local stands for an expression.
  void define(LocalId local, ExprId expr);

  size_t num_constraints() const { return constraints_.size(); }
  /// Assumes that the (bool) expression is true until pop_constraints.
  void assume(ExprId condition);
  void pop_constraints(size_t count) { constraints_.resize(count); }

  Interval of(const Affine& affine) const;
  /// An integer expression; unbounded where data decides.
  Interval of(ExprId expr) const;
  /// affine + dynamic together, tighter than the sum of the two where they share variables.
  Interval of_sum(const Affine& affine, ExprId dynamic) const;
  /// The expression as an affine form of the loop variables, if it is one.
  std::optional<Affine> affine_of(ExprId expr) const;

 private:
  ExprId definition(LocalId local) const {
    return local.index < lets_.size() ? lets_[local.index] : ExprId{};
  }
  /// An integer expression times `scale`, as an affine form plus something in `slack`.
  struct Relaxed {
    Affine affine;
    Interval slack{0, 0};
    int64_t scale = 1;
  };
  std::optional<Relaxed> relax(ExprId id) const;
  /// The sum with guards on parts of it used greedily, the one numbered `first` before the others.
  Interval guarded(const Affine& affine, size_t first) const;
  /// The range of a variable as far as the guards narrow it.
  Interval tightened(VarId var) const;
  Interval of_scalar(const Expr& e) const;
  void assume_comparison(const Expr& e);

  const Kernel& kernel_;
  std::vector<std::optional<Interval>> ranges_;
  std::vector<ExprId> lets_;
  std::vector<Constraint> constraints_;
};

}  // namespace gradc::kernel
