// Element types of a contraction (matmul, conv and its gradients). Three are named: what operands
// are rounded to before they are multiplied (`multiply`; not set: their own type, then equal), the
// type in which products are added, which follows from it, and that of the result (`result`; not
// set: the operands' type). Operands of any float type are taken where `multiply` is set.
#pragma once

#include "ir/graph.h"
#include "support/result.h"

#include <optional>
#include <string_view>

namespace gradc {

struct ContractionTypes {
  DType multiply = DType::kF32;
  DType result = DType::kF32;
  DType accumulate() const { return accumulator_dtype(multiply); }
};

Result<ContractionTypes> contraction_types(std::string_view op, DType a, DType b,
                                           std::optional<DType> multiply,
                                           std::optional<DType> result);
/// The same, for attributes of a contraction.
template <class Attrs>
Result<ContractionTypes> contraction_types(std::string_view op, DType a, DType b,
                                           const Attrs& attrs) {
  return contraction_types(op, a, b, attrs.multiply, attrs.result);
}
/// Of a contraction in a graph that verifies.
ContractionTypes contraction_types(const Graph& graph, const Node& node);

/// Lets the contractions behind a node (all of them: an invalid one), those of bodies too, multiply
/// in a type, where they name none.
void multiply_in(Graph& graph, NodeId behind, DType multiply);

/// Names the types of a contraction of operands of types a and b, those that follow from the
/// operands left out.
template <class Attrs>
Attrs with_types(Attrs attrs, DType a, DType b, const ContractionTypes& types) {
  const bool own = a == b && a == types.multiply;
  attrs.multiply = own ? std::nullopt : std::optional(types.multiply);
  attrs.result = a == b && a == types.result ? std::nullopt : std::optional(types.result);
  return attrs;
}

}  // namespace gradc
