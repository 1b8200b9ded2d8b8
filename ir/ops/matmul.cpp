// Matrix products with any number of batch dimensions.
#include "ir/contraction_types.h"
#include "ir/ops/stack.h"

namespace gradc::ops {

namespace {

// Sizes of op(A) [batch, m, k] and op(B) [batch, k, n].
struct Sizes {
  int64_t m, n, k_a, k_b;
  Sizes(const Shape& a, const Shape& b, const MatmulAttrs& t)
      : m(a[a.rank() - (t.transpose_a ? 1 : 2)]),
        n(b[b.rank() - (t.transpose_b ? 2 : 1)]),
        k_a(a[a.rank() - (t.transpose_a ? 2 : 1)]),
        k_b(b[b.rank() - (t.transpose_b ? 1 : 2)]) {}
};

std::string described(const TensorType& type, bool transposed) {
  return to_string(type) + (transposed ? " transposed" : "");
}

Result<Types> infer_matmul(const InferArgs& args) {
  const auto& attrs = args.attr<MatmulAttrs>();
  const TensorType& a = args.operands[0];
  const TensorType& b = args.operands[1];
  GRADC_TRY(const ContractionTypes types, contraction_types(args.name, a.dtype, b.dtype, attrs));
  const std::string shown =
      described(a, attrs.transpose_a) + " x " + described(b, attrs.transpose_b);
  if (a.rank() < 2 || b.rank() != a.rank())
    return shape_error("matmul takes two operands of one rank, at least 2: {}", shown);
  Shape shape;
  for (int axis = 0; axis < a.rank() - 2; ++axis) {
    if (a.shape[axis] != b.shape[axis]) return shape_error("matmul batch sizes differ: {}", shown);
    shape.push_back(a.shape[axis]);
  }
  const Sizes sizes(a.shape, b.shape, attrs);
  if (sizes.k_a != sizes.k_b) return shape_error("matmul inner sizes differ: {}", shown);
  shape.push_back(sizes.m);
  shape.push_back(sizes.n);
  return one_result(args.name, types.result, shape.dims());
}

OperandAxes matmul_axes(const AxesArgs& a) {
  const auto& attrs = a.attr<MatmulAttrs>();
  const int rank = a.rank(0);
  const auto sum_a = int64_t{rank - (attrs.transpose_a ? 2 : 1)};
  const auto sum_b = int64_t{rank - (attrs.transpose_b ? 1 : 2)};
  OperandAxes map = {same_axes(rank, std::array{sum_a}), same_axes(rank, std::array{sum_b})};
  map[0][static_cast<size_t>(attrs.transpose_a ? rank - 1 : rank - 2)] = rank - 2;
  map[1][static_cast<size_t>(attrs.transpose_b ? rank - 2 : rank - 1)] = rank - 1;
  return map;
}

void eval_matmul(const EvalArgs& e) {
  const auto& attrs = e.attr<MatmulAttrs>();
  const bool ta = attrs.transpose_a;
  const bool tb = attrs.transpose_b;
  const Sizes s(e.in(0).type.shape, e.in(1).type.shape, attrs);
  const int64_t k = s.k_a;
  const int64_t batches = e.out().size() / (s.m * s.n);
  for (int64_t batch = 0; batch < batches; ++batch) {
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < s.n; ++j) {
        double sum = 0.0;
        for (int64_t p = 0; p < k; ++p) {
          const int64_t in_a = ta ? p * s.m + i : i * k + p;
          const int64_t in_b = tb ? j * k + p : p * s.n + j;
          sum += e.in(0)[batch * s.m * k + in_a] * e.in(1)[batch * k * s.n + in_b];
        }
        e.out()[(batch * s.m + i) * s.n + j] = sum;
      }
    }
  }
}

/// A product of the types that a contraction of these attributes and operands multiplies in.
Val product(Val a, Val b, MatmulAttrs flags, const ContractionTypes& types) {
  return a.builder().add(Op::kMatmul, {a, b},
                         make_attrs(with_types(flags, a.dtype(), b.dtype(), types)));
}

// C = op(A) op(B). With op = identity: dA = dC B^T, dB = A^T dC; the flags fold the other three
// cases in. Gradients are multiplied in the same type, and have that of what they belong to.
Grads matmul_grad(const GradArgs& g) {
  const auto& attrs = g.attr<MatmulAttrs>();
  const bool ta = attrs.transpose_a;
  const bool tb = attrs.transpose_b;
  const Val a = g.in(0), b = g.in(1), dc = g.dout();
  ContractionTypes types = contraction_types(g.builder.graph(), g.node);
  Grads grads(2);
  types.result = a.dtype();
  if (g.needs(0)) {
    grads[0] = ta ? product(b, dc, {tb, true}, types) : product(dc, b, {false, !tb}, types);
  }
  types.result = b.dtype();
  if (g.needs(1)) {
    grads[1] = tb ? product(dc, a, {true, ta}, types) : product(a, dc, {!ta, false}, types);
  }
  return grads;
}

/// A product with one whole matrix is one larger product.
std::vector<Val> matmul_stack(const StackArgs& s) {
  const auto& attrs = s.attr<MatmulAttrs>();
  const auto same = [&](Val a, Val b) { return s.builder.add(Op::kMatmul, {a, b}, s.attrs); };
  if (s.stacked[0] && !s.stacked[1] && !attrs.transpose_a && s.in(1).rank() == 2)
    return {split_steps(same(merged_steps(s.in(0)), s.in(1)), s.steps)};
  return {same(s.all_steps(0), s.all_steps(1))};
}

/// The steps become part of the inner axis: [steps, batch..., k, n] as [batch..., steps * k, n].
Val steps_inside(Val stack, bool inner_first) {
  const int rank = stack.rank();
  const int inner = inner_first ? rank - 2 : rank - 1;
  std::vector<int64_t> perm;
  Shape shape;
  for (int axis = 1; axis < rank; ++axis) {
    if (axis == inner) perm.push_back(0);
    perm.push_back(axis);
    shape.push_back(stack.shape()[axis] * (axis == inner ? stack.shape()[0] : 1));
  }
  const bool in_place = inner == 1;
  return reshape(in_place ? stack : transpose(stack, std::move(perm)), shape);
}

std::vector<Val> matmul_sum_steps(const StackArgs& s) {
  const auto& attrs = s.attr<MatmulAttrs>();
  const Val a = steps_inside(s.in(0), attrs.transpose_a);
  const Val b = steps_inside(s.in(1), !attrs.transpose_b);
  return {s.builder.add(Op::kMatmul, {a, b}, s.attrs)};
}

Samples matmul_samples() {
  return {sample({f32({3, 4}), f32({4, 5})}, MatmulAttrs{}),
          sample({f32({4, 3}), f32({4, 5})}, MatmulAttrs{true, false}),
          sample({f32({3, 4}), f32({5, 4})}, MatmulAttrs{false, true}),
          sample({f32({4, 3}), f32({5, 4})}, MatmulAttrs{true, true}),
          sample({f32({2, 3, 4}), f32({2, 4, 2})}, MatmulAttrs{}),
          sample({f32({2, 2, 4, 3}), f32({2, 2, 2, 4})}, MatmulAttrs{true, true}),
          sample({typed(DType::kF64, {3, 4}), typed(DType::kF64, {4, 5})}, MatmulAttrs{}),
          sample({f32({3, 4}), typed(DType::kF64, {5, 4})},
                 MatmulAttrs{false, true, DType::kF64, DType::kF32}),
          sample({f32({1, 7}), f32({7, 1})}, MatmulAttrs{})};
}

}  // namespace

constinit const OpDef kMatmul{
    .op = Op::kMatmul,
    .name = "matmul",
    .summary = "The matrix product of the last two axes, for each index of the leading axes.",
    .formula = "c[b, i, j] = sum over p of op(a)[b, i, p] * op(b)[b, p, j]",
    .operands = "a b",
    .attrs = &kAttrVtable<MatmulAttrs>,
    .traits = kTraitLinear | kTraitSmooth,
    .infer = infer_matmul,
    .eval = eval_matmul,
    .grad = matmul_grad,
    .stack = matmul_stack,
    .sum_steps = matmul_sum_steps,
    .lowering = Lowering::kMatmul,
    .samples = matmul_samples,
    .axes = matmul_axes,
};

}  // namespace gradc::ops
