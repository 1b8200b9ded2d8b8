// Steps of an optimizer that stay one node until their kernel's body is made: where each element is
// made of the elements in its place, nobody shares what is inside, and a deep network has many
// steps in few different kernels. Others are expanded with the composites.
#pragma once

#include "ir/builder.h"
#include "ir/graph.h"

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace gradc {

class WholeSteps {
 public:
  /// How many nodes a kernel has for this one, constants and repeated scalars aside; 0 for all but
  /// steps that stay whole.
  uint32_t size(const Node& node);

 private:
  std::vector<std::pair<AttrRef, uint32_t>> known_;
};

/// The results of a step that stays whole, as its simplified formula of these operands: parameter,
/// gradient and slots of one shape, which may be another one than the node's; scalars as they are.
std::vector<Val> step_formula(Builder& builder, const Node& step, std::span<const Val> operands);

}  // namespace gradc
