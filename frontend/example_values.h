// Values of examples, [batch, ...], by NumPy's rules: the batch stands aside.
#pragma once

#include "frontend/options.h"
#include "ir/builder.h"

#include <optional>

namespace gradc {

/// The shape without the batch.
Ints example_shape(Val x);
Val floats_of(Val x);
/// The shape that two of examples have together; nothing where they do not fit.
std::optional<Ints> joined_shape(const Ints& a, const Ints& b);
/// Examples of a shape that fits; `shape` has the batch.
Val spread_examples(Val x, const Shape& shape);

/// What subscripts take of an axis.
struct TakenRange {
  int64_t first = 0;
  int64_t last = 0;
  bool drops = false;  ///< one element, without its axis
};
/// x[ranges...] of each example; axes behind the last range are taken whole.
Val take_of_examples(Val x, std::span<const TakenRange> ranges);

}  // namespace gradc
