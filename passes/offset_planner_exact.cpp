// Exact branch and bound. A solution is canonical when buffers are placed in order of offset, each
// at the lowest offset that those below it allow; only canonical ones are searched. Pruned are
// nodes where some section (a stretch of steps between two changes) cannot hold what is still to
// come above its floor, placements that leave a hole in which a waiting buffer fits, and all
// alternatives to a placement with nothing above it. The remaining problem is split where no
// waiting buffer crosses a section border. (MiniMalloc, ASPLOS 2023.)
#include "passes/offset_planner.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

namespace gradc::offset_detail {
namespace {

constexpr int64_t kUnplaced = -1;

struct Item {
  int64_t bytes = 0;
  int64_t alignment = 1;
  double width = 0;
  uint32_t begin = 0, end = 0;  ///< sections
  std::vector<uint32_t> overlaps;
};

struct Part {
  std::vector<uint32_t> items;  ///< waiting, in preference order
  uint32_t begin = 0, end = 0;  ///< sections
};

/// How candidates of equal offset are preferred: W width (duration), A area, T most bytes live.
enum class Preference : uint8_t { kWAT, kTAW, kTWA };

class ExactSearch {
 public:
  ExactSearch(std::span<const BufferSpec> buffers, int64_t capacity)
      : capacity_(capacity), items_(buffers.size()) {
    make_sections(buffers);
    make_overlaps();
  }

  ExactOutcome run(Preference preference, int64_t& nodes) {
    preference_ = preference;
    offset_.assign(items_.size(), kUnplaced);
    solution_.assign(items_.size(), 0);
    low_.assign(items_.size(), 0);
    floor_.assign(num_sections_, 0);
    nodes_ = nodes;
    Part all;
    all.end = static_cast<uint32_t>(num_sections_);
    for (uint32_t i = 0; i < items_.size(); ++i) {
      if (items_[i].bytes > 0) all.items.push_back(i);
    }
    cuts_.assign(num_sections_, 0);
    for (uint32_t i : all.items) {
      for (uint32_t s = items_[i].begin; s + 1 < items_[i].end; ++s)
        ++cuts_[s];
    }
    std::vector<uint32_t> borders{0};
    for (uint32_t s = 0; s + 1 < num_sections_; ++s) {
      if (cuts_[s] == 0) borders.push_back(s + 1);
    }
    const ExactOutcome outcome = solve_parts(all, borders);
    nodes = nodes_;
    return outcome;
  }

  const std::vector<int64_t>& solution() const { return solution_; }

 private:
  struct Undo {
    uint32_t index;
    int64_t before;
  };
  struct Candidate {
    int64_t offset;
    uint32_t rank;  ///< position in the part's preference order
  };

  void make_sections(std::span<const BufferSpec> buffers);
  void make_overlaps();
  std::vector<uint32_t> preferred(const std::vector<uint32_t>& items) const;
  ExactOutcome solve_parts(const Part& part, std::vector<uint32_t> borders);
  ExactOutcome solve(const Part& part, const std::vector<uint32_t>& waiting, int64_t min_offset,
                     uint32_t min_rank);
  ExactOutcome descend(const Part& part, const std::vector<uint32_t>& waiting, uint32_t item,
                       int64_t offset, uint32_t rank);
  bool place(uint32_t item, int64_t offset, std::vector<Undo>& lows, std::vector<Undo>& floors);
  void raise_floors(uint32_t item, std::vector<Undo>& floors);
  bool sections_fit(const Part& part, int64_t offset) const;

  int64_t capacity_;
  std::vector<Item> items_;
  size_t num_sections_ = 0;
  std::vector<std::vector<uint32_t>> in_section_;
  std::vector<int64_t> waiting_bytes_;  ///< per section: sum of the unplaced
  std::vector<int64_t> floor_;          ///< per section: no waiting buffer can start lower
  std::vector<int64_t> low_;            ///< per item: lowest offset allowed by the placed ones
  std::vector<int64_t> offset_;
  std::vector<int64_t> solution_;
  std::vector<uint32_t> cuts_;  ///< per border between s and s+1: waiting buffers that cross it
  Preference preference_{};
  int64_t nodes_ = 0;
};

void ExactSearch::make_sections(std::span<const BufferSpec> buffers) {
  std::map<int64_t, uint32_t> index;
  for (const BufferSpec& b : buffers) {
    index[b.first] = 0;
    if (b.last != INT64_MAX) index[b.last + 1] = 0;
  }
  uint32_t next = 0;
  for (auto& [step, section] : index)
    section = next++;
  num_sections_ = next;
  in_section_.resize(num_sections_);
  waiting_bytes_.assign(num_sections_, 0);
  for (uint32_t i = 0; i < items_.size(); ++i) {
    const BufferSpec& b = buffers[i];
    Item& item = items_[i];
    item.bytes = b.bytes;
    item.alignment = b.alignment;
    item.width = static_cast<double>(b.last) - static_cast<double>(b.first) + 1;
    item.begin = index[b.first];
    item.end = b.last == INT64_MAX ? next : index[b.last + 1];
    if (b.bytes == 0) continue;
    for (uint32_t s = item.begin; s < item.end; ++s) {
      in_section_[s].push_back(i);
      waiting_bytes_[s] += b.bytes;
    }
  }
}

void ExactSearch::make_overlaps() {
  for (uint32_t i = 0; i < items_.size(); ++i) {
    for (uint32_t j = 0; j < i; ++j) {
      Item& a = items_[i];
      Item& b = items_[j];
      if (a.bytes == 0 || b.bytes == 0 || a.begin >= b.end || b.begin >= a.end) continue;
      a.overlaps.push_back(j);
      b.overlaps.push_back(i);
    }
  }
}

std::vector<uint32_t> ExactSearch::preferred(const std::vector<uint32_t>& items) const {
  std::vector<std::array<double, 3>> keys(items_.size());
  for (uint32_t i : items) {
    const Item& item = items_[i];
    int64_t total = 0;
    for (uint32_t s = item.begin; s < item.end; ++s)
      total = std::max(total, waiting_bytes_[s]);
    const double t = static_cast<double>(total);
    const double w = item.width;
    const double a = w * static_cast<double>(item.bytes);
    switch (preference_) {
      case Preference::kWAT:
        keys[i] = {w, a, t};
        break;
      case Preference::kTAW:
        keys[i] = {t, a, w};
        break;
      case Preference::kTWA:
        keys[i] = {t, w, a};
        break;
    }
  }
  std::vector<uint32_t> result = items;
  std::sort(result.begin(), result.end(),
            [&](uint32_t x, uint32_t y) { return keys[x] != keys[y] ? keys[x] > keys[y] : x < y; });
  return result;
}

/// Solves the stretches between the borders one by one; they have no waiting buffer in common.
ExactOutcome ExactSearch::solve_parts(const Part& part, std::vector<uint32_t> borders) {
  borders.push_back(part.end);
  for (size_t k = 0; k + 1 < borders.size(); ++k) {
    Part sub;
    sub.begin = borders[k];
    sub.end = borders[k + 1];
    for (uint32_t i : part.items) {
      if (offset_[i] == kUnplaced && items_[i].begin < sub.end && sub.begin < items_[i].end)
        sub.items.push_back(i);
    }
    if (sub.items.empty()) continue;
    sub.items = preferred(sub.items);
    std::vector<uint32_t> ranks(sub.items.size());
    std::iota(ranks.begin(), ranks.end(), 0U);
    const ExactOutcome outcome = solve(sub, ranks, 0, 0);
    if (outcome != ExactOutcome::kFound) return outcome;
  }
  return ExactOutcome::kFound;
}

ExactOutcome ExactSearch::solve(const Part& part, const std::vector<uint32_t>& waiting,
                                int64_t min_offset, uint32_t min_rank) {
  if (nodes_ <= 0) return ExactOutcome::kGaveUp;
  --nodes_;
  std::vector<Candidate> candidates;
  std::vector<uint32_t> still;
  int64_t lowest_top = INT64_MAX;
  for (uint32_t rank : waiting) {
    const uint32_t i = part.items[rank];
    if (offset_[i] != kUnplaced) continue;
    still.push_back(rank);
    candidates.push_back({low_[i], rank});
    lowest_top = std::min(lowest_top, low_[i] + items_[i].bytes);
  }
  if (candidates.empty()) {
    for (uint32_t i : part.items)
      solution_[i] = offset_[i];
    return ExactOutcome::kFound;
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.rank < b.rank;
  });
  for (const auto& [offset, rank] : candidates) {
    if (offset < min_offset || (offset == min_offset && rank < min_rank)) continue;
    if (offset >= lowest_top) break;  // some waiting buffer fits entirely below: dominated
    const uint32_t item = part.items[rank];
    std::vector<Undo> lows;
    std::vector<Undo> floors;
    const bool hatless = !place(item, offset, lows, floors);
    ExactOutcome outcome = ExactOutcome::kInfeasible;
    if (sections_fit(part, offset)) outcome = descend(part, still, item, offset, rank);
    for (auto undo = floors.rbegin(); undo != floors.rend(); ++undo)
      floor_[undo->index] = undo->before;
    for (uint32_t s = items_[item].begin; s < items_[item].end; ++s)
      waiting_bytes_[s] += items_[item].bytes;
    for (auto undo = lows.rbegin(); undo != lows.rend(); ++undo)
      low_[undo->index] = undo->before;
    offset_[item] = kUnplaced;
    if (outcome != ExactOutcome::kInfeasible) return outcome;
    if (hatless) break;
  }
  return ExactOutcome::kInfeasible;
}

/// Goes on below a placement, separately on each side of borders that nothing crosses any more.
ExactOutcome ExactSearch::descend(const Part& part, const std::vector<uint32_t>& waiting,
                                  uint32_t item, int64_t offset, uint32_t rank) {
  solution_[item] = offset;
  std::vector<uint32_t> borders{part.begin};
  for (uint32_t s = items_[item].begin; s + 1 < items_[item].end; ++s) {
    if (--cuts_[s] == 0) borders.push_back(s + 1);
  }
  const ExactOutcome outcome =
      borders.size() == 1 ? solve(part, waiting, offset, rank) : solve_parts(part, borders);
  for (uint32_t s = items_[item].begin; s + 1 < items_[item].end; ++s)
    ++cuts_[s];
  return outcome;
}

/// Puts the item at an offset and raises what lies above; false when nothing waiting overlaps it.
bool ExactSearch::place(uint32_t item, int64_t offset, std::vector<Undo>& lows,
                        std::vector<Undo>& floors) {
  offset_[item] = offset;
  const int64_t top = offset + items_[item].bytes;
  bool any_above = false;
  for (uint32_t other : items_[item].overlaps) {
    if (offset_[other] != kUnplaced) continue;
    any_above = true;
    if (low_[other] >= top) continue;
    lows.push_back({other, low_[other]});
    const int64_t alignment = items_[other].alignment;
    low_[other] = (top + alignment - 1) / alignment * alignment;
  }
  for (uint32_t s = items_[item].begin; s < items_[item].end; ++s) {
    floors.push_back({s, floor_[s]});
    floor_[s] = top;
    waiting_bytes_[s] -= items_[item].bytes;
  }
  for (const Undo& raised : lows)
    raise_floors(raised.index, floors);
  return any_above;
}

/// The floor of a section is at least the lowest offset any waiting buffer in it may take.
void ExactSearch::raise_floors(uint32_t item, std::vector<Undo>& floors) {
  for (uint32_t s = items_[item].begin; s < items_[item].end; ++s) {
    if (floor_[s] >= low_[item]) continue;
    int64_t lowest = INT64_MAX;
    for (uint32_t other : in_section_[s]) {
      if (offset_[other] == kUnplaced) lowest = std::min(lowest, low_[other]);
      if (lowest <= floor_[s]) break;
    }
    if (lowest == INT64_MAX || lowest <= floor_[s]) continue;
    floors.push_back({s, floor_[s]});
    floor_[s] = lowest;
  }
}

bool ExactSearch::sections_fit(const Part& part, int64_t offset) const {
  for (uint32_t s = part.begin; s < part.end; ++s) {
    if (waiting_bytes_[s] == 0) {
      if (floor_[s] > capacity_) return false;
    } else if (std::max(floor_[s], offset) + waiting_bytes_[s] > capacity_) {
      return false;
    }
  }
  return true;
}

}  // namespace

ExactOutcome search_exact(std::span<const BufferSpec> buffers, int64_t capacity, int64_t& nodes,
                          std::vector<int64_t>& offsets) {
  if (live_bytes_lower_bound(buffers) > capacity) return ExactOutcome::kInfeasible;
  ExactSearch search(buffers, capacity);
  // The preferences take turns, with limits that grow, in the hope that one of them is quick.
  int64_t limit = 2 * static_cast<int64_t>(buffers.size()) + 2;
  while (nodes > 0) {
    for (const Preference preference : {Preference::kWAT, Preference::kTAW, Preference::kTWA}) {
      int64_t budget = std::min(limit, nodes);
      const int64_t given = budget;
      const ExactOutcome outcome = search.run(preference, budget);
      nodes -= given - std::max<int64_t>(budget, 0);
      if (outcome == ExactOutcome::kFound) offsets = search.solution();
      if (outcome != ExactOutcome::kGaveUp) return outcome;
      if (nodes <= 0) break;
    }
    limit *= 2;
  }
  return ExactOutcome::kGaveUp;
}

}  // namespace gradc::offset_detail
