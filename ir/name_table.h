// Which names a graph's values have: gives out names that are free, without keeping a copy of any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// A set of names by their 64-bit hashes: open addressing, one slot of 16 bytes a name. Two names
/// of one hash are taken for the same name: the second gets a suffix, so names stay unique and what
/// is released is what was taken.
class NameTable {
 public:
  /// The hint with all but letters, digits, '_' and '.' replaced by '_', followed by ".1", ".2",
  /// ... if that is taken; without a hint the next free number.
  std::string take(std::string_view hint);
  /// `name` was given out and is free again.
  void release(std::string_view name);

 private:
  struct Slot {
    uint64_t hash = kFree;
    uint32_t next_suffix = 1;
  };
  static constexpr uint64_t kFree = 0;

  static uint64_t hash_of(std::string_view name);
  size_t home(uint64_t hash) const { return hash & (slots_.size() - 1); }
  /// The slot that holds the hash or where it would go.
  size_t find(uint64_t hash) const;
  bool insert(std::string_view name);
  void grow();

  std::vector<Slot> slots_;
  size_t size_ = 0;
  uint32_t next_number_ = 0;
};

}  // namespace gradc
