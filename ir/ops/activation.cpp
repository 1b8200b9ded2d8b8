// Composite activations: smooth functions of one element made of primitives, each with the gradient
// in closed form.
#include "ir/ops/common.h"

#include <cmath>
#include <numbers>

namespace gradc::ops {

namespace {

constexpr double kInvSqrt2 = 0.5 * std::numbers::sqrt2;
constexpr double kInvSqrt2Pi = kInvSqrt2 * std::numbers::inv_sqrtpi;
constexpr double kSqrt2OverPi = 2.0 * kInvSqrt2Pi;
constexpr double kGeluCubic = 0.044715;

Samples activation_samples() {
  return {sample({f32({3, 4})}), sample_between({f32({2, 5})}, -6.0, 6.0)};
}

// Phi(x), with all its digits where it is small.
Val normal_share(Val x) {
  return erfc(x * -kInvSqrt2) * 0.5;
}

// d/dx x Phi(x) = Phi(x) + x phi(x)
Grads gelu_grad(const GradArgs& g) {
  const Val x = g.in(0);
  const Val density = exp(x * x * -0.5) * kInvSqrt2Pi;
  return {g.dout() * (normal_share(x) + x * density)};
}

// 0.5 (1 + tanh(u)) = sigmoid(2u), which does not cancel below zero. Beyond +-20 it is 0 or 1, and
// the powers of x stay finite.
struct GeluTanh {
  Val held;
  Val share;
  explicit GeluTanh(Val x)
      : held(minimum(maximum(x, -20.0), 20.0)),
        share(sigmoid((held * held * kGeluCubic + 1.0) * held * (2.0 * kSqrt2OverPi))) {}
};

std::vector<Val> expand_gelu_tanh(const ExpandArgs& e) {
  return {e.in(0) * GeluTanh(e.in(0)).share};
}

Grads gelu_tanh_grad(const GradArgs& g) {
  const GeluTanh f(g.in(0));
  const Val slope = (f.held * f.held * (3.0 * kGeluCubic) + 1.0) * (2.0 * kSqrt2OverPi);
  return {g.dout() * (f.share * ((1.0 - f.share) * slope * f.held + 1.0))};
}

Grads silu_grad(const GradArgs& g) {
  const Val s = sigmoid(g.in(0));
  return {g.dout() * (s * (g.in(0) * (1.0 - s) + 1.0))};
}

std::vector<Val> expand_softplus(const ExpandArgs& e) {
  return {relu(e.in(0)) + log1p(exp(-abs(e.in(0))))};
}

double softplus_of(double x) {
  return x > 0 ? x + std::log(1.0 + std::exp(-x)) : std::log1p(std::exp(x));
}

}  // namespace

constinit const OpDef kGelu{
    .op = Op::kGelu,
    .name = "gelu",
    .summary = "Gaussian error linear unit, exact form.",
    .formula = "x * Phi(x) = 0.5 x (1 + erf(x / sqrt 2))",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar =
        [](std::span<const double> x) { return 0.5 * x[0] * std::erfc(-x[0] * kInvSqrt2); },
    .grad = gelu_grad,
    .expand = [](const ExpandArgs& e) -> std::vector<Val> {
      return {e.in(0) * normal_share(e.in(0))};
    },
    .lowering = Lowering::kComposite,
    .samples = activation_samples,
};

constinit const OpDef kGeluTanh{
    .op = Op::kGeluTanh,
    .name = "gelu_tanh",
    .summary = "Gaussian error linear unit, the approximation by tanh.",
    .formula = "0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar =
        [](std::span<const double> x) {
          const double inner =
              std::sqrt(8.0 / std::numbers::pi) * (x[0] + 0.044715 * std::pow(x[0], 3.0));
          return x[0] / (1.0 + std::exp(-inner));  // 0.5 (1 + tanh(z)) = 1 / (1 + e^(-2z))
        },
    .grad = gelu_tanh_grad,
    .expand = expand_gelu_tanh,
    .lowering = Lowering::kComposite,
    .samples = activation_samples,
};

constinit const OpDef kSilu{
    .op = Op::kSilu,
    .name = "silu",
    .summary = "Sigmoid linear unit (swish).",
    .formula = "x / (1 + e^-x)",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return x[0] / (1.0 + std::exp(-x[0])); },
    .grad = silu_grad,
    .expand = [](const ExpandArgs& e) -> std::vector<Val> { return {e.in(0) * sigmoid(e.in(0))}; },
    .lowering = Lowering::kComposite,
    .samples = activation_samples,
};

constinit const OpDef kSoftplus{
    .op = Op::kSoftplus,
    .name = "softplus",
    .summary = "A smooth positive part.",
    .formula = "ln(1 + e^x)",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return softplus_of(x[0]); },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() * sigmoid(g.in(0))}; },
    .expand = expand_softplus,
    .lowering = Lowering::kComposite,
    .samples = activation_samples,
};

}  // namespace gradc::ops
