// What is the same around every layer. Layers count their channels last; with "data_format":
// "channels_first" the channels of input and output are moved here, so that no layer has to know.
// And the penalty of "activity_regularizer".
#include "frontend/families.h"
#include "frontend/layer_def.h"

#include <algorithm>

namespace gradc {
namespace {

bool channels_first(const Layer& layer) {
  const Options& options = layer.component.options;
  return options.defines(kDataFormat) && options.has(kDataFormat) &&
         options.text(kDataFormat) == "channels_first";
}

/// How many axes of an example stand before those that are moved. `rank` is of the steps, if there
/// are any: a state has one axis less.
size_t fixed_axes(const LayerDef& def, size_t axes, size_t rank) {
  return def.steps_lead && axes == rank ? 1 : 0;
}

Ints channels_moved_last(Ints example, size_t fixed) {
  const auto from = std::min(example.size(), fixed);
  if (example.size() > from) {
    const auto first = example.begin() + static_cast<std::ptrdiff_t>(from);
    std::rotate(first, first + 1, example.end());
  }
  return example;
}
Ints channels_moved_first(Ints example, size_t fixed) {
  if (example.size() > fixed)
    std::rotate(example.rbegin(), example.rbegin() + 1,
                example.rend() - static_cast<std::ptrdiff_t>(fixed));
  return example;
}

/// [batch, channels, ...] as [batch, ..., channels], and back.
Val moved_last(Val x, size_t fixed) {
  const auto channels = static_cast<int64_t>(fixed) + 1;
  Ints perm;
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    if (axis != channels) perm.push_back(axis);
  }
  perm.push_back(channels);
  return transpose(x, perm);
}
Val moved_first(Val x, size_t fixed) {
  Ints perm;
  for (int64_t axis = 0; axis + 1 < x.rank(); ++axis)
    perm.push_back(axis);
  perm.insert(perm.begin() + static_cast<std::ptrdiff_t>(fixed) + 1, x.rank() - 1);
  return transpose(x, perm);
}

}  // namespace

namespace {

bool infer_moved(LayerInferArgs& args) {
  const LayerDef& def = *args.layer.def;
  if (!channels_first(args.layer)) return def.infer(args);
  const size_t rank = args.shape().size();
  std::vector<TensorSpec> inputs(args.inputs.begin(), args.inputs.end());
  for (TensorSpec& input : inputs)
    input.shape =
        channels_moved_last(std::move(input.shape), fixed_axes(def, input.shape.size(), rank));
  LayerInferArgs last = args;
  last.inputs = inputs;
  if (!def.infer(last)) return false;
  const auto moved = [&](Ints shape) {
    const size_t fixed = fixed_axes(def, shape.size(), rank);
    return shape.size() > 1 ? channels_moved_first(std::move(shape), fixed) : shape;
  };
  args.output = std::move(last.output);
  args.parameters = std::move(last.parameters);
  args.more = std::move(last.more);
  args.output_masked = last.output_masked;
  args.output.shape = moved(std::move(args.output.shape));
  for (CallResult& result : args.more)
    result.spec.shape = moved(std::move(result.spec.shape));
  return true;
}

}  // namespace

bool infer_layer(LayerInferArgs& args) {
  if (!infer_moved(args)) return false;
  const Options& options = args.options();
  if (!options.defines(kActivityRegularizer) || !options.has(kActivityRegularizer)) return true;
  const size_t rank = args.output.shape.size() + 1;
  if (regularizer_fits(*options.component(kActivityRegularizer), rank)) return true;
  return args.mismatch("has an activity_regularizer that takes matrices, but a result of {} axes",
                       rank);
}

namespace {

Val build_moved(const LayerBuildArgs& args) {
  const LayerDef& def = *args.layer.def;
  if (!channels_first(args.layer)) return def.build(args);
  const auto rank = static_cast<size_t>(args.in().rank());
  const auto fixed = [&](Val x) { return fixed_axes(def, static_cast<size_t>(x.rank()), rank); };
  const auto moved = [&](Val x) { return x.rank() > 2 ? moved_first(x, fixed(x)) : x; };
  std::vector<Val> inputs;
  for (const Val& input : args.inputs)
    inputs.push_back(input.rank() > 2 ? moved_last(input, fixed(input)) : input);
  LayerBuildArgs last = args;
  last.inputs = inputs;
  last.give = [&](std::string_view name, Val value) { args.give(name, moved(value)); };
  return moved(def.build(last));
}

}  // namespace

Val build_layer(const LayerBuildArgs& args) {
  const Val result = build_moved(args);
  const Options& options = args.layer.component.options;
  if (options.defines(kActivityRegularizer) && options.has(kActivityRegularizer))
    args.penalize(result, [&](Val x) {
      return build_regularizer(*options.component(kActivityRegularizer), x);
    });
  return result;
}

}  // namespace gradc
