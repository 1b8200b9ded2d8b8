#include "passes/group_order.h"

#include "support/check.h"

#include <algorithm>

namespace gradc {
namespace {

constexpr uint64_t kEnd = uint64_t{1} << 62U;  ///< above all labels

}  // namespace

GroupOrder::GroupOrder(size_t count, const GroupEdges& edges)
    : edges_(&edges),
      label_(count + 1, 0),
      prev_(count + 1, kNone),
      next_(count + 1, kNone),
      stamp_of_(count, 0),
      mark_(count, 0) {
  const uint64_t gap = kEnd / (count + 2);
  auto last = static_cast<uint32_t>(count);  // the head has label 0
  for (uint32_t group = 0; group < count; ++group) {
    label_[group] = gap * (group + 1);
    prev_[group] = last;
    next_[last] = group;
    last = group;
  }
  from_first_.mark = 1;
  from_second_.mark = 2;
}

// ---- ways --------------------------------------------------------------------------------------

void GroupOrder::reach(Side& side, uint32_t group) {
  stamp_of_[group] = stamp_;
  mark_[group] = side.mark;
  side.reached.push_back(group);
}

/// One step from the next group that a side has reached; the two ends are its limits.
GroupOrder::Found GroupOrder::expand(Side& side, const Side& other, bool forwards) {
  const uint32_t group = side.reached[side.next];
  const size_t limit = kMaxEdges - std::min(side.edges, kMaxEdges);
  neighbours_.clear();
  const bool all = forwards ? edges_->consumers(group, limit, neighbours_)
                            : edges_->producers(group, limit, neighbours_);
  if (!all) {
    side.blocked = true;
    return Found::kTooMuch;
  }
  const uint32_t start = side.reached.front();
  const uint32_t end = other.reached.front();
  side.edges += neighbours_.size() + 1;
  for (uint32_t neighbour : neighbours_) {
    if (neighbour == end && group == start) continue;  // the edge that the merge removes
    const uint8_t mark = mark_of(neighbour);
    if (mark == other.mark) return Found::kWay;
    const bool between = forwards ? before(neighbour, end) : before(end, neighbour);
    if (mark == 0 && between) reach(side, neighbour);
  }
  ++side.next;
  return Found::kNothing;
}

bool GroupOrder::may_merge(uint32_t first, uint32_t second) {
  GRADC_CHECK(before(first, second), "groups are asked about in their order");
  ++stamp_;
  for (Side* side : {&from_first_, &from_second_}) {
    side->reached.clear();
    side->next = side->edges = 0;
    side->blocked = false;
    reach(*side, side == &from_first_ ? first : second);
  }
  Found found = Found::kNothing;
  while (found != Found::kWay && !from_first_.ended() && !from_second_.ended()) {
    if (from_first_.blocked && from_second_.blocked) {
      ++given_up_;
      break;
    }
    const bool forwards =
        from_second_.blocked || (!from_first_.blocked && from_first_.edges < from_second_.edges);
    found = forwards ? expand(from_first_, from_second_, true)
                     : expand(from_second_, from_first_, false);
  }
  edges_seen_ += from_first_.edges + from_second_.edges;
  return found != Found::kWay && (from_first_.ended() || from_second_.ended());
}

/// What depends on the first goes behind the union at the second's place; or, where that is more,
/// what the second depends on goes before the union at the first's place.
void GroupOrder::merge(uint32_t first, uint32_t second) {
  const bool behind = from_first_.ended();
  Side& side = behind ? from_first_ : from_second_;
  std::vector<uint32_t> moved(side.reached.begin() + 1, side.reached.end());
  std::sort(moved.begin(), moved.end(), [&](uint32_t a, uint32_t b) { return before(a, b); });
  uint32_t place = behind ? second : prev_[first];
  if (behind) moved.insert(moved.begin(), first);
  for (uint32_t group : moved)
    take_out(group);
  for (size_t i = 0; i < moved.size(); ++i) {
    put_behind(place, moved[i], moved.size() - i);
    place = moved[i];
  }
  take_out(second);
  label_[second] = 0;
}

// ---- places ------------------------------------------------------------------------------------

void GroupOrder::take_out(uint32_t group) {
  next_[prev_[group]] = next_[group];
  if (next_[group] != kNone) prev_[next_[group]] = prev_[group];
}

/// Leaves room for `still_to_come` - 1 more behind it.
void GroupOrder::put_behind(uint32_t place, uint32_t group, uint64_t still_to_come) {
  const auto gap = [&] {
    return (next_[place] == kNone ? kEnd : label_[next_[place]]) - label_[place];
  };
  if (gap() < 2) make_room(place);
  label_[group] = label_[place] + std::max<uint64_t>(1, gap() / (still_to_come + 1));
  prev_[group] = place;
  next_[group] = next_[place];
  if (next_[group] != kNone) prev_[next_[group]] = group;
  next_[place] = group;
}

/// Spreads the labels evenly over the smallest aligned range around a place that is sparse enough:
/// the larger the range, the sparser, so that it stays so for a while.
void GroupOrder::make_room(uint32_t place) {
  constexpr double kSparser = 1.5;  // in (1, 2)
  uint32_t first = place;
  uint32_t last = place;
  uint64_t count = 1;
  double most = 1;
  for (unsigned bits = 1; bits <= 62; ++bits) {
    most *= 2 / kSparser;
    const uint64_t low = label_[place] >> bits << bits;
    const uint64_t high = low + ((uint64_t{1} << bits) - 1);
    for (; prev_[first] != kNone && label_[prev_[first]] >= low; ++count)
      first = prev_[first];
    for (; next_[last] != kNone && label_[next_[last]] <= high; ++count)
      last = next_[last];
    const uint64_t gap = (uint64_t{1} << bits) / count;
    if (static_cast<double>(count) > most || gap < 4) continue;
    uint64_t label = low;
    for (uint32_t group = first;; group = next_[group]) {
      label_[group] = label;
      label += gap;
      if (group == last) return;
    }
  }
  GRADC_UNREACHABLE();
}

std::vector<uint32_t> GroupOrder::groups() const {
  std::vector<uint32_t> result;
  for (uint32_t group = next_.back(); group != kNone; group = next_[group])
    result.push_back(group);
  return result;
}

}  // namespace gradc
