#include "passes/pattern.h"

#include "ir/op_attrs.h"
#include "support/check.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace gradc {

std::optional<double> splat_value(const Graph& graph, ValueId value) {
  const NodeId node = def_with_op(graph, value, Op::kConstant);
  if (!node.valid()) return std::nullopt;
  const std::vector<double>& elements = *graph.node(node).attrs.as<ConstantAttrs>().value;
  const bool equal = std::all_of(elements.begin(), elements.end(),
                                 [&](double element) { return element == elements.front(); });
  return equal ? std::optional(elements.front()) : std::nullopt;
}

NodeId def_with_op(const Graph& graph, ValueId value, Op op) {
  const NodeId node = graph.def(value);
  return node.valid() && graph.node(node).op == op ? node : NodeId();
}

namespace {

bool is_finite_to_depth(const Graph& graph, ValueId value, int depth) {
  if (!is_float(graph.type(value).dtype)) return true;
  if (const auto number = splat_value(graph, value)) return std::isfinite(*number);
  const NodeId id = graph.def(value);
  if (!id.valid() || depth == 0) return false;
  const Node& node = graph.node(id);
  const auto finite = [&](size_t operand) {
    return is_finite_to_depth(graph, node.operands[operand], depth - 1);
  };
  const OpDef& entry = def(node.op);
  if (entry.has(kTraitRandom) || node.op == Op::kIota) return true;
  if (node.op == Op::kSelect) return finite(1) && finite(2);
  if (node.op == Op::kCast) {
    const DType from = graph.type(node.operands[0]).dtype;
    return !is_float(from);
  }
  const bool keeps = node.op == Op::kNeg || node.op == Op::kAbs || node.op == Op::kSign ||
                     node.op == Op::kRelu || node.op == Op::kTanh || node.op == Op::kSigmoid ||
                     node.op == Op::kErf || node.op == Op::kErfc || node.op == Op::kSin ||
                     node.op == Op::kCos || node.op == Op::kMax || node.op == Op::kMin ||
                     (entry.lowering == Lowering::kView);
  if (!keeps) return false;
  for (size_t i = 0; i < node.operands.size(); ++i) {
    if (!finite(i)) return false;
  }
  return true;
}

}  // namespace

bool is_surely_finite(const Graph& graph, ValueId value) {
  return is_finite_to_depth(graph, value, 6);
}

namespace pattern {

namespace {

Pattern leaf(Tree tree) {
  return std::make_shared<const Tree>(std::move(tree));
}

bool match(const Graph& graph, const Tree& tree, ValueId value, Match& found);

/// All operands in one order; `found` is changed only on success.
bool match_operands(const Graph& graph, const Tree& tree, std::span<const ValueId> operands,
                    Match& found) {
  Match attempt = found;
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!match(graph, *tree.operands[i], operands[i], attempt)) return false;
  }
  found = attempt;
  return true;
}

bool match_node(const Graph& graph, const Tree& tree, NodeId id, Match& found) {
  const Node& node = graph.node(id);
  if (node.op != tree.op || node.operands.size() != tree.operands.size()) return false;
  if (match_operands(graph, tree, node.operands, found)) return true;
  if (!def(node.op).has(kTraitCommutative)) return false;
  const std::array<ValueId, 2> swapped = {node.operands[1], node.operands[0]};
  return match_operands(graph, tree, swapped, found);
}

bool match(const Graph& graph, const Tree& tree, ValueId value, Match& found) {
  switch (tree.kind) {
    case Tree::Kind::kNumber:
      return splat_value(graph, value) == tree.number;
    case Tree::Kind::kSplat:
      if (!splat_value(graph, value)) return false;
      [[fallthrough]];
    case Tree::Kind::kAny: {
      Val& bound = found.values[tree.variable];
      if (bound.valid()) return bound.id() == value;
      bound = found.builder->wrap(value);
      return true;
    }
    case Tree::Kind::kOp: {
      const NodeId node = graph.def(value);
      return node.valid() && match_node(graph, tree, node, found);
    }
  }
  GRADC_UNREACHABLE();
}

/// Builds the right side of a rule; `type` is the result's.
Val build(const Tree& tree, const TensorType& type, const Match& found) {
  switch (tree.kind) {
    case Tree::Kind::kNumber:
      return found.builder->splat(tree.number, type);
    case Tree::Kind::kSplat:
    case Tree::Kind::kAny:
      return found.values[tree.variable];
    case Tree::Kind::kOp: {
      std::vector<Val> operands;
      for (const Pattern& operand : tree.operands)
        operands.push_back(build(*operand, type, found));
      return found.builder->add(tree.op, std::move(operands));
    }
  }
  GRADC_UNREACHABLE();
}

DType operand_dtype(Op op, size_t operand, DType result) {
  if (op == Op::kSelect && operand == 0) return DType::kBool;
  if (op == Op::kEqual || op == Op::kNotEqual) return DType::kF32;
  return result;
}

/// Builds the left side of a rule as an example: variables become inputs, a free constant is 4.
Val build_sample(const Tree& tree, DType dtype, Match& found) {
  const TensorType type{dtype, Shape{2, 3}};
  switch (tree.kind) {
    case Tree::Kind::kNumber:
      return found.builder->splat(tree.number, type);
    case Tree::Kind::kSplat:
    case Tree::Kind::kAny: {
      static constexpr std::array<std::string_view, kNumVariables> kNames = {"x", "y", "z", "c"};
      Val& bound = found.values[tree.variable];
      if (!bound.valid())
        bound =
            tree.kind == Tree::Kind::kSplat
                ? found.builder->splat(4.0, type)
                : found.builder->input(InputKind::kInput, type, std::string(kNames[tree.variable]),
                                       kNames[tree.variable]);
      return bound;
    }
    case Tree::Kind::kOp: {
      std::vector<Val> operands;
      for (size_t i = 0; i < tree.operands.size(); ++i)
        operands.push_back(
            build_sample(*tree.operands[i], operand_dtype(tree.op, i, dtype), found));
      return found.builder->add(tree.op, std::move(operands));
    }
  }
  GRADC_UNREACHABLE();
}

DType sample_dtype(Op root) {
  return root == Op::kAnd || root == Op::kOr || root == Op::kNot ? DType::kBool : DType::kF32;
}

Rule make_rule(std::string text, const Pattern& from, std::function<Val(const Match&, ValueId)> to,
               Condition condition, SampleFn sample) {
  const Op root = from->op;
  Rule result;
  result.text = std::move(text);
  result.roots = [root](const OpDef& entry) { return entry.op == root; };
  result.apply = [from, to = std::move(to), condition](Builder& builder, NodeId node) -> Val {
    Match found;
    found.builder = &builder;
    const Graph& graph = builder.graph();
    if (!match_node(graph, *from, node, found)) return {};
    if (condition != nullptr && !condition(found)) return {};
    return to(found, graph.node(node).results[0]);
  };
  result.sample = [from, sample](Builder& builder) -> Val {
    if (sample != nullptr) return sample(builder);
    Match found;
    found.builder = &builder;
    return build_sample(*from, sample_dtype(from->op), found);
  };
  return result;
}

}  // namespace

double Match::c_value() const {
  return *splat_value(c().builder().graph(), c().id());
}

Pattern any(size_t variable) {
  return leaf({.kind = Tree::Kind::kAny, .variable = variable, .operands = {}});
}
Pattern splat(size_t variable) {
  return leaf({.kind = Tree::Kind::kSplat, .variable = variable, .operands = {}});
}
Pattern number(double value) {
  return leaf({.kind = Tree::Kind::kNumber, .number = value, .operands = {}});
}
Pattern apply(Op op, std::vector<Pattern> operands) {
  return leaf({.kind = Tree::Kind::kOp, .op = op, .operands = std::move(operands)});
}

Rule rule(std::string text, Pattern from, Pattern to, Condition condition, SampleFn sample) {
  return make_rule(
      std::move(text), from,
      [to = std::move(to)](const Match& found, ValueId result) {
        const TensorType type = found.builder->graph().type(result);
        return build(*to, type, found);
      },
      condition, sample);
}

Rule rule(std::string text, Pattern from, Replacement to, Condition condition, SampleFn sample) {
  return make_rule(
      std::move(text), from, [to](const Match& found, ValueId) { return to(found); }, condition,
      sample);
}

}  // namespace pattern

}  // namespace gradc
