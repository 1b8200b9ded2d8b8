// Lines are collected per section (inputs, each run of one phase) and printed with aligned types
// and comments.
#include "ir/printer.h"

#include "ir/attrs.h"
#include "ir/element.h"
#include "ir/op.h"
#include "support/utf8.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

namespace gradc {

namespace {

constexpr size_t kMaxAlignedResults = 16;  // longer ones do not push the others' "=" right
constexpr size_t kMaxAlignedLeft = 56;     // longer statements do not push the others' types right
constexpr size_t kMaxAlignedRight = 24;    // the same for comments behind types

struct Row {
  std::string results;  // "%0"; empty when there are none
  std::string left;     // "matmul %x, %w", the whole statement once aligned
  std::string right;    // ": f32[2x3]"
  std::string comment;  // "// /layers/1"
  std::string tail;     // whole lines that follow: a body, notes
};

bool names_value(const Graph& graph, ValueId id) {
  return id.valid() && id.index < graph.value_capacity();
}

std::string value_text(const Graph& graph, ValueId id) {
  return names_value(graph, id) ? "%" + graph.value(id).name : std::string("%<invalid>");
}

std::string type_text(const Graph& graph, ValueId id) {
  return names_value(graph, id) ? to_string(graph.type(id)) : std::string("<invalid>");
}

std::string symbol_text(const std::string& name) {
  return "@" + (is_plain_word(name) ? name : quote(name));
}

/// Names such as metric/accuracy and gradient/dense_1/kernel need no quotes.
bool is_plain_path(std::string_view text) {
  size_t begin = 0;
  for (;;) {
    const size_t slash = text.find('/', begin);
    if (!is_plain_word(text.substr(begin, slash - begin))) return false;
    if (slash == std::string_view::npos) return true;
    begin = slash + 1;
  }
}

/// `element`: the type of the numbers in a dense.
std::string attr_list(std::span<const NamedAttr> attrs, size_t max_dense,
                      DType element = DType::kF64) {
  std::string text;
  for (const auto& [name, value] : attrs) {
    const auto* dense = std::get_if<Dense>(&value);
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name,
                        dense != nullptr ? elements_text(*dense, max_dense, element)
                                         : print_attr(value, max_dense));
  }
  return text;
}

/// True for fields that the written result type gives back (AttrVtable::names_result_type).
bool implied_by_type(const NamedAttr& attr, const TensorType& type) {
  if (attr.first == "dtype") return attr.second == AttrValue(type.dtype);
  if (attr.first == "shape") return attr.second == AttrValue(type.shape.to_vector());
  return false;
}

/// What follows "// ": one line, nothing that a terminal would take for more than text.
std::string location_comment(const std::string& location) {
  return location.empty() ? std::string() : "// " + printable(location);
}

class Printer {
 public:
  Printer(const Graph& graph, const PrintOptions& options, size_t indent)
      : graph_(graph), options_(options), indent_(indent, ' ') {}

  std::string whole();
  /// The statements of a nested body, outputs included.
  std::string body();
  Row node_row(NodeId id) const;

 private:
  Row input_row(const GraphInput& input) const;
  std::string operand_list(const Node& node) const;
  std::string call_operands(const Node& node) const;
  std::vector<NamedAttr> shown_attrs(const Node& node, std::optional<std::string>& label) const;
  std::string body_text(const Node& node) const;
  std::string outputs_text(std::string_view keyword, bool named) const;
  std::string notes_below(const TextLine& line) const;
  void push_node(NodeId id);
  void flush();

  const Graph& graph_;
  const PrintOptions& options_;
  std::string indent_;
  std::vector<Row> rows_;
  std::string out_;
};

Row Printer::input_row(const GraphInput& input) const {
  Row row;
  row.left = fmt::format("{} {}", input_kind_name(input.kind), value_text(graph_, input.value));
  row.right = ": " + type_text(graph_, input.value);
  std::string attrs;
  const bool named_as_value = input.kind != InputKind::kArg && names_value(graph_, input.value) &&
                              input.name == graph_.value(input.value).name;
  if (!named_as_value && !(input.kind == InputKind::kArg && input.name.empty()))
    attrs = "name=" + (is_plain_path(input.name) ? input.name : quote(input.name));
  if (!(input.init == InitSpec{})) {
    if (!attrs.empty()) attrs += ", ";
    const std::string fields =
        attr_list(make_attrs(input.init).changed_fields(), options_.max_dense);
    attrs += fmt::format("init={}",
                         is_plain_word(input.init.kind) ? input.init.kind : quote(input.init.kind));
    if (!fields.empty()) attrs += "(" + fields + ")";
  }
  if (!attrs.empty()) row.right += " {" + attrs + "}";
  if (options_.locations) row.comment = location_comment(graph_.location(input.loc));
  return row;
}

std::string Printer::operand_list(const Node& node) const {
  std::string text;
  for (ValueId operand : node.operands)
    text += (text.empty() ? "" : ", ") + value_text(graph_, operand);
  return text;
}

/// "%x, %w=%dense.w": operands with the body's own name for them where it differs.
std::string Printer::call_operands(const Node& node) const {
  std::string text;
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const std::string outer = value_text(graph_, node.operands[i]);
    if (i > 0) text += ", ";
    if (i < node.body->inputs().size()) {
      const std::string inner = value_text(*node.body, node.body->inputs()[i].value);
      if (inner != outer) text += inner + "=";
    }
    text += outer;
  }
  return text;
}

std::vector<NamedAttr> Printer::shown_attrs(const Node& node,
                                            std::optional<std::string>& label) const {
  std::vector<NamedAttr> shown;
  const bool one_result = node.results.size() == 1 && names_value(graph_, node.results[0]);
  for (NamedAttr& attr : node.attrs.changed_fields()) {
    if (node.body && attr.first == "label" && std::holds_alternative<std::string>(attr.second)) {
      label = std::get<std::string>(attr.second);
    } else if (!one_result || !node.attrs.vtable()->names_result_type ||
               !implied_by_type(attr, graph_.type(node.results[0]))) {
      shown.push_back(std::move(attr));
    }
  }
  return shown;
}

Row Printer::node_row(NodeId id) const {
  const Node& node = graph_.node(id);
  Row row;
  if (node.op == Op::kUpdate && node.operands.size() == 2 && node.results.empty()) {
    row.left = fmt::format("update {} <- {}", value_text(graph_, node.operands[0]),
                           value_text(graph_, node.operands[1]));
  } else {
    for (ValueId result : node.results)
      row.results += (row.results.empty() ? "" : ", ") + value_text(graph_, result);
    row.left += op_name(node.op);
    std::optional<std::string> label;
    const std::vector<NamedAttr> attrs = shown_attrs(node, label);
    if (node.body) {
      if (label) row.left += " " + symbol_text(*label);
      row.left += fmt::format("({})", call_operands(node));
    } else if (!node.operands.empty()) {
      row.left += " " + operand_list(node);
    }
    if (!attrs.empty()) {
      const bool is_plain = node.results.size() == 1 && names_value(graph_, node.results[0]);
      const DType element = is_plain ? graph_.type(node.results[0]).dtype : DType::kF64;
      row.left += " {" + attr_list(attrs, options_.max_dense, element) + "}";
    }
    for (ValueId result : node.results)
      row.right += (row.right.empty() ? ": " : ", ") + type_text(graph_, result);
  }
  if (options_.annotate) {
    const std::string note = options_.annotate(graph_, id);
    if (!note.empty()) row.comment = "/* " + note + " */";
  }
  if (options_.locations && node.loc.valid()) {
    if (!row.comment.empty()) row.comment += ' ';
    row.comment += location_comment(graph_.location(node.loc));
  }
  return row;
}

std::string Printer::body_text(const Node& node) const {
  Printer nested(*node.body, options_, indent_.size() + 2);
  return nested.body() + indent_ + "}\n";
}

std::string Printer::notes_below(const TextLine& line) const {
  std::string text;
  if (options_.below) {
    for (const std::string& note : options_.below(graph_, line))
      text += indent_ + note + "\n";
  }
  return text;
}

std::string Printer::outputs_text(std::string_view keyword, bool named) const {
  const std::string notes = notes_below({TextLine::Kind::kOutputs, {}, 0});
  if (graph_.outputs().empty()) return notes;
  std::string text;
  for (const GraphOutput& output : graph_.outputs()) {
    text += text.empty() ? " " : ", ";
    if (named && !output.name.empty())
      text += (is_plain_path(output.name) ? output.name : quote(output.name)) + "=";
    text += value_text(graph_, output.value);
  }
  return fmt::format("{}{}{}\n{}", indent_, keyword, text, notes);
}

void Printer::flush() {
  size_t results = 0;
  size_t left = 0;
  size_t right = 0;
  for (const Row& row : rows_) {
    if (options_.align && row.results.size() <= kMaxAlignedResults)
      results = std::max(results, row.results.size());
  }
  for (Row& row : rows_) {
    if (row.results.empty()) continue;
    row.left = fmt::format("{:<{}} = {}", row.results, results, row.left);
  }
  for (const Row& row : rows_) {
    if (!options_.align) break;
    if (!row.right.empty() && row.left.size() <= kMaxAlignedLeft)
      left = std::max(left, row.left.size());
    if (!row.comment.empty() && row.right.size() <= kMaxAlignedRight)
      right = std::max(right, row.right.size());
  }
  for (const Row& row : rows_) {
    std::string line = indent_ + row.left;
    const size_t type_column = indent_.size() + left + 1;
    if (!row.right.empty() || !row.comment.empty())
      line.resize(std::max(type_column, line.size() + 1), ' ');
    line += row.right;
    if (!row.comment.empty()) {
      line.resize(std::max(type_column + right + 2, line.size() + 2), ' ');
      line += row.comment;
    }
    out_ += line + "\n" + row.tail;
  }
  rows_.clear();
}

void Printer::push_node(NodeId id) {
  rows_.push_back(node_row(id));
  Row& row = rows_.back();
  const Node& node = graph_.node(id);
  if (node.body && options_.bodies) {
    row.right += row.right.empty() ? "{" : " {";
    row.tail = body_text(node);
  }
  row.tail += notes_below({TextLine::Kind::kNode, id, 0});
}

std::string Printer::body() {
  for (NodeId id : graph_.nodes())
    push_node(id);
  flush();
  return out_ + outputs_text("yield", /*named=*/false);
}

std::string Printer::whole() {
  out_ = fmt::format("graph {} {{{}\n", symbol_text(graph_.name()),
                     options_.header.empty() ? "" : "  /* " + options_.header + " */");
  out_ += notes_below({TextLine::Kind::kGraph, {}, 0});
  for (size_t i = 0; i < graph_.inputs().size(); ++i) {
    rows_.push_back(input_row(graph_.inputs()[i]));
    rows_.back().tail = notes_below({TextLine::Kind::kInput, {}, i});
  }
  flush();
  std::optional<Phase> phase;
  for (NodeId id : graph_.nodes()) {
    if (phase != graph_.node(id).phase) {
      flush();
      phase = graph_.node(id).phase;
      out_ += fmt::format("{}:\n", phase_name(*phase));
    }
    push_node(id);
  }
  flush();
  return out_ + outputs_text("return", /*named=*/true) + "}\n";
}

}  // namespace

std::string print_graph(const Graph& graph, const PrintOptions& options) {
  return Printer(graph, options, 2).whole();
}

std::string print_node(const Graph& graph, NodeId node) {
  PrintOptions options;
  options.max_dense = 8;
  Row row = Printer(graph, options, 0).node_row(node);
  if (!row.results.empty()) row.left = row.results + " = " + row.left;
  return row.right.empty() ? row.left : row.left + " " + row.right;
}

}  // namespace gradc
