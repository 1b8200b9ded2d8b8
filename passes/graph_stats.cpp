#include "passes/graph_stats.h"

#include "ir/op.h"
#include "passes/fusion_cost.h"

namespace gradc {
namespace {

void add_flops(const Graph& graph, const Node& node, int64_t times, WorkStats& stats) {
  if (node.body) {
    const int64_t runs = times * def(node.op).body->runs(node.attrs);
    for (NodeId inner : node.body->nodes())
      add_flops(*node.body, node.body->node(inner), runs, stats);
    return;
  }
  const int64_t flops = times * node_flops(graph, node);
  const Lowering lowering = def(node.op).lowering;
  stats.flops += flops;
  if (lowering == Lowering::kMatmul || lowering == Lowering::kConv ||
      lowering == Lowering::kAttention)
    stats.contraction_flops += flops;
}

}  // namespace

WorkStats node_stats(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  WorkStats stats;
  if (node.op == Op::kUpdate || node.op == Op::kConstant) return stats;
  for (ValueId operand : node.operands)
    stats.bytes += graph.type(operand).bytes();
  for (ValueId result : node.results)
    stats.bytes += graph.type(result).bytes();
  add_flops(graph, node, 1, stats);
  return stats;
}

WorkStats graph_stats(const Graph& graph) {
  WorkStats sum;
  for (NodeId id : graph.nodes()) {
    const WorkStats one = node_stats(graph, id);
    sum.flops += one.flops;
    sum.contraction_flops += one.contraction_flops;
    sum.bytes += one.bytes;
  }
  return sum;
}

}  // namespace gradc
