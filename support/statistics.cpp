// Counters per name, kept in a short list.
#include "support/statistics.h"

#include <fmt/format.h>

namespace gradc {

void Statistics::add(std::string_view name, int64_t amount) {
  for (Entry& entry : entries_) {
    if (entry.name == name) {
      entry.value += amount;
      return;
    }
  }
  entries_.push_back({std::string(name), amount});
}

int64_t Statistics::get(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name) return entry.value;
  }
  return 0;
}

std::string Statistics::to_string() const {
  std::string out;
  for (const Entry& entry : entries_)
    out += fmt::format("{:10} {}\n", entry.value, entry.name);
  return out;
}

}  // namespace gradc
