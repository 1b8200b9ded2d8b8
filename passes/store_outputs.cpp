// store_outputs - the kernels of a loop's body store what it yields themselves, where the value is
// yielded twice (a state that is also stacked) or is a carry (the state before each step): without
// that each step would copy it.
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/fusion_cost.h"
#include "passes/fusion_form.h"
#include "passes/passes.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace gradc::passes {

namespace {

/// The body of a loop: it has args only.
bool is_body(const Graph& graph) {
  return !graph.inputs().empty() &&
         std::all_of(graph.inputs().begin(), graph.inputs().end(),
                     [](const GraphInput& input) { return input.kind == InputKind::kArg; });
}

bool may_store_more(const Node& node) {
  if (node.op != Op::kKernel) return false;
  const KernelKind kind = node.attrs.as<KernelAttrs>().kind;
  return (kind == KernelKind::kElementwise || kind == KernelKind::kContraction) &&
         node.operands.size() + node.results.size() < kMaxKernelOperands;
}

/// The points of a kernel, if it is elementwise.
bool runs_over(const Node& node, const Shape& shape) {
  if (node.attrs.as<KernelAttrs>().kind != KernelKind::kElementwise) return false;
  std::vector<ValueId> outputs;
  for (const GraphOutput& output : node.body->outputs())
    outputs.push_back(output.value);
  return elementwise_points(*node.body, outputs, node.body->nodes()) == shape;
}

/// The first elementwise kernel that reads the value and has a point for each of its elements.
NodeId reader_of(const Graph& graph, ValueId value) {
  for (const Use& use : graph.value(value).uses) {
    const Node& node = graph.node(use.node);
    if (may_store_more(node) && runs_over(node, graph.type(value).shape)) return use.node;
  }
  return {};
}

/// One more result of a kernel: a value that it makes or reads.
ValueId store_again(Graph& graph, NodeId kernel, ValueId value) {
  const Node& node = graph.node(kernel);
  auto body = node.body->clone();
  ValueId inner;
  for (size_t i = 0; i < node.results.size(); ++i) {
    if (node.results[i] == value) inner = body->outputs()[i].value;
  }
  for (size_t i = 0; i < node.operands.size(); ++i) {
    if (node.operands[i] == value) inner = body->inputs()[i].value;
  }
  body->add_output({}, inner);
  const TensorType type = graph.type(value);
  const std::string name = graph.value(value).name;
  graph.set_body(kernel, std::move(body));
  return graph.append_result(kernel, type, name);
}

}  // namespace

Result<bool> store_outputs(Graph& graph, PassContext& context) {
  if (!is_body(graph)) return false;
  bool changed = false;
  std::set<ValueId> stored;
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const ValueId value = graph.outputs()[i].value;
    const NodeId def = graph.def(value);
    if (def.valid() && stored.insert(value).second) continue;
    const NodeId kernel = def.valid() ? def : reader_of(graph, value);
    if (!kernel.valid() || !may_store_more(graph.node(kernel)) || !context.may_rewrite()) continue;
    graph.set_output(i, store_again(graph, kernel, value));
    context.count("copies saved");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
