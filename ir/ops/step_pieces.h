// What the rules of the optimizers are made of, as graph and in double.
#pragma once

#include "ir/ops/common.h"
#include "ir/step_rule.h"

#include <cmath>
#include <limits>

namespace gradc::ops {

using Slots = std::vector<StepSlot>;
using Settings = std::vector<StepAttrs>;
using Results = std::vector<Val>;

// ---- pieces of graphs ---------------------------------------------------------------------------

// An epsilon that is 0 in f32 keeps no division finite: where there was no gradient yet there is no
// step, instead of 0 / 0.
inline bool is_nothing(double epsilon) {
  return epsilon < static_cast<double>(std::numeric_limits<float>::min());
}
inline Val operator+(Val a, const Num& b) {
  return a + b.like(a);
}
inline Val operator*(Val a, const Num& b) {
  return a * b.like(a);
}
inline Val operator/(Val a, const Num& b) {
  return a / b.like(a);
}
inline Val operator/(const Num& a, Val b) {
  return a.like(b) / b;
}
inline Val maximum(Val a, const Num& b) {
  return maximum(a, b.like(a));
}
inline Val minimum(Val a, const Num& b) {
  return minimum(a, b.like(a));
}
inline Num rest_of(const Num& share) {
  return share.become(1.0 - share.value(), "1 - " + share.formula());
}
inline Num twice(const Num& x) {
  return x.become(2.0 * x.value(), "2 " + x.formula());
}
inline Num negative(const Num& x) {
  return x.become(-x.value(), "-" + x.formula());
}
inline Num logarithm(const Num& x) {
  return x.become(std::log(x.value()), "log(" + x.formula() + ")");
}

/// An epsilon that is read may be nothing.
inline Val ratio(Val numerator, Val denominator, const Num& epsilon) {
  const Val quotient = numerator / denominator;
  if (!epsilon.is_constant()) {
    const Val nothing = equal(denominator, 0.0);
    return select(nothing, quotient.builder().splat(0.0, quotient.type()), quotient);
  }
  return is_nothing(epsilon.value()) ? select(greater(denominator, 0.0), quotient, 0.0) : quotient;
}
inline Val root(Val x, const Num& epsilon, bool outside) {
  return outside ? sqrt(x) + epsilon : sqrt(x + epsilon);
}

/// beta^t and 1 - beta^t at the step's number t: log(beta) is computed in double here, and expm1
/// does not cancel where beta^t is near 1.
inline Val power(double beta, Val number) {
  return exp(number * std::log(beta));
}
inline Val bias(const Num& beta, Val number) {
  if (beta.is_constant() && beta.value() == 0.0) return number.builder().scalar(1.0);
  return -expm1(number * logarithm(beta));
}

// ---- pieces of evaluations ----------------------------------------------------------------------

inline double fraction(double a, double b) {  // and 0 for 0 / 0
  return a == 0.0 && b == 0.0 ? 0.0 : a / b;
}
inline double root_of(double x, double epsilon, bool outside) {
  return outside ? std::sqrt(x) + epsilon : std::sqrt(x + epsilon);
}

/// A rule that works element by element: step(w, g, slots) changes w and slots.
template <class Step>
void for_each_element(const StepValues& v, Step step) {
  std::vector<double> slots(v.slots.size());
  for (int64_t i = 0; i < v.w.size(); ++i) {
    for (size_t k = 0; k < slots.size(); ++k)
      slots[k] = (*v.slots[k])[i];
    double w = v.w[i];
    step(w, v.g[i], slots);
    v.new_w[i] = w;
    for (size_t k = 0; k < slots.size(); ++k)
      v.new_slots[k][i] = slots[k];
  }
}

/// The one slot that is called momentum.
inline Slots momentum_slots(const StepAttrs&, const TensorType& w) {
  return {{"momentum", w}};
}

// The families of rules, each in a file of its own.
std::span<const StepRule> descent_rules();
std::span<const StepRule> moment_rules();
std::span<const StepRule> factored_rules();
std::span<const StepRule> orthogonal_rules();

}  // namespace gradc::ops
