// What an optimizer does otherwise for some parameters, and with all of them besides its step.
#pragma once

#include "frontend/model.h"
#include "ir/builder.h"
#include "ir/step_rule.h"

#include <optional>

namespace gradc {

/// The option of every layer: its parameters are trained at so many times the optimizer's rate.
inline constexpr OptionDef kRateMultiplier = {
    .name = "learning_rate_multiplier",
    .type = OptionType::kFloat,
    .doc = "its parameters are trained at so many times the optimizer's rate",
    .min = 0};
double rate_multiplier(const Layer& layer);

/// The optimizer's rule with the numbers of one parameter: without weight decay, or Muon's without
/// matrices, where the optimizer's options leave it out.
StepAttrs step_of(const Component& optimizer, const Layer& layer, const ParameterSpec& parameter);

/// Whether "exclude_from_weight_decay" lets a parameter decay, if others do.
bool decays(const Component& optimizer, const Layer& layer, const ParameterSpec& parameter);

/// How many steps make one update; 1: each makes its own.
int64_t accumulated_steps(const Component& optimizer);

/// The rate of the step of that number (f64[]) as the schedule has it, f64[]: of the update that it
/// belongs to, times what a plateau made of it.
Val rate_of_step(const Training& training, Val iteration);

/// Moving averages of the parameters ("use_ema").
struct AverageOptions {
  double momentum = 0.99;
  std::optional<int64_t> overwrite;  ///< in which updates they replace the parameters
};
std::optional<AverageOptions> average_options(const Component& optimizer);

/// Names that leave out no parameter are mistakes.
void check_left_out(const Model& model, const Component& optimizer, DiagnosticSink& sink);

}  // namespace gradc
