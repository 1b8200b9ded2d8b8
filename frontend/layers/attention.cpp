// Attention of several heads behind projections: multi_head_attention, group_query_attention.
// Inputs are query, value, key, in Keras's order: the value is the query where there is one input,
// the key is the value where there are two. Steps of value and key that do not count are not seen;
// queries that do not count are computed like the others, and nobody looks at them.
#include "frontend/layers/attend.h"
#include "frontend/layers/keep_mask.h"
#include "frontend/layers/rotation.h"

#include <algorithm>
#include <cmath>

namespace gradc::layers {
namespace {

constexpr OptionDef size(std::string_view name, std::string_view doc) {
  return {.name = name, .type = OptionType::kInt, .doc = doc, .min = 1};
}

constexpr OptionDef kUseBias = {.name = "use_bias",
                                .type = OptionType::kBool,
                                .default_json = "true",
                                .doc = "add a trained vector to each projection"};
constexpr OptionDef kWavelength = {
    .name = "rope_max_wavelength",
    .type = OptionType::kFloat,
    .default_json = "null",
    .doc = "queries and keys are rotated as by rotary_embedding; null: they are not",
    .min = 0,
    .above_min = true};
constexpr OptionDef kScalingFactor = {.name = "rope_scaling_factor",
                                      .type = OptionType::kFloat,
                                      .default_json = "1",
                                      .doc = "positions are divided by it before the rotation",
                                      .min = 0,
                                      .above_min = true};
constexpr OptionDef kUseAlibi = {
    .name = "use_alibi",
    .type = OptionType::kBool,
    .default_json = "false",
    .doc = "scores lose a slope of the head for each step between query and key (ALiBi)"};
#define GRADC_ATTENTION_OPTIONS                                                               \
  kAttentionAxes, kUseAlibi, kAttentionDropout, kUseBias, kUseCausalMask, kReturnScores,      \
      kWavelength, kScalingFactor, GRADC_INITIALIZER("kernel_initializer", "glorot_uniform"), \
      GRADC_INITIALIZER("bias_initializer", "zeros"), GRADC_REGULATED("kernel"),              \
      GRADC_REGULATED("bias"), GRADC_ACTIVITY_REGULARIZER

constexpr OptionDef kMultiHeadOptions[] = {
    size("num_heads", "number of heads"),
    size("key_dim", "size of a head of query and key"),
    {.name = "value_dim",
     .type = OptionType::kInt,
     .default_json = "null",
     .doc = "size of a head of the value; null: key_dim",
     .min = 1},
    {.name = "output_shape",
     .type = OptionType::kIntOrInts,
     .default_json = "null",
     .doc = "of a step of the result; null: the query's features",
     .min = 1},
    GRADC_ATTENTION_OPTIONS,
};

constexpr OptionDef kGroupQueryOptions[] = {
    size("head_dim", "size of a head"),
    size("num_query_heads", "number of heads of the query"),
    size("num_key_value_heads", "number of heads of key and value; a divisor of num_query_heads"),
    GRADC_ATTENTION_OPTIONS,
};

struct Heads {
  int64_t query = 1, key_value = 1;
  int64_t key_width = 1, value_width = 1;
  Ints output;  ///< of a step
};

Heads multi_heads(const Options& options, int64_t features) {
  Heads heads;
  heads.query = heads.key_value = options.integer("num_heads");
  heads.key_width = options.integer("key_dim");
  heads.value_width = options.has("value_dim") ? options.integer("value_dim") : heads.key_width;
  heads.output = options.has("output_shape") ? options.ints("output_shape") : Ints{features};
  return heads;
}

Heads grouped_heads(const Options& options, int64_t features) {
  const int64_t width = options.integer("head_dim");
  return {options.integer("num_query_heads"),
          options.integer("num_key_value_heads"),
          width,
          width,
          {features}};
}

// ---- shapes -------------------------------------------------------------------------------------

bool rotates(const Options& options) {
  return options.has("rope_max_wavelength");
}

void projection(LayerInferArgs& a, const std::string& name, const Ints& kernel, size_t bias_axes) {
  a.parameter(name + "/kernel", kernel, true, "kernel");
  if (!a.options().flag("use_bias")) return;
  a.parameter(name + "/bias", {kernel.end() - static_cast<std::ptrdiff_t>(bias_axes), kernel.end()},
              true, "bias");
}

/// "attention_mask": [queries, keys] or [heads, queries, keys], with extents of 1 that are
/// repeated.
bool fits_mask(LayerInferArgs& a, const Ints& scores) {
  const TensorSpec* mask = a.named_input(0);
  if (mask == nullptr) return true;
  const size_t rank = mask->shape.size();
  bool fits = rank == 2 || rank == 3;
  for (size_t i = 0; fits && i < rank; ++i)
    fits = mask->shape[i] == 1 || mask->shape[i] == scores[3 - rank + i];
  if (fits) return true;
  return a.mismatch("takes an attention_mask of shape {} or {} beside the batch, got {}",
                    shape_text({scores[1], scores[2]}), shape_text(scores), to_string(*mask));
}

bool infer_heads(LayerInferArgs& a, const Heads& heads) {
  const TensorSpec& query = a.inputs[0];
  const TensorSpec& value = a.inputs[value_input(a.inputs.size())];
  const TensorSpec& key = a.inputs[key_input(a.inputs.size())];
  const int64_t steps = query.shape[0];
  const int64_t seen = value.shape[0];
  if (rotates(a.options()) && heads.key_width % 2 != 0) {
    return a.mismatch("rotates pairs of features, but a head has {} of them", heads.key_width);
  }
  Ints result = heads.output;
  result.insert(result.begin(), {heads.query, heads.value_width});
  if (!fits_mask(a, {heads.query, steps, seen}) ||
      !in_range(a, {a.batch_size, heads.query, steps, seen}) || !in_range(a, result) ||
      !in_range(a, {a.batch_size, heads.query, steps, heads.key_width}) ||
      !in_range(a, {a.batch_size, heads.query, steps, heads.value_width}) ||
      !in_range(a, {a.batch_size, heads.key_value, seen, heads.key_width}) ||
      !in_range(a, {a.batch_size, heads.key_value, seen, heads.value_width}))
    return false;
  projection(a, "query", {query.shape[1], heads.query, heads.key_width}, 2);
  projection(a, "key", {key.shape[1], heads.key_value, heads.key_width}, 2);
  projection(a, "value", {value.shape[1], heads.key_value, heads.value_width}, 2);
  projection(a, "attention_output", result, heads.output.size());
  a.output.shape = heads.output;
  a.output.shape.insert(a.output.shape.begin(), steps);
  a.output_masked = a.input_masked(0);
  if (a.options().flag("return_attention_scores")) a.result(kScores, {heads.query, steps, seen});
  return true;
}

bool infer_multi_head(LayerInferArgs& a) {
  return are_sequences(a) && infer_heads(a, multi_heads(a.options(), a.shape()[1]));
}

bool infer_group_query(LayerInferArgs& a) {
  if (!are_sequences(a)) return false;
  const Heads heads = grouped_heads(a.options(), a.shape()[1]);
  if (heads.query % heads.key_value == 0) return infer_heads(a, heads);
  a.sink.error(DiagKind::kShapeMismatch, a.option_place("num_key_value_heads"),
               "{} has {} heads of the query for {} of key and value: a multiple is needed",
               a.who(), heads.query, heads.key_value);
  return false;
}

// ---- graph --------------------------------------------------------------------------------------

/// x kernel + bias, both with the axes of the result flattened: [rows, in] to [rows, out].
Val projected(const LayerBuildArgs& a, const std::string& name, Val rows, int64_t width) {
  const Val kernel = reshape(a.parameter(name + "/kernel"), Shape{rows.shape()[1], width});
  const Val y = matmul(rows, kernel);
  if (!a.options().flag("use_bias")) return y;
  return y + broadcast(reshape(a.parameter(name + "/bias"), Shape{width}), y.shape(), {1});
}

/// [batch, steps, features] to [batch, heads, steps, width].
Val in_heads(const LayerBuildArgs& a, const std::string& name, Val x, int64_t heads,
             int64_t width) {
  const int64_t steps = x.shape()[1];
  const Val rows = reshape(x, Shape{a.batch() * steps, x.shape()[2]});
  const Val y = projected(a, name, rows, heads * width);
  return transpose(reshape(y, Shape{a.batch(), steps, heads, width}), {0, 2, 1, 3});
}

/// Both, where both are there and differ.
Val both_of(Val a, Val b) {
  if (!a.valid() || !b.valid()) return a.valid() ? a : b;
  if (a.id() == b.id()) return a;
  if (a.shape() == b.shape()) return logical_and(a, b);
  Shape shape = a.shape();
  for (int axis = 0; axis < shape.rank(); ++axis)
    shape[axis] = std::max(shape[axis], b.shape()[axis]);
  return logical_and(broadcast_to(a, shape), broadcast_to(b, shape));
}

/// Which keys each query sees: bool of the rank of the scores, extents of 1 stand for all; empty:
/// all of them.
Val seen_keys(const LayerBuildArgs& a) {
  const Val counted =
      both_of(a.input_mask(value_input(a.inputs.size())), a.input_mask(key_input(a.inputs.size())));
  Val seen;
  if (counted.valid()) seen = reshape(counted, Shape{a.batch(), 1, 1, counted.shape()[1]});
  Val mask = a.named_input(0);
  if (!mask.valid()) return seen;
  if (mask.rank() == 3) mask = reshape(mask, Shape{a.batch(), 1, mask.shape()[1], mask.shape()[2]});
  if (mask.dtype() != DType::kBool) mask = not_equal(mask, a.builder.splat(0.0, mask.type()));
  return both_of(seen, mask);
}

Val build_heads(const LayerBuildArgs& a, const Heads& heads) {
  const Options& options = a.options();
  const Val x = a.in(value_input(a.inputs.size()));
  Val query = in_heads(a, "query", a.in(), heads.query, heads.key_width);
  Val key = in_heads(a, "key", a.in(key_input(a.inputs.size())), heads.key_value, heads.key_width);
  const Val value = in_heads(a, "value", x, heads.key_value, heads.value_width);
  if (rotates(options)) {
    const Rotation rotation{options.number("rope_max_wavelength"),
                            options.number("rope_scaling_factor")};
    query = rotated(query, 2, 3, rotation);
    key = rotated(key, 2, 3, rotation);
  }
  const AttentionAttrs attrs{.causal = options.flag("use_causal_mask"),
                             .scale = 1.0 / std::sqrt(static_cast<double>(heads.key_width))};
  Attended of{query, key, value, seen_keys(a), {}};
  if (options.flag("use_alibi")) of.slopes = alibi(a.builder, heads.query, query.dtype());
  Val scores;
  const bool gives = options.flag("return_attention_scores");
  const Val result = transpose(attended(a, of, attrs, gives ? &scores : nullptr), {0, 2, 1, 3});
  if (gives) a.give(kScores, scores);
  const int64_t steps = result.shape()[1];
  const int64_t width = heads.query * heads.value_width;
  const Val rows = reshape(result, Shape{a.batch() * steps, width});
  const Val y = projected(a, "attention_output", rows, *checked_product(heads.output));
  Ints dims = heads.output;
  dims.insert(dims.begin(), {a.batch(), steps});
  return reshape(y, Shape(dims));
}

Val build_multi_head(const LayerBuildArgs& a) {
  return build_heads(a, multi_heads(a.options(), a.example_shape()[1]));
}

Val build_group_query(const LayerBuildArgs& a) {
  return build_heads(a, grouped_heads(a.options(), a.example_shape()[1]));
}

Val query_mask(const LayerBuildArgs& a) {
  return a.input_mask(0);
}

}  // namespace

bool are_sequences(LayerInferArgs& a) {
  for (const TensorSpec& input : a.inputs) {
    if (input.shape.size() != 2)
      return a.mismatch("needs inputs [steps, features] beside the batch, got {}",
                        to_string(input));
  }
  const TensorSpec& value = a.inputs[value_input(a.inputs.size())];
  const TensorSpec& key = a.inputs[key_input(a.inputs.size())];
  if (key.shape[0] == value.shape[0]) return true;
  return a.mismatch("needs as many steps in key and value, got key {} and value {}", to_string(key),
                    to_string(value));
}

bool in_range(LayerInferArgs& a, const Ints& shape) {
  if (checked_product(shape)) return true;
  return a.mismatch("makes values of shape {}, which are too many", shape_text(shape));
}

Val attended(const LayerBuildArgs& a, const Attended& of, AttentionAttrs attrs, Val* weights) {
  attrs.multiply = a.layer.policy.short_float;
  attrs.slopes = of.slopes.valid();
  const Shape scores = {a.batch(), of.query.shape()[1], of.query.shape()[2], of.key.shape()[2]};
  const Val kept = keep_mask(a, a.options().number("dropout"), scores.to_vector());
  std::vector<Val> operands = {of.query, of.key};
  if (weights == nullptr) operands.push_back(of.value);
  if (of.seen.valid()) operands.push_back(of.seen);
  if (of.slopes.valid()) operands.push_back(of.slopes);
  if (weights == nullptr) {
    attrs.factors = kept.valid();
    if (kept.valid()) operands.push_back(kept);
    return a.builder.add(Op::kAttention, operands, make_attrs(attrs));
  }
  Val shares = a.builder.add(Op::kAttentionWeights, operands, make_attrs(attrs));
  *weights = shares;
  if (kept.valid()) shares = shares * kept;
  const int64_t kv_heads = of.value.shape()[1];
  const int64_t rows = scores[1] / kv_heads * scores[2];
  const Val result = matmul(reshape(shares, Shape{a.batch(), kv_heads, rows, scores[3]}), of.value);
  return reshape(result, Shape{a.batch(), scores[1], scores[2], of.value.shape()[3]});
}

constexpr NamedInput kAttentionMask[] = {{"attention_mask",
                                          "[queries, keys] or [heads, queries, keys] of any type: "
                                          "a query sees the keys where it is not 0"}};

extern constinit const LayerDef kMultiHeadAttention{
    .base = {.type = "multi_head_attention",
             .summary = "Attention of several heads over [steps, features], with projections "
                        "before and behind. Inputs: query, value, key; the value is the query and "
                        "the key the value unless given.",
             .options = kMultiHeadOptions},
    .max_inputs = 3,
    .masks = MaskRule::kKnows,
    .named_inputs = kAttentionMask,
    .infer = [](LayerInferArgs& a) { return infer_over_axes(a, infer_multi_head); },
    .build = [](const LayerBuildArgs& a) { return build_over_axes(a, build_multi_head); },
    .build_mask = query_mask,
};

extern constinit const LayerDef kGroupQueryAttention{
    .base = {.type = "group_query_attention",
             .summary = "multi_head_attention with fewer heads of key and value, each for a group "
                        "of the query's heads. Inputs: query, value, key.",
             .options = kGroupQueryOptions,
             .aliases = "grouped_query_attention"},
    .max_inputs = 3,
    .masks = MaskRule::kKnows,
    .named_inputs = kAttentionMask,
    .infer = [](LayerInferArgs& a) { return infer_over_axes(a, infer_group_query); },
    .build = [](const LayerBuildArgs& a) { return build_over_axes(a, build_group_query); },
    .build_mask = query_mask,
};

}  // namespace gradc::layers
