// The portfolio of orders and fits, bounds, checks, and the sequence of the three stages.
#include "passes/offset_planner.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

namespace gradc {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 62;
constexpr int64_t kManyBuffers = 1024;
constexpr int64_t kMaxExactBuffers = 4096;  ///< the exact search lists all pairs that meet

int64_t align_up(int64_t offset, int64_t alignment) {
  const int64_t rest = offset % alignment;
  return rest == 0 ? offset : offset + (alignment - rest);
}

/// Bytes live from each step at which something changes, by step.
std::map<int64_t, int64_t> live_bytes_by_step(std::span<const BufferSpec> buffers) {
  std::map<int64_t, int64_t> change;
  for (const BufferSpec& b : buffers) {
    if (b.bytes == 0) continue;
    change[b.first] += b.bytes;
    if (b.last != INT64_MAX) change[b.last + 1] -= b.bytes;
  }
  int64_t live = 0;
  for (auto& [step, bytes] : change) {
    live += bytes;
    bytes = live;
  }
  return change;
}

Status check_buffers(std::span<const BufferSpec> buffers) {
  int64_t sum = 0;
  for (const BufferSpec& b : buffers) {
    if (b.bytes < 0 || b.first > b.last || b.alignment < 1 || (b.fixed && *b.fixed < 0)) {
      return make_error(DiagKind::kNumberOutOfRange, {},
                        "buffer \"{}\" of {} bytes, live from {} to {}, alignment {}: sizes are "
                        "not negative, lifetimes do not end before they begin",
                        b.name, b.bytes, b.first, b.last, b.alignment);
    }
    const int64_t padded = b.alignment >= kMaxBytes ? kMaxBytes : b.alignment;
    if (b.bytes >= kMaxBytes || padded >= kMaxBytes || b.fixed.value_or(0) >= kMaxBytes ||
        __builtin_add_overflow(sum, b.bytes + padded, &sum) ||
        __builtin_add_overflow(sum, b.fixed.value_or(0), &sum) || sum >= kMaxBytes) {
      return make_error(DiagKind::kNumberOutOfRange, {},
                        "the buffers up to \"{}\" need more than 2^62 bytes", b.name);
    }
  }
  return Ok{};
}

struct Placed {
  int64_t begin, end, first, last;
};

/// The lowest (or tightest) gap for a buffer among those placed, which are sorted by begin.
int64_t find_gap(const std::vector<Placed>& placed, const BufferSpec& b, offset_detail::Fit fit) {
  int64_t top = 0;
  int64_t best = -1;
  int64_t best_gap = INT64_MAX;
  for (const Placed& p : placed) {
    if (p.first > b.last || b.first > p.last) continue;
    const int64_t at = align_up(top, b.alignment);
    if (p.begin >= at + b.bytes) {
      if (fit == offset_detail::Fit::kFirst) return at;
      if (p.begin - top < best_gap) {
        best_gap = p.begin - top;
        best = at;
      }
    }
    top = std::max(top, p.end);
  }
  return best >= 0 ? best : align_up(top, b.alignment);
}

}  // namespace

namespace offset_detail {

std::string_view buffer_order_name(BufferOrder order) {
  switch (order) {
    case BufferOrder::kSize:
      return "size";
    case BufferOrder::kDuration:
      return "duration";
    case BufferOrder::kArea:
      return "area";
    case BufferOrder::kStart:
      return "start";
    case BufferOrder::kPeak:
      return "peak";
    case BufferOrder::kPeakSize:
      return "peak_size";
  }
  GRADC_UNREACHABLE();
}

std::vector<uint32_t> make_order(std::span<const BufferSpec> buffers, BufferOrder order) {
  const std::map<int64_t, int64_t> live = live_bytes_by_step(buffers);
  using Key = std::pair<double, double>;
  std::vector<Key> keys;
  for (const BufferSpec& b : buffers) {
    const double size = static_cast<double>(b.bytes);
    const double duration = static_cast<double>(b.last) - static_cast<double>(b.first) + 1;
    double peak = 0;
    if (order == BufferOrder::kPeak || order == BufferOrder::kPeakSize) {
      for (auto it = live.lower_bound(b.first); it != live.end() && it->first <= b.last; ++it)
        peak = std::max(peak, static_cast<double>(it->second));
    }
    switch (order) {
      case BufferOrder::kSize:
        keys.emplace_back(size, duration);
        break;
      case BufferOrder::kDuration:
        keys.emplace_back(duration, size);
        break;
      case BufferOrder::kArea:
        keys.emplace_back(size * duration, size);
        break;
      case BufferOrder::kStart:
        keys.emplace_back(-static_cast<double>(b.first), duration);
        break;
      case BufferOrder::kPeak:
        keys.emplace_back(peak, size * duration);
        break;
      case BufferOrder::kPeakSize:
        keys.emplace_back(peak, size);
        break;
    }
  }
  std::vector<uint32_t> result(buffers.size());
  std::iota(result.begin(), result.end(), 0U);
  std::sort(result.begin(), result.end(), [&](uint32_t a, uint32_t b) {
    if (buffers[a].fixed.has_value() != buffers[b].fixed.has_value())
      return buffers[a].fixed.has_value();
    return keys[a] != keys[b] ? keys[a] > keys[b] : a < b;
  });
  return result;
}

int64_t place_in_order(std::span<const BufferSpec> buffers, std::span<const uint32_t> order,
                       Fit fit, std::vector<int64_t>& offsets) {
  offsets.assign(buffers.size(), 0);
  std::vector<Placed> placed;
  placed.reserve(buffers.size());
  int64_t total = 0;
  for (uint32_t i : order) {
    const BufferSpec& b = buffers[i];
    if (b.bytes == 0) {
      offsets[i] = b.fixed.value_or(0);
      continue;
    }
    const int64_t at = b.fixed ? *b.fixed : find_gap(placed, b, fit);
    offsets[i] = at;
    total = std::max(total, at + b.bytes);
    const Placed entry{at, at + b.bytes, b.first, b.last};
    const auto where =
        std::upper_bound(placed.begin(), placed.end(), entry,
                         [](const Placed& x, const Placed& y) { return x.begin < y.begin; });
    placed.insert(where, entry);
  }
  return total;
}

}  // namespace offset_detail

int64_t live_bytes_lower_bound(std::span<const BufferSpec> buffers) {
  int64_t most = 0;
  for (const auto& [step, bytes] : live_bytes_by_step(buffers))
    most = std::max(most, bytes);
  for (const BufferSpec& b : buffers) {
    if (b.fixed && b.bytes > 0) most = std::max(most, *b.fixed + b.bytes);
  }
  return most;
}

namespace {

/// Two buffers that live at the same time and share a byte, in words. Goes through time with what
/// is alive sorted by place: as long as nothing overlaps, only neighbours can.
std::string find_overlap(std::span<const BufferSpec> buffers, std::span<const int64_t> offsets) {
  struct Event {
    int64_t step;
    bool begins;  // what ends before a step is gone when others begin at it
    uint32_t buffer;
    auto operator<=>(const Event&) const = default;
  };
  std::vector<Event> events;
  for (uint32_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].bytes == 0) continue;
    events.push_back({buffers[i].first, true, i});
    if (buffers[i].last != INT64_MAX) events.push_back({buffers[i].last + 1, false, i});
  }
  std::sort(events.begin(), events.end());
  std::map<int64_t, uint32_t> alive;  // by offset
  for (const Event& event : events) {
    const uint32_t i = event.buffer;
    if (!event.begins) {
      alive.erase(offsets[i]);
      continue;
    }
    const int64_t end = offsets[i] + buffers[i].bytes;
    const auto next = alive.lower_bound(offsets[i]);
    auto other = alive.end();
    if (next != alive.end() && next->first < end) other = next;
    if (next != alive.begin()) {
      const auto before = std::prev(next);
      if (before->first + buffers[before->second].bytes > offsets[i]) other = before;
    }
    if (other != alive.end()) {
      const uint32_t j = other->second;
      return fmt::format("\"{}\" at [{}, {}) and \"{}\" at [{}, {}) live at the same time",
                         buffers[j].name, offsets[j], offsets[j] + buffers[j].bytes,
                         buffers[i].name, offsets[i], end);
    }
    alive.emplace(offsets[i], i);
  }
  return {};
}

}  // namespace

std::string verify_offsets(std::span<const BufferSpec> buffers, std::span<const int64_t> offsets,
                           int64_t bytes) {
  if (offsets.size() != buffers.size())
    return fmt::format("{} offsets for {} buffers", offsets.size(), buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i) {
    const BufferSpec& b = buffers[i];
    const int64_t at = offsets[i];
    if (b.bytes == 0) continue;
    if (at < 0 || at % b.alignment != 0 || at + b.bytes > bytes || (b.fixed && *b.fixed != at)) {
      return fmt::format("buffer \"{}\" of {} bytes at offset {} in a block of {}, alignment {}",
                         b.name, b.bytes, at, bytes, b.alignment);
    }
  }
  return find_overlap(buffers, offsets);
}

namespace {

/// Branch and bound, first at the smallest block that may exist, then by halving.
void improve_exactly(std::span<const BufferSpec> buffers, const OffsetPlannerOptions& options,
                     OffsetPlan& plan) {
  int64_t nodes = options.exact_nodes;
  int64_t impossible = plan.lower_bound - 1;  // no block of this size or less
  int64_t unlikely = impossible;              // the search gave up at this size
  int64_t capacity = std::max(plan.lower_bound, options.good_size.value_or(0));
  while (nodes > 0 && plan.bytes > plan.lower_bound && capacity < plan.bytes) {
    std::vector<int64_t> offsets;
    int64_t share = std::max<int64_t>(nodes / 2, 1000);
    nodes -= share;
    const auto outcome = offset_detail::search_exact(buffers, capacity, share, offsets);
    nodes += std::max<int64_t>(share, 0);
    if (outcome == offset_detail::ExactOutcome::kFound) {
      plan.bytes = 0;
      for (size_t i = 0; i < buffers.size(); ++i)
        plan.bytes = std::max(plan.bytes, offsets[i] + buffers[i].bytes);
      plan.offsets = std::move(offsets);
      plan.method = "exact";
      if (options.good_size && plan.bytes <= *options.good_size) break;
    } else if (outcome == offset_detail::ExactOutcome::kInfeasible) {
      impossible = std::max(impossible, capacity);
      unlikely = std::max(unlikely, capacity);
    } else {
      unlikely = std::max(unlikely, capacity);
      if (nodes < 2000) break;
    }
    if (plan.bytes - unlikely <= 1) break;
    capacity = unlikely + (plan.bytes - unlikely) / 2;
  }
  plan.proven_optimal = plan.bytes == plan.lower_bound || plan.bytes - 1 <= impossible;
}

}  // namespace

namespace {

/// Keeps what is better than all before.
void keep(OffsetPlan& plan, int64_t bytes, std::vector<int64_t>& offsets, std::string method) {
  if (bytes >= plan.bytes) return;
  plan.bytes = bytes;
  plan.offsets = std::move(offsets);
  plan.method = std::move(method);
}

/// All orders and fits, until one needs no more than the target or too much was compared. Gives the
/// best of these orders.
std::vector<uint32_t> run_portfolio(std::span<const BufferSpec> buffers,
                                    const OffsetPlannerOptions& options, int64_t target,
                                    OffsetPlan& plan) {
  const auto n = static_cast<int64_t>(buffers.size());
  std::vector<uint32_t> best_order;
  int64_t best = INT64_MAX;
  for (int i = 0; i < 2 * offset_detail::kNumBufferOrders && plan.bytes > target; ++i) {
    if (i > 0 && plan.compared + n * n / 2 > options.comparisons) break;
    plan.compared += n * n / 2;
    const auto kind = static_cast<offset_detail::BufferOrder>(i / 2);
    const auto fit = static_cast<offset_detail::Fit>(i % 2);
    std::vector<uint32_t> order = offset_detail::make_order(buffers, kind);
    std::vector<int64_t> offsets;
    const int64_t bytes = offset_detail::place_in_order(buffers, order, fit, offsets);
    keep(plan, bytes, offsets,
         fmt::format("{}/{}", offset_detail::buffer_order_name(kind),
                     fit == offset_detail::Fit::kFirst ? "first_fit" : "best_fit"));
    if (bytes >= best) continue;
    best = bytes;
    best_order = std::move(order);
  }
  return best_order;
}

void plan_along_time(std::span<const BufferSpec> buffers, int64_t target, OffsetPlan& plan) {
  std::vector<int64_t> around;
  const int64_t least = offset_detail::place_around_peak(buffers, around);
  keep(plan, least, around, "around_peak");
  for (const bool backwards : {false, true}) {
    if (plan.bytes <= target) break;
    std::vector<int64_t> offsets;
    const int64_t bytes = offset_detail::place_along_time(buffers, backwards, offsets);
    keep(plan, bytes, offsets, backwards ? "against_time" : "along_time");
  }
}

}  // namespace

Result<OffsetPlan> plan_offsets(std::span<const BufferSpec> buffers,
                                const OffsetPlannerOptions& options) {
  GRADC_TRY_STATUS(check_buffers(buffers));
  OffsetPlan plan;
  plan.lower_bound = live_bytes_lower_bound(buffers);
  for (const BufferSpec& b : buffers)
    plan.naive_bytes += b.bytes;
  plan.bytes = INT64_MAX;
  const int64_t target = std::max(plan.lower_bound, options.good_size.value_or(0));
  const bool any_fixed = std::any_of(buffers.begin(), buffers.end(),
                                     [](const BufferSpec& b) { return b.fixed.has_value(); });
  const auto n = static_cast<int64_t>(buffers.size());
  const int64_t pairs = n * n / 2;
  const bool large = pairs > options.comparisons && !any_fixed;
  // Of many buffers one order compares millions of pairs, and along time none: often it is enough.
  if (n >= kManyBuffers && !any_fixed) plan_along_time(buffers, target, plan);
  std::vector<uint32_t> best_order;
  if (!large && plan.bytes > target) best_order = run_portfolio(buffers, options, target, plan);
  plan.proven_optimal = plan.bytes == plan.lower_bound;
  if (plan.bytes > target && !large && options.search_steps > 0) {
    std::vector<int64_t> offsets;
    const int64_t bytes =
        offset_detail::search_orders(buffers, best_order, options, target, offsets);
    if (bytes < plan.bytes) {
      plan.bytes = bytes;
      plan.offsets = std::move(offsets);
      plan.method = "order_search";
    }
    plan.proven_optimal = plan.bytes == plan.lower_bound;
  }
  if (plan.bytes > target && n <= kMaxExactBuffers && options.exact_nodes > 0 && !any_fixed)
    improve_exactly(buffers, options, plan);
  const std::string wrong = verify_offsets(buffers, plan.offsets, plan.bytes);
  if (!wrong.empty()) {
    GRADC_CHECK(any_fixed, "a wrong memory plan by {}: {}", plan.method, wrong);
    return make_error(DiagKind::kNumberOutOfRange, {}, "buffers at fixed offsets do not fit: {}",
                      wrong);
  }
  return plan;
}

}  // namespace gradc
