#include "tests/support/unroll.h"

#include "ir/builder.h"
#include "ir/graph_copy.h"
#include "ir/op.h"
#include "ir/op_attrs.h"

#include <algorithm>
#include <vector>

namespace gradc::testing {

namespace {

/// One slice of a stack, without the leading axis.
Val step_of(Val stack, int64_t step) {
  std::vector<int64_t> start(static_cast<size_t>(stack.rank()), 0);
  std::vector<int64_t> limit = stack.shape().to_vector();
  start[0] = step;
  limit[0] = step + 1;
  return reshape(slice(stack, std::move(start), std::move(limit)),
                 Shape(stack.shape().dims().subspan(1)));
}

/// Values of all steps, one after the other.
Val stack_of(const std::vector<Val>& steps) {
  std::vector<Val> parts;
  for (const Val& step : steps) {
    Shape shape = {1};
    for (int64_t extent : step.shape())
      shape.push_back(extent);
    parts.push_back(reshape(step, shape));
  }
  return concat(std::move(parts), 0);
}

void unroll(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  const auto& attrs = node.attrs.as<ScanAttrs>();
  const auto carries = static_cast<size_t>(attrs.carries);
  const size_t captures = carries + static_cast<size_t>(attrs.slices);
  const Graph& body = *node.body;
  Builder builder(graph);
  builder.set_insertion_point(id);
  builder.set_phase(node.phase);
  std::vector<Val> state;
  for (size_t i = 0; i < carries; ++i)
    state.push_back(builder.wrap(node.operands[i]));
  std::vector<std::vector<Val>> outputs(node.results.size() - carries,
                                        std::vector<Val>(static_cast<size_t>(attrs.steps)));
  for (int64_t n = 0; n < attrs.steps; ++n) {
    const int64_t step = attrs.reverse ? attrs.steps - 1 - n : n;
    NodeCopier copier(body, builder);
    for (size_t i = 0; i < node.operands.size(); ++i) {
      const Val operand = builder.wrap(node.operands[i]);
      copier.map(body.inputs()[i].value, i < carries    ? state[i]
                                         : i < captures ? step_of(operand, step)
                                                        : operand);
    }
    for (NodeId inner : body.nodes())
      copier.copy(inner);
    for (size_t i = 0; i < node.results.size(); ++i) {
      const Val value = copier[body.outputs()[i].value];
      (i < carries ? state[i] : outputs[i - carries][static_cast<size_t>(step)]) = value;
    }
  }
  for (size_t i = 0; i < node.results.size(); ++i)
    graph.replace_all_uses(node.results[i],
                           (i < carries ? state[i] : stack_of(outputs[i - carries])).id());
  graph.erase(id);
}

}  // namespace

void unroll_loops(Graph& graph) {
  for (bool again = true; again;) {
    again = false;
    for (NodeId id : graph.nodes()) {
      if (graph.node(id).op != Op::kScan) continue;
      unroll(graph, id);
      again = true;
    }
  }
}

}  // namespace gradc::testing
