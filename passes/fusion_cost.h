// The cost model of fusion. One unit is about one simple vector operation for one element, which
// takes about as long as moving one byte from the second-level cache.
//
// Why these numbers: with 16 floats in a vector and two operations a cycle an element costs 1/32
// cycle an operation; the second-level cache gives about 32 bytes a cycle. A kernel's call, its
// barrier and the start of its loops take in the order of a hundred cycles.
#pragma once

#include "passes/fusion_form.h"
#include "passes/whole_steps.h"

#include <cstdint>
#include <span>
#include <vector>

namespace gradc {

inline constexpr double kKernelOverhead = 4096;      ///< units saved by one kernel less
inline constexpr size_t kMaxBodyNodes = 64;          ///< constants not counted
inline constexpr size_t kMaxKernelOperands = 16;     ///< pointers that fit in registers and stack
inline constexpr double kMaxPrologueCost = 4;        ///< per element packed for a contraction
inline constexpr double kMaxInlineCost = 4;          ///< per element of a value computed twice
inline constexpr double kMaxRepeatCost = 2;          ///< ... from one stored value of the same size
inline constexpr uint32_t kMaxInlineNodes = 32;      ///< of a value computed twice, all its parts
inline constexpr double kTinyBytes = 4096;           ///< a kernel of less is not worth its call
inline constexpr int64_t kMinParallelRows = 8;       ///< below, a long row kernel lacks parallelism
inline constexpr int64_t kMaxSerialElements = 4096;  ///< a row that one thread may do alone

/// Units for one element of a node's result.
double op_cost(const Node& node);

/// Measures kernels of one graph; keeps scratch tables, so that many can be asked about.
class WorkMeter {
 public:
  WorkMeter(const Graph& graph, WholeSteps& steps);

  /// Units of a whole kernel without the contraction's own multiplications: every node at each
  /// point where it is evaluated, which counts work that fusion repeats.
  double measure(std::span<const NodeId> nodes, std::span<const ValueId> outputs,
                 const KernelForm& form, const FormFinder& classes);

 private:
  double points(ValueId value) const {
    const ValueState& v = values_[value.index];
    return v.stamp == stamp_ ? v.points : 0;
  }
  double elements(ValueId value) const { return values_[value.index].elements; }
  void ask(ValueId value, double points);
  bool is_stored_in_parts(const Node& node, const KernelForm& form) const;

  struct NodeCost {
    double element = 0;         ///< of one element of the result
    double repeats = 0;         ///< how often an anchor asks for each element of its operands
    bool is_reduction = false;  ///< a plain one
  };
  struct ValueState {
    double elements = 0;
    double points = 0;  ///< at how many it is asked for
    uint32_t stamp = 0;
  };

  const Graph& graph_;
  std::vector<NodeCost> costs_;     ///< by NodeId
  std::vector<ValueState> values_;  ///< by ValueId
  uint32_t stamp_ = 0;
};

/// Multiplications and additions, an add and a multiply counting one each; for contractions
/// 2 * batch * m * n * k, for reductions and elementwise ops one per element, for views none.
int64_t node_flops(const Graph& graph, const Node& node);

}  // namespace gradc
