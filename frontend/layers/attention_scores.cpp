// Attention of one head without projections: attention (Luong's) and additive_attention
// (Bahdanau's). Inputs are query, value, key, in Keras's order; steps of the value that do not
// count are not seen, queries that do not count give zeros. As everywhere here, so do queries that
// see no step at all.
#include "frontend/layers/attend.h"
#include "frontend/layers/keep_mask.h"

namespace gradc::layers {
namespace {

constexpr OptionDef use_scale(std::string_view initial, std::string_view doc) {
  return {.name = "use_scale", .type = OptionType::kBool, .default_json = initial, .doc = doc};
}

constexpr OptionDef kAttentionOptions[] = {
    use_scale("false", "multiply scores by a trained number"),
    {.name = "score_mode",
     .type = OptionType::kEnum,
     .default_json = "\"dot\"",
     .doc = "dot: query . key; concat: a trained number times the sum of tanh(query + key)",
     .choices = "dot concat"},
    kAttentionDropout,
    kUseCausalMask,
    kReturnScores,
    GRADC_INITIALIZER("scale_initializer", "ones"),
};

constexpr OptionDef kAdditiveOptions[] = {
    use_scale("true", "multiply tanh by a trained vector"),
    kAttentionDropout,
    kUseCausalMask,
    kReturnScores,
    GRADC_INITIALIZER("scale_initializer", "glorot_uniform"),
};

bool infer_scores(LayerInferArgs& a, bool sums) {
  if (!are_sequences(a)) return false;
  const Ints& query = a.shape();
  const Ints& value = a.shape(value_input(a.inputs.size()));
  const Ints& key = a.shape(key_input(a.inputs.size()));
  if (query[1] != key[1]) {
    return a.mismatch("compares queries and keys of one number of features, got {} and {}",
                      shape_text(query), shape_text(key));
  }
  if (!in_range(a, {a.batch_size, query[0], key[0], sums ? key[1] : 1})) return false;
  a.output.shape = {query[0], value[1]};
  a.output_masked = a.input_masked(0);
  if (a.options().flag("return_attention_scores")) a.result(kScores, {query[0], key[0]});
  return true;
}

bool infer_attention(LayerInferArgs& a) {
  const bool concat = a.options().text("score_mode") == "concat";
  if (!infer_scores(a, concat)) return false;
  if (a.options().flag("use_scale")) a.parameter("scale", {});
  if (concat) a.parameter("concat_score_weight", {}, true, "scale");
  return true;
}

bool infer_additive(LayerInferArgs& a) {
  if (!infer_scores(a, true)) return false;
  if (a.options().flag("use_scale")) a.parameter("scale", {a.shape()[1]});
  return true;
}

/// Queries that do not count give zeros.
Val of_counted(const LayerBuildArgs& a, Val result) {
  const Val mask = a.input_mask(0);
  if (!mask.valid()) return result;
  return result * broadcast(cast(mask, result.dtype()), result.shape(), {0, 1});
}

/// Every query beside every key: [batch, steps, steps of keys, features].
Val beside(const LayerBuildArgs& a) {
  const Val query = a.in();
  const Val key = a.in(key_input(a.inputs.size()));
  const Shape shape = {a.batch(), query.shape()[1], key.shape()[1], key.shape()[2]};
  return broadcast(query, shape, {0, 1, 3}) + broadcast(key, shape, {0, 2, 3});
}

/// Which keys each query sees; empty: all.
Val seen_keys(const LayerBuildArgs& a, const Shape& scores) {
  Val seen = a.input_mask(value_input(a.inputs.size()));
  if (seen.valid()) seen = broadcast(seen, scores, {0, 2});
  if (!a.options().flag("use_causal_mask")) return seen;
  const TensorType index = {DType::kI32, scores};
  const Val causal = less_equal(iota(a.builder, index, 2), iota(a.builder, index, 1));
  return seen.valid() ? logical_and(seen, causal) : causal;
}

/// The values in these shares [batch, steps, steps of keys], some of which are dropped.
Val mixed_values(const LayerBuildArgs& a, Val shares) {
  const Val kept = keep_mask(a, a.options().number("dropout"), shares.shape().to_vector());
  if (kept.valid()) shares = shares * kept;
  if (a.options().flag("return_attention_scores")) a.give(kScores, shares);
  return of_counted(a, matmul(shares, a.in(value_input(a.inputs.size()))));
}

/// The values weighted by the softmax of scores [batch, steps, steps of keys].
Val weighted_values(const LayerBuildArgs& a, Val scores) {
  const Val seen = seen_keys(a, scores.shape());
  constexpr double kNotSeen = -1e9;
  if (seen.valid()) scores = select(seen, scores, kNotSeen);
  Val weights = a.builder.add(Op::kSoftmax, {scores}, make_attrs(AxisAttrs{2}));
  if (seen.valid()) weights = weights * cast(seen, weights.dtype());
  return mixed_values(a, weights);
}

Val with_head(Val x) {
  return reshape(x, Shape{x.shape()[0], 1, x.shape()[1], x.shape()[2]});
}

Val build_attention(const LayerBuildArgs& a) {
  const bool scaled = a.options().flag("use_scale");
  if (a.options().text("score_mode") == "concat") {
    Val sum = beside(a);
    if (scaled) sum = sum * broadcast(a.parameter("scale"), sum.shape(), {});
    const Val scores = reduce_sum(tanh(sum), {3});
    return weighted_values(
        a, scores * broadcast(a.parameter("concat_score_weight"), scores.shape(), {}));
  }
  Val query = a.in();
  if (scaled) query = query * broadcast(a.parameter("scale"), query.shape(), {});
  const size_t value = value_input(a.inputs.size());
  const Val key = with_head(a.in(key_input(a.inputs.size())));
  const AttentionAttrs attrs{.causal = a.options().flag("use_causal_mask")};
  Val seen = a.input_mask(value);
  if (seen.valid()) seen = reshape(seen, Shape{a.batch(), 1, 1, seen.shape()[1]});
  if (a.options().flag("return_attention_scores")) {
    std::vector<Val> operands = {with_head(query), key};
    if (seen.valid()) operands.push_back(seen);
    AttentionAttrs own = attrs;
    own.multiply = a.layer.policy.short_float;
    const Val shares = a.builder.add(Op::kAttentionWeights, operands, make_attrs(own));
    return mixed_values(a, reshape(shares, Shape{a.batch(), query.shape()[1], key.shape()[2]}));
  }
  const Attended of{with_head(query), key, with_head(a.in(value)), seen, {}};
  const Val result = attended(a, of, attrs, nullptr);
  return of_counted(a, reshape(result, Shape{a.batch(), result.shape()[2], result.shape()[3]}));
}

Val build_additive(const LayerBuildArgs& a) {
  Val terms = tanh(beside(a));
  if (a.options().flag("use_scale"))
    terms = terms * broadcast(a.parameter("scale"), terms.shape(), {3});
  return weighted_values(a, reduce_sum(terms, {3}));
}

Val query_mask(const LayerBuildArgs& a) {
  return a.input_mask(0);
}

}  // namespace

extern constinit const LayerDef kAttention{
    .base = {.type = "attention",
             .summary =
                 "Luong's attention: values [steps, features] weighted by how their keys fit "
                 "each query. Inputs: query, value, key; the value is the query and the key "
                 "the value unless given.",
             .options = kAttentionOptions},
    .max_inputs = 3,
    .masks = MaskRule::kKnows,
    .infer = infer_attention,
    .build = build_attention,
    .build_mask = query_mask,
};

extern constinit const LayerDef kAdditiveAttention{
    .base = {.type = "additive_attention",
             .summary = "Bahdanau's attention: the score of a key is the sum of scale tanh(query + "
                        "key). Inputs: query, value, key.",
             .options = kAdditiveOptions},
    .max_inputs = 3,
    .masks = MaskRule::kKnows,
    .infer = infer_additive,
    .build = build_additive,
    .build_mask = query_mask,
};

}  // namespace gradc::layers
