// The part of a graph that is computed row by row for some readers: what each row of a value is
// made of, and the same for another number of rows.
#pragma once

#include "ir/builder.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace gradc {

/// How an op takes an operand where its results are made row by row.
enum class RowUse : uint8_t {
  kRow,    ///< row i of the result needs row i
  kWhole,  ///< every row sees all of it: weights
};

/// The leading axes of a shape that number `rows` rows, those of extent 1 behind them too; none
/// where no axes do.
std::optional<int64_t> row_axes(const Shape& shape, int64_t rows);

/// Such a shape with its rows along one axis.
Shape flat_rows(const Shape& shape, int64_t rows);

/// For each operand how it is taken, where row i of a node's one result is made of row i of others.
std::optional<std::vector<RowUse>> row_uses(const Graph& graph, const Node& node, int64_t rows);

/// Such a node for `made` of the rows, along one leading axis, of operands that have it
/// (RowUse::kRow) or are as they were.
Val compute_rows(Builder& builder, const Graph& graph, const Node& node,
                 std::span<const Val> operands, int64_t rows, int64_t made);

}  // namespace gradc
