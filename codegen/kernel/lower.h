// From graphs to a kernel program, in two steps with the memory plan between them: lower() makes
// the kernels of every node once, on symbolic buffers, and says what memory they need among
// themselves; add() puts in the addresses that the plan gives. Dispatches on KernelKind and
// Lowering, never on all ops.
#pragma once

#include "codegen/kernel/program_builder.h"
#include "codegen/target_info.h"
#include "ir/graph.h"
#include "passes/memory_plan.h"
#include "support/result.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc::kernel {

enum class SlotUse : uint8_t { kInput, kOutput };

/// One entry to lower. The graph is scheduled (its node order) and planned; it may hold kernel
/// nodes (fused), bare primitives (each becomes a kernel of its own), constants and updates.
struct LowerEntry {
  std::string name;  ///< "train_step", "predict", ...
  const Graph* graph = nullptr;
  const MemoryPlan* plan = nullptr;
  /// The slot of a graph input (by its external name) or graph output.
  std::function<int64_t(SlotUse use, std::string_view name)> slot;
};

/// A node's kernels, shared by all nodes with an equal body that overwrite the same of their
/// operands.
struct UnitCode;
class UnitTable;

struct LoweredLoop;

struct LoweredNode {
  NodeId node;
  std::shared_ptr<const UnitCode> code;     ///< null for a loop
  std::shared_ptr<const LoweredLoop> loop;  ///< null for kernels
  std::vector<ValueId> operands;            ///< by number of UnitRef::kOperand
  int64_t workspace_bytes = 0;
};

/// A graph as calls of kernels on symbolic buffers: its values, and the workspaces of nodes.
struct LoweredGraph {
  std::vector<LoweredNode> nodes;
  std::vector<Workspace> workspaces;  ///< offsets are not set
};

/// A scan. A carry that its kernel writes over has one place, that of its last value; each other
/// has two buffers in the node's workspace, which swap from step to step. Behind them is the arena
/// of the body, the same for every step.
struct LoweredLoop {
  std::shared_ptr<const Graph> body;
  LoweredGraph lowered;
  MemoryPlan plan;               ///< of the body
  std::vector<int64_t> carries;  ///< offsets of their first buffers in the workspace
  std::vector<bool> in_place;    ///< by carry: it has one place
  int64_t arena = 0;             ///< where the body's begins
  std::vector<int64_t> unread;   ///< by output: where it is written if nobody reads it
  std::vector<std::shared_ptr<const UnitCode>> copies;  ///< a copy of each output of the body
};

class ProgramLowering {
 public:
  ProgramLowering(std::string program_name, TargetInfo target);
  ProgramLowering(const ProgramLowering&) = delete;
  ProgramLowering& operator=(const ProgramLowering&) = delete;
  ~ProgramLowering();

  /// Makes the kernels of a graph's nodes, those that are not there yet. `storage` says which
  /// values share memory (a plan, or what assign_storage makes). Fails (kUnsupported) for ops that
  /// have no kernels, and (kInternal) where gradc made a kernel that its verifier refuses.
  Result<LoweredGraph> lower(const Graph& graph, const MemoryPlan& storage);

  /// Adds the entry of a lowered graph. A node's workspace is where the plan has it; for plans
  /// without workspaces it is behind the planned arena.
  Status add(const LowerEntry& entry, const LoweredGraph& lowered);

  const TargetInfo& target() const { return target_; }
  /// What was lowered so far; kernels and entries are added at its end.
  const Program& program() const { return builder_.program(); }
  Program take() { return builder_.take(); }

 private:
  Result<std::shared_ptr<const UnitCode>> copy_code(const TensorType& type);
  Status lower_loop(const Graph& graph, const MemoryPlan& storage, const Node& node,
                    LoweredNode& out);

  TargetInfo target_;
  ProgramBuilder builder_;
  std::unique_ptr<UnitTable> units_;
};

/// Lowers entries that have been planned, all into one program.
Result<Program> lower(const std::string& name, std::span<const LowerEntry> entries,
                      const TargetInfo& target);

}  // namespace gradc::kernel
