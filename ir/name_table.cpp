#include "ir/name_table.h"

#include "support/check.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <utility>

namespace gradc {

namespace {

constexpr size_t kFirstCapacity = 16;

/// What a character of a hint becomes in a name.
constexpr std::array<char, 256> kPlain = [] {
  std::array<char, 256> plain{};
  plain.fill('_');
  for (const std::string_view range : {"az", "AZ", "09", ".."}) {
    for (int c = range[0]; c <= range[1]; ++c)
      plain[static_cast<size_t>(c)] = static_cast<char>(c);
  }
  return plain;
}();

}  // namespace

uint64_t NameTable::hash_of(std::string_view name) {
  uint64_t hash = name.size();
  const auto mix = [&hash](uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio
    hash ^= hash >> 32U;
  };
  size_t i = 0;
  for (; i + 8 <= name.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, name.data() + i, 8);
    mix(word);
  }
  uint64_t rest = 0;
  for (; i < name.size(); ++i)
    rest = rest << 8U | static_cast<unsigned char>(name[i]);
  mix(rest);
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
  for (char& c : name)
    c = kPlain[static_cast<unsigned char>(c)];
  if (insert(name)) return name;
  const std::string base = std::move(name);
  const uint64_t hash = hash_of(base);
  do {
    const fmt::format_int suffix(slots_[find(hash)].next_suffix++);
    name = base;
    name += '.';
    name.append(suffix.data(), suffix.size());
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
