// Totals per name, kept in a short list: a run has a few dozen timers.
#include "support/timer.h"

#include <fmt/format.h>

#include <new>

namespace gradc {

void TimeReport::add(std::string_view name, std::chrono::nanoseconds duration) {
  for (Entry& entry : entries_) {
    if (entry.name == name) {
      entry.total += duration;
      ++entry.count;
      return;
    }
  }
  try {
    entries_.push_back({std::string(name), duration, 1});
  } catch (const std::bad_alloc&) {
    // Timers report from destructors: without memory a time is not kept.
  }
}

double TimeReport::milliseconds(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name) return std::chrono::duration<double, std::milli>(entry.total).count();
  }
  return 0;
}

std::string TimeReport::to_string() const {
  double sum = 0;
  for (const Entry& entry : entries_)
    sum += milliseconds(entry.name);
  std::string out;
  for (const Entry& entry : entries_) {
    const double part = milliseconds(entry.name);
    out += fmt::format("{:10.3f} ms {:5.1f} % {:6}x  {}\n", part, sum > 0 ? 100 * part / sum : 0.0,
                       entry.count, entry.name);
  }
  return out;
}

}  // namespace gradc
