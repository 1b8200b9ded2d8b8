// Placement along time: buffers in the order in which they begin (or, backwards, end), each in the
// smallest gap that fits among those alive then. Those placed before begin earlier, so the ones
// alive at a buffer's first step are all that it meets: n log n, for plans too large for the
// portfolio.
//
// Around the peak: what is alive at the fullest step has no gap between it, those that begin first
// lowest. Before that step, backwards, and behind it what else lives finds the rest of the block in
// one piece, as what a chain keeps for its gradients ends in the reverse of the order in which it
// begins.
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

/// Goes through time in one direction.
class Sweep {
 public:
  Sweep(std::span<const BufferSpec> buffers, bool backwards, std::vector<int64_t>& offsets)
      : buffers_(buffers), backwards_(backwards), offsets_(offsets) {
    for (const BufferSpec& b : buffers)
      alignment_ = std::max(alignment_, b.alignment);
  }

  int64_t begin(uint32_t i) const { return backwards_ ? -buffers_[i].last : buffers_[i].first; }
  int64_t end(uint32_t i) const { return backwards_ ? -buffers_[i].first : buffers_[i].last; }

  /// Of those that begin together the one that stays longest lies lowest.
  void sort(std::vector<uint32_t>& order) const {
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      if (begin(a) != begin(b)) return begin(a) < begin(b);
      return end(a) != end(b) ? end(a) > end(b) : a < b;
    });
  }

  void place(std::span<const uint32_t> order) {
    for (const uint32_t i : order) {
      if (buffers_[i].bytes == 0) continue;
      while (!alive_.empty() && alive_.top().first < begin(i)) {
        const uint32_t ended = alive_.top().second;
        alive_.pop();
        gaps_.give_back(offsets_[ended], room(ended));
      }
      offsets_[i] = gaps_.take(room(i));
      total_ = std::max(total_, offsets_[i] + buffers_[i].bytes);
      alive_.emplace(end(i), i);
    }
  }
  int64_t total() const { return total_; }

 private:
  int64_t room(uint32_t i) const {
    return (buffers_[i].bytes + alignment_ - 1) / alignment_ * alignment_;
  }

  std::span<const BufferSpec> buffers_;
  bool backwards_;
  std::vector<int64_t>& offsets_;
  int64_t alignment_ = 1;
  Gaps gaps_;
  std::priority_queue<std::pair<int64_t, uint32_t>, std::vector<std::pair<int64_t, uint32_t>>,
                      std::greater<>>
      alive_;  ///< by their end
  int64_t total_ = 0;
};

/// The step at which most is alive, the first of several.
int64_t fullest_step(std::span<const BufferSpec> buffers) {
  std::vector<std::pair<int64_t, int64_t>> changes;
  for (const BufferSpec& b : buffers) {
    changes.emplace_back(b.first, b.bytes);
    if (b.last != INT64_MAX) changes.emplace_back(b.last + 1, -b.bytes);
  }
  std::sort(changes.begin(), changes.end());  // what ends before a step is gone when others begin
  int64_t live = 0, most = -1, fullest = 0;
  for (const auto& [step, bytes] : changes) {
    live += bytes;
    if (live <= most) continue;
    most = live;
    fullest = step;
  }
  return fullest;
}

}  // namespace

int64_t place_along_time(std::span<const BufferSpec> buffers, bool backwards,
                         std::vector<int64_t>& offsets) {
  std::vector<uint32_t> order(buffers.size());
  std::iota(order.begin(), order.end(), 0U);
  offsets.assign(buffers.size(), 0);
  Sweep sweep(buffers, backwards, offsets);
  sweep.sort(order);
  sweep.place(order);
  return sweep.total();
}

int64_t place_around_peak(std::span<const BufferSpec> buffers, std::vector<int64_t>& offsets) {
  const int64_t peak = fullest_step(buffers);
  std::vector<uint32_t> before, at_peak, behind;
  for (uint32_t i = 0; i < buffers.size(); ++i) {
    std::vector<uint32_t>& part = buffers[i].last < peak    ? before
                                  : buffers[i].first > peak ? behind
                                                            : at_peak;
    part.push_back(i);
  }
  offsets.assign(buffers.size(), 0);
  Sweep along(buffers, false, offsets);
  Sweep against(buffers, true, offsets);
  along.sort(at_peak);
  along.sort(behind);
  against.sort(before);
  for (Sweep* sweep : {&along, &against})
    sweep->place(at_peak);  // twice the same places: there is one gap
  along.place(behind);
  against.place(before);
  return std::max(along.total(), against.total());
}

}  // namespace gradc::offset_detail
