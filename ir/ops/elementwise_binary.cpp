// Functions of two elements, comparisons and select. Operands have equal types: broadcasts are ops
// of their own, so no rule here thinks about shapes.
#include "ir/ops/common.h"

#include <cmath>

namespace gradc::ops {

namespace {

constexpr std::string_view kNotFloat = "the result is not a float";

Samples pair_samples() {
  return {sample({f32({3, 4}), f32({3, 4})}), sample({f32({}), f32({})})};
}
Samples distinct_samples() {
  return {distinct(sample({f32({3, 4}), f32({3, 4})}))};
}
Samples div_samples() {
  return {sample_between({f32({3, 4}), f32({3, 4})}, 0.4, 2.0),
          sample_between({f32({5}), f32({5})}, -2.0, -0.4)};
}
Samples pow_samples() {
  return {sample_between({f32({3, 4}), f32({3, 4})}, 0.3, 2.5)};
}
Samples bool_pair_samples() {
  return {sample({typed(DType::kBool, {3, 4}), typed(DType::kBool, {3, 4})})};
}
Samples compare_samples() {
  const TensorType ints = typed(DType::kI32, {12});
  return {distinct(sample({f32({3, 4}), f32({3, 4})})), with_indices(sample({ints, ints}), 3)};
}

// At a tie the whole gradient goes to a.
Grads max_grad(const GradArgs& g) {
  const Val first = greater_equal(g.in(0), g.in(1));
  return {select(first, g.dout(), 0.0), select(first, 0.0, g.dout())};
}

Grads min_grad(const GradArgs& g) {
  const Val first = less_equal(g.in(0), g.in(1));
  return {select(first, g.dout(), 0.0), select(first, 0.0, g.dout())};
}

// d(a^b) = b a^(b-1) da + a^b ln(a) db. For b = 0 the first term is 0 whatever a is, and for a <= 0
// the second is taken as 0: it has no real value there, and exponents are constants in practice.
Grads pow_grad(const GradArgs& g) {
  Grads grads(2);
  const Val a = g.in(0);
  const Val b = g.in(1);
  if (g.needs(0)) grads[0] = g.dout() * (b * pow(a, select(equal(b, 0.0), 1.0, b - 1.0)));
  if (g.needs(1)) {
    const Val positive = greater(a, 0.0);
    const Val safe = select(positive, a, 1.0);
    grads[1] = g.dout() * (g.out() * log(safe));
  }
  return grads;
}

Grads div_grad(const GradArgs& g) {
  Grads grads(2);
  const Val da = g.dout() / g.in(1);
  if (g.needs(0)) grads[0] = da;
  if (g.needs(1)) grads[1] = -(da * g.out());
  return grads;
}

Grads mul_grad(const GradArgs& g) {
  Grads grads(2);
  if (g.needs(0)) grads[0] = g.dout() * g.in(1);
  if (g.needs(1)) grads[1] = g.dout() * g.in(0);
  return grads;
}

Result<Types> infer_select(const InferArgs& args) {
  const TensorType& condition = args.operands[0];
  const TensorType& a = args.operands[1];
  if (condition.dtype != DType::kBool || condition.shape != a.shape || args.operands[2] != a)
    return shape_error("select takes bool, T, T of one shape, got {}, {}, {}", to_string(condition),
                       to_string(a), to_string(args.operands[2]));
  return Types{a};
}

Grads select_grad(const GradArgs& g) {
  Grads grads(3);
  if (!is_float(g.out().dtype())) return grads;
  if (g.needs(1)) grads[1] = select(g.in(0), g.dout(), 0.0);
  if (g.needs(2)) grads[2] = select(g.in(0), 0.0, g.dout());
  return grads;
}

Samples select_samples() {
  return {sample({typed(DType::kBool, {3, 4}), f32({3, 4}), f32({3, 4})})};
}

}  // namespace

constinit const OpDef kAdd{
    .op = Op::kAdd,
    .name = "add",
    .summary = "The sum.",
    .formula = "a + b",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitLinear | kTraitCommutative,
    .infer = infer_numeric,
    .eval_scalar = [](std::span<const double> x) { return x[0] + x[1]; },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout(), g.dout()}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kAdd,
    .samples = pair_samples,
};

constinit const OpDef kSub{
    .op = Op::kSub,
    .name = "sub",
    .summary = "The difference.",
    .formula = "a - b",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitLinear,
    .infer = infer_numeric,
    .eval_scalar = [](std::span<const double> x) { return x[0] - x[1]; },
    .grad = [](const GradArgs& g) -> Grads { return {g.dout(), g.needs(1) ? -g.dout() : Val()}; },
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kSub,
    .samples = pair_samples,
};

constinit const OpDef kMul{
    .op = Op::kMul,
    .name = "mul",
    .summary = "The product.",
    .formula = "a * b",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitLinear | kTraitSmooth | kTraitCommutative,
    .infer = infer_numeric,
    .eval_scalar = [](std::span<const double> x) { return x[0] * x[1]; },
    .grad = mul_grad,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kMul,
    .samples = pair_samples,
};

constinit const OpDef kDiv{
    .op = Op::kDiv,
    .name = "div",
    .summary = "The quotient.",
    .formula = "a / b",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return x[0] / x[1]; },
    .grad = div_grad,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kDiv,
    .samples = div_samples,
};

constinit const OpDef kMax{
    .op = Op::kMax,
    .name = "max",
    .summary = "The larger of two elements; NaN if either is NaN.",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitCommutative,
    .infer = infer_numeric,
    .eval_scalar =
        [](std::span<const double> x) { return x[0] > x[1] || std::isnan(x[0]) ? x[0] : x[1]; },
    .grad = max_grad,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kMax,
    .samples = distinct_samples,
};

constinit const OpDef kMin{
    .op = Op::kMin,
    .name = "min",
    .summary = "The smaller of two elements; NaN if either is NaN.",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitCommutative,
    .infer = infer_numeric,
    .eval_scalar =
        [](std::span<const double> x) { return x[0] < x[1] || std::isnan(x[0]) ? x[0] : x[1]; },
    .grad = min_grad,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kMin,
    .samples = distinct_samples,
};

constinit const OpDef kPow{
    .op = Op::kPow,
    .name = "pow",
    .summary = "a to the power of b.",
    .formula = "a^b",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitSmooth,
    .infer = infer_float,
    .eval_scalar = [](std::span<const double> x) { return std::pow(x[0], x[1]); },
    .grad = pow_grad,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kPow,
    .samples = pow_samples,
};

constinit const OpDef kAnd{
    .op = Op::kAnd,
    .name = "and",
    .summary = "Logical and.",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitCommutative,
    .infer = infer_bool,
    .eval_scalar = [](std::span<const double> x) { return x[0] != 0 && x[1] != 0 ? 1.0 : 0.0; },
    .no_grad = kNotFloat,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kAnd,
    .samples = bool_pair_samples,
};

constinit const OpDef kOr{
    .op = Op::kOr,
    .name = "or",
    .summary = "Logical or.",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitCommutative,
    .infer = infer_bool,
    .eval_scalar = [](std::span<const double> x) { return x[0] != 0 || x[1] != 0 ? 1.0 : 0.0; },
    .no_grad = kNotFloat,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kOr,
    .samples = bool_pair_samples,
};

constinit const OpDef kEqual{
    .op = Op::kEqual,
    .name = "equal",
    .summary = "True where a = b. NaN compares false.",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitCommutative,
    .infer = infer_compare,
    .eval_scalar = [](std::span<const double> x) { return x[0] == x[1] ? 1.0 : 0.0; },
    .no_grad = kNotFloat,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kEq,
    .samples = compare_samples,
};

constinit const OpDef kNotEqual{
    .op = Op::kNotEqual,
    .name = "not_equal",
    .summary = "True where a differs from b or either is NaN.",
    .operands = "a b",
    .traits = kTraitElementwise | kTraitCommutative,
    .infer = infer_compare,
    .eval_scalar = [](std::span<const double> x) { return x[0] != x[1] ? 1.0 : 0.0; },
    .no_grad = kNotFloat,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kNe,
    .samples = compare_samples,
};

constinit const OpDef kLess{
    .op = Op::kLess,
    .name = "less",
    .summary = "True where a < b. NaN compares false.",
    .operands = "a b",
    .traits = kTraitElementwise,
    .infer = infer_compare,
    .eval_scalar = [](std::span<const double> x) { return x[0] < x[1] ? 1.0 : 0.0; },
    .no_grad = kNotFloat,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kLt,
    .samples = compare_samples,
};

constinit const OpDef kLessEqual{
    .op = Op::kLessEqual,
    .name = "less_equal",
    .summary = "True where a <= b. NaN compares false.",
    .operands = "a b",
    .traits = kTraitElementwise,
    .infer = infer_compare,
    .eval_scalar = [](std::span<const double> x) { return x[0] <= x[1] ? 1.0 : 0.0; },
    .no_grad = kNotFloat,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kLe,
    .samples = compare_samples,
};

constinit const OpDef kGreater{
    .op = Op::kGreater,
    .name = "greater",
    .summary = "True where a > b. NaN compares false.",
    .operands = "a b",
    .traits = kTraitElementwise,
    .infer = infer_compare,
    .eval_scalar = [](std::span<const double> x) { return x[0] > x[1] ? 1.0 : 0.0; },
    .no_grad = kNotFloat,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kGt,
    .samples = compare_samples,
};

constinit const OpDef kGreaterEqual{
    .op = Op::kGreaterEqual,
    .name = "greater_equal",
    .summary = "True where a >= b. NaN compares false.",
    .operands = "a b",
    .traits = kTraitElementwise,
    .infer = infer_compare,
    .eval_scalar = [](std::span<const double> x) { return x[0] >= x[1] ? 1.0 : 0.0; },
    .no_grad = kNotFloat,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kGe,
    .samples = compare_samples,
};

constinit const OpDef kSelect{
    .op = Op::kSelect,
    .name = "select",
    .summary = "a where the condition holds, else b.",
    .operands = "condition a b",
    .traits = kTraitElementwise,
    .infer = infer_select,
    .eval_scalar = [](std::span<const double> x) { return x[0] != 0 ? x[1] : x[2]; },
    .grad = select_grad,
    .lowering = Lowering::kScalar,
    .scalar = ScalarOp::kSelect,
    .samples = select_samples,
};

}  // namespace gradc::ops
