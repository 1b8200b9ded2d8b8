#include "ir/builder.h"

#include "ir/op_attrs.h"
#include "support/check.h"

#include <algorithm>
#include <numeric>

namespace gradc {

TensorType Val::type() const {
  GRADC_CHECK(valid(), "the type of an empty Val");
  return builder_->graph().type(id_);
}

Val Builder::input(InputKind kind, const TensorType& type, std::string name, std::string_view hint,
                   InitSpec init) {
  return wrap(graph_.add_input(kind, type, std::move(name), hint, std::move(init), loc_));
}

Result<std::vector<Val>> Builder::try_add(Op op, std::vector<Val> operands, AttrRef attrs,
                                          std::string_view hint, std::shared_ptr<Graph> body) {
  const OpDef& entry = def(op);
  std::vector<TensorType> types;
  std::vector<ValueId> ids;
  types.reserve(operands.size());
  ids.reserve(operands.size());
  for (const Val& operand : operands) {
    types.push_back(operand.type());
    ids.push_back(operand.id());
  }
  if (attrs.empty() && entry.attrs != nullptr)
    attrs = AttrRef(entry.attrs->make_default(), entry.attrs);
  GRADC_TRY(const Types results, infer_types(op, types, attrs, body.get()));
  const NodeId node = graph_.insert_node(before_, op, std::move(ids), std::move(attrs), results,
                                         phase_, loc_, hint, std::move(body));
  std::vector<Val> vals;
  for (ValueId id : graph_.node(node).results)
    vals.push_back(wrap(id));
  return vals;
}

std::vector<Val> Builder::add_multi(Op op, std::vector<Val> operands, AttrRef attrs,
                                    std::string_view hint, std::shared_ptr<Graph> body) {
  auto result = try_add(op, std::move(operands), std::move(attrs), hint, std::move(body));
  GRADC_CHECK(result.ok(), "building {}: {}", op_name(op), result.message());
  return result.take();
}

Val Builder::add(Op op, std::vector<Val> operands, AttrRef attrs, std::string_view hint) {
  return add_multi(op, std::move(operands), std::move(attrs), hint).front();
}

void Builder::update(Val target, Val value) {
  add_multi(Op::kUpdate, {target, value});
}

Val Builder::splat(double value, const TensorType& type) {
  return constant(type, std::vector<double>{value});
}

Val Builder::constant(const TensorType& type, std::vector<double> elements) {
  return add(
      Op::kConstant, {},
      make_attrs(ConstantAttrs{type.dtype, type.shape.to_vector(),
                               std::make_shared<const std::vector<double>>(std::move(elements))}));
}

Val StackArgs::all_steps(size_t i) const {
  if (stacked[i]) return in(i);
  Shape shape = {steps};
  std::vector<int64_t> dims;
  for (int64_t extent : in(i).shape()) {
    dims.push_back(shape.rank());
    shape.push_back(extent);
  }
  return broadcast(in(i), shape, std::move(dims));
}

// ---- operators ----------------------------------------------------------------------------------

namespace {

Val unary(Op op, Val x) {
  return x.builder().add(op, {x});
}
Val binary(Op op, Val a, Val b) {
  return a.builder().add(op, {a, b});
}
Val like(double value, Val x) {
  return x.builder().splat(value, x.type());
}

}  // namespace

Val operator+(Val a, Val b) {
  return binary(Op::kAdd, a, b);
}
Val operator-(Val a, Val b) {
  return binary(Op::kSub, a, b);
}
Val operator*(Val a, Val b) {
  return binary(Op::kMul, a, b);
}
Val operator/(Val a, Val b) {
  return binary(Op::kDiv, a, b);
}
Val operator-(Val a) {
  return unary(Op::kNeg, a);
}
Val operator+(Val a, double b) {
  return a + like(b, a);
}
Val operator+(double a, Val b) {
  return like(a, b) + b;
}
Val operator-(Val a, double b) {
  return a - like(b, a);
}
Val operator-(double a, Val b) {
  return like(a, b) - b;
}
Val operator*(Val a, double b) {
  return a * like(b, a);
}
Val operator*(double a, Val b) {
  return like(a, b) * b;
}
Val operator/(Val a, double b) {
  return a / like(b, a);
}
Val operator/(double a, Val b) {
  return like(a, b) / b;
}

Val neg(Val x) {
  return unary(Op::kNeg, x);
}
Val abs(Val x) {
  return unary(Op::kAbs, x);
}
Val sign(Val x) {
  return unary(Op::kSign, x);
}
Val exp(Val x) {
  return unary(Op::kExp, x);
}
Val expm1(Val x) {
  return unary(Op::kExpm1, x);
}
Val log(Val x) {
  return unary(Op::kLog, x);
}
Val log1p(Val x) {
  return unary(Op::kLog1p, x);
}
Val sqrt(Val x) {
  return unary(Op::kSqrt, x);
}
Val rsqrt(Val x) {
  return unary(Op::kRsqrt, x);
}
Val sin(Val x) {
  return unary(Op::kSin, x);
}
Val cos(Val x) {
  return unary(Op::kCos, x);
}
Val tanh(Val x) {
  return unary(Op::kTanh, x);
}
Val erf(Val x) {
  return unary(Op::kErf, x);
}
Val erfc(Val x) {
  return unary(Op::kErfc, x);
}
Val sigmoid(Val x) {
  return unary(Op::kSigmoid, x);
}
Val relu(Val x) {
  return unary(Op::kRelu, x);
}
Val maximum(Val a, Val b) {
  return binary(Op::kMax, a, b);
}
Val minimum(Val a, Val b) {
  return binary(Op::kMin, a, b);
}
Val maximum(Val a, double b) {
  return maximum(a, like(b, a));
}
Val minimum(Val a, double b) {
  return minimum(a, like(b, a));
}
Val pow(Val a, Val b) {
  return binary(Op::kPow, a, b);
}
Val pow(Val a, double b) {
  return pow(a, like(b, a));
}
Val equal(Val a, Val b) {
  return binary(Op::kEqual, a, b);
}
Val not_equal(Val a, Val b) {
  return binary(Op::kNotEqual, a, b);
}
Val less(Val a, Val b) {
  return binary(Op::kLess, a, b);
}
Val less_equal(Val a, Val b) {
  return binary(Op::kLessEqual, a, b);
}
Val greater(Val a, Val b) {
  return binary(Op::kGreater, a, b);
}
Val greater_equal(Val a, Val b) {
  return binary(Op::kGreaterEqual, a, b);
}
Val less(Val a, double b) {
  return less(a, like(b, a));
}
Val less_equal(Val a, double b) {
  return less_equal(a, like(b, a));
}
Val greater(Val a, double b) {
  return greater(a, like(b, a));
}
Val greater_equal(Val a, double b) {
  return greater_equal(a, like(b, a));
}
Val equal(Val a, double b) {
  return equal(a, like(b, a));
}
Val logical_and(Val a, Val b) {
  return binary(Op::kAnd, a, b);
}
Val logical_or(Val a, Val b) {
  return binary(Op::kOr, a, b);
}
Val logical_not(Val a) {
  return unary(Op::kNot, a);
}
Val select(Val condition, Val a, Val b) {
  return a.builder().add(Op::kSelect, {condition, a, b});
}
Val select(Val condition, Val a, double b) {
  return select(condition, a, like(b, a));
}
Val select(Val condition, double a, Val b) {
  return select(condition, like(a, b), b);
}
Val cast(Val x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return x.builder().add(Op::kCast, {x}, make_attrs(CastAttrs{dtype}));
}

// ---- shapes -------------------------------------------------------------------------------------

Val broadcast(Val x, const Shape& shape, std::vector<int64_t> dims) {
  return x.builder().add(Op::kBroadcast, {x},
                         make_attrs(BroadcastAttrs{shape.to_vector(), std::move(dims)}));
}

Val broadcast_to(Val x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int skip = shape.rank() - x.rank();
  GRADC_CHECK(skip >= 0, "broadcasting {} to {}", to_string(x.type()), to_string(shape));
  Shape kept;  // extents of 1 that must be repeated are dropped first
  std::vector<int64_t> dims;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x.shape()[axis] != shape[axis + skip]) {
      GRADC_CHECK(x.shape()[axis] == 1, "broadcasting {} to {}", to_string(x.type()),
                  to_string(shape));
      continue;
    }
    kept.push_back(x.shape()[axis]);
    dims.push_back(axis + skip);
  }
  return broadcast(reshape(x, kept), shape, std::move(dims));
}

Val reshape(Val x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return x.builder().add(Op::kReshape, {x}, make_attrs(ReshapeAttrs{shape.to_vector()}));
}

Val transpose(Val x, std::vector<int64_t> perm) {
  return x.builder().add(Op::kTranspose, {x}, make_attrs(TransposeAttrs{std::move(perm)}));
}

Val slice(Val x, std::vector<int64_t> start, std::vector<int64_t> limit,
          std::vector<int64_t> stride) {
  return x.builder().add(
      Op::kSlice, {x},
      make_attrs(SliceAttrs{std::move(start), std::move(limit), std::move(stride)}));
}

Val pad(Val x, std::vector<int64_t> low, std::vector<int64_t> high, double value,
        std::vector<int64_t> interior) {
  return x.builder().add(
      Op::kPad, {x},
      make_attrs(PadAttrs{std::move(low), std::move(high), std::move(interior), value}));
}

Val concat(std::vector<Val> parts, int64_t axis) {
  Builder& builder = parts.front().builder();
  return builder.add(Op::kConcat, std::move(parts), make_attrs(AxisAttrs{axis}));
}

Val reverse(Val x, std::vector<int64_t> axes) {
  return x.builder().add(Op::kReverse, {x}, make_attrs(AxesAttrs{std::move(axes)}));
}

// ---- reductions ---------------------------------------------------------------------------------

namespace {

Val reduce(Op op, Val x, std::vector<int64_t> axes) {
  std::sort(axes.begin(), axes.end());
  return x.builder().add(op, {x}, make_attrs(AxesAttrs{std::move(axes)}));
}

}  // namespace

Val reduce_sum(Val x, std::vector<int64_t> axes) {
  return reduce(Op::kReduceSum, x, std::move(axes));
}
Val reduce_max(Val x, std::vector<int64_t> axes) {
  return reduce(Op::kReduceMax, x, std::move(axes));
}
Val reduce_min(Val x, std::vector<int64_t> axes) {
  return reduce(Op::kReduceMin, x, std::move(axes));
}
Val reduce_prod(Val x, std::vector<int64_t> axes) {
  return reduce(Op::kReduceProd, x, std::move(axes));
}

Val reduce_mean(Val x, std::vector<int64_t> axes) {
  const int64_t count = std::accumulate(
      axes.begin(), axes.end(), int64_t{1},
      [&](int64_t n, int64_t axis) { return n * x.shape()[static_cast<int>(axis)]; });
  return reduce_sum(x, std::move(axes)) * (1.0 / static_cast<double>(count));
}

Val argmax(Val x, int64_t axis) {
  return x.builder().add(Op::kArgmax, {x}, make_attrs(AxisAttrs{axis}));
}

// ---- contractions and sources -------------------------------------------------------------------

Val matmul(Val a, Val b, bool transpose_a, bool transpose_b) {
  return a.builder().add(Op::kMatmul, {a, b}, make_attrs(MatmulAttrs{transpose_a, transpose_b}));
}

Val iota(Builder& b, const TensorType& type, int64_t axis) {
  return b.add(Op::kIota, {}, make_attrs(IotaAttrs{type.dtype, type.shape.to_vector(), axis}));
}

}  // namespace gradc
