// constant_fold - evaluates ops whose operands are constants, by the reference evaluation in
// double, rounded as ir/element.h says: casts and short floats op by op, f32 once, where it is
// used. Ops on splats give splats and never grow a constant; other results are folded up to a size
// limit, since they become data of the compiled program. What leaves the range of an integer type
// is left to compiled code.
#include "ir/builder.h"
#include "ir/contraction_types.h"
#include "ir/element.h"
#include "ir/op_attrs.h"
#include "ir/replacement.h"
#include "ir/tensor.h"
#include "passes/passes.h"
#include "passes/pattern.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace gradc::passes {

namespace {

/// Larger results are left to the compiled program.
constexpr int64_t kMaxElements = 4096;

bool may_fold(const Graph& graph, const Node& node) {
  const OpDef& entry = def(node.op);
  if (node.op == Op::kConstant || node.operands.empty() || node.body != nullptr) return false;
  if (entry.has(kTraitEffect) || entry.has(kTraitRandom)) return false;
  if (entry.eval == nullptr && entry.eval_scalar == nullptr) return false;
  return std::all_of(node.operands.begin(), node.operands.end(), [&](ValueId operand) {
    return def_with_op(graph, operand, Op::kConstant).valid();
  });
}

/// What an operand or result counts as: f32 keeps the bits of the double where f32 is as close as
/// that, but is infinite or subnormal where it has to be.
double counted(double x, DType dtype) {
  if (dtype != DType::kF32) return as_constant(x, dtype);
  const double rounded = as_element(x, dtype);
  return std::isfinite(rounded) && std::fabs(rounded) >= 0x1p-126 ? x : rounded;
}

/// Ops whose result jumps: the last bits of an operand may decide.
bool jumps(const Graph& graph, const Node& node) {
  const ScalarOp op = def(node.op).scalar;
  return !is_float(graph.type(node.results[0]).dtype) || op == ScalarOp::kCast ||
         op == ScalarOp::kFloor || op == ScalarOp::kCeil || op == ScalarOp::kRound ||
         op == ScalarOp::kSign;
}

/// Rounds the operands as the op itself does: a contraction to the type that it multiplies in; to
/// their own types where it matters.
void round_operands(const Graph& graph, const Node& node, std::vector<Tensor>& operands) {
  const Lowering lowering = def(node.op).lowering;
  const bool contracts = lowering == Lowering::kMatmul || lowering == Lowering::kConv;
  for (Tensor& operand : operands) {
    const DType own = operand.type.dtype;
    const DType dtype = contracts ? contraction_types(graph, node).multiply : own;
    const bool rounds = contracts ? dtype != own : jumps(graph, node);
    for (double& x : operand.data)
      x = rounds ? as_element(x, dtype) : counted(x, own);
  }
}

/// The results in double of operands that are constants. `outputs` have their types.
void evaluate(const Graph& graph, const Node& node, std::vector<Tensor> operands,
              std::vector<Tensor>& outputs) {
  round_operands(graph, node, operands);
  const OpDef& entry = def(node.op);
  if (entry.eval_scalar != nullptr) {
    std::vector<double> x(operands.size());
    for (int64_t i = 0; i < outputs[0].size(); ++i) {
      for (size_t j = 0; j < operands.size(); ++j)
        x[j] = operands[j][i];
      outputs[0][i] = entry.eval_scalar(x);
    }
    if (is_integer(outputs[0].type.dtype)) {
      for (double& y : outputs[0].data)
        y = std::trunc(y);  // of a division
    }
    return;
  }
  std::vector<const Tensor*> arguments;
  for (const Tensor& operand : operands)
    arguments.push_back(&operand);
  entry.eval({arguments, outputs, node.attrs, nullptr});
}

/// Every operand a splat: an elementwise op computes one element, a view keeps it.
std::optional<double> fold_to_splat(const Graph& graph, const Node& node) {
  const OpDef& entry = def(node.op);
  if (node.results.size() != 1) return std::nullopt;
  std::vector<double> elements;
  std::vector<Tensor> scalars;
  const Shape scalar;
  for (ValueId operand : node.operands) {
    const auto value = splat_value(graph, operand);
    if (!value) return std::nullopt;
    elements.push_back(*value);
    scalars.emplace_back(graph.type(operand).with(scalar), std::vector<double>{*value});
  }
  if (entry.has(kTraitElementwise)) {
    std::vector<Tensor> result = {Tensor(graph.type(node.results[0]).with(scalar))};
    evaluate(graph, node, std::move(scalars), result);
    return result[0][0];
  }
  const bool same = std::all_of(elements.begin(), elements.end(),
                                [&](double element) { return element == elements.front(); });
  const DType dtype = graph.type(node.results[0]).dtype;
  if (entry.lowering == Lowering::kView && same &&
      (node.op != Op::kPad ||
       as_constant(node.attrs.as<PadAttrs>().value, dtype) == elements.front()))
    return elements.front();
  return std::nullopt;
}

Tensor constant_tensor(const Graph& graph, ValueId value) {
  const auto& attrs = graph.node(graph.def(value)).attrs.as<ConstantAttrs>();
  Tensor tensor(graph.type(value));
  for (size_t i = 0; i < tensor.data.size(); ++i)
    tensor.data[i] = attrs.value->size() == 1 ? attrs.value->front() : (*attrs.value)[i];
  return tensor;
}

bool is_small(const Graph& graph, const Node& node) {
  int64_t elements = 0;
  for (ValueId operand : node.operands)
    elements = std::max(elements, graph.type(operand).num_elements());
  for (ValueId result : node.results)
    elements = std::max(elements, graph.type(result).num_elements());
  return elements <= kMaxElements;
}

std::vector<Tensor> operands_of(const Graph& graph, const Node& node) {
  std::vector<Tensor> operands;
  for (ValueId operand : node.operands)
    operands.push_back(constant_tensor(graph, operand));
  return operands;
}

/// Rounds floats to the type. An integer that the type cannot hold, or that a double need not hold
/// exactly, is no number of it.
bool to_elements(std::vector<double>& elements, DType dtype, bool is_cast) {
  if (!is_float(dtype))
    return std::ranges::all_of(elements, [&](double x) { return is_element(x, dtype); });
  for (double& x : elements)
    x = is_cast ? as_element(x, dtype) : counted(x, dtype);
  return true;
}

/// A constant holds one element when all are equal.
std::vector<double> compact(std::vector<double> elements) {
  const bool same = std::all_of(elements.begin(), elements.end(),
                                [&](double element) { return element == elements.front(); });
  if (same) elements.resize(1);
  return elements;
}

void replace_by_constants(Graph& graph, NodeId id, std::vector<std::vector<double>> elements) {
  const Node node = graph.node(id);
  Builder builder(graph);
  builder.set_insertion_point(id);
  builder.set_phase(node.phase);
  builder.set_location(node.loc);
  Replacement replacement(graph, id);
  for (size_t i = 0; i < node.results.size(); ++i) {
    const ValueId old = node.results[i];
    const Val value = builder.constant(graph.type(old), std::move(elements[i]));
    replacement.put(old, value.id());
  }
  replacement.finish();
}

/// The elements of each result; nothing if the node is not to be folded.
std::optional<std::vector<std::vector<double>>> folded(const Graph& graph, const Node& node) {
  std::vector<std::vector<double>> results;
  if (const auto splat = fold_to_splat(graph, node)) {
    results.push_back({*splat});
  } else if (is_small(graph, node)) {
    std::vector<Tensor> outputs;
    for (ValueId result : node.results)
      outputs.emplace_back(graph.type(result));
    evaluate(graph, node, operands_of(graph, node), outputs);
    for (Tensor& output : outputs)
      results.push_back(std::move(output.data));
  } else {
    return std::nullopt;
  }
  for (size_t i = 0; i < results.size(); ++i) {
    if (!to_elements(results[i], graph.type(node.results[i]).dtype, node.op == Op::kCast))
      return std::nullopt;
    results[i] = compact(std::move(results[i]));
  }
  return results;
}

}  // namespace

Result<bool> constant_fold(Graph& graph, PassContext& context) {
  bool changed = false;
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (!may_fold(graph, node)) continue;
    auto elements = folded(graph, node);
    if (!elements || !context.may_rewrite()) continue;
    replace_by_constants(graph, id, std::move(*elements));
    context.count("nodes folded");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
