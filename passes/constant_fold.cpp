// constant_fold - evaluates ops whose operands are constants, by the reference evaluation in
// double. Ops on splats give splats and never grow a constant; other results are folded up to a
// size limit, since they become data of the compiled program.
#include "ir/builder.h"
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

double to_element(double x, DType dtype) {
  if (dtype == DType::kBool) return x != 0.0 ? 1.0 : 0.0;
  return is_integer(dtype) ? std::trunc(x) : x;
}

bool may_fold(const Graph& graph, const Node& node) {
  const OpDef& entry = def(node.op);
  if (node.op == Op::kConstant || node.operands.empty() || node.body != nullptr) return false;
  if (entry.has(kTraitEffect) || entry.has(kTraitRandom)) return false;
  return std::all_of(node.operands.begin(), node.operands.end(), [&](ValueId operand) {
    return def_with_op(graph, operand, Op::kConstant).valid();
  });
}

/// Every operand a splat: an elementwise op computes one element, a view keeps it.
std::optional<double> fold_to_splat(const Graph& graph, const Node& node) {
  const OpDef& entry = def(node.op);
  if (node.results.size() != 1) return std::nullopt;
  std::vector<double> elements;
  for (ValueId operand : node.operands) {
    const auto value = splat_value(graph, operand);
    if (!value) return std::nullopt;
    elements.push_back(*value);
  }
  const TensorType& type = graph.type(node.results[0]);
  if (entry.has(kTraitElementwise) && entry.eval_scalar != nullptr)
    return to_element(entry.eval_scalar(elements), type.dtype);
  const bool same = std::all_of(elements.begin(), elements.end(),
                                [&](double element) { return element == elements.front(); });
  if (entry.lowering == Lowering::kView && same &&
      (node.op != Op::kPad || node.attrs.as<PadAttrs>().value == elements.front()))
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

std::vector<Tensor> evaluate(const Graph& graph, const Node& node) {
  std::vector<Tensor> inputs, outputs;
  for (ValueId operand : node.operands)
    inputs.push_back(constant_tensor(graph, operand));
  for (ValueId result : node.results)
    outputs.emplace_back(graph.type(result));
  const OpDef& entry = def(node.op);
  if (entry.eval_scalar != nullptr) {
    std::vector<double> x(inputs.size());
    for (int64_t i = 0; i < outputs[0].size(); ++i) {
      for (size_t j = 0; j < inputs.size(); ++j)
        x[j] = inputs[j][i];
      outputs[0][i] = to_element(entry.eval_scalar(x), outputs[0].type.dtype);
    }
    return outputs;
  }
  std::vector<const Tensor*> arguments;
  for (const Tensor& input : inputs)
    arguments.push_back(&input);
  entry.eval({arguments, outputs, node.attrs, nullptr});
  return outputs;
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

}  // namespace

Result<bool> constant_fold(Graph& graph, PassContext& context) {
  bool changed = false;
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (!may_fold(graph, node)) continue;
    std::vector<std::vector<double>> elements;
    if (const auto splat = fold_to_splat(graph, node)) {
      elements.push_back({*splat});
    } else if (is_small(graph, node) &&
               (def(node.op).eval != nullptr || def(node.op).eval_scalar != nullptr)) {
      for (Tensor& result : evaluate(graph, node))
        elements.push_back(compact(std::move(result.data)));
    } else {
      continue;
    }
    if (!context.may_rewrite()) continue;
    replace_by_constants(graph, id, std::move(elements));
    context.count("nodes folded");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
