// Placement along time: buffers in the order in which they begin (or, backwards, end), each in the
// smallest gap that fits among those alive then. Those placed before begin earlier, so the ones
// alive at a buffer's first step are all that it meets: n log n, for plans too large for the
// portfolio.
#include "passes/offset_planner.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

namespace gradc::offset_detail {
namespace {

/// The free stretches of a block that ends nowhere, by place and by size.
class Gaps {
 public:
  Gaps() { insert(0, kEndless); }

  /// The lowest of the smallest gaps that hold `bytes`.
  int64_t take(int64_t bytes) {
    const auto found = by_size_.lower_bound({bytes, 0});
    const auto [size, offset] = *found;
    erase(offset, size);
    if (size > bytes) insert(offset + bytes, size - bytes);
    return offset;
  }

  void give_back(int64_t offset, int64_t bytes) {
    auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.begin()) {
      const auto [before, size] = *std::prev(next);
      if (before + size == offset) {
        erase(before, size);
        offset = before;
        bytes += size;
      }
    }
    next = by_offset_.lower_bound(offset);
    if (next != by_offset_.end() && next->first == offset + bytes) {
      const int64_t size = next->second;
      erase(next->first, size);
      bytes += size;
    }
    insert(offset, bytes);
  }

 private:
  static constexpr int64_t kEndless = int64_t{1} << 62U;
  void insert(int64_t offset, int64_t size) {
    by_offset_[offset] = size;
    by_size_.emplace(size, offset);
  }
  void erase(int64_t offset, int64_t size) {
    by_offset_.erase(offset);
    by_size_.erase({size, offset});
  }

  std::map<int64_t, int64_t> by_offset_;
  std::set<std::pair<int64_t, int64_t>> by_size_;
};

}  // namespace

int64_t place_along_time(std::span<const BufferSpec> buffers, bool backwards,
                         std::vector<int64_t>& offsets) {
  int64_t alignment = 1;
  for (const BufferSpec& b : buffers)
    alignment = std::max(alignment, b.alignment);
  const auto begin = [&](uint32_t i) { return backwards ? -buffers[i].last : buffers[i].first; };
  const auto end = [&](uint32_t i) { return backwards ? -buffers[i].first : buffers[i].last; };
  std::vector<uint32_t> order(buffers.size());
  std::iota(order.begin(), order.end(), 0U);
  // Of those that begin together the one that stays longest lies lowest.
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (begin(a) != begin(b)) return begin(a) < begin(b);
    return end(a) != end(b) ? end(a) > end(b) : a < b;
  });
  offsets.assign(buffers.size(), 0);
  Gaps gaps;
  std::priority_queue<std::pair<int64_t, uint32_t>, std::vector<std::pair<int64_t, uint32_t>>,
                      std::greater<>>
      alive;  // by their end
  int64_t total = 0;
  const auto room = [&](uint32_t i) {
    return (buffers[i].bytes + alignment - 1) / alignment * alignment;
  };
  for (uint32_t i : order) {
    if (buffers[i].bytes == 0) continue;
    while (!alive.empty() && alive.top().first < begin(i)) {
      const uint32_t ended = alive.top().second;
      alive.pop();
      gaps.give_back(offsets[ended], room(ended));
    }
    offsets[i] = gaps.take(room(i));
    total = std::max(total, offsets[i] + buffers[i].bytes);
    alive.emplace(end(i), i);
  }
  return total;
}

}  // namespace gradc::offset_detail
