// Recursive descent over tokens, one statement a line; after an error reading goes on at the next
// line.
#include "ir/parser.h"

#include "ir/piece_parser.h"

#include <algorithm>
#include <memory>
#include <tuple>

namespace gradc {

namespace {

constexpr int kMaxDepth = 16;  // of bodies in bodies

class Parser : private PieceParser {
 public:
  Parser(std::string_view text, const std::string& file_name, DiagnosticSink& sink,
         ExtentNames* names)
      : PieceParser(text, file_name, sink, names) {}

  std::vector<AstGraph> file();

 private:
  bool graph(AstGraph& out);
  void statements(AstGraph& graph, bool is_body, int depth);
  bool statement(AstGraph& graph, bool is_body, int depth);
  bool input(InputKind kind, AstGraph& graph);
  bool input_attrs(AstInput& input);
  bool init_spec(AstInput& input);
  bool update(AstGraph& graph);
  bool node(AstGraph& graph, int depth);
  bool read_node(AstNode& node, int depth);
  bool operation(AstNode& node);
  bool operands(AstNode& node);
  bool call_operands(AstNode& node);
  bool outputs(AstGraph& graph, bool named);

  const TensorType* given_type(InputKind kind);

  Phase phase_ = Phase::kForward;
  size_t num_inputs_ = 0;
};

bool Parser::init_spec(AstInput& input) {
  if (peek().kind != TokenKind::kWord && peek().kind != TokenKind::kString)
    return expected("an initializer's kind");
  const Token kind = take();
  std::vector<NamedAttr> fields;
  if (peek().is('(')) {
    std::vector<AstAttr> attrs;
    if (!attr_list(')', attrs)) return false;
    for (AstAttr& attr : attrs)
      fields.push_back(std::move(attr.attr));
  }
  const auto spec = kAttrVtable<InitSpec>.from_fields(fields);
  if (!spec.ok()) return fail(kind, "{}", spec.message());
  input.init = *static_cast<const InitSpec*>(spec->get());
  input.init.kind = kind.text;
  return true;
}

bool Parser::input_attrs(AstInput& input) {
  take();
  for (bool first = true; !peek().is('}'); first = false) {
    if (!first && !expect(',')) return false;
    const bool is_name = peek().is_word("name");
    if (!is_name && !peek().is_word("init")) return expected("\"name\" or \"init\"");
    take();
    if (!expect('=')) return false;
    if (!is_name) {
      if (!init_spec(input)) return false;
    } else if (peek().kind == TokenKind::kWord || peek().kind == TokenKind::kString) {
      input.name = take().text;
    } else {
      return expected("the input's name");
    }
  }
  take();
  return true;
}

/// What the caller says of the next input.
const TensorType* Parser::given_type(InputKind kind) {
  if (kind != InputKind::kInput || names() == nullptr) return nullptr;
  const size_t index = num_inputs_++;
  return index < names()->inputs.size() ? &names()->inputs[index] : nullptr;
}

bool Parser::input(InputKind kind, AstGraph& graph) {
  AstInput input;
  input.kind = kind;
  const TensorType* given = given_type(kind);
  const bool well_formed = value_name(input.value) && expect(':') && type(input.type, given) &&
                           (!peek().is('{') || input_attrs(input)) &&
                           end_of_statement(input.location);
  if (!input.name && kind != InputKind::kArg) input.name = input.value.text;
  if (well_formed) {
    graph.inputs.push_back(std::move(input));
  } else {
    graph.unreadable.push_back(std::move(input.value.text));
  }
  return well_formed;
}

bool Parser::update(AstGraph& graph) {
  AstNode node;
  node.phase = phase_;
  node.op = {"update", {peek().begin, peek().end}};
  node.range = node.op.range;
  take();
  node.operands.resize(2);
  if (!value_name(node.operands[0].value)) return false;
  if (peek().kind != TokenKind::kArrow) return expected("\"<-\"");
  take();
  if (!value_name(node.operands[1].value)) return false;
  node.range.end = node.operands[1].value.range.end;
  if (!end_of_statement(node.location)) return false;
  graph.nodes.push_back(std::move(node));
  return true;
}

/// (%x, %w=%dense.w): names of the body's arguments in front where they differ.
bool Parser::call_operands(AstNode& node) {
  take();
  while (!peek().is(')')) {
    if (!node.operands.empty() && !expect(',')) return false;
    AstOperand operand;
    if (!value_name(operand.value)) return false;
    operand.arg = operand.value;
    if (accept('=') && !value_name(operand.value)) return false;
    node.operands.push_back(std::move(operand));
  }
  take();
  return true;
}

bool Parser::operands(AstNode& node) {
  if (peek().kind == TokenKind::kSymbol) node.label = take().text;
  if (peek().is('(')) return call_operands(node);
  if (node.label) return expected("\"(\"");
  while (peek().kind == TokenKind::kValue || !node.operands.empty()) {
    if (!value_name(node.operands.emplace_back().value)) return false;
    if (!accept(',')) break;
  }
  return true;
}

/// matmul %x, %w {transpose_b=true} : f32[32x10]
bool Parser::operation(AstNode& node) {
  if (peek().kind != TokenKind::kWord) return expected("an op's name");
  const Token op = take();
  node.op = {op.text, {op.begin, op.end}};
  if (!operands(node)) return false;
  const bool opens_body = peek(1).kind == TokenKind::kNewline;
  if (peek().is('{') && !opens_body && !attr_list('}', node.attrs)) return false;
  if (accept(':')) {
    do {
      if (!type(node.types.emplace_back())) return false;
    } while (accept(','));
  }
  node.range.end = last_end();
  return true;
}

bool Parser::node(AstGraph& graph, int depth) {
  AstNode node;
  const bool well_formed = read_node(node, depth);
  if (well_formed) {
    graph.nodes.push_back(std::move(node));
  } else {
    for (AstName& result : node.results)
      graph.unreadable.push_back(std::move(result.text));
  }
  return well_formed;
}

bool Parser::read_node(AstNode& node, int depth) {
  node.phase = phase_;
  node.range.begin = peek().begin;
  if (peek().kind == TokenKind::kValue) {
    do {
      if (!value_name(node.results.emplace_back())) return false;
    } while (accept(','));
    if (!expect('=')) return false;
  }
  const bool well_formed = operation(node);
  if (!well_formed) skip_line();  // a body that follows is still read
  const bool has_body = well_formed ? peek().is('{') : last_is('{');
  if (has_body) {
    if (depth >= kMaxDepth) {
      const Token brace = peek();
      skip_everything();  // the rest cannot be matched up
      return fail(brace, "bodies are nested more than {} deep", +kMaxDepth);
    }
    if (well_formed) take();
    if (!at_line_end()) return expected("the end of the line");
    node.location = peek().text;
    node.body = std::make_unique<AstGraph>();
    node.body->range = node.range;
    statements(*node.body, /*is_body=*/true, depth + 1);
    std::string ignored;
    if (!expect('}') || !end_of_statement(ignored)) return false;
  } else if (well_formed && !end_of_statement(node.location)) {
    return false;
  }
  return well_formed;
}

bool Parser::outputs(AstGraph& graph, bool named) {
  const Token keyword = take();
  if (graph.has_outputs) return fail(keyword, "a second \"{}\"", keyword.text);
  graph.has_outputs = true;
  graph.outputs_range = {keyword.begin, keyword.end};
  while (!at_line_end()) {
    if (!graph.outputs.empty() && !expect(',')) return false;
    AstOutput output;
    const bool has_name = peek().kind == TokenKind::kWord || peek().kind == TokenKind::kString;
    if (named && has_name) {
      output.name = take().text;
      if (!expect('=')) return false;
    }
    if (!value_name(output.value)) return false;
    graph.outputs.push_back(std::move(output));
  }
  return true;
}

bool Parser::statement(AstGraph& graph, bool is_body, int depth) {
  const Token& token = peek();
  if (token.kind == TokenKind::kWord && !is_body) {
    for (Phase phase : {Phase::kForward, Phase::kBackward, Phase::kUpdate}) {
      if (token.text != phase_name(phase) || !peek(1).is(':')) continue;
      take();
      take();
      phase_ = phase;
      std::string ignored;
      return end_of_statement(ignored);
    }
    for (InputKind kind :
         {InputKind::kInput, InputKind::kParam, InputKind::kState, InputKind::kArg}) {
      if (token.text != input_kind_name(kind) || peek(1).kind != TokenKind::kValue) continue;
      take();
      return input(kind, graph);
    }
  }
  if (token.is_word("update") && peek(1).kind == TokenKind::kValue) return update(graph);
  if (token.is_word(is_body ? "yield" : "return")) return outputs(graph, !is_body);
  if (token.kind == TokenKind::kValue || token.kind == TokenKind::kWord) return node(graph, depth);
  return expected("a statement");
}

/// Statements up to the closing brace, which is left to the caller.
void Parser::statements(AstGraph& graph, bool is_body, int depth) {
  for (;;) {
    skip_blank_lines();
    if (at_end() || peek().is('}')) return;
    if (!statement(graph, is_body, depth)) skip_line();
  }
}

bool Parser::graph(AstGraph& out) {
  if (!peek().is_word("graph")) return expected("\"graph\"");
  out.range = {peek().begin, peek().end};
  take();
  if (peek().kind != TokenKind::kSymbol) return expected("the graph's name, such as @mnist");
  out.range.end = peek().end;
  out.name = take().text;
  phase_ = Phase::kForward;
  std::string ignored;
  if (!expect('{') || !end_of_statement(ignored)) return false;
  statements(out, /*is_body=*/false, 0);
  return at_end() && !peek().is('}') ? expected("\"}\"") : expect('}') && end_of_statement(ignored);
}

std::vector<AstGraph> Parser::file() {
  std::vector<AstGraph> graphs;
  for (;;) {
    skip_blank_lines();
    if (at_end()) return graphs;
    if (!graph(graphs.emplace_back())) skip_line();
  }
}

Result<std::vector<std::shared_ptr<Graph>>> read_graphs(std::string_view text,
                                                        const std::string& file_name,
                                                        ExtentNames* names) {
  DiagnosticSink sink;
  std::vector<AstGraph> asts = Parser(text, file_name, sink, names).file();
  std::vector<std::shared_ptr<Graph>> graphs;
  for (const AstGraph& ast : asts)
    graphs.push_back(build_graph(ast, file_name, sink));
  if (!sink.has_errors()) return graphs;
  std::vector<Diagnostic> errors = sink.take();
  std::sort(errors.begin(), errors.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.place.byte_begin, a.message) < std::tie(b.place.byte_begin, b.message);
  });
  return Failure(std::move(errors));
}

Result<std::shared_ptr<Graph>> read_graph(std::string_view text, const std::string& file_name,
                                          ExtentNames* names) {
  GRADC_TRY(std::vector<std::shared_ptr<Graph>> graphs, read_graphs(text, file_name, names));
  if (graphs.size() == 1) return std::move(graphs.front());
  return make_error(DiagKind::kIrSyntax, Place{file_name, {}}, "expected one graph, found {}",
                    graphs.size());
}

}  // namespace

Result<std::vector<std::shared_ptr<Graph>>> parse_graphs(std::string_view text,
                                                         const std::string& file_name) {
  return read_graphs(text, file_name, nullptr);
}

Result<std::shared_ptr<Graph>> parse_graph(std::string_view text, const std::string& file_name) {
  return read_graph(text, file_name, nullptr);
}

Result<std::shared_ptr<Graph>> parse_graph(std::string_view text, const std::string& file_name,
                                           ExtentNames& names) {
  return read_graph(text, file_name, &names);
}

}  // namespace gradc
