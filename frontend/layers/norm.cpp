// Normalisation of each example by itself: layer_normalization and rms_normalization over some
// axes, group_normalization over groups of channels, unit_normalization to length 1.
#include "frontend/layers/norm.h"

#include "ir/op_attrs.h"

#include <algorithm>

namespace gradc::layers {

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

namespace {

bool infer_axes(LayerInferArgs& a, Ints& axes) {
  const Ints& written = a.options().ints("axis");
  axes = resolve_axes(written, a.shape().size());
  if (!axes.empty()) return true;
  return a.mismatch("has axis {}, which its input {} does not have beside the batch",
                    shape_text(written), to_string(a.inputs[0]));
}

}  // namespace

bool infer_axis(LayerInferArgs& args, int64_t& axis) {
  Ints axes;
  if (!infer_axes(args, axes)) return false;
  axis = axes.front();
  if (axes.size() == 1) return true;
  return args.mismatch("has axis {}, but needs one axis", shape_text(args.options().ints("axis")));
}

namespace {

constexpr OptionDef axes_option(std::string_view doc) {
  return {.name = "axis", .type = OptionType::kIntOrInts, .default_json = "-1", .doc = doc};
}
constexpr OptionDef kNormalizedAxes =
    axes_option("over which examples are normalised; the batch is 0");

/// Every axis of a value but those, the batch among them.
Ints all_but(int rank, const Ints& axes) {
  Ints others;
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) others.push_back(axis);
  }
  return others;
}

/// What is left after a reduction over `axes`, along them again.
Val spread_over(Val reduced, Val x, const Ints& axes) {
  return broadcast(reduced, x.shape(), all_but(x.rank(), axes));
}

/// x minus its mean over the axes.
Val centered_over(Val x, const Ints& axes) {
  return x - spread_over(reduce_mean(x, axes), x, axes);
}

/// 1 / sqrt(mean of x^2 + epsilon) over the axes.
Val inverse_size(Val x, const Ints& axes, double epsilon) {
  return spread_over(rsqrt(reduce_mean(x * x, axes) + epsilon), x, axes);
}

// ---- layer_normalization ------------------------------------------------------------------------

constexpr OptionDef kLayerNormOptions[] = {
    kNormalizedAxes,
    epsilon_option("0.001", "added to the variance"),
    {.name = "rms_scaling",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "x gamma / sqrt(variance + epsilon): without subtraction of the mean, without beta"},
    GRADC_SCALE_AND_CENTER,
};

/// The extents of the axes that are normalised over.
bool infer_extents(LayerInferArgs& a, Ints& extents) {
  Ints axes;
  if (!infer_axes(a, axes)) return false;
  for (const int64_t axis : axes)
    extents.push_back(a.shape()[static_cast<size_t>(axis - 1)]);
  a.output = a.inputs[0];
  return true;
}

bool infer_layer_norm(LayerInferArgs& a) {
  Ints extents;
  if (!infer_extents(a, extents)) return false;
  const bool rms = a.options().flag("rms_scaling");
  if (rms || a.options().flag("scale")) a.parameter("gamma", extents);
  if (!rms && a.options().flag("center")) a.parameter("beta", extents);
  return true;
}

/// layer_norm is an op over the last axes: others are moved there and back.
Val build_layer_norm(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Ints axes = resolve_axes(options.ints("axis"), a.example_shape().size());
  const double epsilon = options.number("epsilon");
  if (options.flag("rms_scaling")) {
    const Val size = inverse_size(centered_over(a.in(), axes), axes, epsilon);
    return a.in() * size * broadcast(a.parameter("gamma"), a.in().shape(), axes);
  }
  Ints to_end = all_but(a.in().rank(), axes);
  to_end.insert(to_end.end(), axes.begin(), axes.end());
  Ints back(to_end.size());
  for (size_t i = 0; i < to_end.size(); ++i)
    back[static_cast<size_t>(to_end[i])] = static_cast<int64_t>(i);
  const bool moves = !std::is_sorted(to_end.begin(), to_end.end());
  const Val x = moves ? transpose(a.in(), to_end) : a.in();
  const Ints dims = x.shape().to_vector();
  const TensorType type{
      x.dtype(), Shape(Ints(dims.end() - static_cast<std::ptrdiff_t>(axes.size()), dims.end()))};
  const Val gamma = options.flag("scale") ? a.parameter("gamma") : a.builder.splat(1.0, type);
  const Val beta = options.flag("center") ? a.parameter("beta") : a.builder.splat(0.0, type);
  const Val y =
      a.builder.add(Op::kLayerNorm, {x, gamma, beta},
                    make_attrs(LayerNormAttrs{.num_axes = static_cast<int64_t>(axes.size()),
                                              .epsilon = epsilon}));
  return moves ? transpose(y, back) : y;
}

// ---- rms_normalization --------------------------------------------------------------------------

constexpr OptionDef kRmsNormOptions[] = {
    kNormalizedAxes,
    epsilon_option("1e-6", "added to the mean square"),
    GRADC_INITIALIZER("scale_initializer", "ones"),
};

bool infer_rms_norm(LayerInferArgs& a) {
  Ints extents;
  if (!infer_extents(a, extents)) return false;
  a.parameter("scale", extents);
  return true;
}

Val build_rms_norm(const LayerBuildArgs& a) {
  const Ints axes = resolve_axes(a.options().ints("axis"), a.example_shape().size());
  return a.in() * inverse_size(a.in(), axes, a.options().number("epsilon")) *
         broadcast(a.parameter("scale"), a.in().shape(), axes);
}

// ---- group_normalization ------------------------------------------------------------------------

constexpr OptionDef kGroupNormOptions[] = {
    {.name = "groups",
     .type = OptionType::kInt,
     .default_json = "32",
     .doc = "number of groups of channels; -1: as many as channels",
     .min = -1},
    axes_option("axis of the channels; the batch is 0"),
    epsilon_option("0.001", "added to the variance"),
    GRADC_SCALE_AND_CENTER,
};

bool infer_group_norm(LayerInferArgs& a) {
  int64_t axis = 0;
  if (!infer_axis(a, axis)) return false;
  const int64_t channels = a.shape()[static_cast<size_t>(axis - 1)];
  const int64_t groups = a.options().integer("groups");
  if (groups == 0 || (groups > 0 && channels % groups != 0)) {
    return a.mismatch("has {} groups, which do not divide the {} channels of its input {}", groups,
                      channels, to_string(a.inputs[0]));
  }
  if (a.options().flag("scale")) a.parameter("gamma", {channels});
  if (a.options().flag("center")) a.parameter("beta", {channels});
  a.output = a.inputs[0];
  return true;
}

Val build_group_norm(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const int64_t axis = resolve_axes(options.ints("axis"), a.example_shape().size())[0];
  Ints dims = a.in().shape().to_vector();
  const int64_t channels = dims[static_cast<size_t>(axis)];
  const int64_t groups = options.integer("groups") < 0 ? channels : options.integer("groups");
  dims[static_cast<size_t>(axis)] = channels / groups;
  dims.insert(dims.begin() + axis, groups);
  Ints axes = all_but(static_cast<int>(dims.size()), {0, axis});
  const Val x = centered_over(reshape(a.in(), Shape(dims)), axes);
  Val y = reshape(x * inverse_size(x, axes, options.number("epsilon")), a.in().shape());
  if (options.flag("scale")) y = y * broadcast(a.parameter("gamma"), y.shape(), {axis});
  if (options.flag("center")) y = y + broadcast(a.parameter("beta"), y.shape(), {axis});
  return y;
}

// ---- unit_normalization -------------------------------------------------------------------------

constexpr OptionDef kUnitNormOptions[] = {kNormalizedAxes};

Val build_unit_norm(const LayerBuildArgs& a) {
  const Ints axes = resolve_axes(a.options().ints("axis"), a.example_shape().size());
  constexpr double kSmallest = 1e-24;  // of the square
  const Val x = a.in();
  return x * spread_over(rsqrt(maximum(reduce_sum(x * x, axes), kSmallest)), x, axes);
}

}  // namespace

extern constinit const LayerDef kLayerNormalization{
    .base = {.type = "layer_normalization",
             .summary =
                 "Each example to mean 0 and variance 1 over the given axes, then gamma and beta.",
             .options = kLayerNormOptions,
             .aliases = "layer_norm"},
    .normalizes = true,
    .masks = MaskRule::kCarries,
    .infer = infer_layer_norm,
    .build = build_layer_norm,
};

extern constinit const LayerDef kRmsNormalization{
    .base = {.type = "rms_normalization",
             .summary = "Each example to mean square 1 over the given axes, then scale.",
             .options = kRmsNormOptions,
             .aliases = "rms_norm"},
    .normalizes = true,
    .masks = MaskRule::kCarries,
    .infer = infer_rms_norm,
    .build = build_rms_norm,
};

extern constinit const LayerDef kGroupNormalization{
    .base = {.type = "group_normalization",
             .summary = "Each group of channels of each example to mean 0 and variance 1, then "
                        "gamma and beta of each channel.",
             .options = kGroupNormOptions,
             .aliases = "group_norm"},
    .normalizes = true,
    .infer = infer_group_norm,
    .build = build_group_norm,
};

extern constinit const LayerDef kUnitNormalization{
    .base = {.type = "unit_normalization",
             .summary = "Each example to length 1 over the given axes.",
             .options = kUnitNormOptions,
             .aliases = "unit_norm"},
    .normalizes = true,
    .masks = MaskRule::kCarries,
    .infer =
        [](LayerInferArgs& a) {
          Ints extents;
          return infer_extents(a, extents);
        },
    .build = build_unit_norm,
};

}  // namespace gradc::layers
