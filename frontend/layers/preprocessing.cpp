// What is done to data by fixed numbers: rescaling, normalization.
#include "frontend/layers/norm.h"

#include <algorithm>
#include <cmath>

namespace gradc::layers {
namespace {

constexpr OptionDef numbers_option(std::string_view name, std::string_view initial,
                                   std::string_view doc) {
  return {.name = name, .type = OptionType::kFloatOrFloats, .default_json = initial, .doc = doc};
}

/// Reports a list of another length than the tensor that it stands for.
bool fits_count(LayerInferArgs& a, const char* option, const Ints& shape) {
  const size_t given = a.options().numbers(option).size();
  const auto count = static_cast<size_t>(checked_product(shape).value_or(0));
  if (given == 1 || given == count) return true;
  return a.mismatch("has {} numbers in {}, but needs 1 or {} for its input {}", given, option,
                    count, to_string(a.inputs[0]));
}

/// The numbers of an option as a tensor of that shape.
Val constant_of(const LayerBuildArgs& a, const std::vector<double>& numbers, const Ints& shape) {
  const TensorType type{a.layer.policy.compute, Shape(shape)};
  return numbers.size() == 1 ? a.builder.splat(numbers[0], type)
                             : a.builder.constant(type, numbers);
}

/// Integers as the layer's own floats.
Val as_float(const LayerBuildArgs& a) {
  return is_float(a.in().dtype()) ? a.in() : cast(a.in(), a.layer.policy.compute);
}
void infer_float(LayerInferArgs& a) {
  a.output = a.inputs[0];
  if (!is_float(a.output.dtype)) a.output.dtype = a.layer.policy.compute;
}

// ---- rescaling ----------------------------------------------------------------------------------

constexpr OptionDef kRescalingOptions[] = {
    numbers_option("scale", {}, "a factor, or one for each element of the last axis"),
    numbers_option("offset", "0", "what is added then"),
};

Ints last_extent(const Ints& shape) {
  return shape.empty() ? Ints() : Ints{shape.back()};
}

bool infer_rescaling(LayerInferArgs& a) {
  infer_float(a);
  const Ints last = last_extent(a.shape());
  return fits_count(a, "scale", last) && fits_count(a, "offset", last);
}

Val build_rescaling(const LayerBuildArgs& a) {
  const Val x = as_float(a);
  const Ints last = last_extent(a.example_shape());
  const auto spread = [&](const char* option) {
    const std::vector<double>& numbers = a.options().numbers(option);
    return broadcast_to(constant_of(a, numbers, numbers.size() == 1 ? Ints() : last), x.shape());
  };
  return x * spread("scale") + spread("offset");
}

// ---- normalization ------------------------------------------------------------------------------

constexpr OptionDef kNormalizationOptions[] = {
    {.name = "axis",
     .type = OptionType::kIntOrInts,
     .default_json = "-1",
     .doc = "axes that have their own mean and variance; the batch is 0; null: none",
     .or_null = true},
    numbers_option("mean", "null", "of the data; null: held with the weights"),
    numbers_option("variance", "null", "of the data; given with mean"),
    {.name = "invert",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "from normalised data back"},
};

/// Axes of mean and variance; empty: there is one of each.
Ints kept_axes(const Options& options, size_t example_rank) {
  return options.has("axis") ? resolve_axes(options.ints("axis"), example_rank) : Ints();
}

bool infer_normalization(LayerInferArgs& a) {
  infer_float(a);
  const Options& options = a.options();
  const Ints axes = kept_axes(options, a.shape().size());
  if (options.has("axis") && axes.empty() && !options.ints("axis").empty()) {
    return a.mismatch("has axis {}, which its input {} does not have beside the batch",
                      shape_text(options.ints("axis")), to_string(a.inputs[0]));
  }
  Ints shape;
  for (const int64_t axis : axes)
    shape.push_back(a.shape()[static_cast<size_t>(axis - 1)]);
  if (options.has("mean") != options.has("variance"))
    return a.mismatch("has one of mean and variance; both or none are possible");
  if (options.has("mean")) return fits_count(a, "mean", shape) && fits_count(a, "variance", shape);
  a.keep("mean", shape, 0.0);
  a.keep("variance", shape, 1.0);
  a.keep("count", {}, 0.0);
  return true;
}

Val build_normalization(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Val x = as_float(a);
  const Ints axes = kept_axes(options, a.example_shape().size());
  Ints shape;
  for (const int64_t axis : axes)
    shape.push_back(x.shape()[static_cast<int>(axis)]);
  const auto held = [&](const char* name) {
    const Val one =
        options.has("mean") ? constant_of(a, options.numbers(name), shape) : a.parameter(name);
    return cast(one, x.dtype());
  };
  constexpr double kSmallest = 1e-7;
  const Val mean = broadcast(held("mean"), x.shape(), axes);
  const Val deviation = broadcast(maximum(sqrt(held("variance")), kSmallest), x.shape(), axes);
  return options.flag("invert") ? mean + x * deviation : (x - mean) / deviation;
}

}  // namespace

extern constinit const LayerDef kRescaling{
    .base = {.type = "rescaling", .summary = "x scale + offset.", .options = kRescalingOptions},
    .integers = true,
    .masks = MaskRule::kCarries,
    .infer = infer_rescaling,
    .build = build_rescaling,
};

extern constinit const LayerDef kNormalization{
    .base = {.type = "normalization",
             .summary = "(x - mean) / sqrt(variance), of the data: given here, or held with the "
                        "weights and not trained.",
             .options = kNormalizationOptions},
    .integers = true,
    .masks = MaskRule::kCarries,
    .infer = infer_normalization,
    .build = build_normalization,
};

}  // namespace gradc::layers
