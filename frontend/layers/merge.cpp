// Layers of several inputs: elementwise merges (extents of 1 are repeated), concatenate, dot.
#include "frontend/layer_def.h"

#include <algorithm>

namespace gradc::layers {
namespace {

std::string list_inputs(const LayerInferArgs& a) {
  std::string text;
  for (const TensorSpec& spec : a.inputs)
    text += (text.empty() ? "" : " and ") + to_string(spec);
  return text;
}

/// Keras drops the mask where one input has none; here that is said.
bool infer_merged_mask(LayerInferArgs& a) {
  a.output_masked = a.masked;
  for (size_t i = 0; a.masked && i < a.inputs.size(); ++i) {
    if (a.input_masked(i)) continue;
    a.sink
        .error(DiagKind::kUnsupported, a.place,
               "{} merges an input of which some steps do not count with one, number {}, of which "
               "all do",
               a.who(), i + 1)
        .with_help("mask both inputs, or none");
    return false;
  }
  return true;
}

bool infer_elementwise(LayerInferArgs& a) {
  a.output = a.inputs[0];
  for (const TensorSpec& next : a.inputs.subspan(1)) {
    bool fits = next.dtype == a.output.dtype && next.shape.size() == a.output.shape.size();
    for (size_t i = 0; fits && i < next.shape.size(); ++i) {
      int64_t& extent = a.output.shape[i];
      fits = extent == next.shape[i] || extent == 1 || next.shape[i] == 1;
      extent = std::max(extent, next.shape[i]);
    }
    if (!fits) return a.mismatch("merges inputs whose shapes do not fit: {}", list_inputs(a));
  }
  return infer_merged_mask(a);
}

/// A step of the result counts where it counts in one of the inputs, as in Keras.
Val merged_mask(const LayerBuildArgs& a) {
  int64_t steps = 1;
  for (const Val& input : a.inputs)
    steps = std::max(steps, input.shape()[1]);
  const Shape shape = {a.batch(), steps};
  Val mask = broadcast_to(a.input_mask(0), shape);
  for (size_t i = 1; i < a.inputs.size(); ++i)
    mask = logical_or(mask, broadcast_to(a.input_mask(i), shape));
  return mask;
}

using Merge = Val (*)(Val, Val);

Val build_elementwise(const LayerBuildArgs& a, Merge merge) {
  Ints dims = a.in().shape().to_vector();
  for (const Val& next : a.inputs) {
    for (size_t i = 0; i < dims.size(); ++i)
      dims[i] = std::max(dims[i], next.shape()[static_cast<int>(i)]);
  }
  const Shape shape(dims);
  Val result = broadcast_to(a.in(), shape);
  for (const Val& next : a.inputs.subspan(1))
    result = merge(result, broadcast_to(next, shape));
  return result;
}

constexpr OptionDef kConcatenateOptions[] = {
    {.name = "axis",
     .type = OptionType::kInt,
     .default_json = "-1",
     .doc = "axis that grows; the batch is 0"},
};

/// Axis with the batch counted as 0; -1 when it is out of range or the batch.
int64_t resolve_axis(int64_t axis, size_t example_rank) {
  const int64_t rank = static_cast<int64_t>(example_rank) + 1;
  if (axis < 0) axis += rank;
  return axis >= 1 && axis < rank ? axis : -1;
}

bool infer_concatenate(LayerInferArgs& a) {
  const int64_t axis = resolve_axis(a.options().integer("axis"), a.shape().size());
  if (axis < 0) {
    return a.mismatch("has axis {}, which its input {} does not have beside the batch",
                      a.options().integer("axis"), to_string(a.inputs[0]));
  }
  const auto at = static_cast<size_t>(axis - 1);
  a.output = a.inputs[0];
  for (const TensorSpec& next : a.inputs.subspan(1)) {
    bool fits = next.dtype == a.output.dtype && next.shape.size() == a.output.shape.size();
    for (size_t i = 0; fits && i < next.shape.size(); ++i) {
      fits = i == at || next.shape[i] == a.output.shape[i];
    }
    if (!fits)
      return a.mismatch("joins inputs along axis {} whose other extents differ: {}", axis,
                        list_inputs(a));
    a.output.shape[at] += next.shape[at];
  }
  a.output_masked = a.masked;
  if (!a.masked || at > 0) return true;
  a.sink
      .error(DiagKind::kUnsupported, a.place,
             "{} joins steps one after another, but some of an input's do not count", a.who())
      .with_help("end the steps with a recurrent layer, or leave the mask out");
  return false;
}

/// A step counts where it counts in all inputs that say so, as in Keras.
Val joined_mask(const LayerBuildArgs& a) {
  Val mask;
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    if (!a.input_mask(i).valid()) continue;
    mask = mask.valid() ? logical_and(mask, a.input_mask(i)) : a.input_mask(i);
  }
  return mask;
}

Val build_concatenate(const LayerBuildArgs& a) {
  const int64_t axis = resolve_axis(a.options().integer("axis"), a.example_shape().size());
  return concat({a.inputs.begin(), a.inputs.end()}, axis);
}

constexpr OptionDef kDotOptions[] = {
    {.name = "axes",
     .type = OptionType::kSizes,
     .doc = "axis of each input that is summed over; the batch is 0"},
    {.name = "normalize",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "unit length along the axes first: cosine similarity"},
};

bool infer_dot(LayerInferArgs& a) {
  const Ints& x = a.shape(0);
  const Ints& y = a.shape(1);
  if (x.empty() || x.size() > 2 || y.empty() || y.size() > 2) {
    return a.mismatch("multiplies inputs of one or two axes beside the batch, got {}",
                      list_inputs(a));
  }
  const int64_t ax = resolve_axis(a.options().ints("axes")[0], x.size());
  const int64_t ay = resolve_axis(a.options().ints("axes")[1], y.size());
  if (ax < 0 || ay < 0) {
    return a.mismatch("has axes {}, which its inputs {} do not have beside the batch",
                      shape_text(a.options().ints("axes")), list_inputs(a));
  }
  if (x[static_cast<size_t>(ax - 1)] != y[static_cast<size_t>(ay - 1)]) {
    return a.mismatch("sums over axes {} of different extents: {}", shape_text({ax, ay}),
                      list_inputs(a));
  }
  for (size_t i = 0; i < x.size(); ++i) {
    if (static_cast<int64_t>(i) + 1 != ax) a.output.shape.push_back(x[i]);
  }
  for (size_t i = 0; i < y.size(); ++i) {
    if (static_cast<int64_t>(i) + 1 != ay) a.output.shape.push_back(y[i]);
  }
  if (a.output.shape.empty()) a.output.shape.push_back(1);
  return true;
}

// x / sqrt(max(sum(x^2), 1e-12)), Keras's epsilon.
Val unit_length(Val x, int64_t axis) {
  const Val squares = maximum(reduce_sum(x * x, {axis}), 1e-12);
  Ints dims;
  for (int64_t i = 0; i < x.rank(); ++i) {
    if (i != axis) dims.push_back(i);
  }
  return x * broadcast(rsqrt(squares), x.shape(), dims);
}

// One matrix product per example: [batch, rows, k] x [batch, k, columns].
Val build_dot(const LayerBuildArgs& a) {
  Val x = a.in(0);
  Val y = a.in(1);
  const int64_t ax = resolve_axis(a.options().ints("axes")[0], a.example_shape(0).size());
  const int64_t ay = resolve_axis(a.options().ints("axes")[1], a.example_shape(1).size());
  if (a.options().flag("normalize")) {
    x = unit_length(x, ax);
    y = unit_length(y, ay);
  }
  Ints result = {a.batch()};
  for (const auto& [v, axis] : {std::pair{x, ax}, std::pair{y, ay}}) {
    for (int i = 1; i < v.rank(); ++i) {
      if (i != axis) result.push_back(v.shape()[i]);
    }
  }
  if (result.size() == 1) result.push_back(1);
  if (x.rank() == 2) x = reshape(x, Shape{a.batch(), 1, x.shape()[1]});
  if (y.rank() == 2) y = reshape(y, Shape{a.batch(), y.shape()[1], 1});
  const bool transpose_x = a.in(0).rank() == 3 && ax == 1;
  const bool transpose_y = a.in(1).rank() == 3 && ay == 2;
  return reshape(matmul(x, y, transpose_x, transpose_y), Shape(result));
}

#define GRADC_MERGE(name, type_name, text, expression)                               \
  extern constinit const LayerDef name {                                             \
    .base = {.type = type_name, .summary = text}, .min_inputs = 2, .max_inputs = -1, \
    .masks = MaskRule::kKnows, .infer = infer_elementwise,                           \
    .build =                                                                         \
        [](const LayerBuildArgs& a) {                                                \
          return build_elementwise(a, [](Val x, Val y) { return expression; });      \
        },                                                                           \
    .build_mask = merged_mask,                                                       \
  }

}  // namespace

GRADC_MERGE(kAddLayer, "add", "Sum of the inputs.", x + y);
GRADC_MERGE(kMultiply, "multiply", "Product of the inputs.", x* y);
GRADC_MERGE(kMaximum, "maximum", "Largest of the inputs, element by element.", maximum(x, y));
GRADC_MERGE(kMinimum, "minimum", "Smallest of the inputs, element by element.", minimum(x, y));

extern constinit const LayerDef kSubtract{
    .base = {.type = "subtract", .summary = "First input minus the second."},
    .min_inputs = 2,
    .max_inputs = 2,
    .masks = MaskRule::kKnows,
    .infer = infer_elementwise,
    .build =
        [](const LayerBuildArgs& a) {
          return build_elementwise(a, [](Val x, Val y) { return x - y; });
        },
    .build_mask = merged_mask,
};

extern constinit const LayerDef kAverage{
    .base = {.type = "average", .summary = "Mean of the inputs."},
    .min_inputs = 2,
    .max_inputs = -1,
    .masks = MaskRule::kKnows,
    .infer = infer_elementwise,
    .build =
        [](const LayerBuildArgs& a) {
          const Val sum = build_elementwise(a, [](Val x, Val y) { return x + y; });
          return sum / static_cast<double>(a.inputs.size());
        },
    .build_mask = merged_mask,
};

extern constinit const LayerDef kConcatenate{
    .base = {.type = "concatenate",
             .summary = "Inputs one after another along an axis.",
             .options = kConcatenateOptions,
             .aliases = "concat"},
    .min_inputs = 2,
    .max_inputs = -1,
    .integers = true,
    .masks = MaskRule::kKnows,
    .infer = infer_concatenate,
    .build = build_concatenate,
    .build_mask = joined_mask,
};

extern constinit const LayerDef kDot{
    .base = {.type = "dot",
             .summary = "Products of two inputs summed over an axis, per example.",
             .options = kDotOptions},
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_dot,
    .build = build_dot,
};

}  // namespace gradc::layers
