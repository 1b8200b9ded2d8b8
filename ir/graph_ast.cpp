// From the parsed text to a Graph. Nodes are built in an order in which operands come first and
// then put into the order of the text, so that the verifier is what reports a use before its
// definition.
#include "ir/graph_ast.h"

#include "ir/element.h"
#include "ir/op.h"
#include "ir/verifier.h"
#include "support/suggest.h"

#include <algorithm>
#include <array>
#include <functional>
#include <queue>
#include <unordered_map>

namespace gradc {

namespace {

/// Where the lines of one graph stand in the text.
struct GraphRanges {
  TextRange graph;
  TextRange outputs;
  std::vector<TextRange> inputs;
  std::vector<TextRange> nodes;  // by NodeId
};
using RangeMap = std::unordered_map<const Graph*, GraphRanges>;

struct Context {
  const std::string& file_name;
  DiagnosticSink& sink;
  RangeMap ranges;

  Place place(TextRange range) const {
    return {file_name, {}, false, range.begin, std::max(range.end, range.begin + 1)};
  }
  template <class... Args>
  Diagnostic& error(TextRange range, fmt::format_string<Args...> format, Args&&... args) {
    return sink.error(DiagKind::kIrInvalid, place(range), format, std::forward<Args>(args)...);
  }
};

class GraphAssembler {
 public:
  GraphAssembler(const AstGraph& ast, Context& context)
      : ast_(ast),
        context_(context),
        graph_(std::make_shared<Graph>(ast.name)),
        ranges_(context.ranges[graph_.get()]) {
    ranges_.graph = ast.range;
    ranges_.outputs = ast.has_outputs ? ast.outputs_range : ast.range;
  }

  std::shared_ptr<Graph> run(const AstNode* outer, std::span<const TensorType> arg_types);

 private:
  struct Definition {
    std::optional<ValueId> value;  // none: not built yet, or it could not be
    std::optional<size_t> node;    // index in ast_.nodes
    TextRange range;
  };

  bool define(const AstName& name, Definition definition);
  void add_inputs();
  void add_args(const AstNode& outer, std::span<const TensorType> arg_types);
  void add_nodes();
  void count_operands();
  void add_node(size_t index);
  std::optional<std::vector<ValueId>> find_operands(const AstNode& node);
  std::optional<AttrRef> make_node_attrs(const AstNode& node, const OpDef& op);
  std::optional<Types> result_types(const AstNode& node, const OpDef& op,
                                    std::span<const ValueId> operands, const AttrRef& attrs,
                                    const Graph* body);
  std::optional<Types> arg_types(const AstNode& node, const OpDef& op,
                                 std::span<const ValueId> operands,
                                 const std::optional<AttrRef>& attrs);
  void add_outputs();
  void report_undefined(const AstName& name);
  void report_unknown_op(const AstName& name);

  const AstGraph& ast_;
  Context& context_;
  std::shared_ptr<Graph> graph_;
  GraphRanges& ranges_;
  std::unordered_map<std::string, Definition> names_;
  std::optional<NameIndex> known_;          // the same, once a wrong one is met
  std::vector<size_t> missing_;             // per node: operand slots not built yet
  std::vector<std::vector<size_t>> users_;  // per node: a user for each such slot
  std::vector<NodeId> built_;               // per node of the text
};

bool GraphAssembler::define(const AstName& name, Definition definition) {
  definition.range = name.range;
  const auto [it, inserted] = names_.emplace(name.text, definition);
  if (!inserted) {
    context_.error(name.range, "%{} is defined twice", name.text)
        .with_note("the first definition is here", context_.place(it->second.range));
  }
  return inserted;
}

void GraphAssembler::add_inputs() {
  for (const AstInput& input : ast_.inputs) {
    if (!define(input.value, {})) continue;
    names_[input.value.text].value =
        graph_->add_input(input.kind, input.type.type, input.name.value_or(""), input.value.text,
                          input.init, graph_->add_location(input.location));
    ranges_.inputs.push_back({input.value.range.begin, input.type.range.end});
  }
}

void GraphAssembler::add_args(const AstNode& outer, std::span<const TensorType> arg_types) {
  for (size_t i = 0; i < arg_types.size(); ++i) {
    const AstName& name = outer.operands[i].arg;
    if (!define(name, {})) continue;
    names_[name.text].value =
        graph_->add_input(InputKind::kArg, arg_types[i], {}, name.text, {}, {});
    ranges_.inputs.push_back(name.range);
  }
}

void GraphAssembler::report_undefined(const AstName& name) {
  if (!known_) {  // all values are defined before the first operand is looked up
    std::vector<std::string> known;
    for (const auto& [other, definition] : names_)
      known.push_back("%" + other);
    std::sort(known.begin(), known.end());
    known_.emplace(std::move(known));
  }
  const std::optional<std::string> nearest = known_->nearest("%" + name.text);
  Diagnostic& error = context_.error(name.range, "%{} is not defined", name.text);
  if (nearest) error.with_help(fmt::format("did you mean {}?", *nearest));
}

void GraphAssembler::report_unknown_op(const AstName& name) {
  static const NameIndex known = [] {
    std::vector<std::string> names;
    for (const OpDef* op : all_ops())
      names.emplace_back(op->name);
    return NameIndex(std::move(names));
  }();
  Diagnostic& error = context_.error(name.range, "unknown op \"{}\"", name.text);
  if (const auto nearest = known.nearest(name.text))
    error.with_help(fmt::format("did you mean \"{}\"?", *nearest));
}

/// The operands' values; nothing when one is not defined (reported here) or could not be built.
std::optional<std::vector<ValueId>> GraphAssembler::find_operands(const AstNode& node) {
  std::vector<ValueId> operands;
  for (const AstOperand& operand : node.operands) {
    const auto it = names_.find(operand.value.text);
    if (it == names_.end()) {
      report_undefined(operand.value);
    } else if (it->second.value) {
      operands.push_back(*it->second.value);
    }
  }
  if (operands.size() != node.operands.size()) return std::nullopt;
  return operands;
}

std::optional<AttrRef> GraphAssembler::make_node_attrs(const AstNode& node, const OpDef& op) {
  std::vector<NamedAttr> fields;
  if (node.label) fields.emplace_back("label", *node.label);
  std::vector<NamedAttr> written;
  bool well_formed = true;
  for (const AstAttr& attr : node.attrs) {
    const auto same = [&](const NamedAttr& other) { return other.first == attr.attr.first; };
    // Beside those before it: which attributes there are can depend on one of them.
    written.push_back(attr.attr);
    if (op.attrs == nullptr) {
      context_.error(attr.range, "{} has no attributes", op.name);
      well_formed = false;
    } else if (const auto* whole = std::get_if<int64_t>(&attr.attr.second);
               op.op == Op::kConstant && whole != nullptr && !fits_double(*whole)) {
      context_.error(attr.range, "a constant cannot hold {}: integers go up to 2^53", *whole);
      well_formed = false;
    } else if (const auto read = op.attrs->from_fields(written); !read.ok()) {
      context_.error(attr.range, "{}: {}", op.name, read.message());
      well_formed = false;
      written.pop_back();
    } else if (std::any_of(fields.begin(), fields.end(), same)) {
      context_.error(attr.range, "attribute \"{}\" is given twice", attr.attr.first);
      well_formed = false;
    }
    fields.push_back(attr.attr);
  }
  if (op.attrs == nullptr && node.label) {
    context_.error(node.op.range, "{} has no label", op.name);
    well_formed = false;
  }
  if (!well_formed) return std::nullopt;
  if (op.attrs == nullptr) return AttrRef();
  if (op.attrs->names_result_type && node.types.size() == 1) {
    const TensorType& type = node.types[0].type;
    const std::array<NamedAttr, 2> implied = {NamedAttr{"dtype", type.dtype},
                                              NamedAttr{"shape", type.shape.to_vector()}};
    for (const NamedAttr& attr : implied) {
      const auto same = [&](const NamedAttr& other) { return other.first == attr.first; };
      if (op.attrs->from_fields({&attr, 1}).ok() &&
          std::none_of(fields.begin(), fields.end(), same))
        fields.push_back(attr);
    }
  }
  auto data = op.attrs->from_fields(fields);
  if (!data.ok()) {
    context_.error(node.op.range, "{}: {}", op.name, data.message());
    return std::nullopt;
  }
  return AttrRef(data.take(), op.attrs);
}

/// The written types, or where none are written the inferred ones.
std::optional<Types> GraphAssembler::result_types(const AstNode& node, const OpDef& op,
                                                  std::span<const ValueId> operands,
                                                  const AttrRef& attrs, const Graph* body) {
  Types types;
  if (!node.types.empty() || node.results.empty()) {
    for (const AstType& type : node.types)
      types.push_back(type.type);
  } else {
    std::vector<TensorType> operand_types;
    for (ValueId operand : operands)
      operand_types.push_back(graph_->type(operand));
    Result<Types> inferred = infer_types(op.op, operand_types, attrs, body);
    if (!inferred.ok()) {
      context_.error(node.range, "{}", inferred.message());
      return std::nullopt;
    }
    types = inferred.take();
  }
  if (types.size() == node.results.size()) return types;
  context_.error(node.range, "{} named results for {} types", node.results.size(), types.size());
  return std::nullopt;
}

/// Of a body: what the op makes of the operands. A body where none belongs is left to the verifier.
std::optional<Types> GraphAssembler::arg_types(const AstNode& node, const OpDef& op,
                                               std::span<const ValueId> operands,
                                               const std::optional<AttrRef>& attrs) {
  Types types;
  for (ValueId operand : operands)
    types.push_back(graph_->type(operand));
  if (op.body == nullptr) return types;
  if (!attrs) return std::nullopt;  // reported
  Result<Types> args = body_arg_types(op.op, types, *attrs);
  if (args.ok()) return args.take();
  context_.error(node.range, "{}", args.message());
  return std::nullopt;
}

void GraphAssembler::add_node(size_t index) {
  const AstNode& node = ast_.nodes[index];
  const OpDef* op = find_op(node.op.text);
  if (op == nullptr) report_unknown_op(node.op);
  const std::optional<std::vector<ValueId>> operands = find_operands(node);
  if (op == nullptr || !operands) return;
  const std::optional<AttrRef> attrs = make_node_attrs(node, *op);
  std::shared_ptr<Graph> body;
  if (node.body) {
    const std::optional<Types> types = arg_types(node, *op, *operands, attrs);
    if (types) body = GraphAssembler(*node.body, context_).run(&node, *types);
  }
  if (!attrs || (node.body && !body)) return;
  const std::optional<Types> types = result_types(node, *op, *operands, *attrs, body.get());
  if (!types) return;
  const NodeId id = graph_->add_node(op->op, *operands, *attrs, *types, node.phase,
                                     graph_->add_location(node.location), {}, std::move(body));
  built_[index] = id;
  ranges_.nodes.resize(id.index + 1);
  ranges_.nodes[id.index] = node.range;
  for (size_t i = 0; i < node.results.size(); ++i)
    names_[node.results[i].text].value = graph_->node(id).results[i];
}

void GraphAssembler::count_operands() {
  missing_.resize(ast_.nodes.size());
  users_.resize(ast_.nodes.size());
  for (size_t i = 0; i < ast_.nodes.size(); ++i) {
    for (const AstOperand& operand : ast_.nodes[i].operands) {
      const auto it = names_.find(operand.value.text);
      if (it == names_.end() || !it->second.node) continue;
      ++missing_[i];
      users_[*it->second.node].push_back(i);
    }
  }
}

void GraphAssembler::add_nodes() {
  bool unique = true;
  for (size_t i = 0; i < ast_.nodes.size(); ++i) {
    for (const AstName& result : ast_.nodes[i].results)
      unique &= define(result, {{}, i, {}});
  }
  built_.resize(ast_.nodes.size());
  if (!unique) return;
  count_operands();
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < missing_.size(); ++i) {
    if (missing_[i] == 0) ready.push(i);
  }
  size_t visited = 0;
  for (; !ready.empty(); ++visited) {
    const size_t index = ready.top();
    ready.pop();
    add_node(index);
    for (size_t user : users_[index]) {
      if (--missing_[user] == 0) ready.push(user);
    }
  }
  if (visited == ast_.nodes.size()) return;
  for (size_t i = 0; i < missing_.size(); ++i) {
    if (missing_[i] > 0) context_.error(ast_.nodes[i].range, "an operand depends on itself");
  }
}

void GraphAssembler::add_outputs() {
  for (const AstOutput& output : ast_.outputs) {
    const auto it = names_.find(output.value.text);
    if (it == names_.end()) {
      report_undefined(output.value);
    } else if (it->second.value) {
      graph_->add_output(output.name, *it->second.value);
    }
  }
}

/// The finished graph in the text's order with the text's names; null when anything was reported.
std::shared_ptr<Graph> GraphAssembler::run(const AstNode* outer,
                                           std::span<const TensorType> arg_types) {
  const size_t errors_before = context_.sink.all().size();
  for (const std::string& name : ast_.unreadable)
    names_.emplace(name, Definition{});
  if (outer != nullptr) {
    add_args(*outer, arg_types);
  } else {
    add_inputs();
  }
  add_nodes();
  add_outputs();
  const bool all_built = std::all_of(built_.begin(), built_.end(),
                                     [](NodeId id) { return id.valid(); });  // also of bodies
  const bool reported = context_.sink.all().size() != errors_before;
  if (reported || !all_built || !ast_.unreadable.empty()) return nullptr;
  graph_->set_order(built_);
  std::vector<std::pair<ValueId, std::string>> names;
  for (size_t i = 0; i < built_.size(); ++i) {
    for (size_t j = 0; j < ast_.nodes[i].results.size(); ++j)
      names.emplace_back(graph_->node(built_[i]).results[j], ast_.nodes[i].results[j].text);
  }
  graph_->rename_values(names);
  return graph_;
}

TextRange find_range(const RangeMap& map, const VerifierError& error) {
  const auto it = map.find(error.graph);
  GRADC_CHECK(it != map.end(), "a violation in an unknown graph");
  const GraphRanges& ranges = it->second;
  switch (error.line.kind) {
    case TextLine::Kind::kGraph:
      return ranges.graph;
    case TextLine::Kind::kInput:
      return ranges.inputs[error.line.input];
    case TextLine::Kind::kNode:
      return ranges.nodes[error.line.node.index];
    case TextLine::Kind::kOutputs:
      return ranges.outputs;
  }
  GRADC_UNREACHABLE();
}

}  // namespace

std::shared_ptr<Graph> build_graph(const AstGraph& ast, const std::string& file_name,
                                   DiagnosticSink& sink) {
  Context context{file_name, sink, {}};
  std::shared_ptr<Graph> graph = GraphAssembler(ast, context).run(nullptr, {});
  if (!graph) return nullptr;
  std::vector<VerifierError> violations = find_violations(*graph);
  for (VerifierError& violation : violations) {
    violation.diagnostic.place = context.place(find_range(context.ranges, violation));
    sink.add(std::move(violation.diagnostic));
  }
  return violations.empty() ? graph : nullptr;
}

}  // namespace gradc
