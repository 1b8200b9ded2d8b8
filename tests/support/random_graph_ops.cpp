// How random graphs draw calls of ops, one maker per family. A maker that finds nothing fitting
// adds nothing.
#include "tests/support/random_graph_builder.h"

#include <algorithm>

namespace gradc::testing {

void RandomGraphBuilder::make_elementwise() {
  static const std::vector<Op> kUnary = {
      Op::kNeg,     Op::kAbs,      Op::kSign,  Op::kExp,  Op::kExpm1,  Op::kLog,  Op::kLog1p,
      Op::kSqrt,    Op::kRsqrt,    Op::kSin,   Op::kCos,  Op::kTanh,   Op::kErf,  Op::kErfc,
      Op::kSigmoid, Op::kRelu,     Op::kFloor, Op::kCeil, Op::kRound,  Op::kGelu, Op::kGeluTanh,
      Op::kSilu,    Op::kSoftplus, Op::kRelu,  Op::kTanh, Op::kSigmoid};
  static const std::vector<Op> kBinary = {Op::kAdd, Op::kAdd, Op::kSub, Op::kMul, Op::kMul,
                                          Op::kDiv, Op::kMax, Op::kMin, Op::kPow};
  const Val x = pick_float();
  if (random_.chance(0.5)) {
    const Op op = random_.pick(kUnary);
    if (try_node(op, {x})) return;
    if (const auto positive = try_node(Op::kSoftplus, {x})) try_node(op, {*positive});
    return;
  }
  const Op op = random_.pick(kBinary);
  Val a = x;
  Val b = pick_like(x);
  if (random_.chance(0.5)) std::swap(a, b);
  if (op == Op::kDiv || op == Op::kPow) {
    const auto safe = try_node(Op::kSoftplus, {op == Op::kDiv ? b : a});
    if (!safe) return;
    (op == Op::kDiv ? b : a) = *safe;
  }
  try_node(op, {a, b});
}

void RandomGraphBuilder::make_cast() {
  static const std::vector<Op> kInteger = {Op::kAdd, Op::kSub, Op::kMul, Op::kMax, Op::kMin};
  static const std::vector<Op> kFloat = {Op::kAdd,  Op::kMul,  Op::kSub,     Op::kMax,
                                         Op::kTanh, Op::kSqrt, Op::kSigmoid, Op::kNeg};
  const auto to_f32 = [&](Val x) { try_node(Op::kCast, {x}, make_attrs(CastAttrs{DType::kF32})); };
  if (random_.chance(0.4)) {  // a little arithmetic in double
    const auto wide = try_node(Op::kCast, {pick_float()}, make_attrs(CastAttrs{DType::kF64}));
    if (!wide) return;
    const Op op = random_.pick(kFloat);
    const bool binary = def(op).has(kTraitCommutative) || op == Op::kSub;
    const auto y = binary ? try_node(op, {*wide, *wide}) : try_node(op, {*wide});
    return to_f32(y.value_or(*wide));
  }
  std::optional<Val> x;  // integers: inputs, or what a float is without its fraction
  const DType dtype = random_.pick(
      std::vector<DType>{DType::kI32, DType::kI32, DType::kI64, DType::kU8, DType::kBool});
  if (random_.chance(0.5)) {
    x = new_input(InputKind::kInput, {dtype, random_shape(1, 3)});
  } else {
    x = try_node(Op::kAbs, {pick_float()});
    if (x) x = try_node(Op::kCast, {*x}, make_attrs(CastAttrs{dtype}));
  }
  if (!x) return;
  if (dtype != DType::kBool && random_.chance(0.6)) {
    const Val y = new_input(InputKind::kInput, x->type());
    const Op op = random_.pick(kInteger);
    // u8 wraps below zero in memory only
    x = try_node(op == Op::kSub && dtype == DType::kU8 ? Op::kMax : op, {*x, y}).value_or(*x);
    if (random_.chance(0.3)) {
      if (const auto mask = try_node(Op::kLess, {*x, y})) x = mask;
    }
  }
  to_f32(*x);
}

void RandomGraphBuilder::make_compare() {
  if (random_.chance(0.25)) return make_cast();
  static const std::vector<Op> kCompare = {Op::kEqual,     Op::kNotEqual, Op::kLess,
                                           Op::kLessEqual, Op::kGreater,  Op::kGreaterEqual};
  const Val x = pick_float();
  std::optional<Val> mask = try_node(random_.pick(kCompare), {x, pick_like(x)});
  if (!mask) mask = pick_bool(x.shape());
  if (random_.chance(0.3)) {
    const Op logic = random_.chance(0.5) ? Op::kAnd : Op::kOr;
    if (const auto both = try_node(logic, {*mask, pick_bool(x.shape())})) mask = both;
  }
  if (random_.chance(0.3)) {
    if (const auto inverse = try_node(Op::kNot, {*mask})) mask = inverse;
  }
  if (random_.chance(0.3)) {
    try_node(Op::kCast, {*mask}, make_attrs(CastAttrs{DType::kF32}));
  } else if (random_.chance(0.1)) {
    try_node(Op::kIsFinite, {x});
  } else {
    try_node(Op::kSelect, {*mask, x, pick_like(x)});
  }
}

/// Two to four views of each other with nothing between them, then something that reads every
/// element: what one kernel has to see through.
void RandomGraphBuilder::make_view_chain() {
  const size_t before = pool_.size();
  for (int64_t count = random_.between(2, 4); count > 0; --count) {
    const size_t made = pool_.size();
    if (made == before) {
      make_view_of(pick_float(1, 4));
    } else {
      make_view_of(pool_.back().val);
    }
    if (pool_.size() == made) return;
  }
  const Val x = pool_.back().val;
  if (x.rank() == 0 || x.dtype() != DType::kF32) return;
  if (random_.chance(0.3)) {
    try_node(Op::kTanh, {x});
    return;
  }
  AxesAttrs attrs;
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    if (random_.chance(0.7)) attrs.axes.push_back(axis);
  }
  try_node(random_.chance(0.8) ? Op::kReduceSum : Op::kReduceMax, {x}, make_attrs(attrs));
}

void RandomGraphBuilder::make_view() {
  if (random_.chance(0.25)) return make_view_chain();
  make_view_of(pick_float());
}

void RandomGraphBuilder::make_view_of(Val x) {
  const Ints shape = x.shape().to_vector();
  switch (random_.below(6)) {
    case 0: {  // broadcast along one or two new axes
      if (x.rank() >= 4) return;
      BroadcastAttrs attrs{shape, {}};
      for (int64_t i = 0; i < x.rank(); ++i)
        attrs.dims.push_back(i);
      for (int count = random_.chance(0.3) ? 2 : 1; count > 0; --count) {
        const int64_t axis = random_.between(0, std::ssize(attrs.shape));
        attrs.shape.insert(attrs.shape.begin() + axis, random_.between(1, 4));
        for (int64_t& dim : attrs.dims)
          dim += dim >= axis ? 1 : 0;
      }
      try_node(Op::kBroadcast, {x}, make_attrs(std::move(attrs)));
      return;
    }
    case 1: {  // merge all but one axis, or split by a factor
      const int64_t count = x.shape().num_elements();
      int64_t factor = random_.between(1, 6);
      while (count % factor != 0)
        --factor;
      try_node(Op::kReshape, {x},
               make_attrs(
                   ReshapeAttrs{random_.chance(0.5) ? Ints{factor, count / factor} : Ints{count}}));
      return;
    }
    case 2: {
      TransposeAttrs attrs;
      for (int64_t axis = 0; axis < x.rank(); ++axis)
        attrs.perm.insert(attrs.perm.begin() + random_.between(0, axis), axis);
      try_node(Op::kTranspose, {x}, make_attrs(std::move(attrs)));
      return;
    }
    case 3: {
      if (x.rank() == 0) return;
      try_node(Op::kReverse, {x}, make_attrs(AxesAttrs{{random_.below(x.rank())}}));
      return;
    }
    case 4: {
      if (x.rank() == 0) return;
      std::vector<Val> parts = {x, pick_like(x)};
      if (random_.chance(0.3)) parts.push_back(x);
      try_node(Op::kConcat, std::move(parts), make_attrs(AxisAttrs{random_.below(x.rank())}));
      return;
    }
    case 5:
      make_slice_or_pad(x);
      return;
  }
}

void RandomGraphBuilder::make_slice_or_pad(Val x) {
  if (x.rank() == 0) return;
  if (random_.chance(0.5)) {
    SliceAttrs attrs;
    for (int64_t extent : x.shape()) {
      const int64_t start = random_.chance(0.5) ? 0 : random_.below(extent);
      attrs.start.push_back(start);
      attrs.limit.push_back(random_.between(start + 1, extent));
      attrs.stride.push_back(random_.chance(0.7) ? 1 : 2);
    }
    if (random_.chance(0.5)) attrs.stride.clear();
    try_node(Op::kSlice, {x}, make_attrs(std::move(attrs)));
  } else {
    PadAttrs attrs;
    for (int axis = 0; axis < x.rank(); ++axis) {
      attrs.low.push_back(random_.below(3));
      attrs.high.push_back(random_.below(3));
      if (random_.chance(0.5)) attrs.interior.push_back(random_.below(2));
    }
    if (attrs.interior.size() != attrs.low.size()) attrs.interior.clear();
    if (random_.chance(0.3)) attrs.value = 0.5;
    try_node(Op::kPad, {x}, make_attrs(std::move(attrs)));
  }
}

void RandomGraphBuilder::make_reduce() {
  static const std::vector<Op> kReduce = {Op::kReduceSum, Op::kReduceSum, Op::kReduceSum,
                                          Op::kReduceMax, Op::kReduceMin, Op::kReduceProd};
  const Val x = tame(pick_float(1));
  AxesAttrs attrs;
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    if (random_.chance(0.5)) attrs.axes.push_back(axis);
  }
  if (attrs.axes.empty()) attrs.axes.push_back(random_.below(x.rank()));
  const Op op = random_.pick(kReduce);
  const auto sum = try_node(op, {x}, make_attrs(attrs));
  if (!sum || random_.chance(0.5)) return;
  BroadcastAttrs back{x.shape().to_vector(), {}};  // as in normalisations
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    if (std::find(attrs.axes.begin(), attrs.axes.end(), axis) == attrs.axes.end())
      back.dims.push_back(axis);
  }
  if (const auto wide = try_node(Op::kBroadcast, {*sum}, make_attrs(std::move(back))))
    try_node(Op::kSub, {x, *wide});
}

void RandomGraphBuilder::make_matmul() {
  const Val x = tame(pick_float(2, 4));
  const MatmulAttrs attrs{random_.chance(0.3), random_.chance(0.3)};
  const int64_t k = x.shape()[x.rank() - (attrs.transpose_a ? 2 : 1)];
  const int64_t n = random_.between(1, options_.max_extent);
  Shape shape = x.shape();
  shape[x.rank() - 2] = attrs.transpose_b ? n : k;
  shape[x.rank() - 1] = attrs.transpose_b ? k : n;
  if (shape.num_elements() > options_.max_elements) return;
  std::optional<Val> y;
  for (const Entry& e : pool_) {  // a product of two computed values
    if (e.val.dtype() == DType::kF32 && e.val.shape() == shape && random_.chance(0.5)) y = e.val;
  }
  const Val w = y ? *y : weights({DType::kF32, shape});
  const bool left = random_.chance(0.2) && !attrs.transpose_a && !attrs.transpose_b;
  const auto product = left ? try_product(Op::kMatmul, w, x, make_attrs(MatmulAttrs{true, true}))
                            : try_product(Op::kMatmul, x, w, make_attrs(attrs));
  if (!product || random_.chance(0.3)) return;
  const Val bias = weights({DType::kF32, Shape{product->shape().back()}});  // a dense layer
  const auto wide =
      try_node(Op::kBroadcast, {bias},
               make_attrs(BroadcastAttrs{product->shape().to_vector(), {product->rank() - 1}}));
  if (!wide) return;
  const auto sum = try_node(Op::kAdd, {*product, *wide});
  if (sum && random_.chance(0.6)) try_node(random_.chance(0.7) ? Op::kRelu : Op::kTanh, {*sum});
}

void RandomGraphBuilder::make_conv() {
  const Val x = tame(pick_float(3, random_.chance(0.1) ? 5 : 4));
  const int spatial = x.rank() - 2;
  ConvAttrs attrs;
  const int64_t channels = x.shape().back();
  attrs.groups = random_.chance(0.2) ? channels : 1;  // depthwise
  if (channels % 2 == 0 && random_.chance(0.2)) attrs.groups = 2;
  Shape filter;
  for (int axis = 0; axis < spatial; ++axis) {
    filter.push_back(random_.between(1, random_.chance(0.2) ? 5 : 3));
    attrs.strides.push_back(random_.chance(0.7) ? 1 : random_.between(2, 3));
    attrs.dilation.push_back(random_.chance(0.8) ? 1 : random_.between(2, 3));
    attrs.pad_low.push_back(random_.below(3));
    attrs.pad_high.push_back(random_.below(3));
  }
  filter.push_back(channels / attrs.groups);
  const int64_t wide = options_.max_extent > 17 && attrs.groups == 1 ? options_.max_extent / 2 : 3;
  filter.push_back(attrs.groups * random_.between(1, wide));
  if (filter.num_elements() > options_.max_elements) return;
  try_product(Op::kConv, x, weights({DType::kF32, filter}), make_attrs(std::move(attrs)));
}

void RandomGraphBuilder::make_pool() {
  const Val x = pick_float(3, random_.chance(0.1) ? 5 : 4);
  PoolAttrs attrs;
  for (int axis = 0; axis < x.rank() - 2; ++axis) {
    attrs.window.push_back(random_.between(1, random_.chance(0.2) ? 5 : 3));
    attrs.strides.push_back(random_.between(1, 3));
    attrs.pad_low.push_back(attrs.window.back() > 1 ? random_.below(2) : 0);
    attrs.pad_high.push_back(attrs.window.back() > 1 ? random_.below(2) : 0);
  }
  try_node(random_.chance(0.5) ? Op::kMaxPool : Op::kAvgPool, {x}, make_attrs(std::move(attrs)));
}

void RandomGraphBuilder::make_gather() {
  switch (random_.below(4)) {
    case 0: {
      const Val table = random_.chance(0.5)
                            ? pick_float(1, 3)
                            : weights({DType::kF32, Shape{random_.between(1, 9), 4}});
      try_node(Op::kGather, {table, pick_indices(random_shape(0, 2))});
      return;
    }
    case 1: {
      const Val x = pick_float(1, 3);
      const auto rank = static_cast<size_t>(random_.between(0, x.rank()));
      const Shape leading(x.shape().dims().first(rank));
      try_node(Op::kScatterAdd, {pick_indices(leading), x},
               make_attrs(ScatterAttrs{random_.between(1, 6)}));
      return;
    }
    case 2:
      try_node(Op::kOneHot, {pick_indices(random_shape(1, 2))},
               make_attrs(OneHotAttrs{random_.between(2, 5)}));
      return;
    case 3: {
      const Val x = pick_float(1);
      try_node(Op::kArgmax, {x}, make_attrs(AxisAttrs{random_.below(x.rank())}));
      return;
    }
  }
}

void RandomGraphBuilder::make_norm() {
  const Val x = tame(pick_float(1, 4));
  switch (random_.below(7)) {
    case 0:
      try_node(Op::kSoftmax, {x}, make_attrs(AxisAttrs{random_.below(x.rank())}));
      return;
    case 1:
      try_node(Op::kLogSoftmax, {x}, make_attrs(AxisAttrs{random_.below(x.rank())}));
      return;
    case 2: {
      const int64_t axes = random_.between(1, std::min(x.rank(), 2));
      const TensorType row = x.type().with(Shape(x.shape().dims().last(static_cast<size_t>(axes))));
      try_node(Op::kLayerNorm, {x, weights(row), weights(row)},
               make_attrs(LayerNormAttrs{axes, 1e-3}));
      return;
    }
    case 3: {
      const auto targets =
          try_node(Op::kSoftmax, {pick_like(x)}, make_attrs(AxisAttrs{x.rank() - 1}));
      if (targets) try_node(Op::kSoftmaxCrossEntropy, {x, *targets});
      return;
    }
    case 4: {
      const Shape rows(x.shape().dims().first(static_cast<size_t>(x.rank() - 1)));
      try_node(Op::kSparseSoftmaxCrossEntropy, {x, pick_indices(rows)});
      return;
    }
    case 5: {
      const auto targets = try_node(Op::kSigmoid, {pick_like(x)});
      if (targets) try_node(Op::kSigmoidCrossEntropy, {x, *targets});
      return;
    }
    case 6: {
      const int64_t axis = random_.below(x.rank());
      const TensorType channel = x.type().with(Shape{x.shape()[static_cast<int>(axis)]});
      try_node(Op::kBatchNorm, {x, weights(channel), weights(channel)},
               make_attrs(BatchNormAttrs{axis, 1e-3}));
      return;
    }
  }
}

void RandomGraphBuilder::make_source() {
  const Shape shape = random_shape(0, 3);
  switch (random_.below(3)) {
    case 0:
      new_constant({DType::kF32, shape});
      return;
    case 1: {
      if (shape.rank() == 0) return;
      const auto counts = try_node(
          Op::kIota, {},
          make_attrs(IotaAttrs{DType::kI32, shape.to_vector(), random_.below(shape.rank())}));
      if (counts) try_node(Op::kCast, {*counts}, make_attrs(CastAttrs{DType::kF32}));
      return;
    }
    case 2: {
      const TensorType scalar{DType::kI64, {}};
      const std::vector<Val> key = {new_input(InputKind::kInput, scalar),
                                    new_input(InputKind::kInput, scalar)};
      const int64_t stream = random_.below(1000);
      if (random_.chance(0.4)) {
        try_node(Op::kRandomUniform, key, make_attrs(RandomAttrs{shape.to_vector(), stream}));
      } else if (random_.chance(0.5)) {
        try_node(Op::kRandomNormal, key, make_attrs(RandomAttrs{shape.to_vector(), stream}));
      } else {
        try_node(Op::kBernoulli, key, make_attrs(BernoulliAttrs{shape.to_vector(), stream, 0.75}));
      }
      return;
    }
  }
}

/// Queries [heads, steps, width] or with a batch; keys and values with a head for all, one for each
/// or between, of as many steps or others; every kind of mask, or none. Some in tiles.
void RandomGraphBuilder::make_attention() {
  Val query = tame(pick_float(2, 4));
  if (query.rank() == 2) {  // one head
    const Shape shape = {1, query.shape()[0], query.shape()[1]};
    query = *try_node(Op::kReshape, {query}, make_attrs(ReshapeAttrs{shape.to_vector()}));
  }
  const Shape shape = query.shape();
  const int heads = shape.rank() - 3;
  Shape seen = shape;
  if (random_.chance(0.5)) seen[heads + 1] = random_.between(1, options_.max_extent);
  if (random_.chance(0.4)) seen[heads] = shape[heads] % 2 == 0 && random_.chance(0.5) ? 2 : 1;
  Shape scores = shape;
  scores[heads + 2] = seen[heads + 1];
  if (std::max(seen.num_elements(), scores.num_elements()) > options_.max_elements) return;
  const Val key = seen == shape && random_.chance(0.5) ? query : weights({DType::kF32, seen});
  std::vector<Val> operands = {query, key};
  const bool weighs = random_.chance(0.3);
  if (!weighs) {
    seen[heads + 2] = random_.chance(0.5) ? shape[heads + 2] : random_.between(1, 5);
    const bool is_key = seen == key.shape() && random_.chance(0.3);
    operands.push_back(is_key ? key : weights({DType::kF32, seen}));
  }
  if (random_.chance(0.5)) {
    Shape mask = scores;
    for (int axis = 0; axis < mask.rank(); ++axis) {
      if (random_.chance(0.4)) mask[axis] = 1;
    }
    operands.push_back(random_.chance(0.6) ? pick_bool(mask) : weights({DType::kF32, mask}));
  }
  const bool tiles = scores.num_elements() % 2 == 0;
  const Op whole = tiles ? Op::kAttentionTiles : Op::kAttention;
  AttentionAttrs attrs{.causal = random_.chance(0.5), .scale = random_.chance(0.5) ? 0.5 : 1.0};
  attrs.slopes = random_.chance(0.3);
  if (attrs.slopes) operands.push_back(weights({DType::kF32, Shape{shape[heads]}}));
  attrs.factors = !weighs && random_.chance(0.4);
  if (attrs.factors) {
    const TensorType scalar{DType::kI64, {}};
    std::optional<Val> factors;
    if (random_.chance(0.5)) {
      const std::vector<Val> words = {new_input(InputKind::kInput, scalar),
                                      new_input(InputKind::kInput, scalar)};
      factors = try_node(Op::kBernoulli, words,
                         make_attrs(BernoulliAttrs{scores.to_vector(), random_.below(1000), 0.75}));
    }
    operands.push_back(factors ? *factors : weights({DType::kF32, scores}));
  }
  try_node(weighs ? Op::kAttentionWeights : whole, std::move(operands), make_attrs(attrs));
}

}  // namespace gradc::testing
