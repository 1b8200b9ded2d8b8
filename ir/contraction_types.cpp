#include "ir/contraction_types.h"

#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

namespace gradc {

Result<ContractionTypes> contraction_types(std::string_view op, DType a, DType b,
                                           std::optional<DType> multiply,
                                           std::optional<DType> result) {
  for (const DType type : {a, b, multiply.value_or(a), result.value_or(a)}) {
    if (!is_float(type))
      return make_error(DiagKind::kShapeMismatch, {}, "{} takes floats, got {}", op,
                        dtype_name(type));
  }
  if (a != b && (!multiply || !result)) {
    return make_error(DiagKind::kShapeMismatch, {}, "{} of {} and {}: operands of different types",
                      op, dtype_name(a), dtype_name(b))
        .with_help("name the types with multiply= and result=, or cast one operand");
  }
  return ContractionTypes{multiply.value_or(a), result.value_or(a)};
}

ContractionTypes contraction_types(const Graph& graph, const Node& node) {
  const DType a = graph.type(node.operands[0]).dtype;
  const DType b = graph.type(node.operands[1]).dtype;
  const auto types = node.op == Op::kMatmul
                         ? contraction_types(op_name(node.op), a, b, node.attrs.as<MatmulAttrs>())
                         : contraction_types(op_name(node.op), a, b, node.attrs.as<ConvAttrs>());
  GRADC_CHECK(types.ok(), "{}", types.message());
  return *types;
}

namespace {

/// The attributes with `multiply` where they name no type; the result stays what it was.
template <class Attrs>
AttrRef multiplied(const Graph& graph, const Node& node, DType multiply) {
  auto attrs = node.attrs.as<Attrs>();
  if (attrs.multiply) return node.attrs;
  ContractionTypes types = contraction_types(graph, node);
  types.multiply = multiply;
  return make_attrs(with_types(std::move(attrs), graph.type(node.operands[0]).dtype,
                               graph.type(node.operands[1]).dtype, types));
}

}  // namespace

void multiply_in(Graph& graph, NodeId behind, DType multiply) {
  NodeId id = behind.valid() ? graph.node(behind).next : graph.first_node();
  for (; id.valid(); id = graph.node(id).next) {
    const Node& node = graph.node(id);
    if (node.body != nullptr) multiply_in(*node.body, {}, multiply);
    const Lowering lowering = def(node.op).lowering;
    if (lowering == Lowering::kMatmul)
      graph.set_attrs(id, multiplied<MatmulAttrs>(graph, node, multiply));
    else if (lowering == Lowering::kConv)
      graph.set_attrs(id, multiplied<ConvAttrs>(graph, node, multiply));
  }
}

}  // namespace gradc
