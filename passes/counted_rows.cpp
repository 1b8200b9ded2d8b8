#include "passes/counted_rows.h"

#include "ir/op_attrs.h"
#include "passes/pattern.h"

namespace gradc {

Val first_rows(Val x, Val count) {
  const Shape shape = x.shape();
  const Val row = iota(x.builder(), {DType::kI32, shape}, 0);
  return select(less(row, broadcast(count, shape, {})), x, 0.0);
}

std::optional<FirstRows> find_first_rows(const Graph& graph, ValueId value) {
  const NodeId choice = def_with_op(graph, value, Op::kSelect);
  if (!choice.valid()) return std::nullopt;
  const ValueList& x = graph.node(choice).operands;
  const NodeId less = def_with_op(graph, x[0], Op::kLess);
  if (!less.valid() || splat_value(graph, x[2]) != 0.0) return std::nullopt;
  const NodeId row = def_with_op(graph, graph.node(less).operands[0], Op::kIota);
  const NodeId count = def_with_op(graph, graph.node(less).operands[1], Op::kBroadcast);
  if (!row.valid() || !count.valid()) return std::nullopt;
  const auto& iota = graph.node(row).attrs.as<IotaAttrs>();
  const ValueId number = graph.node(count).operands[0];
  if (iota.axis != 0 || iota.dtype != DType::kI32 || graph.type(number).rank() != 0)
    return std::nullopt;
  return FirstRows{x[1], number};
}

}  // namespace gradc
