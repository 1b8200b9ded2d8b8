// Optimizers with the formulas of Keras 3: gradient descent, with momentum, and divided by sizes of
// gradients. Where PyTorch places an epsilon elsewhere, a flag gives its formula.
#include "ir/ops/step_pieces.h"

#include <cmath>

namespace gradc::ops {

namespace {

// ---- gradient descent, with momentum ------------------------------------------------------------

Results expand_sgd(const StepAttrs&, const StepOperands& o) {
  return {o.w - o.like_w(0) * o.g};
}
void eval_sgd(const StepAttrs&, const StepValues& v) {
  for_each_element(v, [&](double& w, double g, auto&) { w -= v.scalars[0] * g; });
}
Settings sgd_settings() {
  return {StepAttrs("sgd"), StepAttrs("sgd", {{"weight_decay", 0.01}})};
}

constexpr StepNumber kMomentumNumbers[] = {{"momentum", 0.9}, {"nesterov", 0, true}};

Results expand_momentum(const StepAttrs& a, const StepOperands& o) {
  const Num momentum = o.of("momentum");
  const Val step = o.like_w(0) * o.g;
  const Val velocity = o.slots[0] * momentum - step;
  return {o.w + (a.flag("nesterov") ? velocity * momentum - step : velocity), velocity};
}
void eval_momentum(const StepAttrs& a, const StepValues& v) {
  const double momentum = a.number("momentum");
  for_each_element(v, [&](double& w, double g, auto& s) {
    s[0] = momentum * s[0] - v.scalars[0] * g;
    w += a.flag("nesterov") ? momentum * s[0] - v.scalars[0] * g : s[0];
  });
}
Settings momentum_settings() {
  return {StepAttrs("momentum"),
          StepAttrs("momentum", {{"momentum", 0.8}, {"nesterov", 1}, {"weight_decay", 0.02}})};
}

// ---- AdaGrad, AdaDelta, RMSprop -----------------------------------------------------------------

constexpr StepNumber kAdagradNumbers[] = {
    {"initial_accumulator_value", 0.1}, {"epsilon", 1e-7}, {"epsilon_outside", 0, true}};

Slots adagrad_slots(const StepAttrs& a, const TensorType& w) {
  return {{"accumulator", w, a.number("initial_accumulator_value")}};
}
Results expand_adagrad(const StepAttrs& a, const StepOperands& o) {
  const Num epsilon = o.of("epsilon");
  const Val sum = o.slots[0] + o.g * o.g;
  return {o.w - ratio(o.like_w(0) * o.g, root(sum, epsilon, a.flag("epsilon_outside")), epsilon),
          sum};
}
void eval_adagrad(const StepAttrs& a, const StepValues& v) {
  for_each_element(v, [&](double& w, double g, auto& s) {
    s[0] += std::pow(g, 2.0);
    w -= fraction(v.scalars[0] * g, root_of(s[0], a.number("epsilon"), a.flag("epsilon_outside")));
  });
}
Settings adagrad_settings() {
  return {StepAttrs("adagrad"), StepAttrs("adagrad", {{"epsilon", 1e-3}, {"weight_decay", 0.1}}),
          StepAttrs("adagrad", {{"epsilon", 1e-3}, {"epsilon_outside", 1}}),
          StepAttrs("adagrad", {{"epsilon", 0}})};
}

constexpr StepNumber kAdadeltaNumbers[] = {{"rho", 0.95}, {"epsilon", 1e-7}};

Slots adadelta_slots(const StepAttrs&, const TensorType& w) {
  return {{"accumulated_grad", w}, {"accumulated_delta_var", w}};
}
Results expand_adadelta(const StepAttrs&, const StepOperands& o) {
  const Num rho = o.of("rho");
  const Num epsilon = o.of("epsilon");
  const Val squares = o.slots[0] * rho + o.g * o.g * rest_of(rho);
  const Val delta = ratio(sqrt(o.slots[1] + epsilon) * o.g, sqrt(squares + epsilon), epsilon);
  const Val deltas = o.slots[1] * rho + delta * delta * rest_of(rho);
  return {o.w - o.like_w(0) * delta, squares, deltas};
}
void eval_adadelta(const StepAttrs& a, const StepValues& v) {
  const double rho = a.number("rho");
  const double epsilon = a.number("epsilon");
  for_each_element(v, [&](double& w, double g, auto& s) {
    s[0] = rho * s[0] + (1.0 - rho) * std::pow(g, 2.0);
    const double delta = fraction(std::sqrt(s[1] + epsilon) * g, std::sqrt(s[0] + epsilon));
    s[1] = rho * s[1] + (1.0 - rho) * std::pow(delta, 2.0);
    w -= v.scalars[0] * delta;
  });
}
Settings adadelta_settings() {
  return {StepAttrs("adadelta"),
          StepAttrs("adadelta", {{"rho", 0.8}, {"epsilon", 1e-3}, {"weight_decay", 0.01}})};
}

constexpr StepNumber kRmspropNumbers[] = {{"rho", 0.9},
                                          {"momentum", 0},
                                          {"epsilon", 1e-7},
                                          {"centered", 0, true},
                                          {"epsilon_outside", 0, true}};

Slots rmsprop_slots(const StepAttrs& a, const TensorType& w) {
  Slots slots = {{"velocity", w}};
  if (a.flag("centered")) slots.push_back({"average_gradient", w});
  if (a.flag("momentum")) slots.push_back({"momentum", w});
  return slots;
}
Results expand_rmsprop(const StepAttrs& a, const StepOperands& o) {
  const Num rho = o.of("rho");
  const Num epsilon = o.of("epsilon");
  const Val squares = o.slots[0] * rho + o.g * o.g * rest_of(rho);
  Results results = {Val(), squares};
  Val variance = squares;
  if (a.flag("centered")) {
    const Val mean = o.slots[1] * rho + o.g * rest_of(rho);
    variance = maximum(squares - mean * mean, 0.0);  // below 0 by rounding only
    results.push_back(mean);
  }
  Val step = ratio(o.like_w(0) * o.g, root(variance, epsilon, a.flag("epsilon_outside")), epsilon);
  if (a.flag("momentum")) {
    step = o.slots.back() * o.of("momentum") + step;
    results.push_back(step);
  }
  results[0] = o.w - step;
  return results;
}
void eval_rmsprop(const StepAttrs& a, const StepValues& v) {
  const double rho = a.number("rho");
  for_each_element(v, [&](double& w, double g, auto& s) {
    s[0] = rho * s[0] + (1.0 - rho) * std::pow(g, 2.0);
    double spread = s[0];
    if (a.flag("centered")) {
      s[1] = rho * s[1] + (1.0 - rho) * g;
      spread = std::fmax(spread - std::pow(s[1], 2.0), 0.0);
    }
    double step =
        fraction(v.scalars[0] * g, root_of(spread, a.number("epsilon"), a.flag("epsilon_outside")));
    if (a.flag("momentum")) {
      s.back() = a.number("momentum") * s.back() + step;
      step = s.back();
    }
    w -= step;
  });
}
Settings rmsprop_settings() {
  return {StepAttrs("rmsprop"),
          StepAttrs("rmsprop", {{"rho", 0.8}, {"momentum", 0.5}, {"epsilon", 1e-5}}),
          StepAttrs("rmsprop", {{"centered", 1}}),
          StepAttrs("rmsprop", {{"momentum", 0.3}, {"centered", 1}, {"weight_decay", 0.01}}),
          StepAttrs("rmsprop", {{"epsilon", 1e-3}, {"centered", 1}, {"epsilon_outside", 1}}),
          StepAttrs("rmsprop", {{"epsilon", 0}})};
}

// ---- FTRL ---------------------------------------------------------------------------------------

constexpr StepNumber kFtrlNumbers[] = {{"learning_rate_power", -0.5},
                                       {"initial_accumulator_value", 0.1},
                                       {"l1_regularization_strength", 0},
                                       {"l2_regularization_strength", 0},
                                       {"l2_shrinkage_regularization_strength", 0},
                                       {"beta", 0}};

Slots ftrl_slots(const StepAttrs& a, const TensorType& w) {
  return {{"accumulator", w, a.number("initial_accumulator_value")}, {"linear", w}};
}
Results expand_ftrl(const StepAttrs& a, const StepOperands& o) {
  const Num l1 = o.of("l1_regularization_strength");
  const double power = -a.number("learning_rate_power");
  const Val rate = o.like_w(0);
  const Val shrunk = o.g + o.w * twice(o.of("l2_shrinkage_regularization_strength"));
  const Val square = o.g * o.g;
  const Val sum = o.slots[0] + square;
  const Val powered = pow(sum, power);
  const Val now = powered / rate;
  // sum^p - old^p; where they are nearly equal, as old^p ((1 + g^2 / old)^p - 1).
  const Val before = pow(o.slots[0], power) / rate;
  const Val relative = square / maximum(o.slots[0], 1e-37);
  const Val grown =
      select(greater(square, o.slots[0]), now - before, before * expm1(log1p(relative) * power));
  const Val linear = o.slots[1] + shrunk - grown * o.w;
  const Val quadratic = (powered + o.of("beta")) / rate + twice(o.of("l2_regularization_strength"));
  const bool shrinks = !l1.is_constant() || l1.value() != 0.0;
  const Val clipped = shrinks ? minimum(maximum(linear, negative(l1)), l1) - linear : -linear;
  // Where there never was a gradient there is nothing to divide by, and no step.
  const Val w = select(greater(quadratic, 0.0), clipped / quadratic, o.w);
  return {w, sum, linear};
}
void eval_ftrl(const StepAttrs& a, const StepValues& v) {
  const double rate = v.scalars[0];
  const double power = a.number("learning_rate_power");
  const double l1 = a.number("l1_regularization_strength");
  const double l2 = a.number("l2_regularization_strength") + a.number("beta") / (2.0 * rate);
  for_each_element(v, [&](double& w, double g, auto& s) {
    const double sum = s[0] + g * g;
    const double grown = (std::pow(sum, -power) - std::pow(s[0], -power)) / rate;
    s[1] += g + 2.0 * a.number("l2_shrinkage_regularization_strength") * w - grown * w;
    s[0] = sum;
    const double quadratic = std::pow(sum, -power) / rate + 2.0 * l2;
    if (quadratic == 0.0) return;
    w = std::fabs(s[1]) > l1 ? -(s[1] - std::copysign(l1, s[1])) / quadratic
                             : (l1 == 0.0 ? -s[1] / quadratic : 0.0);
  });
}
Settings ftrl_settings() {
  return {StepAttrs("ftrl"),
          StepAttrs("ftrl", {{"l1_regularization_strength", 0.05},
                             {"l2_regularization_strength", 0.1},
                             {"l2_shrinkage_regularization_strength", 0.02},
                             {"beta", 0.3},
                             {"weight_decay", 0.01}}),
          StepAttrs("ftrl", {{"learning_rate_power", -0.8}, {"initial_accumulator_value", 0.5}})};
}

// ---- the table ----------------------------------------------------------------------------------

constexpr StepRule kRules[] = {
    {.name = "sgd",
     .formula = "w - lr g",
     .expand = expand_sgd,
     .eval = eval_sgd,
     .samples = sgd_settings},
    {.name = "momentum",
     .formula = "v' = momentum v - lr g; w + v', or w + momentum v' - lr g with nesterov",
     .numbers = kMomentumNumbers,
     .slots = momentum_slots,
     .expand = expand_momentum,
     .eval = eval_momentum,
     .samples = momentum_settings},
    {.name = "adagrad",
     .formula = "a' = a + g^2; w - lr g / sqrt(a' + epsilon), or over sqrt(a') + epsilon with "
                "epsilon_outside",
     .numbers = kAdagradNumbers,
     .slots = adagrad_slots,
     .expand = expand_adagrad,
     .eval = eval_adagrad,
     .samples = adagrad_settings},
    {.name = "adadelta",
     .formula = "s' = rho s + (1 - rho) g^2; d = sqrt(e + epsilon) g / sqrt(s' + epsilon); "
                "e' = rho e + (1 - rho) d^2; w - lr d",
     .numbers = kAdadeltaNumbers,
     .slots = adadelta_slots,
     .expand = expand_adadelta,
     .eval = eval_adadelta,
     .samples = adadelta_settings},
    {.name = "rmsprop",
     .formula = "v' = rho v + (1 - rho) g^2; mg' = rho mg + (1 - rho) g; s = lr g / sqrt(max(v' - "
                "mg'^2, 0) + epsilon), or over the root + epsilon with epsilon_outside; m' = "
                "momentum m + s; w - m'",
     .numbers = kRmspropNumbers,
     .slots = rmsprop_slots,
     .expand = expand_rmsprop,
     .eval = eval_rmsprop,
     .samples = rmsprop_settings},
    {.name = "ftrl",
     .formula = "n' = n + g^2, p = learning_rate_power; z' = z + g + 2 l2_shrinkage w - (n'^-p - "
                "n^-p) / lr w; w' = (max(min(z', l1), -l1) - z') / ((n'^-p + beta) / lr + 2 l2)",
     .numbers = kFtrlNumbers,
     .slots = ftrl_slots,
     .expand = expand_ftrl,
     .eval = eval_ftrl,
     .samples = ftrl_settings},
};

}  // namespace

std::span<const StepRule> descent_rules() {
  return kRules;
}

}  // namespace gradc::ops
