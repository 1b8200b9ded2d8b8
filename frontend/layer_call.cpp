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

Ints channels_moved_last(Ints example) {
  if (!example.empty()) std::rotate(example.begin(), example.begin() + 1, example.end());
  return example;
}
Ints channels_moved_first(Ints example) {
  if (!example.empty()) std::rotate(example.rbegin(), example.rbegin() + 1, example.rend());
  return example;
}

/// [batch, channels, ...] as [batch, ..., channels], and back.
Val moved_last(Val x) {
  Ints perm = {0};
  for (int64_t axis = 2; axis < x.rank(); ++axis)
    perm.push_back(axis);
  perm.push_back(1);
  return transpose(x, perm);
}
Val moved_first(Val x) {
  Ints perm = {0, x.rank() - 1};
  for (int64_t axis = 1; axis + 1 < x.rank(); ++axis)
    perm.push_back(axis);
  return transpose(x, perm);
}

}  // namespace

namespace {

bool infer_moved(LayerInferArgs& args) {
  const LayerDef& def = *args.layer.def;
  if (!channels_first(args.layer)) return def.infer(args);
  std::vector<TensorSpec> inputs(args.inputs.begin(), args.inputs.end());
  for (TensorSpec& input : inputs)
    input.shape = channels_moved_last(std::move(input.shape));
  LayerInferArgs last = args;
  last.inputs = inputs;
  if (!def.infer(last)) return false;
  args.output = std::move(last.output);
  args.parameters = std::move(last.parameters);
  args.more = std::move(last.more);
  args.output_masked = last.output_masked;
  if (args.output.shape.size() > 1)
    args.output.shape = channels_moved_first(std::move(args.output.shape));
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
  std::vector<Val> inputs;
  for (const Val& input : args.inputs)
    inputs.push_back(input.rank() > 2 ? moved_last(input) : input);
  LayerBuildArgs last = args;
  last.inputs = inputs;
  const Val result = def.build(last);
  return result.rank() > 2 ? moved_first(result) : result;
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
