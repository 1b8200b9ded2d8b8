// A lowered graph and a plan to an entry: every argument gets its address.
#include "codegen/kernel/lower.h"
#include "codegen/kernel/lower_code.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace gradc::kernel {

namespace {

constexpr int64_t kAlignment = 64;

class Placement {
 public:
  Placement(const LowerEntry& entry, ProgramBuilder& builder)
      : entry_(entry), graph_(*entry.graph), plan_(*entry.plan), builder_(builder) {
    result_.name = entry.name;
    result_.arena_bytes = plan_.arena_bytes;
    behind_ = (plan_.arena_bytes + kAlignment - 1) / kAlignment * kAlignment;
    for (const Workspace& workspace : plan_.workspaces)
      workspaces_.emplace(workspace.node, &workspace);
  }

  /// Where a value lives; none for values that are never materialised.
  std::optional<Address> place(ValueId value) {
    if (graph_.is_input(value)) return input_slot(value);
    const Storage& storage = plan_.storage[value.index];
    switch (storage.kind) {
      case StorageKind::kNone:
        return std::nullopt;
      case StorageKind::kInput:
        return input_slot(storage.base);
      case StorageKind::kOutput:
        return output_slot(storage.output);
      case StorageKind::kArena:
        return Address::arena(storage.offset);
      case StorageKind::kConstant: {
        const Node& def_node = graph_.node(graph_.def(value));
        GRADC_CHECK(def_node.op == Op::kConstant, "{} is planned as constant data",
                    graph_.value(value).name);
        const TensorType& type = graph_.type(value);
        return Address::constant(builder_.constant(
            type.dtype, def_node.attrs.as<ConstantAttrs>().value, type.num_elements()));
      }
    }
    GRADC_UNREACHABLE();
  }

  Address input_slot(ValueId input) {
    const std::string& name = graph_.input_of(input).name;
    const int64_t number = entry_.slot(SlotUse::kInput, name);
    declare(number, name, graph_.type(input));
    return Address::slot(number);
  }

  Address output_slot(size_t output) {
    const GraphOutput& out = graph_.outputs()[output];
    const int64_t number = entry_.slot(SlotUse::kOutput, out.name);
    declare(number, out.name, graph_.type(out.value));
    return Address::slot(number);
  }

  void node(const LoweredNode& lowered) {
    const Node& node = graph_.node(lowered.node);
    std::vector<Address> operands;
    for (const ValueId operand : lowered.operands) {
      const std::optional<Address> address = place(operand);
      GRADC_CHECK(address.has_value(), "%{} is read but lives nowhere", graph_.value(operand).name);
      operands.push_back(*address);
    }
    std::vector<std::optional<Address>> results;
    for (const ValueId result : node.results)
      results.push_back(place(result));
    calls(*lowered.code, operands, results, workspace(lowered),
          node.loc.valid() ? graph_.location(node.loc) : std::string());
  }

  void copy(const UnitCode& code, const Address& from, const Address& to, const std::string& what) {
    calls(code, {from}, {to}, 0, what);
  }

  Entry take() { return std::move(result_); }

 private:
  void declare(int64_t number, const std::string& name, const TensorType& type) {
    const auto index = static_cast<size_t>(number);
    if (result_.slots.size() <= index) result_.slots.resize(index + 1);
    Slot& slot = result_.slots[index];
    if (slot.name.empty()) slot = {name, type};
    GRADC_CHECK(slot.type == type, "slot {}, {}: {} and {}", number, name, to_string(slot.type),
                to_string(type));
  }

  /// Where a node's workspace begins.
  int64_t workspace(const LoweredNode& lowered) {
    const int64_t bytes = lowered.code->workspace_bytes;
    if (bytes == 0) return 0;
    const auto it = workspaces_.find(lowered.node);
    GRADC_CHECK(it == workspaces_.end() || it->second->bytes == bytes,
                "a workspace of {} bytes was planned, {} are needed", it->second->bytes, bytes);
    const int64_t begin = it != workspaces_.end() ? it->second->offset : behind_;
    result_.arena_bytes = std::max(result_.arena_bytes, begin + bytes);
    return begin;
  }

  void calls(const UnitCode& code, const std::vector<Address>& operands,
             const std::vector<std::optional<Address>>& results, int64_t workspace,
             const std::string& location) {
    for (const UnitCode::Call& unit_call : code.calls) {
      Call call;
      call.kernel = unit_call.kernel;
      call.joins_previous = unit_call.joins_previous;
      call.location = location;
      for (const UnitRef& ref : unit_call.arguments) {
        switch (ref.kind) {
          case UnitRef::Kind::kOperand:
            call.arguments.push_back(operands[ref.index]);
            break;
          case UnitRef::Kind::kResult:
            GRADC_CHECK(results[ref.index].has_value(), "result {} lives nowhere", ref.index);
            call.arguments.push_back(*results[ref.index]);
            break;
          case UnitRef::Kind::kTemporary:
            call.arguments.push_back(Address::arena(workspace + code.temporaries[ref.index]));
            break;
          case UnitRef::Kind::kConstant:
            call.arguments.push_back(Address::constant(static_cast<int64_t>(ref.index)));
            break;
        }
      }
      result_.steps.emplace_back(std::move(call));
    }
  }

  const LowerEntry& entry_;
  const Graph& graph_;
  const MemoryPlan& plan_;
  ProgramBuilder& builder_;
  Entry result_;
  int64_t behind_ = 0;  ///< the end of the planned arena
  std::unordered_map<NodeId, const Workspace*> workspaces_;
};

}  // namespace

Status ProgramLowering::add(const LowerEntry& entry, const LoweredGraph& lowered) {
  const Graph& graph = *entry.graph;
  Placement placement(entry, builder_);
  const auto copy = [&](ValueId value, const Address& to, const std::string& what) -> Status {
    const std::optional<Address> from = placement.place(value);
    GRADC_CHECK(from.has_value(), "%{} is copied but lives nowhere", graph.value(value).name);
    if (*from == to) return Ok{};
    GRADC_TRY(const auto code, copy_code(graph.type(value)));
    placement.copy(*code, *from, to, what);
    return Ok{};
  };
  for (const LoweredNode& node : lowered.nodes)
    placement.node(node);
  // What could not be written in place is written last.
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.op != Op::kUpdate) continue;
    GRADC_TRY_STATUS(copy(node.operands[1], placement.input_slot(node.operands[0]),
                          "update of " + graph.input_of(node.operands[0]).name));
  }
  for (const size_t output : entry.plan->copied_outputs) {
    const GraphOutput& out = graph.outputs()[output];
    GRADC_TRY_STATUS(copy(out.value, placement.output_slot(output), "output " + out.name));
  }
  builder_.add(placement.take());
  return Ok{};
}

}  // namespace gradc::kernel
