// The steps of apply_optimizer: from the gradient of a parameter to the updates of the parameter
// and of what is remembered for it.
#pragma once

#include "ir/builder.h"
#include "ir/step_output.h"
#include "ir/step_rule.h"
#include "passes/optimizer_numbers.h"

#include <deque>
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
  Val rows = {};        ///< of which `gradient` is; empty: all
  StepAttrs step = {};  ///< the rule with this parameter's numbers
  Val rate = {};        ///< what the learning rate is multiplied with, f32[]; empty: 1
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

inline Val like(Val scalar, const TensorType& type) {
  return broadcast(cast(scalar, type.dtype), type.shape, {});
}
/// A choice for a whole tensor.
inline Val choose(Val condition, Val a, Val b) {
  return select(broadcast(condition, a.shape(), {}), a, b);
}

/// Where a tuned step reads its numbers: inputs, each made when it is first asked for.
class NumberInputs final : public NumberSource {
 public:
  explicit NumberInputs(Builder& builder) : builder_(builder) {}

  void uses(std::string_view name) override {
    if (std::ranges::find(numbers_.names, name) == numbers_.names.end())
      numbers_.names.emplace_back(name);
  }
  Val read(const std::string& formula, double value) override {
    const std::string name = kNumberInput + formula;
    if (const auto found = builder_.graph().find_input(name)) return builder_.wrap(*found);
    numbers_.inputs.emplace_back(name, value);
    return builder_.input(InputKind::kInput, {DType::kF64, {}}, name, "number");
  }
  /// The rate that is set, or the schedule's where none is; f32[].
  Val learning_rate(Val scheduled) {
    const std::string name = std::string(kNumberInput) + kRateNumber;
    const Val set = cast(builder_.input(InputKind::kInput, {DType::kF64, {}}, name, kRateNumber),
                         scheduled.dtype());
    const Graph& graph = builder_.graph();
    if (graph.node(graph.def(scheduled.id())).op == Op::kConstant) return set;
    return select(equal(set, set), set, scheduled);
  }
  const OptimizerNumbers& read() const { return numbers_; }

 private:
  Builder& builder_;
  OptimizerNumbers numbers_;
};

/// Clips the gradients; a tuned step reads the bounds.
void clip(std::vector<Trained>& all, const OptimizerSpec& spec, NumberSource* source);

/// A state of the training step that starts with one number everywhere.
Val add_state(Builder& builder, const TensorType& type, std::string name, std::string_view hint,
              double initial_value);

class StepMaker {
 public:
  /// `updates` counts updates as the iteration does steps. `source` is null unless the step is
  /// tuned, and then `decays` says whether a decay may be set.
  StepMaker(Builder& builder, const StepAttrs& step, Val learning_rate, Val updates,
            const Accumulation& accumulation, const Averages& averages, NumberSource* source,
            bool decays);

  /// The step on one parameter, and the updates of the parameter and its slots.
  void make(const Trained& one);

 private:
  /// What parameters of the same numbers and rate have in common.
  struct Variant {
    StepAttrs step;
    Val rate;
    AttrRef attrs;
    std::vector<Val> scalars;  ///< f32[]
    Val decay;                 ///< f32[]; empty: none
  };

  /// Of a parameter: what is its own is a constant, the rest is the optimizer's.
  StepNumbers numbers_of(const StepAttrs& step) const { return {&step, source_, &step_}; }
  const Variant& variant(const StepAttrs& step, Val rate);
  std::vector<Val> as_one_op(const StepOperands& o, Val decay, const AttrRef& attrs,
                             const std::string& hint);
  /// The next value, in steps that make no update the one that was held.
  Val updated(Val next, Val held);
  /// A parameter's next value beside its average, or replaced by it.
  Val averaged(const Trained& one, const std::string& hint, Val next);
  /// What of a parameter or slot the step is made of.
  Val stepped(const Trained& one, Val held);
  Val whole(const Trained& one, Val held, Val next);

  Builder& builder_;
  const StepAttrs& step_;
  Val learning_rate_, updates_;
  Accumulation accumulation_;
  Averages averages_;
  NumberSource* const source_;
  const bool decays_;
  std::vector<Val> shared_;
  std::deque<Variant> variants_;  ///< the optimizer's own is the first
};

}  // namespace gradc::passes
