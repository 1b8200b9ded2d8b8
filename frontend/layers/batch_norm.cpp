// batch_normalization: over everything but one axis, by the batch's statistics in training and by
// moving averages of them otherwise.
#include "frontend/layers/norm.h"
#include "ir/op_attrs.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kBatchNormOptions[] = {
    {.name = "axis",
     .type = OptionType::kIntOrInts,
     .default_json = "-1",
     .doc = "axis that keeps its own statistics; the batch is 0"},
    {.name = "momentum",
     .type = OptionType::kFloat,
     .default_json = "0.99",
     .doc = "share of the moving average that stays each step",
     .min = 0,
     .max = 1},
    epsilon_option("0.001", "added to the variance"),
    GRADC_SCALE_AND_CENTER,
    GRADC_INITIALIZER("moving_mean_initializer", "zeros"),
    GRADC_INITIALIZER("moving_variance_initializer", "ones"),
    {.name = "synchronized",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "without effect: a batch is in one place, and its statistics are those of all its "
            "examples"},
};

bool infer_batch_norm(LayerInferArgs& a) {
  int64_t axis = 0;
  if (!infer_axis(a, axis)) return false;
  if (a.masked && axis == 1)
    return a.mismatch("keeps statistics of each step, of which some do not count");
  const Ints shape = {a.shape()[static_cast<size_t>(axis - 1)]};
  if (a.options().flag("scale")) a.parameter("gamma", shape);
  if (a.options().flag("center")) a.parameter("beta", shape);
  a.parameter("moving_mean", shape, /*trainable=*/false);
  a.parameter("moving_variance", shape, /*trainable=*/false);
  a.output = a.inputs[0];
  return true;
}

/// What each element of the batch counts by [batch] or [batch, steps], as shares that sum to 1 over
/// these axes; empty: all the same.
Val shares_of(const LayerBuildArgs& a) {
  if (!a.mask.valid()) return a.tail_weight;
  Val counts = cast(a.mask, a.in().dtype());
  if (a.tail_weight.valid()) counts = counts * broadcast(a.tail_weight, counts.shape(), {0});
  // Of steps none of which counts the mean is 0.
  constexpr double kSmallest = 1e-7;
  const Val sum = maximum(reduce_sum(counts, {0, 1}), kSmallest);
  return counts / broadcast(sum, counts.shape(), {});
}

/// Mean over all axes but `axis`, elements counting by their shares.
Val weighted_mean(Val x, Val shares, int64_t axis) {
  Ints others, leading;
  int64_t per_share = 1;
  for (int64_t i = 0; i < x.rank(); ++i) {
    if (i < shares.rank()) leading.push_back(i);
    if (i == axis) continue;
    others.push_back(i);
    if (i >= shares.rank()) per_share *= x.shape()[static_cast<int>(i)];
  }
  const Val weighted = x * broadcast(shares, x.shape(), leading);
  return reduce_sum(weighted, others) / static_cast<double>(per_share);
}

// y = (x - mean) / sqrt(variance + epsilon) gamma + beta; the variance is the biased one, as in
// Keras. In training mean and variance are the batch's, and the moving ones follow them.
Val build_batch_norm(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Val x = a.in();
  const int64_t axis = resolve_axes(options.ints("axis"), a.example_shape().size())[0];
  const double epsilon = options.number("epsilon");
  const auto spread = [&](Val channel) { return broadcast(channel, x.shape(), {axis}); };
  const bool scales = options.flag("scale");
  const bool centers = options.flag("center");
  const auto normalised = [&](Val mean, Val variance) {
    Val factor = rsqrt(variance + epsilon);
    if (scales) factor = factor * a.parameter("gamma");
    const Val y = (x - spread(mean)) * spread(factor);
    return centers ? y + spread(a.parameter("beta")) : y;
  };
  const Val moving_mean = a.parameter("moving_mean");
  const Val moving_variance = a.parameter("moving_variance");
  if (!a.training || !a.layer.trainable) return normalised(moving_mean, moving_variance);
  Val y, mean, variance;
  if (const Val shares = shares_of(a); shares.valid()) {
    mean = weighted_mean(x, shares, axis);
    const Val centered = x - spread(mean);
    variance = weighted_mean(centered * centered, shares, axis);
    y = normalised(mean, variance);
  } else {
    const TensorType type{x.dtype(), Shape{x.shape()[static_cast<int>(axis)]}};
    const std::vector<Val> results =
        a.builder.add_multi(Op::kBatchNorm,
                            {x, scales ? a.parameter("gamma") : a.builder.splat(1.0, type),
                             centers ? a.parameter("beta") : a.builder.splat(0.0, type)},
                            make_attrs(BatchNormAttrs{.axis = axis, .epsilon = epsilon}));
    y = results[0];
    mean = results[1];
    variance = results[2];
  }
  const double keep = options.number("momentum");
  a.update_state("moving_mean", moving_mean * keep + mean * (1.0 - keep));
  a.update_state("moving_variance", moving_variance * keep + variance * (1.0 - keep));
  return y;
}

}  // namespace

extern constinit const LayerDef kBatchNormalization{
    .base = {.type = "batch_normalization",
             .summary =
                 "Each channel to mean 0 and variance 1 over the batch, then gamma and beta.",
             .options = kBatchNormOptions,
             .aliases = "batch_norm"},
    .normalizes = true,
    .masks = MaskRule::kCarries,
    .infer = infer_batch_norm,
    .build = build_batch_norm,
};

}  // namespace gradc::layers
