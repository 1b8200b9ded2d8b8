// Rows of which only the first so many count: how that is written in a graph, and read again.
#pragma once

#include "ir/builder.h"

#include <optional>

namespace gradc {

/// x below row `count` (i32[]) of axis 0, and zero from there on: select(iota < count, x, 0).
Val first_rows(Val x, Val count);

/// What such a value is made of.
struct FirstRows {
  ValueId rows;
  ValueId count;
};
std::optional<FirstRows> find_first_rows(const Graph& graph, ValueId value);

}  // namespace gradc
