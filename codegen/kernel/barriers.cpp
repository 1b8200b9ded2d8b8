// Calls since the last barrier are kept with what they touch; a new call is compared with each. Two
// addresses of one base are compared by the difference of their offsets: loops around both are at
// the same iteration unless the question is about two iterations of one of them; what is inside
// that loop, or around one call only, may be anywhere in its range.
#include "codegen/kernel/barriers.h"

#include <algorithm>
#include <iterator>
#include <optional>

namespace gradc::kernel {

namespace {

/// A piece of memory that a call reads or writes.
struct Touch {
  const Address* address = nullptr;
  int64_t bytes = 0;
  bool writes = false;
};

struct EnclosingLoop {
  const Loop* loop = nullptr;
  int64_t trips = 1;
};

struct Access {
  std::vector<Touch> touches;
  std::vector<EnclosingLoop> loops;  ///< around the call, outermost first
  bool parallel = false;
  size_t group = 0;
};

/// All differences from low to high.
struct Range {
  int64_t low = 0;
  int64_t high = 0;
  Range operator+(Range other) const { return {low + other.low, high + other.high}; }
};

Range contribution(const Stride* stride, int64_t trips) {
  if (stride == nullptr) return {};
  const Address alone{
      Address::Where::kArena, 0, 0, {{0, stride->bytes, stride->period, stride->phase}}};
  const auto [low, high] = alone.offsets(std::span(&trips, 1));
  return {low, high};
}

const Stride* stride_of(const Address& address, size_t loop) {
  for (const Stride& stride : address.strides) {
    if (stride.loop == loop) return &stride;
  }
  return nullptr;
}

Range minus(Range a, Range b) {
  return {a.low - b.high, a.high - b.low};
}

/// What a difference can be: in one of these.
using Ranges = std::vector<Range>;
constexpr int64_t kMostFactors = 64;

/// a's part less b's, both at one iteration of a loop.
Ranges same_iteration(const Stride* a, const Stride* b, int64_t trips) {
  const int64_t a_period = a != nullptr ? a->period : 0, b_period = b != nullptr ? b->period : 0;
  if (a_period == 0 && b_period == 0) {
    const int64_t slope = (a != nullptr ? a->bytes : 0) - (b != nullptr ? b->bytes : 0);
    return {{std::min<int64_t>(0, slope * (trips - 1)), std::max<int64_t>(0, slope * (trips - 1))}};
  }
  const bool periodic = (a == nullptr || a_period != 0) && (b == nullptr || b_period != 0);
  const int64_t period = std::max<int64_t>(1, a_period) * std::max<int64_t>(1, b_period);
  if (!periodic || period > kMostFactors)
    return {minus(contribution(a, trips), contribution(b, trips))};
  Ranges ranges;
  for (int64_t i = 0; i < std::min(trips, period); ++i) {
    const int64_t difference =
        (a != nullptr ? a->bytes * a->factor(i) : 0) - (b != nullptr ? b->bytes * b->factor(i) : 0);
    ranges.push_back({difference, difference});
  }
  return ranges;
}

/// All sums of one of each.
void add(Ranges& sums, const Ranges& more) {
  Ranges result;
  for (const Range& a : sums) {
    for (const Range& b : more)
      result.push_back(a + b);
  }
  if (result.size() > static_cast<size_t>(kMostFactors)) {
    Range all = result.front();
    for (const Range& r : result)
      all = {std::min(all.low, r.low), std::max(all.high, r.high)};
    result = {all};
  }
  sums = std::move(result);
}

/// The same, a's iteration being a later one than b's.
Range later_iteration(const Stride* a, const Stride* b, int64_t trips) {
  if (a != nullptr && b != nullptr && a->period == 0 && b->period == 0 && a->bytes == b->bytes) {
    const int64_t near = a->bytes, far = a->bytes * (trips - 1);
    return {std::min(near, far), std::max(near, far)};
  }
  return minus(contribution(a, trips), contribution(b, trips));
}

/// Which pairs of runs of two calls are asked about.
struct Runs {
  size_t common = 0;            ///< loops around both
  std::optional<size_t> later;  ///< of these, the one of which the first call's run is later
};

bool overlap(const Touch& a, const std::vector<EnclosingLoop>& a_loops, const Touch& b,
             const std::vector<EnclosingLoop>& b_loops, const Runs& runs) {
  if ((!a.writes && !b.writes) || !a.address->same_base(*b.address)) return false;
  const int64_t start = a.address->offset - b.address->offset;
  Ranges differences = {{start, start}};
  const size_t tied = runs.later.value_or(runs.common);  // loops that stand at one iteration
  for (size_t i = 0; i < std::max(a_loops.size(), b_loops.size()); ++i) {
    const Stride* x = stride_of(*a.address, i);
    const Stride* y = stride_of(*b.address, i);
    if (x == nullptr && y == nullptr) continue;
    if (i < tied) {
      add(differences, same_iteration(x, y, a_loops[i].trips));
    } else if (runs.later == i) {
      add(differences, {later_iteration(x, y, a_loops[i].trips)});
    } else {
      const Range of_a = x != nullptr ? contribution(x, a_loops[i].trips) : Range{};
      const Range of_b = y != nullptr ? contribution(y, b_loops[i].trips) : Range{};
      add(differences, {minus(of_a, of_b)});
    }
  }
  return std::any_of(differences.begin(), differences.end(), [&](const Range& difference) {
    return difference.low < b.bytes && difference.high > -a.bytes;
  });
}

bool conflict(const Access& a, const Access& b, const Runs& runs) {
  if (!a.parallel && !b.parallel) return false;  // both on thread 0, in order
  return std::any_of(a.touches.begin(), a.touches.end(), [&](const Touch& x) {
    return std::any_of(b.touches.begin(), b.touches.end(),
                       [&](const Touch& y) { return overlap(x, a.loops, y, b.loops, runs); });
  });
}

size_t common_loops(const Access& a, const Access& b) {
  size_t count = 0;
  while (count < a.loops.size() && count < b.loops.size() &&
         a.loops[count].loop == b.loops[count].loop)
    ++count;
  return count;
}

class BarrierPlacement {
 public:
  explicit BarrierPlacement(const Program& program) : program_(program) {}

  void run(std::vector<Step>& steps) {
    for (Step& step : steps) {
      if (Call* call = std::get_if<Call>(&step.it))
        place(*call);
      else
        place(std::get<Loop>(step.it));
    }
  }

 private:
  Access access_of(const Call& call) {
    const Kernel& kernel = program_.kernels[call.kernel];
    Access access;
    for (size_t i = 0; i < call.arguments.size(); ++i) {
      const Buffer& b = kernel.buffers[i];
      if (call.arguments[i].where == Address::Where::kConstant) continue;
      access.touches.push_back({&call.arguments[i], b.shape.num_elements() * dtype_bytes(b.dtype),
                                b.role != BufferRole::kIn});
    }
    access.loops = loops_;
    access.parallel = kernel.is_parallel();
    if (!call.joins_previous) ++group_;
    access.group = group_;
    return access;
  }

  bool conflicts_with_earlier(const Access& access) const {
    return std::any_of(since_.begin(), since_.end(), [&](const Access& earlier) {
      return earlier.group != access.group &&
             conflict(access, earlier, {common_loops(access, earlier), std::nullopt});
    });
  }

  void meet() {
    since_.clear();
    met_ = true;
  }

  void place(Call& call) {
    Access access = access_of(call);
    call.barrier_before = conflicts_with_earlier(access);
    if (call.barrier_before) meet();
    if (!met_) before_first_.push_back(access);
    since_.push_back(std::move(access));
  }

  void place(Loop& loop) {
    loops_.push_back({&loop, loop.trips});
    const size_t group = group_;
    std::vector<Access> inside;
    collect(loop.body, inside);
    group_ = group;
    loop.barrier_before = std::any_of(inside.begin(), inside.end(), [&](const Access& access) {
      return conflicts_with_earlier(access);
    });
    if (loop.barrier_before) meet();
    // Of the body alone: what runs before its first barrier and after its last.
    std::vector<Access> outer_since = std::move(since_), outer_first = std::move(before_first_);
    const bool outer_met = met_;
    since_.clear();
    before_first_.clear();
    met_ = false;
    run(loop.body);
    const size_t level = loops_.size() - 1;
    loop.barrier_between =
        loop.trips > 1 &&
        std::any_of(before_first_.begin(), before_first_.end(), [&](const Access& next) {
          return std::any_of(since_.begin(), since_.end(), [&](const Access& last) {
            return conflict(next, last, {loops_.size(), level});
          });
        });
    // A body without a barrier: also what came before the loop, and the loop's beginning is what
    // comes after it.
    if (!met_)
      since_.insert(since_.end(), std::make_move_iterator(outer_since.begin()),
                    std::make_move_iterator(outer_since.end()));
    if (!outer_met)
      outer_first.insert(outer_first.end(), before_first_.begin(), before_first_.end());
    before_first_ = std::move(outer_first);
    met_ = met_ || outer_met;
    loops_.pop_back();
  }

  void collect(const std::vector<Step>& steps, std::vector<Access>& out) {
    for (const Step& step : steps) {
      if (const Call* call = step.call()) {
        out.push_back(access_of(*call));
      } else {
        loops_.push_back({step.loop(), step.loop()->trips});
        collect(step.loop()->body, out);
        loops_.pop_back();
      }
    }
  }

  const Program& program_;
  std::vector<EnclosingLoop> loops_;
  std::vector<Access> since_;         ///< calls since the last barrier
  std::vector<Access> before_first_;  ///< calls of the innermost loop before its first barrier
  bool met_ = false;                  ///< the innermost loop's body has had a barrier
  size_t group_ = 0;
};

}  // namespace

void place_barriers(const Program& program, Entry& entry) {
  BarrierPlacement(program).run(entry.steps);
}

}  // namespace gradc::kernel
