// Graphs of entries as they are and with further outputs and consumers of their values, compiled
// and run: what both have in common has the same bits.
#pragma once

#include "codegen/target_info.h"
#include "tests/differential/random_entry.h"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace gradc::bits {

/// Outputs by name, and updates.
using Bits = std::map<std::string, std::vector<std::byte>>;

/// A graph after its pipeline.
struct Planned {
  uint64_t seed = 0;  ///< of its inputs
  std::shared_ptr<Graph> graph;
  std::optional<MemoryPlan> plan;
};

/// `more`: some values become outputs too, and the sum of the squares of others.
Planned planned(const testing::RandomEntry& entry, bool more);

/// All of a batch in one program, with one thread; three give the same bits.
std::vector<Bits> run(const std::vector<Planned>& batch, const TargetInfo& target);

void expect_equal(const Bits& wanted, const Bits& actual, const std::string& what);

}  // namespace gradc::bits
