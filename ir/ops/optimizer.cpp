// Optimizer steps with the formulas of Keras 3. Every step takes the parameter, its gradient, the
// slots and the learning rate as an f32[] operand (a schedule is a graph of its own), and gives the
// new parameter and slots. With weight_decay != 0 a last operand `decay` (f32[], learning rate
// times weight_decay) shrinks the parameter first: w - decay w, as Keras 3 does for every
// optimizer. Adam with corrected_epsilon has an operand `epsilon_t` before that, epsilon on the
// scale of the uncorrected root: PyTorch's place for it.
#include "ir/ops/common.h"

#include <cmath>
#include <limits>

namespace gradc::ops {

namespace {

constexpr std::string_view kNoGrad = "optimizer steps are outside the differentiated graph";

// ---- operand lists ------------------------------------------------------------------------------

// Which operands a step has: tensors like w (w, g, slots) first, then scalars (lr, epsilon, decay).
struct Layout {
  size_t slots = 0;
  bool decay = false;
  bool epsilon = false;
  size_t tensors() const { return 2 + slots; }
  size_t count() const { return tensors() + 1 + size_t{epsilon} + size_t{decay}; }
};

Layout layout(const SgdAttrs& a) {
  return {0, a.weight_decay != 0};
}
Layout layout(const MomentumAttrs& a) {
  return {1, a.weight_decay != 0};
}
Layout layout(const AdagradAttrs& a) {
  return {1, a.weight_decay != 0};
}
Layout layout(const RmspropAttrs& a) {
  return {1 + size_t{a.centered} + size_t{a.momentum != 0}, a.weight_decay != 0};
}
Layout layout(const AdamAttrs& a) {
  return {2 + size_t{a.amsgrad}, a.weight_decay != 0, a.corrected_epsilon};
}
Layout layout(const AdamaxAttrs& a) {
  return {2, a.weight_decay != 0};
}

template <class Attrs>
Result<Types> infer_step(const InferArgs& args) {
  const Layout l = layout(args.attr<Attrs>());
  if (args.operands.size() != l.count())
    return attr_error("{} with these attributes takes {} operands, got {}", args.name, l.count(),
                      args.operands.size());
  const TensorType& w = args.operands[0];
  if (!is_float(w.dtype)) return shape_error("{} of {}, not a float", args.name, to_string(w));
  for (size_t i = 1; i < l.count(); ++i) {
    const TensorType expected = i < l.tensors() ? w : TensorType{w.dtype, {}};
    if (args.operands[i] != expected)
      return shape_error("{} of {}: operand {} is {}, expected {}", args.name, to_string(w), i,
                         to_string(args.operands[i]), to_string(expected));
  }
  return Types(1 + l.slots, w);
}

// ---- expansion ----------------------------------------------------------------------------------

// A step's operands as graph values, scalars repeated to the parameter's shape.
struct Operands {
  const ExpandArgs& e;
  Layout l;
  Val scalar(size_t i) const { return broadcast(e.in(i), e.in(0).shape(), {}); }
  Val w() const { return l.decay ? e.in(0) - e.in(0) * scalar(l.count() - 1) : e.in(0); }
  Val g() const { return e.in(1); }
  Val slot(size_t i) const { return e.in(2 + i); }
  Val lr() const { return scalar(l.tensors()); }
  Val epsilon() const { return scalar(l.tensors() + 1); }
};

// An epsilon that is 0 in f32 keeps no division finite: where there was no gradient yet there is no
// step, instead of 0 / 0.
bool is_nothing(double epsilon) {
  return epsilon < static_cast<double>(std::numeric_limits<float>::min());
}
Val ratio(Val numerator, Val denominator, double epsilon) {
  const Val quotient = numerator / denominator;
  return is_nothing(epsilon) ? select(greater(denominator, 0.0), quotient, 0.0) : quotient;
}
Val root(Val x, double epsilon, bool outside) {
  return outside ? sqrt(x) + epsilon : sqrt(x + epsilon);
}

std::vector<Val> expand_sgd(const ExpandArgs& e) {
  const Operands o{e, layout(e.attr<SgdAttrs>())};
  return {o.w() - o.lr() * o.g()};
}

std::vector<Val> expand_momentum(const ExpandArgs& e) {
  const auto& a = e.attr<MomentumAttrs>();
  const Operands o{e, layout(a)};
  const Val step = o.lr() * o.g();
  const Val velocity = o.slot(0) * a.momentum - step;
  return {o.w() + (a.nesterov ? velocity * a.momentum - step : velocity), velocity};
}

std::vector<Val> expand_adagrad(const ExpandArgs& e) {
  const auto& a = e.attr<AdagradAttrs>();
  const Operands o{e, layout(a)};
  const Val sum = o.slot(0) + o.g() * o.g();
  return {o.w() - ratio(o.lr() * o.g(), root(sum, a.epsilon, a.epsilon_outside), a.epsilon), sum};
}

std::vector<Val> expand_rmsprop(const ExpandArgs& e) {
  const auto& a = e.attr<RmspropAttrs>();
  const Operands o{e, layout(a)};
  const Val squares = o.slot(0) * a.rho + o.g() * o.g() * (1.0 - a.rho);
  std::vector<Val> results = {Val(), squares};
  Val denominator = squares;
  if (a.centered) {
    const Val mean = o.slot(1) * a.rho + o.g() * (1.0 - a.rho);
    denominator = maximum(squares - mean * mean, 0.0);  // a variance: below 0 by rounding only
    results.push_back(mean);
  }
  Val step = ratio(o.lr() * o.g(), root(denominator, a.epsilon, a.epsilon_outside), a.epsilon);
  if (a.momentum != 0) {
    step = o.slot(o.l.slots - 1) * a.momentum + step;
    results.push_back(step);
  }
  results[0] = o.w() - step;
  return results;
}

std::vector<Val> expand_adam(const ExpandArgs& e) {
  const auto& a = e.attr<AdamAttrs>();
  const Operands o{e, layout(a)};
  const Val m = o.slot(0) + (o.g() - o.slot(0)) * (1.0 - a.beta_1);
  const Val v = o.slot(1) + (o.g() * o.g() - o.slot(1)) * (1.0 - a.beta_2);
  std::vector<Val> results = {Val(), m, v};
  Val second = v;
  if (a.amsgrad) {
    second = maximum(o.slot(2), v);
    results.push_back(second);
  }
  const Val size = a.corrected_epsilon ? sqrt(second) + o.epsilon() : sqrt(second) + a.epsilon;
  results[0] = o.w() - ratio(o.lr() * m, size, a.epsilon);
  return results;
}

std::vector<Val> expand_adamax(const ExpandArgs& e) {
  const auto& a = e.attr<AdamaxAttrs>();
  const Operands o{e, layout(a)};
  const Val m = o.slot(0) + (o.g() - o.slot(0)) * (1.0 - a.beta_1);
  const Val size = a.epsilon_inside ? abs(o.g()) + a.epsilon : abs(o.g());
  const Val u = maximum(o.slot(1) * a.beta_2, size);
  const Val held = a.epsilon_inside ? u : u + a.epsilon;
  return {o.w() - ratio(o.lr() * m, held, a.epsilon), m, u};
}

// ---- reference evaluation -----------------------------------------------------------------------

// Element i of a step: the operands' elements in, the results' elements out.
using Elements = std::vector<double>;

// a / b, and 0 for 0 / 0.
double fraction(double a, double b) {
  return a == 0.0 && b == 0.0 ? 0.0 : a / b;
}
double root_of(double x, double epsilon, bool outside) {
  return outside ? std::sqrt(x) + epsilon : std::sqrt(x + epsilon);
}

template <class Attrs, class Step>
void eval_step(const EvalArgs& e, Step step) {
  const auto& attrs = e.attr<Attrs>();
  const Layout l = layout(attrs);
  const double lr = e.in(l.tensors())[0];
  const double decay = l.decay ? e.in(l.count() - 1)[0] : 0.0;
  Elements x(l.tensors());
  for (int64_t i = 0; i < e.in(0).size(); ++i) {
    for (size_t k = 0; k < x.size(); ++k)
      x[k] = e.in(k)[i];
    x[0] *= 1.0 - decay;
    const Elements y = step(attrs, x, lr);
    for (size_t k = 0; k < y.size(); ++k)
      e.out(k)[i] = y[k];
  }
}

void eval_sgd(const EvalArgs& e) {
  eval_step<SgdAttrs>(e, [](const SgdAttrs&, const Elements& x, double lr) -> Elements {
    return {x[0] - lr * x[1]};
  });
}

void eval_momentum(const EvalArgs& e) {
  eval_step<MomentumAttrs>(e, [](const MomentumAttrs& a, const Elements& x, double lr) -> Elements {
    const double v = a.momentum * x[2] - lr * x[1];
    const double moved = a.nesterov ? a.momentum * v - lr * x[1] : v;
    return {x[0] + moved, v};
  });
}

void eval_adagrad(const EvalArgs& e) {
  eval_step<AdagradAttrs>(e, [](const AdagradAttrs& a, const Elements& x, double lr) -> Elements {
    const double sum = x[2] + std::pow(x[1], 2.0);
    return {x[0] - fraction(lr * x[1], root_of(sum, a.epsilon, a.epsilon_outside)), sum};
  });
}

void eval_rmsprop(const EvalArgs& e) {
  eval_step<RmspropAttrs>(e, [](const RmspropAttrs& a, const Elements& x, double lr) -> Elements {
    const double squares = a.rho * x[2] + (1.0 - a.rho) * std::pow(x[1], 2.0);
    const double mean = a.centered ? a.rho * x[3] + (1.0 - a.rho) * x[1] : 0.0;
    const double spread = std::fmax(squares - std::pow(mean, 2.0), 0.0);
    const double plain = fraction(lr * x[1], root_of(spread, a.epsilon, a.epsilon_outside));
    const double step = a.momentum != 0 ? a.momentum * x.back() + plain : plain;
    Elements y = {x[0] - step, squares};
    if (a.centered) y.push_back(mean);
    if (a.momentum != 0) y.push_back(step);
    return y;
  });
}

void eval_adam(const EvalArgs& e) {
  const bool corrected = e.attr<AdamAttrs>().corrected_epsilon;
  const double epsilon =
      corrected ? e.in(layout(e.attr<AdamAttrs>()).tensors() + 1)[0] : e.attr<AdamAttrs>().epsilon;
  eval_step<AdamAttrs>(e, [=](const AdamAttrs& a, const Elements& x, double lr) -> Elements {
    const double m = a.beta_1 * x[2] + (1.0 - a.beta_1) * x[1];
    const double v = a.beta_2 * x[3] + (1.0 - a.beta_2) * std::pow(x[1], 2.0);
    const double second = a.amsgrad ? std::fmax(x[4], v) : v;
    Elements y = {x[0] - fraction(lr * m, std::sqrt(second) + epsilon), m, v};
    if (a.amsgrad) y.push_back(second);
    return y;
  });
}

void eval_adamax(const EvalArgs& e) {
  eval_step<AdamaxAttrs>(e, [](const AdamaxAttrs& a, const Elements& x, double lr) -> Elements {
    const double m = a.beta_1 * x[2] + (1.0 - a.beta_1) * x[1];
    const double inside = a.epsilon_inside ? a.epsilon : 0.0;
    const double u = std::fmax(a.beta_2 * x[3], std::fabs(x[1]) + inside);
    return {x[0] - fraction(lr * m, u + (a.epsilon - inside)), m, u};
  });
}

// ---- samples ------------------------------------------------------------------------------------

// All operands of a step; the range keeps sums of squares positive, and above squared means.
template <class Attrs>
Sample step_sample(std::initializer_list<int64_t> dims, Attrs attrs) {
  const Layout l = layout(attrs);
  Sample s = {.operands = {}, .attrs = make_attrs(attrs), .low = 0.4, .high = 0.6};
  s.operands.assign(l.tensors(), f32(dims));
  s.operands.resize(l.count(), f32({}));
  return s;
}

Samples sgd_samples() {
  return {step_sample({3, 4}, SgdAttrs{}), step_sample({5}, SgdAttrs{0.01})};
}
Samples momentum_samples() {
  return {step_sample({3, 4}, MomentumAttrs{}), step_sample({5}, MomentumAttrs{0.8, true, 0.02})};
}
Samples adagrad_samples() {
  return {step_sample({3, 4}, AdagradAttrs{}), step_sample({5}, AdagradAttrs{1e-3, 0.1}),
          step_sample({4}, AdagradAttrs{1e-3, 0.0, true}), step_sample({4}, AdagradAttrs{0.0})};
}
Samples rmsprop_samples() {
  return {step_sample({3, 4}, RmspropAttrs{}),
          step_sample({5}, RmspropAttrs{0.8, 0.5, 1e-5}),
          step_sample({2, 2}, RmspropAttrs{0.9, 0.0, 1e-7, true}),
          step_sample({4}, RmspropAttrs{0.9, 0.3, 1e-7, true, 0.01}),
          step_sample({3}, RmspropAttrs{0.9, 0.0, 1e-3, true, 0.0, true}),
          step_sample({3}, RmspropAttrs{0.9, 0.0, 0.0})};
}
Samples adam_samples() {
  return {step_sample({3, 4}, AdamAttrs{}),
          step_sample({5}, AdamAttrs{0.8, 0.9, 1e-3, true}),
          step_sample({2, 2}, AdamAttrs{0.9, 0.999, 1e-7, false, 0.004}),
          step_sample({4}, AdamAttrs{0.9, 0.99, 1e-3, true, 0.004, true}),
          step_sample({4}, AdamAttrs{0.9, 0.99, 1e-3, false, 0.0, true}),
          step_sample({3}, AdamAttrs{0.9, 0.99, 0.0})};
}
Samples adamax_samples() {
  return {step_sample({3, 4}, AdamaxAttrs{}), step_sample({5}, AdamaxAttrs{0.8, 0.9, 1e-3, 0.01}),
          step_sample({4}, AdamaxAttrs{0.8, 0.9, 1e-2, 0.0, true})};
}

}  // namespace

constinit const OpDef kSgdStep{
    .op = Op::kSgdStep,
    .name = "sgd_step",
    .summary = "One step of gradient descent; decay is an operand where weight_decay is not 0.",
    .formula = "w - lr g",
    .operands = "w g lr decay?",
    .results = "w",
    .attrs = &kAttrVtable<SgdAttrs>,
    .infer = infer_step<SgdAttrs>,
    .eval = eval_sgd,
    .no_grad = kNoGrad,
    .expand = expand_sgd,
    .lowering = Lowering::kComposite,
    .samples = sgd_samples,
};

constinit const OpDef kMomentumStep{
    .op = Op::kMomentumStep,
    .name = "momentum_step",
    .summary = "One step of gradient descent with momentum, optionally Nesterov's.",
    .formula = "v' = momentum v - lr g; w + v', or w + momentum v' - lr g with nesterov",
    .operands = "w g v lr decay?",
    .results = "w v",
    .attrs = &kAttrVtable<MomentumAttrs>,
    .infer = infer_step<MomentumAttrs>,
    .eval = eval_momentum,
    .no_grad = kNoGrad,
    .expand = expand_momentum,
    .lowering = Lowering::kComposite,
    .samples = momentum_samples,
};

constinit const OpDef kAdagradStep{
    .op = Op::kAdagradStep,
    .name = "adagrad_step",
    .summary = "One step of AdaGrad; accum is the sum of squared gradients.",
    .formula =
        "accum' = accum + g^2; w - lr g / sqrt(accum' + epsilon), or over sqrt(accum') + epsilon "
        "with epsilon_outside",
    .operands = "w g accum lr decay?",
    .results = "w accum",
    .attrs = &kAttrVtable<AdagradAttrs>,
    .infer = infer_step<AdagradAttrs>,
    .eval = eval_adagrad,
    .no_grad = kNoGrad,
    .expand = expand_adagrad,
    .lowering = Lowering::kComposite,
    .samples = adagrad_samples,
};

constinit const OpDef kRmspropStep{
    .op = Op::kRmspropStep,
    .name = "rmsprop_step",
    .summary =
        "One step of RMSprop; mean_gradient is there when centered, momentum when it is not 0.",
    .formula =
        "ms' = rho ms + (1 - rho) g^2; mg' = rho mg + (1 - rho) g; "
        "s = lr g / sqrt(max(ms' - mg'^2, 0) + epsilon), or over the root + epsilon with "
        "epsilon_outside; mom' = momentum mom + s; w - mom'",
    .operands = "w g mean_square mean_gradient? momentum? lr decay?",
    .results = "w mean_square mean_gradient? momentum?",
    .attrs = &kAttrVtable<RmspropAttrs>,
    .infer = infer_step<RmspropAttrs>,
    .eval = eval_rmsprop,
    .no_grad = kNoGrad,
    .expand = expand_rmsprop,
    .lowering = Lowering::kComposite,
    .samples = rmsprop_samples,
};

constinit const OpDef kAdamStep{
    .op = Op::kAdamStep,
    .name = "adam_step",
    .summary =
        "One step of Adam; lr_t is the bias-corrected rate, vmax is there with amsgrad, epsilon_t "
        "with corrected_epsilon.",
    .formula =
        "m' = m + (g - m)(1 - beta_1); v' = v + (g^2 - v)(1 - beta_2); "
        "w - lr_t m' / (sqrt(v') + epsilon), with lr_t = lr sqrt(1 - beta_2^t) / (1 - beta_1^t); "
        "epsilon_t = epsilon sqrt(1 - beta_2^t) instead of epsilon with corrected_epsilon",
    .operands = "w g m v vmax? lr_t epsilon_t? decay?",
    .results = "w m v vmax?",
    .attrs = &kAttrVtable<AdamAttrs>,
    .infer = infer_step<AdamAttrs>,
    .eval = eval_adam,
    .no_grad = kNoGrad,
    .expand = expand_adam,
    .lowering = Lowering::kComposite,
    .samples = adam_samples,
};

constinit const OpDef kAdamaxStep{
    .op = Op::kAdamaxStep,
    .name = "adamax_step",
    .summary = "One step of Adamax; lr_1 is the rate corrected for the bias of m.",
    .formula =
        "m' = m + (g - m)(1 - beta_1); u' = max(beta_2 u, |g|); w - lr_1 m' / (u' + epsilon), with "
        "lr_1 = lr / (1 - beta_1^t); epsilon_inside: u' = max(beta_2 u, |g| + epsilon), w - lr_1 "
        "m' "
        "/ u'",
    .operands = "w g m u lr_1 decay?",
    .results = "w m u",
    .attrs = &kAttrVtable<AdamaxAttrs>,
    .infer = infer_step<AdamaxAttrs>,
    .eval = eval_adamax,
    .no_grad = kNoGrad,
    .expand = expand_adamax,
    .lowering = Lowering::kComposite,
    .samples = adamax_samples,
};

}  // namespace gradc::ops
