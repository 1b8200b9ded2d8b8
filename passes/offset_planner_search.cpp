// The ordering search: a walk over placement orders. A step moves one of the buffers that touch the
// top of the block to an earlier place, or swaps two; it is kept when first fit does not get worse.
#include "passes/offset_planner.h"

#include <algorithm>
#include <utility>

namespace gradc::offset_detail {
namespace {

/// SplitMix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t below(uint64_t limit) {
    state_ += 0x9e3779b97f4a7c15ULL;
    uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return (z ^ (z >> 31U)) % limit;
  }

 private:
  uint64_t state_;
};

/// Positions in the order of the buffers that reach the top of the block.
std::vector<size_t> at_the_top(std::span<const BufferSpec> buffers, std::span<const uint32_t> order,
                               std::span<const int64_t> offsets, int64_t bytes) {
  std::vector<size_t> result;
  for (size_t i = 0; i < order.size(); ++i) {
    if (offsets[order[i]] + buffers[order[i]].bytes == bytes) result.push_back(i);
  }
  return result;
}

}  // namespace

int64_t search_orders(std::span<const BufferSpec> buffers, std::vector<uint32_t> order,
                      const OffsetPlannerOptions& options, int64_t target,
                      std::vector<int64_t>& offsets) {
  const bool any_fixed = std::any_of(buffers.begin(), buffers.end(),
                                     [](const BufferSpec& b) { return b.fixed.has_value(); });
  int64_t best = place_in_order(buffers, order, Fit::kFirst, offsets);
  if (order.size() < 2 || any_fixed) return best;
  Random random(options.seed);
  int64_t current = best;
  std::vector<int64_t> current_offsets = offsets;
  std::vector<int64_t> trial_offsets;
  // Large inputs get fewer steps: each costs the square of the number of buffers.
  const auto n = static_cast<int64_t>(buffers.size());
  const int64_t steps = std::min(options.search_steps, 1 + int64_t{1'000'000'000} / (n * n));
  for (int64_t step = 0; step < steps && best > target; ++step) {
    std::vector<uint32_t> trial = order;
    const std::vector<size_t> tops = at_the_top(buffers, order, current_offsets, current);
    const size_t from = random.below(4) != 0 && !tops.empty() ? tops[random.below(tops.size())]
                                                              : random.below(order.size());
    if (random.below(3) == 0) {
      std::swap(trial[from], trial[random.below(order.size())]);
    } else {
      const size_t to = from == 0 ? random.below(order.size()) : random.below(from);
      const uint32_t moved = trial[from];
      trial.erase(trial.begin() + static_cast<std::ptrdiff_t>(from));
      trial.insert(trial.begin() + static_cast<std::ptrdiff_t>(to), moved);
    }
    const int64_t bytes = place_in_order(buffers, trial, Fit::kFirst, trial_offsets);
    if (bytes > current) continue;
    order = std::move(trial);
    current = bytes;
    current_offsets = trial_offsets;
    if (bytes < best) {
      best = bytes;
      offsets = trial_offsets;
    }
  }
  return best;
}

}  // namespace gradc::offset_detail
