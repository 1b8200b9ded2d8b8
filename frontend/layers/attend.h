// What the attention layers share.
#pragma once

#include "frontend/layer_def.h"
#include "ir/op_attrs.h"

namespace gradc::layers {

inline constexpr OptionDef kAttentionDropout = {
    .name = "dropout",
    .type = OptionType::kFloat,
    .default_json = "0",
    .doc = "share of the weights that are 0 in training",
    .min = 0,
    .max = 1,
    .below_max = true};
inline constexpr OptionDef kUseCausalMask = {
    .name = "use_causal_mask",
    .type = OptionType::kBool,
    .default_json = "false",
    .doc = "step i of the query sees the steps up to i of the others"};

inline constexpr OptionDef kReturnScores = {
    .name = "return_attention_scores",
    .type = OptionType::kBool,
    .default_json = "false",
    .doc = "how much each query looks at each key is a result too: NAME.scores"};
inline constexpr std::string_view kScores = "scores";

/// Whether all inputs are [steps, features], value and key of as many steps.
bool are_sequences(LayerInferArgs& a);
/// What the graph makes on the way must be in range.
bool in_range(LayerInferArgs& a, const Ints& shape);

/// The inputs are query, value, key.
inline constexpr size_t value_input(size_t inputs) {
  return inputs > 1 ? 1 : 0;
}
inline constexpr size_t key_input(size_t inputs) {
  return inputs > 2 ? 2 : value_input(inputs);
}

/// The attention op on [batch, heads, steps, width], some of its weights dropped in training;
/// `seen` is bool of the rank of the scores, or empty. Null or where the weights go, before
/// dropout.
Val attended(const LayerBuildArgs& a, Val query, Val key, Val value, AttentionAttrs attrs, Val seen,
             Val* weights);

}  // namespace gradc::layers
