// How the update phase is made: which rule, with which numbers, after which clipping. Made by the
// frontend, used by the apply_optimizer pass. The learning rate is a value of the graph, so that
// schedules are ordinary ops.
#pragma once

#include "ir/step_rule.h"

namespace gradc {

/// The graph output (f32[]) that names the learning rate of the current iteration; apply_optimizer
/// uses and removes it.
inline constexpr const char* kLearningRateOutput = "optimizer/learning_rate";
/// The state (i64[]) that counts finished steps; apply_optimizer adds 1 to it.
inline constexpr const char* kIterationInput = "optimizer/iteration";
/// What the scheduled rate is multiplied by, f64[]: the training loop makes it smaller.
inline constexpr const char* kRateFactorInput = "optimizer/rate_factor";
/// Begins the name of an input (f64[]) that a tuned step has in place of a number of the optimizer;
/// behind it stands what it is of the rule's numbers ("1 - beta_1").
inline constexpr const char* kNumberInput = "number/";
/// The learning rate of a tuned step, behind kNumberInput; NaN: as the schedule has it.
inline constexpr const char* kRateNumber = "learning_rate";

/// The state of a parameter's slot, and of a slot that all parameters share.
std::string slot_name(std::string_view parameter, const StepSlot& slot);
std::string slot_name(const SharedSlot& slot);

struct OptimizerSpec {
  StepAttrs step;

  // Gradient clipping before the step, at most one of them; 0 is off.
  double clip_value = 0.0;        ///< each element to [-v, v]
  double clip_norm = 0.0;         ///< each gradient scaled to at most this L2 norm
  double global_clip_norm = 0.0;  ///< all gradients scaled by their common L2 norm

  /// A number of the rule, weight_decay, or clipnorm, clipvalue and global_clipnorm as Keras calls
  /// them. The name must be known.
  double number(std::string_view name) const;
  void set(std::string_view name, double value);
};

}  // namespace gradc
