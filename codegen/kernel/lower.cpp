// Nodes to kernels on symbolic buffers; each different body once.
#include "codegen/kernel/lower.h"

#include "codegen/kernel/lower_code.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "ir/structural_hash.h"
#include "passes/plan_memory.h"
#include "support/check.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace gradc::kernel {

namespace {

constexpr int64_t kAlignment = 64;

int64_t aligned(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// What a node's kernels depend on.
struct UnitKey {
  std::string label;
  std::shared_ptr<const Graph> body;
  uint64_t body_hash = 0;
  std::vector<std::pair<size_t, size_t>> aliases;  ///< (result, operand) in one place
  std::vector<bool> dropped;                       ///< results that nobody reads
  int64_t rows = -1;                               ///< KernelAttrs::rows

  uint64_t hash() const {
    uint64_t h = body_hash;
    const auto mix = [&h](uint64_t v) { h = (h ^ v) * 0x9E3779B97F4A7C15ULL + (h >> 29); };
    mix(std::hash<std::string>()(label));
    for (const auto& [result, operand] : aliases)
      mix(result * 1000 + operand + 1);
    for (const bool drop : dropped)
      mix(drop ? 2 : 1);
    mix(static_cast<uint64_t>(rows + 2));
    return h;
  }
  bool equal(const UnitKey& other) const {
    return label == other.label && aliases == other.aliases && dropped == other.dropped &&
           rows == other.rows && (body == other.body || bodies_equal(*body, *other.body));
  }
};

/// Where a value lives, as far as sharing goes.
struct Home {
  StorageKind kind = StorageKind::kNone;
  size_t base = 0;     ///< which input or output
  int64_t offset = 0;  ///< in the arena
  bool shares(int64_t bytes, const Home& other, int64_t other_bytes) const {
    return kind == other.kind && kind != StorageKind::kConstant && base == other.base &&
           offset < other.offset + other_bytes && other.offset < offset + bytes;
  }
};

Home home_of(const Graph& graph, const MemoryPlan& storage, ValueId value) {
  if (graph.is_input(value)) return {StorageKind::kInput, value.index, 0};
  const Storage& s = storage.storage[value.index];
  switch (s.kind) {
    case StorageKind::kInput:
      return {s.kind, s.base.index, 0};
    case StorageKind::kOutput:
      return {s.kind, s.output, 0};
    case StorageKind::kArena:
      return {s.kind, 0, s.offset};
    case StorageKind::kNone:
    case StorageKind::kConstant:
      return {s.kind, value.index, 0};
  }
  GRADC_UNREACHABLE();
}

/// A bare primitive as a body of its own, with each operand once.
std::shared_ptr<Graph> wrap(const Graph& graph, const Node& node, std::vector<ValueId>& operands) {
  auto body = std::make_shared<Graph>(std::string(op_name(node.op)));
  std::unordered_map<ValueId, ValueId> inner;
  std::vector<ValueId> arguments;
  for (const ValueId operand : node.operands) {
    if (!inner.contains(operand)) {
      inner[operand] =
          body->add_input(InputKind::kArg, graph.type(operand), {}, graph.value(operand).name);
      operands.push_back(operand);
    }
    arguments.push_back(inner[operand]);
  }
  std::vector<TensorType> types;
  for (const ValueId result : node.results)
    types.push_back(graph.type(result));
  const NodeId id = body->add_node(node.op, arguments, node.attrs, types, node.phase, {}, "r");
  for (const ValueId result : body->node(id).results)
    body->add_output({}, result);
  return body;
}

}  // namespace

/// The code of all units so far, by what it depends on.
class UnitTable {
 public:
  explicit UnitTable(ProgramBuilder& builder) : builder_(builder) {}

  Result<std::shared_ptr<const UnitCode>> find(UnitKey key, const std::string& location) {
    const uint64_t hash = key.hash();
    const auto [first, last] = codes_.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      if (it->second.first.equal(key)) return it->second.second;
    }
    GRADC_TRY(std::shared_ptr<const UnitCode> code, make(key, location));
    codes_.emplace(hash, std::pair(std::move(key), code));
    return code;
  }

 private:
  Result<std::shared_ptr<const UnitCode>> make(const UnitKey& key, const std::string& location) {
    Unit unit(key.label.empty() ? "kernel" : key.label, *key.body);
    for (const auto& [result, operand] : key.aliases)
      unit.set_alias(result, operand);
    if (key.rows >= 0) unit.set_rows(static_cast<size_t>(key.rows));
    Status lowered = lower_unit(unit);
    if (!lowered.ok()) {
      Failure failure = std::move(lowered).failure();
      for (Diagnostic& d : failure.diagnostics)
        d.with_note(fmt::format("in {} {}", key.label, location));
      return failure;
    }
    auto code = std::make_shared<UnitCode>();
    for (size_t r = 0; r < key.dropped.size(); ++r) {
      // A result that nobody reads still needs somewhere to be written.
      const TensorType& type = key.body->type(key.body->outputs()[r].value);
      code->results.push_back(key.dropped[r] ? unit.temporary(type.dtype, type.shape)
                                             : UnitRef{UnitRef::Kind::kResult, r});
    }
    for (const UnitTemporary& t : unit.lowered().temporaries) {
      code->temporaries.push_back(code->workspace_bytes);
      code->workspace_bytes += aligned(t.shape.num_elements() * dtype_bytes(t.dtype));
    }
    for (UnitCall& call : unit.lowered().calls)
      code->calls.push_back(take(call, unit.lowered(), *code));
    return std::shared_ptr<const UnitCode>(std::move(code));
  }

  UnitCode::Call take(UnitCall& call, const LoweredUnit& lowered, const UnitCode& code) {
    UnitCode::Call result;
    for (size_t i = 0; i < call.arguments.size(); ++i) {
      UnitRef ref = call.arguments[i];
      if (ref.kind == UnitRef::Kind::kResult) ref = code.results[ref.index];
      if (ref.kind == UnitRef::Kind::kConstant) {
        const auto& [dtype, elements] = lowered.constants[ref.index];
        const int64_t count = call.kernel.buffers[i].shape.num_elements();
        ref.index = static_cast<size_t>(builder_.constant(dtype, elements, count));
      }
      result.arguments.push_back(ref);
    }
    result.joins_previous = call.joins_previous;
    result.kernel = builder_.kernel(std::move(call.kernel));
    return result;
  }

  ProgramBuilder& builder_;
  std::unordered_multimap<uint64_t, std::pair<UnitKey, std::shared_ptr<const UnitCode>>> codes_;
};

ProgramLowering::ProgramLowering(std::string program_name, TargetInfo target)
    : target_(std::move(target)),
      builder_(std::move(program_name)),
      units_(std::make_unique<UnitTable>(builder_)) {}

ProgramLowering::~ProgramLowering() = default;

Result<LoweredGraph> ProgramLowering::lower(const Graph& graph, const MemoryPlan& storage) {
  LoweredGraph lowered;
  std::unordered_map<const Graph*, uint64_t> hashes;  // of bodies that kernels share
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
    const Node& node = graph.node(id);
    if (node.op == Op::kUpdate) continue;
    UnitKey key;
    std::vector<Home> homes;
    bool wanted = false;
    for (const ValueId result : node.results) {
      homes.push_back(home_of(graph, storage, result));
      key.dropped.push_back(homes.back().kind == StorageKind::kNone);
      wanted = wanted || (homes.back().kind != StorageKind::kNone &&
                          homes.back().kind != StorageKind::kConstant);
    }
    if (!wanted) continue;
    LoweredNode out;
    out.node = id;
    if (def(node.op).has_open_body()) {
      GRADC_TRY_STATUS(lower_loop(graph, storage, node, out));
      if (out.workspace_bytes > 0) lowered.workspaces.push_back({id, out.workspace_bytes, 0});
      lowered.nodes.push_back(std::move(out));
      continue;
    }
    if (node.op == Op::kKernel) {
      key.body = node.body;
      const auto [hash, is_new] = hashes.try_emplace(node.body.get(), 0);
      if (is_new) hash->second = body_hash(*node.body);
      key.body_hash = hash->second;
      key.label = node.attrs.as<KernelAttrs>().label;
      key.rows = node.attrs.as<KernelAttrs>().rows;
      out.operands.assign(node.operands.begin(), node.operands.end());
    } else {
      key.body = wrap(graph, node, out.operands);
      key.body_hash = body_hash(*key.body);
      key.label = op_name(node.op);
    }
    for (size_t r = 0; r < homes.size(); ++r) {
      if (key.dropped[r]) continue;
      for (size_t o = 0; o < out.operands.size(); ++o) {
        const Home operand = home_of(graph, storage, out.operands[o]);
        if (homes[r].shares(graph.type(node.results[r]).bytes(), operand,
                            graph.type(out.operands[o]).bytes()))
          key.aliases.emplace_back(r, o);
      }
    }
    const std::string location = node.loc.valid() ? graph.location(node.loc) : std::string();
    GRADC_TRY(out.code, units_->find(std::move(key), location));
    out.workspace_bytes = out.code->workspace_bytes;
    if (out.workspace_bytes > 0) lowered.workspaces.push_back({id, out.workspace_bytes, 0});
    lowered.nodes.push_back(std::move(out));
  }
  return lowered;
}

Status ProgramLowering::lower_loop(const Graph& graph, const MemoryPlan& storage, const Node& node,
                                   LoweredNode& out) {
  const auto& attrs = node.attrs.as<ScanAttrs>();
  auto loop = std::make_shared<LoweredLoop>();
  loop->body = node.body;
  const Graph& body = *loop->body;
  out.operands.assign(node.operands.begin(), node.operands.end());
  const auto carries = static_cast<size_t>(attrs.carries);
  GRADC_TRY(const MemoryPlan sharing, assign_storage(body, carries));
  for (size_t c = 0; c < carries; ++c) {
    const Storage& next = sharing.storage[body.outputs()[c].value.index];
    const bool is_read = home_of(graph, storage, node.results[c]).kind != StorageKind::kNone;
    loop->in_place.push_back(next.kind == StorageKind::kInput &&
                             next.base == body.inputs()[c].value);
    loop->carries.push_back(out.workspace_bytes);
    const int64_t buffers = !loop->in_place[c] ? 2 : is_read ? 0 : 1;
    out.workspace_bytes += buffers * aligned(graph.type(node.operands[c]).bytes());
  }
  loop->arena = out.workspace_bytes;
  GRADC_TRY(loop->lowered, lower(body, sharing));
  GRADC_TRY(loop->plan, make_memory_plan(body, {}, loop->lowered.workspaces, carries));
  out.workspace_bytes += aligned(loop->plan.arena_bytes);
  for (size_t i = 0; i < body.outputs().size(); ++i) {
    const TensorType& type = body.type(body.outputs()[i].value);
    GRADC_TRY(auto copy, copy_code(type));
    loop->copies.push_back(std::move(copy));
    // What steps yield and nobody reads has one place for all of them.
    loop->unread.push_back(out.workspace_bytes);
    if (static_cast<int64_t>(i) >= attrs.carries &&
        home_of(graph, storage, node.results[i]).kind == StorageKind::kNone)
      out.workspace_bytes += aligned(type.bytes());
  }
  out.loop = std::move(loop);
  return Ok{};
}

Result<std::shared_ptr<const UnitCode>> ProgramLowering::copy_code(const TensorType& type) {
  auto body = std::make_shared<Graph>("copy");
  body->add_output({}, body->add_input(InputKind::kArg, type, {}, "x"));
  const uint64_t hash = body_hash(*body);
  return units_->find({"copy", std::move(body), hash, {}, {false}}, {});
}

Result<Program> lower(const std::string& name, std::span<const LowerEntry> entries,
                      const TargetInfo& target) {
  ProgramLowering lowering(name, target);
  for (const LowerEntry& entry : entries) {
    GRADC_TRY(const LoweredGraph lowered, lowering.lower(*entry.graph, *entry.plan));
    GRADC_TRY_STATUS(lowering.add(entry, lowered));
  }
  return lowering.take();
}

}  // namespace gradc::kernel
