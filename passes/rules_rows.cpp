// Rules about tables of rows: the gradient of a large table, most of whose rows are zero, is not
// made as a table.
#include "ir/op_attrs.h"
#include "passes/pattern.h"

namespace gradc {

namespace {

/// Rows that are made, of a table of so many elements at least.
constexpr int64_t kFewRows = 4;
constexpr int64_t kLargeTable = 1 << 16;

/// scatter_add(indices, x) of many rows is a table of few, that has a row for each index that
/// occurs and one of zeros, looked up by a number for each row: those whose index occurs come
/// first. The sums are the same, in the same order.
Val compact_table(Builder& b, NodeId id) {
  const Graph& graph = b.graph();
  const Node node = graph.node(id);
  const int64_t rows = node.attrs.as<ScatterAttrs>().rows;
  const int64_t updates = graph.type(node.operands[0]).num_elements();
  const TensorType& table = graph.type(node.results[0]);
  if (!is_float(table.dtype) || table.rank() < 2 || rows < kFewRows * (updates + 1) ||
      table.num_elements() < kLargeTable)
    return {};
  const Val indices = b.wrap(node.operands[0]);
  const auto scattered = [&](Val at, Val values, int64_t count) {
    return b.add(Op::kScatterAdd, {at, values}, make_attrs(ScatterAttrs{count}));
  };
  const Val ones = b.splat(1.0, {DType::kI32, indices.shape()});
  const Val occurs = greater(scattered(indices, ones, rows), 0.0);
  const Val order = b.add(Op::kPartition, {occurs});
  const Val place = scattered(order, iota(b, order.type(), 0), rows);
  const Val compact =
      scattered(b.add(Op::kGather, {place, indices}), b.wrap(node.operands[1]), updates + 1);
  return b.add(Op::kGather, {compact, place});
}

}  // namespace

std::vector<Rule> row_rules() {
  return {
      {"scatter_add to many rows -> gather from a table of those that occur",
       [](const OpDef& entry) { return entry.op == Op::kScatterAdd; }, compact_table,
       [](Builder& b) {
         const Val indices = b.input(InputKind::kInput, {DType::kI32, Shape{3, 2}}, "i", "i");
         const Val updates = b.input(InputKind::kInput, f32({3, 2, 256}), "x", "x");
         return b.add(Op::kScatterAdd, {indices, updates}, make_attrs(ScatterAttrs{256}));
       }},
  };
}

}  // namespace gradc
