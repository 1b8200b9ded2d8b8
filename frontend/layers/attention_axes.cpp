// "attention_axes": attention over some axes of [batch, axes..., features]. The others become part
// of the batch; the attended ones, one axis of steps.
#include "frontend/layers/attend.h"

#include <algorithm>
#include <numeric>

namespace gradc::layers {
namespace {

constexpr std::string_view kOption = "attention_axes";

/// The numbers of the option among the axes of an example; empty: one is none of them, or twice.
Ints attended_axes(const Options& options, size_t rank) {
  const auto last = static_cast<int64_t>(rank) - 1;
  Ints axes(static_cast<size_t>(last));
  std::iota(axes.begin(), axes.end(), 0);
  if (!options.has(kOption)) return axes;
  axes.clear();
  for (const int64_t given : options.ints(kOption)) {
    const int64_t axis = (given < 0 ? given + last + 2 : given) - 1;
    if (axis < 0 || axis >= last || std::find(axes.begin(), axes.end(), axis) != axes.end())
      return {};
    axes.push_back(axis);
  }
  return axes;
}

template <class Extents>
int64_t product_of(const Extents& extents) {
  return std::accumulate(extents.begin(), extents.end(), int64_t{1}, std::multiplies<>());
}

/// The extents of an example in the order of the axes, but for the features.
Ints in_order(const AttentionAxes& axes, const Ints& example) {
  Ints extents;
  for (size_t i = 0; i + 1 < axes.perm.size(); ++i)
    extents.push_back(example[static_cast<size_t>(axes.perm[i])]);
  return extents;
}

Ints head_of(const Ints& all, size_t count) {
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)};
}
Ints rest_of(const Ints& all, size_t count) {
  return {all.begin() + static_cast<std::ptrdiff_t>(count), all.end()};
}

}  // namespace

AttentionAxes AttentionAxes::of(const Options& options, size_t rank) {
  const Ints attended = attended_axes(options, rank);
  AttentionAxes axes;
  for (int64_t axis = 0; axis + 1 < static_cast<int64_t>(rank); ++axis) {
    if (std::find(attended.begin(), attended.end(), axis) == attended.end())
      axes.perm.push_back(axis);
  }
  axes.free = axes.perm.size();
  axes.perm.insert(axes.perm.end(), attended.begin(), attended.end());
  axes.perm.push_back(static_cast<int64_t>(rank) - 1);
  return axes;
}

bool AttentionAxes::infer(LayerInferArgs& a, AttentionAxes& axes) {
  const size_t rank = a.shape().size();
  for (const TensorSpec& input : a.inputs) {
    if (rank >= 2 && input.shape.size() == rank) continue;
    return a.mismatch(
        "needs inputs [steps, features] beside the batch, all of as many axes, got {}",
        to_string(input));
  }
  if (attended_axes(a.options(), rank).empty()) {
    a.sink.error(DiagKind::kBadValue, a.option_place(kOption),
                 "{} attends over axes {}, but an input {} has axes 1 to {} before its features",
                 a.who(), shape_text(a.options().ints(kOption)), to_string(a.inputs[0]), rank - 1);
    return false;
  }
  axes = of(a.options(), rank);
  if (axes.plain()) return true;
  for (const TensorSpec& input : a.inputs) {
    const Ints free = head_of(in_order(axes, input.shape), axes.free);
    if (free == head_of(in_order(axes, a.shape()), axes.free)) continue;
    return a.mismatch("does not attend over axes of {}, which must be the query's, got {}",
                      shape_text(head_of(in_order(axes, a.shape()), axes.free)), shape_text(free));
  }
  if (a.masked || a.named_input(0) != nullptr)
    return a.mismatch("has masks only over one axis of steps, got {}", to_string(a.inputs[0]));
  return true;
}

bool infer_over_axes(LayerInferArgs& a, bool infer_steps(LayerInferArgs&)) {
  AttentionAxes axes;
  if (!AttentionAxes::infer(a, axes)) return false;
  if (axes.plain()) return infer_steps(a);
  std::vector<TensorSpec> inputs;
  for (const TensorSpec& input : a.inputs) {
    const Ints attended = rest_of(in_order(axes, input.shape), axes.free);
    const auto steps = checked_product(attended);
    if (!steps) return a.mismatch("has {} steps, which are too many", shape_text(attended));
    inputs.push_back({input.dtype, {*steps, input.shape.back()}});
  }
  const Ints query = in_order(axes, a.shape());
  const Ints free = head_of(query, axes.free);
  const auto batches = checked_product(free);
  if (!batches || !checked_product(Ints{*batches, a.batch_size}))
    return a.mismatch("has {} batches, which are too many", shape_text(free));
  LayerInferArgs steps = a;
  steps.inputs = inputs;
  steps.batch_size = a.batch_size * *batches;
  if (!infer_steps(steps)) return false;
  a.parameters = std::move(steps.parameters);
  a.more = std::move(steps.more);
  for (CallResult& scores : a.more) {  // [heads, queries, keys]
    Ints shape = free;
    shape.push_back(scores.spec.shape.front());
    for (const Ints& extents : {query, in_order(axes, a.shape(key_input(a.inputs.size())))}) {
      const Ints attended = rest_of(extents, axes.free);
      shape.insert(shape.end(), attended.begin(), attended.end());
    }
    scores.spec.shape = std::move(shape);
  }
  a.output.dtype = steps.output.dtype;
  a.output.shape = head_of(a.shape(), a.shape().size() - 1);
  a.output.shape.insert(a.output.shape.end(), steps.output.shape.begin() + 1,
                        steps.output.shape.end());
  return true;
}

Val build_over_axes(const LayerBuildArgs& a, Val build_steps(const LayerBuildArgs&)) {
  const Ints example = a.example_shape();
  const AttentionAxes axes = AttentionAxes::of(a.options(), example.size());
  if (axes.plain()) return build_steps(a);
  Ints perm = {0};
  for (const int64_t axis : axes.perm)
    perm.push_back(axis + 1);
  const auto batched = [&](Ints extents) {
    extents.insert(extents.begin(), a.batch());
    return extents;
  };
  const Ints query = in_order(axes, example);
  const int64_t batches = product_of(head_of(query, axes.free));
  std::vector<Val> inputs;
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    const int64_t steps = product_of(rest_of(in_order(axes, a.example_shape(i)), axes.free));
    inputs.push_back(reshape(transpose(a.in(i), perm),
                             Shape{a.batch() * batches, steps, a.example_shape(i).back()}));
  }
  LayerBuildArgs steps = a;
  steps.inputs = inputs;
  steps.give = [&](std::string_view name, Val scores) {
    Ints shape = batched(head_of(query, axes.free));
    shape.push_back(scores.shape()[1]);
    for (const Ints& extents : {query, in_order(axes, a.example_shape(key_input(a.inputs.size())))})
      for (const int64_t extent : rest_of(extents, axes.free))
        shape.push_back(extent);
    a.give(name, reshape(scores, Shape(shape)));
  };
  const Val result = build_steps(steps);
  Ints shape = batched(query);
  const Ints rest = rest_of(result.shape().to_vector(), 2);
  shape.insert(shape.end(), rest.begin(), rest.end());
  Ints back(shape.size());
  std::iota(back.begin(), back.end(), 0);
  for (size_t i = 0; i + 1 < perm.size(); ++i)
    back[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return transpose(reshape(result, Shape(shape)), back);
}

}  // namespace gradc::layers
