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

/// One number per query, of the type in which products are added up.
TensorType rows_type(const TensorType& query) {
  return {accumulator_dtype(query.dtype), rows_of(query.shape)};
}

Result<Types> infer_tiles(const InferArgs& args) {
  GRADC_TRY(const TensorType result, infer_attended(args, kForwardOperands));
  return Types{result, rows_type(args.operands[0])};
}

Result<Types> infer_tiles_grad(const InferArgs& args) {
  GRADC_TRY(const TensorType result, infer_attended(args, kBackwardOperands));
  const TensorType rows = rows_type(args.operands[0]);
  if (args.operands[3] != result || args.operands[4] != rows || args.operands[5] != rows)
    return shape_error("{} takes dresult {}, log_sum and delta {}, got {}, {} and {}", args.name,
                       to_string(result), to_string(rows), to_string(args.operands[3]),
                       to_string(args.operands[4]), to_string(args.operands[5]));
  return Types{args.operands[0], args.operands[1], args.operands[2]};
}

// ---- reference ----------------------------------------------------------------------------------

void eval_tiles(const EvalArgs& e) {
  const Tensor& value = e.in(2);
  const int64_t width = value.type.shape.back();
  for_each_query(e, kForwardOperands, [&](const QueryRow& q) {
    double largest = kLowestScore;
    for (const double score : q.scores)
      largest = std::max(largest, score);
    double sum = 0.0;
    for (const double score : q.scores)
      sum += std::exp(score - largest);
    const double log_sum = sum > 0.0 ? largest + std::log(sum) : 0.0;
    e.out(1)[q.row] = log_sum;
    for (size_t j = 0; j < q.scores.size(); ++j) {
      const double weight = std::exp(q.scores[j] - log_sum) * q.factors[j];
      const int64_t at = q.kv * static_cast<int64_t>(q.scores.size()) + static_cast<int64_t>(j);
      for (int64_t p = 0; p < width; ++p)
        e.out()[q.row * width + p] += weight * value[at * width + p];
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
  for_each_query(e, kBackwardOperands, [&](const QueryRow& q) {
    for (size_t j = 0; j < q.scores.size(); ++j) {
      const int64_t at = q.kv * static_cast<int64_t>(q.scores.size()) + static_cast<int64_t>(j);
      const double weight = std::exp(q.scores[j] - e.in(4)[q.row]);
      double dweight = 0.0;
      for (int64_t p = 0; p < value_width; ++p) {
        const double of = dresult[q.row * value_width + p];
        dweight += of * value[at * value_width + p];
        e.out(2)[at * value_width + p] += weight * q.factors[j] * of;
      }
      const double dscore = weight * (dweight * q.factors[j] - e.in(5)[q.row]) * scale;
      for (int64_t p = 0; p < width; ++p) {
        e.out(0)[q.row * width + p] += dscore * key[at * width + p];
        e.out(1)[at * width + p] += dscore * query[q.row * width + p];
      }
    }
  });
}

// ---- in terms of other ops ----------------------------------------------------------------------

/// The operands of a call in the type in which products are added up; what is multiplied is rounded
/// to that of the query.
struct Wide {
  AttentionAttrs attrs;
  DType dtype;
  std::vector<Val> operands;
  Extras extras;

  Wide(std::span<const Val> given, const AttentionAttrs& own, size_t fixed)
      : attrs(own),
        dtype(accumulator_dtype(given[0].dtype())),
        operands(given.begin(), given.end()),
        extras(widened(), own, fixed) {
    if (given[0].dtype() != dtype && !attrs.multiply) attrs.multiply = given[0].dtype();
  }
  Val in(size_t i) const { return operands[i]; }

 private:
  std::span<const Val> widened() {
    for (Val& x : operands) {
      if (is_float(x.dtype())) x = cast(x, dtype);
    }
    return operands;
  }
};

/// The weights of all queries and keys.
Val weights_again(const Wide& w, Val log_sum) {
  const Val scores = scores_of(w.in(0), w.in(1), w.extras, w.attrs);
  return exp(scores - along_rows(log_sum, scores));
}

/// Times the factors, if there are any.
Val multiplied(Val x, const Extras& extras) {
  return extras.factors.valid() ? x * repeated(extras.factors, x.shape()) : x;
}

/// dresult . value of all queries and keys.
Val weights_gradient(const Wide& w, Val dresult, const Shape& scores) {
  const Val value = w.in(2);
  return reshape(
      product(grouped(dresult, heads_of(value.shape())), value, {.transpose_b = true}, w.attrs),
      scores);
}

/// What the weights' gradient makes of the scores: w (factor (dresult . value) - delta).
Val scores_gradient(const Wide& w, Val weights, Val dresult, Val delta) {
  const Val dweights = weights_gradient(w, dresult, weights.shape());
  return weights * (multiplied(dweights, w.extras) - along_rows(delta, weights));
}

std::vector<Val> expand_tiles(const ExpandArgs& e) {
  const Wide w(e.operands, e.attr<AttentionAttrs>(), kForwardOperands);
  const Val value = w.in(2);
  const Val scores = scores_of(w.in(0), w.in(1), w.extras, w.attrs);
  const int64_t last = scores.rank() - 1;
  const Val largest = maximum(reduce_max(scores, {last}), kLowestScore);
  const Val powers = exp(scores - along_rows(largest, scores));
  const Val seen = reduce_sum(powers, {last});  // the largest gives 1, no key seen 0
  const Val sum = maximum(seen, 1.0);
  Shape shape = e.in(0).shape();
  shape[shape.rank() - 1] = value.shape().back();
  const Val weights = multiplied(powers / along_rows(sum, scores), w.extras);
  const Val result =
      reshape(product(grouped(weights, heads_of(value.shape())), value, {}, w.attrs), shape);
  return {cast(result, e.in(0).dtype()), select(greater(seen, 0.0), largest + log(sum), 0.0)};
}

std::vector<Val> expand_tiles_grad(const ExpandArgs& e) {
  const Wide w(e.operands, e.attr<AttentionAttrs>(), kBackwardOperands);
  const Val query = w.in(0);
  const Val key = w.in(1);
  const Val dresult = w.in(3);
  const int64_t kv_heads = heads_of(key.shape());
  const Val weights = weights_again(w, e.in(4));
  const Val scores =
      grouped(scores_gradient(w, weights, dresult, e.in(5)) * w.attrs.scale, kv_heads);
  const Val dquery = reshape(product(scores, key, {}, w.attrs), query.shape());
  const Val dkey = product(scores, grouped(query, kv_heads), {.transpose_a = true}, w.attrs);
  const Val dvalue = product(grouped(multiplied(weights, w.extras), kv_heads),
                             grouped(dresult, kv_heads), {.transpose_a = true}, w.attrs);
  const DType dtype = e.in(0).dtype();
  return {cast(dquery, dtype), cast(dkey, dtype), cast(dvalue, dtype)};
}

/// d scores = w (factor (dresult . value) - delta) with delta = dresult . result - d log_sum. A
/// mask, slopes or factors that are trained have a gradient for every score: these are made.
Grads tiles_grad(const GradArgs& g) {
  const auto& attrs = g.attr<AttentionAttrs>();
  const Val result = g.out();
  const DType dtype = accumulator_dtype(result.dtype());
  const Val dresult = g.dout().valid() ? g.dout() : g.builder.splat(0.0, result.type());
  Val delta = reduce_sum(cast(dresult, dtype) * cast(result, dtype), {result.rank() - 1});
  if (g.dout(1).valid()) delta = delta - g.dout(1);
  std::vector<Val> operands = {g.in(0), g.in(1), g.in(2), dresult, g.out(1), delta};
  operands.insert(operands.end(), g.operands.begin() + kForwardOperands, g.operands.end());
  Grads grads = g.builder.add_multi(Op::kAttentionTilesGrad, operands, g.node.attrs);
  grads.resize(g.operands.size());
  bool needs_scores = false;
  for (size_t i = kForwardOperands; i < g.operands.size(); ++i)
    needs_scores = needs_scores || g.needs(i);
  if (!needs_scores) return grads;
  const Wide w(g.operands, attrs, kForwardOperands);
  const Val weights = weights_again(w, g.out(1));
  const Val wide_dresult = cast(dresult, dtype);
  const Extras own(g.operands, attrs, kForwardOperands);
  give_score_gradients(g, own, scores_gradient(w, weights, wide_dresult, delta), grads);
  if (own.at.factors && g.needs(*own.at.factors)) {
    const Val dweights = weights_gradient(w, wide_dresult, weights.shape());
    grads[*own.at.factors] = mask_gradient(weights * dweights, own.factors.type());
  }
  return grads;
}

// ---- samples ------------------------------------------------------------------------------------

/// Leading axes are apart.
OperandAxes tiles_grad_axes(const AxesArgs& a) {
  OperandAxes map;
  for (const TensorType& operand : a.operands) {
    map.push_back(same_axes(operand.rank()));
    const int apart = operand.rank() == 1 ? 0 : a.rank(0) - 3;  // slopes: one axis, the heads
    std::fill(map.back().begin() + apart, map.back().end(), kMeets);
  }
  return map;
}

Samples tiles_grad_samples() {
  Samples samples = attention_samples_with(3);
  for (Sample& s : samples) {
    const TensorType query = s.operands[0];
    Shape shape = query.shape;
    shape[shape.rank() - 1] = 3;
    const TensorType rows = rows_type(query);
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
        "over j of exp(score[.., h, i, j] - log_sum[.., h, i]) * factor[.., h, i, j] * "
        "value[.., h / group, j, :]",
    .operands = "query key value more...",
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
        "with w = exp(score - log_sum) and d = scale * w * (factor * (dresult . value) - delta): "
        "dquery = d key, dkey = d^T query, dvalue = (factor * w)^T dresult",
    .operands = "query key value dresult log_sum delta more...",
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
