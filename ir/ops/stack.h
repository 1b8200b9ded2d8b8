// Rules for all steps of a loop at once (OpDef::stack): the same op with one more leading axis.
#pragma once

#include "ir/ops/common.h"

namespace gradc::ops {

/// The same call on all steps of every operand: for ops that do not name axes from the front.
inline std::vector<Val> stack_call(const StackArgs& s, Op op, AttrRef attrs) {
  std::vector<Val> operands;
  for (size_t i = 0; i < s.operands.size(); ++i)
    operands.push_back(s.all_steps(i));
  return s.builder.add_multi(op, std::move(operands), std::move(attrs));
}

/// Axes of one step as axes of the stack.
inline Ints behind_steps(Ints axes) {
  for (int64_t& axis : axes)
    ++axis;
  return axes;
}

/// A list with one number per axis, for the stack; an empty list stays empty.
inline Ints with_steps(int64_t of_steps, Ints list) {
  if (!list.empty()) list.insert(list.begin(), of_steps);
  return list;
}

/// Steps and leading axis become one, and two again: for ops that treat examples alike.
inline Val merged_steps(Val stack) {
  Shape shape(stack.shape().dims().subspan(1));
  shape[0] *= stack.shape()[0];
  return reshape(stack, shape);
}
inline Val split_steps(Val merged, int64_t steps) {
  Shape shape = {steps};
  for (int64_t extent : merged.shape())
    shape.push_back(extent);
  shape[1] /= steps;
  return reshape(merged, shape);
}

}  // namespace gradc::ops
