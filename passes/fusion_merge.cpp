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
/// Readers of one value that are looked at when the group that makes it has changed.
constexpr size_t kMaxReaders = 64;

void make_unique(std::vector<uint32_t>& groups) {
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
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

void FusionGroups::search() {
  std::vector<uint32_t> of_group;
  for (uint32_t group = 0; group < groups_.size(); ++group) {
    of_group.clear();
    producers(group, SIZE_MAX, of_group);
    make_unique(of_group);
    for (uint32_t producer : of_group)
      push(producer, group);
  }
  for (uint32_t group = 0; group < groups_.size(); ++group)
    push_siblings(group, /*earlier=*/false);
  push_tiny_siblings();
  while (!queue_.empty()) {
    std::pop_heap(queue_.begin(), queue_.end());
    Candidate c = queue_.back();
    queue_.pop_back();
    const bool current = alive_[c.first] != 0 && alive_[c.second] != 0 &&
                         version_[c.first] == c.first_version &&
                         version_[c.second] == c.second_version;
    if (!current) continue;
    if (order_->before(c.second, c.first)) std::swap(c.first, c.second);
    if (order_->may_merge(c.first, c.second) && context_.may_rewrite()) merge(c);
  }
  context_.count("groups merged", merged_);
  context_.count("pairs tried", pairs_tried_);
  context_.count("edges seen", static_cast<int64_t>(order_->edges_seen()));
  context_.count("merges not looked into", static_cast<int64_t>(order_->searches_given_up()));
}

std::vector<FusionGroup> FusionGroups::run() {
  search();
  std::vector<FusionGroup> result;
  for (uint32_t group : order_->groups()) {
    put_inputs_in_order(groups_[group]);
    result.push_back(std::move(groups_[group]));
  }
  return result;
}

// ---- candidates --------------------------------------------------------------------------------

bool FusionGroups::producers(uint32_t group, size_t limit, std::vector<uint32_t>& result) const {
  for (ValueId input : groups_[group].inputs) {
    const NodeId producer = maker(input);
    if (!producer.valid() || owner(producer) == UINT32_MAX) continue;
    if (result.size() >= limit) return false;
    result.push_back(owner(producer));
  }
  return true;
}

bool FusionGroups::consumers(uint32_t group, size_t limit, std::vector<uint32_t>& result) const {
  for (ValueId output : groups_[group].outputs) {
    const std::span<const uint32_t> reading = readers(output);
    if (result.size() + reading.size() > limit) return false;
    result.insert(result.end(), reading.begin(), reading.end());
  }
  return true;
}

bool FusionGroups::is_linked(uint32_t a, uint32_t b) const {
  const std::vector<ValueId>& inputs = groups_[b].inputs;
  return std::any_of(inputs.begin(), inputs.end(), [&](ValueId input) {
    const NodeId producer = maker(input);
    return producer.valid() && owner(producer) == a;
  });
}

void FusionGroups::push(uint32_t a, uint32_t b) {
  if (order_->before(b, a)) std::swap(a, b);
  const std::optional<double> gain = benefit(a, b);
  if (!gain) return;
  queue_.push_back({*gain, a, b, version_[a], version_[b], both_.form, both_.work});
  std::push_heap(queue_.begin(), queue_.end());
}

void FusionGroups::push_neighbours(uint32_t group) {
  std::vector<uint32_t> neighbours;
  producers(group, SIZE_MAX, neighbours);
  for (ValueId output : groups_[group].outputs) {
    const std::span<const uint32_t> reading = readers(output);
    const std::span<const uint32_t> some = reading.first(std::min(reading.size(), kMaxReaders));
    neighbours.insert(neighbours.end(), some.begin(), some.end());
  }
  make_unique(neighbours);
  for (uint32_t neighbour : neighbours)
    push(neighbour, group);
}

/// Groups that read a value that this one reads too: of each value the next few readers, and the
/// few before where asked.
void FusionGroups::push_siblings(uint32_t group, bool earlier) {
  if (is_anchored(groups_[group])) return;
  std::vector<uint32_t> siblings;
  for (ValueId input : groups_[group].inputs) {
    const std::span<const uint32_t> reading = readers(input);
    const auto self = std::lower_bound(reading.begin(), reading.end(), group);
    auto next = std::next(self);
    for (size_t i = 0; i < kSiblingReach && next != reading.end(); ++i)
      siblings.push_back(*next++);
    auto before = self;
    for (size_t i = 0; earlier && i < kSiblingReach && before != reading.begin(); ++i)
      siblings.push_back(*--before);
  }
  make_unique(siblings);
  for (uint32_t sibling : siblings) {
    if (!is_anchored(groups_[sibling])) push(group, sibling);
  }
}

/// Very small groups of one shape and phase share a call even when they share no input: scalars,
/// means over the batch.
void FusionGroups::push_tiny_siblings() {
  using Key = std::tuple<KernelKind, std::vector<int64_t>, std::vector<int64_t>>;
  std::map<Key, uint32_t> last;
  for (uint32_t group = 0; group < groups_.size(); ++group) {
    const FusionGroup& g = groups_[group];
    if (g.loop || is_anchored(g) || g.bytes > kTinyBytes) continue;
    const Key key{g.form.kind, g.form.space().to_vector(), g.form.full().to_vector()};
    const auto [it, inserted] = last.try_emplace(key, group);
    if (inserted) continue;
    push(it->second, group);
    it->second = group;
  }
}

// ---- worth -------------------------------------------------------------------------------------

double FusionGroups::stored_bytes(const FusionGroup& group) const {
  double sum = 0;
  for (ValueId output : group.outputs)
    sum += bytes(output);
  return sum;
}

/// Inputs, outputs and bytes of the union.
void FusionGroups::unite_values(uint32_t first, uint32_t second, FusionGroup& both) {
  const FusionGroup& p = groups_[first];
  const FusionGroup& c = groups_[second];
  both.inputs.clear();
  both.outputs.clear();
  both.bytes = 0;
  ++stamp_;
  for (const FusionGroup* group : {&p, &c}) {
    for (ValueId input : group->inputs) {
      const NodeId producer = maker(input);
      const uint32_t from = producer.valid() ? owner(producer) : UINT32_MAX;
      if (from == first || from == second || !see(input)) continue;
      both.inputs.push_back(input);
      both.bytes += bytes(input);
    }
  }
  const auto in_order = [&](ValueId a, ValueId b) {
    const uint32_t at_a = position_[maker(a).index];
    const uint32_t at_b = position_[maker(b).index];
    return at_a != at_b ? at_a < at_b : graph_.value(a).index < graph_.value(b).index;
  };
  std::merge(p.outputs.begin(), p.outputs.end(), c.outputs.begin(), c.outputs.end(),
             std::back_inserter(both.outputs), in_order);
  std::erase_if(both.outputs, [&](ValueId output) { return !is_needed(output, first, second); });
  for (ValueId output : both.outputs)
    both.bytes += bytes(output);
}

/// Nodes of the union; false when they are too many for one kernel.
bool FusionGroups::unite_nodes(const FusionGroup& p, const FusionGroup& c, FusionGroup& both) {
  const auto in_order = [&](NodeId a, NodeId b) { return position_[a.index] < position_[b.index]; };
  both.owned.clear();
  both.nodes.clear();
  std::set_union(p.nodes.begin(), p.nodes.end(), c.nodes.begin(), c.nodes.end(),
                 std::back_inserter(both.nodes), in_order);
  size_t counted = 0;
  for (NodeId id : both.nodes)
    counted += weight_[id.index];
  if (counted > kMaxBodyNodes) return false;
  std::merge(p.owned.begin(), p.owned.end(), c.owned.begin(), c.owned.end(),
             std::back_inserter(both.owned), in_order);
  both.forward = p.forward || c.forward;
  both.later = p.later || c.later;
  return true;
}

/// What rules out one kernel of two groups whatever the union's nodes are, from their forms alone.
std::string_view FusionGroups::forms_clash(const FusionGroup& p, const FusionGroup& c) const {
  const bool p_anchored = is_anchored(p);
  const bool c_anchored = is_anchored(c);
  if (p_anchored && c_anchored) return FormFinder::kTwoAnchors;
  if ((p_anchored && is_reduction(c)) || (c_anchored && is_reduction(p)))
    return FormFinder::kAnchorAndReduction;
  if (is_reduction(p) && is_reduction(c) &&
      (p.form.kind != c.form.kind || p.form.space() != c.form.space() ||
       p.form.per_row() != c.form.per_row()))
    return FormFinder::kOtherReductions;
  return {};
}

/// Likewise from what the union stores: values that depend on nothing of an anchor or reduction are
/// stored at the points of the form, as all of an elementwise kernel's.
bool FusionGroups::outputs_clash(uint32_t first, const FusionGroup& c,
                                 const FusionGroup& both) const {
  const FusionGroup& p = groups_[first];
  if (p.form.kind != KernelKind::kElementwise) return false;
  if (c.form.kind != KernelKind::kElementwise && !is_anchored(c) && !is_reduction(c)) return false;
  const Shape* points = c.form.kind == KernelKind::kElementwise ? nullptr : &c.form.full();
  for (ValueId output : both.outputs) {
    const NodeId producer = maker(output);
    if (graph_.node(producer).op == Op::kConcat) return false;  // may be stored in parts
    if (points != nullptr && owner(producer) != first) continue;
    const Shape& shape = graph_.type(output).shape;
    if (points == nullptr) points = &shape;
    const bool per_row = c.form.kind == KernelKind::kRow && shape == c.form.per_row();
    if (shape != *points && !per_row) return true;
  }
  return false;
}

/// What a merge saves, in units of fusion_cost; none where it is not legal or does not pay. Leaves
/// the union in `both_`. What is cheap to find out comes first.
std::optional<double> FusionGroups::benefit(uint32_t first, uint32_t second) {
  const FusionGroup& p = groups_[first];
  const FusionGroup& c = groups_[second];
  ++pairs_tried_;
  extra_ = 0;
  if (p.loop || c.loop) return refuse_form({});
  if (const std::string_view clash = forms_clash(p, c); !clash.empty()) return refuse_form(clash);
  const bool anchored = is_anchored(p) || is_anchored(c);
  unite_values(first, second, both_);
  if (both_.outputs.empty()) return refuse_form(FormFinder::kNothingStored);
  if (both_.inputs.size() + both_.outputs.size() > kMaxKernelOperands)
    return refuse(Refusal::kSize);
  const double saved = p.bytes + c.bytes - both_.bytes;
  const bool tiny = both_.bytes <= kTinyBytes;
  const bool linked = is_linked(first, second);
  if (!tiny && anchored && !linked) return refuse(Refusal::kUnlinked);
  if (!tiny && saved <= 0) return refuse(Refusal::kCost);
  if (outputs_clash(first, c, both_)) return refuse_form(FormFinder::kOtherShapes);
  if (!unite_nodes(p, c, both_)) return refuse(Refusal::kSize);
  if (!find_form(both_)) return refuse(Refusal::kForm);
  extra_ = both_.work - p.work - c.work;
  if (saved - extra_ + kKernelOverhead <= 0) return refuse(Refusal::kCost);
  if (crosses_into_later_phase(p, c, both_)) return refuse(Refusal::kPhases);
  double scale = linked ? 1.0 : 0.75;
  if (anchored) {
    const std::optional<double> prologue = prologue_cost(both_, is_anchored(p) ? second : first);
    if (!prologue) return refuse(Refusal::kPacking);
    if (*prologue >= 0) {
      scale = 0.5;  // an epilogue of the producer is better
    } else if (stored_bytes(both_) > stored_bytes(is_anchored(p) ? p : c)) {
      scale = 0.6;  // so is a consumer that does not store it
    }
  } else if (!is_reduction(p) && is_reduction(c) && c.form.rows() == 1) {
    scale = 0.75;
  }
  return scale * (saved - extra_) + (linked ? kKernelOverhead : kKernelOverhead / 2);
}

/// The cost per element of what the other group computes for the anchor's operands, or -1 where
/// nothing of it is; none where it is too much to be done while packing.
std::optional<double> FusionGroups::prologue_cost(const FusionGroup& both, uint32_t other) {
  mark(both.nodes);
  std::vector<NodeId> before = {both.form.anchor};
  seen_[both.form.anchor.index] = stamp_;
  double cost = -1;
  for (size_t i = 0; i < before.size(); ++i) {
    for (ValueId operand : graph_.node(before[i]).operands) {
      const NodeId producer = maker(operand);
      if (!is_marked(producer) || seen_[producer.index] == stamp_) continue;
      seen_[producer.index] = stamp_;
      before.push_back(producer);
      if (is_stored_padding(producer)) return std::nullopt;
      if (owner(producer) == other) cost = std::max(cost, 0.0) + op_cost(graph_.node(producer));
    }
  }
  if (cost < 0) return cost;
  // A value of the prologue that is stored too would have to be written while packing.
  for (ValueId output : both.outputs) {
    const NodeId producer = maker(output);
    if (producer != both.form.anchor && seen_[producer.index] == stamp_) return std::nullopt;
  }
  if (cost > kMaxPrologueCost) return std::nullopt;
  return cost;
}

/// A forward kernel that also computes something for the backward phase keeps it in memory for a
/// long time: only when at least as much is no longer kept.
bool FusionGroups::crosses_into_later_phase(const FusionGroup& p, const FusionGroup& c,
                                            const FusionGroup& both) {
  const auto spans_phases = [](const FusionGroup& group) { return group.forward && group.later; };
  if (!spans_phases(both) || spans_phases(p) || spans_phases(c)) return false;
  mark(both.nodes);
  const auto contains = [](const auto& list, auto x) {
    return std::find(list.begin(), list.end(), x) != list.end();
  };
  const auto only_updates = [&](const UseList& uses) {
    return std::all_of(uses.begin(), uses.end(),
                       [&](const Use& use) { return graph_.node(use.node).op == Op::kUpdate; });
  };
  double added = 0;
  double kept_before = 0;
  for (ValueId output : both.outputs) {
    const bool later = graph_.node(maker(output)).phase != Phase::kForward;
    const bool in_place = !graph_.is_output(output) && only_updates(graph_.value(output).uses);
    if (later && !in_place) added += bytes(output);
  }
  for (const FusionGroup* group : {&p, &c}) {
    for (ValueId output : group->outputs) {
      if (!contains(both.outputs, output)) kept_before += bytes(output);
    }
  }
  for (ValueId input : both.inputs) {
    if (!maker(input).valid() || graph_.is_output(input)) continue;
    const UseList& uses = graph_.value(input).uses;
    const bool ends_here =
        std::all_of(uses.begin(), uses.end(), [&](const Use& use) { return is_marked(use.node); });
    if (ends_here) kept_before += bytes(input);
  }
  return added > kept_before;
}

// ---- merging -----------------------------------------------------------------------------------

/// Makes one group of two that the order was last asked about; the first stands for both. What they
/// are together was found when the pair was tried: since then neither has changed, and whatever
/// became of their readers, a value is read outside as it was.
void FusionGroups::merge(const Candidate& candidate) {
  const auto [first, second] = std::pair(candidate.first, candidate.second);
  unite_values(first, second, both_);
  GRADC_CHECK(unite_nodes(groups_[first], groups_[second], both_),
              "two kernels that were one a moment ago no longer are");
  both_.form = candidate.form;
  both_.work = candidate.work;
  order_->merge(first, second);
  for (uint32_t group : {first, second}) {
    for (ValueId input : groups_[group].inputs)
      remove_reader(input, group);
    ++version_[group];
  }
  alive_[second] = 0;
  for (NodeId id : both_.owned)
    owner_[id.index] = first;
  std::swap(groups_[first], both_);
  groups_[second] = {};
  for (ValueId input : groups_[first].inputs)
    add_reader(input, first);
  ++merged_;
  // Neighbours' outputs may have become internal; their numbers are still right, as values used
  // by this group count as outside whatever group it is.
  push_neighbours(first);
  push_siblings(first, /*earlier=*/true);
}

}  // namespace gradc
