// Ops without a data operand: constants, counting, random bits.
#include "ir/element.h"
#include "ir/ops/common.h"
#include "ir/philox.h"

#include <fmt/ranges.h>

namespace gradc::ops {

namespace {

Result<Types> infer_constant(const InferArgs& args) {
  const auto& attrs = args.attr<ConstantAttrs>();
  GRADC_TRY(const TensorType type, checked_type(args.name, attrs.dtype, attrs.shape));
  const int64_t count = attrs.value == nullptr ? 0 : static_cast<int64_t>(attrs.value->size());
  if (count != 1 && count != type.num_elements())
    return shape_error("constant of type {} has {} elements, expected 1 or {}", to_string(type),
                       count, type.num_elements());
  for (const double x : *attrs.value) {
    if (!is_float(type.dtype) && !is_element(x, type.dtype))
      return attr_error("constant of type {} cannot hold {}", to_string(type), x);
  }
  return Types{type};
}

void eval_constant(const EvalArgs& e) {
  const std::vector<double>& value = *e.attr<ConstantAttrs>().value;
  for (int64_t i = 0; i < e.out().size(); ++i)
    e.out()[i] = value[value.size() == 1 ? 0 : static_cast<size_t>(i)];
}

Samples constant_samples() {
  const auto dense = [](std::vector<double> v) {
    return std::make_shared<const std::vector<double>>(std::move(v));
  };
  return {sample({}, ConstantAttrs{DType::kF32, {2, 3}, dense({1.5})}),
          sample({}, ConstantAttrs{DType::kF32, {2, 2}, dense({1, -2, 3, 0.25})}),
          sample({}, ConstantAttrs{DType::kI32, {}, dense({7})})};
}

Result<Types> infer_iota(const InferArgs& args) {
  const auto& attrs = args.attr<IotaAttrs>();
  GRADC_TRY(const TensorType type, checked_type(args.name, attrs.dtype, attrs.shape));
  GRADC_TRY_STATUS(check_axes(args.name, std::span(&attrs.axis, 1), type));
  if (attrs.dtype == DType::kBool) return shape_error("iota of bool, got {}", to_string(type));
  return Types{type};
}

void eval_iota(const EvalArgs& e) {
  const AxisSplit split(e.out().type.shape, e.attr<IotaAttrs>().axis);
  for (int64_t o = 0; o < split.outer; ++o) {
    for (int64_t k = 0; k < split.extent; ++k) {
      for (int64_t i = 0; i < split.inner; ++i)
        e.out()[split.at(o, k, i)] = static_cast<double>(k);
    }
  }
}

Samples iota_samples() {
  return {sample({}, IotaAttrs{DType::kI32, {2, 3}, 1}),
          sample({}, IotaAttrs{DType::kF32, {4, 2}, 0})};
}

Result<Types> infer_random_uniform(const InferArgs& args) {
  const auto& attrs = args.attr<RandomAttrs>();
  const TensorType scalar = typed(DType::kI64, {});
  if (args.operands[0] != scalar || args.operands[1] != scalar)
    return shape_error("random_uniform takes seed i64[] and iteration i64[], got {} and {}",
                       to_string(args.operands[0]), to_string(args.operands[1]));
  if (attrs.stream < 0) return attr_error("random_uniform stream {} is negative", attrs.stream);
  return one_result(args.name, DType::kF32, attrs.shape);
}

void eval_random_uniform(const EvalArgs& e) {
  const auto seed = static_cast<uint64_t>(static_cast<int64_t>(e.in(0)[0]));
  const auto iteration = static_cast<uint64_t>(static_cast<int64_t>(e.in(1)[0]));
  const auto stream = static_cast<uint64_t>(e.attr<RandomAttrs>().stream);
  for (int64_t i = 0; i < e.out().size(); ++i)
    e.out()[i] = random_uniform(random_bits(seed, iteration, stream, static_cast<uint64_t>(i)));
}

Samples random_samples() {
  const TensorType scalar = typed(DType::kI64, {});
  return {with_indices(sample({scalar, scalar}, RandomAttrs{{3, 5}, 0}), 1000),
          with_indices(sample({scalar, scalar}, RandomAttrs{{2}, 77}), 1000)};
}

}  // namespace

constinit const OpDef kConstant{
    .op = Op::kConstant,
    .name = "constant",
    .summary = "The given elements, or one element repeated.",
    .attrs = &kAttrVtable<ConstantAttrs>,
    .infer = infer_constant,
    .eval = eval_constant,
    .no_grad = "there is no operand",
    .lowering = Lowering::kSource,
    .samples = constant_samples,
};

constinit const OpDef kIota{
    .op = Op::kIota,
    .name = "iota",
    .summary = "Each element is its index along an axis.",
    .attrs = &kAttrVtable<IotaAttrs>,
    .infer = infer_iota,
    .eval = eval_iota,
    .no_grad = "there is no operand",
    .lowering = Lowering::kSource,
    .samples = iota_samples,
};

constinit const OpDef kRandomUniform{
    .op = Op::kRandomUniform,
    .name = "random_uniform",
    .summary = "Uniform random f32 numbers in [0, 1) from the counter-based Philox generator.",
    .formula =
        "(Philox4x32-10(key = seed, counter = (i / 4, iteration, stream))[i % 4] >> 8) * 2^-24",
    .operands = "seed iteration",
    .attrs = &kAttrVtable<RandomAttrs>,
    .traits = kTraitRandom,
    .infer = infer_random_uniform,
    .eval = eval_random_uniform,
    .no_grad = "the operands are integers",
    .lowering = Lowering::kSource,
    .samples = random_samples,
};

}  // namespace gradc::ops
