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
/// Multi-head attention over axes of its own: inputs [free..., attended..., features] are seen as
/// [steps, features] of a larger batch, where the steps are all attended elements.
struct AttentionAxes {
  Ints perm;  ///< of an example: free axes, attended axes, features
  size_t free = 0;
  bool plain() const { return free == 0 && perm.size() == 2; }

  /// Which axes "attention_axes" names; null: all. False after a report.
  static bool infer(LayerInferArgs& a, AttentionAxes& axes);
  static AttentionAxes of(const Options& options, size_t rank);
};
inline constexpr OptionDef kAttentionAxes = {
    .name = "attention_axes",
    .type = OptionType::kIntOrInts,
    .default_json = "null",
    .doc =
        "axes of the steps, the batch being 0; the others but the features are batches of their "
        "own. null: all but the features"};
/// `infer_steps` infers [steps, features]; here are inputs of any axes.
bool infer_over_axes(LayerInferArgs& a, bool infer_steps(LayerInferArgs&));
/// The same of LayerDef::build.
Val build_over_axes(const LayerBuildArgs& a, Val build_steps(const LayerBuildArgs&));

/// The slopes of ALiBi, one for each head.
Val alibi(Builder& builder, int64_t heads, DType dtype);

/// What the graph makes on the way must be in range.
bool in_range(LayerInferArgs& a, const Ints& shape);

/// The inputs are query, value, key.
inline constexpr size_t value_input(size_t inputs) {
  return inputs > 1 ? 1 : 0;
}
inline constexpr size_t key_input(size_t inputs) {
  return inputs > 2 ? 2 : value_input(inputs);
}

/// What a call of attention looks at: values [batch, heads, steps, width].
struct Attended {
  Val query, key, value;
  Val seen;    ///< bool of the rank of the scores, or empty
  Val slopes;  ///< of the heads, or empty
};
/// The attention op, some of its weights dropped in training. Null or where the weights go, before
/// dropout.
Val attended(const LayerBuildArgs& a, const Attended& of, AttentionAttrs attrs, Val* weights);

}  // namespace gradc::layers
