// Normalisation: layer_normalization and rms_normalization over the last axes, batch_normalization
// over everything but
// one axis.
#include "frontend/layer_def.h"
#include "ir/op_attrs.h"

#include <algorithm>

namespace gradc::layers {
namespace {

constexpr OptionDef kLayerNormOptions[] = {
    {.name = "axis",
     .type = OptionType::kIntOrInts,
     .default_json = "-1",
     .doc = "last axis or axes; the batch is 0"},
    {.name = "epsilon",
     .type = OptionType::kFloat,
     .default_json = "0.001",
     .doc = "added to the variance",
     .min = 0},
    {.name = "center", .type = OptionType::kBool, .default_json = "true", .doc = "add beta"},
    {.name = "scale",
     .type = OptionType::kBool,
     .default_json = "true",
     .doc = "multiply by gamma"},
    GRADC_INITIALIZER("beta_initializer", "zeros"),
    GRADC_INITIALIZER("gamma_initializer", "ones"),
    GRADC_REGULARIZER("beta_regularizer"),
    GRADC_REGULARIZER("gamma_regularizer"),
};

/// Axes counted from 1 (the batch is 0), increasing; empty when one of them is out of range.
Ints resolve_axes(const Ints& axes, size_t example_rank) {
  const int64_t rank = static_cast<int64_t>(example_rank) + 1;
  Ints resolved;
  for (const int64_t axis : axes) {
    const int64_t a = axis < 0 ? axis + rank : axis;
    if (a < 1 || a >= rank) return {};
    resolved.push_back(a);
  }
  std::sort(resolved.begin(), resolved.end());
  resolved.erase(std::unique(resolved.begin(), resolved.end()), resolved.end());
  return resolved;
}

/// The extents of the axes that option "axis" names, which must be the last ones.
bool infer_last_axes(LayerInferArgs& a, Ints& shape) {
  const Ints& written = a.options().ints("axis");
  const Ints axes = resolve_axes(written, a.shape().size());
  if (axes.empty()) {
    return a.mismatch("has axis {}, which its input {} does not have beside the batch",
                      shape_text(written), to_string(a.inputs[0]));
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[axes.size() - 1 - i] != static_cast<int64_t>(a.shape().size() - i)) {
      a.sink
          .error(DiagKind::kUnsupported, a.option_place("axis"),
                 "{} normalises over axes {}, but only the last axes together are supported",
                 a.who(), shape_text(written))
          .with_help("move the axes to the end with a permute layer");
      return false;
    }
    shape.insert(shape.begin(), a.shape()[a.shape().size() - 1 - i]);
  }
  a.output = a.inputs[0];
  return true;
}

bool infer_layer_norm(LayerInferArgs& a) {
  Ints shape;
  if (!infer_last_axes(a, shape)) return false;
  if (a.options().flag("scale")) a.parameter("gamma", shape);
  if (a.options().flag("center")) a.parameter("beta", shape);
  return true;
}

Val build_layer_norm(const LayerBuildArgs& a) {
  const Ints axes = resolve_axes(a.options().ints("axis"), a.example_shape().size());
  const Ints example = a.example_shape();
  const TensorType type{
      a.in().dtype(),
      Shape(Ints(example.end() - static_cast<std::ptrdiff_t>(axes.size()), example.end()))};
  const Val gamma = a.options().flag("scale") ? a.parameter("gamma") : a.builder.splat(1.0, type);
  const Val beta = a.options().flag("center") ? a.parameter("beta") : a.builder.splat(0.0, type);
  return a.builder.add(Op::kLayerNorm, {a.in(), gamma, beta},
                       make_attrs(LayerNormAttrs{.num_axes = static_cast<int64_t>(axes.size()),
                                                 .epsilon = a.options().number("epsilon")}));
}

constexpr OptionDef kRmsNormOptions[] = {
    {.name = "axis",
     .type = OptionType::kIntOrInts,
     .default_json = "-1",
     .doc = "last axis or axes; the batch is 0"},
    {.name = "epsilon",
     .type = OptionType::kFloat,
     .default_json = "1e-6",
     .doc = "added to the mean square",
     .min = 0},
    GRADC_INITIALIZER("scale_initializer", "ones"),
};

bool infer_rms_norm(LayerInferArgs& a) {
  Ints shape;
  if (!infer_last_axes(a, shape)) return false;
  a.parameter("scale", shape);
  return true;
}

// y = x / sqrt(mean of x^2 + epsilon) scale.
Val build_rms_norm(const LayerBuildArgs& a) {
  const Val x = a.in();
  const Val scale = a.parameter("scale");
  Ints leading, last;
  for (int64_t axis = 0; axis < x.rank(); ++axis)
    (axis < x.rank() - scale.rank() ? leading : last).push_back(axis);
  const Val factor = rsqrt(reduce_mean(x * x, last) + a.options().number("epsilon"));
  return x * broadcast(factor, x.shape(), leading) * broadcast(scale, x.shape(), last);
}

constexpr OptionDef kBatchNormOptions[] = {
    {.name = "axis",
     .type = OptionType::kInt,
     .default_json = "-1",
     .doc = "axis that keeps its own statistics; the batch is 0"},
    {.name = "momentum",
     .type = OptionType::kFloat,
     .default_json = "0.99",
     .doc = "share of the moving average that stays each step",
     .min = 0,
     .max = 1},
    {.name = "epsilon",
     .type = OptionType::kFloat,
     .default_json = "0.001",
     .doc = "added to the variance",
     .min = 0},
    {.name = "center", .type = OptionType::kBool, .default_json = "true", .doc = "add beta"},
    {.name = "scale",
     .type = OptionType::kBool,
     .default_json = "true",
     .doc = "multiply by gamma"},
    GRADC_INITIALIZER("beta_initializer", "zeros"),
    GRADC_INITIALIZER("gamma_initializer", "ones"),
    GRADC_INITIALIZER("moving_mean_initializer", "zeros"),
    GRADC_INITIALIZER("moving_variance_initializer", "ones"),
    GRADC_REGULARIZER("beta_regularizer"),
    GRADC_REGULARIZER("gamma_regularizer"),
};

bool infer_batch_norm(LayerInferArgs& a) {
  const int64_t written = a.options().integer("axis");
  const Ints axes = resolve_axes({written}, a.shape().size());
  if (axes.empty()) {
    return a.mismatch("has axis {}, which its input {} does not have beside the batch", written,
                      to_string(a.inputs[0]));
  }
  const Ints shape = {a.shape()[static_cast<size_t>(axes[0] - 1)]};
  if (a.options().flag("scale")) a.parameter("gamma", shape);
  if (a.options().flag("center")) a.parameter("beta", shape);
  a.parameter("moving_mean", shape, /*trainable=*/false);
  a.parameter("moving_variance", shape, /*trainable=*/false);
  a.output = a.inputs[0];
  return true;
}

/// Mean over all axes but `axis`, rows of the batch counting by the tail weight.
Val weighted_mean(const LayerBuildArgs& a, Val x, int64_t axis) {
  Ints others;
  for (int64_t i = 0; i < x.rank(); ++i) {
    if (i != axis) others.push_back(i);
  }
  const int64_t channels = x.shape()[static_cast<int>(axis)];
  const int64_t per_row = x.type().num_elements() / (a.batch() * channels);
  const Val weighted = x * broadcast(a.tail_weight, x.shape(), {0});
  return reduce_sum(weighted, others) / static_cast<double>(per_row);
}

// y = (x - mean) / sqrt(variance + epsilon) gamma + beta; the variance is the biased one, as in
// Keras. In training mean and variance are the batch's, and the moving ones follow them.
Val build_batch_norm(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Val x = a.in();
  const int64_t axis = resolve_axes({options.integer("axis")}, a.example_shape().size())[0];
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
  if (a.tail_weight.valid()) {
    mean = weighted_mean(a, x, axis);
    const Val centered = x - spread(mean);
    variance = weighted_mean(a, centered * centered, axis);
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

extern constinit const LayerDef kLayerNormalization{
    .base = {.type = "layer_normalization",
             .summary =
                 "Each example to mean 0 and variance 1 over the last axes, then gamma and beta.",
             .options = kLayerNormOptions,
             .aliases = "layer_norm"},
    .normalizes = true,
    .masks = MaskRule::kCarries,
    .infer = infer_layer_norm,
    .build = build_layer_norm,
};

extern constinit const LayerDef kRmsNormalization{
    .base = {.type = "rms_normalization",
             .summary = "Each example to mean square 1 over the last axes, then scale.",
             .options = kRmsNormOptions,
             .aliases = "rms_norm"},
    .normalizes = true,
    .masks = MaskRule::kCarries,
    .infer = infer_rms_norm,
    .build = build_rms_norm,
};

extern constinit const LayerDef kBatchNormalization{
    .base = {.type = "batch_normalization",
             .summary =
                 "Each channel to mean 0 and variance 1 over the batch, then gamma and beta.",
             .options = kBatchNormOptions,
             .aliases = "batch_norm"},
    .normalizes = true,
    .infer = infer_batch_norm,
    .build = build_batch_norm,
};

}  // namespace gradc::layers
