// The order of examples in an epoch: a permutation that depends on (seed, epoch) only.
#pragma once

#include "runtime/containers.h"
#include "runtime/philox.h"

#include <cstdint>
#include <utility>

namespace gradc::rt {

/// Fills `order` with 0..n-1, permuted (Fisher-Yates on Philox) if `shuffle`. Allocates nothing.
inline void epoch_order(uint64_t seed, int64_t epoch, bool shuffle, Span<int64_t> order) {
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<int64_t>(i);
  if (!shuffle) return;
  RandomStream random(random_key(seed, RandomUse::kShuffle), static_cast<uint64_t>(epoch));
  for (size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<size_t>(random.below(i))]);
}

/// Fills `order` with examples out of `rows`, each drawn by itself.
inline void draw_order(uint64_t seed, int64_t epoch, int64_t rows, Span<int64_t> order) {
  RandomStream random(random_key(seed, RandomUse::kShuffle), static_cast<uint64_t>(epoch));
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<int64_t>(random.below(static_cast<uint64_t>(rows)));
}

}  // namespace gradc::rt
