#include "ir/name_table.h"

#include "support/check.h"

#include <fmt/format.h>

#include <functional>
#include <utility>

namespace gradc {

namespace {

constexpr size_t kFirstCapacity = 16;

}  // namespace

uint64_t NameTable::hash_of(std::string_view name) {
  const uint64_t hash = std::hash<std::string_view>()(name);
  return hash == kFree ? 1 : hash;
}

size_t NameTable::find(uint64_t hash) const {
  size_t i = home(hash);
  while (slots_[i].hash != kFree && slots_[i].hash != hash)
    i = (i + 1) & (slots_.size() - 1);
  return i;
}

void NameTable::grow() {
  std::vector<Slot> old =
      std::exchange(slots_, std::vector<Slot>(slots_.empty() ? kFirstCapacity : 2 * slots_.size()));
  for (const Slot& slot : old) {
    if (slot.hash != kFree) slots_[find(slot.hash)] = slot;
  }
}

bool NameTable::insert(std::string_view name) {
  if (4 * (size_ + 1) > 3 * slots_.size()) grow();
  const uint64_t hash = hash_of(name);
  Slot& slot = slots_[find(hash)];
  if (slot.hash == hash) return false;
  slot = {hash, 1};
  ++size_;
  return true;
}

std::string NameTable::take(std::string_view hint) {
  std::string name;
  if (hint.empty()) {
    do {
      name = fmt::format_int(next_number_++).str();
    } while (!insert(name));
    return name;
  }
  name = hint;
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '.';
    if (!plain) c = '_';
  }
  if (insert(name)) return name;
  const std::string base = std::move(name);
  const uint64_t hash = hash_of(base);
  do {
    name = fmt::format("{}.{}", base, slots_[find(hash)].next_suffix++);
  } while (!insert(name));
  return name;
}

void NameTable::release(std::string_view name) {
  size_t hole = find(hash_of(name));
  GRADC_CHECK(slots_[hole].hash != kFree, "the name {} is released twice", name);
  --size_;
  // What follows moves up, so that no search ends at the hole before its name.
  const size_t mask = slots_.size() - 1;
  for (size_t i = (hole + 1) & mask; slots_[i].hash != kFree; i = (i + 1) & mask) {
    if (((i - home(slots_[i].hash)) & mask) < ((i - hole) & mask)) continue;
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole] = {};
}

}  // namespace gradc
