// The result of memory planning: where every value of a fused, scheduled graph lives. Made by
// passes/plan_memory, read by codegen and by reports. Steps count the nodes of the graph in order
// from 0.
#pragma once

#include "ir/graph.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gradc {

enum class StorageKind : uint8_t {
  kNone,    ///< never materialised (no uses)
  kInput,   ///< the memory of graph input `base`: the input itself, or its updated value written in
            ///< place
  kOutput,  ///< the caller's buffer for graph output `output`
  kArena,   ///< offset in the arena
  kConstant,  ///< read-only data of the compiled code
};

struct Storage {
  StorageKind kind = StorageKind::kNone;
  int64_t offset = 0;   ///< kArena: bytes
  ValueId base;         ///< kInput: which graph input
  size_t output = 0;    ///< kOutput: index into graph.outputs()
  ValueId in_place_of;  ///< kArena/kInput: overwrites this operand of its own kernel; invalid: none
};

struct PlannedBuffer {
  std::string name;
  int64_t bytes = 0;
  int64_t offset = 0;
  int64_t first = 0;  ///< step that writes it
  int64_t last = 0;   ///< last step that reads it
};

/// Memory that the kernels of one node use among themselves: partial sums, copies with zeros
/// around.
struct Workspace {
  NodeId node;
  int64_t bytes = 0;
  int64_t offset = 0;  ///< in the arena
};

struct MemoryPlan {
  std::vector<Storage> storage;        ///< by ValueId
  std::vector<PlannedBuffer> buffers;  ///< workspaces included
  std::vector<Workspace> workspaces;   ///< sorted by the node's id, one each
  /// Graph outputs whose value lives elsewhere (an input, or another output): to be copied at the
  /// end.
  std::vector<size_t> copied_outputs;
  int64_t arena_bytes = 0;
  int64_t lower_bound_bytes = 0;  ///< the largest sum of bytes live at one step
  int64_t naive_bytes = 0;        ///< sum over all arena buffers
  /// Of each thread, beside the arena: what the dearest kernel packs. Code generation knows it;
  /// none where it was not asked.
  std::optional<int64_t> scratch_bytes;
  /// Of the model's description and the entry's steps; only who describes the model knows them.
  std::optional<int64_t> table_bytes;
  std::string recomputed;  ///< what is made again instead of being kept; empty: nothing

  /// The workspace of a node, or null.
  const Workspace* workspace_of(NodeId node) const {
    const auto found = std::lower_bound(workspaces.begin(), workspaces.end(), node,
                                        [](const Workspace& w, NodeId id) { return w.node < id; });
    return found != workspaces.end() && found->node == node ? &*found : nullptr;
  }
};

}  // namespace gradc
