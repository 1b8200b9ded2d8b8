// skip_rows - kernels do not compute rows that nobody reads. Where all readers of a value look at
// its first `count` rows only (counted_rows.h), its kernel is told so (KernelAttrs::rows).
//
//   v = kernel(..)                             ->  v = kernel(.., count) {rows=..}
//   w = kernel { reduce_sum(first_rows(v)) }       w as before
//
// Where a kernel stores first_rows(v) itself, the rows behind are zero, and its readers may as well
// say so: they get the choice, and then need not read those rows.
#include "ir/builder.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/counted_rows.h"
#include "passes/fusion_cost.h"
#include "passes/passes.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace gradc::passes {

namespace {

class RowSkipper {
 public:
  RowSkipper(Graph& graph, PassContext& context) : graph_(graph), context_(context) {}

  bool run() {
    const std::vector<NodeId> order = graph_.nodes();
    place_.resize(graph_.node_capacity());
    for (size_t i = 0; i < order.size(); ++i)
      place_[order[i].index] = i;
    bool changed = false;
    for (const NodeId id : order) {
      if (graph_.node(id).op == Op::kKernel) changed = skip(id) || changed;
    }
    return changed;
  }

 private:
  /// The number of rows of an operand that a kernel looks at, if it looks at no others.
  std::optional<ValueId> rows_read(const Use& use) const {
    const Node& node = graph_.node(use.node);
    const Graph& body = *node.body;
    const ValueId input = body.inputs()[use.operand].value;
    std::optional<ValueId> count;
    for (const Use& inner : body.value(input).uses) {
      const std::optional<FirstRows> rows = find_first_rows(body, body.node(inner.node).results[0]);
      if (inner.operand != 1 || !rows || !body.is_input(rows->count)) return std::nullopt;
      const ValueId outer = node.operands[body.value(rows->count).index];
      if (count && *count != outer) return std::nullopt;
      count = outer;
    }
    return count;
  }

  /// The number of rows from which on a result is zero by what the kernel stores.
  std::optional<ValueId> rows_stored(const Node& node, size_t result) const {
    const Graph& body = *node.body;
    const std::optional<FirstRows> rows = find_first_rows(body, body.outputs()[result].value);
    if (!rows || !body.is_input(rows->count)) return std::nullopt;
    return node.operands[body.value(rows->count).index];
  }

  /// The number of rows of a result that anybody needs.
  std::optional<ValueId> rows_needed(const Node& node, size_t result) const {
    const ValueId value = node.results[result];
    if (graph_.type(value).rank() < 1 || graph_.type(value).dtype == DType::kBool ||
        graph_.is_output(value))
      return std::nullopt;
    std::optional<ValueId> count = rows_stored(node, result);
    const bool zero = count.has_value();
    for (const Use& use : graph_.value(value).uses) {
      const Node& user = graph_.node(use.node);
      if (user.op != Op::kKernel) return std::nullopt;
      const std::optional<ValueId> read = rows_read(use);
      if (!read && (!zero || user.operands.size() >= kMaxKernelOperands)) return std::nullopt;
      if (read && count && *read != *count) return std::nullopt;
      if (read) count = read;
    }
    return count;
  }

  bool is_before(ValueId value, NodeId node) const {
    const NodeId def = graph_.def(value);
    return !def.valid() || place_[def.index] < place_[node.index];
  }

  bool skip(NodeId id) {
    const Node node = graph_.node(id);
    std::optional<ValueId> count;
    for (size_t r = 0; r < node.results.size(); ++r) {
      const std::optional<ValueId> needed = rows_needed(node, r);
      const bool same_rows =
          graph_.type(node.results[r]).rank() > 0 &&
          graph_.type(node.results[r]).shape[0] == graph_.type(node.results[0]).shape[0];
      if (!needed || !same_rows || (count && *count != *needed)) return false;
      count = needed;
    }
    if (!count || !is_before(*count, id) || !context_.may_rewrite()) return false;
    for (const ValueId result : node.results) {
      for (const Use& use : std::vector<Use>(graph_.value(result).uses)) {
        if (!rows_read(use)) read_first_rows(use, *count);
      }
    }
    const std::optional<size_t> operand = operand_for(id, *count);
    if (!operand) return false;
    auto attrs = graph_.node(id).attrs.as<KernelAttrs>();
    attrs.rows = static_cast<int64_t>(*operand);
    graph_.set_attrs(id, make_attrs(std::move(attrs)));
    context_.count("kernels that skip rows");
    return true;
  }

  /// Which operand of a kernel the number is; it becomes one if it is none yet.
  std::optional<size_t> operand_for(NodeId id, ValueId count) {
    const Node& node = graph_.node(id);
    const auto found = std::find(node.operands.begin(), node.operands.end(), count);
    if (found != node.operands.end()) return static_cast<size_t>(found - node.operands.begin());
    if (node.operands.size() >= kMaxKernelOperands) return std::nullopt;
    auto body = node.body->clone();
    body->add_input(InputKind::kArg, graph_.type(count), {}, graph_.value(count).name);
    const size_t operand = node.operands.size();
    graph_.set_body(id, std::move(body));
    graph_.append_operand(id, count);
    return operand;
  }

  /// A kernel looks at the first rows of an operand only, as the others are zero.
  void read_first_rows(const Use& use, ValueId count) {
    const std::optional<size_t> operand = operand_for(use.node, count);
    if (!operand) return;  // there was room when it was asked for
    auto body = graph_.node(use.node).body->clone();
    const ValueId input = body->inputs()[use.operand].value;
    const std::vector<Use> uses = body->value(input).uses;
    Builder builder(*body);
    builder.set_insertion_point(body->first_node());
    builder.set_phase(graph_.node(use.node).phase);
    const Val rows = first_rows(builder.wrap(input), builder.wrap(body->inputs()[*operand].value));
    for (const Use& inner : uses)
      body->set_operand(inner.node, inner.operand, rows.id());
    graph_.set_body(use.node, std::move(body));
  }

  Graph& graph_;
  PassContext& context_;
  std::vector<size_t> place_;  ///< in the order, by node
};

}  // namespace

Result<bool> skip_rows(Graph& graph, PassContext& context) {
  return RowSkipper(graph, context).run();
}

}  // namespace gradc::passes
