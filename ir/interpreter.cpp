#include "ir/interpreter.h"

#include "ir/op.h"

#include <fmt/format.h>

#include <cmath>

namespace gradc {

namespace {

/// What a stored element of an integer or bool dtype can be: the part before the point, 0 or 1.
double to_element(double x, DType dtype) {
  if (dtype == DType::kBool) return x != 0.0 ? 1.0 : 0.0;
  return is_integer(dtype) ? std::trunc(x) : x;
}

void eval_elementwise(const OpDef& op, std::span<const Tensor* const> inputs, Tensor& out) {
  std::vector<double> x(inputs.size());
  for (int64_t i = 0; i < out.size(); ++i) {
    for (size_t j = 0; j < inputs.size(); ++j)
      x[j] = (*inputs[j])[i];
    out[i] = to_element(op.eval_scalar(x), out.type.dtype);
  }
}

class Interpreter {
 public:
  explicit Interpreter(const Graph& graph)
      : graph_(graph),
        order_(graph.nodes()),
        values_(graph.value_capacity()),
        last_use_(graph.value_capacity()) {}

  /// Returns the outputs; `args` are the values of graph.inputs().
  std::vector<Tensor> run(std::span<const Tensor* const> args,
                          std::vector<std::pair<std::string, Tensor>>* updates);

 private:
  void find_last_uses();
  const Tensor& read(ValueId id) const {
    return graph_.is_input(id) ? *args_[graph_.value(id).index] : values_[id.index];
  }
  void eval(NodeId id);
  void free_dead(const Node& node, NodeId id);

  const Graph& graph_;
  std::vector<NodeId> order_;
  std::span<const Tensor* const> args_;
  std::vector<Tensor> values_;    // by ValueId; results only
  std::vector<NodeId> last_use_;  // by ValueId; invalid: kept to the end, or never used
};

void Interpreter::find_last_uses() {
  for (NodeId id : order_) {
    for (ValueId operand : graph_.node(id).operands)
      last_use_[operand.index] = id;
  }
  for (const GraphOutput& output : graph_.outputs())
    last_use_[output.value.index] = NodeId();
}

void Interpreter::free_dead(const Node& node, NodeId id) {
  for (ValueId operand : node.operands) {
    if (last_use_[operand.index] == id) values_[operand.index] = Tensor();
  }
}

void Interpreter::eval(NodeId id) {
  const Node& node = graph_.node(id);
  std::vector<const Tensor*> operands;
  for (ValueId operand : node.operands)
    operands.push_back(&read(operand));
  std::vector<Tensor> results = interpret_node(graph_, id, operands);
  for (size_t i = 0; i < results.size(); ++i) {
    if (graph_.has_uses(node.results[i])) values_[node.results[i].index] = std::move(results[i]);
  }
}

std::vector<Tensor> Interpreter::run(std::span<const Tensor* const> args,
                                     std::vector<std::pair<std::string, Tensor>>* updates) {
  args_ = args;
  find_last_uses();
  for (NodeId id : order_) {
    const Node& node = graph_.node(id);
    if (node.op == Op::kUpdate) {
      GRADC_CHECK(updates != nullptr, "update in a body");
      updates->emplace_back(graph_.input_of(node.operands[0]).name, read(node.operands[1]));
    } else {
      eval(id);
    }
    free_dead(node, id);
  }
  std::vector<Tensor> outputs;
  for (const GraphOutput& output : graph_.outputs())
    outputs.push_back(read(output.value));
  return outputs;
}

}  // namespace

Result<InterpretResult> interpret(const Graph& graph, std::span<const Tensor> inputs) {
  if (inputs.size() != graph.inputs().size())
    return make_error(DiagKind::kShapeMismatch, {}, "{} inputs were given, @{} takes {}",
                      inputs.size(), graph.name(), graph.inputs().size());
  std::vector<const Tensor*> args;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const GraphInput& input = graph.inputs()[i];
    const TensorType& type = graph.type(input.value);
    if (inputs[i].type != type || inputs[i].size() != type.num_elements())
      return make_error(DiagKind::kShapeMismatch, {},
                        "input \"{}\" was given {} with {} elements, expected {}", input.name,
                        to_string(inputs[i].type), inputs[i].size(), to_string(type));
    args.push_back(&inputs[i]);
  }
  InterpretResult result;
  result.outputs = Interpreter(graph).run(args, &result.updates);
  return result;
}

std::vector<Tensor> interpret_node(const Graph& graph, NodeId id,
                                   std::span<const Tensor* const> operands) {
  const Node& node = graph.node(id);
  const OpDef& op = def(node.op);
  std::vector<Tensor> results;
  for (ValueId result : node.results)
    results.emplace_back(graph.type(result));
  if (op.eval_scalar != nullptr) {
    eval_elementwise(op, operands, results[0]);
  } else {
    GRADC_CHECK(op.eval != nullptr, "{} has no reference evaluation", op.name);
    op.eval({operands, results, node.attrs, node.body.get()});
  }
  return results;
}

std::vector<Tensor> interpret_body(const Graph& body, std::span<const Tensor* const> args) {
  return Interpreter(body).run(args, nullptr);
}

}  // namespace gradc
