// Optimizers with the formulas of Keras 3: those that keep a moving mean of gradients. Where
// PyTorch and TensorFlow.js place an epsilon elsewhere, a flag gives their formula.
#include "ir/ops/step_pieces.h"

#include <cmath>

namespace gradc::ops {

namespace {

// ---- Adam, Adamax, Nadam, Lion ------------------------------------------------------------------

constexpr StepNumber kAdamNumbers[] = {{"beta_1", 0.9},
                                       {"beta_2", 0.999},
                                       {"epsilon", 1e-7},
                                       {"amsgrad", 0, true},
                                       {"corrected_epsilon", 0, true}};

Slots moment_slots(const StepAttrs&, const TensorType& w) {
  return {{"momentum", w}, {"velocity", w}};
}
Slots adam_slots(const StepAttrs& a, const TensorType& w) {
  Slots slots = moment_slots(a, w);
  if (a.flag("amsgrad")) slots.push_back({"velocity_hat", w});
  return slots;
}
size_t num_adam_scalars(const StepAttrs& a) {
  return a.flag("corrected_epsilon") ? 2 : 1;
}
/// The rate corrected for the bias of both moments; epsilon on the scale of the uncorrected root,
/// where epsilon belongs beside the corrected one.
StepScalars adam_scalars(const StepAttrs& a, const StepTime& t) {
  const Val second = sqrt(bias(t.of("beta_2"), t.number));
  StepScalars s;
  s.operands = {t.learning_rate * second / bias(t.of("beta_1"), t.number)};
  if (a.flag("corrected_epsilon")) s.operands.push_back(second * t.of("epsilon"));
  return s;
}
Results expand_adam(const StepAttrs& a, const StepOperands& o) {
  const Val m = o.slots[0] + (o.g - o.slots[0]) * rest_of(o.of("beta_1"));
  const Val v = o.slots[1] + (o.g * o.g - o.slots[1]) * rest_of(o.of("beta_2"));
  Results results = {Val(), m, v};
  Val second = v;
  if (a.flag("amsgrad")) {
    second = maximum(o.slots[2], v);
    results.push_back(second);
  }
  const Num epsilon = o.of("epsilon");
  const Val size =
      a.flag("corrected_epsilon") ? sqrt(second) + o.like_w(1) : sqrt(second) + epsilon;
  results[0] = o.w - ratio(o.like_w(0) * m, size, epsilon);
  return results;
}
void eval_adam(const StepAttrs& a, const StepValues& v) {
  const double epsilon = a.flag("corrected_epsilon") ? v.scalars[1] : a.number("epsilon");
  for_each_element(v, [&](double& w, double g, auto& s) {
    s[0] = a.number("beta_1") * s[0] + (1.0 - a.number("beta_1")) * g;
    s[1] = a.number("beta_2") * s[1] + (1.0 - a.number("beta_2")) * std::pow(g, 2.0);
    if (a.flag("amsgrad")) s[2] = std::fmax(s[2], s[1]);
    w -= fraction(v.scalars[0] * s[0], std::sqrt(s.back()) + epsilon);
  });
}
Settings adam_settings() {
  return {StepAttrs("adam"),
          StepAttrs("adam", {{"beta_1", 0.8}, {"beta_2", 0.9}, {"epsilon", 1e-3}, {"amsgrad", 1}}),
          StepAttrs("adam", {{"weight_decay", 0.004}}),
          StepAttrs("adam", {{"beta_2", 0.99},
                             {"epsilon", 1e-3},
                             {"amsgrad", 1},
                             {"corrected_epsilon", 1},
                             {"weight_decay", 0.004}}),
          StepAttrs("adam", {{"beta_2", 0.99}, {"epsilon", 1e-3}, {"corrected_epsilon", 1}}),
          StepAttrs("adam", {{"beta_2", 0.99}, {"epsilon", 0}})};
}

constexpr StepNumber kAdamaxNumbers[] = {
    {"beta_1", 0.9}, {"beta_2", 0.999}, {"epsilon", 1e-7}, {"epsilon_inside", 0, true}};

Slots adamax_slots(const StepAttrs&, const TensorType& w) {
  return {{"momentum", w}, {"norm", w}};
}
StepScalars adamax_scalars(const StepAttrs&, const StepTime& t) {
  return {.operands = {t.learning_rate / bias(t.of("beta_1"), t.number)}, .shared = {}};
}
Results expand_adamax(const StepAttrs& a, const StepOperands& o) {
  const bool inside = a.flag("epsilon_inside");
  const Num epsilon = o.of("epsilon");
  const Val m = o.slots[0] + (o.g - o.slots[0]) * rest_of(o.of("beta_1"));
  const Val u = maximum(o.slots[1] * o.of("beta_2"), inside ? abs(o.g) + epsilon : abs(o.g));
  return {o.w - ratio(o.like_w(0) * m, inside ? u : u + epsilon, epsilon), m, u};
}
void eval_adamax(const StepAttrs& a, const StepValues& v) {
  const double epsilon = a.number("epsilon");
  const double inside = a.flag("epsilon_inside") ? epsilon : 0.0;
  for_each_element(v, [&](double& w, double g, auto& s) {
    s[0] = a.number("beta_1") * s[0] + (1.0 - a.number("beta_1")) * g;
    s[1] = std::fmax(a.number("beta_2") * s[1], std::fabs(g) + inside);
    w -= fraction(v.scalars[0] * s[0], s[1] + (epsilon - inside));
  });
}
Settings adamax_settings() {
  return {StepAttrs("adamax"),
          StepAttrs("adamax",
                    {{"beta_1", 0.8}, {"beta_2", 0.9}, {"epsilon", 1e-3}, {"weight_decay", 0.01}}),
          StepAttrs("adamax", {{"beta_1", 0.8}, {"epsilon", 1e-2}, {"epsilon_inside", 1}})};
}

constexpr StepNumber kNadamNumbers[] = {{"beta_1", 0.9}, {"beta_2", 0.999}, {"epsilon", 1e-7}};
constexpr SharedSlot kNadamShared[] = {{"u_product", 1.0}};

/// Nadam's momentum at step t: beta_1 (1 - 0.96^t / 2). Its product over all steps is shared.
StepScalars nadam_scalars(const StepAttrs&, const StepTime& t) {
  const auto momentum = [&](Val number) {
    return (1.0 - power(0.96, number) * 0.5) * t.of("beta_1");
  };
  const Val now = momentum(t.number);
  const Val next = momentum(t.number + 1.0);
  const Val product = t.shared[0] * now;
  const Val second = sqrt(bias(t.of("beta_2"), t.number));
  return {.operands = {t.learning_rate * next / (1.0 - product * next),
                       t.learning_rate * (1.0 - now) / (1.0 - product), 1.0 / second},
          .shared = {product}};
}
Results expand_nadam(const StepAttrs&, const StepOperands& o) {
  const Num epsilon = o.of("epsilon");
  const Val m = o.slots[0] + (o.g - o.slots[0]) * rest_of(o.of("beta_1"));
  const Val v = o.slots[1] + (o.g * o.g - o.slots[1]) * rest_of(o.of("beta_2"));
  const Val ahead = o.like_w(0) * m + o.like_w(1) * o.g;
  return {o.w - ratio(ahead, sqrt(v) * o.like_w(2) + epsilon, epsilon), m, v};
}
void eval_nadam(const StepAttrs& a, const StepValues& v) {
  for_each_element(v, [&](double& w, double g, auto& s) {
    s[0] = a.number("beta_1") * s[0] + (1.0 - a.number("beta_1")) * g;
    s[1] = a.number("beta_2") * s[1] + (1.0 - a.number("beta_2")) * std::pow(g, 2.0);
    w -= fraction(v.scalars[0] * s[0] + v.scalars[1] * g,
                  v.scalars[2] * std::sqrt(s[1]) + a.number("epsilon"));
  });
}
Settings nadam_settings() {
  return {StepAttrs("nadam"),
          StepAttrs("nadam", {{"beta_1", 0.8}, {"epsilon", 1e-3}, {"weight_decay", 0.01}})};
}
size_t three_scalars(const StepAttrs&) {
  return 3;
}

constexpr StepNumber kLionNumbers[] = {{"beta_1", 0.9}, {"beta_2", 0.99}};

Results expand_lion(const StepAttrs&, const StepOperands& o) {
  const Num beta_1 = o.of("beta_1");
  const Num beta_2 = o.of("beta_2");
  return {o.w - o.like_w(0) * sign(o.slots[0] * beta_1 + o.g * rest_of(beta_1)),
          o.slots[0] * beta_2 + o.g * rest_of(beta_2)};
}
void eval_lion(const StepAttrs& a, const StepValues& v) {
  for_each_element(v, [&](double& w, double g, auto& s) {
    const double ahead = s[0] + (1.0 - a.number("beta_1")) * (g - s[0]);
    w -= v.scalars[0] * double((ahead > 0.0) - (ahead < 0.0));
    s[0] += (1.0 - a.number("beta_2")) * (g - s[0]);
  });
}
Settings lion_settings() {
  return {StepAttrs("lion"), StepAttrs("lion", {{"beta_1", 0.8}, {"weight_decay", 0.01}})};
}

// ---- the table ----------------------------------------------------------------------------------

constexpr StepRule kRules[] = {
    {.name = "adam",
     .formula = "m' = m + (g - m)(1 - beta_1); v' = v + (g^2 - v)(1 - beta_2); w - lr_t m' / "
                "(sqrt(v') + epsilon), lr_t = lr sqrt(1 - beta_2^t) / (1 - beta_1^t); epsilon "
                "sqrt(1 - beta_2^t) instead of epsilon with corrected_epsilon",
     .numbers = kAdamNumbers,
     .slots = adam_slots,
     .num_scalars = num_adam_scalars,
     .scalars = adam_scalars,
     .expand = expand_adam,
     .eval = eval_adam,
     .samples = adam_settings},
    {.name = "adamax",
     .formula = "m' = m + (g - m)(1 - beta_1); u' = max(beta_2 u, |g|); w - lr / (1 - beta_1^t) m' "
                "/ (u' + epsilon); epsilon_inside: u' = max(beta_2 u, |g| + epsilon)",
     .numbers = kAdamaxNumbers,
     .slots = adamax_slots,
     .scalars = adamax_scalars,
     .expand = expand_adamax,
     .eval = eval_adamax,
     .samples = adamax_settings},
    {.name = "nadam",
     .formula = "m, v as in adam; u_t = beta_1 (1 - 0.96^t / 2); U' = U u_t; w - lr (u_t+1 m' / (1 "
                "- U' u_t+1) + (1 - u_t) g / (1 - U')) / (sqrt(v' / (1 - beta_2^t)) + epsilon)",
     .numbers = kNadamNumbers,
     .slots = moment_slots,
     .shared = kNadamShared,
     .num_scalars = three_scalars,
     .scalars = nadam_scalars,
     .expand = expand_nadam,
     .eval = eval_nadam,
     .samples = nadam_settings},
    {.name = "lion",
     .formula = "w - lr sign(beta_1 m + (1 - beta_1) g); m' = beta_2 m + (1 - beta_2) g",
     .numbers = kLionNumbers,
     .slots = momentum_slots,
     .expand = expand_lion,
     .eval = eval_lion,
     .samples = lion_settings},
};

}  // namespace

std::span<const StepRule> moment_rules() {
  return kRules;
}

}  // namespace gradc::ops
