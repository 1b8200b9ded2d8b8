// schedule - puts the nodes into the topological order with the least live memory that it finds:
// the given order, the same with every node moved to where it frees memory, and list scheduling by
// bytes added; then a local search around the peak. All deterministic; the given order wins ties.
//
// A kernel that writes a new parameter over the old one comes after all readers of the old one, as
// long as that makes no cycle; each update stands right after its kernel.
#include "ir/op.h"
#include "passes/in_place.h"
#include "passes/liveness.h"
#include "passes/passes.h"

#include <algorithm>
#include <tuple>

namespace gradc::passes {
namespace {

constexpr size_t kMaxSearchNodes = 600;
constexpr int kSearchTrials = 1500;

/// The order constraints between the nodes that compute.
class Dependences {
 public:
  explicit Dependences(const Graph& graph)
      : graph_(graph), before_(graph.node_capacity()), after_(graph.node_capacity()) {
    for (NodeId id : graph.nodes()) {
      const Node& node = graph.node(id);
      if (node.op == Op::kUpdate) continue;
      nodes_.push_back(id);
      for (ValueId operand : node.operands) {
        const NodeId producer = graph.def(operand);
        if (producer.valid()) add(producer, id);
      }
    }
    add_overwrites();
  }

  const std::vector<NodeId>& nodes() const { return nodes_; }
  const std::vector<NodeId>& before(NodeId id) const { return before_[id.index]; }
  const std::vector<NodeId>& after(NodeId id) const { return after_[id.index]; }
  const std::vector<ValueId>& targets() const { return targets_; }

 private:
  void add(NodeId first, NodeId second) {
    std::vector<NodeId>& list = before_[second.index];
    if (std::find(list.begin(), list.end(), first) != list.end()) return;
    list.push_back(first);
    after_[first.index].push_back(second);
  }

  bool reaches(NodeId from, NodeId to) const {
    std::vector<char> seen(graph_.node_capacity(), 0);
    std::vector<NodeId> todo = {from};
    while (!todo.empty()) {
      const NodeId id = todo.back();
      todo.pop_back();
      if (id == to) return true;
      if (seen[id.index] != 0) continue;
      seen[id.index] = 1;
      todo.insert(todo.end(), after_[id.index].begin(), after_[id.index].end());
    }
    return false;
  }

  /// Readers of an old value come before the kernel that writes over it.
  void add_overwrites() {
    targets_ = in_place_targets(graph_, nullptr);
    for (ValueId& target : targets_) {
      if (!target.valid()) continue;
      const ValueId value(static_cast<size_t>(&target - targets_.data()));
      const NodeId writer = graph_.def(value);
      std::vector<NodeId> readers;
      for (const Use& use : graph_.value(target).uses) {
        if (graph_.node(use.node).op != Op::kUpdate && use.node != writer)
          readers.push_back(use.node);
      }
      const bool cycle = std::any_of(readers.begin(), readers.end(),
                                     [&](NodeId reader) { return reaches(writer, reader); });
      if (cycle) {
        target = ValueId();
        continue;
      }
      for (NodeId reader : readers)
        add(reader, writer);
    }
  }

  const Graph& graph_;
  std::vector<NodeId> nodes_;
  std::vector<std::vector<NodeId>> before_, after_;  ///< by NodeId
  std::vector<ValueId> targets_;                     ///< by ValueId
};

/// What running a node would do to the live bytes.
struct Effect {
  int64_t allocated = 0;
  int64_t change = 0;
};

class ListScheduler {
 public:
  enum class Rule : uint8_t {
    kGiven,      ///< first in the given order
    kFreeFirst,  ///< what does not add live bytes, then the given order
    kLeastAdded  ///< what adds least
  };

  ListScheduler(const Graph& graph, const Dependences& dependences, const LivenessModel& model)
      : graph_(graph), dependences_(dependences), model_(model) {}

  std::vector<NodeId> run(Rule rule) {
    reads_.assign(graph_.value_capacity(), 0);
    for (size_t i = 0; i < reads_.size(); ++i)
      reads_[i] = model_.num_readers(ValueId(i));
    std::vector<size_t> missing(graph_.node_capacity(), 0);
    std::vector<NodeId> ready;  // in the given order
    const std::vector<int64_t> position = node_positions(graph_);
    for (NodeId id : dependences_.nodes()) {
      missing[id.index] = dependences_.before(id).size();
      if (missing[id.index] == 0) ready.push_back(id);
    }
    std::vector<NodeId> order;
    while (!ready.empty()) {
      const size_t chosen = choose(ready, rule);
      const NodeId id = ready[chosen];
      ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(chosen));
      order.push_back(id);
      for (ValueId operand : model_.arena_operands(id))
        --reads_[operand.index];
      for (NodeId next : dependences_.after(id)) {
        if (--missing[next.index] > 0) continue;
        const auto where = std::lower_bound(
            ready.begin(), ready.end(), next,
            [&](NodeId a, NodeId b) { return position[a.index] < position[b.index]; });
        ready.insert(where, next);
      }
    }
    GRADC_CHECK(order.size() == dependences_.nodes().size(), "the dependences have a cycle");
    return order;
  }

 private:
  Effect effect(NodeId id) {
    Effect e;
    model_.taken_over(id, reads_, pairs_);
    for (ValueId result : model_.arena_results(id))
      e.allocated += model_.bytes(result);
    for (const auto& [result, operand] : pairs_)
      e.allocated -= model_.bytes(operand);
    e.change = e.allocated;
    for (ValueId operand : model_.arena_operands(id)) {
      if (reads_[operand.index] == 1) e.change -= model_.bytes(operand);
    }
    for (const auto& [result, operand] : pairs_)
      e.change += model_.bytes(operand);
    return e;
  }

  size_t choose(const std::vector<NodeId>& ready, Rule rule) {
    if (rule == Rule::kGiven) return 0;
    size_t best = 0;
    std::tuple<int64_t, int64_t> best_key{INT64_MAX, INT64_MAX};
    for (size_t i = 0; i < ready.size(); ++i) {
      const Effect e = effect(ready[i]);
      std::tuple<int64_t, int64_t> key{e.change, e.allocated};
      if (rule == Rule::kFreeFirst) key = {e.change <= 0 ? 0 : 1, e.change <= 0 ? e.change : 0};
      if (key >= best_key) continue;
      best = i;
      best_key = key;
    }
    return best;
  }

  const Graph& graph_;
  const Dependences& dependences_;
  const LivenessModel& model_;
  std::vector<uint32_t> reads_;
  std::vector<std::pair<ValueId, ValueId>> pairs_;
};

bool better(const LiveProfile& a, const LiveProfile& b) {
  return std::tie(a.peak, a.total) < std::tie(b.peak, b.total);
}

/// Moves single nodes to other places that the dependences allow, nearest to the peak first, as
/// long as that helps.
class LocalSearch {
 public:
  LocalSearch(const Graph& graph, const Dependences& dependences, const LivenessModel& model)
      : dependences_(dependences), model_(model), place_(graph.node_capacity(), 0) {}

  void improve(std::vector<NodeId>& order, LiveProfile& profile) {
    int trials = kSearchTrials;
    bool found = true;
    while (found && trials > 0) {
      found = false;
      const size_t peak = profile.peak_step;
      for (size_t distance = 0; distance < order.size() && !found && trials > 0; ++distance) {
        if (distance <= peak) found = try_moves(order, profile, peak - distance, peak, trials);
        if (!found && distance > 0 && peak + distance < order.size())
          found = try_moves(order, profile, peak + distance, peak, trials);
      }
    }
  }

 private:
  /// Nodes up to the peak may move behind it, later ones before it.
  bool try_moves(std::vector<NodeId>& order, LiveProfile& profile, size_t from, size_t peak,
                 int& trials) {
    for (size_t i = 0; i < order.size(); ++i)
      place_[order[i].index] = i;
    size_t low = 0;
    size_t high = order.size() - 1;
    for (NodeId id : dependences_.before(order[from]))
      low = std::max(low, place_[id.index] + 1);
    for (NodeId id : dependences_.after(order[from]))
      high = std::min(high, place_[id.index] - 1);
    for (const size_t to : {low, high, std::clamp(peak + 1, low, high)}) {
      if (to == from || trials <= 0) continue;
      --trials;
      std::vector<NodeId> trial = order;
      const auto begin = trial.begin();
      const auto f = static_cast<std::ptrdiff_t>(from);
      const auto t = static_cast<std::ptrdiff_t>(to);
      if (from < to) {
        std::rotate(begin + f, begin + f + 1, begin + t + 1);
      } else {
        std::rotate(begin + t, begin + f, begin + f + 1);
      }
      const LiveProfile p = model_.profile(trial);
      if (p.peak >= profile.peak) continue;
      order = std::move(trial);
      profile = p;
      return true;
    }
    return false;
  }

  const Dependences& dependences_;
  const LivenessModel& model_;
  std::vector<size_t> place_;  ///< by NodeId
};

/// Constants first, each update behind the kernel that makes its value (at the end where nothing
/// does, or where its target is still read).
std::vector<NodeId> with_updates(const Graph& graph, const std::vector<NodeId>& order) {
  std::vector<NodeId> result;
  std::vector<char> placed(graph.node_capacity(), 0);
  for (NodeId id : order) {
    result.push_back(id);
    for (ValueId value : graph.node(id).results) {
      for (const Use& use : graph.value(value).uses) {
        if (graph.node(use.node).op != Op::kUpdate || placed[use.node.index] != 0) continue;
        placed[use.node.index] = 1;
        result.push_back(use.node);
      }
    }
  }
  for (NodeId id : graph.nodes()) {
    if (graph.node(id).op == Op::kUpdate && placed[id.index] == 0) result.push_back(id);
  }
  return result;
}

}  // namespace

Result<bool> schedule(Graph& graph, PassContext& context) {
  const Dependences dependences(graph);
  const LivenessModel model(graph, dependences.targets());
  ListScheduler scheduler(graph, dependences, model);
  std::vector<NodeId> best;
  LiveProfile best_profile;
  using Rule = ListScheduler::Rule;
  for (const Rule rule : {Rule::kGiven, Rule::kFreeFirst, Rule::kLeastAdded}) {
    std::vector<NodeId> order = scheduler.run(rule);
    const LiveProfile profile = model.profile(order);
    if (!best.empty() && !better(profile, best_profile)) continue;
    best = std::move(order);
    best_profile = profile;
  }
  if (best.size() > 1 && best.size() <= kMaxSearchNodes)
    LocalSearch(graph, dependences, model).improve(best, best_profile);
  context.count("peak bytes", best_profile.peak);
  const std::vector<NodeId> order = with_updates(graph, best);
  if (order == graph.nodes()) return false;
  graph.set_order(order);
  return true;
}

}  // namespace gradc::passes
