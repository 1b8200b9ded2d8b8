#include "exchange/onnx/rules.h"

#include "exchange/onnx/rule_parts.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace gradc::exchange::onnx {

// ---- elementwise ----

Status Rules::made_of(std::string_view inner, bool number_first, std::string_view outer,
                      double number) const {
  GRADC_TRY(const std::string x, name());
  const std::string y = graph().add(inner, {x});
  const std::string one = graph().scalar(e.dtype(out()), number);
  return give(outer, number_first ? Names{one, y} : Names{y, one});
}

Status Rules::expm1(Emitter& e, const Node& a, const Node& b) {
  return Rules{e, a, b}.made_of("Exp", false, "Sub", 1.0);
}

Status Rules::erfc(Emitter& e, const Node& a, const Node& b) {
  return Rules{e, a, b}.made_of("Erf", true, "Sub", 1.0);
}

Status Rules::log1p(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  GRADC_TRY(const std::string x, r.name());
  return r.give("Log", {r.graph().add("Add", {x, r.graph().scalar(e.dtype(r.out()), 1.0)})});
}

Status Rules::rsqrt(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  GRADC_TRY(const std::string x, r.name());
  return r.give("Reciprocal", {r.graph().add("Sqrt", {x})});
}

Status Rules::is_finite(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  GRADC_TRY(const std::string x, r.name());
  const std::string odd =
      r.graph().add("Or", {r.graph().add("IsInf", {x}), r.graph().add("IsNaN", {x})});
  return r.give("Not", {odd});
}

Status Rules::not_equal(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  GRADC_TRY(const Names names, r.elementwise());
  return r.give("Not", {r.graph().add("Equal", names)});
}

Status Rules::cast(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  GRADC_TRY(const std::string x, r.name());
  return r.give("Cast", {x}, {{"to", type_number(e.dtype(r.out()))}});
}

// ---- sources and views ----

Status Rules::constant(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<ConstantAttrs>();
  const std::vector<double>& values = *attrs.value;
  if (values != *b.attrs.as<ConstantAttrs>().value)
    return make_error(DiagKind::kUnsupported, {}, "a constant follows the batch");
  if (values.size() == 1) {
    e.thin_[r.out().index] = {r.graph().scalar(attrs.dtype, values[0]), r.out()};
    return Ok{};
  }
  std::string bytes;
  DType dtype = attrs.dtype;
  if (dtype == DType::kBF16 || dtype == DType::kF16) dtype = DType::kF32;
  for (const double value : values)
    bytes += bytes_of(dtype, value);
  return r.give(r.graph().constant(r.hint(), dtype, attrs.shape, bytes));
}

std::string Rules::bytes_of(DType dtype, double value) {
  std::string bytes(static_cast<size_t>(dtype_bytes(dtype)), '\0');
  const auto put = [&](auto typed) { std::memcpy(bytes.data(), &typed, sizeof typed); };
  if (dtype == DType::kF32) put(static_cast<float>(value));
  if (dtype == DType::kF64) put(value);
  if (dtype == DType::kI32) put(static_cast<int32_t>(value));
  if (dtype == DType::kI64) put(static_cast<int64_t>(value));
  if (dtype == DType::kU8 || dtype == DType::kBool) put(static_cast<uint8_t>(value));
  return bytes;
}

Status Rules::iota(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<IotaAttrs>();
  const auto axis = static_cast<size_t>(attrs.axis);
  if (attrs.shape[axis] != b.attrs.as<IotaAttrs>().shape[axis])
    return make_error(DiagKind::kUnsupported, {}, "an index runs along the batch");
  DType dtype = attrs.dtype;
  if (dtype == DType::kBF16 || dtype == DType::kF16) dtype = DType::kF32;
  std::string bytes;
  for (int64_t i = 0; i < attrs.shape[axis]; ++i)
    bytes += bytes_of(dtype, static_cast<double>(i));
  Ints shape(attrs.shape.size(), 1);
  shape[axis] = attrs.shape[axis];
  e.thin_[r.out().index] = {r.graph().constant("iota", dtype, shape, bytes), r.out()};
  return Ok{};
}

Status Rules::broadcast(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<BroadcastAttrs>();
  Ints axes;
  for (int64_t axis = 0; axis < static_cast<int64_t>(attrs.shape.size()); ++axis) {
    if (std::find(attrs.dims.begin(), attrs.dims.end(), axis) == attrs.dims.end())
      axes.push_back(axis);
  }
  const auto thin = e.thin_.find(r.in().index);
  const bool number = thin != e.thin_.end() && thin->second.value == r.in() && e.is_scalar(r.in());
  GRADC_TRY(std::string name, number ? Result<std::string>(thin->second.name) : r.name());
  if (!axes.empty() && !number)
    name = r.graph().add("Unsqueeze", {name, r.graph().ints(axes)}, {}, r.hint());
  e.thin_[r.out().index] = {std::move(name), r.out()};
  return Ok{};
}

Status Rules::reshape(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  GRADC_TRY(const std::string x, r.name());
  GRADC_TRY(const Extents wanted, e.extents_of(r.out()));
  return r.give("Reshape", {x, e.extents_value(wanted, true)});
}

Status Rules::transpose(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  GRADC_TRY(const std::string x, r.name());
  return r.give("Transpose", {x}, {{"perm", r.attr<TransposeAttrs>().perm}});
}

Status Rules::slice(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<SliceAttrs>();
  const auto& other = b.attrs.as<SliceAttrs>();
  if (attrs.start != other.start || attrs.stride != other.stride)
    return make_error(DiagKind::kUnsupported, {}, "a slice follows the batch");
  Ints starts, limits, axes, steps;
  const Shape& shape = e.shape(r.in());
  const Shape& shape_of_other = e.twin_.second.type(b.operands[0]).shape;
  for (size_t i = 0; i < attrs.start.size(); ++i) {
    const int axis = static_cast<int>(i);
    const bool to_end = attrs.limit[i] == shape[axis] && other.limit[i] == shape_of_other[axis];
    if (!to_end && attrs.limit[i] != other.limit[i])
      return make_error(DiagKind::kUnsupported, {}, "a slice follows the batch");
    const int64_t step = attrs.stride.empty() ? 1 : attrs.stride[i];
    if (to_end && attrs.start[i] == 0 && step == 1) continue;
    axes.push_back(axis);
    starts.push_back(attrs.start[i]);
    limits.push_back(to_end ? std::numeric_limits<int64_t>::max() : attrs.limit[i]);
    steps.push_back(step);
  }
  GRADC_TRY(const std::string x, r.name());
  if (axes.empty()) return r.give(x);
  Graph& g = r.graph();
  return r.give("Slice", {x, g.ints(starts), g.ints(limits), g.ints(axes), g.ints(steps)});
}

Status Rules::reverse(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const Ints& axes = r.attr<AxesAttrs>().axes;
  GRADC_TRY(const std::string x, r.name());
  Graph& g = r.graph();
  const Ints last(axes.size(), -1);
  const Ints before(axes.size(), std::numeric_limits<int64_t>::min());
  return r.give("Slice", {x, g.ints(last), g.ints(before), g.ints(axes), g.ints(last)});
}

std::string Rules::spread(const Rules& r, std::string x, const PadAttrs& attrs) {
  Graph& g = r.graph();
  const int rank = static_cast<int>(attrs.low.size());
  for (int axis = 0; axis < rank; ++axis) {
    const int64_t gap = attrs.interior.empty() ? 0 : attrs.interior[static_cast<size_t>(axis)];
    if (gap == 0) continue;
    x = g.add("Unsqueeze", {x, g.ints({axis + 1})});
    Ints pads(static_cast<size_t>(2 * (rank + 1)), 0);
    pads[static_cast<size_t>(rank + 1 + axis + 1)] = gap;
    x = g.add("Pad", {x, g.ints(pads), g.scalar(r.e.dtype(r.in()), attrs.value)});
    Ints shape(static_cast<size_t>(rank), 0);  // 0: as it is
    for (int other = axis + 1; other < rank; ++other)
      shape[static_cast<size_t>(other)] = r.e.shape(r.in())[other];
    const int64_t extent = r.e.shape(r.in())[axis];
    shape[static_cast<size_t>(axis)] = extent * (gap + 1);
    x = g.add("Reshape", {x, g.ints(shape)});
    x = g.add("Slice", {x, g.ints({0}), g.ints({-gap}), g.ints({axis})});
  }
  return x;
}

Status Rules::pad(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<PadAttrs>();
  const auto& other = b.attrs.as<PadAttrs>();
  const bool along_batch = !attrs.interior.empty() && attrs.interior[0] != 0;
  if (attrs.low != other.low || attrs.high != other.high || along_batch)
    return make_error(DiagKind::kUnsupported, {}, "padding follows the batch");
  GRADC_TRY(std::string x, r.name());
  x = spread(r, std::move(x), attrs);
  Ints pads = attrs.low;
  pads.insert(pads.end(), attrs.high.begin(), attrs.high.end());
  Graph& g = r.graph();
  return r.give("Pad", {x, g.ints(pads), g.scalar(e.dtype(r.in()), attrs.value)});
}

Status Rules::concat(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  Names names;
  for (size_t i = 0; i < a.operands.size(); ++i) {
    GRADC_TRY(std::string name, r.name(i));
    names.push_back(std::move(name));
  }
  return r.give("Concat", names, {{"axis", r.attr<AxisAttrs>().axis}});
}

namespace {

#define GRADC_ONNX_ELEMENTWISE(op, name)                   \
  Rule {                                                   \
    Op::op, [](Emitter& e, const Node& a, const Node& b) { \
      return Rules::elementwise_as(e, a, b, name);         \
    }                                                      \
  }

constexpr Rule kRules[] = {
    {Op::kConstant, Rules::constant},
    {Op::kIota, Rules::iota},
    GRADC_ONNX_ELEMENTWISE(kNeg, "Neg"),
    GRADC_ONNX_ELEMENTWISE(kAbs, "Abs"),
    GRADC_ONNX_ELEMENTWISE(kSign, "Sign"),
    GRADC_ONNX_ELEMENTWISE(kExp, "Exp"),
    {Op::kExpm1, Rules::expm1},
    GRADC_ONNX_ELEMENTWISE(kLog, "Log"),
    {Op::kLog1p, Rules::log1p},
    GRADC_ONNX_ELEMENTWISE(kSqrt, "Sqrt"),
    {Op::kRsqrt, Rules::rsqrt},
    GRADC_ONNX_ELEMENTWISE(kSin, "Sin"),
    GRADC_ONNX_ELEMENTWISE(kCos, "Cos"),
    GRADC_ONNX_ELEMENTWISE(kTanh, "Tanh"),
    GRADC_ONNX_ELEMENTWISE(kErf, "Erf"),
    {Op::kErfc, Rules::erfc},
    GRADC_ONNX_ELEMENTWISE(kSigmoid, "Sigmoid"),
    GRADC_ONNX_ELEMENTWISE(kRelu, "Relu"),
    GRADC_ONNX_ELEMENTWISE(kFloor, "Floor"),
    GRADC_ONNX_ELEMENTWISE(kCeil, "Ceil"),
    GRADC_ONNX_ELEMENTWISE(kRound, "Round"),
    GRADC_ONNX_ELEMENTWISE(kNot, "Not"),
    {Op::kIsFinite, Rules::is_finite},
    {Op::kCast, Rules::cast},
    GRADC_ONNX_ELEMENTWISE(kAdd, "Add"),
    GRADC_ONNX_ELEMENTWISE(kSub, "Sub"),
    GRADC_ONNX_ELEMENTWISE(kMul, "Mul"),
    GRADC_ONNX_ELEMENTWISE(kDiv, "Div"),
    GRADC_ONNX_ELEMENTWISE(kMax, "Max"),
    GRADC_ONNX_ELEMENTWISE(kMin, "Min"),
    GRADC_ONNX_ELEMENTWISE(kPow, "Pow"),
    GRADC_ONNX_ELEMENTWISE(kAnd, "And"),
    GRADC_ONNX_ELEMENTWISE(kOr, "Or"),
    GRADC_ONNX_ELEMENTWISE(kEqual, "Equal"),
    {Op::kNotEqual, Rules::not_equal},
    GRADC_ONNX_ELEMENTWISE(kLess, "Less"),
    GRADC_ONNX_ELEMENTWISE(kLessEqual, "LessOrEqual"),
    GRADC_ONNX_ELEMENTWISE(kGreater, "Greater"),
    GRADC_ONNX_ELEMENTWISE(kGreaterEqual, "GreaterOrEqual"),
    GRADC_ONNX_ELEMENTWISE(kSelect, "Where"),
    {Op::kBroadcast, Rules::broadcast},
    {Op::kReshape, Rules::reshape},
    {Op::kTranspose, Rules::transpose},
    {Op::kSlice, Rules::slice},
    {Op::kPad, Rules::pad},
    {Op::kConcat, Rules::concat},
    {Op::kReverse, Rules::reverse},
    {Op::kReduceSum, [](auto& e, auto& a, auto& b) { return Rules::reduce(e, a, b, "ReduceSum"); }},
    {Op::kReduceMax, [](auto& e, auto& a, auto& b) { return Rules::reduce(e, a, b, "ReduceMax"); }},
    {Op::kReduceMin, [](auto& e, auto& a, auto& b) { return Rules::reduce(e, a, b, "ReduceMin"); }},
    {Op::kReduceProd,
     [](auto& e, auto& a, auto& b) { return Rules::reduce(e, a, b, "ReduceProd"); }},
    {Op::kArgmax, Rules::argmax},
    {Op::kMatmul, Rules::matmul},
    {Op::kConv, Rules::conv},
    {Op::kConvInputGrad, Rules::conv_transpose},
    {Op::kMaxPool, [](auto& e, auto& a, auto& b) { return Rules::pool(e, a, b, "MaxPool"); }},
    {Op::kAvgPool, [](auto& e, auto& a, auto& b) { return Rules::pool(e, a, b, "AveragePool"); }},
    {Op::kGather, Rules::gather},
    {Op::kScan, Rules::scan},
    {Op::kSoftmax, [](auto& e, auto& a, auto& b) { return Rules::softmax(e, a, b, "Softmax"); }},
    {Op::kLogSoftmax,
     [](auto& e, auto& a, auto& b) { return Rules::softmax(e, a, b, "LogSoftmax"); }},
    GRADC_ONNX_ELEMENTWISE(kSoftplus, "Softplus"),
    {Op::kLayerNorm, Rules::layer_norm},
};
#undef GRADC_ONNX_ELEMENTWISE

}  // namespace

const Rule* find_rule(Op op) {
  for (const Rule& rule : kRules) {
    if (rule.op == op) return &rule;
  }
  return nullptr;
}

}  // namespace gradc::exchange::onnx
