// The joint body of a loop's gradient, and how the gradients of whole operands are summed over the
// steps.
#pragma once

#include "ir/ops/scan.h"

#include <map>
#include <memory>
#include <set>
#include <vector>

namespace gradc::ops {

/// A loop's body with its gradient: args of the operands, then a seed for each cotangent; forward
/// nodes, then backward nodes in the order in which they were added.
struct JointBody {
  std::shared_ptr<Graph> graph;
  size_t carries = 0;          ///< operands before are carries
  size_t captures = 0;         ///< operands before are carries and slices
  size_t operands = 0;         ///< args behind are seeds
  std::vector<ValueId> seeds;  ///< by output of the body: an arg, or invalid

  ValueId arg(size_t i) const { return graph->inputs()[i].value; }
  /// Which arg a value is; SIZE_MAX for results of nodes.
  size_t arg_index(ValueId v) const {
    return graph->is_input(v) ? graph->value(v).index : SIZE_MAX;
  }
  bool is_forward(ValueId v) const;
  /// An operand that every step sees whole.
  bool is_whole(ValueId v) const { return arg_index(v) >= captures && arg_index(v) < operands; }
  /// Of what exists for all steps outside, a slice: of an operand or of an output's cotangent.
  bool is_stack(ValueId v) const;
};

/// How the sum over all steps of a value of the joint body comes about.
enum class StepSum : uint8_t {
  kInLoop,   ///< a carry of the gradient's loop adds it up
  kStacked,  ///< of all steps at once, which the loop yields or which exist already
  kCall,     ///< its op over stacked operands (OpDef::sum_steps)
  kLinear,   ///< its op, which is linear, of the sum of its one operand
  kTwoSums,  ///< the sum of two sums
};

/// Sums over all steps of values of a joint body, and what the loop must give for them.
struct StepSums {
  std::map<ValueId, StepSum> kinds;  ///< of the totals and of the sums they are made of
  std::set<ValueId> stacked;         ///< values wanted for all steps at once
  std::vector<ValueId> in_loop;      ///< those of kInLoop
};
StepSums plan_step_sums(const JointBody& joint, const std::vector<ValueId>& totals);

}  // namespace gradc::ops
