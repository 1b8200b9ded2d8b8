// plan_memory - gives every value its place: in the arena, in place of a parameter, in the caller's
// output buffers, or in the code's constants.
#include "passes/plan_memory.h"

#include "ir/op.h"
#include "passes/in_place.h"
#include "passes/liveness.h"
#include "passes/memory_report.h"
#include "passes/passes.h"
#include "support/check.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace gradc {
namespace {

/// Plans for one graph: what does not depend on workspaces is found once.
class Planner {
 public:
  Planner(const Graph& graph, size_t carries)
      : graph_(graph),
        carries_(carries),
        positions_(node_positions(graph)),
        targets_(find_targets()),
        model_(graph, targets_),
        buffers_(live_buffers(graph, model_)) {}

  /// Without options every buffer has a place of its own.
  Result<MemoryPlan> run(const OffsetPlannerOptions* options,
                         std::span<const Workspace> workspaces) {
    for (NodeId id = graph_.first_node(); id.valid(); id = graph_.node(id).next) {
      const Node& node = graph_.node(id);
      if (node.op != Op::kUpdate || targets_[node.operands[1].index] == node.operands[0]) continue;
      return make_error(DiagKind::kUnsupported, {},
                        "the update of %{} cannot be written in place; run in_place before "
                        "plan_memory",
                        graph_.value(node.operands[0]).name);
    }
    plan_ = {};
    plan_.storage.resize(graph_.value_capacity());
    place_outside_the_arena();
    GRADC_TRY_STATUS(place_in_the_arena(workspaces, options));
    place_updates();
    return std::move(plan_);
  }

 private:
  Storage& storage(ValueId value) { return plan_.storage[value.index]; }

  std::vector<ValueId> find_targets() const {
    std::vector<ValueId> targets = in_place_targets(graph_, &positions_);
    for (size_t i = 0; i < carries_; ++i) {
      if (carry_can_be_in_place(graph_, i, positions_))
        targets[graph_.outputs()[i].value.index] = graph_.inputs()[i].value;
    }
    return targets;
  }

  void place_outside_the_arena() {
    for (const GraphInput& input : graph_.inputs()) {
      storage(input.value).kind = StorageKind::kInput;
      storage(input.value).base = input.value;
    }
    for (NodeId id = graph_.first_node(); id.valid(); id = graph_.node(id).next) {
      if (graph_.node(id).op != Op::kConstant) continue;
      storage(graph_.node(id).results[0]).kind = StorageKind::kConstant;
    }
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const ValueId value = graph_.outputs()[i].value;
      if (i < carries_ && model_.target(value) == graph_.inputs()[i].value) continue;
      const bool elsewhere =
          storage(value).kind != StorageKind::kNone || model_.target(value).valid();
      if (elsewhere) {
        plan_.copied_outputs.push_back(i);
        continue;
      }
      storage(value).kind = StorageKind::kOutput;
      storage(value).output = i;
    }
  }

  BufferSpec workspace_spec(const Workspace& workspace, int64_t position) const {
    const Node& node = graph_.node(workspace.node);
    BufferSpec spec;
    spec.name = "workspace";
    if (!node.results.empty()) spec.name += " of " + graph_.value(node.results[0]).name;
    spec.bytes = workspace.bytes;
    spec.first = spec.last = position;
    spec.alignment = kArenaAlignment;
    return spec;
  }

  Status place_in_the_arena(std::span<const Workspace> workspaces,
                            const OffsetPlannerOptions* options) {
    std::vector<BufferSpec> specs;
    specs.reserve(buffers_.size() + workspaces.size());
    for (const LiveBuffer& buffer : buffers_)
      specs.push_back(buffer.spec);
    for (const Workspace& workspace : workspaces)
      specs.push_back(workspace_spec(workspace, positions_[workspace.node.index]));
    OffsetPlan offsets;
    if (options == nullptr) {
      offsets = apart(specs);
    } else {
      GRADC_TRY(offsets, plan_offsets(specs, *options));
    }
    plan_.buffers.reserve(specs.size());
    for (size_t i = 0; i < specs.size(); ++i) {
      BufferSpec& spec = specs[i];
      plan_.buffers.push_back(
          {std::move(spec.name), spec.bytes, offsets.offsets[i], spec.first, spec.last});
    }
    for (size_t i = 0; i < workspaces.size(); ++i) {
      plan_.workspaces.push_back(workspaces[i]);
      plan_.workspaces.back().offset = offsets.offsets[buffers_.size() + i];
    }
    std::sort(plan_.workspaces.begin(), plan_.workspaces.end(),
              [](const Workspace& a, const Workspace& b) { return a.node < b.node; });
    for (size_t i = 0; i < buffers_.size(); ++i) {
      ValueId previous;
      for (ValueId value : buffers_[i].values) {
        storage(value).kind = StorageKind::kArena;
        storage(value).offset = offsets.offsets[i];
        storage(value).in_place_of = previous;
        previous = value;
      }
    }
    plan_.arena_bytes = offsets.bytes;
    plan_.lower_bound_bytes = offsets.lower_bound;
    plan_.naive_bytes = naive_bytes(workspaces);
    return Ok{};
  }

  static OffsetPlan apart(const std::vector<BufferSpec>& specs) {
    OffsetPlan plan;
    for (const BufferSpec& spec : specs) {
      plan.offsets.push_back(plan.bytes);
      plan.bytes += (spec.bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
    }
    return plan;
  }

  /// Every value in a buffer of its own.
  int64_t naive_bytes(std::span<const Workspace> workspaces) const {
    int64_t sum = 0;
    for (NodeId id = graph_.first_node(); id.valid(); id = graph_.node(id).next) {
      for (ValueId result : model_.arena_results(id))
        sum += model_.bytes(result);
    }
    for (const Workspace& workspace : workspaces)
      sum += workspace.bytes;
    return sum;
  }

  void place_updates() {
    for (size_t i = 0; i < targets_.size(); ++i) {
      const ValueId target = targets_[i];
      if (!target.valid()) continue;
      Storage& s = plan_.storage[i];
      s.kind = StorageKind::kInput;
      s.base = target;
      const Node& writer = graph_.node(graph_.def(ValueId(i)));
      const auto& operands = writer.operands;
      if (std::find(operands.begin(), operands.end(), target) != operands.end())
        s.in_place_of = target;
    }
  }

  const Graph& graph_;
  const size_t carries_;
  const std::vector<int64_t> positions_;
  const std::vector<ValueId> targets_;
  const LivenessModel model_;
  const std::vector<LiveBuffer> buffers_;
  MemoryPlan plan_;
};

}  // namespace

Result<MemoryPlan> make_memory_plan(const Graph& graph, const OffsetPlannerOptions& options,
                                    std::span<const Workspace> workspaces, size_t carries) {
  return Planner(graph, carries).run(&options, workspaces);
}

Result<MemoryPlan> assign_storage(const Graph& graph, size_t carries) {
  return Planner(graph, carries).run(nullptr, {});
}

Status check_memory_budget(const Graph& graph, const MemoryPlan& plan,
                           std::optional<int64_t> budget_bytes, const std::string& file) {
  if (!budget_bytes || plan.arena_bytes <= *budget_bytes) return Ok{};
  Place place;
  place.file = file;
  Diagnostic error = make_error(DiagKind::kMemoryBudget, std::move(place),
                                "graph @{} needs an arena of {} bytes, the budget is {}",
                                graph.name(), plan.arena_bytes, *budget_bytes);
  const MemoryPeak peak = find_memory_peak(graph, plan);
  error.with_note(
      fmt::format("the peak is at step {}, {}: {}", peak.step, peak.node, peak.live_text(5)));
  return error;
}

namespace passes {

Result<bool> plan_memory(Graph& graph, PassContext& context) {
  Planner planner(graph, 0);
  std::vector<Workspace> workspaces;
  if (context.options.find_workspaces) {
    GRADC_TRY(const MemoryPlan storage, planner.run(nullptr, {}));
    GRADC_TRY(workspaces, context.options.find_workspaces(graph, storage));
  }
  const OffsetPlannerOptions options;
  GRADC_TRY(MemoryPlan plan, planner.run(&options, workspaces));
  context.count("arena bytes", plan.arena_bytes);
  context.count("lower bound bytes", plan.lower_bound_bytes);
  GRADC_TRY_STATUS(
      check_memory_budget(graph, plan, context.options.memory_budget_bytes, context.options.file));
  if (context.options.verify) {
    const std::vector<std::string> wrong = verify_plan(graph, plan);
    GRADC_CHECK(wrong.empty(), "plan_memory made a wrong plan: {}", fmt::join(wrong, "; "));
  }
  plan.recomputed = std::exchange(context.recomputed, {});
  context.plan = std::move(plan);
  return false;
}

}  // namespace passes
}  // namespace gradc
