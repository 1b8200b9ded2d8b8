// block_rows - what is large and is used up row by row is made in blocks of rows, in a loop, and
// never exists as a whole: the logits of a large vocabulary, their softmax and their gradient.
//
//   logits = matmul(h, w)                   ->   for each block of rows b:
//   loss = rows(logits)                            logits = matmul(h[b], w)
//   d = softmax(logits) - labels                   d = softmax(logits) - labels[b]
//   dh = matmul(d, w)   dw = matmul(h, d)          loss[b] = rows(logits)   dh[b] = matmul(d, w)
//                                                  dw += matmul(h[b], d)
//
// What leaves row by row is stacked, what is summed over rows is carried. No product is made twice.
// Whether this is done depends on sizes only where sums are carried, since their order changes:
// what else reads a row (a metric, a prediction) finds it stacked.
#include "passes/block_rows.h"

#include "ir/builder.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/counted_rows.h"
#include "passes/pass.h"
#include "passes/passes.h"
#include "passes/pattern.h"
#include "passes/row_region.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace gradc {
namespace passes {

namespace {

/// How a node of the region is made for a block.
enum class Made : uint8_t {
  kRows,  ///< row i of rows i
  kMask,  ///< rows that are fewer than a number: row < count
  kSum,   ///< a sum over rows
};

int64_t rows_of_block(int64_t rows, const BlockSizes& sizes) {
  for (int64_t block = sizes.most_rows; block >= sizes.fewest_rows; --block) {
    if (rows % block == 0) return block;
  }
  return rows;
}

/// row < count for all rows of a shape whose leading axis they are; gives the count.
std::optional<ValueId> count_of_mask(const Graph& graph, const Node& node, int64_t rows) {
  if (node.op != Op::kLess) return std::nullopt;
  const NodeId row = def_with_op(graph, node.operands[0], Op::kIota);
  const NodeId spread = def_with_op(graph, node.operands[1], Op::kBroadcast);
  if (!row.valid() || !spread.valid()) return std::nullopt;
  const auto& iota = graph.node(row).attrs.as<IotaAttrs>();
  const ValueId count = graph.node(spread).operands[0];
  const Shape& shape = graph.type(node.results[0]).shape;
  if (iota.axis != 0 || iota.dtype != DType::kI32 || shape[0] != rows ||
      graph.type(count).rank() != 0)
    return std::nullopt;
  return count;
}

/// A product or a sum over the rows of its operands.
bool is_sum_over_rows(const Graph& graph, const Node& node, int64_t rows) {
  const auto has_rows = [&](ValueId value) {
    const Shape& shape = graph.type(value).shape;
    return shape.rank() == 2 && shape[0] == rows;
  };
  if (node.op == Op::kReduceSum)
    return has_rows(node.operands[0]) && node.attrs.as<AxesAttrs>().axes == Ints{0};
  if (node.op != Op::kMatmul) return false;
  const auto& attrs = node.attrs.as<MatmulAttrs>();
  return attrs.transpose_a && !attrs.transpose_b && has_rows(node.operands[0]) &&
         has_rows(node.operands[1]);
}

class RowBlocker {
 public:
  RowBlocker(Graph& graph, ValueId seed, const BlockSizes& sizes)
      : graph_(graph),
        builder_(graph),
        sizes_(sizes),
        rows_(graph.type(seed).shape[0]),
        elements_(graph.type(seed).num_elements()),
        block_(rows_of_block(rows_, sizes)) {
    large_.push_back(seed);
  }

  /// Finds the nodes between which large values go, and whether they can be made in blocks.
  bool find_region() {
    if (rows_ / block_ < sizes_.fewest_blocks) return false;
    std::set<ValueId> seen(large_.begin(), large_.end());
    for (size_t i = 0; i < large_.size(); ++i) {
      const NodeId maker = graph_.def(large_[i]);
      if (!maker.valid() || !take(maker, seen)) return false;
      for (const Use& use : graph_.value(large_[i]).uses)
        take(use.node, seen);
    }
    if (!close() || !is_sound() || !pays()) return false;
    const auto without = region_;
    follow_numbers();
    if (!is_sound()) region_ = without;
    return true;
  }

  void run() {
    NodeId last;
    for (const NodeId id : order_) {
      if (region_.contains(id)) last = id;
    }
    Phase phase = Phase::kForward;
    for (const auto& [id, made] : region_)
      phase = std::max(phase, graph_.node(id).phase);
    bring_behind(last, phase);
    builder_.set_insertion_point(last);
    builder_.set_phase(phase);
    builder_.set_location(graph_.node(graph_.def(large_[0])).loc);
    make_body();
    replace();
  }

 private:
  // ---- the region
  // --------------------------------------------------------------------------------

  std::optional<Made> classify(NodeId id) const {
    const Node& node = graph_.node(id);
    if (node.results.size() != 1) return std::nullopt;
    if (count_of_mask(graph_, node, rows_)) return Made::kMask;
    if (is_sum_over_rows(graph_, node, rows_)) return Made::kSum;
    if (row_uses(graph_, node, rows_)) return Made::kRows;
    return std::nullopt;
  }

  bool is_large(ValueId value) const {
    const TensorType& type = graph_.type(value);
    return type.num_elements() == elements_ && row_axes(type.shape, rows_).has_value();
  }

  bool take(NodeId id, std::set<ValueId>& seen) {
    if (region_.contains(id)) return true;
    const std::optional<Made> made = classify(id);
    if (!made) return false;
    region_[id] = *made;
    const Node& node = graph_.node(id);
    const auto reach = [&](ValueId value) {
      if (is_large(value) && seen.insert(value).second) large_.push_back(value);
    };
    for (const ValueId result : node.results)
      reach(result);
    if (*made == Made::kMask) return true;
    for (const ValueId operand : node.operands)
      reach(operand);
    return true;
  }

  /// Takes what lies on a way from the region back into it: statistics of rows.
  bool close() {
    order_ = graph_.nodes();
    behind_.assign(graph_.node_capacity(), 0);
    std::vector<char> before(graph_.node_capacity(), 0);
    for (const NodeId id : order_) {
      for (const ValueId operand : graph_.node(id).operands) {
        const NodeId maker = graph_.def(operand);
        if (maker.valid() && (region_.contains(maker) || behind_[maker.index] != 0))
          behind_[id.index] = 1;
      }
    }
    for (auto id = order_.rbegin(); id != order_.rend(); ++id) {
      for (const ValueId result : graph_.node(*id).results) {
        for (const Use& use : graph_.value(result).uses) {
          if (region_.contains(use.node) || before[use.node.index] != 0) before[id->index] = 1;
        }
      }
    }
    for (const NodeId id : order_) {
      if (behind_[id.index] == 0 || before[id.index] == 0 || region_.contains(id)) continue;
      if (classify(id) != Made::kRows || graph_.node(id).op == Op::kMatmul) return false;
      region_[id] = Made::kRows;
    }
    return true;
  }

  /// Takes what is made of numbers of rows that nobody else reads, up to where rows are chosen:
  /// what leaves had better be what is read of the first rows only.
  void follow_numbers() {
    for (const NodeId id : order_) {
      const Node& node = graph_.node(id);
      if (behind_[id.index] == 0 || region_.contains(id) || !def(node.op).has(kTraitElementwise) ||
          classify(id) != Made::kRows || find_first_rows(graph_, node.results[0]))
        continue;
      const bool number = graph_.type(node.results[0]).num_elements() == rows_;
      const bool alone =
          std::all_of(node.operands.begin(), node.operands.end(), [&](ValueId operand) {
            const NodeId maker = graph_.def(operand);
            if (!maker.valid() || behind_[maker.index] == 0) return !is_inside(operand);
            const UseList& uses = graph_.value(operand).uses;
            return is_inside(operand) && region_.at(maker) != Made::kSum &&
                   !graph_.is_output(operand) &&
                   std::all_of(uses.begin(), uses.end(), [&](const Use& use) {
                     return use.node == id || region_.contains(use.node);
                   });
          });
      if (number && alone) region_[id] = Made::kRows;
    }
  }

  bool is_inside(ValueId value) const {
    const NodeId maker = graph_.def(value);
    return maker.valid() && region_.contains(maker);
  }

  /// Whether a value leaves the region.
  bool leaves(ValueId value) const {
    const UseList& uses = graph_.value(value).uses;
    return graph_.is_output(value) || std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
             return !region_.contains(use.node);
           });
  }

  /// Sums leave, and nothing inside of the region sees all of its rows.
  bool is_sound() const {
    for (const auto& [id, made] : region_) {
      const Node& node = graph_.node(id);
      if (made == Made::kSum) {
        for (const Use& use : graph_.value(node.results[0]).uses) {
          if (region_.contains(use.node)) return false;
        }
        continue;
      }
      if (made == Made::kMask) {
        if (is_inside(*count_of_mask(graph_, node, rows_))) return false;
        continue;
      }
      const std::vector<RowUse> uses = *row_uses(graph_, node, rows_);
      for (size_t i = 0; i < uses.size(); ++i) {
        if (uses[i] == RowUse::kWhole && is_inside(node.operands[i])) return false;
      }
    }
    return true;
  }

  bool pays() const {
    int64_t carried = 0;
    bool stays = false;
    for (const auto& [id, made] : region_) {
      const ValueId result = graph_.node(id).results[0];
      if (made == Made::kSum) carried += graph_.type(result).bytes();
      stays = stays || (made != Made::kSum && is_large(result) && leaves(result));
    }
    const int64_t bytes = graph_.type(large_[0]).bytes();
    if (bytes < sizes_.large_bytes || (carried == 0 && stays)) return false;
    return bytes - bytes / (rows_ / block_) >= 2 * carried;
  }

  // ---- the loop
  // ----------------------------------------------------------------------------------

  /// What reads the region's results stands behind it, and is no earlier phase.
  void bring_behind(NodeId last, Phase phase) {
    const NodeId next = graph_.node(last).next;
    bool before = true;
    for (const NodeId id : order_) {
      if (behind_[id.index] != 0 && !region_.contains(id)) {
        if (before) graph_.move_before(id, next);
        graph_.set_phase(id, std::max(phase, graph_.node(id).phase));
      }
      if (id == last) before = false;
    }
  }

  Shape in_blocks(const Shape& shape) const {
    Shape blocks({rows_ / block_, block_});
    const Shape flat = flat_rows(shape, rows_);
    for (const int64_t extent : flat.dims().subspan(1))
      blocks.push_back(extent);
    return blocks;
  }

  Shape of_block(const Shape& shape) const { return Shape(in_blocks(shape).dims().subspan(1)); }

  Val arg(const TensorType& type, ValueId like, Val operand) {
    operands_.push_back(operand);
    return inner_->input(InputKind::kArg, type, {}, graph_.value(like).name);
  }

  /// A block of the rows of a value from outside.
  void add_slice(ValueId value) {
    if (is_inside(value) || rows_in_.contains(value)) return;
    const TensorType type = graph_.type(value);
    rows_in_[value] = arg(type.with(of_block(type.shape)), value,
                          reshape(builder_.wrap(value), in_blocks(type.shape)));
  }

  /// How many rows of each block are below a count.
  void add_count(ValueId count) {
    if (counts_.contains(count)) return;
    const TensorType type{DType::kI32, Shape({rows_ / block_})};
    std::vector<double> first;
    for (int64_t i = 0; i < rows_ / block_; ++i)
      first.push_back(static_cast<double>(i * block_));
    const Val all = broadcast(builder_.wrap(count), type.shape, {});
    counts_[count] = arg({DType::kI32, {}}, count, all - builder_.constant(type, std::move(first)));
  }

  void add_args() {
    for (const NodeId id : order_) {
      if (!is_made(id, Made::kSum)) continue;
      const ValueId sum = graph_.node(id).results[0];
      const TensorType type = graph_.type(sum);
      const Val zero = broadcast(builder_.scalar(0.0, type.dtype), type.shape, {});
      sums_[id] = arg(type, sum, zero);
      ++attrs_.carries;
    }
    for (const NodeId id : order_) {
      if (!region_.contains(id)) continue;
      const Node node = graph_.node(id);
      if (region_[id] == Made::kMask) {
        add_count(*count_of_mask(graph_, node, rows_));
        for (const ValueId operand : node.operands)
          of_masks_.insert(graph_.def(operand));
        continue;
      }
      const std::vector<RowUse> uses = operand_uses(id);
      for (size_t i = 0; i < uses.size(); ++i) {
        if (uses[i] == RowUse::kRow) add_slice(node.operands[i]);
      }
    }
    attrs_.slices = static_cast<int64_t>(operands_.size()) - attrs_.carries;
    for (const NodeId id : order_) {
      if (!region_.contains(id) || region_[id] != Made::kRows) continue;
      const Node node = graph_.node(id);
      const std::vector<RowUse> uses = operand_uses(id);
      for (size_t i = 0; i < uses.size(); ++i) {
        const ValueId value = node.operands[i];
        if (uses[i] == RowUse::kWhole && !wholes_.contains(value))
          wholes_[value] = arg(graph_.type(value), value, builder_.wrap(value));
      }
    }
  }

  bool is_made(NodeId id, Made how) const {
    const auto found = region_.find(id);
    return found != region_.end() && found->second == how;
  }

  std::vector<RowUse> operand_uses(NodeId id) const {
    const Node& node = graph_.node(id);
    if (region_.at(id) == Made::kSum)
      return std::vector<RowUse>(node.operands.size(), RowUse::kRow);
    return *row_uses(graph_, node, rows_);
  }

  Val compute(NodeId id) {
    const Node& node = graph_.node(id);
    const TensorType& type = graph_.type(node.results[0]);
    if (region_.at(id) == Made::kMask) {
      const Shape shape = of_block(type.shape);
      return less(iota(*inner_, {DType::kI32, shape}, 0),
                  broadcast(counts_.at(*count_of_mask(graph_, node, rows_)), shape, {}));
    }
    const std::vector<RowUse> uses = operand_uses(id);
    std::vector<Val> operands;
    for (size_t i = 0; i < node.operands.size(); ++i)
      operands.push_back((uses[i] == RowUse::kRow ? rows_in_ : wholes_).at(node.operands[i]));
    if (region_.at(id) == Made::kRows)
      return compute_rows(*inner_, graph_, node, operands, rows_, block_);
    return sums_.at(id) + inner_->add(node.op, operands, node.attrs);
  }

  void make_body() {
    body_ = std::make_shared<Graph>("rows");
    inner_ = std::make_unique<Builder>(*body_);
    attrs_.steps = rows_ / block_;
    add_args();
    for (const NodeId id : order_) {
      if (!region_.contains(id)) continue;
      const LocId place = graph_.node(id).loc;
      if (place.valid()) inner_->set_location(graph_.location(place));
      const ValueId result = graph_.node(id).results[0];
      const Val made = compute(id);
      rows_in_[result] = made;
      body_->set_name_hint(made.id(), graph_.value(result).name);
    }
  }

  void replace() {
    std::vector<ValueId> results;
    const auto yield = [&](ValueId result) {
      body_->add_output({}, rows_in_.at(result).id());
      results.push_back(result);
    };
    for (const NodeId id : order_) {
      if (is_made(id, Made::kSum)) yield(graph_.node(id).results[0]);
    }
    for (const NodeId id : order_) {
      if (!region_.contains(id) || is_made(id, Made::kSum)) continue;
      if (leaves(graph_.node(id).results[0])) yield(graph_.node(id).results[0]);
    }
    const std::vector<Val> made =
        builder_.add_multi(Op::kScan, operands_, make_attrs(attrs_), {}, body_);
    for (size_t i = 0; i < results.size(); ++i) {
      Val now = made[i];
      if (now.shape() != graph_.type(results[i]).shape)
        now = reshape(now, graph_.type(results[i]).shape);
      const std::string name = graph_.value(results[i]).name;
      graph_.replace_all_uses(results[i], now.id());
      graph_.set_name_hint(now.id(), name);
    }
    for (auto id = order_.rbegin(); id != order_.rend(); ++id) {
      if (region_.contains(*id) || (of_masks_.contains(*id) && is_unused(*id))) graph_.erase(*id);
    }
  }

  bool is_unused(NodeId id) const { return !graph_.has_uses(graph_.node(id).results[0]); }

  Graph& graph_;
  Builder builder_;
  const BlockSizes& sizes_;
  int64_t rows_, elements_, block_;
  std::vector<ValueId> large_;  ///< values; the first is where the search began
  std::map<NodeId, Made> region_;
  std::vector<NodeId> order_;
  std::vector<char> behind_;  ///< by node: made of what the region makes

  std::shared_ptr<Graph> body_;
  std::unique_ptr<Builder> inner_;
  ScanAttrs attrs_;
  std::vector<Val> operands_;
  std::map<ValueId, Val> rows_in_;  ///< blocks of values, in the body
  std::map<ValueId, Val> wholes_, counts_;
  std::map<NodeId, Val> sums_;  ///< the carries
  std::set<NodeId> of_masks_;   ///< what masks are made of
};

}  // namespace

}  // namespace passes

Result<bool> make_in_blocks(Graph& graph, PassContext& context, const BlockSizes& sizes) {
  bool changed = false;
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.erased || node.op != Op::kMatmul) continue;
    const ValueId seed = node.results[0];
    if (graph.type(seed).rank() != 2 || graph.type(seed).bytes() < sizes.large_bytes) continue;
    passes::RowBlocker blocker(graph, seed, sizes);
    if (!blocker.find_region() || !context.may_rewrite()) continue;
    blocker.run();
    context.count("values made in blocks of rows");
    changed = true;
  }
  return changed;
}

namespace passes {

Result<bool> block_rows(Graph& graph, PassContext& context) {
  return make_in_blocks(graph, context, {});
}

}  // namespace passes
}  // namespace gradc
