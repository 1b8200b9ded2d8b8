// Which values need arena memory, for how long, and how much of it lives at each step of an order.
// The model that scheduling minimises and that planning carries out.
#pragma once

#include "ir/graph.h"
#include "passes/offset_planner.h"

#include <cstdint>
#include <span>
#include <vector>

namespace gradc {

struct LiveProfile {
  int64_t peak = 0;      ///< the most bytes live at one step
  size_t peak_step = 0;  ///< the first step where that is so
  double total = 0;      ///< bytes times steps, as a measure of how early memory is given back
};

/// What one node does to the arena, apart from order.
class LivenessModel {
 public:
  /// `targets` says which values are written into parameters (in_place_targets).
  LivenessModel(const Graph& graph, std::vector<ValueId> targets);

  /// Bytes the value takes in the arena: 0 for inputs, constants, outputs, what is written in place
  /// of a parameter, and what nobody uses.
  int64_t bytes(ValueId value) const { return bytes_[value.index]; }
  ValueId target(ValueId value) const { return targets_[value.index]; }
  /// Different nodes that read the value (updates of what is not in place included).
  uint32_t num_readers(ValueId value) const { return readers_[value.index]; }
  /// Operands in the arena, each once.
  const std::vector<ValueId>& arena_operands(NodeId node) const { return row(node).operands; }
  const std::vector<ValueId>& arena_results(NodeId node) const { return row(node).results; }

  /// Pairs (result, operand) of a node where the result takes over the operand's memory, given how
  /// many reads of each value are still to come (by ValueId, this node's included).
  void taken_over(NodeId node, std::span<const uint32_t> reads_to_come,
                  std::vector<std::pair<ValueId, ValueId>>& pairs) const;

  /// The live bytes of running the nodes in this order.
  LiveProfile profile(std::span<const NodeId> order) const;

 private:
  /// What a node does to the arena.
  struct Row {
    std::vector<ValueId> operands;
    std::vector<ValueId> results;
    std::vector<std::vector<ValueId>> overwritable;  ///< by result
  };
  const Row& row(NodeId node) const { return rows_[row_of_[node.index]]; }

  std::vector<ValueId> targets_;
  std::vector<int64_t> bytes_;     ///< by ValueId
  std::vector<uint32_t> readers_;  ///< by ValueId
  std::vector<uint32_t> row_of_;   ///< by NodeId: there were many more nodes than there are
  std::vector<Row> rows_;
};

/// A stretch of arena: one value, or several that follow each other in place.
struct LiveBuffer {
  std::vector<ValueId> values;  ///< in the order in which they are written
  BufferSpec spec;              ///< steps are positions in the order
};

/// The buffers of a graph in its present order.
std::vector<LiveBuffer> live_buffers(const Graph& graph, const LivenessModel& model);

}  // namespace gradc
