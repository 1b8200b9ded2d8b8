// skip_rows - kernels do not compute rows that nobody reads. Where all readers of a value look at
// its first `count` rows only (counted_rows.h), its kernel is told so (KernelAttrs::rows).
//
//   v = kernel(..)                             ->  v = kernel(.., count) {rows=..}
//   w = kernel { reduce_sum(first_rows(v)) }       w as before
//
// Where a kernel stores first_rows(v) itself, the rows behind are zero, and its readers may as well
// say so: they get the choice, and then need not read those rows. What a loop over blocks of rows
// stacks is read in the same way; then its body need not compute those rows (block_rows.cpp).
#include "ir/builder.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/counted_rows.h"
#include "passes/fusion_cost.h"
#include "passes/loops.h"
#include "passes/passes.h"
#include "passes/pattern.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

namespace gradc::passes {

namespace {

class RowSkipper {
 public:
  /// `yielded` says of values that leave a loop's body how many rows of them are read.
  RowSkipper(Graph& graph, PassContext& context, std::map<ValueId, ValueId> yielded = {})
      : graph_(graph), context_(context), yielded_(std::move(yielded)) {}

  bool run() {
    const std::vector<NodeId> order = graph_.nodes();
    place_.resize(graph_.node_capacity());
    for (size_t i = 0; i < order.size(); ++i)
      place_[order[i].index] = i;
    bool changed = false;
    for (const NodeId id : order) {
      if (graph_.node(id).op == Op::kKernel) changed = skip(id) || changed;
      if (is_loop(graph_, id)) changed = skip_in_loop(id) || changed;
    }
    return changed;
  }

 private:
  /// The number of rows of an operand that a kernel looks at, if it looks at no others.
  std::optional<ValueId> rows_read(const Use& use) const {
    const Node& node = graph_.node(use.node);
    const ValueId input = node.body->inputs()[use.operand].value;
    return rows_read(node, input, graph_.type(node.operands[use.operand]).shape[0]);
  }

  /// The same of a value of a kernel's body, in which rows may have several axes.
  std::optional<ValueId> rows_read(const Node& node, ValueId value, int64_t num_rows) const {
    const Graph& body = *node.body;
    if (body.is_output(value)) return std::nullopt;
    std::optional<ValueId> count;
    for (const Use& inner : body.value(value).uses) {
      const Node& reader = body.node(inner.node);
      const std::optional<ValueId> read = rows_chosen(node, reader, inner.operand, num_rows);
      if (!read || (count && *count != *read)) return std::nullopt;
      count = read;
    }
    return count;
  }

  std::optional<ValueId> rows_chosen(const Node& node, const Node& reader, size_t operand,
                                     int64_t num_rows) const {
    const Graph& body = *node.body;
    const ValueId result = reader.results[0];
    if (reader.op == Op::kReshape) {
      const Shape& shape = body.type(result).shape;
      if (shape.rank() == 0 || shape[0] != num_rows) return std::nullopt;
      return rows_read(node, result, num_rows);
    }
    const std::optional<FirstRows> rows = find_first_rows(body, result);
    if (operand != 1 || !rows || !body.is_input(rows->count) ||
        body.type(result).shape[0] != num_rows)
      return std::nullopt;
    return node.operands[body.value(rows->count).index];
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
    const auto yielded = yielded_.find(value);
    if (graph_.type(value).rank() < 1 || graph_.type(value).dtype == DType::kBool ||
        (graph_.is_output(value) && yielded == yielded_.end()))
      return std::nullopt;
    std::optional<ValueId> count = rows_stored(node, result);
    const bool zero = count.has_value();
    if (yielded != yielded_.end()) {
      if (count && *count != yielded->second) return std::nullopt;
      count = yielded->second;
    }
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

  // ---- loops over blocks of rows
  // -----------------------------------------------------------------

  /// How many rows in all of what a loop stacks are read, if no others are.
  std::optional<ValueId> stacked_rows_read(ValueId stacked) const {
    const Shape& shape = graph_.type(stacked).shape;
    if (shape.rank() < 2 || graph_.is_output(stacked)) return std::nullopt;
    std::optional<ValueId> count;
    for (const Use& use : graph_.value(stacked).uses) {
      const Node& user = graph_.node(use.node);
      if (user.op != Op::kKernel) return std::nullopt;
      const ValueId input = user.body->inputs()[use.operand].value;
      const std::optional<ValueId> read = rows_read(user, input, shape[0] * shape[1]);
      if (!read || (count && *count != *read)) return std::nullopt;
      count = read;
    }
    return count;
  }

  /// Of which number these are what is left of it at the beginning of each block.
  std::optional<ValueId> number_in_blocks(ValueId counts, int64_t block) const {
    const NodeId id = graph_.def(counts);
    if (!id.valid() || graph_.node(id).op != Op::kKernel) return std::nullopt;
    const Node& kernel = graph_.node(id);
    const Graph& body = *kernel.body;
    const auto result = std::find(kernel.results.begin(), kernel.results.end(), counts);
    const ValueId left = body.outputs()[static_cast<size_t>(result - kernel.results.begin())].value;
    const NodeId sub = def_with_op(body, left, Op::kSub);
    if (!sub.valid()) return std::nullopt;
    const NodeId spread = def_with_op(body, body.node(sub).operands[0], Op::kBroadcast);
    const auto outside = [&](ValueId inner) {
      return body.is_input(inner) ? kernel.operands[body.value(inner).index] : ValueId();
    };
    if (!spread.valid()) return std::nullopt;
    const ValueId number = outside(body.node(spread).operands[0]);
    const ValueId begins = outside(body.node(sub).operands[1]);
    if (!number.valid() || !begins.valid() || graph_.type(number).rank() != 0) return std::nullopt;
    const NodeId constant = def_with_op(graph_, begins, Op::kConstant);
    if (!constant.valid()) return std::nullopt;
    const std::vector<double>& places = *graph_.node(constant).attrs.as<ConstantAttrs>().value;
    for (size_t i = 0; i < places.size(); ++i) {
      if (places[i] != static_cast<double>(static_cast<int64_t>(i) * block)) return std::nullopt;
    }
    return places.size() > 1 ? std::optional(number) : std::nullopt;
  }

  bool skip_in_loop(NodeId id) {
    const LoopView loop(graph_, id);
    if (loop.attrs().reverse) return false;
    std::map<ValueId, ValueId> yielded;
    for (size_t i = 0; i < loop.num_outputs(); ++i) {
      const std::optional<ValueId> read = stacked_rows_read(loop.stacked(i));
      if (!read) continue;
      const int64_t block = graph_.type(loop.stacked(i)).shape[1];
      for (size_t slice = loop.num_carries(); slice < loop.first_capture(); ++slice) {
        if (number_in_blocks(loop.operand(slice), block) == read)
          yielded[loop.yielded(i)] = loop.arg(slice);
      }
    }
    for (size_t i = 0; i < loop.num_outputs(); ++i) {
      if (!stacked_rows_read(loop.stacked(i))) yielded.erase(loop.yielded(i));
    }
    for (size_t i = 0; i < loop.num_carries(); ++i)
      yielded.erase(loop.next(i));
    std::shared_ptr<Graph> body = loop.body().clone();
    if (!RowSkipper(*body, context_, std::move(yielded)).run()) return false;
    graph_.set_body(id, std::move(body));
    return true;
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
      for (const Use& use : UseList(graph_.value(result).uses)) {
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
    const UseList uses = body->value(input).uses;
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
  std::map<ValueId, ValueId> yielded_;
  std::vector<size_t> place_;  ///< in the order, by node
};

}  // namespace

Result<bool> skip_rows(Graph& graph, PassContext& context) {
  return RowSkipper(graph, context).run();
}

}  // namespace gradc::passes
