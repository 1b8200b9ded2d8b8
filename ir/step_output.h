// How a graph says by what a parameter is replaced before a step, and what it is made to keep after
// it.
#pragma once

namespace gradc {

/// Begins the name of an output, before that of a parameter: a function of this parameter alone, by
/// which apply_optimizer replaces the value of the next step. It uses and removes it.
inline constexpr const char* kConstraintOutput = "constraint/";

/// Begins the name of an output, before that of a parameter: what the forward phase uses in its
/// place. The gradient is that of this value, and the optimizer's step goes on from it.
inline constexpr const char* kRestatedOutput = "restated/";

/// Begins the name of an output, before that of a parameter, which is its value too: the optimizer
/// moves the rows that the step looks up, and no others. apply_optimizer uses and removes it.
inline constexpr const char* kByRowsOutput = "by_rows/";

/// Begins the name of an output, before that of a number of the optimizer's rule, a stroke and that
/// of a parameter: a constant (f64[]), which this number is for this parameter.
/// apply_optimizer uses and removes it, and those below.
inline constexpr const char* kStepNumberOutput = "step_number/";

/// Begins the name of an output, before that of a parameter: its learning rate is so many times the
/// optimizer's (f32[]).
inline constexpr const char* kRateOutput = "rate/";

/// The name of an output (f64[]): the mean gradient of so many steps makes one update.
inline constexpr const char* kAccumulateOutput = "optimizer/accumulate";

/// The names of outputs: parameters have moving averages, of which a step keeps so much (f32[]),
/// and which replace them in every step of this number (f64[]).
inline constexpr const char* kAverageOutput = "optimizer/average";
inline constexpr const char* kOverwriteOutput = "optimizer/overwrite";

/// The states of a parameter for both, as slots of its optimizer are named.
inline constexpr const char* kAccumulatorSlot = "gradient_accumulator";
inline constexpr const char* kAverageSlot = "average";

/// Begins the name of an input, before that of an output: its gradient, given from outside.
inline constexpr const char* kOutputGradient = "output_gradient/";

/// Begins the name of an output, before that of an input: its gradient.
inline constexpr const char* kInputGradient = "input_gradient/";

}  // namespace gradc
