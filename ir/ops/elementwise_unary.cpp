// Functions of one element: arithmetic, transcendental, rounding, and the conversion of dtypes.
// Gradients use the result where they can, so that the operand need not stay alive.
#include "ir/element.h"
#include "ir/ops/common.h"

#include <cmath>
#include <numbers>

namespace gradc::ops {

namespace {

constexpr double kTwoOverSqrtPi = 2.0 * std::numbers::inv_sqrtpi;

Samples real_samples() {
  return {sample({f32({3, 4})}), sample({f32({})}), sample({f32({2, 1, 5})})};
}
Samples kink_samples() {
  return {away_from_zero(sample({f32({3, 4})})), away_from_zero(sample({f32({2, 1, 5})}))};
}
Samples positive_samples() {
  return {sample_between({f32({3, 4})}, 0.2, 3.0), sample_between({f32({2, 1, 5})}, 0.2, 3.0)};
}
Samples log1p_samples() {
  return {sample_between({f32({3, 4})}, -0.7, 3.0), sample_between({f32({5})}, -0.7, 3.0)};
}
Samples bool_samples() {
  return {sample({typed(DType::kBool, {3, 4})})};
}

Result<Types> infer_is_finite(const InferArgs& args) {
  GRADC_TRY_STATUS(check_float(args));
  return Types{args.operands[0].with(DType::kBool)};
}

Result<Types> infer_cast(const InferArgs& args) {
  return Types{args.operands[0].with(args.attr<CastAttrs>().dtype)};
}

void eval_cast(const EvalArgs& e) {
  const DType to = e.out().type.dtype;
  for (int64_t i = 0; i < e.in(0).size(); ++i)
    e.out()[i] = is_float(to) ? e.in(0)[i] : as_element(e.in(0)[i], to);
}

Grads cast_grad(const GradArgs& g) {
  if (!is_float(g.in(0).dtype()) || !is_float(g.out().dtype())) return {Val()};
  return {cast(g.dout(), g.in(0).dtype())};
}

Samples cast_samples() {
  return {sample({f32({3, 4})}, CastAttrs{DType::kF64}),
          sample({f32({3, 4})}, CastAttrs{DType::kI32}),
          with_indices(sample({typed(DType::kI32, {5})}, CastAttrs{DType::kF32}), 9),
          sample({typed(DType::kBool, {4})}, CastAttrs{DType::kF32})};
}

}  // namespace

constinit const OpDef kNeg{
    .op = Op::kNeg,
    .name = "neg",
    .summary = "The negative of each element.",
    .formula = "-x",
    .operands = "x",
    .traits = kTraitElementwise | kTraitLinear,
    .infer = infer_numeric,
    .eval_scalar = [](std::span<const double> x) { return -x[0]; },
    .grad = [](const GradArgs& g) -> Grads { return {-g.dout()}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kNeg,
    .samples = real_samples,
};

constinit const OpDef kAbs{
    .op = Op::kAbs,
    .name = "abs",
    .summary = "The absolute value of each element.",
    .formula = "|x|",
    .operands = "x",
    .traits = kTraitElementwise,
    .infer = infer_numeric,
    .eval_scalar = [](std::span<const double> x) { return std::fabs(x[0]); },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() * sign(g.in(0))}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kAbs,
    .samples = kink_samples,
};

constinit const OpDef kSign{
    .op = Op::kSign,
    .name = "sign",
    .summary = "-1, 0 or 1 by the sign of each element; NaN stays NaN.",
    .operands = "x",
    .traits = kTraitElementwise | kTraitPiecewiseConstant,
    .infer = infer_numeric,
    .eval_scalar =
        [](std::span<const double> x) { return x[0] > 0   ? 1.0
                                               : x[0] < 0 ? -1.0
                                                          : x[0]; },
    .grad = zero_grads,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kSign,
    .samples = kink_samples,
};

constinit const OpDef kExp{
    .op = Op::kExp,
    .name = "exp",
    .summary = "The exponential of each element.",
    .formula = "e^x",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::exp(x[0]); },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() * g.out()}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kExp,
    .samples = real_samples,
};

constinit const OpDef kExpm1{
    .op = Op::kExpm1,
    .name = "expm1",
    .summary = "The exponential minus one, exact near zero.",
    .formula = "e^x - 1",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::expm1(x[0]); },
    // Not the result plus 1, which is lost far below zero.
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() * exp(g.in(0))}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kExpm1,
    .samples = real_samples,
};

constinit const OpDef kLog{
    .op = Op::kLog,
    .name = "log",
    .summary = "The natural logarithm of each element.",
    .formula = "ln x",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::log(x[0]); },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() / g.in(0)}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kLog,
    .samples = positive_samples,
};

constinit const OpDef kLog1p{
    .op = Op::kLog1p,
    .name = "log1p",
    .summary = "The natural logarithm of one plus the element, exact near zero.",
    .formula = "ln(1 + x)",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::log1p(x[0]); },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() / (g.in(0) + 1.0)}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kLog1p,
    .samples = log1p_samples,
};

constinit const OpDef kSqrt{
    .op = Op::kSqrt,
    .name = "sqrt",
    .summary = "The square root of each element.",
    .formula = "x^(1/2)",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::sqrt(x[0]); },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() / (g.out() * 2.0)}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kSqrt,
    .samples = positive_samples,
};

constinit const OpDef kRsqrt{
    .op = Op::kRsqrt,
    .name = "rsqrt",
    .summary = "The reciprocal square root of each element.",
    .formula = "x^(-1/2)",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return 1.0 / std::sqrt(x[0]); },
    .grad = [](const GradArgs& g) -> Grads {
      return {g.dout() * (g.out() * g.out() * g.out()) * -0.5};
    },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kRsqrt,
    .samples = positive_samples,
};

constinit const OpDef kSin{
    .op = Op::kSin,
    .name = "sin",
    .summary = "The sine of each element, in radians.",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::sin(x[0]); },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() * cos(g.in(0))}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kSin,
    .samples = real_samples,
};

constinit const OpDef kCos{
    .op = Op::kCos,
    .name = "cos",
    .summary = "The cosine of each element, in radians.",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::cos(x[0]); },
    .grad = [](const GradArgs& g) -> Grads { return {-(g.dout() * sin(g.in(0)))}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kCos,
    .samples = real_samples,
};

constinit const OpDef kTanh{
    .op = Op::kTanh,
    .name = "tanh",
    .summary = "The hyperbolic tangent of each element.",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::tanh(x[0]); },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() * (1.0 - g.out() * g.out())}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kTanh,
    .samples = real_samples,
};

constinit const OpDef kErf{
    .op = Op::kErf,
    .name = "erf",
    .summary = "The error function of each element.",
    .formula = "2/sqrt(pi) * integral of e^(-t^2) from 0 to x",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::erf(x[0]); },
    .grad = [](const GradArgs& g) -> Grads {
      return {g.dout() * exp(-(g.in(0) * g.in(0))) * kTwoOverSqrtPi};
    },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kErf,
    .samples = real_samples,
};

constinit const OpDef kErfc{
    .op = Op::kErfc,
    .name = "erfc",
    .summary = "One minus the error function of each element, exact where that is small.",
    .formula = "2/sqrt(pi) * integral of e^(-t^2) from x to infinity",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::erfc(x[0]); },
    .grad = [](const GradArgs& g) -> Grads {
      return {g.dout() * exp(-(g.in(0) * g.in(0))) * -kTwoOverSqrtPi};
    },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kErfc,
    .samples = real_samples,
};

constinit const OpDef kSigmoid{
    .op = Op::kSigmoid,
    .name = "sigmoid",
    .summary = "The logistic function of each element.",
    .formula = "1 / (1 + e^-x)",
    .operands = "x",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return 1.0 / (1.0 + std::exp(-x[0])); },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout() * (g.out() * (1.0 - g.out()))}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kSigmoid,
    .samples = real_samples,
};

constinit const OpDef kRelu{
    .op = Op::kRelu,
    .name = "relu",
    .summary = "The positive part of each element; NaN stays NaN.",
    .formula = "max(x, 0)",
    .operands = "x",
    .traits = kTraitElementwise,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return x[0] <= 0 ? 0.0 : x[0]; },
    .grad = [](const GradArgs& g) -> Grads {
      return {select(greater(g.out(), 0.0), g.dout(), 0.0)};
    },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kRelu,
    .samples = kink_samples,
};

constinit const OpDef kFloor{
    .op = Op::kFloor,
    .name = "floor",
    .summary = "The largest integer not above each element.",
    .operands = "x",
    .traits = kTraitElementwise | kTraitPiecewiseConstant,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::floor(x[0]); },
    .grad = zero_grads,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kFloor,
    .samples = real_samples,
};

constinit const OpDef kCeil{
    .op = Op::kCeil,
    .name = "ceil",
    .summary = "The smallest integer not below each element.",
    .operands = "x",
    .traits = kTraitElementwise | kTraitPiecewiseConstant,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::ceil(x[0]); },
    .grad = zero_grads,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kCeil,
    .samples = real_samples,
};

constinit const OpDef kRound{
    .op = Op::kRound,
    .name = "round",
    .summary = "The nearest integer, halves to even.",
    .operands = "x",
    .traits = kTraitElementwise | kTraitPiecewiseConstant,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::nearbyint(x[0]); },
    .grad = zero_grads,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kRound,
    .samples = real_samples,
};

constinit const OpDef kNot{
    .op = Op::kNot,
    .name = "not",
    .summary = "The logical negation of each element.",
    .operands = "x",
    .traits = kTraitElementwise,
    .infer = infer_bool,
    .eval_scalar = [](std::span<const double> x) { return x[0] == 0 ? 1.0 : 0.0; },
    .no_grad = "the result is not a float",
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kNot,
    .samples = bool_samples,
};

constinit const OpDef kIsFinite{
    .op = Op::kIsFinite,
    .name = "is_finite",
    .summary = "True where the element is neither infinite nor NaN.",
    .operands = "x",
    .traits = kTraitElementwise,
    .infer = infer_is_finite,
    .eval_scalar = [](std::span<const double> x) { return std::isfinite(x[0]) ? 1.0 : 0.0; },
    .no_grad = "the result is not a float",
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kIsFinite,
    .samples = real_samples,
};

constinit const OpDef kCast{
    .op = Op::kCast,
    .name = "cast",
    .summary =
        "Converts the element type: float to integer truncates and saturates, NaN becomes 0; "
        "anything to bool is x != 0.",
    .operands = "x",
    .attrs = &kAttrVtable<CastAttrs>,
    .traits = kTraitElementwise,
    .infer = infer_cast,
    .eval = eval_cast,
    .grad = cast_grad,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kCast,
    .samples = cast_samples,
};

}  // namespace gradc::ops
