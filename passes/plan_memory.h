// From a scheduled graph to a MemoryPlan, and its independent check.
#pragma once

#include "ir/graph.h"
#include "passes/memory_plan.h"
#include "passes/offset_planner.h"
#include "support/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace gradc {

/// The plan of a graph in its present order: storage of every value, buffers and bounds. Fails
/// (kUnsupported) when an update cannot be written in place; in_place makes all of them so.
/// `workspaces` (their offsets are not read) are planned with the values, each alive at its node.
/// The first `carries` outputs are what the first inputs become in the next step of a loop, and are
/// written over them where their kernel allows it.
Result<MemoryPlan> make_memory_plan(const Graph& graph, const OffsetPlannerOptions& options = {},
                                    std::span<const Workspace> workspaces = {}, size_t carries = 0);

/// The plan of a graph but for what its kernels need among themselves: which values share memory,
/// every buffer of the arena in a place of its own. What lowering needs to know before the plan.
Result<MemoryPlan> assign_storage(const Graph& graph, size_t carries = 0);

/// Ok if the arena is within the budget (absent: any is), else kMemoryBudget with what is alive at
/// the peak. `file` is where the graph came from.
Status check_memory_budget(const Graph& graph, const MemoryPlan& plan,
                           std::optional<int64_t> budget_bytes, const std::string& file);

/// Runs through the graph and follows who is stored where: every read finds the value it wants,
/// nothing is written over something still needed. One line per violation. Shares no liveness code
/// with the planner.
std::vector<std::string> verify_plan(const Graph& graph, const MemoryPlan& plan);

}  // namespace gradc
