#include "frontend/layers/step_loop.h"

#include <algorithm>
#include <utility>

namespace gradc::layers {

bool fits_states(LayerInferArgs& a, const std::vector<Ints>& shapes) {
  bool fits = a.inputs.size() == 1 + shapes.size();
  for (size_t i = 0; fits && i < shapes.size(); ++i)
    fits = a.shape(i + 1) == shapes[i];
  if (fits) return true;
  const bool from_zeros = a.layer.def->min_inputs == 1;
  std::string seen, wanted;
  for (const TensorSpec& input : a.inputs.subspan(1))
    seen += (seen.empty() ? "" : " and ") + to_string(input);
  const bool equal =
      std::adjacent_find(shapes.begin(), shapes.end(), std::not_equal_to<>()) == shapes.end();
  for (const Ints& shape : equal ? std::vector<Ints>{shapes.front()} : shapes)
    wanted += (wanted.empty() ? "" : " and ") + shape_text(shape);
  return a.mismatch("starts from {} state{} of shape {} behind its input{} got {}", shapes.size(),
                    shapes.size() == 1 ? "" : "s", wanted, from_zeros ? ", or from zeros;" : ",",
                    seen.empty() ? "none" : seen);
}

bool infer_loop(LayerInferArgs& a, const std::vector<LoopState>& states, const Ints& result) {
  std::vector<Ints> shapes;
  for (const LoopState& state : states)
    shapes.push_back(state.shape);
  if (a.inputs.size() > 1 && !fits_states(a, shapes)) return false;
  const bool sequences = a.options().flag("return_sequences");
  a.output.shape = result;
  if (sequences) a.output.shape.insert(a.output.shape.begin(), a.shape()[0]);
  a.output_masked = a.input_masked(0) && sequences;
  for (const LoopState& state : states) {
    if (a.options().flag("return_state")) a.result(state.name, state.shape);
    if (a.options().flag("stateful")) a.carry(state.name, state.shape);
  }
  return true;
}

StepLoop::StepLoop(const LayerBuildArgs& a, std::vector<LoopState> states)
    : a_(a),
      states_(std::move(states)),
      body_(a.builder, a.in().shape()[1], a.options().flag("go_backwards")) {
  for (size_t i = 0; i < states_.size(); ++i)
    current_.push_back(body_.carry(first_state(i), states_[i].name.substr(6, 1)));
}

/// The given one, or that of the batch before, or zeros.
Val StepLoop::first_state(size_t number) const {
  if (number + 1 < a_.inputs.size()) return a_.in(number + 1);
  if (a_.options().flag("stateful")) return a_.parameter(states_[number].name);
  Ints shape = states_[number].shape;
  shape.insert(shape.begin(), a_.batch());
  return a_.builder.splat(0.0, TensorType{a_.in().dtype(), Shape(shape)});
}

Val StepLoop::slice(Val all, std::string_view hint) {
  const Val slice = body_.slice(all, hint);
  if (a_.mask.valid() && !counts_.valid())
    counts_ = body_.slice(transpose(a_.mask, {1, 0}), "counts");
  return slice;
}

/// A step that does not count leaves the states as they are.
Val StepLoop::run(std::vector<Val> next, size_t given) {
  const bool sequences = a_.options().flag("return_sequences");
  Val result = next[given];
  if (counts_.valid()) {
    for (size_t i = 0; i < next.size(); ++i)
      next[i] = select(broadcast(counts_, next[i].shape(), {0}), next[i], current_[i]);
    if (!a_.zero_masked)
      result = next[given];
    else if (sequences)
      result = select(broadcast(counts_, result.shape(), {0}), result, 0.0);
  }
  for (const Val& state : next)
    body_.yield(state);
  if (sequences) body_.yield(result);
  const std::vector<Val> results = body_.run();
  keep(results);
  if (!sequences) return results[given];
  Val all = results.back();
  if (a_.options().flag("go_backwards")) all = reverse(all, {0});
  return steps_first(all);
}

void StepLoop::keep(const std::vector<Val>& last) const {
  for (size_t i = 0; i < states_.size(); ++i) {
    if (a_.options().flag("return_state")) a_.give(states_[i].name, last[i]);
    if (a_.options().flag("stateful")) a_.update_state(states_[i].name, last[i]);
  }
}

Val steps_first(Val x) {
  Ints perm = {1, 0};
  for (int64_t axis = 2; axis < x.rank(); ++axis)
    perm.push_back(axis);
  return transpose(x, perm);
}

Val recurrent_mask(const LayerBuildArgs& a) {
  return a.options().flag("go_backwards") ? reverse(a.mask, {1}) : a.mask;
}

}  // namespace gradc::layers
