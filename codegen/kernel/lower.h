// From planned graphs to a kernel program: every node of a fused, scheduled graph becomes one or
// more kernel calls. Dispatches on KernelKind and Lowering, never on all ops.
#pragma once

#include "codegen/kernel/program.h"
#include "codegen/target_info.h"
#include "ir/graph.h"
#include "passes/memory_plan.h"
#include "support/result.h"

#include <functional>
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

/// What nodes of an entry need in the arena beside their values, for make_memory_plan; offsets are
/// not set.
Result<std::vector<Workspace>> find_workspaces(const LowerEntry& entry, const TargetInfo& target);

/// Lowers all entries into one program; kernels that are equal up to names are shared. A node that
/// needs memory for itself uses its workspace of the plan; in plans without workspaces that memory
/// is behind the planned arena. Fails (kUnsupported) for ops that have no kernels, and (kInternal)
/// where gradc made a kernel that its verifier refuses.
Result<Program> lower(const std::string& name, std::span<const LowerEntry> entries,
                      const TargetInfo& target);

}  // namespace gradc::kernel
