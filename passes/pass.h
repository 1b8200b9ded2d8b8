// What a pass is and what it may use. A pass is one function on a graph, `Result<bool> name(Graph&,
// PassContext&)`, that says whether it changed anything, and a row in passes/passes.def. Printing,
// timing, verifying and stopping belong to the pass manager.
#pragma once

#include "ir/graph.h"
#include "ir/optimizer_spec.h"
#include "passes/memory_plan.h"
#include "passes/recompute.h"
#include "support/diagnostic.h"
#include "support/result.h"
#include "support/statistics.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc {

/// What passes are told about the compilation; the driver fills it.
struct PassOptions {
  std::string file;                        ///< the model's file, for diagnostics
  std::optional<OptimizerSpec> optimizer;  ///< needed by apply_optimizer
  bool tuned = false;               ///< apply_optimizer: numbers are inputs (optimizer_numbers.h)
  bool parameter_gradients = true;  ///< what differentiate gives
  bool input_gradients = false;
  std::optional<int64_t> memory_budget_bytes;  ///< of the arena
  Recomputation recompute;                     ///< what the pass of that name does
  /// fuse gives each kernel a body of its own, with the names and places of what it is made of:
  /// for text that people read. Else kernels that are equal have one.
  bool name_bodies = false;
  bool verify = false;  ///< fuse and plan_memory check what they made (the manager's verify_each)
  /// What the kernels of single nodes need among themselves, given which values share memory
  /// (assign_storage); plan_memory plans it with the values. Empty: nothing.
  std::function<Result<std::vector<Workspace>>(const Graph& graph, const MemoryPlan& storage)>
      find_workspaces;
};

/// Lets through the rewrites first..last (counted from 0) of one pass, to find the one that breaks
/// a model.
struct DebugCounter {
  int64_t first = 0;
  int64_t last = INT64_MAX;
};

/// One run of a pipeline: what is shared between its passes.
class PassContext {
 public:
  explicit PassContext(PassOptions pass_options = {}) : options(std::move(pass_options)) {}

  /// Adds to the counter "<pass>: <what>".
  void count(std::string_view what, int64_t amount = 1);
  /// Asked before each optional rewrite; false when the pass's debug counter excludes it.
  bool may_rewrite();

  PassOptions options;
  DiagnosticSink sink;             ///< warnings; errors are returned
  Statistics statistics;           ///< the counters
  std::string recomputed;          ///< what recompute chose, for the plan
  std::optional<MemoryPlan> plan;  ///< made by plan_memory
  std::map<std::string, DebugCounter, std::less<>> debug_counters;  ///< by pass name

  /// The manager calls this before each pass.
  void begin_pass(std::string_view name);

 private:
  std::string pass_;
  std::vector<std::pair<std::string, size_t>> counters_;  ///< of this pass, in `statistics`
  std::map<std::string, int64_t, std::less<>> rewrites_;
};

using PassFn = Result<bool> (*)(Graph&, PassContext&);

/// What the manager runs a pass on.
enum class PassScope : uint8_t {
  kGraph,   ///< the graph of an entry
  kBodies,  ///< and every body in it that is not sealed (BodyDef), as on a graph of its own
};

struct PassInfo {
  std::string_view name;
  PassFn run = nullptr;
  PassScope scope = PassScope::kGraph;
  std::string_view summary;
};

}  // namespace gradc
