#include "codegen/kernel/program.h"

#include <algorithm>

namespace gradc::kernel {

namespace {

void visit_calls(const std::vector<Step>& steps, std::vector<int64_t>& trips,
                 const CallVisitor& visit) {
  for (const Step& step : steps) {
    if (const Call* call = step.call()) {
      visit(*call, trips);
    } else {
      trips.push_back(step.loop()->trips);
      visit_calls(step.loop()->body, trips, visit);
      trips.pop_back();
    }
  }
}

}  // namespace

int64_t Address::offset_at(std::span<const int64_t> iterations) const {
  int64_t at = offset;
  for (const Stride& stride : strides)
    at += stride.bytes * stride.factor(iterations[stride.loop]);
  return at;
}

std::pair<int64_t, int64_t> Address::offsets(std::span<const int64_t> trips) const {
  int64_t least = offset, greatest = offset;
  for (const Stride& stride : strides) {
    const int64_t last = trips[stride.loop] - 1;
    int64_t low = 0, high = last;
    if (stride.period != 0) {
      // Fewer iterations than a period has: those factors only; a wrap has 0 and period - 1.
      const bool wraps = stride.phase + last >= stride.period;
      low = wraps ? 0 : stride.phase;
      high = wraps ? stride.period - 1 : stride.phase + last;
    }
    least += std::min(stride.bytes * low, stride.bytes * high);
    greatest += std::max(stride.bytes * low, stride.bytes * high);
  }
  return {least, greatest};
}

bool operator==(const Loop& a, const Loop& b) {
  return a.trips == b.trips && a.barrier_before == b.barrier_before &&
         a.barrier_between == b.barrier_between &&
         std::equal(a.body.begin(), a.body.end(), b.body.begin(), b.body.end());
}

bool operator==(const Step& a, const Step& b) {
  return a.it == b.it;
}

void for_each_call(const std::vector<Step>& steps, const CallVisitor& visit) {
  std::vector<int64_t> trips;
  visit_calls(steps, trips, visit);
}

}  // namespace gradc::kernel
