// Where the rows of a batch lie in the values of a graph, and which values mix them. What each op
// does to an axis stands in its entry (OpDef::axes); loops are followed through their bodies.
#pragma once

#include "ir/graph.h"
#include "ir/op.h"

#include <cstdint>
#include <span>
#include <vector>

namespace gradc {

/// Element e of a value, in row-major order, belongs to row (e / inner) % rows.
struct RowPlace {
  enum class Kind : uint8_t {
    kNone,   ///< it is no value of rows: every row sees all of it
    kRows,   ///< each element is made of one row
    kMixed,  ///< an element may be made of several
  };
  Kind kind = Kind::kNone;
  int64_t inner = 1;  ///< kRows

  bool mixed() const { return kind == Kind::kMixed; }
  bool operator==(const RowPlace&) const = default;
};

inline constexpr RowPlace kMixedRows{.kind = RowPlace::Kind::kMixed};

/// Rows along the first axis.
RowPlace leading_rows(const Shape& shape);

/// OpDef::axes, of any op.
OperandAxes axes_of(Op op, std::span<const TensorType> operands, const AttrRef& attrs);

/// Of each value of a graph (by index), where `inputs` are those of its inputs and there are at
/// least two rows. `other` is the same graph for another number of rows: what is made of nothing
/// (a range, a constant) has rows where its extents differ.
std::vector<RowPlace> find_rows(const Graph& graph, int64_t rows, std::span<const RowPlace> inputs,
                                const Graph* other = nullptr);

/// Of the results of one call without a body.
std::vector<RowPlace> rows_of_call(Op op, std::span<const TensorType> operands,
                                   const AttrRef& attrs, std::span<const TensorType> results,
                                   std::span<const RowPlace> places, int64_t rows);

}  // namespace gradc
