// Composites over random_uniform: normal numbers by Box-Muller, and coin throws.
#include "ir/ops/common.h"
#include "ir/philox.h"

#include <cmath>
#include <numbers>

namespace gradc::ops {

namespace {

Result<Types> infer_random(const InferArgs& args, const Ints& shape, int64_t stream) {
  const TensorType scalar = typed(DType::kI64, {});
  if (args.operands[0] != scalar || args.operands[1] != scalar)
    return shape_error("{} takes seed i64[] and iteration i64[], got {} and {}", args.name,
                       to_string(args.operands[0]), to_string(args.operands[1]));
  if (stream < 0 || stream >= kSecondStream)
    return attr_error("{} stream {} is outside [0, 2^32)", args.name, stream);
  return one_result(args.name, DType::kF32, shape);
}

Result<Types> infer_normal(const InferArgs& args) {
  const auto& attrs = args.attr<RandomAttrs>();
  return infer_random(args, attrs.shape, attrs.stream);
}

Result<Types> infer_bernoulli(const InferArgs& args) {
  const auto& attrs = args.attr<BernoulliAttrs>();
  if (!(attrs.probability >= 0.0 && attrs.probability <= 1.0))
    return attr_error("bernoulli probability {} is outside [0, 1]", attrs.probability);
  return infer_random(args, attrs.shape, attrs.stream);
}

Val uniform(const ExpandArgs& e, const Ints& shape, int64_t stream) {
  return e.builder.add(Op::kRandomUniform, {e.in(0), e.in(1)},
                       make_attrs(RandomAttrs{shape, stream}));
}

// Two streams of one shape, so that everything is elementwise; u < 1 keeps the logarithm finite.
std::vector<Val> expand_normal(const ExpandArgs& e) {
  const auto& attrs = e.attr<RandomAttrs>();
  const Val radius = sqrt(log1p(-uniform(e, attrs.shape, attrs.stream)) * -2.0);
  const Val angle =
      uniform(e, attrs.shape, attrs.stream + kSecondStream) * (2.0 * std::numbers::pi);
  return {radius * cos(angle)};
}

std::vector<Val> expand_bernoulli(const ExpandArgs& e) {
  const auto& attrs = e.attr<BernoulliAttrs>();
  return {cast(less(uniform(e, attrs.shape, attrs.stream), attrs.probability), DType::kF32)};
}

double draw(const EvalArgs& e, int64_t stream, int64_t element) {
  const auto word = [&](size_t i) {
    return static_cast<uint64_t>(static_cast<int64_t>(e.in(i)[0]));
  };
  return random_uniform(
      random_bits(word(0), word(1), static_cast<uint64_t>(stream), static_cast<uint64_t>(element)));
}

void eval_normal(const EvalArgs& e) {
  const int64_t stream = e.attr<RandomAttrs>().stream;
  for (int64_t i = 0; i < e.out().size(); ++i) {
    const double radius = std::sqrt(2.0 * std::log(1.0 / (1.0 - draw(e, stream, i))));
    const double turns = draw(e, stream + kSecondStream, i);
    e.out()[i] = radius * std::sin(std::numbers::pi * (2.0 * turns + 0.5));
  }
}

void eval_bernoulli(const EvalArgs& e) {
  const auto& attrs = e.attr<BernoulliAttrs>();
  for (int64_t i = 0; i < e.out().size(); ++i)
    e.out()[i] = draw(e, attrs.stream, i) < attrs.probability ? 1.0 : 0.0;
}

Samples normal_samples() {
  const TensorType scalar = typed(DType::kI64, {});
  return {with_indices(sample({scalar, scalar}, RandomAttrs{{3, 5}, 2}), 1000)};
}

Samples bernoulli_samples() {
  const TensorType scalar = typed(DType::kI64, {});
  return {with_indices(sample({scalar, scalar}, BernoulliAttrs{{4, 6}, 3, 0.3}), 1000),
          with_indices(sample({scalar, scalar}, BernoulliAttrs{{9}, 1, 1.0}), 1000)};
}

}  // namespace

constinit const OpDef kRandomNormal{
    .op = Op::kRandomNormal,
    .name = "random_normal",
    .summary = "Standard normal f32 numbers, by Box-Muller from two streams of random_uniform.",
    .formula = "sqrt(-2 log1p(-u(stream))) * cos(2 pi u(stream + 2^32))",
    .operands = "seed iteration",
    .attrs = &kAttrVtable<RandomAttrs>,
    .traits = kTraitRandom,
    .infer = infer_normal,
    .eval = eval_normal,
    .no_grad = "the operands are integers",
    .expand = expand_normal,
    .lowering = Lowering::kComposite,
    .samples = normal_samples,
};

constinit const OpDef kBernoulli{
    .op = Op::kBernoulli,
    .name = "bernoulli",
    .summary = "1 with the given probability, else 0, as f32.",
    .formula = "u < probability",
    .operands = "seed iteration",
    .attrs = &kAttrVtable<BernoulliAttrs>,
    .traits = kTraitRandom,
    .infer = infer_bernoulli,
    .eval = eval_bernoulli,
    .no_grad = "the operands are integers",
    .expand = expand_bernoulli,
    .lowering = Lowering::kComposite,
    .samples = bernoulli_samples,
};

}  // namespace gradc::ops
