// Why two neighbouring kernels are two: for each pair where one reads what the other makes, or both
// read the same, the rule or the numbers that kept them apart. Made by the search itself, after it
// has come to rest, from the graph before fusion.
#pragma once

#include "ir/graph.h"
#include "support/result.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// What keeps two groups apart, in the order in which it is asked.
enum class Refusal : uint8_t {
  kNone,
  kForm,      ///< together they are no kernel
  kSize,      ///< too many nodes or arguments
  kUnlinked,  ///< a contraction or the like beside what only reads the same
  kCost,      ///< more work than bytes saved
  kPhases,    ///< the forward kernel would keep more for the backward phase
  kPacking,   ///< too much, or something stored, in front of a contraction's operands
  kCycle,     ///< a way leads through other kernels
  kTooFar,    ///< whether it does was not looked into
  kLate,      ///< it would pay now, but did not when it was tried
};
/// "form", "size", ...
std::string_view refusal_name(Refusal refusal);

struct FusionRemark {
  std::string first, second;                ///< labels of the kernels, in order
  std::string first_result, second_result;  ///< the first value that each stores, without '%'
  std::string second_location;
  bool linked = false;  ///< the second reads what the first makes
  Refusal refusal = Refusal::kNone;
  std::string_view rule;  ///< kForm: what the rules say
  double saved = 0;       ///< bytes that would no longer be read or written
  double extra = 0;       ///< work that would be done repeatedly, in units of fusion_cost

  /// "dense_relu %4 | dense %7 reads it: two contractions or the like".
  std::string text() const;
};

/// Of a graph of primitives without kernels (the stage "optimized"); others are refused.
Result<std::vector<FusionRemark>> fusion_remarks(const Graph& graph);

/// One line each, and how many of each kind.
std::string fusion_remarks_text(std::span<const FusionRemark> remarks);
nlohmann::json fusion_remarks_json(std::span<const FusionRemark> remarks);

}  // namespace gradc
