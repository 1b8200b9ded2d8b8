// compact_rows - rows that count neither in the loss nor in metrics are not computed. Where what is
// summed is a choice by a mask, the rows for which it holds are gathered in front, as far back as
// the graph works row by row, and their results put back where they belong:
//
//   loss = reduce_sum(select(mask, f(x), 0))
//     ->  order = partition(mask), count = reduce_sum(mask)
//         y = f(first_rows(gather(x, order), count))
//         loss = reduce_sum(select(mask, scatter_add(order, first_rows(y, count)), 0))
//
// All shapes stay; which rows kernels compute is a number that they read (skip_rows, early_ends).
// first_rows stands wherever rows are summed in the gradient: what it is summed with is zero behind
// the rows that count. Whether this is done depends on sizes only; what is wanted of all rows
// beside the sums (a prediction) is computed as before.
#include "ir/builder.h"
#include "ir/graph_copy.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/counted_rows.h"
#include "passes/pass.h"
#include "passes/passes.h"
#include "passes/pattern.h"
#include "passes/row_region.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <vector>

namespace gradc::passes {

namespace {

/// Products (multiply-adds) of all rows from which on it pays, and of one row.
constexpr int64_t kFewProducts = int64_t{1} << 18U;
constexpr int64_t kFewRowProducts = 2048;

/// A choice by a mask (or a mask that is repeated inside rows) between a value and zero.
struct Choice {
  NodeId select;
  ValueId mask;
};

std::optional<Choice> find_choice(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.op != Op::kSelect || splat_value(graph, node.operands[2]) != 0.0) return std::nullopt;
  const TensorType& type = graph.type(node.operands[1]);
  if (!is_float(type.dtype) || type.rank() < 1) return std::nullopt;
  ValueId mask = node.operands[0];
  const NodeId spread = def_with_op(graph, mask, Op::kBroadcast);
  if (spread.valid()) {
    const Ints& dims = graph.node(spread).attrs.as<BroadcastAttrs>().dims;
    for (size_t i = 0; i < dims.size(); ++i) {
      if (dims[i] != static_cast<int64_t>(i)) return std::nullopt;
    }
    mask = graph.node(spread).operands[0];
  }
  if (graph.type(mask).rank() < 1) return std::nullopt;
  return Choice{id, mask};
}

class RowCompactor {
 public:
  RowCompactor(Graph& graph, ValueId mask)
      : graph_(graph), builder_(graph), mask_(mask), rows_(graph.type(mask).num_elements()) {}

  /// Finds the nodes that are computed row by row for choices by this mask only.
  bool find_region() {
    order_ = graph_.nodes();
    row_reads_.resize(graph_.value_capacity(), 0);
    find_loss();
    for (auto id = order_.rbegin(); id != order_.rend(); ++id) {
      const std::optional<Choice> choice = find_choice(graph_, *id);
      if (choice && choice->mask == mask_) {
        choices_.insert(*id);
        ++row_reads_[graph_.node(*id).operands[1].index];
        continue;
      }
      visit(*id);
    }
    return products_ >= kFewProducts && products_ / rows_ >= kFewRowProducts;
  }

  void run() {
    for (const NodeId id : order_) {
      if (region_.contains(id)) waiting_.push_back(id);
      if (choices_.contains(id)) put_back(id);
    }
  }

 private:
  /// The nodes that the loss is made of: what reads a value beside them (predictions, more metrics)
  /// must change nothing, and gets rows of its own.
  void find_loss() {
    matters_.resize(graph_.node_capacity(), 0);
    const std::optional<ValueId> loss = graph_.find_output("loss");
    if (!loss) return matters_.assign(matters_.size(), 1);
    const std::vector<ValueId> ends = {*loss};
    const std::vector<NodeId> behind =
        nodes_behind(graph_, ends, [](ValueId) { return false; }, {});
    for (const NodeId id : behind)
      matters_[id.index] = 1;
  }

  /// Whether a value is read row by row, and by no part of the loss in another way.
  bool is_read_by_rows(ValueId value) const {
    const UseList& uses = graph_.value(value).uses;
    const auto reads = std::count_if(uses.begin(), uses.end(), [&](const Use& use) {
      return matters_[use.node.index] != 0 || region_.contains(use.node) ||
             choices_.contains(use.node);
    });
    const size_t by_rows = row_reads_[value.index];
    return by_rows > 0 && by_rows == static_cast<size_t>(reads);
  }

  void visit(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.results.size() != 1 || node.phase != Phase::kForward) return;
    const ValueId result = node.results[0];
    const bool source = node.operands.empty() && row_reads_[result.index] > 0;
    if ((!source && !is_read_by_rows(result)) || result == mask_) return;
    const std::optional<std::vector<RowUse>> uses = row_uses(graph_, node, rows_);
    if (!uses) return;
    region_.insert(id);
    for (size_t i = 0; i < uses->size(); ++i) {
      if ((*uses)[i] == RowUse::kRow) ++row_reads_[node.operands[i].index];
    }
    if (node.op == Op::kMatmul)
      products_ += graph_.type(result).num_elements() * graph_.type(node.operands[0]).shape[1];
  }

  // ---- where things stand
  // --------------------------------------------------------------------------

  void stand_before(NodeId id) {
    builder_.set_insertion_point(id);
    builder_.set_phase(graph_.node(id).phase);
    builder_.set_location(graph_.node(id).loc);
  }

  /// The order of the rows, made where it is needed first.
  void make_order() {
    if (order_of_rows_.valid()) return;
    const Val mask = reshape(builder_.wrap(mask_), Shape({rows_}));
    order_of_rows_ = builder_.add(Op::kPartition, {mask}, {}, "counted");
    count_ = reduce_sum(cast(mask, DType::kI32), {0});
  }

  /// A value's rows in that order, those that do not count zero.
  Val gathered(ValueId value) {
    const TensorType type = graph_.type(value);
    const Shape flat = flat_rows(type.shape, rows_);
    if (value == mask_) {
      const Val row = iota(builder_, {DType::kI32, flat}, 0);
      return less(row, broadcast(count_, flat, {}));
    }
    const Val all = reshape(builder_.wrap(value), flat);
    const Val rows = builder_.add(Op::kGather, {all, order_of_rows_});
    return is_float(type.dtype) ? first_rows(rows, count_) : rows;
  }

  Val rows_of(ValueId value) {
    const auto [entry, fresh] = compact_.try_emplace(value);
    if (fresh) entry->second = gathered(value);
    return entry->second;
  }

  Val only_first(Val rows) {
    return find_first_rows(graph_, rows.id()) ? rows : first_rows(rows, count_);
  }

  /// Whether every row takes in the same values, other than numbers: their gradients sum over rows.
  bool takes_whole(const Node& node) const {
    if (node.op == Op::kMatmul || node.op == Op::kLayerNorm || node.op == Op::kGather) return true;
    if (!def(node.op).has(kTraitElementwise)) return false;
    return std::any_of(node.operands.begin(), node.operands.end(), [&](ValueId operand) {
      const NodeId spread = def_with_op(graph_, operand, Op::kBroadcast);
      return spread.valid() && region_.contains(spread) &&
             row_uses(graph_, graph_.node(spread), rows_)->front() == RowUse::kWhole;
    });
  }

  /// Whether the one reader of a result takes in whole values too, and passes the gradient on as it
  /// is summed there.
  bool is_summed_behind(const Node& node) const {
    const UseList& uses = graph_.value(node.results[0]).uses;
    NodeId reader;
    for (const Use& use : uses) {
      if (matters_[use.node.index] == 0 && !region_.contains(use.node)) continue;
      if (reader.valid()) return false;
      reader = use.node;
    }
    return reader.valid() && graph_.node(reader).op == Op::kAdd && region_.contains(reader) &&
           takes_whole(graph_.node(reader));
  }

  void compute(NodeId id) {
    const Node node = graph_.node(id);
    builder_.set_location(node.loc);
    const std::vector<RowUse> uses = *row_uses(graph_, node, rows_);
    std::vector<Val> operands;
    for (size_t i = 0; i < node.operands.size(); ++i) {
      Val operand = builder_.wrap(node.operands[i]);
      if (uses[i] == RowUse::kRow) operand = rows_of(node.operands[i]);
      if (node.op == Op::kMatmul && i == 0) operand = only_first(operand);
      operands.push_back(operand);
    }
    Val rows = compute_rows(builder_, graph_, node, operands, rows_, rows_);
    if (is_float(rows.dtype()) && takes_whole(node) && !is_summed_behind(node))
      rows = only_first(rows);
    compact_[node.results[0]] = rows;
  }

  void put_back(NodeId choice) {
    stand_before(choice);
    make_order();
    for (const NodeId id : waiting_)
      compute(id);
    waiting_.clear();
    builder_.set_location(graph_.node(choice).loc);
    const ValueId value = graph_.node(choice).operands[1];
    const Val rows = only_first(rows_of(value));
    const Val all =
        builder_.add(Op::kScatterAdd, {order_of_rows_, rows}, make_attrs(ScatterAttrs{rows_}));
    graph_.set_operand(choice, 1, reshape(all, graph_.type(value).shape).id());
  }

  Graph& graph_;
  Builder builder_;
  ValueId mask_;
  int64_t rows_;
  std::vector<NodeId> order_;
  std::vector<char> matters_;      ///< by node: part of the loss
  std::vector<size_t> row_reads_;  ///< by value: uses that take it row by row
  std::set<NodeId> choices_;
  std::set<NodeId> region_;
  std::vector<NodeId> waiting_;  ///< of the region, before the next choice
  int64_t products_ = 0;
  Val order_of_rows_, count_;
  std::unordered_map<ValueId, Val> compact_;
};

}  // namespace

Result<bool> compact_rows(Graph& graph, PassContext& context) {
  std::vector<ValueId> masks;
  for (const NodeId id : graph.nodes()) {
    const std::optional<Choice> choice = find_choice(graph, id);
    if (choice && std::find(masks.begin(), masks.end(), choice->mask) == masks.end())
      masks.push_back(choice->mask);
  }
  bool changed = false;
  for (const ValueId mask : masks) {
    RowCompactor compactor(graph, mask);
    if (!compactor.find_region() || !context.may_rewrite()) continue;
    compactor.run();
    context.count("masks whose rows alone are computed");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
