#include "codegen/kernel/lower.h"

#include "codegen/kernel/barriers.h"
#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/lower_unit.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>

namespace gradc::kernel {

namespace {

constexpr int64_t kAlignment = 64;

int64_t aligned(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// Kernels and constants that all entries share.
class Shared {
 public:
  explicit Shared(Program& program) : program_(program) {}

  const Program& program() const { return program_; }

  uint32_t kernel(Kernel kernel) {
    std::string text = canonical_text(kernel);
    const auto [it, is_new] =
        kernels_.try_emplace(std::move(text), static_cast<uint32_t>(program_.kernels.size()));
    if (!is_new) return it->second;
    std::string name = kernel.name;
    for (int i = 1; !names_.insert(name).second; ++i)
      name = fmt::format("{}.{}", kernel.name, i);
    kernel.name = std::move(name);
    program_.kernels.push_back(std::move(kernel));
    return it->second;
  }

  int64_t constant(DType dtype, const Dense& elements, int64_t count) {
    const auto key = std::tuple{dtype, elements.get(), count};
    const auto [it, is_new] =
        constants_.try_emplace(key, static_cast<int64_t>(program_.constants.size()));
    if (is_new) {
      ConstantData data{dtype, *elements};
      if (elements->size() == 1) data.elements.assign(static_cast<size_t>(count), (*elements)[0]);
      program_.constants.push_back(std::move(data));
      alive_.push_back(elements);
    }
    return it->second;
  }

 private:
  Program& program_;
  std::unordered_map<std::string, uint32_t> kernels_;
  std::unordered_set<std::string> names_;
  std::map<std::tuple<DType, const void*, int64_t>, int64_t> constants_;
  std::vector<Dense> alive_;
};

bool overlap(const Address& a, int64_t a_bytes, const Address& b, int64_t b_bytes) {
  return a.same_base(b) && a.offset < b.offset + b_bytes && b.offset < a.offset + a_bytes;
}

class EntryLowering {
 public:
  EntryLowering(const LowerEntry& entry, Shared& shared, const TargetInfo& target)
      : entry_(entry), graph_(*entry.graph), plan_(*entry.plan), shared_(shared), target_(target) {
    result_.name = entry.name;
    base_bytes_ = aligned(plan_.arena_bytes);
    result_.arena_bytes = plan_.arena_bytes;
  }

  Result<Entry> run() {
    for (const NodeId id : graph_.nodes()) {
      current_ = id;
      GRADC_TRY_STATUS(node(graph_.node(id)));
    }
    current_ = NodeId();
    for (const auto& [target, value] : late_updates_) {
      const std::string& name = graph_.input_of(target).name;
      GRADC_TRY_STATUS(copy(value, input_slot(target), "update of " + name));
    }
    for (const size_t output : plan_.copied_outputs) {
      const GraphOutput& out = graph_.outputs()[output];
      GRADC_TRY_STATUS(copy(out.value, output_slot(output), "output " + out.name));
    }
    place_barriers(shared_.program(), result_);
    return std::move(result_);
  }

  /// What the nodes needed, after run().
  std::vector<Workspace> take_workspaces() { return std::move(workspaces_); }

 private:
  std::string location(const Node& node) const {
    return node.loc.valid() ? graph_.location(node.loc) : std::string();
  }

  Address input_slot(ValueId input) {
    const std::string& name = graph_.input_of(input).name;
    const int64_t number = entry_.slot(SlotUse::kInput, name);
    declare(number, name, graph_.type(input));
    return Address::slot(number);
  }

  void declare(int64_t number, const std::string& name, const TensorType& type) {
    const auto index = static_cast<size_t>(number);
    if (result_.slots.size() <= index) result_.slots.resize(index + 1);
    Slot& slot = result_.slots[index];
    if (slot.name.empty()) slot = {name, type};
    GRADC_CHECK(slot.type == type, "slot {}, {}: {} and {}", number, name, to_string(slot.type),
                to_string(type));
  }

  Address output_slot(size_t output) {
    const GraphOutput& out = graph_.outputs()[output];
    const int64_t number = entry_.slot(SlotUse::kOutput, out.name);
    declare(number, out.name, graph_.type(out.value));
    return Address::slot(number);
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
        return Address::constant(shared_.constant(
            type.dtype, def_node.attrs.as<ConstantAttrs>().value, type.num_elements()));
      }
    }
    GRADC_UNREACHABLE();
  }

  Status node(const Node& node) {
    if (node.op == Op::kUpdate) {
      const std::optional<Address> target = place(node.operands[0]);
      if (place(node.operands[1]) != target)
        late_updates_.emplace_back(node.operands[0], node.operands[1]);
      return Ok{};
    }
    bool wanted = false;
    for (const ValueId result : node.results)
      wanted = wanted || (plan_.storage[result.index].kind != StorageKind::kNone &&
                          plan_.storage[result.index].kind != StorageKind::kConstant);
    if (!wanted) return Ok{};
    if (node.op == Op::kKernel) {
      const auto& attrs = node.attrs.as<KernelAttrs>();
      return lower(*node.body, attrs.label, node.operands, node.results, location(node));
    }
    std::vector<ValueId> operands;
    const std::shared_ptr<Graph> body = wrap(node, operands);
    return lower(*body, std::string(op_name(node.op)), operands, node.results, location(node));
  }

  /// A bare primitive as a body of its own.
  std::shared_ptr<Graph> wrap(const Node& node, std::vector<ValueId>& operands) const {
    auto body = std::make_shared<Graph>(std::string(op_name(node.op)));
    std::unordered_map<ValueId, ValueId> inner;
    std::vector<ValueId> arguments;
    for (const ValueId operand : node.operands) {
      if (!inner.contains(operand)) {
        inner[operand] =
            body->add_input(InputKind::kArg, graph_.type(operand), {}, graph_.value(operand).name);
        operands.push_back(operand);
      }
      arguments.push_back(inner[operand]);
    }
    std::vector<TensorType> types;
    for (const ValueId result : node.results)
      types.push_back(graph_.type(result));
    const NodeId id = body->add_node(node.op, arguments, node.attrs, types, node.phase, {}, "r");
    for (const ValueId result : body->node(id).results)
      body->add_output({}, result);
    return body;
  }

  Status copy(ValueId value, Address target, const std::string& label) {
    Graph body("copy");
    body.add_output({}, body.add_input(InputKind::kArg, graph_.type(value), {}, "x"));
    Unit unit("copy", body, target_);
    GRADC_TRY_STATUS(lower_unit(unit));
    const std::optional<Address> source = place(value);
    GRADC_CHECK(source.has_value(), "{} is copied but lives nowhere", graph_.value(value).name);
    if (*source == target) return Ok{};
    return emit(unit, {*source}, {target}, label);
  }

  Status lower(const Graph& body, const std::string& label, const std::vector<ValueId>& operands,
               const std::vector<ValueId>& results, const std::string& where) {
    Unit unit(label.empty() ? "kernel" : label, body, target_);
    std::vector<Address> operand_refs;
    std::vector<std::optional<Address>> result_refs;
    for (const ValueId operand : operands) {
      const std::optional<Address> ref = place(operand);
      GRADC_CHECK(ref.has_value(), "%{} is read but lives nowhere", graph_.value(operand).name);
      operand_refs.push_back(*ref);
    }
    for (const ValueId result : results)
      result_refs.push_back(place(result));
    for (size_t r = 0; r < results.size(); ++r) {
      if (!result_refs[r]) continue;
      for (size_t o = 0; o < operands.size(); ++o) {
        if (overlap(*result_refs[r], graph_.type(results[r]).bytes(), operand_refs[o],
                    graph_.type(operands[o]).bytes()))
          unit.set_alias(r, o);
      }
    }
    Status lowered = lower_unit(unit);
    if (!lowered.ok()) {
      Failure failure = std::move(lowered).failure();
      for (Diagnostic& d : failure.diagnostics)
        d.with_note(fmt::format("in {} {}", label, where));
      return failure;
    }
    // A result that nobody reads still needs somewhere to be written.
    std::vector<Address> targets;
    for (size_t r = 0; r < results.size(); ++r) {
      if (!result_refs[r]) {
        const TensorType& type = graph_.type(results[r]);
        const UnitRef temp = unit.temporary(type.dtype, type.shape);
        targets.push_back(Address::arena(-1 - static_cast<int64_t>(temp.index)));
      } else {
        targets.push_back(*result_refs[r]);
      }
    }
    return emit(unit, operand_refs, targets, where);
  }

  /// Offsets in the arena, one after the other: in the node's workspace, or behind the arena.
  std::vector<int64_t> place_temporaries(const std::vector<UnitTemporary>& temporaries) {
    std::vector<int64_t> offsets;
    if (temporaries.empty()) return offsets;
    GRADC_CHECK(current_.valid(), "a copy needs no temporaries");
    const Workspace* planned = plan_.workspace_of(current_);
    const int64_t begin = planned != nullptr ? planned->offset : base_bytes_;
    int64_t end = begin;
    for (const UnitTemporary& t : temporaries) {
      offsets.push_back(end);
      end += aligned(t.shape.num_elements() * dtype_bytes(t.dtype));
    }
    GRADC_CHECK(planned == nullptr || end - begin == planned->bytes,
                "a workspace of {} bytes was planned, {} are needed", planned->bytes, end - begin);
    workspaces_.push_back({current_, end - begin, begin});
    result_.arena_bytes = std::max(result_.arena_bytes, end);
    return offsets;
  }

  Status emit(Unit& unit, const std::vector<Address>& operands, std::vector<Address> results,
              const std::string& where) {
    LoweredUnit& lowered = unit.lowered();
    const std::vector<int64_t> offsets = place_temporaries(lowered.temporaries);
    for (Address& ref : results) {
      if (ref.where == Address::Where::kArena && ref.offset < 0)
        ref.offset = offsets[static_cast<size_t>(-1 - ref.offset)];
    }
    for (UnitCall& unit_call : lowered.calls) {
      Call call;
      call.location = where;
      for (size_t i = 0; i < unit_call.arguments.size(); ++i) {
        const UnitRef& ref = unit_call.arguments[i];
        Address target;
        switch (ref.kind) {
          case UnitRef::Kind::kOperand:
            target = operands[ref.index];
            break;
          case UnitRef::Kind::kResult:
            target = results[ref.index];
            break;
          case UnitRef::Kind::kTemporary:
            target = Address::arena(offsets[ref.index]);
            break;
          case UnitRef::Kind::kConstant: {
            const auto& [dtype, elements] = lowered.constants[ref.index];
            const int64_t count = unit_call.kernel.buffers[i].shape.num_elements();
            target = Address::constant(shared_.constant(dtype, elements, count));
            break;
          }
        }
        call.arguments.push_back(std::move(target));
      }
      call.joins_previous = unit_call.joins_previous;
      call.kernel = shared_.kernel(std::move(unit_call.kernel));
      result_.steps.emplace_back(std::move(call));
    }
    return Ok{};
  }

  const LowerEntry& entry_;
  const Graph& graph_;
  const MemoryPlan& plan_;
  Shared& shared_;
  const TargetInfo& target_;
  Entry result_;
  int64_t base_bytes_ = 0;
  NodeId current_;
  std::vector<Workspace> workspaces_;
  std::vector<std::pair<ValueId, ValueId>> late_updates_;
};

}  // namespace

Result<std::vector<Workspace>> find_workspaces(const LowerEntry& entry, const TargetInfo& target) {
  Program program;
  Shared shared(program);
  EntryLowering lowering(entry, shared, target);
  GRADC_TRY_STATUS(lowering.run());
  return lowering.take_workspaces();
}

Result<Program> lower(const std::string& name, std::span<const LowerEntry> entries,
                      const TargetInfo& target) {
  Program program;
  program.name = name;
  Shared shared(program);
  for (const LowerEntry& entry : entries) {
    GRADC_TRY(Entry lowered, EntryLowering(entry, shared, target).run());
    program.entries.push_back(std::move(lowered));
  }
  return program;
}

}  // namespace gradc::kernel
