// Named counters of one run ("nodes removed"), reported in the order of first use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

class Statistics {
 public:
  struct Entry {
    std::string name;
    int64_t value = 0;
  };

  /// Adds to the counter of that name, which starts at 0.
  void add(std::string_view name, int64_t amount = 1) { entries_[index(name)].value += amount; }
  /// Where that counter stands among the entries, for those who add often.
  size_t index(std::string_view name);
  void add_at(size_t index, int64_t amount) { entries_[index].value += amount; }
  /// The counter's value; 0 when it was never touched.
  int64_t get(std::string_view name) const;
  const std::vector<Entry>& entries() const { return entries_; }
  /// One line per counter: value and name.
  std::string to_string() const;

 private:
  std::vector<Entry> entries_;
};

}  // namespace gradc
