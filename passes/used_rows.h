// A gradient that is zero in most rows of a table: the others alone.
#pragma once

#include "ir/builder.h"

#include <optional>

namespace gradc {

/// Rows of a table, each once, rising, and their gradient; behind the last row there is nothing
/// (see `distinct`). Both are empty where the gradient is zero.
struct UsedRows {
  Val rows;
  Val gradient;
};

/// Of a gradient that is made by scatter_add of what was looked up; none for others.
std::optional<UsedRows> used_rows(Val gradient);

}  // namespace gradc
