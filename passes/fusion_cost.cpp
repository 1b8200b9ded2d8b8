// What work costs, by the op table's lowering class and scalar function.
#include "passes/fusion_cost.h"

#include "ir/op.h"

#include <algorithm>

namespace gradc {
namespace {

/// How often each element of an anchor's operand is asked for.
double operand_repeats(const Node& node) {
  const auto product = [](const Ints& dims) {
    double p = 1;
    for (int64_t d : dims)
      p *= static_cast<double>(d);
    return p;
  };
  switch (def(node.op).lowering) {
    case Lowering::kMatmul:
      return 2;  // packed once for each block of the other operand's columns
    case Lowering::kConv:
      return 4;  // im2col asks for each input once per filter tap, most from cache
    case Lowering::kAttention:
      return 16;  // once for each tile of the other operand's steps
    case Lowering::kPool:
      return std::max(1.0, product(node.attrs.as<PoolAttrs>().window) /
                               product(node.attrs.as<PoolAttrs>().strides));
    case Lowering::kScalar:
    case Lowering::kReduce:
    case Lowering::kGather:
    case Lowering::kView:
    case Lowering::kSource:
    case Lowering::kStructure:
    case Lowering::kComposite:
      break;
  }
  return 1;
}

}  // namespace

double op_cost(const Node& node) {
  const OpDef& entry = def(node.op);
  switch (entry.lowering) {
    case Lowering::kScalar:
      return scalar_op_cost(entry.scalar);
    case Lowering::kView:
      return node.op == Op::kPad || node.op == Op::kConcat ? 1 : 0;
    case Lowering::kSource:
      return node.op == Op::kRandomUniform ? 20 : 0;
    case Lowering::kReduce:
      return 1;
    case Lowering::kMatmul:
    case Lowering::kConv:
    case Lowering::kPool:
    case Lowering::kGather:
    case Lowering::kAttention:
    case Lowering::kStructure:
    case Lowering::kComposite:
      return 0;
  }
  GRADC_UNREACHABLE();
}

WorkMeter::WorkMeter(const Graph& graph, WholeSteps& steps)
    : graph_(graph), costs_(graph.node_capacity()), values_(graph.value_capacity()) {
  for (size_t i = 0; i < values_.size(); ++i)
    values_[i].elements = static_cast<double>(graph.type(ValueId(i)).num_elements());
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
    const Node& node = graph.node(id);
    const double cost = op_cost(node) + steps.size(node);
    costs_[id.index] = {cost, operand_repeats(node), is_plain_reduction(node)};
  }
}

void WorkMeter::ask(ValueId value, double points) {
  ValueState& v = values_[value.index];
  v.points = v.stamp == stamp_ ? std::max(v.points, points) : points;
  v.stamp = stamp_;
}

/// A concatenation at whose points each part is made once.
bool WorkMeter::is_stored_in_parts(const Node& node, const KernelForm& form) const {
  return form.kind == KernelKind::kElementwise && node.op == Op::kConcat &&
         graph_.type(node.results[0]).shape != form.full() &&
         graph_.type(node.operands[0]).shape == form.full();
}

double WorkMeter::measure(std::span<const NodeId> nodes, std::span<const ValueId> outputs,
                          const KernelForm& form, const FormFinder& classes) {
  ++stamp_;
  for (ValueId output : outputs)
    ask(output, elements(output));
  double work = 0;
  for (size_t i = nodes.size(); i-- > 0;) {
    const Node& node = graph_.node(nodes[i]);
    const NodeCost& cost = costs_[nodes[i].index];
    double at = 0;
    for (ValueId result : node.results) {
      at = std::max(at, points(result));
      if (classes.point_class(result) == PointClass::kPerRow)
        at = std::min(at, static_cast<double>(form.rows()));
    }
    const bool counts_operand =
        cost.is_reduction || nodes[i] == form.anchor || is_stored_in_parts(node, form);
    for (ValueId operand : node.operands)
      ask(operand, counts_operand ? elements(operand) * cost.repeats : at);
    if (cost.is_reduction) at = elements(node.operands[0]);
    work += at * cost.element;
  }
  return work;
}

namespace {

/// Per score that is seen a product of the widths forward, and as many of each backward.
int64_t attention_flops(const Graph& graph, const Node& node) {
  const Shape& query = graph.type(node.operands[0]).shape;
  const Shape& key = graph.type(node.operands[1]).shape;
  const int64_t width = query.back();
  const int64_t value_width = graph.type(node.operands[2]).shape.back();
  const int64_t queries = query[query.rank() - 2];
  const int64_t keys = key[key.rank() - 2];
  int64_t seen = queries * keys;
  if (node.attrs.as<AttentionAttrs>().causal) {
    const int64_t square = std::min(queries, keys);
    seen = square * (square + 1) / 2 + (queries - square) * keys;
  }
  const int64_t heads = query.num_elements() / (queries * width);
  const bool forward = node.op == Op::kAttentionTiles;
  return 2 * heads * seen * (forward ? width + value_width : 3 * width + 2 * value_width);
}

}  // namespace

int64_t node_flops(const Graph& graph, const Node& node) {
  const auto count = [&](ValueId value) { return graph.type(value).num_elements(); };
  switch (def(node.op).lowering) {
    case Lowering::kScalar:
      return count(node.results[0]);
    case Lowering::kReduce:
      return count(node.operands[0]);
    case Lowering::kMatmul: {
      const Shape& a = graph.type(node.operands[0]).shape;
      const bool transposed = node.attrs.as<MatmulAttrs>().transpose_a;
      return 2 * count(node.results[0]) * a[a.rank() - (transposed ? 2 : 1)];
    }
    case Lowering::kConv: {
      // All three do the same multiplications: one per output pixel and filter element.
      const bool forward = node.op == Op::kConv;
      const ValueId filter = node.op == Op::kConvFilterGrad ? node.results[0] : node.operands[1];
      ValueId output = forward ? node.results[0] : node.operands[0];
      if (node.op == Op::kConvFilterGrad) output = node.operands[1];
      const int64_t pixels = count(output) / graph.type(output).shape.back();
      return 2 * pixels * count(filter);
    }
    case Lowering::kPool: {
      int64_t window = 1;
      for (int64_t d : node.attrs.as<PoolAttrs>().window)
        window *= d;
      int64_t pooled = count(node.results[0]);
      for (ValueId operand : node.operands)
        pooled = std::min(pooled, count(operand));
      return pooled * window;
    }
    case Lowering::kAttention:
      return attention_flops(graph, node);
    case Lowering::kGather:
      return node.op == Op::kScatterAdd ? count(node.operands.back()) : 0;
    case Lowering::kView:
    case Lowering::kSource:
    case Lowering::kStructure:
    case Lowering::kComposite:
      return 0;
  }
  GRADC_UNREACHABLE();
}

}  // namespace gradc
