// The loop of a recurrent layer: its states from step to step and from batch to batch, steps that
// do not count, the direction, what is kept.
#pragma once

#include "frontend/layer_def.h"
#include "frontend/layers/loop_body.h"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace gradc::layers {

/// Names of the states, as results and as what is carried from batch to batch.
inline constexpr std::array<std::string_view, 2> kStateNames = {"state_h", "state_c"};

/// A state of a loop: its name and the shape of an example's.
struct LoopState {
  std::string name;
  Ints shape;
};

/// What is inferred of a loop: the states that it starts from, its results and what it carries.
/// `result` is the shape of the state that the layer gives. False after a report.
bool infer_loop(LayerInferArgs& a, const std::vector<LoopState>& states, const Ints& result);
/// Whether the inputs behind the first are the states to start from, of these shapes.
bool fits_states(LayerInferArgs& a, const std::vector<Ints>& shapes);

/// One call: made of states, then slices, then what is seen whole; then run. Steps are axis 1 of
/// the first input, axis 0 of what is sliced.
class StepLoop {
 public:
  StepLoop(const LayerBuildArgs& a, std::vector<LoopState> states);

  int64_t steps() const { return a_.in().shape()[1]; }
  /// The states as a step sees them.
  std::span<const Val> states() const { return current_; }
  /// One step of a value made for all steps at once.
  Val slice(Val all, std::string_view hint);
  Val whole(Val value, std::string_view hint) { return body_.whole(value, hint); }
  /// The layer's result: of the last step, or of all, [batch, steps, ...]. `next` are the next
  /// states, of which number `given` is the result.
  Val run(std::vector<Val> next, size_t given);

 private:
  Val first_state(size_t number) const;
  void keep(const std::vector<Val>& last) const;

  const LayerBuildArgs& a_;
  std::vector<LoopState> states_;
  LoopBody body_;
  std::vector<Val> current_;
  Val counts_;  ///< bool[batch]: whether a row's step counts
};

/// The first two axes exchanged: steps and batch.
Val steps_first(Val x);
/// LayerDef::build_mask of a recurrent layer: of the states after every step.
Val recurrent_mask(const LayerBuildArgs& a);

}  // namespace gradc::layers
