// Merging of groups: candidates, what a merge is worth, cycles.
#include "ir/op.h"
#include "passes/fusion_groups.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace gradc {
namespace {

/// Pairs of users of one value that are looked at as siblings: each with the next few.
constexpr size_t kSiblingReach = 4;
constexpr double kTinyBytes = 4096;

bool is_anchored(const FusionGroup& group) {
  return group.form.kind == KernelKind::kContraction || group.form.kind == KernelKind::kOpaque;
}

/// Whether a group has nodes of the forward phase and of a later one.
bool spans_phases(const Graph& graph, const FusionGroup& group) {
  bool forward = false;
  bool later = false;
  for (NodeId id : group.owned)
    (graph.node(id).phase == Phase::kForward ? forward : later) = true;
  return forward && later;
}

double stored_bytes(const Graph& graph, const FusionGroup& group) {
  double bytes = 0;
  for (ValueId output : group.outputs)
    bytes += static_cast<double>(graph.type(output).bytes());
  return bytes;
}

bool is_reduction(const FusionGroup& group) {
  return group.form.kind == KernelKind::kRow || group.form.kind == KernelKind::kColumn;
}

}  // namespace

bool FusionGroups::Candidate::operator<(const Candidate& other) const {
  // For the heap: the smallest is the least useful; ties are broken towards early groups.
  if (benefit != other.benefit) return benefit < other.benefit;
  return std::tie(first, second) > std::tie(other.first, other.second);
}

std::vector<FusionGroup> FusionGroups::run() {
  for (uint32_t group = 0; group < groups_.size(); ++group) {
    for (uint32_t producer : producers(groups_[group]))
      push(producer, group);
  }
  for (uint32_t group = 0; group < groups_.size(); ++group)
    push_siblings(group);
  push_tiny_siblings();
  while (!queue_.empty()) {
    std::pop_heap(queue_.begin(), queue_.end());
    const Candidate c = queue_.back();
    queue_.pop_back();
    const bool current = alive_[c.first] != 0 && alive_[c.second] != 0 &&
                         version_[c.first] == c.first_version &&
                         version_[c.second] == c.second_version;
    if (!current || makes_cycle(c.first, c.second) || !context_.may_rewrite()) continue;
    merge(c.first, c.second, unite(groups_[c.first], groups_[c.second]));
  }
  std::vector<FusionGroup> result;
  for (uint32_t group : by_rank_) {
    if (alive_[group] != 0) result.push_back(std::move(groups_[group]));
  }
  return result;
}

// ---- candidates --------------------------------------------------------------------------------

std::vector<uint32_t> FusionGroups::producers(const FusionGroup& group) const {
  std::vector<uint32_t> result;
  for (ValueId input : group.inputs) {
    const NodeId producer = graph_.def(input);
    if (!producer.valid() || owner(producer) == UINT32_MAX) continue;
    result.push_back(owner(producer));
  }
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

/// Groups that read a value, directly or through inline nodes.
void FusionGroups::collect_consumers(ValueId value, std::vector<uint32_t>& result) {
  for (const Use& use : graph_.value(value).uses) {
    const NodeId user = use.node;
    if (live_[user.index] == 0 || seen_[user.index] == stamp_) continue;
    seen_[user.index] = stamp_;
    if (owner(user) != UINT32_MAX) result.push_back(owner(user));
    if (inline_[user.index] == 0) continue;
    for (ValueId inner : graph_.node(user).results)
      collect_consumers(inner, result);
  }
}

std::vector<uint32_t> FusionGroups::consumers(uint32_t group) {
  std::vector<uint32_t> result;
  ++stamp_;
  for (ValueId output : groups_[group].outputs)
    collect_consumers(output, result);
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  result.erase(std::remove(result.begin(), result.end(), group), result.end());
  return result;
}

bool FusionGroups::is_linked(uint32_t a, uint32_t b) const {
  const std::vector<uint32_t> of_b = producers(groups_[b]);
  return std::binary_search(of_b.begin(), of_b.end(), a);
}

void FusionGroups::push(uint32_t a, uint32_t b) {
  if (rank_[a] > rank_[b]) std::swap(a, b);
  const FusionGroup both = unite(groups_[a], groups_[b]);
  const std::optional<double> gain = benefit(groups_[a], groups_[b], both, is_linked(a, b));
  if (!gain) return;
  queue_.push_back({*gain, a, b, version_[a], version_[b]});
  std::push_heap(queue_.begin(), queue_.end());
}

void FusionGroups::push_neighbours(uint32_t group) {
  for (uint32_t producer : producers(groups_[group]))
    push(producer, group);
  for (uint32_t consumer : consumers(group))
    push(group, consumer);
}

/// Groups that read a value that this one reads too.
void FusionGroups::push_siblings(uint32_t group) {
  if (is_anchored(groups_[group])) return;
  const std::vector<ValueId> inputs = groups_[group].inputs;
  std::vector<uint32_t> siblings;
  for (ValueId input : inputs) {
    std::vector<uint32_t> readers;
    ++stamp_;
    collect_consumers(input, readers);
    std::sort(readers.begin(), readers.end());
    readers.erase(std::unique(readers.begin(), readers.end()), readers.end());
    const auto next = std::upper_bound(readers.begin(), readers.end(), group);
    const auto last = next + std::min<std::ptrdiff_t>(readers.end() - next, kSiblingReach);
    siblings.insert(siblings.end(), next, last);
    const auto self = std::lower_bound(readers.begin(), readers.end(), group);
    const auto first = self - std::min<std::ptrdiff_t>(self - readers.begin(), kSiblingReach);
    siblings.insert(siblings.end(), first, self);
  }
  std::sort(siblings.begin(), siblings.end());
  siblings.erase(std::unique(siblings.begin(), siblings.end()), siblings.end());
  for (uint32_t sibling : siblings) {
    if (!is_anchored(groups_[sibling])) push(group, sibling);
  }
}

/// Very small groups of one shape and phase share a call even when they share no input: scalars,
/// means over the batch.
void FusionGroups::push_tiny_siblings() {
  using Key = std::tuple<KernelKind, std::vector<int64_t>, std::vector<int64_t>>;
  std::map<Key, uint32_t> last;
  for (uint32_t group : by_rank_) {
    const FusionGroup& g = groups_[group];
    if (alive_[group] == 0 || is_anchored(g) || g.bytes > kTinyBytes) continue;
    const Key key{g.form.kind, g.form.space.to_vector(), g.form.full.to_vector()};
    const auto [it, inserted] = last.try_emplace(key, group);
    if (inserted) continue;
    push(it->second, group);
    it->second = group;
  }
}

// ---- worth -------------------------------------------------------------------------------------

FusionGroup FusionGroups::unite(const FusionGroup& a, const FusionGroup& b) {
  std::vector<NodeId> owned;
  std::merge(a.owned.begin(), a.owned.end(), b.owned.begin(), b.owned.end(),
             std::back_inserter(owned),
             [&](NodeId x, NodeId y) { return position_[x.index] < position_[y.index]; });
  return make_group(std::move(owned));
}

/// What a merge saves, in units of fusion_cost; none where it is not legal or does not pay.
std::optional<double> FusionGroups::benefit(const FusionGroup& p, const FusionGroup& c,
                                            const FusionGroup& both, bool linked) const {
  if (both.outputs.empty()) return std::nullopt;
  const auto counted = std::count_if(both.nodes.begin(), both.nodes.end(), [&](NodeId id) {
    return graph_.node(id).op != Op::kConstant;
  });
  if (static_cast<size_t>(counted) > kMaxBodyNodes ||
      both.inputs.size() + both.outputs.size() > kMaxKernelOperands) {
    return std::nullopt;
  }
  const double saved = p.bytes + c.bytes - both.bytes;
  const double extra = both.work - p.work - c.work;
  const bool tiny = both.bytes <= kTinyBytes;
  if (saved - extra + kKernelOverhead <= 0 || (saved <= 0 && !tiny)) return std::nullopt;
  if (crosses_into_later_phase(p, c, both)) return std::nullopt;
  double scale = linked ? 1.0 : 0.75;
  if (is_anchored(both)) {
    if (!linked && !tiny) return std::nullopt;
    const FusionGroup& other = is_anchored(p) ? c : p;
    const std::optional<double> prologue = prologue_cost(both, other);
    if (!prologue) return std::nullopt;
    if (*prologue >= 0) {
      scale = 0.5;  // an epilogue of the producer is better
    } else if (stored_bytes(graph_, both) > stored_bytes(graph_, is_anchored(p) ? p : c)) {
      scale = 0.6;  // so is a consumer that does not store it
    }
  } else if (!is_reduction(p) && is_reduction(c) && c.form.rows() == 1) {
    scale = 0.75;
  }
  return scale * (saved - extra) + (linked ? kKernelOverhead : kKernelOverhead / 2);
}

/// The cost per element of what the group computes for the anchor's operands, or -1 where nothing
/// of it is; none where it is too much to be done while packing.
std::optional<double> FusionGroups::prologue_cost(const FusionGroup& both,
                                                  const FusionGroup& other) const {
  std::vector<NodeId> before = {both.form.anchor};
  double cost = -1;
  for (size_t i = 0; i < before.size(); ++i) {
    for (ValueId operand : graph_.node(before[i]).operands) {
      const NodeId producer = graph_.def(operand);
      if (!producer.valid() ||
          std::find(both.nodes.begin(), both.nodes.end(), producer) == both.nodes.end() ||
          std::find(before.begin(), before.end(), producer) != before.end()) {
        continue;
      }
      before.push_back(producer);
      if (std::find(other.owned.begin(), other.owned.end(), producer) == other.owned.end())
        continue;
      cost = std::max(cost, 0.0) + op_cost(graph_.node(producer));
    }
  }
  if (cost < 0) return cost;
  // A value of the prologue that is stored too would have to be written while packing.
  for (ValueId output : both.outputs) {
    const NodeId producer = graph_.def(output);
    if (producer != both.form.anchor &&
        std::find(before.begin(), before.end(), producer) != before.end()) {
      return std::nullopt;
    }
  }
  if (cost > kMaxPrologueCost) return std::nullopt;
  return cost;
}

/// A forward kernel that also computes something for the backward phase keeps it in memory for a
/// long time: only when at least as much is no longer kept.
bool FusionGroups::crosses_into_later_phase(const FusionGroup& p, const FusionGroup& c,
                                            const FusionGroup& both) const {
  if (!spans_phases(graph_, both) || spans_phases(graph_, p) || spans_phases(graph_, c))
    return false;
  const auto bytes = [&](ValueId value) { return static_cast<double>(graph_.type(value).bytes()); };
  const auto contains = [](const auto& list, auto x) {
    return std::find(list.begin(), list.end(), x) != list.end();
  };
  const auto only_updates = [&](const std::vector<Use>& uses) {
    return std::all_of(uses.begin(), uses.end(),
                       [&](const Use& use) { return graph_.node(use.node).op == Op::kUpdate; });
  };
  double added = 0;
  double kept_before = 0;
  for (ValueId output : both.outputs) {
    const bool later = graph_.node(graph_.def(output)).phase != Phase::kForward;
    const bool in_place = !graph_.is_output(output) && only_updates(graph_.value(output).uses);
    if (later && !in_place) added += bytes(output);
  }
  for (const FusionGroup* group : {&p, &c}) {
    for (ValueId output : group->outputs) {
      if (!contains(both.outputs, output)) kept_before += bytes(output);
    }
  }
  for (ValueId input : both.inputs) {
    if (!graph_.def(input).valid() || graph_.is_output(input)) continue;
    const std::vector<Use>& uses = graph_.value(input).uses;
    const bool ends_here = std::all_of(
        uses.begin(), uses.end(), [&](const Use& use) { return contains(both.nodes, use.node); });
    if (ends_here) kept_before += bytes(input);
  }
  return added > kept_before;
}

// ---- cycles and merging ------------------------------------------------------------------------

/// Whether some group lies on a way from `first` to `second`.
bool FusionGroups::makes_cycle(uint32_t first, uint32_t second) {
  if (rank_[first] > rank_[second]) std::swap(first, second);
  std::vector<uint32_t> todo;
  for (uint32_t next : consumers(first)) {
    if (next != second && rank_[next] < rank_[second]) todo.push_back(next);
  }
  std::vector<uint32_t> reached = todo;
  while (!todo.empty()) {
    const uint32_t group = todo.back();
    todo.pop_back();
    for (uint32_t next : consumers(group)) {
      if (next == second) return true;
      if (rank_[next] > rank_[second] ||
          std::find(reached.begin(), reached.end(), next) != reached.end()) {
        continue;
      }
      reached.push_back(next);
      todo.push_back(next);
    }
  }
  return false;
}

/// Makes one group of two and keeps the ranks topological: of the groups ranked between them, those
/// that depend on the first come after the union, the others before.
void FusionGroups::merge(uint32_t first, uint32_t second, FusionGroup both) {
  GRADC_CHECK(!both.outputs.empty(), "two kernels that were one a moment ago no longer are");
  if (rank_[first] > rank_[second]) std::swap(first, second);
  const uint32_t low = rank_[first];
  const uint32_t high = rank_[second];
  std::vector<char> depends(groups_.size(), 0);
  depends[first] = 1;
  std::vector<uint32_t> before;
  std::vector<uint32_t> after;
  for (uint32_t rank = low + 1; rank < high; ++rank) {
    const uint32_t group = by_rank_[rank];
    if (alive_[group] != 0) {
      for (uint32_t producer : producers(groups_[group]))
        depends[group] = static_cast<char>(depends[group] | depends[producer]);
    }
    (depends[group] != 0 ? after : before).push_back(group);
  }
  alive_[second] = 0;
  for (NodeId id : both.owned)
    owner_[id.index] = first;
  groups_[first] = std::move(both);
  groups_[second] = {};
  ++version_[first];
  ++version_[second];
  context_.count("groups merged");
  std::vector<uint32_t> order = std::move(before);
  order.push_back(first);
  order.insert(order.end(), after.begin(), after.end());
  order.push_back(second);  // dead; it only fills its place
  for (size_t i = 0; i < order.size(); ++i) {
    by_rank_[low + i] = order[i];
    rank_[order[i]] = low + static_cast<uint32_t>(i);
  }
  // Neighbours' outputs may have become internal; their numbers are still right, as values used
  // by this group count as outside whatever group it is.
  push_neighbours(first);
  push_siblings(first);
}

}  // namespace gradc
