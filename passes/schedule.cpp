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
#include <set>
#include <tuple>

namespace gradc::passes {
namespace {

constexpr size_t kMaxSearchNodes = 600;
constexpr int kSearchTrials = 1500;
constexpr int64_t kTinyBytes = 4096;
/// Nodes looked at to find out whether a writer may come after the readers of what it overwrites.
constexpr size_t kMaxReach = 4096;

/// The order constraints between the nodes that compute.
class Dependences {
 public:
  explicit Dependences(const Graph& graph)
      : graph_(graph),
        number_(graph.node_capacity()),
        before_(graph.num_nodes()),
        after_(graph.num_nodes()),
        seen_(graph.num_nodes(), 0) {
    nodes_.reserve(graph.num_nodes());
    for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
      const Node& node = graph.node(id);
      if (node.op == Op::kUpdate) continue;
      number_[id.index] = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back(id);
      for (ValueId operand : node.operands) {
        const NodeId producer = graph.def(operand);
        if (producer.valid()) add(producer, id);
      }
    }
    add_overwrites();
  }

  const std::vector<NodeId>& nodes() const { return nodes_; }
  /// A node's place among them: tables by number are small, as a graph of kernels has had many
  /// nodes.
  uint32_t number(NodeId id) const { return number_[id.index]; }
  const std::vector<NodeId>& before(NodeId id) const { return before_[number(id)]; }
  const std::vector<NodeId>& after(NodeId id) const { return after_[number(id)]; }
  const std::vector<ValueId>& targets() const { return targets_; }

 private:
  /// A pair may be there several times.
  void add(NodeId first, NodeId second) {
    before_[number(second)].push_back(first);
    after_[number(first)].push_back(second);
  }

  /// Whether the node comes before one of the others on some way; true also where that is too far
  /// to see.
  bool reaches(NodeId from, const std::vector<NodeId>& others) {
    if (others.empty() || after(from).empty()) return false;
    ++stamp_;
    for (NodeId other : others)
      seen_[number(other)] = -stamp_;
    std::vector<NodeId> todo = {from};
    for (size_t i = 0; i < todo.size(); ++i) {
      if (i == kMaxReach) return true;
      for (NodeId next : after(todo[i])) {
        int32_t& seen = seen_[number(next)];
        if (seen == -stamp_) return true;
        if (seen == stamp_) continue;
        seen = stamp_;
        todo.push_back(next);
      }
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
      if (reaches(writer, readers)) {
        target = ValueId();
        continue;
      }
      for (NodeId reader : readers)
        add(reader, writer);
    }
  }

  const Graph& graph_;
  std::vector<NodeId> nodes_;
  std::vector<uint32_t> number_;                     ///< by NodeId
  std::vector<std::vector<NodeId>> before_, after_;  ///< by number
  std::vector<ValueId> targets_;                     ///< by ValueId
  std::vector<int32_t> seen_;                        ///< by number
  int32_t stamp_ = 0;
};

/// What running a node would do to the live bytes.
struct Effect {
  int64_t allocated = 0;
  int64_t change = 0;
};

/// Takes the best of the nodes that can run, again and again. What a node would do changes only
/// when it becomes the last reader of one of its operands, so the nodes wait in a sorted set.
class ListScheduler {
 public:
  enum class Rule : uint8_t {
    kGiven,      ///< first in the given order
    kFreeFirst,  ///< what adds no live bytes but a few, then the given order
    kLeastAdded  ///< what adds least
  };

  ListScheduler(const Graph& graph, const Dependences& dependences, const LivenessModel& model)
      : graph_(graph), dependences_(dependences), model_(model) {}

  std::vector<NodeId> run(Rule rule) {
    rule_ = rule;
    reads_.resize(graph_.value_capacity());
    for (size_t i = 0; i < reads_.size(); ++i)
      reads_[i] = model_.num_readers(ValueId(i));
    keys_.assign(dependences_.nodes().size(), kNotReady);
    ready_.clear();
    std::vector<size_t> missing(dependences_.nodes().size(), 0);
    for (NodeId id : dependences_.nodes()) {
      size_t& count = missing[dependences_.number(id)];
      count = dependences_.before(id).size();
      if (count == 0) put(id);
    }
    std::vector<NodeId> order;
    order.reserve(dependences_.nodes().size());
    while (!ready_.empty()) {
      const NodeId id = ready_.begin()->second;
      ready_.erase(ready_.begin());
      keys_[dependences_.number(id)] = kNotReady;
      order.push_back(id);
      for (ValueId operand : model_.arena_operands(id)) {
        if (--reads_[operand.index] == 1) update_last_reader(operand);
      }
      for (NodeId next : dependences_.after(id)) {
        if (--missing[dependences_.number(next)] == 0) put(next);
      }
    }
    GRADC_CHECK(order.size() == dependences_.nodes().size(), "the dependences have a cycle");
    return order;
  }

  /// How often it was asked what a node would do.
  int64_t weighed() const { return weighed_; }

 private:
  /// Smallest first; the position in the given order breaks ties.
  using Key = std::tuple<int64_t, int64_t, int64_t>;
  static constexpr Key kNotReady{INT64_MAX, INT64_MAX, INT64_MAX};

  void put(NodeId id) {
    Key& key = keys_[dependences_.number(id)];
    key = key_of(id);
    ready_.emplace(key, id);
  }

  void update_last_reader(ValueId value) {
    for (const Use& use : graph_.value(value).uses) {
      if (graph_.node(use.node).op == Op::kUpdate) continue;
      const Key old = keys_[dependences_.number(use.node)];
      if (old == kNotReady) continue;
      ready_.erase({old, use.node});
      put(use.node);
    }
  }

  Effect effect(NodeId id) {
    ++weighed_;
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

  Key key_of(NodeId id) {
    const int64_t position = dependences_.number(id);
    if (rule_ == Rule::kGiven) return {0, 0, position};
    const Effect e = effect(id);
    if (rule_ == Rule::kLeastAdded) return {e.change, e.allocated, position};
    const bool is_free = e.change <= kTinyBytes;  // the rate of this step, for which updates wait
    return {is_free ? 0 : 1, is_free ? e.change : 0, position};
  }

  const Graph& graph_;
  const Dependences& dependences_;
  const LivenessModel& model_;
  Rule rule_ = Rule::kGiven;
  std::vector<uint32_t> reads_;  ///< by ValueId: still to come
  std::vector<Key> keys_;        ///< by number of the node
  std::set<std::pair<Key, NodeId>> ready_;
  std::vector<std::pair<ValueId, ValueId>> pairs_;
  int64_t weighed_ = 0;
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
  context.count("nodes weighed", scheduler.weighed());
  context.count("peak bytes", best_profile.peak);
  const std::vector<NodeId> order = with_updates(graph, best);
  if (order == graph.nodes()) return false;
  graph.set_order(order);
  return true;
}

}  // namespace gradc::passes
