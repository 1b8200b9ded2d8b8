// What of the forward phase is not kept for the backward phase but made again there: less memory
// for more time. Chen, Xu, Zhang, Guestrin: "Training deep nets with sublinear memory cost", 2016.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace gradc {

/// Each includes what the one before says.
struct Recomputation {
  /// Elementwise values are made again where everything that they are made of is kept anyway.
  bool elementwise = false;
  /// The forward phase is cut into `parts` that keep about as many bytes; the first `remade` of
  /// them keep only what goes from one to the next.
  int parts = 0;
  int remade = 0;
  /// Values of no more bytes are always kept: statistics of rows, sums of losses.
  int64_t small_bytes = 4096;

  bool nothing() const { return !elementwise && remade == 0; }
  /// For people: "elementwise values, 3 of 4 parts of the forward phase".
  std::string text() const;
  bool operator==(const Recomputation&) const = default;
};

/// What is tried to keep a memory budget, in order of the work it repeats.
std::span<const Recomputation> recomputation_ladder();

}  // namespace gradc
