// Named wall-clock timers of one run, nested by scope, reported in the order of first use.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

class TimeReport {
 public:
  struct Entry {
    std::string name;
    std::chrono::nanoseconds total{0};
    int64_t count = 0;
  };

  /// Adds a duration to the timer of that name.
  void add(std::string_view name, std::chrono::nanoseconds duration);
  /// Total of a timer in milliseconds; 0 when it never ran.
  double milliseconds(std::string_view name) const;
  const std::vector<Entry>& entries() const { return entries_; }
  /// One line per timer: milliseconds, share of the sum, count and name.
  std::string to_string() const;

 private:
  std::vector<Entry> entries_;
};

/// Times its own life and adds it to a report; a null report times nothing.
class ScopedTimer {
 public:
  ScopedTimer(TimeReport* report, std::string_view name)
      : report_(report), name_(name), begin_(std::chrono::steady_clock::now()) {}
  ScopedTimer(const ScopedTimer&) = delete;
  ScopedTimer& operator=(const ScopedTimer&) = delete;
  ~ScopedTimer() {
    if (report_ != nullptr) report_->add(name_, std::chrono::steady_clock::now() - begin_);
  }

 private:
  TimeReport* report_;
  std::string name_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace gradc
