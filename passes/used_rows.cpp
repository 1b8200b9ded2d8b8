#include "passes/used_rows.h"

#include "ir/op_attrs.h"
#include "passes/pattern.h"

#include <algorithm>
#include <vector>

namespace gradc {

namespace {

/// What is added to which rows, in order: vectors of indices, and rows.
struct Lookups {
  std::vector<Val> indices;
  std::vector<Val> updates;
};

bool find_lookups(Val gradient, Lookups& found) {
  Builder& b = gradient.builder();
  const Graph& graph = b.graph();
  if (splat_value(graph, gradient.id()) == 0.0) return true;
  const NodeId def = graph.def(gradient.id());
  if (!def.valid()) return false;
  const Node node = graph.node(def);
  if (node.op == Op::kAdd)
    return find_lookups(b.wrap(node.operands[0]), found) &&
           find_lookups(b.wrap(node.operands[1]), found);
  if (node.op != Op::kScatterAdd) return false;
  const Val indices = b.wrap(node.operands[0]);
  std::vector<int64_t> rows = gradient.shape().to_vector();
  rows[0] = indices.shape().num_elements();
  found.indices.push_back(cast(reshape(indices, Shape({rows[0]})), DType::kI64));
  found.updates.push_back(reshape(b.wrap(node.operands[1]), Shape(rows)));
  return true;
}

}  // namespace

std::optional<UsedRows> used_rows(Val gradient) {
  Lookups found;
  if (gradient.rank() < 1 || !find_lookups(gradient, found)) return std::nullopt;
  if (found.indices.empty()) return UsedRows{};
  Builder& b = gradient.builder();
  const bool one = found.indices.size() == 1;
  const Val indices = one ? found.indices[0] : concat(found.indices, 0);
  const Val updates = one ? found.updates[0] : concat(found.updates, 0);
  const std::vector<Val> named =
      b.add_multi(Op::kDistinct, {indices}, make_attrs(ScatterAttrs{gradient.shape()[0]}), "rows");
  const ScatterAttrs most{named[0].shape()[0]};
  return UsedRows{named[0], b.add(Op::kScatterAdd, {named[1], updates}, make_attrs(most))};
}

}  // namespace gradc
