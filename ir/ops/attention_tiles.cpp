// Attention whose scores are never stored: codegen makes them tile by tile and uses them up. The
// forward op keeps one number per query beside its result, the logarithm of the sum of the
// exponentials of its scores, from which its gradient makes the weights again.
#include "ir/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace gradc::ops {

namespace {

constexpr size_t kForwardOperands = 3;   // query key value
constexpr size_t kBackwardOperands = 6;  // query key value dresult log_sum delta

// ---- inference ----------------------------------------------------------------------------------

Shape rows_of(const Shape& query) {
  return query.without(Ints{query.rank() - 1});
}

Status check_type(const InferArgs& args) {
  const TensorType& query = args.operands[0];
  if (query.dtype == DType::kF32 || query.dtype == DType::kF64) return Ok{};
  return shape_error("{} takes f32 or f64, got {}", args.name, to_string(query));
}

Result<Types> infer_tiles(const InferArgs& args) {
  GRADC_TRY(const TensorType result, infer_attended(args, kForwardOperands));
  GRADC_TRY_STATUS(check_type(args));
  return Types{result, result.with(rows_of(args.operands[0].shape))};
}

Result<Types> infer_tiles_grad(const InferArgs& args) {
  GRADC_TRY(const TensorType result, infer_attended(args, kBackwardOperands));
  GRADC_TRY_STATUS(check_type(args));
  const TensorType rows = result.with(rows_of(args.operands[0].shape));
  if (args.operands[3] != result || args.operands[4] != rows || args.operands[5] != rows)
    return shape_error("{} takes dresult {}, log_sum and delta {}, got {}, {} and {}", args.name,
                       to_string(result), to_string(rows), to_string(args.operands[3]),
                       to_string(args.operands[4]), to_string(args.operands[5]));
  return Types{args.operands[0], args.operands[1], args.operands[2]};
}

// ---- reference ----------------------------------------------------------------------------------

const Tensor* mask_of(const EvalArgs& e, size_t operands) {
  return e.inputs.size() > operands ? e.inputs[operands] : nullptr;
}

void eval_tiles(const EvalArgs& e) {
  const Tensor& value = e.in(2);
  const int64_t width = value.type.shape.back();
  for_each_query(e, mask_of(e, kForwardOperands), [&](const QueryRow& q) {
    double largest = kLowestScore;
    for (const double score : q.scores)
      largest = std::max(largest, score);
    double sum = 0.0;
    for (const double score : q.scores)
      sum += std::exp(score - largest);
    const double log_sum = sum > 0.0 ? largest + std::log(sum) : 0.0;
    e.out(1)[q.row] = log_sum;
    const auto seen = static_cast<int64_t>(q.scores.size());
    for (int64_t j = 0; j < seen; ++j) {
      const double weight = std::exp(q.scores[static_cast<size_t>(j)] - log_sum);
      for (int64_t p = 0; p < width; ++p)
        e.out()[q.row * width + p] += weight * value[(q.kv * seen + j) * width + p];
    }
  });
}

void eval_tiles_grad(const EvalArgs& e) {
  const double scale = e.attr<AttentionAttrs>().scale;
  const Tensor& query = e.in(0);
  const Tensor& key = e.in(1);
  const Tensor& value = e.in(2);
  const Tensor& dresult = e.in(3);
  const int64_t width = query.type.shape.back();
  const int64_t value_width = value.type.shape.back();
  for_each_query(e, mask_of(e, kBackwardOperands), [&](const QueryRow& q) {
    const auto seen = static_cast<int64_t>(q.scores.size());
    for (int64_t j = 0; j < seen; ++j) {
      const int64_t at = q.kv * seen + j;
      const double weight = std::exp(q.scores[static_cast<size_t>(j)] - e.in(4)[q.row]);
      double dweight = -e.in(5)[q.row];
      for (int64_t p = 0; p < value_width; ++p) {
        dweight += dresult[q.row * value_width + p] * value[at * value_width + p];
        e.out(2)[at * value_width + p] += weight * dresult[q.row * value_width + p];
      }
      for (int64_t p = 0; p < width; ++p) {
        e.out(0)[q.row * width + p] += weight * dweight * scale * key[at * width + p];
        e.out(1)[at * width + p] += weight * dweight * scale * query[q.row * width + p];
      }
    }
  });
}

// ---- in terms of other ops ----------------------------------------------------------------------

Val optional(std::span<const Val> operands, size_t index) {
  return index < operands.size() ? operands[index] : Val();
}

/// The weights of all queries and keys.
Val weights_again(Builder& builder, Val query, Val key, Val mask, Val log_sum,
                  const AttentionAttrs& attrs) {
  const Val scores = masked_scores(builder, query, key, mask, attrs);
  return exp(scores - along_rows(log_sum, scores));
}

/// What the weights' gradient makes of the scores: w (dresult . value - delta).
Val scores_gradient(Val weights, Val value, Val dresult, Val delta, const AttentionAttrs& attrs) {
  const Val dweights = reshape(
      product(grouped(dresult, heads_of(value.shape())), value, {.transpose_b = true}, attrs),
      weights.shape());
  return weights * (dweights - along_rows(delta, weights));
}

std::vector<Val> expand_tiles(const ExpandArgs& e) {
  const auto& attrs = e.attr<AttentionAttrs>();
  const Val value = e.in(2);
  const Val scores =
      masked_scores(e.builder, e.in(0), e.in(1), optional(e.operands, kForwardOperands), attrs);
  const int64_t last = scores.rank() - 1;
  const Val largest = maximum(reduce_max(scores, {last}), kLowestScore);
  const Val powers = exp(scores - along_rows(largest, scores));
  const Val seen = reduce_sum(powers, {last});  // the largest gives 1, no key seen 0
  const Val sum = maximum(seen, 1.0);
  Shape shape = e.in(0).shape();
  shape[shape.rank() - 1] = value.shape().back();
  const Val weights = powers / along_rows(sum, scores);
  return {reshape(product(grouped(weights, heads_of(value.shape())), value, {}, attrs), shape),
          select(greater(seen, 0.0), largest + log(sum), 0.0)};
}

std::vector<Val> expand_tiles_grad(const ExpandArgs& e) {
  const auto& attrs = e.attr<AttentionAttrs>();
  const Val query = e.in(0);
  const Val key = e.in(1);
  const Val value = e.in(2);
  const Val dresult = e.in(3);
  const int64_t kv_heads = heads_of(key.shape());
  const Val weights =
      weights_again(e.builder, query, key, optional(e.operands, kBackwardOperands), e.in(4), attrs);
  const Val scores =
      grouped(scores_gradient(weights, value, dresult, e.in(5), attrs) * attrs.scale, kv_heads);
  return {reshape(product(scores, key, {}, attrs), query.shape()),
          product(scores, grouped(query, kv_heads), {.transpose_a = true}, attrs),
          product(grouped(weights, kv_heads), grouped(dresult, kv_heads), {.transpose_a = true},
                  attrs)};
}

/// d scores = w (dresult . value - delta) with delta = dresult . result - d log_sum. A mask that
/// is trained has a gradient for every score: these are made.
Grads tiles_grad(const GradArgs& g) {
  const auto& attrs = g.attr<AttentionAttrs>();
  const Val result = g.out();
  const Val dresult = g.dout().valid() ? g.dout() : g.builder.splat(0.0, result.type());
  Val delta = reduce_sum(dresult * result, {result.rank() - 1});
  if (g.dout(1).valid()) delta = delta - g.dout(1);
  std::vector<Val> operands = {g.in(0), g.in(1), g.in(2), dresult, g.out(1), delta};
  const Val mask = optional(g.operands, kForwardOperands);
  if (mask.valid()) operands.push_back(mask);
  Grads grads = g.builder.add_multi(Op::kAttentionTilesGrad, operands, g.node.attrs);
  grads.resize(g.operands.size());
  if (mask.valid() && g.needs(kForwardOperands)) {
    const Val weights = weights_again(g.builder, g.in(0), g.in(1), mask, g.out(1), attrs);
    grads[kForwardOperands] =
        mask_gradient(scores_gradient(weights, g.in(2), dresult, delta, attrs), mask.shape());
  }
  return grads;
}

// ---- samples ------------------------------------------------------------------------------------

/// Leading axes are apart.
OperandAxes tiles_grad_axes(const AxesArgs& a) {
  OperandAxes map;
  for (const TensorType& operand : a.operands) {
    map.push_back(same_axes(operand.rank()));
    std::fill(map.back().begin() + a.rank(0) - 3, map.back().end(), kMeets);
  }
  return map;
}

Samples tiles_grad_samples() {
  Samples samples = attention_samples_with(3);
  for (Sample& s : samples) {
    const TensorType query = s.operands[0];
    Shape shape = query.shape;
    shape[shape.rank() - 1] = 3;
    const TensorType rows = query.with(rows_of(query.shape));
    s.operands.insert(s.operands.begin() + kForwardOperands, {query.with(shape), rows, rows});
  }
  return samples;
}

}  // namespace

constinit const OpDef kAttentionTiles{
    .op = Op::kAttentionTiles,
    .name = "attention_tiles",
    .summary =
        "attention without stored scores, and for each query the logarithm of the sum of the "
        "exponentials of its scores; 0 where it sees no key.",
    .formula =
        "log_sum[.., h, i] = log(sum over j of exp(score[.., h, i, j])), result[.., h, i, :] = sum "
        "over j of exp(score[.., h, i, j] - log_sum[.., h, i]) * value[.., h / group, j, :]",
    .operands = "query key value mask...",
    .results = "result log_sum",
    .attrs = &kAttrVtable<AttentionAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_tiles,
    .eval = eval_tiles,
    .grad = tiles_grad,
    .expand = expand_tiles,
    .lowering = Lowering::kAttention,
    .samples = [] { return attention_samples_with(3); },
    .axes = [](const AxesArgs& a) { return attention_axes(a, 2); },
};

constinit const OpDef kAttentionTilesGrad{
    .op = Op::kAttentionTilesGrad,
    .name = "attention_tiles_grad",
    .summary =
        "The gradients of attention_tiles. delta is, for each query, dresult . result less the "
        "gradient of log_sum.",
    .formula =
        "with w = exp(score - log_sum) and d = scale * w * (dresult . value - delta): "
        "dquery = d key, dkey = d^T query, dvalue = w^T dresult",
    .operands = "query key value dresult log_sum delta mask...",
    .results = "dquery dkey dvalue",
    .attrs = &kAttrVtable<AttentionAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_tiles_grad,
    .eval = eval_tiles_grad,
    .expand = expand_tiles_grad,
    .lowering = Lowering::kAttention,
    .samples = tiles_grad_samples,
    .axes = tiles_grad_axes,
};

}  // namespace gradc::ops
