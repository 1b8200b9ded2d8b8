// When a kernel may overwrite one of its operands, and when an update can be written straight into
// the memory of its parameter.
//
// A kernel may write over an operand when it reads that operand only at the very point it writes:
// through elementwise ops and reshapes, never through other views, reductions or the operands of a
// contraction. Kernels keep this safe by computing all results of a point before storing any. A row
// kernel passes over a row several times, one thread over the whole row, and stores in the last
// pass: so it may also write over what its reductions read, element for element.
#pragma once

#include "ir/graph.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace gradc {

/// The bytes a value takes in the arena: whole cache lines.
inline constexpr int64_t kArenaAlignment = 64;
int64_t arena_bytes(const TensorType& type);

/// At which points the nodes of a graph read their operands. What follows from a kernel's body is
/// found once for all kernels of that body: neither the graph nor a body may change meanwhile.
class PointReads {
 public:
  explicit PointReads(const Graph& graph) : graph_(graph) {}

  /// Whether `node` reads `value` only at the points at which it writes its results (true also when
  /// it does not read it), and the value has as many elements as there are points.
  bool only_at_own_point(NodeId node, ValueId value);

  /// For each result of a node, the operands whose memory it could take over: equal bytes, read
  /// only at the result's own point, no short rows. Whether they are dead afterwards is not asked.
  std::vector<std::vector<ValueId>> overwritable(NodeId node);

 private:
  struct OfBody {
    std::vector<char> own;    ///< by input: read at the kernel's own point only
    int64_t points = 0;       ///< of a row kernel, the elements that it reduces; else 0
    bool short_rows = false;  ///< of a row kernel
  };
  const OfBody& of_body(const Node& kernel);
  int64_t num_points(const Node& node);
  bool is_own(const Node& node, size_t operand);

  const Graph& graph_;
  std::unordered_map<const Graph*, OfBody> of_body_;
};

/// Positions of nodes in the graph's order, by NodeId.
std::vector<int64_t> node_positions(const Graph& graph);

/// Whether the value of this update can be written into the target's memory by its own kernel: all
/// other readers of the target come before, and the kernel reads the target at its own point only.
/// Without positions the order of readers is not asked.
bool update_can_be_in_place(const Graph& graph, NodeId update,
                            const std::vector<int64_t>* positions, PointReads& reads);

/// Whether the value that a loop's body yields for carry `carry` can be written over that carry by
/// its own kernel, under the same conditions.
bool carry_can_be_in_place(const Graph& body, size_t carry, const std::vector<int64_t>& positions);

/// Whether a result of a loop may lie where an operand does: the first value of the same carry,
/// which is read once, before anything is written.
bool is_first_of_carry(const Node& loop, ValueId result, ValueId operand);

/// The updates written in place, for a given order: at most one per value. By ValueId of the new
/// value: the target, or an invalid id.
std::vector<ValueId> in_place_targets(const Graph& graph, const std::vector<int64_t>* positions);

}  // namespace gradc
