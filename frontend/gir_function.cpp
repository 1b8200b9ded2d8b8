#include "frontend/gir_function.h"

#include "ir/parser.h"
#include "support/source_file.h"

namespace gradc {

Result<Function> instantiate(const Options& options, std::vector<TensorType> inputs) {
  const SourceFile& file = options.file(kFunctionFile.name);
  ExtentNames names{options.named_ints(kFunctionSizes.name), std::move(inputs)};
  return parse_graph(file.text(), file.path(), names);
}

std::vector<std::string> unused_sizes(const Options& options,
                                      const std::vector<TensorType>& inputs) {
  const SourceFile& file = options.file(kFunctionFile.name);
  const NamedInts& sizes = options.named_ints(kFunctionSizes.name);
  std::vector<std::string> unused;
  for (const auto& [name, value] : sizes) {
    ExtentNames others{sizes, inputs};
    others.values.erase(name);
    if (parse_graph(file.text(), file.path(), others).ok() && !others.values.contains(name))
      unused.push_back(name);
  }
  return unused;
}

bool is_usable(const Node& node) {
  const OpDef& op = def(node.op);
  return !op.has(kTraitEffect) && !op.has(kTraitRandom) && (!op.body || !op.body->sealed);
}

Ints without_batch(const Shape& shape) {
  return {shape.begin() + 1, shape.end()};
}

bool follows_batch(const TensorType& type, const TensorType& larger, int64_t batch) {
  return type.rank() > 0 && larger.rank() == type.rank() && type.shape[0] == batch &&
         larger.shape[0] == batch + 1 && without_batch(type.shape) == without_batch(larger.shape);
}

std::vector<RowPlace> rows_in(const Graph& larger, const Graph& graph) {
  std::vector<RowPlace> inputs;
  int64_t rows = 2;
  for (const GraphInput& input : larger.inputs()) {
    const Shape& shape = larger.type(input.value).shape;
    const bool given = input.kind == InputKind::kInput && shape.rank() > 0;
    if (given) rows = shape[0];
    inputs.push_back(given ? leading_rows(shape) : RowPlace());
  }
  return find_rows(larger, rows, inputs, &graph);
}

std::unordered_map<uint32_t, Val> copy_function(
    const Graph& function, Builder& builder, const std::function<Val(const GraphInput&)>& input) {
  std::unordered_map<uint32_t, Val> made;
  for (const GraphInput& one : function.inputs())
    made[one.value.index] = input(one);
  for (const NodeId id : function.nodes()) {
    const Node& node = function.node(id);
    if (node.op == Op::kUpdate) continue;
    std::vector<Val> operands;
    for (const ValueId operand : node.operands)
      operands.push_back(made.at(operand.index));
    const std::vector<Val> results = builder.add_multi(node.op, std::move(operands), node.attrs, {},
                                                       node.body ? node.body->clone() : nullptr);
    for (size_t i = 0; i < results.size(); ++i) {
      builder.graph().set_name_hint(results[i].id(), function.value(node.results[i]).name);
      made[node.results[i].index] = results[i];
    }
  }
  return made;
}

}  // namespace gradc
