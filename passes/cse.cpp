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
#include <unordered_map>
#include <vector>

namespace gradc::passes {

namespace {

uint64_t mix(uint64_t hash, uint64_t value) {
  return (hash ^ value) * 0x9E3779B97F4A7C15ULL + (hash >> 29);
}

/// The operands that identify a node: sorted when their order does not matter.
std::vector<ValueId> key_operands(const Node& node) {
  std::vector<ValueId> operands = node.operands;
  if (def(node.op).has(kTraitCommutative) && operands.size() == 2 && operands[1] < operands[0])
    std::swap(operands[0], operands[1]);
  return operands;
}

/// Hashes what is cheap to read: op, operands and result types, and the number of a constant. The
/// attributes are compared when all this is equal.
uint64_t key_hash(const Graph& graph, const Node& node) {
  uint64_t hash = static_cast<uint64_t>(node.op);
  for (ValueId operand : key_operands(node))
    hash = mix(hash, operand.index);
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
  if (a.op != b.op || a.results.size() != b.results.size()) return false;
  if (a.attrs.empty() != b.attrs.empty() || (!a.attrs.empty() && !(a.attrs == b.attrs)))
    return false;
  for (size_t i = 0; i < a.results.size(); ++i) {
    if (!(graph.type(a.results[i]) == graph.type(b.results[i]))) return false;
  }
  if (key_operands(a) != key_operands(b) || (a.body == nullptr) != (b.body == nullptr))
    return false;
  return a.body == nullptr || bodies_equal(*a.body, *b.body);
}

}  // namespace

Result<bool> cse(Graph& graph, PassContext& context) {
  bool changed = false;
  std::unordered_multimap<uint64_t, NodeId> seen;
  seen.reserve(graph.num_nodes());
  for (NodeId id : graph.nodes()) {
    const OpDef& entry = def(graph.node(id).op);
    if (entry.has(kTraitEffect) || (entry.body != nullptr && entry.body->sealed)) continue;
    const uint64_t hash = key_hash(graph, graph.node(id));
    NodeId earlier;
    const auto [begin, end] = seen.equal_range(hash);
    for (auto it = begin; it != end && !earlier.valid(); ++it) {
      const Node& other = graph.node(it->second);
      if (other.phase <= graph.node(id).phase && same_computation(graph, other, graph.node(id)))
        earlier = it->second;
    }
    if (!earlier.valid() || !context.may_rewrite()) {
      seen.emplace(hash, id);
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
