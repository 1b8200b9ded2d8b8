// cse - computes equal things once: nodes with the same op, attributes and operands become one.
// Random ops take part: equal stream, seed and iteration give equal numbers by definition. A node
// is replaced by an earlier one only, so the order stays topological; a forward value may serve the
// backward phase, never the other way round, so phases stay meaningful. Loops are equal when their
// bodies are; kernels are left alone: cse runs before fusion.
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "ir/structural_hash.h"
#include "passes/passes.h"

#include <bit>
#include <vector>

namespace gradc::passes {

namespace {

uint64_t mix(uint64_t hash, uint64_t value) {
  return (hash ^ value) * 0x9E3779B97F4A7C15ULL + (hash >> 29);
}

/// Whether two operands are taken the other way round: sorted where their order does not matter.
bool swaps_operands(const Node& node) {
  return node.operands.size() == 2 && node.operands[1] < node.operands[0] &&
         def(node.op).has(kTraitCommutative);
}

/// The operands that identify a node.
ValueId key_operand(const Node& node, size_t i, bool swaps) {
  return node.operands[swaps ? 1 - i : i];
}

/// Hashes what is cheap to read: op, operands and result types, and the number of a constant. The
/// attributes are compared when all this is equal.
uint64_t key_hash(const Graph& graph, const Node& node) {
  uint64_t hash = static_cast<uint64_t>(node.op);
  const bool swaps = swaps_operands(node);
  for (size_t i = 0; i < node.operands.size(); ++i)
    hash = mix(hash, key_operand(node, i, swaps).index);
  for (ValueId result : node.results) {
    hash = mix(hash, static_cast<uint64_t>(graph.type(result).dtype));
    for (int64_t extent : graph.type(result).shape)
      hash = mix(hash, static_cast<uint64_t>(extent));
  }
  if (node.op == Op::kConstant)
    hash = mix(hash, std::bit_cast<uint64_t>(node.attrs.as<ConstantAttrs>().value->front()));
  if (node.body) hash = mix(hash, body_hash(*node.body));
  return hash;
}

bool same_computation(const Graph& graph, const Node& a, const Node& b) {
  if (a.op != b.op || a.operands.size() != b.operands.size() ||
      a.results.size() != b.results.size() || (a.body == nullptr) != (b.body == nullptr))
    return false;
  const bool swaps_a = swaps_operands(a);
  const bool swaps_b = swaps_operands(b);
  for (size_t i = 0; i < a.operands.size(); ++i) {
    if (key_operand(a, i, swaps_a) != key_operand(b, i, swaps_b)) return false;
  }
  if (a.attrs.empty() != b.attrs.empty() || (!a.attrs.empty() && !(a.attrs == b.attrs)))
    return false;
  for (size_t i = 0; i < a.results.size(); ++i) {
    if (!(graph.type(a.results[i]) == graph.type(b.results[i]))) return false;
  }
  return a.body == nullptr || bodies_equal(*a.body, *b.body);
}

/// Nodes by hash, in the order in which they came.
class Seen {
 public:
  explicit Seen(size_t nodes) : slots_(std::bit_ceil(2 * nodes + 1)) {}

  /// The first node of that hash that `is_same`.
  template <class Same>
  NodeId find(uint64_t hash, Same is_same) const {
    for (size_t i = home(hash); slots_[i].id.valid(); i = next(i)) {
      if (slots_[i].hash == static_cast<uint32_t>(hash) && is_same(slots_[i].id))
        return slots_[i].id;
    }
    return {};
  }
  void add(uint64_t hash, NodeId id) {
    size_t i = home(hash);
    while (slots_[i].id.valid())
      i = next(i);
    slots_[i] = {static_cast<uint32_t>(hash), id};
  }

 private:
  struct Slot {
    uint32_t hash = 0;
    NodeId id;
  };
  size_t home(uint64_t hash) const { return (hash >> 32) & (slots_.size() - 1); }
  size_t next(size_t i) const { return (i + 1) & (slots_.size() - 1); }

  std::vector<Slot> slots_;  ///< at least half of them free
};

}  // namespace

Result<bool> cse(Graph& graph, PassContext& context) {
  bool changed = false;
  Seen seen(graph.num_nodes());
  for (NodeId id : graph.nodes()) {
    const OpDef& entry = def(graph.node(id).op);
    if (entry.has(kTraitEffect) || (entry.body != nullptr && entry.body->sealed)) continue;
    const uint64_t hash = key_hash(graph, graph.node(id));
    const NodeId earlier = seen.find(hash, [&](NodeId other) {
      return graph.node(other).phase <= graph.node(id).phase &&
             same_computation(graph, graph.node(other), graph.node(id));
    });
    if (!earlier.valid() || !context.may_rewrite()) {
      seen.add(hash, id);
      continue;
    }
    for (size_t i = 0; i < graph.node(id).results.size(); ++i)
      graph.replace_all_uses(graph.node(id).results[i], graph.node(earlier).results[i]);
    graph.erase(id);
    context.count("nodes merged");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
