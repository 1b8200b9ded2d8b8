#include "codegen/kernel/lower.h"

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

/// A piece of memory that a call reads or writes.
struct Touch {
  BufferRef ref;
  int64_t bytes = 0;
  bool writes = false;

  bool conflicts(const Touch& other) const {
    if (!writes && !other.writes) return false;
    if (ref.where != other.ref.where) return false;
    if (ref.where != BufferRef::Where::kArena) return ref.index == other.ref.index;
    return ref.index < other.ref.index + other.bytes && other.ref.index < ref.index + bytes;
  }
};

/// Calls since the last barrier.
class Barriers {
 public:
  /// Whether a barrier is needed before a call; then it starts a new interval. Calls of one group
  /// write different elements; serial calls all run on thread 0, in order.
  bool before(const std::vector<Touch>& touches, bool parallel, size_t group) {
    const bool needed = std::any_of(since_.begin(), since_.end(), [&](const Earlier& e) {
      if ((!e.parallel && !parallel) || e.group == group) return false;
      return std::any_of(touches.begin(), touches.end(), [&](const Touch& t) {
        return std::any_of(e.touches.begin(), e.touches.end(),
                           [&](const Touch& other) { return t.conflicts(other); });
      });
    });
    if (needed) since_.clear();
    since_.push_back({touches, parallel, group});
    return needed;
  }

 private:
  struct Earlier {
    std::vector<Touch> touches;
    bool parallel = false;
    size_t group = 0;
  };
  std::vector<Earlier> since_;
};

/// Kernels and constants that all entries share.
class Shared {
 public:
  explicit Shared(Program& program) : program_(program) {}

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
      GRADC_TRY_STATUS(copy(value, {BufferRef::Where::kSlot, entry_.slot(SlotUse::kInput, name)},
                            "update of " + name));
    }
    for (const size_t output : plan_.copied_outputs) {
      const GraphOutput& out = graph_.outputs()[output];
      GRADC_TRY_STATUS(copy(out.value,
                            {BufferRef::Where::kSlot, entry_.slot(SlotUse::kOutput, out.name)},
                            "output " + out.name));
    }
    return std::move(result_);
  }

  /// What the nodes needed, after run().
  std::vector<Workspace> take_workspaces() { return std::move(workspaces_); }

 private:
  std::string location(const Node& node) const {
    return node.loc.valid() ? graph_.location(node.loc) : std::string();
  }

  /// Where a value lives; none for values that are never materialised.
  std::optional<BufferRef> place(ValueId value) {
    if (graph_.is_input(value))
      return BufferRef{BufferRef::Where::kSlot,
                       entry_.slot(SlotUse::kInput, graph_.input_of(value).name)};
    const Storage& storage = plan_.storage[value.index];
    switch (storage.kind) {
      case StorageKind::kNone:
        return std::nullopt;
      case StorageKind::kInput:
        return BufferRef{BufferRef::Where::kSlot,
                         entry_.slot(SlotUse::kInput, graph_.input_of(storage.base).name)};
      case StorageKind::kOutput:
        return BufferRef{BufferRef::Where::kSlot,
                         entry_.slot(SlotUse::kOutput, graph_.outputs()[storage.output].name)};
      case StorageKind::kArena:
        return BufferRef{BufferRef::Where::kArena, storage.offset};
      case StorageKind::kConstant: {
        const Node& def_node = graph_.node(graph_.def(value));
        GRADC_CHECK(def_node.op == Op::kConstant, "{} is planned as constant data",
                    graph_.value(value).name);
        const TensorType& type = graph_.type(value);
        return BufferRef{BufferRef::Where::kConstant,
                         shared_.constant(type.dtype, def_node.attrs.as<ConstantAttrs>().value,
                                          type.num_elements())};
      }
    }
    GRADC_UNREACHABLE();
  }

  Status node(const Node& node) {
    if (node.op == Op::kUpdate) {
      const std::optional<BufferRef> target = place(node.operands[0]);
      if (place(node.operands[1]) != target)
        late_updates_.emplace_back(node.operands[0], node.operands[1]);
      return Ok{};
    }
    bool wanted = false;
    for (const ValueId result : node.results)
      wanted = wanted || (plan_.storage[result.index].kind != StorageKind::kNone &&
                          plan_.storage[result.index].kind != StorageKind::kConstant);
    if (!wanted) return Ok{};
    if (def(node.op).has_open_body())
      return make_error(DiagKind::kUnsupported, {}, "{}{}{} is not compiled yet", op_name(node.op),
                        node.loc.valid() ? " of " : "", location(node))
          .with_help("the interpreter runs it: --engine interpreter");
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

  Status copy(ValueId value, BufferRef target, const std::string& label) {
    Graph body("copy");
    body.add_output({}, body.add_input(InputKind::kArg, graph_.type(value), {}, "x"));
    Unit unit("copy", body, target_);
    GRADC_TRY_STATUS(lower_unit(unit));
    const std::optional<BufferRef> source = place(value);
    GRADC_CHECK(source.has_value(), "{} is copied but lives nowhere", graph_.value(value).name);
    if (*source == target) return Ok{};
    return emit(unit, {*source}, {target}, label, {});
  }

  Status lower(const Graph& body, const std::string& label, const std::vector<ValueId>& operands,
               const std::vector<ValueId>& results, const std::string& where) {
    Unit unit(label.empty() ? "kernel" : label, body, target_);
    std::vector<BufferRef> operand_refs;
    std::vector<std::optional<BufferRef>> result_refs;
    for (const ValueId operand : operands) {
      const std::optional<BufferRef> ref = place(operand);
      GRADC_CHECK(ref.has_value(), "%{} is read but lives nowhere", graph_.value(operand).name);
      operand_refs.push_back(*ref);
    }
    for (const ValueId result : results)
      result_refs.push_back(place(result));
    for (size_t r = 0; r < results.size(); ++r) {
      if (!result_refs[r]) continue;
      const Touch written{*result_refs[r], graph_.type(results[r]).bytes(), true};
      for (size_t o = 0; o < operands.size(); ++o) {
        if (written.conflicts({operand_refs[o], graph_.type(operands[o]).bytes(), false}))
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
    std::vector<BufferRef> targets;
    for (size_t r = 0; r < results.size(); ++r) {
      if (!result_refs[r]) {
        const TensorType& type = graph_.type(results[r]);
        const UnitRef temp = unit.temporary(type.dtype, type.shape);
        targets.push_back({BufferRef::Where::kArena, -1 - static_cast<int64_t>(temp.index)});
      } else {
        targets.push_back(*result_refs[r]);
      }
    }
    return emit(unit, operand_refs, targets, label, where);
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

  Status emit(Unit& unit, const std::vector<BufferRef>& operands, std::vector<BufferRef> results,
              const std::string& label, const std::string& where) {
    LoweredUnit& lowered = unit.lowered();
    const std::vector<int64_t> offsets = place_temporaries(lowered.temporaries);
    for (BufferRef& ref : results) {
      if (ref.where == BufferRef::Where::kArena && ref.index < 0)
        ref.index = offsets[static_cast<size_t>(-1 - ref.index)];
    }
    for (UnitCall& unit_call : lowered.calls) {
      Call call;
      call.label = label;
      call.location = where;
      std::vector<Touch> touches;
      for (size_t i = 0; i < unit_call.arguments.size(); ++i) {
        const UnitRef& ref = unit_call.arguments[i];
        const Buffer& buffer = unit_call.kernel.buffers[i];
        BufferRef target;
        switch (ref.kind) {
          case UnitRef::Kind::kOperand:
            target = operands[ref.index];
            break;
          case UnitRef::Kind::kResult:
            target = results[ref.index];
            break;
          case UnitRef::Kind::kTemporary:
            target = {BufferRef::Where::kArena, offsets[ref.index]};
            break;
          case UnitRef::Kind::kConstant: {
            const auto& [dtype, elements] = lowered.constants[ref.index];
            target = {BufferRef::Where::kConstant,
                      shared_.constant(dtype, elements, buffer.shape.num_elements())};
            break;
          }
        }
        call.arguments.push_back(target);
        touches.push_back({target, buffer.shape.num_elements() * dtype_bytes(buffer.dtype),
                           buffer.role != BufferRole::kIn});
      }
      if (!unit_call.joins_previous) ++group_;
      call.barrier_before = barriers_.before(touches, unit_call.kernel.is_parallel(), group_);
      call.kernel = shared_.kernel(std::move(unit_call.kernel));
      result_.calls.push_back(std::move(call));
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
  size_t group_ = 0;
  Barriers barriers_;
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
