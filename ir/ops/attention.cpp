// Scaled dot products of queries and keys as weights of values: attention, and attention_weights
// for those who want to see or to change the weights. Query [.., heads, steps, width], key and
// value [.., kv_heads, kv_steps, width]: query head h uses head h / (heads / kv_heads). An optional
// mask has the rank of the scores [.., heads, steps, kv_steps], with extents of 1 that are
// repeated: bool (false: the query does not see the key) or floats that are added to the scores. A
// query that sees no key gets zeros, as PyTorch's does, and passes no gradient on. Long sequences
// go by in tiles (attention_tiles.cpp).
#include "ir/ops/attention.h"

#include "ir/ops/stack.h"

#include <cmath>
#include <vector>

namespace gradc::ops {

// ---- inference ----------------------------------------------------------------------------------

namespace {

/// Whether key (or value) has as many leading axes, and as long ones, as the query.
bool same_batches(const TensorType& query, const TensorType& other) {
  if (other.rank() != query.rank()) return false;
  for (int axis = 0; axis < query.rank() - 3; ++axis) {
    if (query.shape[axis] != other.shape[axis]) return false;
  }
  return true;
}

}  // namespace

Shape scores_shape(const Shape& query, const Shape& key) {
  Shape shape = query;
  shape[shape.rank() - 1] = steps_of(key);
  return shape;
}

Status check_query_key(const InferArgs& args) {
  const TensorType& query = args.operands[0];
  const TensorType& key = args.operands[1];
  if (!is_float(query.dtype) || query.rank() < 3)
    return shape_error("{} takes a float query [.., heads, steps, width], got {}", args.name,
                       to_string(query));
  const bool fits = key.dtype == query.dtype && same_batches(query, key) &&
                    heads_of(query.shape) % heads_of(key.shape) == 0 &&
                    query.shape.back() == key.shape.back();
  if (fits) return Ok{};
  return shape_error(
      "{} of query {} and key {}: the type, the leading axes and the width must be equal, and the "
      "query's heads a multiple of the key's",
      args.name, to_string(query), to_string(key));
}

Status check_mask(const InferArgs& args, size_t operands) {
  const auto& attrs = args.attr<AttentionAttrs>();
  if (!std::isfinite(attrs.scale)) return attr_error("{} has the scale {}", args.name, attrs.scale);
  if (attrs.multiply && !is_float(*attrs.multiply))
    return attr_error("{} multiplies floats, not {}", args.name, dtype_name(*attrs.multiply));
  if (args.operands.size() > operands + 1)
    return shape_error("{} has {} operands, expected at most {}", args.name, args.operands.size(),
                       operands + 1);
  if (args.operands.size() == operands) return Ok{};
  const TensorType& mask = args.operands.back();
  const TensorType& query = args.operands[0];
  const Shape scores = scores_shape(query.shape, args.operands[1].shape);
  bool fits =
      (mask.dtype == DType::kBool || mask.dtype == query.dtype) && mask.rank() == scores.rank();
  for (int axis = 0; fits && axis < scores.rank(); ++axis)
    fits = mask.shape[axis] == scores[axis] || mask.shape[axis] == 1;
  if (fits) return Ok{};
  return shape_error("{} with scores {} takes a mask of bool or {}, its extents those or 1, got {}",
                     args.name, to_string(scores), dtype_name(query.dtype), to_string(mask));
}

OperandAxes attention_axes(const AxesArgs& a, size_t values) {
  OperandAxes map;
  const bool grouped = heads_of(a.operands[0].shape) != heads_of(a.operands[1].shape);
  for (size_t i = 0; i < a.operands.size(); ++i) {
    const int rank = a.rank(i);
    map.push_back(same_axes(rank, std::array{int64_t{rank - 1}}));
    const bool keys = i == 1 || i == values;
    if (keys) map[i][static_cast<size_t>(rank - 2)] = kMeets;
    if (keys && grouped) map[i][static_cast<size_t>(rank - 3)] = kMeets;
    if (i == values) map[i].back() = rank - 1;
  }
  return map;
}

Result<TensorType> infer_attended(const InferArgs& args, size_t operands) {
  GRADC_TRY_STATUS(check_query_key(args));
  const TensorType& query = args.operands[0];
  const TensorType& key = args.operands[1];
  const TensorType& value = args.operands[2];
  if (value.dtype != key.dtype || !same_batches(key, value) ||
      heads_of(value.shape) != heads_of(key.shape) || steps_of(value.shape) != steps_of(key.shape))
    return shape_error("{} of key {} and value {}: only the width may differ", args.name,
                       to_string(key), to_string(value));
  GRADC_TRY_STATUS(check_mask(args, operands));
  GRADC_TRY_STATUS(
      checked_type(args.name, query.dtype, scores_shape(query.shape, key.shape).dims()));
  Shape shape = query.shape;
  shape[shape.rank() - 1] = value.shape.back();
  return checked_type(args.name, query.dtype, shape.dims());
}

namespace {

Result<Types> infer_weights(const InferArgs& args) {
  GRADC_TRY_STATUS(check_query_key(args));
  GRADC_TRY_STATUS(check_mask(args, 2));
  const TensorType& query = args.operands[0];
  return one_result(args.name, query.dtype,
                    scores_shape(query.shape, args.operands[1].shape).dims());
}

Result<Types> infer_attention(const InferArgs& args) {
  GRADC_TRY(const TensorType result, infer_attended(args, 3));
  return Types{result};
}

// ---- reference ----------------------------------------------------------------------------------

/// The element of the mask at a position of the scores.
double mask_at(const Tensor& mask, const Shape& scores, int64_t position) {
  int64_t at = 0;
  int64_t stride = 1;
  for (int axis = scores.rank() - 1; axis >= 0; --axis) {
    const int64_t extent = mask.type.shape[axis];
    if (extent != 1) at += position % scores[axis] * stride;
    position /= scores[axis];
    stride *= extent;
  }
  return mask[at];
}

}  // namespace

void for_each_query(const EvalArgs& e, const Tensor* mask,
                    const std::function<void(const QueryRow&)>& visit) {
  const auto& attrs = e.attr<AttentionAttrs>();
  const Tensor& query = e.in(0);
  const Tensor& key = e.in(1);
  const Shape scores = scores_shape(query.type.shape, key.type.shape);
  const int64_t width = query.type.shape.back();
  const int64_t steps = steps_of(scores);
  const int64_t seen = scores.back();
  const int64_t group = heads_of(scores) / heads_of(key.type.shape);
  QueryRow q;
  q.scores.resize(static_cast<size_t>(seen));
  for (q.row = 0; q.row < query.size() / width; ++q.row) {
    q.kv = q.row / steps / group;
    for (int64_t j = 0; j < seen; ++j) {
      double sum = 0.0;
      for (int64_t p = 0; p < width; ++p)
        sum += query[q.row * width + p] * key[(q.kv * seen + j) * width + p];
      double& score = q.scores[static_cast<size_t>(j)];
      score = attrs.causal && j > q.row % steps ? kUnseenScore : sum * attrs.scale;
      if (mask == nullptr) continue;
      const double m = mask_at(*mask, scores, q.row * seen + j);
      if (mask->type.dtype != DType::kBool)
        score += m;
      else if (m == 0.0)
        score = kUnseenScore;
    }
    visit(q);
  }
}

namespace {

std::vector<double> weights_of(const std::vector<double>& scores) {
  std::vector<double> weights;
  for (const double score : scores) {
    double sum = 0.0;
    for (const double other : scores)
      sum += std::exp(other - score);
    weights.push_back(score < kLowestScore ? 0.0 : 1.0 / sum);
  }
  return weights;
}

void eval_weights(const EvalArgs& e) {
  const Tensor* mask = e.inputs.size() > 2 ? e.inputs[2] : nullptr;
  for_each_query(e, mask, [&](const QueryRow& q) {
    const std::vector<double> weights = weights_of(q.scores);
    std::copy(weights.begin(), weights.end(),
              e.out().data.begin() + q.row * static_cast<int64_t>(weights.size()));
  });
}

void eval_attention(const EvalArgs& e) {
  const Tensor* mask = e.inputs.size() > 3 ? e.inputs[3] : nullptr;
  const Tensor& value = e.in(2);
  const int64_t width = value.type.shape.back();
  for_each_query(e, mask, [&](const QueryRow& q) {
    const std::vector<double> weights = weights_of(q.scores);
    const auto seen = static_cast<int64_t>(weights.size());
    for (int64_t j = 0; j < seen; ++j) {
      for (int64_t p = 0; p < width; ++p)
        e.out()[q.row * width + p] +=
            weights[static_cast<size_t>(j)] * value[(q.kv * seen + j) * width + p];
    }
  });
}

}  // namespace

// ---- in terms of other ops ----------------------------------------------------------------------

Val grouped(Val x, int64_t kv_heads) {
  Shape shape = x.shape();
  const int heads = shape.rank() - 3;
  if (shape[heads] == kv_heads) return x;
  shape[heads + 1] *= shape[heads] / kv_heads;
  shape[heads] = kv_heads;
  return reshape(x, shape);
}

Val product(Val a, Val b, MatmulAttrs flags, const AttentionAttrs& attrs) {
  flags.multiply = attrs.multiply;
  return a.builder().add(Op::kMatmul, {a, b}, make_attrs(flags));
}

Val along_rows(Val rows, Val like) {
  const int64_t last = like.rank() - 1;
  return broadcast(rows, like.shape(), other_axes(like.rank(), std::span(&last, 1)));
}

namespace {

/// The axes that a mask repeats.
Ints repeated_axes(const Shape& mask, const Shape& scores) {
  Ints axes;
  for (int axis = 0; axis < scores.rank(); ++axis) {
    if (mask[axis] != scores[axis]) axes.push_back(axis);
  }
  return axes;
}

Val repeated(Val mask, const Shape& scores) {
  const Ints axes = repeated_axes(mask.shape(), scores);
  if (axes.empty()) return mask;
  return broadcast(reshape(mask, mask.shape().without(axes)), scores,
                   other_axes(scores.rank(), axes));
}

/// Softmax of rows that may have no finite score. The largest score gives e^0: a sum is below 1
/// where there is none.
Val softmax_of_seen(Val scores) {
  const int64_t last = scores.rank() - 1;
  const Val largest = maximum(reduce_max(scores, {last}), kLowestScore);
  const Val powers = exp(scores - along_rows(largest, scores));
  return powers / along_rows(maximum(reduce_sum(powers, {last}), 1.0), scores);
}

}  // namespace

Val masked_scores(Builder& builder, Val query, Val key, Val mask, const AttentionAttrs& attrs) {
  const Shape shape = scores_shape(query.shape(), key.shape());
  const Val products =
      product(grouped(query, heads_of(key.shape())), key, {.transpose_b = true}, attrs);
  Val scores = reshape(products, shape) * attrs.scale;
  if (attrs.causal) {
    const TensorType index = {DType::kI32, shape};
    const int last = shape.rank() - 1;
    const Val seen = less_equal(iota(builder, index, last), iota(builder, index, last - 1));
    scores = select(seen, scores, kUnseenScore);
  }
  if (!mask.valid()) return scores;
  const Val all = repeated(mask, shape);
  return all.dtype() == DType::kBool ? select(all, scores, kUnseenScore) : scores + all;
}

Val mask_gradient(Val scores, const Shape& mask) {
  const Ints axes = repeated_axes(mask, scores.shape());
  return axes.empty() ? scores : reshape(reduce_sum(scores, axes), mask);
}

namespace {

std::vector<Val> expand_weights(const ExpandArgs& e) {
  const auto& attrs = e.attr<AttentionAttrs>();
  const bool masked = e.operands.size() > 2;
  const Val scores = masked_scores(e.builder, e.in(0), e.in(1), masked ? e.in(2) : Val(), attrs);
  if (masked) return {softmax_of_seen(scores)};
  // Every query sees the first key.
  return {e.builder.add(Op::kSoftmax, {scores}, make_attrs(AxisAttrs{scores.rank() - 1}))};
}

// With weights w: d scores = w (dw - sum of dw w).
Grads weights_grad(const GradArgs& g) {
  const auto& attrs = g.attr<AttentionAttrs>();
  const Val w = g.out();
  const int64_t last = w.rank() - 1;
  const Val scores = w * (g.dout() - along_rows(reduce_sum(g.dout() * w, {last}), w));
  const int64_t kv_heads = heads_of(g.in(1).shape());
  const Val products = grouped(scores * attrs.scale, kv_heads);
  Grads grads(g.operands.size());
  if (g.needs(0)) grads[0] = reshape(product(products, g.in(1), {}, attrs), g.in(0).shape());
  if (g.needs(1))
    grads[1] = product(products, grouped(g.in(0), kv_heads), {.transpose_a = true}, attrs);
  if (grads.size() > 2 && g.needs(2)) grads[2] = mask_gradient(scores, g.in(2).shape());
  return grads;
}

/// Where scores of all queries and keys are better not stored: by the extents alone, so that the
/// same model has the same bits everywhere. Shorter ones stay in cache, and the gradient is faster
/// with them stored (docs/kernels.md has figures).
bool goes_by_in_tiles(const TensorType& query, const Shape& key, bool causal) {
  const int64_t many_keys = causal ? 96 : 128;
  constexpr int64_t kManyQueries = 64;
  return (query.dtype == DType::kF32 || query.dtype == DType::kF64) && steps_of(key) >= many_keys &&
         steps_of(query.shape) >= kManyQueries;
}

/// Tiles, or products of weights and values. Gradients are those of this expansion, so that forward
/// and backward share the weights.
std::vector<Val> expand_attention(const ExpandArgs& e) {
  if (goes_by_in_tiles(e.in(0).type(), e.in(1).shape(), e.attr<AttentionAttrs>().causal)) {
    const std::vector<Val> operands(e.operands.begin(), e.operands.end());
    return {e.builder.add_multi(Op::kAttentionTiles, operands, e.attrs)[0]};
  }
  const auto& attrs = e.attr<AttentionAttrs>();
  std::vector<Val> operands = {e.in(0), e.in(1)};
  if (e.operands.size() > 3) operands.push_back(e.in(3));
  const Val weights = e.builder.add(Op::kAttentionWeights, operands, e.attrs);
  const Val value = e.in(2);
  Shape shape = e.in(0).shape();
  shape[shape.rank() - 1] = value.shape().back();
  return {reshape(product(grouped(weights, heads_of(value.shape())), value, {}, attrs), shape)};
}

}  // namespace

// ---- samples ------------------------------------------------------------------------------------

Samples attention_samples_with(int64_t value_width) {
  const auto with = [&](std::vector<TensorType> operands, AttentionAttrs attrs,
                        std::optional<TensorType> mask = {}) {
    Sample s{.operands = std::move(operands), .attrs = make_attrs(attrs)};
    if (value_width > 0) {
      Shape shape = s.operands[1].shape;
      shape[shape.rank() - 1] = value_width;
      s.operands.push_back(s.operands[1].with(shape));
    }
    if (mask) s.operands.push_back(*mask);
    return s;
  };
  const TensorType square = f32({2, 3, 4, 5});
  return {with({square, square}, {}),
          with({square, square}, {.causal = true, .scale = 0.5}),
          with({f32({3, 2, 3}), f32({3, 5, 3})}, {.causal = true}),
          with({f32({1, 5, 3}), f32({1, 2, 3})}, {.causal = true, .scale = -0.7}),
          with({f32({2, 6, 3, 2}), f32({2, 2, 4, 2})}, {.scale = 0.3}),
          with({f32({3, 2, 1}), f32({1, 4, 1})}, {}),
          with({square, square}, {.causal = true}, typed(DType::kBool, {2, 1, 1, 4})),
          with({f32({4, 3, 2}), f32({2, 3, 2})}, {}, typed(DType::kBool, {4, 3, 3})),
          with({f32({2, 3, 4}), f32({2, 5, 4})}, {.scale = 0.5}, f32({1, 3, 5})),
          with({f32({2, 3, 4}), f32({1, 5, 4})}, {}, f32({2, 1, 1})),
          with({typed(DType::kF64, {2, 3, 4}), typed(DType::kF64, {2, 3, 4})}, {})};
}

constinit const OpDef kAttention{
    .op = Op::kAttention,
    .name = "attention",
    .summary = "The mean of the values, weighted by attention_weights of query, key and mask.",
    .formula =
        "result[.., h, i, :] = sum over j of attention_weights[.., h, i, j] * "
        "value[.., h / group, j, :]",
    .operands = "query key value mask...",
    .attrs = &kAttrVtable<AttentionAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_attention,
    .eval = eval_attention,
    .expand = expand_attention,
    .stack = [](const StackArgs& s) { return stack_call(s, Op::kAttention, s.attrs); },
    .lowering = Lowering::kComposite,
    .samples = [] { return attention_samples_with(3); },
    .axes = [](const AxesArgs& a) { return attention_axes(a, 2); },
};

constinit const OpDef kAttentionWeights{
    .op = Op::kAttentionWeights,
    .name = "attention_weights",
    .summary =
        "For each query the softmax of its products with the keys that it sees, or zeros where it "
        "sees none. Query and key are [.., heads, steps, width], the key's heads serve groups of "
        "the query's; an optional mask is bool, or added to the scores, its extents those of the "
        "scores or 1.",
    .formula = "softmax over j of (scale * query[.., h, i, :] . key[.., h / group, j, :] + mask)",
    .operands = "query key mask...",
    .attrs = &kAttrVtable<AttentionAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_weights,
    .eval = eval_weights,
    .grad = weights_grad,
    .expand = expand_weights,
    .stack = [](const StackArgs& s) { return stack_call(s, Op::kAttentionWeights, s.attrs); },
    .lowering = Lowering::kComposite,
    .samples = [] { return attention_samples_with(0); },
    .axes = [](const AxesArgs& a) { return attention_axes(a, SIZE_MAX); },
};

}  // namespace gradc::ops
