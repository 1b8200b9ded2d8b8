// Scaled dot products of queries and keys as weights of values: attention, and attention_weights
// for those who want to see or to change the weights. Query [.., heads, steps, width], key and
// value [.., kv_heads, kv_steps, width]: query head h uses head h / (heads / kv_heads). An optional
// mask has the rank of the scores [.., heads, steps, kv_steps], with extents of 1 that are
// repeated: bool (false: the query does not see the key) or floats that are added to the scores. A
// query that sees no key gets zeros, as PyTorch's does, and passes no gradient on. Slopes and
// factors: ir/attention_operands.h. Long sequences go by in tiles (attention_tiles.cpp).
#include "ir/ops/attention.h"

#include <cmath>
#include <vector>

namespace gradc::ops {

// ---- inference ----------------------------------------------------------------------------------

namespace {

constexpr size_t kKeyOperands = 2;    // query key
constexpr size_t kValueOperands = 3;  // query key value

Result<Types> infer_weights(const InferArgs& args) {
  if (args.attr<AttentionAttrs>().factors) return attr_error("{} takes no factors", args.name);
  GRADC_TRY_STATUS(check_query_key(args));
  GRADC_TRY_STATUS(check_extras(args, kKeyOperands));
  const TensorType& query = args.operands[0];
  return one_result(args.name, query.dtype,
                    scores_shape(query.shape, args.operands[1].shape).dims());
}

Result<Types> infer_attention(const InferArgs& args) {
  GRADC_TRY(const TensorType result, infer_attended(args, kValueOperands));
  return Types{result};
}

// ---- reference ----------------------------------------------------------------------------------

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
  for_each_query(e, kKeyOperands, [&](const QueryRow& q) {
    const std::vector<double> weights = weights_of(q.scores);
    std::copy(weights.begin(), weights.end(),
              e.out().data.begin() + q.row * static_cast<int64_t>(weights.size()));
  });
}

void eval_attention(const EvalArgs& e) {
  const Tensor& value = e.in(2);
  const int64_t width = value.type.shape.back();
  for_each_query(e, kValueOperands, [&](const QueryRow& q) {
    const std::vector<double> weights = weights_of(q.scores);
    const auto seen = static_cast<int64_t>(weights.size());
    for (int64_t j = 0; j < seen; ++j) {
      const double weight = weights[static_cast<size_t>(j)] * q.factors[static_cast<size_t>(j)];
      for (int64_t p = 0; p < width; ++p)
        e.out()[q.row * width + p] += weight * value[(q.kv * seen + j) * width + p];
    }
  });
}

// ---- in terms of other ops ----------------------------------------------------------------------

/// Softmax of rows that may have no finite score. The largest score gives e^0: a sum is below 1
/// where there is none.
Val softmax_of_seen(Val scores) {
  const int64_t last = scores.rank() - 1;
  const Val largest = maximum(reduce_max(scores, {last}), kLowestScore);
  const Val powers = exp(scores - along_rows(largest, scores));
  return powers / along_rows(maximum(reduce_sum(powers, {last}), 1.0), scores);
}

std::vector<Val> expand_weights(const ExpandArgs& e) {
  const auto& attrs = e.attr<AttentionAttrs>();
  const Extras extras(e.operands, attrs, kKeyOperands);
  const Val scores = scores_of(e.in(0), e.in(1), extras, attrs);
  if (extras.mask.valid()) return {softmax_of_seen(scores)};
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
  give_score_gradients(g, Extras(g.operands, attrs, kKeyOperands), scores, grads);
  return grads;
}

/// Where scores of all queries and keys are better not stored: by the extents alone, so that the
/// same model has the same bits everywhere. Shorter ones stay in cache, and the gradient is faster
/// with them stored (docs/kernels.md has figures).
bool goes_by_in_tiles(const Shape& query, const Shape& key, bool causal) {
  const int64_t many_keys = causal ? 96 : 128;
  constexpr int64_t kManyQueries = 64;
  return steps_of(key) >= many_keys && steps_of(query) >= kManyQueries;
}

/// Products of weights and values.
Val stored_attention(const ExpandArgs& e) {
  AttentionAttrs attrs = e.attr<AttentionAttrs>();
  const Extras extras(e.operands, attrs, kValueOperands);
  attrs.factors = false;
  std::vector<Val> operands = {e.in(0), e.in(1)};
  if (extras.mask.valid()) operands.push_back(extras.mask);
  if (extras.slopes.valid()) operands.push_back(extras.slopes);
  Val weights = e.builder.add(Op::kAttentionWeights, operands, make_attrs(attrs));
  if (extras.factors.valid())
    weights = weights * cast(repeated(extras.factors, weights.shape()), weights.dtype());
  const Val value = e.in(2);
  Shape shape = e.in(0).shape();
  shape[shape.rank() - 1] = value.shape().back();
  return reshape(product(grouped(weights, heads_of(value.shape())), value, {}, attrs), shape);
}

/// Tiles, or products of weights and values. Gradients are those of this expansion, so that forward
/// and backward share the weights.
std::vector<Val> expand_attention(const ExpandArgs& e) {
  if (!goes_by_in_tiles(e.in(0).shape(), e.in(1).shape(), e.attr<AttentionAttrs>().causal))
    return {stored_attention(e)};
  const std::vector<Val> operands(e.operands.begin(), e.operands.end());
  return {e.builder.add_multi(Op::kAttentionTiles, operands, e.attrs)[0]};
}

/// A slope is that of a head in every step.
std::vector<Val> stack_attention(const StackArgs& s, Op op, size_t fixed) {
  const AttentionOperands at(s.attr<AttentionAttrs>(), fixed, s.operands.size());
  if (at.slopes && s.stacked[*at.slopes]) return {};
  std::vector<Val> operands;
  for (size_t i = 0; i < s.operands.size(); ++i)
    operands.push_back(at.slopes == i ? s.in(i) : s.all_steps(i));
  return s.builder.add_multi(op, std::move(operands), s.attrs);
}

}  // namespace

// ---- samples ------------------------------------------------------------------------------------

Samples attention_samples_with(int64_t value_width) {
  const auto with = [&](std::vector<TensorType> operands, AttentionAttrs attrs,
                        const std::vector<TensorType>& more = {}) {
    Sample s{.operands = std::move(operands), .attrs = make_attrs(attrs)};
    if (value_width > 0) {
      Shape shape = s.operands[1].shape;
      shape[shape.rank() - 1] = value_width;
      s.operands.push_back(s.operands[1].with(shape));
    }
    s.operands.insert(s.operands.end(), more.begin(), more.end());
    return s;
  };
  const TensorType square = f32({2, 3, 4, 5});
  Samples samples = {
      with({square, square}, {}),
      with({square, square}, {.causal = true, .scale = 0.5}),
      with({f32({3, 2, 3}), f32({3, 5, 3})}, {.causal = true}),
      with({f32({1, 5, 3}), f32({1, 2, 3})}, {.causal = true, .scale = -0.7}),
      with({f32({2, 6, 3, 2}), f32({2, 2, 4, 2})}, {.scale = 0.3}),
      with({f32({3, 2, 1}), f32({1, 4, 1})}, {}),
      with({square, square}, {.causal = true}, {typed(DType::kBool, {2, 1, 1, 4})}),
      with({f32({4, 3, 2}), f32({2, 3, 2})}, {}, {typed(DType::kBool, {4, 3, 3})}),
      with({f32({2, 3, 4}), f32({2, 5, 4})}, {.scale = 0.5}, {f32({1, 3, 5})}),
      with({f32({2, 3, 4}), f32({1, 5, 4})}, {}, {f32({2, 1, 1})}),
      with({typed(DType::kF64, {2, 3, 4}), typed(DType::kF64, {2, 3, 4})}, {}),
      with({square, square}, {.slopes = true}, {f32({3})}),
      with({f32({2, 6, 3, 2}), f32({2, 2, 4, 2})}, {.causal = true, .scale = 0.3, .slopes = true},
           {typed(DType::kBool, {2, 1, 1, 4}), f32({6})})};
  if (value_width == 0) return samples;
  samples.push_back(with({square, square}, {.factors = true}, {f32({2, 3, 4, 4})}));
  samples.push_back(with({f32({4, 3, 2}), f32({2, 5, 2})},
                         {.causal = true, .slopes = true, .factors = true},
                         {f32({1, 3, 5}), f32({4}), f32({4, 1, 5})}));
  return samples;
}

constinit const OpDef kAttention{
    .op = Op::kAttention,
    .name = "attention",
    .summary =
        "The mean of the values, weighted by attention_weights of query, key, mask and slopes, "
        "times "
        "factors where the attribute names them: floats as the last operand, their extents those "
        "of "
        "the scores or 1.",
    .formula =
        "result[.., h, i, :] = sum over j of attention_weights[.., h, i, j] * "
        "value[.., h / group, j, :]",
    .operands = "query key value more...",
    .attrs = &kAttrVtable<AttentionAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_attention,
    .eval = eval_attention,
    .expand = expand_attention,
    .stack = [](const StackArgs& s) { return stack_attention(s, Op::kAttention, kValueOperands); },
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
        "scores or 1; slopes, where the attribute names them, are behind it, one for each head of "
        "the query.",
    .formula =
        "softmax over j of (scale * query[.., h, i, :] . key[.., h / group, j, :] - slopes[h] * "
        "|i - j| + mask)",
    .operands = "query key more...",
    .attrs = &kAttrVtable<AttentionAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_weights,
    .eval = eval_weights,
    .grad = weights_grad,
    .expand = expand_weights,
    .stack =
        [](const StackArgs& s) { return stack_attention(s, Op::kAttentionWeights, kKeyOperands); },
    .lowering = Lowering::kComposite,
    .samples = [] { return attention_samples_with(0); },
    .axes = [](const AxesArgs& a) { return attention_axes(a, SIZE_MAX); },
};

}  // namespace gradc::ops
