// recompute - values of the forward phase that the backward phase needs are made again there, from
// those that are kept, instead of being kept until then. Which: PassOptions::recompute.
//
//   forward:  u = dense(x)   v = gelu(u)   w = dense(v)      ->  the same
//   backward: .. = matmul(v, dw)   .. = gelu_grad(u, dv)     ->  v' = gelu(u)  .. = matmul(v', dw)
//
// A copy computes what its original did, from the same values: no bit changes.
#include "passes/recompute.h"

#include "ir/graph_copy.h"
#include "ir/op.h"
#include "passes/graph_stats.h"
#include "passes/passes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

namespace gradc {

namespace {

/// Nodes of which an elementwise value is made again.
constexpr size_t kMaxChain = 32;

/// What costs next to nothing is done without a budget: so many bytes are no longer kept, for one
/// element made again beside so many flops of products.
constexpr int64_t kManyBytes = int64_t{1} << 24U;
constexpr int64_t kFlopsOfElement = 2048;

constexpr Recomputation parts(int parts, int remade) {
  return {.elementwise = true, .parts = parts, .remade = remade};
}
constexpr std::array kLadder = {parts(0, 0), parts(4, 1), parts(8, 3),   parts(4, 2),  parts(8, 5),
                                parts(4, 3), parts(8, 7), parts(16, 15), parts(32, 31)};

bool is_view(const Node& node) {
  return def(node.op).lowering == Lowering::kView && node.op != Op::kPad && node.op != Op::kConcat;
}

/// What is as cheap to make again as to read: elements of what is kept, looked up or not.
bool is_elementwise(const Node& node) {
  return def(node.op).lowering == Lowering::kScalar || node.op == Op::kGather;
}

/// Whether it is part of what comes after the forward phase. An update is written where its value
/// is made.
bool reads_later(const Node& node) {
  return node.phase != Phase::kForward && node.op != Op::kUpdate;
}

/// Which values of the forward phase the backward phase reads, and which of them it had better make
/// again. Views stand for what they show.
class ForwardValues {
 public:
  ForwardValues(const Graph& graph, int64_t small_bytes)
      : graph_(graph),
        small_bytes_(small_bytes),
        made_at_(graph.value_capacity(), -1),
        read_until_(graph.value_capacity(), -1),
        saved_(graph.value_capacity(), 0),
        remade_(graph.value_capacity(), 0) {
    int64_t position = 0;
    for (NodeId id : graph.nodes()) {
      const Node& node = graph.node(id);
      const bool forward = node.phase == Phase::kForward;
      for (ValueId operand : node.operands) {
        const ValueId value = shown(operand);
        if (!is_forward(value)) continue;
        if (forward && !is_view(node)) read_until_[value.index] = position;
        if (reads_later(node)) saved_[value.index] = 1;
      }
      if (!forward) continue;
      for (ValueId result : node.results)
        made_at_[result.index] = position;
      order_.push_back(id);
      ++position;
    }
  }

  /// The value of which this one is a view.
  ValueId shown(ValueId value) const {
    for (;;) {
      const NodeId id = graph_.def(value);
      if (!id.valid() || !is_view(graph_.node(id))) return value;
      value = graph_.node(id).operands[0];
    }
  }

  bool is_forward(ValueId value) const {
    const NodeId id = graph_.def(value);
    return id.valid() && graph_.node(id).phase == Phase::kForward;
  }
  /// In memory when the backward phase comes.
  bool is_kept(ValueId value) const {
    const ValueId of = shown(value);
    return !is_forward(of) || (saved_[of.index] != 0 && remade_[of.index] == 0);
  }

  void choose_elementwise() {
    for (NodeId id : order_) {
      const ValueId value = graph_.node(id).results[0];
      if (!is_elementwise(graph_.node(id)) || !is_candidate(value)) continue;
      std::vector<ValueId> small;
      if (!made_of_what_is_kept(id, small)) continue;
      remade_[value.index] = 1;
      for (const ValueId v : small)
        saved_[v.index] = 1;
    }
  }

  /// Whether what was chosen saves much and costs next to nothing beside the step's products.
  bool pays_anyway() const {
    int64_t bytes = 0, elements = 0;
    for (size_t i = 0; i < remade_.size(); ++i) {
      if (remade_[i] == 0) continue;
      bytes += graph_.type(ValueId(i)).bytes();
      elements += graph_.type(ValueId(i)).num_elements();
    }
    return bytes >= kManyBytes &&
           graph_stats(graph_).contraction_flops / kFlopsOfElement >= elements;
  }

  void choose_parts(int parts, int remade) {
    const std::vector<int64_t> cuts = find_cuts(parts);
    const size_t last = std::min(static_cast<size_t>(remade), cuts.size());
    if (last == 0) return;
    const auto crosses = [&](ValueId value) {
      return std::any_of(cuts.begin(), cuts.begin() + static_cast<std::ptrdiff_t>(last),
                         [&](int64_t cut) {
                           return made_at_[value.index] <= cut && cut < read_until_[value.index];
                         });
    };
    for (NodeId id : order_) {
      for (ValueId value : graph_.node(id).results) {
        if (made_at_[value.index] > cuts[last - 1] || is_view(graph_.node(id))) continue;
        if (crosses(value) || def(graph_.node(id).op).has_open_body()) {
          saved_[value.index] = 1;
          remade_[value.index] = 0;
        } else if (is_candidate(value)) {
          remade_[value.index] = 1;
        }
      }
    }
  }

 private:
  bool is_candidate(ValueId value) const {
    return saved_[value.index] != 0 && graph_.type(value).bytes() > small_bytes_ &&
           !graph_.is_output(value);
  }

  /// Whether a few elementwise nodes make it of values that are kept, or are so small that they may
  /// as well be.
  bool made_of_what_is_kept(NodeId id, std::vector<ValueId>& small) const {
    std::vector<NodeId> chain = {id};
    for (size_t i = 0; i < chain.size(); ++i) {
      for (ValueId operand : graph_.node(chain[i]).operands) {
        if (is_kept(operand)) continue;
        const NodeId maker = graph_.def(operand);
        const bool is_number = def(graph_.node(maker).op).lowering != Lowering::kSource;
        if (is_number && shown(operand) == operand &&
            graph_.type(operand).bytes() <= small_bytes_) {
          small.push_back(operand);
          continue;
        }
        if (std::find(chain.begin(), chain.end(), maker) != chain.end()) continue;
        const Lowering lowering = def(graph_.node(maker).op).lowering;
        const bool cheap = is_elementwise(graph_.node(maker)) || lowering == Lowering::kView ||
                           lowering == Lowering::kSource;
        if (!cheap || chain.size() == kMaxChain) return false;
        chain.push_back(maker);
      }
    }
    return true;
  }

  /// Where the forward phase falls into parts that keep about as many bytes: of the places near,
  /// those over which the fewest bytes go. By position; each the last of its part.
  std::vector<int64_t> find_cuts(int parts) const {
    std::vector<int64_t> kept(order_.size(), 0);
    std::vector<int64_t> crossing(order_.size() + 1, 0);
    for (size_t i = 0; i < order_.size(); ++i) {
      for (ValueId value : graph_.node(order_[i]).results) {
        const int64_t bytes = graph_.type(value).bytes();
        if (is_candidate(value) && remade_[value.index] == 0) kept[i] += bytes;
        if (is_view(graph_.node(order_[i])) || read_until_[value.index] < 0) continue;
        crossing[i] += bytes;
        crossing[static_cast<size_t>(read_until_[value.index])] -= bytes;
      }
    }
    std::partial_sum(kept.begin(), kept.end(), kept.begin());
    std::partial_sum(crossing.begin(), crossing.end(), crossing.begin());
    std::vector<int64_t> cuts;
    if (kept.empty()) return cuts;
    const double part = static_cast<double>(kept.back()) / parts;
    size_t i = 0;
    for (int k = 1; k < parts; ++k) {
      const double target = part * k;
      while (i < kept.size() && static_cast<double>(kept[i]) < target - part / 2)
        ++i;
      size_t best = i;
      for (; i < kept.size() && static_cast<double>(kept[i]) < target + part / 2; ++i) {
        if (crossing[i] < crossing[best]) best = i;
      }
      // One value may be more than a part.
      if (best == kept.size() || (!cuts.empty() && static_cast<int64_t>(best) <= cuts.back()))
        break;
      cuts.push_back(static_cast<int64_t>(best));
    }
    return cuts;
  }

  const Graph& graph_;
  const int64_t small_bytes_;
  std::vector<NodeId> order_;         ///< the forward phase
  std::vector<int64_t> made_at_;      ///< by ValueId: position in the forward phase, else -1
  std::vector<int64_t> read_until_;   ///< by ValueId: last position there that reads it
  std::vector<char> saved_, remade_;  ///< by ValueId
};

/// Puts copies of what makes a value before the first node of the backward phase that reads it.
class Remaker {
 public:
  Remaker(Graph& graph, const ForwardValues& values)
      : graph_(graph),
        values_(values),
        builder_(graph),
        copier_(graph, builder_),
        position_(graph.node_capacity(), 0),
        copied_(graph.node_capacity(), 0) {
    uint32_t position = 0;
    for (NodeId id : graph.nodes())
      position_[id.index] = position++;
    builder_.set_phase(Phase::kBackward);
  }

  /// How many nodes were copied.
  int64_t run() {
    int64_t copies = 0;
    for (NodeId id : graph_.nodes()) {
      if (!reads_later(graph_.node(id))) continue;
      for (size_t i = 0; i < graph_.node(id).operands.size(); ++i) {
        const ValueId operand = graph_.node(id).operands[i];
        if (!values_.is_forward(operand) || values_.is_kept(operand)) continue;
        const std::vector<NodeId> missing = not_made_yet(operand);
        builder_.set_insertion_point(id);
        for (NodeId node : missing)
          copy(node);
        copies += static_cast<int64_t>(missing.size());
        graph_.set_operand(id, i, copier_[operand].id());
      }
    }
    return copies;
  }

 private:
  /// The nodes behind a value, up to what is kept or has a copy already, in order.
  std::vector<NodeId> not_made_yet(ValueId value) {
    std::vector<NodeId> nodes;
    const auto reach = [&](ValueId v) {
      if (values_.is_kept(v)) return;
      const NodeId maker = graph_.def(v);
      if (copied_[maker.index] != 0) return;
      copied_[maker.index] = 1;
      nodes.push_back(maker);
    };
    reach(value);
    for (size_t i = 0; i < nodes.size(); ++i) {
      for (ValueId operand : graph_.node(nodes[i]).operands)
        reach(operand);
    }
    std::sort(nodes.begin(), nodes.end(),
              [&](NodeId a, NodeId b) { return position_[a.index] < position_[b.index]; });
    return nodes;
  }

  void copy(NodeId node) {
    for (ValueId operand : graph_.node(node).operands) {
      if (values_.is_kept(operand)) copier_.map(operand, builder_.wrap(operand));
    }
    copier_.copy(node);
  }

  Graph& graph_;
  const ForwardValues& values_;
  Builder builder_;
  NodeCopier copier_;
  std::vector<uint32_t> position_;  ///< by NodeId
  std::vector<char> copied_;        ///< by NodeId
};

}  // namespace

std::string Recomputation::text() const {
  std::string text = elementwise ? "elementwise values" : "";
  if (remade > 0) {
    text += fmt::format("{}{} of {} parts of the forward phase", text.empty() ? "" : ", ", remade,
                        parts);
  }
  return text.empty() ? "nothing" : text;
}

std::span<const Recomputation> recomputation_ladder() {
  return kLadder;
}

namespace passes {

Result<bool> recompute(Graph& graph, PassContext& context) {
  Recomputation what = context.options.recompute;
  context.recomputed.clear();
  const bool asked = !what.nothing();
  what.elementwise = what.elementwise || !asked;
  ForwardValues values(graph, what.small_bytes);
  if (what.elementwise) values.choose_elementwise();
  if ((!asked && !values.pays_anyway()) || !context.may_rewrite()) return false;
  if (what.remade > 0) values.choose_parts(what.parts, what.remade);
  const int64_t copies = Remaker(graph, values).run();
  context.count("nodes made again", copies);
  if (copies > 0) context.recomputed = what.text();
  return copies > 0;
}

}  // namespace passes
}  // namespace gradc
