#include "ir/verifier.h"

#include "ir/op.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace gradc {

namespace {

class Verifier {
 public:
  Verifier(const Graph& graph, bool is_body, std::vector<VerifierError>& errors)
      : graph_(graph), is_body_(is_body), errors_(errors) {}

  void run();

 private:
  template <class... Args>
  void error(const TextLine& line, fmt::format_string<Args...> format, Args&&... args) {
    errors_.push_back(
        {&graph_, line, make_error(DiagKind::kIrInvalid, {}, format, std::forward<Args>(args)...)});
  }
  template <class... Args>
  void error(NodeId node, fmt::format_string<Args...> format, Args&&... args) {
    error(TextLine{TextLine::Kind::kNode, node, 0}, format, std::forward<Args>(args)...);
  }

  bool in_range(ValueId id) const { return id.valid() && id.index < graph_.value_capacity(); }
  std::string name(ValueId id) const { return graph_.value(id).name; }

  void check_name(const TextLine& line, ValueId id);
  void check_type(const TextLine& line, ValueId id);
  void check_inputs();
  void check_node(NodeId id);
  bool check_operands(NodeId id);
  bool check_results(NodeId id);
  bool check_args(NodeId id);
  bool check_body(NodeId id);
  void check_inference(NodeId id);
  void check_update(NodeId id);
  void check_phase(NodeId id);
  void check_outputs();
  void check_uses();

  const Graph& graph_;
  bool is_body_;
  std::vector<VerifierError>& errors_;
  std::vector<NodeId> order_;
  std::vector<char> defined_;       // by ValueId: an input or the result of a node so far
  std::vector<UseList> seen_uses_;  // by ValueId
  std::vector<char> updated_;       // by ValueId
  std::set<std::string_view> names_;
};

void Verifier::check_name(const TextLine& line, ValueId id) {
  if (graph_.value(id).name.empty()) {
    error(line, "a value has no name");
  } else if (!names_.insert(graph_.value(id).name).second) {
    error(line, "the name %{} is taken by another value", name(id));
  }
}

void Verifier::check_type(const TextLine& line, ValueId id) {
  const Shape& shape = graph_.type(id).shape;
  if (std::any_of(shape.begin(), shape.end(), [](int64_t extent) { return extent < 1; }))
    error(line, "%{} has type {}, extents must be at least 1", name(id),
          to_string(graph_.type(id)));
}

void Verifier::check_inputs() {
  std::set<std::string_view> external;
  for (size_t i = 0; i < graph_.inputs().size(); ++i) {
    const GraphInput& input = graph_.inputs()[i];
    const TextLine line{TextLine::Kind::kInput, {}, i};
    if (!in_range(input.value) || graph_.def(input.value).valid() ||
        graph_.value(input.value).index != i) {
      error(line, "input {} does not name its own value", i);
      continue;
    }
    defined_[input.value.index] = 1;
    check_name(line, input.value);
    check_type(line, input.value);
    const bool is_arg = input.kind == InputKind::kArg;
    if (is_body_ && !is_arg)
      error(line, "%{} is an {} of a body, which takes only arg", name(input.value),
            input_kind_name(input.kind));
    if (!input.name.empty() && !external.insert(input.name).second)
      error(line, "two inputs are named \"{}\"", input.name);
    const bool keeps_value = input.kind == InputKind::kParam || input.kind == InputKind::kState;
    if (!keeps_value && !(input.init == InitSpec{}))
      error(line, "%{} is an {}, only param and state have an initializer", name(input.value),
            input_kind_name(input.kind));
  }
}

bool Verifier::check_operands(NodeId id) {
  const Node& node = graph_.node(id);
  bool valid = true;
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const ValueId operand = node.operands[i];
    if (!in_range(operand)) {
      error(id, "operand {} is no value of the graph", i);
      valid = false;
      continue;
    }
    seen_uses_[operand.index].push_back({id, static_cast<uint32_t>(i)});
    if (defined_[operand.index] != 0) continue;
    const NodeId def = graph_.def(operand);
    if (!def.valid()) {
      error(id, "%{} is an input that was removed", name(operand));
    } else if (graph_.node(def).erased) {
      error(id, "%{} is the result of a node that was erased", name(operand));
    } else {
      error(id, "%{} is used before it is defined", name(operand));
    }
    valid = false;
  }
  return valid;
}

bool Verifier::check_results(NodeId id) {
  const Node& node = graph_.node(id);
  bool valid = true;
  for (size_t i = 0; i < node.results.size(); ++i) {
    const ValueId result = node.results[i];
    if (!in_range(result) || graph_.def(result) != id || graph_.value(result).index != i) {
      error(id, "result {} does not name its own value", i);
      valid = false;
      continue;
    }
    defined_[result.index] = 1;
    const TextLine line{TextLine::Kind::kNode, id, 0};
    check_name(line, result);
    check_type(line, result);
  }
  return valid;
}

bool Verifier::check_args(NodeId id) {
  const Node& node = graph_.node(id);
  const Graph& body = *node.body;
  std::vector<TensorType> operand_types;
  for (ValueId operand : node.operands)
    operand_types.push_back(graph_.type(operand));
  const Result<Types> given = body_arg_types(node.op, operand_types, node.attrs);
  if (!given.ok()) {
    for (Diagnostic diagnostic : given.diagnostics())
      errors_.push_back({&graph_, {TextLine::Kind::kNode, id, 0}, std::move(diagnostic)});
    return false;
  }
  bool valid = true;
  for (size_t i = 0; i < std::min(given->size(), body.inputs().size()); ++i) {
    const TensorType& taken = body.type(body.inputs()[i].value);
    if ((*given)[i] == taken) continue;
    error(id, "%{} gives the body {}, its %{} has type {}", name(node.operands[i]),
          to_string((*given)[i]), body.value(body.inputs()[i].value).name, to_string(taken));
    valid = false;
  }
  return valid;
}

/// A body is a graph of its own with an arg for each operand, of the type that the op gives it.
bool Verifier::check_body(NodeId id) {
  const Node& node = graph_.node(id);
  const bool wants_body = def(node.op).body != nullptr;
  if (!node.body) {
    if (wants_body) error(id, "{} has no body", op_name(node.op));
    return !wants_body;
  }
  if (!wants_body) {
    error(id, "{} has a body", op_name(node.op));
    return false;
  }
  const Graph& body = *node.body;
  bool valid = true;
  if (body.inputs().size() != node.operands.size()) {
    error(id, "{} operands for a body of {} args", node.operands.size(), body.inputs().size());
    valid = false;
  }
  valid = check_args(id) && valid;
  const size_t errors_before = errors_.size();
  Verifier(body, /*is_body=*/true, errors_).run();
  return valid && errors_.size() == errors_before;
}

void Verifier::check_inference(NodeId id) {
  const Node& node = graph_.node(id);
  std::vector<TensorType> operand_types;
  for (ValueId operand : node.operands)
    operand_types.push_back(graph_.type(operand));
  const Result<Types> inferred = infer_types(node.op, operand_types, node.attrs, node.body.get());
  if (!inferred.ok()) {
    for (Diagnostic diagnostic : inferred.diagnostics())
      errors_.push_back({&graph_, {TextLine::Kind::kNode, id, 0}, std::move(diagnostic)});
    return;
  }
  if (inferred->size() != node.results.size()) {
    error(id, "{} has {} results, its operands give {}", op_name(node.op), node.results.size(),
          inferred->size());
    return;
  }
  for (size_t i = 0; i < inferred->size(); ++i) {
    const ValueId result = node.results[i];
    if (graph_.type(result) == (*inferred)[i]) continue;
    error(id, "%{} has type {}, the operands of {} give {}", name(result),
          to_string(graph_.type(result)), op_name(node.op), to_string((*inferred)[i]));
  }
}

void Verifier::check_update(NodeId id) {
  const Node& node = graph_.node(id);
  if (is_body_) return error(id, "update in a body");
  if (node.phase != Phase::kUpdate)
    error(id, "update in the {} phase, updates belong to the update phase", phase_name(node.phase));
  if (node.operands.size() != 2) return;  // reported by inference
  const ValueId target = node.operands[0];
  const bool is_kept =
      graph_.is_input(target) && (graph_.input_of(target).kind == InputKind::kParam ||
                                  graph_.input_of(target).kind == InputKind::kState);
  if (!is_kept) return error(id, "update of %{}, which is no param or state", name(target));
  if (updated_[target.index] != 0) error(id, "%{} is updated twice", name(target));
  updated_[target.index] = 1;
}

/// Earlier phases know nothing of later ones. A kernel may hold nodes of several phases.
void Verifier::check_phase(NodeId id) {
  const Node& node = graph_.node(id);
  if (is_body_ || node.op == Op::kKernel) return;
  for (ValueId operand : node.operands) {
    const NodeId def = graph_.def(operand);
    if (!def.valid() || graph_.node(def).op == Op::kKernel) continue;
    if (graph_.node(def).phase > node.phase)
      error(id, "a {} node reads %{} of the {} phase", phase_name(node.phase), name(operand),
            phase_name(graph_.node(def).phase));
  }
}

void Verifier::check_node(NodeId id) {
  const Node& node = graph_.node(id);
  if (static_cast<int>(node.op) >= kNumOps) return error(id, "the op is not in the op table");
  if (node.erased) return error(id, "an erased node is in the order");
  const bool operands_valid = check_operands(id);
  const bool body_valid = operands_valid && check_body(id);
  if (check_results(id) && body_valid) check_inference(id);
  if (!operands_valid) return;
  check_phase(id);
  if (node.op == Op::kUpdate) check_update(id);
}

void Verifier::check_outputs() {
  const TextLine line{TextLine::Kind::kOutputs, {}, 0};
  std::set<std::string_view> external;
  for (size_t i = 0; i < graph_.outputs().size(); ++i) {
    const GraphOutput& output = graph_.outputs()[i];
    if (!in_range(output.value) || defined_[output.value.index] == 0) {
      error(line, "output {} is not defined in the graph", i);
      continue;
    }
    if (!output.name.empty() && !external.insert(output.name).second)
      error(line, "two outputs are named \"{}\"", output.name);
  }
  if (is_body_ && graph_.outputs().empty()) error(line, "a body yields nothing");
}

/// The use-lists as recomputed from the operands, in any order.
void Verifier::check_uses() {
  const auto before = [](const Use& a, const Use& b) {
    return std::pair(a.node, a.operand) < std::pair(b.node, b.operand);
  };
  for (size_t i = 0; i < graph_.value_capacity(); ++i) {
    const ValueId id(i);
    UseList kept = graph_.value(id).uses;
    UseList& seen = seen_uses_[i];
    std::sort(kept.begin(), kept.end(), before);
    std::sort(seen.begin(), seen.end(), before);
    if (kept == seen) continue;
    const NodeId def = graph_.def(id);
    const bool has_line = def.valid() && !graph_.node(def).erased;
    error(has_line ? TextLine{TextLine::Kind::kNode, def, 0} : TextLine{},
          "the use-list of %{} has {} uses, the graph has {} and they differ", name(id),
          kept.size(), seen.size());
  }
}

void Verifier::run() {
  order_ = graph_.nodes();
  defined_.resize(graph_.value_capacity());
  updated_.resize(graph_.value_capacity());
  seen_uses_.resize(graph_.value_capacity());
  check_inputs();
  for (NodeId id : order_)
    check_node(id);
  check_outputs();
  check_uses();
}

}  // namespace

std::vector<VerifierError> find_violations(const Graph& graph) {
  std::vector<VerifierError> errors;
  Verifier(graph, /*is_body=*/false, errors).run();
  return errors;
}

std::vector<Diagnostic> verify(const Graph& graph) {
  std::vector<Diagnostic> diagnostics;
  for (VerifierError& error : find_violations(graph))
    diagnostics.push_back(std::move(error.diagnostic));
  return diagnostics;
}

std::string print_violations(const Graph& graph, const std::vector<VerifierError>& errors) {
  PrintOptions options;
  options.max_dense = 16;
  options.below = [&](const Graph& part, const TextLine& line) {
    std::vector<std::string> lines;
    for (const VerifierError& error : errors) {
      if (error.graph == &part && error.line == line)
        lines.push_back("^~~~~ error: " + error.diagnostic.message);
    }
    return lines;
  };
  return fmt::format("{}{} error{} in the graph\n", print_graph(graph, options), errors.size(),
                     errors.size() == 1 ? "" : "s");
}

}  // namespace gradc
