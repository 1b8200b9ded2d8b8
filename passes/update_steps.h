// What apply_optimizer takes from the outputs of ir/step_output.h: the parameters that are trained,
// with numbers and rates of their own, when an update is made, and averages.
#pragma once

#include "ir/builder.h"
#include "ir/optimizer_spec.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gradc::passes {

struct Trained {
  std::string name;
  Val parameter;
  Val gradient;
  Val start = {};       ///< the value that the step goes on from
  Val constraint = {};  ///< a function of the parameter; empty: none
  bool by_rows = false;
  Val rows = {};           ///< of which `gradient` is; empty: all
  StepAttrs step = {};     ///< the rule with this parameter's numbers
  bool undecayed = false;  ///< whatever the numbers are
  Val rate = {};           ///< what the learning rate is multiplied with, f32[]; empty: 1
};

/// When the update of several steps is made.
struct Accumulation {
  Val steps;  ///< f64[]: their number; empty: every step makes its own
  Val last;   ///< bool[]: whether this is the last of them
};

/// Moving averages of the parameters; empty: none.
struct Averages {
  Val momentum;   ///< f32[]: 0 in the first step
  Val overwrite;  ///< bool[]: whether they replace the parameters in this step; may be empty
};

/// A scalar repeated for a whole tensor, and a choice for one.
Val like(Val scalar, const TensorType& type);
Val choose(Val condition, Val a, Val b);
Val add_state(Builder& builder, const TensorType& type, std::string name, std::string_view hint,
              double initial_value);

/// Calls `use` for the outputs of a prefix that belong to a parameter with a gradient, and removes
/// all of the prefix.
void take_outputs(Builder& builder, std::string_view prefix, std::vector<Trained>& trained,
                  const std::function<void(Trained&, Val)>& use);
/// An output that is there once, removed; empty if it is not there.
Val take_output(Builder& builder, std::string_view name);
/// The rule with the numbers of each parameter, and their rates.
void take_numbers(Builder& builder, const OptimizerSpec& spec, std::vector<Trained>& trained);
/// The number of updates before this step, f64[] or the iteration itself.
Val count_updates(Val iteration, Accumulation& accumulation);
/// Gradients become the means of those that make an update.
void accumulate(Builder& builder, const Accumulation& accumulation, std::vector<Trained>& all);
/// As Keras: the first average is the parameter itself.
Averages take_averages(Builder& builder, Val updates);

}  // namespace gradc::passes
