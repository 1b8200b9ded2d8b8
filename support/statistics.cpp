// Counters per name, kept in a short list.
#include "support/statistics.h"

#include <fmt/format.h>

namespace gradc {

size_t Statistics::index(std::string_view name) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name == name) return i;
  }
  entries_.push_back({std::string(name), 0});
  return entries_.size() - 1;
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
