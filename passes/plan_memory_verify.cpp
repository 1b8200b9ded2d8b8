// The check of a memory plan: runs through the graph with a map of memory that says which value
// each byte holds, reads every operand and writes every result.
#include "ir/op.h"
#include "passes/in_place.h"
#include "passes/plan_memory.h"

#include <algorithm>
#include <map>
#include <set>

namespace gradc {
namespace {

class PlanVerifier {
 public:
  PlanVerifier(const Graph& graph, const MemoryPlan& plan) : graph_(graph), plan_(plan) {}

  std::vector<std::string> run() {
    if (plan_.storage.size() < graph_.value_capacity()) {
      return {"the plan is of another graph"};
    }
    for (const GraphInput& input : graph_.inputs())
      holds_[{kInputSpace + input.value.index, 0}] = {1, input.value};
    for (NodeId id : graph_.nodes())
      step(id);
    at_the_end();
    if (plan_.arena_bytes < plan_.lower_bound_bytes) wrong("the arena is below the lower bound");
    return std::move(errors_);
  }

 private:
  // Spaces of memory: the arena, each graph input, each output buffer, each constant.
  static constexpr uint64_t kArenaSpace = 0;
  static constexpr uint64_t kInputSpace = uint64_t{1} << 32U;
  static constexpr uint64_t kOutputSpace = uint64_t{2} << 32U;
  static constexpr uint64_t kConstantSpace = uint64_t{3} << 32U;
  using Address = std::pair<uint64_t, int64_t>;
  struct Held {
    int64_t bytes = 0;
    ValueId value;
  };

  void wrong(std::string text) { errors_.push_back(std::move(text)); }
  const std::string& name(ValueId value) const { return graph_.value(value).name; }

  Address address(ValueId value) const {
    const Storage& s = plan_.storage[value.index];
    switch (s.kind) {
      case StorageKind::kArena:
        return {kArenaSpace, s.offset};
      case StorageKind::kInput:
        return {kInputSpace + s.base.index, 0};
      case StorageKind::kOutput:
        return {kOutputSpace + s.output, 0};
      case StorageKind::kConstant:
      case StorageKind::kNone:
        return {kConstantSpace + value.index, 0};
    }
    GRADC_UNREACHABLE();
  }

  int64_t size(ValueId value) const {
    return plan_.storage[value.index].kind == StorageKind::kArena ? graph_.type(value).bytes() : 1;
  }

  void read(ValueId value, const std::string& by) {
    const auto found = holds_.find(address(value));
    if (found == holds_.end() || found->second.value != value)
      wrong(fmt::format("{} reads %{}, which is no longer (or not yet) in its place", by,
                        name(value)));
  }

  /// Whatever was in these bytes is gone. What is held does not overlap, so that only the one
  /// before can reach into them.
  void clear(Address at, int64_t bytes) {
    auto it = holds_.lower_bound(at);
    if (it != holds_.begin()) {
      const auto before = std::prev(it);
      if (before->first.first == at.first &&
          before->first.second + before->second.bytes > at.second)
        it = before;
    }
    while (it != holds_.end() && it->first.first == at.first &&
           it->first.second < at.second + bytes)
      it = holds_.erase(it);
  }

  /// Puts a value into memory.
  void write(ValueId value) {
    const Address at = address(value);
    const int64_t bytes = size(value);
    if (at.first == kArenaSpace && (at.second < 0 || at.second + bytes > plan_.arena_bytes ||
                                    at.second % kArenaAlignment != 0)) {
      wrong(fmt::format("%{} at {} is outside the arena or not aligned", name(value), at.second));
    }
    clear(at, bytes);
    holds_[at] = {bytes, value};
  }

  bool overlap(ValueId a, ValueId b) const {
    const Address x = address(a);
    const Address y = address(b);
    return x.first == y.first && x.second < y.second + size(b) && y.second < x.second + size(a);
  }

  void step(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.op == Op::kUpdate) return check_update(node);
    const std::string by = node.results.empty() ? "a node" : "%" + name(node.results[0]);
    for (ValueId operand : node.operands)
      read(operand, by);
    if (const Workspace* workspace = plan_.workspace_of(id)) use_workspace(node, *workspace, by);
    for (size_t i = 0; i < node.results.size(); ++i) {
      const ValueId result = node.results[i];
      const StorageKind kind = plan_.storage[result.index].kind;
      if (kind == StorageKind::kNone) {
        if (graph_.has_uses(result))
          wrong(fmt::format("%{} is used and stored nowhere", name(result)));
        continue;
      }
      for (size_t j = 0; j < i; ++j) {
        if (overlap(result, node.results[j]))
          wrong(fmt::format("%{} and %{} are written to the same place", name(result),
                            name(node.results[j])));
      }
      check_overwritten(id, result);
    }
    for (ValueId result : node.results) {
      if (plan_.storage[result.index].kind != StorageKind::kNone) write(result);
    }
  }

  /// A workspace lies on nothing that its node reads or writes; what it covers is gone.
  void use_workspace(const Node& node, const Workspace& workspace, const std::string& by) {
    const int64_t end = workspace.offset + workspace.bytes;
    const auto covers = [&](ValueId value) {
      const Address at = address(value);
      return at.first == kArenaSpace && at.second < end &&
             workspace.offset < at.second + size(value);
    };
    if (workspace.offset < 0 || end > plan_.arena_bytes || workspace.offset % kArenaAlignment != 0)
      wrong(fmt::format("the workspace of {} is outside the arena or not aligned", by));
    if (std::any_of(node.operands.begin(), node.operands.end(), covers) ||
        std::any_of(node.results.begin(), node.results.end(), covers))
      wrong(fmt::format("the workspace of {} lies on what its kernels read or write", by));
    clear({kArenaSpace, workspace.offset}, workspace.bytes);
  }

  /// A result may lie on an operand only point by point.
  void check_overwritten(NodeId id, ValueId result) {
    for (ValueId operand : graph_.node(id).operands) {
      if (!overlap(result, operand)) continue;
      const bool exact = address(result) == address(operand) &&
                         graph_.type(result).bytes() == graph_.type(operand).bytes();
      const bool allowed = graph_.node(id).op == Op::kScan
                               ? is_first_of_carry(graph_.node(id), result, operand)
                               : PointReads(graph_).only_at_own_point(id, operand);
      if (!exact || !allowed)
        wrong(fmt::format("%{} is written over %{}, which its kernel still needs", name(result),
                          name(operand)));
      if (plan_.storage[result.index].in_place_of != operand)
        wrong(fmt::format("%{} lies on %{} without saying so", name(result), name(operand)));
    }
  }

  void check_update(const Node& node) {
    read(node.operands[1], "update");
    if (address(node.operands[1]) != address(node.operands[0]))
      wrong(fmt::format("the new value of %{} is not in its place", name(node.operands[0])));
    updated_.insert(node.operands[0].index);
  }

  void at_the_end() {
    std::set<size_t> copied(plan_.copied_outputs.begin(), plan_.copied_outputs.end());
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const ValueId value = graph_.outputs()[i].value;
      read(value, "output " + graph_.outputs()[i].name);
      const bool there = address(value) == Address{kOutputSpace + i, 0};
      if (there == copied.contains(i))
        wrong(fmt::format("output {} is {}", i, there ? "copied onto itself" : "never written"));
    }
    for (const GraphInput& input : graph_.inputs()) {
      if (!updated_.contains(input.value.index)) read(input.value, "the next step");
    }
    for (NodeId id : graph_.nodes()) {
      if (graph_.node(id).op == Op::kUpdate) read(graph_.node(id).operands[1], "the next step");
    }
  }

  const Graph& graph_;
  const MemoryPlan& plan_;
  std::map<Address, Held> holds_;
  std::set<uint32_t> updated_;
  std::vector<std::string> errors_;
};

}  // namespace

std::vector<std::string> verify_plan(const Graph& graph, const MemoryPlan& plan) {
  return PlanVerifier(graph, plan).run();
}

}  // namespace gradc
