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

/// A graph whose nodes get their addresses: an entry's, or a loop's body.
struct Scope {
  const Graph& graph;
  const MemoryPlan& plan;
  std::vector<Address> inputs;   ///< by number of the graph's inputs
  std::vector<Address> outputs;  ///< by number of its outputs
  int64_t arena = 0;             ///< where the plan's arena begins
  uint32_t depth = 0;            ///< loops around it
  std::vector<Step>& steps;
  std::unordered_map<ValueId, size_t> numbers{};  ///< of inputs
  std::unordered_map<NodeId, const Workspace*> workspaces{};

  void index() {
    for (size_t i = 0; i < graph.inputs().size(); ++i)
      numbers.emplace(graph.inputs()[i].value, i);
    for (const Workspace& workspace : plan.workspaces)
      workspaces.emplace(workspace.node, &workspace);
  }
};

/// The address that moves by so many bytes a step of a loop, or back from the last one.
Address moving(Address address, uint32_t loop, int64_t bytes, int64_t trips, bool reverse) {
  if (reverse) address.offset += (trips - 1) * bytes;
  address.strides.push_back({loop, reverse ? -bytes : bytes, 0, 0});
  return address;
}

class Placement {
 public:
  Placement(const LowerEntry& entry, ProgramBuilder& builder) : builder_(builder) {
    result_.name = entry.name;
    result_.arena_bytes = entry.plan->arena_bytes;
    behind_ = aligned(entry.plan->arena_bytes);
  }

  /// The scope of an entry: its inputs and outputs are slots.
  Scope scope(const LowerEntry& entry) {
    Scope scope{*entry.graph, *entry.plan, {}, {}, 0, 0, result_.steps};
    const Graph& graph = *entry.graph;
    for (const GraphInput& input : graph.inputs())
      scope.inputs.push_back(slot(entry, SlotUse::kInput, input.name, graph.type(input.value)));
    for (const GraphOutput& output : graph.outputs())
      scope.outputs.push_back(slot(entry, SlotUse::kOutput, output.name, graph.type(output.value)));
    scope.index();
    return scope;
  }

  /// Where a value lives; none for values that are never materialised.
  std::optional<Address> place(const Scope& scope, ValueId value) {
    const Graph& graph = scope.graph;
    if (graph.is_input(value)) return scope.inputs[scope.numbers.at(value)];
    const Storage& storage = scope.plan.storage[value.index];
    switch (storage.kind) {
      case StorageKind::kNone:
        return std::nullopt;
      case StorageKind::kInput:
        return scope.inputs[scope.numbers.at(storage.base)];
      case StorageKind::kOutput:
        return scope.outputs[storage.output];
      case StorageKind::kArena:
        return Address::arena(scope.arena + storage.offset);
      case StorageKind::kConstant: {
        const Node& def_node = graph.node(graph.def(value));
        GRADC_CHECK(def_node.op == Op::kConstant, "{} is planned as constant data",
                    graph.value(value).name);
        const TensorType& type = graph.type(value);
        return Address::constant(builder_.constant(
            type.dtype, def_node.attrs.as<ConstantAttrs>().value, type.num_elements()));
      }
    }
    GRADC_UNREACHABLE();
  }

  void node(Scope& scope, const LoweredNode& lowered) {
    const Node& node = scope.graph.node(lowered.node);
    std::vector<Address> operands;
    for (const ValueId operand : lowered.operands) {
      const std::optional<Address> address = place(scope, operand);
      GRADC_CHECK(address.has_value(), "%{} is read but lives nowhere",
                  scope.graph.value(operand).name);
      operands.push_back(*address);
    }
    std::vector<std::optional<Address>> results;
    for (const ValueId result : node.results)
      results.push_back(place(scope, result));
    const std::string location = node.loc.valid() ? scope.graph.location(node.loc) : std::string();
    const int64_t begin = workspace(scope, lowered);
    if (lowered.loop != nullptr)
      loop(scope, *lowered.loop, node.attrs.as<ScanAttrs>(), operands, results, begin, location);
    else
      calls(scope.steps, *lowered.code, operands, results, begin, location);
  }

  void copy(Scope& scope, const UnitCode& code, const Address& from, const Address& to,
            const std::string& what) {
    if (!(from == to)) calls(scope.steps, code, {from}, {to}, 0, what);
  }

  Entry take() { return std::move(result_); }

 private:
  static int64_t aligned(int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  Address slot(const LowerEntry& entry, SlotUse use, const std::string& name,
               const TensorType& type) {
    const int64_t number = entry.slot(use, name);
    const auto index = static_cast<size_t>(number);
    if (result_.slots.size() <= index) result_.slots.resize(index + 1);
    Slot& declared = result_.slots[index];
    if (declared.name.empty()) declared = {name, type};
    GRADC_CHECK(declared.type == type, "slot {}, {}: {} and {}", number, name,
                to_string(declared.type), to_string(type));
    return Address::slot(number);
  }

  /// Where a node's workspace begins.
  int64_t workspace(const Scope& scope, const LoweredNode& lowered) {
    const int64_t bytes = lowered.workspace_bytes;
    if (bytes == 0) return 0;
    const auto it = scope.workspaces.find(lowered.node);
    const bool planned = it != scope.workspaces.end();
    GRADC_CHECK(planned || scope.depth == 0, "a loop's body was planned without its workspaces");
    GRADC_CHECK(!planned || it->second->bytes == bytes,
                "a workspace of {} bytes was planned, {} are needed", it->second->bytes, bytes);
    const int64_t begin = planned ? scope.arena + it->second->offset : behind_;
    result_.arena_bytes = std::max(result_.arena_bytes, begin + bytes);
    return begin;
  }

  static void calls(std::vector<Step>& steps, const UnitCode& code,
                    const std::vector<Address>& operands,
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
      steps.emplace_back(std::move(call));
    }
  }

  /// First carries in, the body over and over, last carries out.
  void loop(Scope& outer, const LoweredLoop& loop, const ScanAttrs& attrs,
            const std::vector<Address>& operands,
            const std::vector<std::optional<Address>>& results, int64_t begin,
            const std::string& location) {
    const Graph& body = *loop.body;
    const auto carries = static_cast<size_t>(attrs.carries);
    const size_t captures = carries + static_cast<size_t>(attrs.slices);
    const auto bytes = [&](size_t output) {
      return body.type(body.outputs()[output].value).bytes();
    };
    const auto carry = [&](size_t c, int64_t phase) {
      if (loop.in_place[c]) return results[c].value_or(Address::arena(begin + loop.carries[c]));
      Address address = Address::arena(begin + loop.carries[c]);
      address.strides.push_back({outer.depth, aligned(bytes(c)), 2, phase});
      return address;
    };
    Loop step;
    step.trips = attrs.steps;
    Scope scope{body, loop.plan, {}, {}, begin + loop.arena, outer.depth + 1, step.body};
    for (size_t i = 0; i < operands.size(); ++i) {
      const int64_t slice = body.type(body.inputs()[i].value).bytes();
      if (i < carries)
        scope.inputs.push_back(carry(i, 0));
      else if (i < captures)
        scope.inputs.push_back(moving(operands[i], outer.depth, slice, attrs.steps, attrs.reverse));
      else
        scope.inputs.push_back(operands[i]);
    }
    for (size_t i = 0; i < body.outputs().size(); ++i) {
      if (i < carries)
        scope.outputs.push_back(carry(i, 1));
      else if (results[i].has_value())
        scope.outputs.push_back(
            moving(*results[i], outer.depth, bytes(i), attrs.steps, attrs.reverse));
      else
        scope.outputs.push_back(Address::arena(begin + loop.unread[i]));
    }
    scope.index();
    for (size_t c = 0; c < carries; ++c) {
      const Address first = Address::arena(begin + loop.carries[c]);
      copy(outer, *loop.copies[c], operands[c], loop.in_place[c] ? carry(c, 0) : first, location);
    }
    for (const LoweredNode& inner : loop.lowered.nodes)
      node(scope, inner);
    for (const size_t output : loop.plan.copied_outputs) {
      const std::optional<Address> from = place(scope, body.outputs()[output].value);
      GRADC_CHECK(from.has_value(), "output {} of a loop lives nowhere", output);
      copy(scope, *loop.copies[output], *from, scope.outputs[output], location);
    }
    outer.steps.emplace_back(std::move(step));
    for (size_t c = 0; c < carries; ++c) {
      if (!results[c].has_value() || loop.in_place[c]) continue;
      const int64_t last = loop.carries[c] + attrs.steps % 2 * aligned(bytes(c));
      copy(outer, *loop.copies[c], Address::arena(begin + last), *results[c], location);
    }
  }

  ProgramBuilder& builder_;
  Entry result_;
  int64_t behind_ = 0;  ///< the end of the planned arena
};

}  // namespace

Status ProgramLowering::add(const LowerEntry& entry, const LoweredGraph& lowered) {
  const Graph& graph = *entry.graph;
  Placement placement(entry, builder_);
  Scope scope = placement.scope(entry);
  const auto copy = [&](ValueId value, const Address& to, const std::string& what) -> Status {
    const std::optional<Address> from = placement.place(scope, value);
    GRADC_CHECK(from.has_value(), "%{} is copied but lives nowhere", graph.value(value).name);
    if (*from == to) return Ok{};
    GRADC_TRY(const auto code, copy_code(graph.type(value)));
    placement.copy(scope, *code, *from, to, what);
    return Ok{};
  };
  for (const LoweredNode& node : lowered.nodes)
    placement.node(scope, node);
  // What could not be written in place is written last.
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.op != Op::kUpdate) continue;
    GRADC_TRY_STATUS(copy(node.operands[1], scope.inputs[scope.numbers.at(node.operands[0])],
                          "update of " + graph.input_of(node.operands[0]).name));
  }
  for (const size_t output : entry.plan->copied_outputs) {
    const GraphOutput& out = graph.outputs()[output];
    GRADC_TRY_STATUS(copy(out.value, scope.outputs[output], "output " + out.name));
  }
  builder_.add(placement.take());
  return Ok{};
}

}  // namespace gradc::kernel
